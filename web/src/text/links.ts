/** Finds links in text. What it finds becomes elements with text nodes in them, never markup. */

export type Part = { text: string; href?: string; mark?: boolean }

const LINKS_MAX = 100
/** Characters that end a link: white space, quotes, brackets that nobody writes in links, and whatever is not visible. */
const START = /\b(?:https?:\/\/|www\.)/gi
const INSIDE = /[^\s<>"'`{}|\\^\p{C}\p{Z}\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]/u
/** Punctuation that belongs to the sentence rather than to a link at its end. */
const TRAILING = /[.,;:!?…*_~]$/
/** Korean particles right after a link: `https://example.org에서`. A path in Korean needs a character before it. */
const HANGUL = /\p{Script=Hangul}/u
/** Characters that reorder text: shown, so that nobody is misled by them. */
const REORDER = /[\u202a-\u202e\u2066-\u2069]/

/** Whether the text is short, and needs nothing but to be shown: most messages are like that. */
export function isPlain(text: string): boolean {
  return text.length < 500 && !/:\/\/|www\.|[\n\u202a-\u202e\u2066-\u2069\u2600-\u27bf\ud800-\udfff]/i.test(text)
}

export function parts(text: string): Part[] {
  const found: Part[] = []
  let at = 0
  let links = 0
  START.lastIndex = 0
  for (let match = START.exec(text); match && links < LINKS_MAX; match = START.exec(text)) {
    const end = linkEnd(text, match.index, match[0].length)
    const shown = text.slice(match.index, end)
    const href = safe(shown)
    START.lastIndex = Math.max(end, match.index + match[0].length)
    if (!href) continue
    plain(text.slice(at, match.index), found)
    found.push({ text: shown, href })
    at = end
    links++
  }
  plain(text.slice(at), found)
  return found
}

function linkEnd(text: string, start: number, scheme: number): number {
  let end = start + scheme
  let host = true
  let open = 0
  while (end < text.length) {
    const char = String.fromCodePoint(text.codePointAt(end)!)
    if (!INSIDE.test(char)) break
    if (char === '/' || char === '?' || char === '#') host = false
    if (host && HANGUL.test(char) && /[a-z0-9]$/i.test(text.slice(start, end))) break
    if (char === '(' || char === '[') open++
    if ((char === ')' || char === ']') && --open < 0) break
    end += char.length
  }
  while (end > start + scheme && TRAILING.test(text.slice(end - 1, end))) end--
  return end
}

/** The address, if it is one that may be opened. */
function safe(shown: string): string | null {
  try {
    const url = new URL(/^www\./i.test(shown) ? `https://${shown}` : shown)
    const named = url.hostname.includes('.') || url.hostname === 'localhost' || url.hostname.startsWith('[')
    return (url.protocol === 'http:' || url.protocol === 'https:') && named && url.username === '' ? url.href : null
  } catch {
    return null
  }
}

function plain(text: string, into: Part[]): void {
  let rest = text
  for (let at = rest.search(REORDER); at >= 0; at = rest.search(REORDER)) {
    if (at > 0) into.push({ text: rest.slice(0, at) })
    into.push({ text: `U+${rest.charCodeAt(at).toString(16).toUpperCase()}`, mark: true })
    rest = rest.slice(at + 1)
  }
  if (rest !== '') into.push({ text: rest })
}

/** One line of plain text for labels, notifications and quotes: nothing in it can reorder or break what is around it. */
export function oneLine(text: string, max = 200): string {
  const flat = text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069\s]+/gu, ' ').trim()
  const chars = [...flat.slice(0, max * 2)]
  return chars.length > max || flat.length > max * 2 ? `${chars.slice(0, max).join('')}…` : flat
}
