/**
 * Serves web/dist as it is now in front of a daemon, so that the page can be worked on without compiling the daemon, which
 * has it built in: `DANTOK_E2E_DIST=dist npm run e2e`. Everything but the files, their headers included, is the daemon's.
 */

import { readFileSync } from 'node:fs'
import { createServer, request, type IncomingMessage, type Server } from 'node:http'
import { connect } from 'node:net'
import { extname, join, resolve } from 'node:path'
import type { Address } from './daemon'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml',
  '.png': 'image/png', '.webmanifest': 'application/manifest+json',
}

export async function serveBuilt(dist: string, daemon: () => Address): Promise<{ server: Server; address: Address }> {
  const root = resolve(dist)
  const server = createServer((asked, answer) => {
    const onward = request({ ...daemon(), path: '/', method: 'HEAD', headers: { host: asked.headers.host ?? '' } }, (head) => {
      const policy = String(head.headers['content-security-policy'])
      const path = join(root, asked.url === '/' ? 'index.html' : new URL(asked.url ?? '/', 'http://any').pathname)
      try {
        if (!path.startsWith(root)) throw new Error('outside')
        const content = readFileSync(path)
        answer.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-security-policy': policy, 'cache-control': 'no-cache' })
        answer.end(content)
      } catch {
        answer.writeHead(404).end()
      }
    })
    onward.on('error', () => answer.destroy())
    onward.end()
  })
  server.on('upgrade', (asked: IncomingMessage, socket, head) => {
    const there = connect(daemon())
    const { rawHeaders } = asked
    const lines = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []))
    there.write([`GET ${asked.url} HTTP/1.1`, ...lines, '', ''].join('\r\n'))
    there.write(head)
    there.pipe(socket).pipe(there)
    for (const [one, other] of [[there, socket], [socket, there]] as const) {
      one.on('error', () => other.destroy())
      one.on('close', () => other.destroy())
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no address')
  return { server, address: { host: '127.0.0.1', port: address.port } }
}
