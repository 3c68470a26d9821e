/** A room's log as the page shows it: what is loaded of it, which part is shown, and where its unread messages begin. */

import { Members, type Note } from '../model/members'
import { Timeline } from '../model/timeline'
import { Window } from '../model/window'
import type { Answer, End, Fields, Gap, Item, Message } from '../wire/types'

const PAGE = 100
const NOTES_MAX = 50
/** In a room with more members than this, who has read what is asked for rarely. */
const READERS_MANY = 500
/** More unread messages than this are loaded page by page as they are read, and not pushed. */
export const BACKLOG_MAX = 500

export type Ask = (verb: string, fields: Fields) => Promise<{ items: Item[]; end: Answer }>

export type LogNote = Note & { after: number; id: number }

/** Where the log scrolls to once this version is drawn. */
export type Target = { seq: number; at: 'top' | 'middle'; flash: boolean } | { end: true }

export class RoomLog {
  readonly timeline = new Timeline()
  readonly window = new Window()
  readonly members = new Members()
  /** The room's number, once JOIN or FOLLOW has told it. */
  number: number | null = null
  /** The line: everything after this seq was unread when the room was opened, or when the person looked away. */
  unreadAfter: number | null = null
  loaded = false
  /** New messages are pushed on this connection. */
  followed = false
  /** Who came, went or took another nick, and after which message; while the page is open. */
  notes: LogNote[] = []
  busy: 'older' | 'newer' | 'open' | null = null
  failure: unknown = null
  target: Target | null = null
  readonly #quotes = new Map<number, Message | null>()
  #filling = false
  #version = 0

  constructor(
    readonly room: string,
    private readonly ask: Ask,
    private readonly changed: () => void,
  ) {}

  /** Loads the part to begin with: the end, or the surroundings of the first unread message. */
  async open(cursor: number | null, last: number): Promise<void> {
    const unread = cursor === null ? 0 : last - cursor
    this.unreadAfter = unread > 0 ? cursor : null
    if (cursor === null || unread <= PAGE / 2) await this.#load(last + 1, last, unread > 0 ? cursor : null)
    else await this.#load(cursor + 1, last, cursor)
  }

  /** Loads anew around a seq, and shows it. */
  async around(seq: number, flash: boolean): Promise<void> {
    if (this.timeline.message(seq)) {
      this.window.around(this.timeline, seq)
      this.#aim({ seq, at: 'middle', flash })
      return
    }
    await this.#load(seq, this.timeline.last, null)
    this.window.around(this.timeline, seq)
    this.#aim({ seq, at: 'middle', flash })
  }

  /** Shows the first message from a time on. Returns whether there is one. */
  async since(time: string): Promise<boolean> {
    const { items } = await this.ask('history', { room: this.room, since: time, max: 1 })
    const first = items.find((item): item is Message => item.type === 'message')
    if (!first) return false
    await this.#load(first.seq, this.timeline.last, null)
    this.window.around(this.timeline, first.seq)
    this.#aim({ seq: first.seq, at: 'top', flash: false })
    return true
  }

  /** Shows the end of the room; without a connection, the end of what is loaded. */
  async toEnd(): Promise<void> {
    try {
      if (!this.timeline.atEnd) await this.#load(this.timeline.last + 1, this.timeline.last, null)
    } finally {
      this.window.toEnd(this.timeline)
      this.#aim({ end: true })
    }
  }

