import * as texts from '../i18n/texts'
/** Keeps the log still while it changes around what is being read, and at its end while that is being watched. */

import { ref, type Ref } from 'vue'
import type { Chat } from '../app/chat'
import type { RoomLog } from '../app/roomlog'

/** Closer to the end than this counts as at the end. */
const END_PX = 48
/** More is shown, or loaded, when less than this is left above or below. */
const EDGE_PX = 900

export type Scroll = {
  /** The last seq seen, while the end is out of sight. */
  below: Ref<number | null>
  onScroll(): void
  toEnd(): void
  beforeUpdate(): void
  updated(): void
  attention(): void
}

export function useScroll(
  scroller: Readonly<Ref<HTMLElement | null>>,
  current: () => RoomLog,
  chat: Chat,
  /** Whether the end of the room is drawn. */
  showsEnd: () => boolean,
  flash: (seq: number) => void,
): Scroll {
  const below = ref<number | null>(null)
  let atEnd = true
  let anchors: { element: Element; top: number }[] = []
  let seen = 0
  let size = [0, 0]
  let top = 0
  let asking = false
  /** The version of what is known that is not drawn yet. */
  let undrawn = -1

  function rows(box: HTMLElement): HTMLCollection {
    return box.firstElementChild!.children
  }

  /** The rows in sight, from the top. */
  function visible(box: HTMLElement): HTMLElement[] {
    const all = rows(box)
    const top = box.scrollTop
    let low = 0
    let high = all.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const row = all[middle] as HTMLElement
      if (row.offsetTop + row.offsetHeight <= top) low = middle + 1
      else high = middle
    }
    const found: HTMLElement[] = []
    for (let at = low; at < all.length; at++) {
      const row = all[at] as HTMLElement
      if (row.offsetTop >= top + box.clientHeight) break
      found.push(row)
    }
    return found
  }

  function beforeUpdate(): void {
    const box = scroller.value
    anchors = box && !atEnd ? visible(box).map((element) => ({ element, top: element.offsetTop - box.scrollTop })) : []
  }

  function updated(): void {
    const box = scroller.value
    if (!box) return
    const log = current()
    const target = log.target
    if (target) {
      log.target = null
      anchors = []
      if ('end' in target) atEnd = true
      else aim(box, target.seq, target.at)
      if ('flash' in target && target.flash) flash(target.seq)
    }
    const [height, room] = size
    size = [box.scrollHeight, box.clientHeight]
    if (atEnd) {
      // Not if nothing has moved: somebody may just be scrolling away.
      if (target || height !== size[0] || room !== size[1]) box.scrollTop = box.scrollHeight
    } else {
      const anchor = anchors.find(({ element }) => element.isConnected)
      const row = anchor?.element as HTMLElement | undefined
      if (anchor && row) {
        const wanted = row.offsetTop - anchor.top
        if (Math.abs(wanted - box.scrollTop) >= 1) box.scrollTop = wanted
      }
    }
    anchors = []
    settle(box)
  }

  function aim(box: HTMLElement, seq: number, at: 'top' | 'middle'): void {
    atEnd = false
    const all = [...rows(box)] as HTMLElement[]
    const message = all.find((row) => Number(row.dataset.seq) >= seq)
    if (!message) return
    const line = message.previousElementSibling as HTMLElement | null
    const row = at === 'top' && line && line.dataset.seq === undefined ? line : message
    box.scrollTop = row.offsetTop - (at === 'top' ? 40 : (box.clientHeight - row.offsetHeight) / 2)
  }

  function onScroll(): void {
    const box = scroller.value
    if (box) settle(box)
  }

  /** After anything moved: where are we, what was seen, and is there enough above and below? */
  function settle(box: HTMLElement): void {
    const log = current()
    if (!log.loaded) return
    const left = box.scrollHeight - box.scrollTop - box.clientHeight
    const { timeline, window } = log
    // Scrolling up leaves the end at once; coming back, it needs not be hit exactly.
    const away = box.scrollTop < top - 1 && box.scrollHeight === size[0]
    top = box.scrollTop
    atEnd = left < (away ? 2 : END_PX) && showsEnd()
    if (atEnd) window.following = true
    else window.hold(timeline)
    look(box)
    below.value = atEnd ? null : Math.max(seen, lastSeen(box))
    if (log.busy !== null || log.failure !== null) return
    if (box.scrollTop < EDGE_PX) more(() => log.older())
    if (left < EDGE_PX && !showsEnd()) more(() => log.newer())
  }

  /** Asks for more to show, and not again before it is drawn. */
  function more(load: () => Promise<void>): void {
    if (asking || chat.version.value === undrawn) return
    asking = true
    void load().finally(() => {
      asking = false
      undrawn = chat.version.value
    })
  }

  function lastSeen(box: HTMLElement): number {
    const log = current()
    if (atEnd) return log.timeline.end
    const bottom = box.scrollTop + box.clientHeight
    const inside = visible(box).filter(
      (row) => row.dataset.seq !== undefined && row.offsetTop + Math.min(row.offsetHeight, 60) <= bottom,
    )
    return Number(inside.at(-1)?.dataset.seq ?? 0)
  }

  function look(box: HTMLElement): void {
    if (!chat.alerts.attentive()) return
    seen = Math.max(seen, lastSeen(box))
    chat.seen(current().room, seen)
  }

  /** The person looks here, or away. */
  function attention(): void {
    const box = scroller.value
    const log = current()
    if (!box || !log.loaded) return
    if (chat.alerts.attentive()) {
      if (log.unreadAfter === log.timeline.end) log.unreadAfter = null
      look(box)
    } else if (atEnd && seen >= log.timeline.end) {
      log.lookedAway(log.timeline.end)
    }
  }

  function toEnd(): void {
    current()
      .toEnd()
      .catch((error: unknown) => chat.tell(error, texts.loadFailed))
  }

  return { below, onScroll, toEnd, beforeUpdate, updated, attention }
}
