/** The part of a room's log that the page holds: one run of it without a hole, which may reach its start or its end. */

import type { Gap, Message } from '../wire/types'

export type Entry =
  { kind: 'message'; seq: number; message: Message } | { kind: 'gap'; seq: number; from: number; to: number }

/** How many entries are kept; beyond that the far end is dropped, and loaded again when somebody scrolls there. */
export const KEEP_MAX = 2_000
/** It is dropped in portions of at least this, since dropping copies the rest. */
const PORTION = 200
/** The same for their text, in characters: messages may be long. */
export const CHARS_MAX = 4_000_000

export class Timeline {
  entries: Entry[] = []
  /** The first and last seq that the entries account for; `end` is `start - 1` while there are none. */
  start = 1
  end = 0
  /** Nothing older is stored. */
  atStart = false
  /** The room's last seq, as far as is known. */
  last = 0
  #chars = 0

  get atEnd(): boolean {
    return this.end >= this.last
  }

  /** More than this is not kept. */
  get full(): boolean {
    return this.entries.length >= KEEP_MAX + PORTION || this.#chars > CHARS_MAX
  }

  /** Begins anew, just after a seq. */
  reset(after: number, last: number): void {
    this.entries = []
    this.#chars = 0
    this.start = after + 1
    this.end = after
    this.atStart = after === 0
    this.last = last
  }

  /** Adds what comes next. Refuses what would leave a hole, and ignores what is there already. */
  append(item: Message | Gap): boolean {
    const from = item.type === 'gap' ? item.from : item.seq
    const to = item.type === 'gap' ? item.to : item.seq
    if (to > this.last) this.last = to
    if (to <= this.end) return true
    if (from > this.end + 1) return false
    const entry = entryOf(item)
    this.entries.push(entry)
    this.#chars += lengthOf(entry)
    this.end = to
    if (item.type === 'message') this.#apply(item)
    return true
  }

  /** Adds an older page, in order, as HISTORY answers it; `oldest` is the oldest seq still stored. */
  prepend(items: readonly (Message | Gap)[], oldest: number): void {
    const entries = items.map(entryOf).filter((entry) => entry.seq < this.start)
    this.entries = [...entries, ...this.entries]
    for (const entry of entries) this.#chars += lengthOf(entry)
    if (entries[0]) this.start = firstOf(entries[0])
    if (entries.length === 0 || this.start <= oldest) this.atStart = true
    for (const entry of entries) if (entry.kind === 'message') this.#apply(entry.message)
  }

  /** Keeps memory bounded: drops from one end when there is too much. */
  trim(from: 'start' | 'end'): void {
    if (!this.full) return
    const ordered = from === 'start' ? this.entries.toReversed() : this.entries
    let chars = 0
    let keep = 0
    // What is at the other end stays, however long it is.
    for (; keep < Math.min(KEEP_MAX, ordered.length); keep++) {
      chars += lengthOf(ordered[keep]!)
      if (chars > CHARS_MAX / 2 && keep >= PORTION) break
    }
    this.#chars = ordered.slice(0, keep).reduce((sum, entry) => sum + lengthOf(entry), 0)
    if (keep === ordered.length) return
    if (from === 'start') {
      this.entries = this.entries.slice(-keep)
      this.start = firstOf(this.entries[0]!)
      this.atStart = false
    } else {
      this.entries = this.entries.slice(0, keep)
      this.end = this.entries[keep - 1]!.seq
    }
  }

  /** Where the entry with this seq is, or where it would be. */
  index(seq: number): number {
    let low = 0
    let high = this.entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.entries[middle]!.seq < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  message(seq: number): Message | undefined {
    const entry = this.entries[this.index(seq)]
    return entry?.kind === 'message' && entry.seq === seq ? entry.message : undefined
  }

  /** A redaction takes the text of an earlier message away. */
  #apply({ redacts: seq, seq: by }: Message): void {
    if (seq === undefined) return
    const at = this.index(seq)
    const entry = this.entries[at]
    if (entry?.kind !== 'message' || entry.seq !== seq || entry.message.redacted !== undefined) return
    const { text: _text, base64: _base64, ...rest } = entry.message
    this.entries[at] = { ...entry, message: { ...rest, redacted: by } }
  }
}

function lengthOf(entry: Entry): number {
  return entry.kind === 'message' ? (entry.message.text ?? entry.message.base64 ?? '').length : 0
}

function entryOf(item: Message | Gap): Entry {
  if (item.type === 'message') return { kind: 'message', seq: item.seq, message: item }
  return { kind: 'gap', seq: item.to, from: item.from, to: item.to }
}

function firstOf(entry: Entry): number {
  return entry.kind === 'gap' ? entry.from : entry.seq
}
