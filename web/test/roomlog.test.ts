import { describe, expect, it } from 'vitest'
import { BACKLOG_MAX, RoomLog, type Ask } from '../src/app/roomlog'
import { Lost, type End, type Item, type Message } from '../src/wire/types'
import { rowsOf } from '../src/ui/rows'

/** A room as the daemon keeps it. */
class FakeRoom {
  messages: Message[] = []
  oldest = 1
  asked: string[] = []
  up = true

  constructor(count: number) {
    for (let seq = 1; seq <= count; seq++) this.say(`m${seq}`)
  }
  get last(): number {
    return this.messages.length
  }
  say(text: string, more: Partial<Message> = {}): Message {
    const seq = this.last + 1
    const time = new Date(Date.UTC(2026, 10, 21) + seq * 60_000).toISOString()
    const message: Message = { type: 'message', room: 'r', seq, time, client: 'bob', text, ...more }
    this.messages.push(message)
    return message
  }
  readonly ask: Ask = async (verb, fields) => {
    this.asked.push(verb)
    await Promise.resolve()
    if (!this.up) throw new Lost()
    const max = Number(fields.max ?? Infinity)
    const stored = this.messages.filter((message) => message.seq >= this.oldest)
    let items: Item[]
    if (verb === 'fetch') {
      const after = Number(fields.after)
      const found = stored.filter((message) => message.seq > after).slice(0, max)
      items =
        after + 1 < this.oldest
          ? [{ type: 'gap', room: 'r', from: after + 1, to: this.oldest - 1, reason: 'expired' }, ...found]
          : found
    } else if (fields.since !== undefined) {
      items = stored.filter((message) => message.time >= String(fields.since)).slice(0, max)
    } else {
      items = stored.filter((message) => message.seq < Number(fields.before ?? Infinity)).slice(-max)
    }
    const handed = items.at(-1)
    const end: End = {
      type: 'end',
      room: 'r',
      handed: handed?.type === 'message' ? handed.seq : 0,
      oldest: this.oldest,
      last: this.last,
    }
    return { items, end }
  }
}

const open = async (room: FakeRoom, cursor: number | null): Promise<RoomLog> => {
  const log = new RoomLog('r', room.ask, () => undefined)
  await log.open(cursor, room.last)
  return log
}
const shown = (log: RoomLog): number[] => {
  const [from, to] = log.window.range(log.timeline)
  return log.timeline.entries.slice(from, to).map((entry) => entry.seq)
}
const contiguous = (log: RoomLog): void => {
  const seqs = log.timeline.entries.map((entry) => entry.seq)
  expect(seqs.filter((seq, at) => at > 0 && seq !== seqs[at - 1]! + 1)).toEqual([])
}

