/** Names of clients: a person, and perhaps a device. */

export function person(client: string): string {
  const slash = client.indexOf('/')
  return slash < 0 ? client : client.slice(0, slash)
}

/** A stable number for a name, from 0 to `of` - 1, for its colour. */
export function hue(name: string, of: number): number {
  let hash = 2166136261
  for (const char of person(name)) hash = Math.imul(hash ^ char.codePointAt(0)!, 16777619) >>> 0
  return hash % of
}

const segmenter = typeof Intl.Segmenter === 'function' ? new Intl.Segmenter() : null

/** The first visible character of a name. */
export function initial(name: string): string {
  const first = segmenter ? segmenter.segment(name)[Symbol.iterator]().next().value?.segment : [...name][0]
  return (first ?? '?').toUpperCase()
}