  /** Shows older messages; loads them if need be. */
  async older(): Promise<void> {
    if (this.window.up(this.timeline)) return this.changed()
    if (this.timeline.atStart || !this.loaded) return
    await this.#while('older', async (current) => {
      const before = this.timeline.start
      const { items, end } = await this.ask('history', { room: this.room, before, max: PAGE })
      if (!current() || before !== this.timeline.start) return
      this.timeline.prepend(items.filter(isLogged), (end as End).oldest)
      this.window.up(this.timeline)
      this.timeline.trim('end')
    })
  }

  /** Shows newer messages; loads them if need be. */
  async newer(): Promise<void> {
    if (this.window.down(this.timeline)) return this.changed()
    if (this.timeline.atEnd || !this.loaded) return
    await this.#while('newer', async (current) => {
      const after = this.timeline.end
      const { items, end } = await this.ask('fetch', { room: this.room, after, max: PAGE })
      if (!current() || after !== this.timeline.end) return
      this.#appendAll(items, end as End)
      this.window.down(this.timeline)
      this.timeline.trim('start')
    })
  }

  /** A pushed message or gap. What does not connect to what is loaded is fetched when it is wanted. */
  push(item: Message | Gap): void {
    if (!this.loaded) return
    if (item.type === 'message') this.members.spoke(item.client)
    const { following } = this.window
    if (!following && this.timeline.full) {
      // Somebody reads further up. The rest is fetched when they come down.
      this.timeline.last = Math.max(this.timeline.last, item.type === 'gap' ? item.to : item.seq)
    } else {
      const taken = this.timeline.append(item)
      if (following) this.timeline.trim('start')
      if (!taken && following) void this.#fill()
    }
    this.changed()
  }

  note(note: Note): void {
    const id = (this.notes.at(-1)?.id ?? 0) + 1
    this.notes = [...this.notes.slice(1 - NOTES_MAX), { ...note, after: this.timeline.last, id }]
    this.changed()
  }

  /** The room has messages up to here, says the list of rooms. If they are pushed, they are on their way. */
  async reached(last: number): Promise<void> {
    if (this.followed) return
    if (last > this.timeline.last) this.timeline.last = last
    if (this.loaded && this.window.following && !this.timeline.atEnd) await this.#fill()
  }

  /** The message that a reply is to, if it is known by now; otherwise asks for it. */
  quoted(seq: number): Message | null | undefined {
    const here = this.timeline.message(seq)
    if (here) return here
    if (this.#quotes.has(seq)) return this.#quotes.get(seq)
    if (this.#quotes.size > 300) this.#quotes.clear()
    this.#quotes.set(seq, null)
    void this.ask('history', { room: this.room, before: seq + 1, max: 1 }).then(
      ({ items }) => {
        const found = items.find((item): item is Message => item.type === 'message' && item.seq === seq)
        if (found) this.#quotes.set(seq, found)
        this.changed()
      },
      () => this.#quotes.delete(seq),
    )
    return null
  }

  /** Whether somebody may soon have read the last message of this person that they have not read yet. */
  expectsReaders(own: string): boolean {
    if (this.members.count > READERS_MANY) return false
    const last = this.timeline.entries.findLast((entry) => entry.kind === 'message' && entry.message.client === own)
    const [slowest] = this.members.cursors(own)
    return last !== undefined && slowest !== undefined && slowest < last.seq
  }

  /** Draws the line here if something new comes: the person has looked away. */
  lookedAway(seen: number): void {
    this.unreadAfter = seen
  }

  #aim(target: Target): void {
    this.target = target
    this.changed()
  }

  /** Loads a page before a seq, a page from it on, and scrolls to the first unread message if there is one. */
  async #load(seq: number, last: number, unreadAfter: number | null): Promise<void> {
    await this.#while('open', async (current) => {
      const end = seq > last
      const older = await this.ask('history', { room: this.room, before: seq, max: end ? PAGE : PAGE / 2 })
      const newer = end ? null : await this.ask('fetch', { room: this.room, after: seq - 1, max: PAGE })
      if (!current()) return
      const { oldest, last: known } = older.end as End
      this.timeline.reset(seq - 1, Math.max(last, known))
      this.timeline.prepend(older.items.filter(isLogged), oldest)
      if (newer) this.#appendAll(newer.items, newer.end as End)
      this.loaded = true
      if (unreadAfter === null || unreadAfter >= this.timeline.end) {
        this.window.toEnd(this.timeline)
        this.target = { end: true }
      } else {
        this.window.around(this.timeline, unreadAfter + 1)
        this.target = { seq: unreadAfter + 1, at: 'top', flash: false }
      }
    })
    if (this.loaded && this.window.following) await this.#fill()
  }

  /** Fetches what is missing up to the end; too much of it is left for scrolling. */
  async #fill(): Promise<void> {
    if (this.#filling) return
    this.#filling = true
    const version = this.#version
    try {
      for (let pages = 0; !this.timeline.atEnd && version === this.#version; pages++) {
        if (pages * PAGE >= BACKLOG_MAX) {
          this.window.hold(this.timeline)
          break
        }
        const after = this.timeline.end
        const { items, end } = await this.ask('fetch', { room: this.room, after, max: PAGE })
        if (version !== this.#version) break
        this.#appendAll(items, end as End)
        if (this.timeline.end === after) break
        this.changed()
      }
    } catch {
      // The next push or the next connection goes on.
    } finally {
      this.#filling = false
    }
  }

  #appendAll(items: readonly Item[], end: End): void {
    for (const item of items) if (isLogged(item)) this.timeline.append(item)
    if (end.last > this.timeline.last) this.timeline.last = end.last
  }

  /** One load at a time; opening overrides the others, whose answers then no longer matter. */
  async #while(what: 'older' | 'newer' | 'open', load: (current: () => boolean) => Promise<void>): Promise<void> {
    if (this.busy !== null && what !== 'open') return
    const version = what === 'open' ? ++this.#version : this.#version
    const current = (): boolean => version === this.#version
    this.busy = what
    this.failure = null
    this.changed()
    try {
      await load(current)
    } catch (error) {
      if (current()) this.failure = error
      if (what === 'open') throw error
    } finally {
      if (current()) this.busy = null
      this.changed()
    }
  }
}

function isLogged(item: Item): item is Message | Gap {
  return item.type === 'message' || item.type === 'gap'
}
