import { describe, expect, it } from 'vitest'
import { find } from '../src/model/find'
import { Members, readBy, TYPING_MS } from '../src/model/members'
import { hue, initial, person } from '../src/model/names'
import { Rooms } from '../src/model/rooms'
import { KEEP_MAX, Timeline } from '../src/model/timeline'
import { Window, WINDOW_MAX } from '../src/model/window'
import type { Event, Gap, Member, Message, Room } from '../src/wire/types'

const message = (seq: number, more: Partial<Message> = {}): Message => ({
  type: 'message',
  room: 'r',
  seq,
  time: '2026-11-21T00:30:00.000Z',
  client: 'bob',
  text: `m${seq}`,
  ...more,
})
const messages = (from: number, to: number): Message[] =>
  Array.from({ length: to - from + 1 }, (_, at) => message(from + at))
const gap = (from: number, to: number): Gap => ({ type: 'gap', room: 'r', from, to, reason: 'expired' })
const room = (name: string, more: Partial<Room> = {}): Room => ({
  type: 'room',
  room: name,
  members: 1,
  last: 1,
  unread: 0,
  active: '2026-11-21T00:30:00.000Z',
  topic: '',
  private: false,
  cursor: 1,
  ...more,
})
const member = (client: string, more: Partial<Member> = {}): Member => ({
  type: 'member',
  room: 'r',
  client,
  connections: 1,
  cursor: 0,
  nick: person(client),
  since: null,
  ...more,
})
const event = (client: string, what: string, more: Partial<Event> = {}): Event => ({
  type: 'event',
  room: 'r',
  time: '2026-11-21T00:31:00.000Z',
  client,
  event: what,
  ...more,
})

describe('names', () => {
  it('belong to a person and perhaps a device', () => {
    expect(person('alice/phone')).toBe('alice')
    expect(person('alice')).toBe('alice')
    expect(hue('alice/phone', 10)).toBe(hue('alice', 10))
    expect(initial('김민지')).toBe('김')
    expect(initial('🏳️‍🌈 x')).toBe('🏳️‍🌈')
    expect(initial('')).toBe('?')
  })
})

describe('rooms', () => {
  it('stand by activity, those of one’s own apart from others', () => {
    const rooms = new Rooms()
    rooms.replace([
      room('old'),
      room('new', { active: '2026-11-22T00:00:00.000Z' }),
      room('other', { cursor: null, unread: null }),
    ])
    expect(rooms.joined().map((one) => one.room)).toEqual(['new', 'old'])
    expect(rooms.others().map((one) => one.room)).toEqual(['other'])
    rooms.set(room('old', { active: '2026-11-23T00:00:00.000Z', unread: 4 }))
    expect(rooms.joined().map((one) => one.room)).toEqual(['old', 'new'])
    expect(rooms.unread()).toBe(4)
    rooms.remove('old')
    expect(rooms.isMember('old')).toBe(false)
  })

  it('show at once that everything is read, and never move a cursor back', () => {
    const rooms = new Rooms()
    rooms.set(room('r', { cursor: 2, last: 9, unread: 7 }))
    rooms.acked('r', 5)
    expect(rooms.get('r')).toMatchObject({ cursor: 5, unread: 7 })
    rooms.acked('r', 3)
    expect(rooms.get('r')!.cursor).toBe(5)
    rooms.acked('r', 9)
    expect(rooms.get('r')).toMatchObject({ cursor: 9, unread: 0 })
  })

  it('are found by a part of their name or by initial consonants', () => {
    const rooms = [room('general'), room('단톡'), room('dev-단톡'), room('Random')]
    const names = (wanted: string): string[] => find(rooms, wanted, 10).map((one) => one.room)
    expect(names('')).toHaveLength(4)
    expect(names('ran')).toEqual(['Random'])
    expect(names('ㄷㅌ')).toEqual(['단톡', 'dev-단톡'])
    expect(names('톡')).toEqual(['단톡', 'dev-단톡'])
    expect(names('zzz')).toEqual([])
    expect(find(rooms, '', 2)).toHaveLength(2)
  })
})

