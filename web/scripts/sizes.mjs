// Fails if the built page has outgrown its limits, gzipped.
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const LIMITS = { js: 60_000, css: 10_000 }
const dist = new URL('../dist/', import.meta.url)
const files = readdirSync(dist, { recursive: true })
for (const [kind, limit] of Object.entries(LIMITS)) {
  const sizes = files
    .filter((name) => name.endsWith(`.${kind}`))
    .map((name) => gzipSync(readFileSync(new URL(name, dist)), { level: 9 }).length)
  const sum = sizes.reduce((a, b) => a + b, 0)
  console.log(`${kind}: ${sum} of ${limit} bytes`)
  if (sum > limit) process.exitCode = 1
}
