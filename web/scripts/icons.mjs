// Draws the icons: an SVG, and PNGs of it for those who want them. `npm run icons` after a change here.
import { mkdirSync, writeFileSync } from 'node:fs'
import { crc32, deflateSync } from 'node:zlib'

const GREEN = [11, 110, 99]
const WHITE = [255, 255, 255]
// In a square of 64: the tile, a speech bubble with its tail, and the tick that means "on disk".
const BUBBLE = { x: 12, y: 13, w: 40, h: 31, r: 9 }
const TAIL = [
  [20, 40],
  [20, 54],
  [33, 43],
]
const TICK = [
  [22.5, 28.5],
  [29.5, 35.5],
  [42, 22],
]
const TICK_WIDTH = 4.6

const path = (points) => points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${x} ${y}`).join('')
const { x, y, w, h, r } = BUBBLE
const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" rx="15" fill="#0b6e63"/><rect x="${x}" y="${y}" width="${w}" height="${h}" rx="${r}" fill="#fff"/><path d="${path(TAIL)}Z" fill="#fff"/><path d="${path(TICK)}" fill="none" stroke="#0b6e63" stroke-width="${TICK_WIDTH}" stroke-linecap="round" stroke-linejoin="round"/></svg>\n`

const inRounded = (px, py, box) => {
  const dx = Math.max(box.x + box.r - px, px - (box.x + box.w - box.r), 0)
  const dy = Math.max(box.y + box.r - py, py - (box.y + box.h - box.r), 0)
  return dx * dx + dy * dy <= box.r * box.r
}
const side = ([ax, ay], [bx, by], px, py) => (bx - ax) * (py - ay) - (by - ay) * (px - ax)
const inTriangle = (px, py, [a, b, c]) => {
  const sides = [side(a, b, px, py), side(b, c, px, py), side(c, a, px, py)]
  return sides.every((s) => s >= 0) || sides.every((s) => s <= 0)
}
const distance = (px, py, [ax, ay], [bx, by]) => {
  const t = Math.max(
    0,
    Math.min(1, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)),
  )
  return Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay))
}

/** The colour at a point, with its opacity. A maskable icon fills its square, since the system cuts it. */
function colour(px, py, maskable) {
  const scale = maskable ? 0.8 : 1
  const [ux, uy] = [32 + (px - 32) / scale, 32 + (py - 32) / scale]
  const tick =
    distance(ux, uy, TICK[0], TICK[1]) <= TICK_WIDTH / 2 || distance(ux, uy, TICK[1], TICK[2]) <= TICK_WIDTH / 2
  if (tick) return [...GREEN, 1]
  if (inRounded(ux, uy, BUBBLE) || inTriangle(ux, uy, TAIL)) return [...WHITE, 1]
  return [...GREEN, maskable || inRounded(px, py, { x: 0, y: 0, w: 64, h: 64, r: 15 }) ? 1 : 0]
}

function png(size, maskable = false) {
  const SAMPLES = 4
  const rows = Buffer.alloc(size * (1 + size * 4))
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const sum = [0, 0, 0, 0]
      for (let sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        const sx = ((column + ((sample % SAMPLES) + 0.5) / SAMPLES) * 64) / size
        const sy = ((row + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES) * 64) / size
        const [red, green, blue, alpha] = colour(sx, sy, maskable)
        sum[0] += red * alpha
        sum[1] += green * alpha
        sum[2] += blue * alpha
        sum[3] += alpha
      }
      const at = row * (1 + size * 4) + 1 + column * 4
      for (let channel = 0; channel < 3; channel++)
        rows[at + channel] = sum[3] === 0 ? 0 : Math.round(sum[channel] / sum[3])
      rows[at + 3] = Math.round((sum[3] / (SAMPLES * SAMPLES)) * 255)
    }
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(size, 0)
  header.writeUInt32BE(size, 4)
  header.set([8, 6, 0, 0, 0], 8)
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
    length.writeUInt32BE(data.length)
    sum.writeUInt32BE(crc32(body))
    return Buffer.concat([length, body, sum])
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

const folder = new URL('../public/icons/', import.meta.url)
mkdirSync(folder, { recursive: true })
writeFileSync(new URL('icon.svg', folder), svg)
writeFileSync(new URL('icon-192.png', folder), png(192))
writeFileSync(new URL('icon-512.png', folder), png(512))
writeFileSync(new URL('maskable-512.png', folder), png(512, true))