describe('the timeline', () => {
  it('takes what comes next, ignores what it has, and refuses to have a hole', () => {
    const timeline = new Timeline()
    timeline.reset(10, 12)
    expect(timeline.append(message(11))).toBe(true)
    expect(timeline.append(message(11))).toBe(true)
    expect(timeline.append(message(14))).toBe(false)
    expect(timeline.last).toBe(14)
    expect(timeline.atEnd).toBe(false)
    expect(timeline.append(message(12))).toBe(true)
    expect(timeline.append(message(13))).toBe(true)
    expect(timeline.append(message(14))).toBe(true)
    expect(timeline.entries.map((entry) => entry.seq)).toEqual([11, 12, 13, 14])
    expect(timeline.atEnd).toBe(true)
  })

  it('accounts for what is past retention', () => {
    const timeline = new Timeline()
    timeline.reset(0, 3)
    timeline.append(gap(1, 2))
    expect(timeline.append(message(3))).toBe(true)
    expect(timeline.entries.map((entry) => entry.kind)).toEqual(['gap', 'message'])
  })

  it('grows at its start until nothing older is stored', () => {
    const timeline = new Timeline()
    timeline.reset(20, 20)
    timeline.prepend(messages(11, 20), 5)
    expect(timeline.atStart).toBe(false)
    timeline.prepend(messages(5, 12), 5)
    expect(timeline.entries.map((entry) => entry.seq)).toEqual(Array.from({ length: 16 }, (_, at) => at + 5))
    expect(timeline.atStart).toBe(true)
    timeline.reset(20, 20)
    timeline.prepend([], 21)
    expect(timeline.atStart).toBe(true)
  })

  it('forgets the text of a message that is taken back, whichever comes first', () => {
    const timeline = new Timeline()
    timeline.reset(4, 6)
    timeline.append(message(5))
    timeline.append(message(6, { redacts: 5, text: '' }))
    expect(timeline.message(5)).toMatchObject({ seq: 5, redacted: 6 })
    expect(timeline.message(5)!.text).toBeUndefined()
    timeline.append(message(7, { redacts: 3, text: '' }))
    timeline.prepend([message(3), message(4)], 1)
    expect(timeline.message(3)!.text).toBe('m3')
  })

  it('keeps no more than a bounded part, and knows that the rest is to be loaded', () => {
    const timeline = new Timeline()
    timeline.reset(0, KEEP_MAX + 500)
    for (const one of messages(1, KEEP_MAX + 500)) timeline.append(one)
    timeline.trim('start')
    expect(timeline.entries).toHaveLength(KEEP_MAX)
    expect(timeline.start).toBe(501)
    expect(timeline.atStart).toBe(false)
    timeline.prepend(messages(1, 500), 1)
    timeline.trim('end')
    expect(timeline.end).toBe(KEEP_MAX)
    expect(timeline.atEnd).toBe(false)
    expect(timeline.append(message(KEEP_MAX + 900))).toBe(false)
  })

  it('keeps less of long messages, but always some', () => {
    const timeline = new Timeline()
    timeline.reset(0, 1_000)
    const text = 'x'.repeat(60_000)
    for (let seq = 1; seq <= 1_000; seq++) {
      timeline.append(message(seq, { text }))
      timeline.trim('start')
      expect(timeline.entries.length).toBeLessThan(300)
      expect(timeline.end).toBe(seq)
    }
    expect(timeline.entries.length).toBeGreaterThanOrEqual(100)
    expect(timeline.start).toBe(timeline.entries[0]!.seq)
  })

  it('finds messages by seq', () => {
    const timeline = new Timeline()
    timeline.reset(0, 9)
    timeline.append(gap(1, 4))
    for (const one of messages(5, 9)) timeline.append(one)
    expect(timeline.message(7)!.text).toBe('m7')
    expect(timeline.message(3)).toBeUndefined()
    expect(timeline.message(99)).toBeUndefined()
  })
})

