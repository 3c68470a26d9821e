import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Acks } from '../src/app/acks'
import { Logs } from '../src/app/logs'

const logs = (): Logs =>
  new Logs(
    () => Promise.reject(new Error('not asked')),
    () => undefined,
  )

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

it('forgets the log that was open longest ago', () => {
  const some = logs()
  const first = some.open('r0')
  for (let n = 1; n < 8; n++) some.open(`r${n}`)
  expect(some.open('r0')).toBe(first)
  some.open('r8')
  expect(some.get('r0')).toBe(first)
  expect(some.get('r1')).toBeUndefined()
})

it('forgets what belonged to an earlier room of the same name', () => {
  const some = logs()
  const log = some.open('r')
  expect(some.numbered('r', 3)).toBe(true)
  some.forgetNumbers()
  expect(some.number('r')).toBeUndefined()
  expect(some.numbered('r', 3)).toBe(true)
  expect(some.get('r')).toBe(log)
  expect(some.numbered('r', 4)).toBe(false)
  expect(some.get('r')).toBeUndefined()
  expect(some.number('r')).toBe(4)
})

it('acknowledges what was seen, the furthest of it, and not with every message', () => {
  const told: [string, number][] = []
  const acks = new Acks((room, seq) => told.push([room, seq]))
  for (let seq = 1; seq <= 100; seq++) acks.seen('a', seq)
  acks.seen('a', 50)
  acks.seen('b', 7)
  expect(told).toEqual([])
  vi.runAllTimers()
  expect(told).toEqual([
    ['a', 100],
    ['b', 7],
  ])
  acks.seen('a', 101)
  vi.runAllTimers()
  expect(told.at(-1)).toEqual(['a', 101])
})
