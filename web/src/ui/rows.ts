/** What the log shows, line by line. */

import { dayLine, dayOf } from '../i18n'
import type { LogNote } from '../app/roomlog'
import { person } from '../model/names'
import type { Entry } from '../model/timeline'
import { readBy } from '../model/members'
import type { Message } from '../wire/types'

/** Messages of one person in quick succession share a heading. */
const TOGETHER_MS = 5 * 60_000

export type Row =
  | { key: string; is: 'day'; text: string; time: string }
  | { key: string; is: 'unread' }
  | { key: string; is: 'gap'; from: number; to: number }
  | { key: string; is: 'note'; note: LogNote }
  | { key: string; is: 'message'; seq: number; message: Message; head: boolean; own: boolean; reads: number }

export type Context = {
  own: string
  unreadAfter: number | null
  cursors: readonly number[]
  notes?: readonly LogNote[]
}

export function rowsOf(
  entries: readonly Entry[],
  before: Entry | undefined,
  { own, unreadAfter, cursors, notes = [] }: Context,
): Row[] {
  const rows: Row[] = []
  const due = notes.filter((note) => note.after >= (before?.seq ?? 0))
  const noted = (until: number): void => {
    while (due[0] && due[0].after < until) {
      const note = due.shift()!
      rows.push({ key: `n${note.id}`, is: 'note', note })
    }
  }
  let previous = before?.kind === 'message' ? before.message : null
  // The line stands before the first unread message of somebody else, once.
  let lineDue = unreadAfter !== null && (before === undefined || before.seq <= unreadAfter)
  for (const entry of entries) {
    noted(entry.seq)
    if (entry.kind === 'gap') {
      rows.push({ key: `g${entry.to}`, is: 'gap', from: entry.from, to: entry.to })
      previous = null
      continue
    }
    const { message, seq } = entry
    if (message.redacts !== undefined) continue
    const mine = person(message.client) === own
    let head = previous === null || !together(previous, message)
    if (previous === null || dayOf(previous.time) !== dayOf(message.time)) {
      rows.push({ key: `d${dayOf(message.time)}`, is: 'day', text: dayLine(message.time), time: message.time })
      head = true
    }
    if (lineDue && unreadAfter !== null && seq > unreadAfter && !mine) {
      rows.push({ key: 'unread', is: 'unread' })
      lineDue = false
      head = true
    }
    rows.push({ key: `m${seq}`, is: 'message', seq, message, head, own: mine, reads: mine ? readBy(cursors, seq) : 0 })
    previous = message
  }
  const last = entries.at(-1)
  noted(last ? last.seq + 1 : Infinity)
  return rows
}

function together(a: Message, b: Message): boolean {
  return a.client === b.client && b.reply === undefined && Date.parse(b.time) - Date.parse(a.time) < TOGETHER_MS
}