describe('the window', () => {
  const full = (count: number): Timeline => {
    const timeline = new Timeline()
    timeline.reset(0, count)
    for (const one of messages(1, count)) timeline.append(one)
    return timeline
  }
  const seqs = (window: Window, timeline: Timeline): [number, number] => {
    const [from, to] = window.range(timeline)
    return [timeline.entries[from]!.seq, timeline.entries[to - 1]!.seq]
  }

  it('follows the end, bounded', () => {
    const timeline = full(500)
    const window = new Window()
    window.toEnd(timeline)
    expect(seqs(window, timeline)[1]).toBe(500)
    for (const one of messages(501, 900)) {
      timeline.append(one)
      const [from, to] = window.range(timeline)
      expect(to).toBe(timeline.entries.length)
      expect(to - from).toBeLessThanOrEqual(WINDOW_MAX)
    }
  })

  it('moves both ways over everything, bounded, without leaving anything out', () => {
    const timeline = full(1000)
    const window = new Window()
    window.toEnd(timeline)
    const visited = new Set<number>()
    const visit = (): void => {
      const [from, to] = window.range(timeline)
      expect(to - from).toBeLessThanOrEqual(WINDOW_MAX)
      for (let at = from; at < to; at++) visited.add(timeline.entries[at]!.seq)
    }
    do visit()
    while (window.up(timeline))
    expect(visited.size).toBe(1000)
    expect(window.following).toBe(false)
    expect(seqs(window, timeline)[0]).toBe(1)
    while (window.down(timeline)) visit()
    expect(seqs(window, timeline)[1]).toBe(1000)
    expect(window.following).toBe(true)
  })

  it('overlaps itself when it moves, so that what is read stays', () => {
    const timeline = full(1000)
    const window = new Window()
    window.toEnd(timeline)
    let before = seqs(window, timeline)
    while (window.up(timeline)) {
      const now = seqs(window, timeline)
      expect(now[1]).toBeGreaterThan(before[0] + WINDOW_MAX / 3)
      before = now
    }
  })

  it('stays where it is while messages arrive, when held', () => {
    const timeline = full(300)
    const window = new Window()
    window.toEnd(timeline)
    window.hold(timeline)
    const before = seqs(window, timeline)
    for (const one of messages(301, 400)) timeline.append(one)
    expect(seqs(window, timeline)).toEqual(before)
  })

  it('stays where it is while older messages are loaded', () => {
    const timeline = new Timeline()
    timeline.reset(500, 500)
    timeline.prepend(messages(401, 500), 1)
    const window = new Window()
    window.around(timeline, 420)
    const before = seqs(window, timeline)
    timeline.prepend(messages(301, 400), 1)
    expect(seqs(window, timeline)).toEqual(before)
  })

  it('draws only the last of a rush', () => {
    const timeline = full(300)
    const window = new Window()
    window.toEnd(timeline)
    window.beforeDraw(timeline)
    for (const one of messages(301, 5_300)) timeline.append(one)
    window.beforeDraw(timeline)
    const [from, to] = window.range(timeline)
    expect(seqs(window, timeline)[1]).toBe(5_300)
    expect(to - from).toBeLessThan(WINDOW_MAX)
  })

  it('is empty for an empty room', () => {
    const window = new Window()
    const timeline = new Timeline()
    window.toEnd(timeline)
    expect(window.range(timeline)).toEqual([0, 0])
    expect(window.up(timeline)).toBe(false)
    expect(window.down(timeline)).toBe(false)
  })
})

describe('members', () => {
  it('are people, once for all devices, with whoever is here first', () => {
    const members = new Members()
    members.replace([
      member('zoe'),
      member('alice', { connections: 0 }),
      member('alice/web', { since: '2026-11-21T00:00:00.000Z' }),
      member('bob', { connections: 0 }),
    ])
    expect(members.people().map((one) => [one.name, one.here, one.devices.length])).toEqual([
      ['alice', true, 2],
      ['zoe', true, 1],
      ['bob', false, 1],
    ])
    expect(members.people()[0]!.since).toBe('2026-11-21T00:00:00.000Z')
  })

  it('come, go and change their nick with events', () => {
    const members = new Members()
    members.replace([member('alice')])
    expect(members.event(event('bob/web', 'joined'), 0)).toEqual({ client: 'bob/web', nick: 'bob', what: 'joined' })
    members.event(event('bob', 'nick', { nick: '밥' }), 0)
    expect(members.nick('bob')).toBe('밥')
    members.event(event('bob/web', 'offline'), 0)
    expect(members.people().find((one) => one.name === 'bob')!.here).toBe(false)
    members.event(event('bob/web', 'online'), 0)
    expect(members.people().find((one) => one.name === 'bob')!.here).toBe(true)
    expect(members.event(event('bob/web', 'left'), 0)).toMatchObject({ nick: '밥', what: 'left' })
    expect(members.count).toBe(1)
  })

  it('are typing until they send, leave or stop', () => {
    const members = new Members()
    members.replace([member('bob', { nick: '밥' }), member('carol'), member('alice/web')])
    members.event(event('bob', 'typing'), 1000)
    members.event(event('carol', 'typing'), 2000)
    members.event(event('alice/phone', 'typing'), 2000)
    expect(members.typing('alice/web', 2001)).toEqual(['밥', 'carol'])
    members.spoke('bob')
    expect(members.typing('alice/web', 2001)).toEqual(['carol'])
    expect(members.typing('alice/web', 2000 + TYPING_MS)).toEqual([])
  })

  it('have read as far as their furthest device', () => {
    const members = new Members()
    members.replace([
      member('alice/web', { cursor: 9 }),
      member('bob', { cursor: 2 }),
      member('bob/phone', { cursor: 6 }),
      member('carol', { cursor: 4 }),
      member('cron', { cursor: null }),
    ])
    const cursors = members.cursors('alice/web')
    expect(cursors).toEqual([4, 6])
    expect([1, 4, 5, 6, 7].map((seq) => readBy(cursors, seq))).toEqual([2, 2, 1, 1, 0])
  })
})
