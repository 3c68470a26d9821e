import vue from '@vitejs/plugin-vue'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** The files of `public/`, as paths in the built page. */
function publicFiles(at = 'public'): string[] {
  return readdirSync(at, { withFileTypes: true }).flatMap((entry) => {
    const path = `${at}/${entry.name}`
    return entry.isDirectory() ? publicFiles(path) : [path.slice('public/'.length)]
  })
}

/**
 * Tells the service worker which files make up the page, and gives their cache a name that changes exactly when one of
 * them does.
 */
function shell(): Plugin {
  return {
    name: 'shell',
    apply: 'build',
    enforce: 'post',
    generateBundle(_, bundle) {
      const built = Object.keys(bundle).filter((name) => name !== 'sw.js' && name !== 'index.html')
      const files = [...built, ...publicFiles()].sort()
      const hash = createHash('sha256')
      for (const name of files) hash.update(name).update(bundle[name] ? '' : readFileSync(`public/${name}`))
      const index = bundle['index.html']
      if (index?.type === 'asset') hash.update(index.source)
      const worker = bundle['sw.js']
      if (worker?.type !== 'chunk') throw new Error('the service worker was not built')
      worker.code = worker.code
        .replace(/(["'`])__FILES__\1/, JSON.stringify(['./', ...files.map((name) => `./${name}`)]))
        .replace('__VERSION__', hash.digest('hex').slice(0, 16))
      if (worker.code.includes('__FILES__') || worker.code.includes('__VERSION__')) {
        throw new Error('the service worker has no list of files')
      }
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [vue(), shell()],
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: 'false',
  },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      input: { index: 'index.html', sw: 'src/sw.ts' },
      output: {
        entryFileNames: (chunk) => (chunk.name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: { proxy: { '/ws': { target: 'ws://127.0.0.1:7480', ws: true } } },
  test: { include: ['test/**/*.test.ts'] },
})