describe('a room’s log', () => {
  it('opens at its end when everything is read', async () => {
    const log = await open(new FakeRoom(1000), 1000)
    expect(shown(log).at(-1)).toBe(1000)
    expect(log.window.following).toBe(true)
    expect(log.unreadAfter).toBeNull()
    expect(log.target).toEqual({ end: true })
  })

  it('opens where the unread messages begin, however many they are', async () => {
    for (const cursor of [990, 700, 100, 0]) {
      const log = await open(new FakeRoom(1000), cursor)
      expect(log.unreadAfter).toBe(cursor)
      expect(shown(log)).toContain(cursor + 1)
      expect(log.target).toMatchObject({ seq: cursor + 1, at: 'top' })
      contiguous(log)
    }
  })

  it('goes through all of a long room, both ways, without a hole and bounded', async () => {
    const room = new FakeRoom(5_000)
    const log = await open(room, 5_000)
    while (shown(log)[0] !== 1) {
      await log.older()
      contiguous(log)
    }
    expect(log.timeline.atStart).toBe(true)
    expect(log.timeline.entries.length).toBeLessThan(2_400)
    const before = room.asked.length
    await log.older()
    expect(room.asked).toHaveLength(before)
    while (shown(log).at(-1) !== 5_000) {
      await log.newer()
      contiguous(log)
    }
    expect(log.window.following).toBe(true)
  })

  it('shows what is pushed, each message once', async () => {
    const room = new FakeRoom(10)
    const log = await open(room, 10)
    const message = room.say('new')
    log.push(message)
    log.push(message)
    expect(shown(log)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  })

  it('fetches what it missed', async () => {
    const room = new FakeRoom(10)
    const log = await open(room, 10)
    for (let n = 0; n < 250; n++) room.say('missed')
    await log.reached(room.last)
    expect(log.timeline.end).toBe(260)
    room.say('one')
    log.push(room.say('two'))
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(log.timeline.end).toBe(262)
    contiguous(log)
  })

  it('leaves a flood for scrolling', async () => {
    const room = new FakeRoom(10)
    const log = await open(room, 10)
    for (let n = 0; n < 5_000; n++) room.say('flood')
    await log.reached(room.last)
    expect(log.timeline.end).toBeLessThanOrEqual(10 + BACKLOG_MAX + 100)
    expect(log.window.following).toBe(false)
    await log.toEnd()
    expect(shown(log).at(-1)).toBe(5_010)
    expect(log.window.following).toBe(true)
  })

  it('waits for what is pushed instead of fetching it as well', async () => {
    const room = new FakeRoom(10)
    const log = await open(room, 10)
    log.followed = true
    const before = room.asked.length
    await log.reached(500)
    expect(room.asked).toHaveLength(before)
    expect(log.timeline.atEnd).toBe(true)
  })

  it('does not move while somebody reads further up', async () => {
    const room = new FakeRoom(1000)
    const log = await open(room, 1000)
    for (let n = 0; n < 5; n++) await log.older()
    const before = shown(log)
    for (let n = 0; n < 100; n++) log.push(room.say('new'))
    expect(shown(log)).toEqual(before)
  })

  it('stays bounded while somebody reads further up, and goes on when they come down', async () => {
    const room = new FakeRoom(1000)
    const log = await open(room, 1000)
    for (let n = 0; n < 5; n++) await log.older()
    for (let n = 0; n < 5_000; n++) log.push(room.say('new'))
    expect(log.timeline.entries.length).toBeLessThan(2_400)
    expect(log.timeline.last).toBe(6_000)
    while (shown(log).at(-1) !== 6_000) {
      await log.newer()
      contiguous(log)
    }
  })

  it('says what is past retention', async () => {
    const room = new FakeRoom(100)
    room.oldest = 61
    const log = await open(room, 0)
    expect(log.timeline.entries[0]).toMatchObject({ kind: 'gap', from: 1, to: 60 })
    const late = await open(room, 100)
    expect(shown(late)[0]).toBe(61)
    expect(late.timeline.atStart).toBe(true)
  })

  it('jumps to a date, to a message, and back', async () => {
    const room = new FakeRoom(3_000)
    const log = await open(room, 3_000)
    expect(await log.since(room.messages[499]!.time)).toBe(true)
    expect(shown(log)).toContain(500)
    expect(log.target).toMatchObject({ seq: 500, at: 'top' })
    await log.around(1_500, true)
    expect(shown(log)).toContain(1_500)
    expect(log.target).toMatchObject({ seq: 1_500, flash: true })
    expect(await log.since('2027-01-01T00:00:00.000Z')).toBe(false)
    await log.toEnd()
    expect(shown(log).at(-1)).toBe(3_000)
  })

  it('finds the message that a reply is to', async () => {
    const room = new FakeRoom(1_000)
    let changes = 0
    const log = new RoomLog('r', room.ask, () => changes++)
    await log.open(1_000, 1_000)
    expect(log.quoted(990)?.text).toBe('m990')
    expect(log.quoted(3)).toBeNull()
    const before = changes
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(log.quoted(3)?.text).toBe('m3')
    expect(changes).toBeGreaterThan(before)
    const asked = room.asked.length
    log.quoted(3)
    expect(room.asked).toHaveLength(asked)
  })

  it('says that it could not load, and loads when it can', async () => {
    const room = new FakeRoom(1_000)
    const log = await open(room, 1_000)
    room.up = false
    for (let n = 0; n < 10 && log.failure === null; n++) await log.older()
    expect(log.failure).toBeInstanceOf(Lost)
    expect(log.busy).toBeNull()
    room.up = true
    await log.older()
    expect(log.failure).toBeNull()
  })

  it('shows the end of what is loaded when there is no connection', async () => {
    const room = new FakeRoom(5_000)
    const log = await open(room, 1_000)
    room.up = false
    await expect(log.toEnd()).rejects.toBeInstanceOf(Lost)
    expect(shown(log).at(-1)).toBe(log.timeline.end)
    expect(log.target).toEqual({ end: true })
    expect(log.window.following).toBe(false)
  })

  it('does not mix two loads', async () => {
    const room = new FakeRoom(5_000)
    const log = await open(room, 5_000)
    const older = log
      .older()
      .then(() => log.older())
      .then(() => log.older())
    const jump = log.around(100, false)
    await Promise.all([older, jump])
    contiguous(log)
    expect(shown(log)).toContain(100)
  })
})

describe('what the log shows', () => {
  const rows = (room: FakeRoom, unreadAfter: number | null, own = 'alice'): string[] =>
    rowsOf(
      room.messages.map((message) => ({ kind: 'message' as const, seq: message.seq, message })),
      undefined,
      { own, unreadAfter, cursors: [1, 3] },
    ).map((row) =>
      row.is === 'message' ? `${row.head ? '*' : ''}${row.seq}${row.own ? `:${row.reads}` : ''}` : row.is,
    )

  it('has a line for each day, a heading for each person, and a line where the unread begins', () => {
    const room = new FakeRoom(2)
    room.say('mine', { client: 'alice' })
    room.say('next day', { time: '2026-11-22T23:00:00.000Z' })
    room.say('same', { time: '2026-11-22T23:04:00.000Z' })
    room.say('later', { time: '2026-11-22T23:10:00.000Z' })
    expect(rows(room, 3)).toEqual(['day', '*1', '2', '*3:1', 'day', 'unread', '*4', '5', '*6'])
  })

  it('draws the line before the first message of somebody else', () => {
    const room = new FakeRoom(1)
    room.say('mine', { client: 'alice' })
    room.say('theirs')
    expect(rows(room, 1)).toEqual(['day', '*1', '*2:1', 'unread', '*3'])
    expect(rows(room, 3)).not.toContain('unread')
    expect(rows(room, null)).not.toContain('unread')
  })

  it('notes who came and went where it happened', () => {
    const room = new FakeRoom(3)
    const entries = room.messages.map((message) => ({ kind: 'message' as const, seq: message.seq, message }))
    const note = (id: number, after: number) => ({ id, after, client: 'bob', nick: 'bob', what: 'joined' as const })
    const context = {
      own: 'alice',
      unreadAfter: null,
      cursors: [],
      notes: [note(1, 1), note(2, 3), note(3, 3), note(4, 7)],
    }
    const keys = (from: number): string[] =>
      rowsOf(entries.slice(from), entries[from - 1], context).map((row) => row.key)
    expect(keys(0).slice(1)).toEqual(['m1', 'n1', 'm2', 'm3', 'n2', 'n3'])
    expect(keys(2)).not.toContain('n1')
  })

  it('does not show what records a redaction, and gives a reply its heading', () => {
    const room = new FakeRoom(2)
    room.say('', { redacts: 1 })
    room.say('yes', { reply: 2 })
    expect(rows(room, null)).toEqual(['day', '*1', '2', '*4'])
  })
})
