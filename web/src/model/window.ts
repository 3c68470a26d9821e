/** Which entries of a timeline are in the document: a bounded run that follows the end or moves with scrolling. */

import type { Timeline } from './timeline'

/** Elements in the log are at most these, plus a line for each day and one for the unread. */
export const WINDOW_MAX = 120
export const STEP = 30
const TAIL = 60
/** When more than this is new at once, only the last of it is drawn: nobody reads ten thousand messages as they fly by. */
const RUSH = 40

export class Window {
  /** Indexes into the timeline's entries; `to` is exclusive. They are kept as seqs, since indexes shift. */
  #first = 0
  #last = 0
  /** The end of the timeline when it was last drawn. */
  #drawn = 0
  /** Grows with new entries at the end of the room. */
  following = true

  range(timeline: Timeline): [from: number, to: number] {
    const count = timeline.entries.length
    if (this.following) return [Math.max(0, count - WINDOW_MAX, Math.min(timeline.index(this.#first), count)), count]
    const to = Math.min(count, timeline.index(this.#last + 1))
    return [Math.max(0, to - WINDOW_MAX, Math.min(timeline.index(this.#first), to)), to]
  }

  /** Shows the end of what there is. */
  toEnd(timeline: Timeline): void {
    const count = timeline.entries.length
    this.#set(timeline, Math.max(0, count - TAIL), count)
    this.following = timeline.atEnd
  }

  /** Called before each drawing: in a rush, lets go of what has scrolled out of sight anyway. */
  beforeDraw(timeline: Timeline): void {
    const count = timeline.entries.length
    if (this.following && count - timeline.index(this.#drawn + 1) > RUSH && this.#drawn > 0)
      this.#set(timeline, Math.max(0, count - RUSH), count)
    this.#drawn = timeline.end
  }

  /** Shows the surroundings of a seq. */
  around(timeline: Timeline, seq: number): void {
    const at = timeline.index(seq)
    const to = Math.min(timeline.entries.length, at + Math.floor(WINDOW_MAX / 2))
    this.#set(timeline, Math.max(0, at - Math.floor(WINDOW_MAX / 4)), to)
    this.following = timeline.atEnd && to === timeline.entries.length
  }

  /** Shows older entries. Returns whether there were any. */
  up(timeline: Timeline): boolean {
    const [from, to] = this.range(timeline)
    const next = Math.max(0, from - STEP)
    const end = Math.min(to, next + WINDOW_MAX)
    if (next === from) return false
    this.#set(timeline, next, end)
    if (end < timeline.entries.length) this.following = false
    return true
  }

  /** Shows newer entries. Returns whether there were any. */
  down(timeline: Timeline): boolean {
    const [from, to] = this.range(timeline)
    const count = timeline.entries.length
    const next = Math.min(count, to + STEP)
    if (next === to) {
      this.following = timeline.atEnd && to === count
      return false
    }
    this.#set(timeline, Math.max(from, next - WINDOW_MAX), next)
    this.following = timeline.atEnd && next === count
    return true
  }

  /** Stays where it is, whatever arrives. */
  hold(timeline: Timeline): void {
    if (!this.following) return
    const [from, to] = this.range(timeline)
    this.#set(timeline, from, to)
    this.following = false
  }

  #set(timeline: Timeline, from: number, to: number): void {
    this.#first = timeline.entries[from]?.seq ?? 0
    this.#last = timeline.entries[to - 1]?.seq ?? 0
  }
}
