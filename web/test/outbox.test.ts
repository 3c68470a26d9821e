import 'fake-indexeddb/auto'
import { IDBFactory } from 'fake-indexeddb'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { Outbox, type Sender } from '../src/outbox/outbox'
import { Memory, openStorage, type Storage, type Waiting } from '../src/outbox/storage'
import type { Tabs } from '../src/outbox/tabs'
import { Lost, Refusal } from '../src/wire/types'

beforeEach(() => {
  globalThis.indexedDB = new IDBFactory()
})

/** A daemon that keeps what it is sent, by id, as the real one does. */
class Daemon implements Sender {
  log: string[] = []
  ids = new Map<string, number>()
  up = true
  /** The next answers are lost, though the message is stored. */
  loseAnswers = 0
  refusals: Refusal[] = []
  numbers = new Map<string, number>()
  currentEpoch: string | null = 'e1'
  replies: (number | null)[] = []

  async send(message: Waiting): Promise<number> {
    await Promise.resolve()
    if (!this.up) throw new Lost()
    const refusal = this.refusals.shift()
    if (refusal) throw refusal
    let seq = this.ids.get(message.id)
    if (seq === undefined) {
      seq = this.log.push(message.text)
      this.replies.push(message.reply)
      this.ids.set(message.id, seq)
    }
    if (this.loseAnswers > 0) {
      this.loseAnswers--
      throw new Lost()
    }
    return seq
  }
  async number(room: string): Promise<number | null> {
    return this.numbers.get(room) ?? null
  }
  epoch(): string | null {
    return this.currentEpoch
  }
}

const tab = (own: string, gone: string[] = []): Tabs => ({
  own,
  gone: async (tabs) => new Set(tabs.filter((one) => gone.includes(one))),
})

async function setUp({
  storage,
  daemon = new Daemon(),
  tabs = tab('t1'),
}: { storage?: Storage; daemon?: Daemon; tabs?: Tabs } = {}) {
  const disk = storage ?? (await openStorage())
  const waits: number[] = []
  const outbox = new Outbox(
    disk,
    tabs,
    'alice/web',
    daemon,
    () => undefined,
    async (ms) => void waits.push(ms),
  )
  await outbox.adopt()
  return { outbox, daemon, storage: disk, waits }
}

const settled = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 5_000 })

describe('the outbox', () => {
  it('stores a message before sending it, and forgets it when it is on the daemon’s disk', async () => {
    const { outbox, daemon, storage } = await setUp()
    await outbox.add('r', 'one')
    expect((await storage.list('alice/web')).map((message) => message.text)).toEqual(['one'])
    expect(daemon.log).toEqual([])
    outbox.start()
    await settled(async () => expect(await storage.list('alice/web')).toEqual([]))
    expect(daemon.log).toEqual(['one'])
    expect(outbox.of('r').map((message) => message.seq)).toEqual([1])
    expect(outbox.count()).toBe(0)
    outbox.logged('r', 1)
    expect(outbox.of('r')).toEqual([])
  })

  it('sends each message once and in order, whatever answers are lost', async () => {
    const { outbox, daemon } = await setUp()
    for (let n = 1; n <= 5; n++) await outbox.add('r', `m${n}`)
    daemon.loseAnswers = 3
    for (let round = 0; round < 4; round++) {
      outbox.start()
      await new Promise((resolve) => setTimeout(resolve, 10))
      outbox.stop()
    }
    outbox.start()
    await settled(() => expect(outbox.count()).toBe(0))
    expect(daemon.log).toEqual(['m1', 'm2', 'm3', 'm4', 'm5'])
  })

  it('does not need to be told the order of what is typed at once', async () => {
    const { outbox, daemon } = await setUp()
    outbox.start()
    await Promise.all(Array.from({ length: 50 }, (_, n) => outbox.add('r', `m${n}`)))
    await settled(() => expect(daemon.log).toHaveLength(50))
    expect(daemon.log).toEqual(Array.from({ length: 50 }, (_, n) => `m${n}`))
  })

  it('outlives the page', async () => {
    const daemon = new Daemon()
    daemon.up = false
    const first = await setUp({ daemon })
    first.outbox.start()
    await first.outbox.add('r', 'typed offline')
    await first.outbox.add('r', 'and this')
    daemon.up = true
    const second = await setUp({ daemon, tabs: tab('t2', ['t1']) })
    second.outbox.start()
    await settled(() => expect(daemon.log).toEqual(['typed offline', 'and this']))
    await settled(async () => expect(await second.storage.list('alice/web')).toEqual([]))
  })

  it('leaves alone what another open tab is sending, and what another person typed', async () => {
    const first = await setUp()
    await first.outbox.add('r', 'of the other tab')
    const second = await setUp({ tabs: tab('t2') })
    second.outbox.start()
    const bob = new Outbox(second.storage, tab('t3', ['t1', 't2']), 'bob/web', second.daemon, () => undefined)
    await bob.adopt()
    bob.start()
    expect(second.outbox.of('r')).toEqual([])
    expect(bob.of('r')).toEqual([])
    expect(second.daemon.log).toEqual([])
  })

  it('waits as long as the daemon says, and tries again while it cannot write', async () => {
    const { outbox, daemon, waits } = await setUp()
    daemon.refusals = [
      new Refusal('limit', 'slowly', 213),
      new Refusal('storage', 'full'),
      new Refusal('storage', 'full'),
    ]
    await outbox.add('r', 'one')
    await outbox.add('r', 'two')
    outbox.start()
    await settled(() => expect(daemon.log).toEqual(['one', 'two']))
    expect(waits[0]).toBe(213)
    expect(waits[2]).toBeGreaterThan(waits[1]!)
  })

  it('shows what was refused, goes on with the rest, and lets the person decide', async () => {
    const { outbox, daemon, storage } = await setUp()
    daemon.refusals = [new Refusal('not-joined', 'JOIN r first')]
    await outbox.add('r', 'one')
    await outbox.add('r', 'two')
    outbox.start()
    await settled(() => expect(daemon.log).toEqual(['two']))
    const [refused] = outbox.of('r')
    expect(refused?.refused).toEqual({ code: 'not-joined', text: 'JOIN r first' })
    expect((await storage.list('alice/web')).map((message) => message.text)).toEqual(['one'])
    await outbox.retry(refused!.key)
    await settled(() => expect(daemon.log).toEqual(['two', 'one']))
    daemon.refusals = [new Refusal('denied', '')]
    await outbox.add('r', 'three')
    await settled(() => expect(outbox.of('r').some((message) => message.refused)).toBe(true))
    const three = outbox.of('r').find((message) => message.refused)!
    expect((await outbox.discard(three.key))?.text).toBe('three')
    expect(await storage.list('alice/web')).toEqual([])
  })

  it('does not let a refusal of one room hold up another', async () => {
    const { outbox, daemon } = await setUp()
    let open: () => void = () => undefined
    const send = daemon.send.bind(daemon)
    daemon.send = async (message) => {
      if (message.room === 'slow') await new Promise<void>((resolve) => (open = resolve))
      return send(message)
    }
    await outbox.add('slow', 'a')
    await outbox.add('fast', 'b')
    outbox.start()
    await settled(() => expect(daemon.log).toEqual(['b']))
    open()
    await settled(() => expect(daemon.log).toEqual(['b', 'a']))
  })

  it('sends nothing into a new room that has the name of the old one', async () => {
    const { outbox, daemon } = await setUp()
    await outbox.add('r', 'for the old room', { number: 3 })
    daemon.numbers.set('r', 4)
    outbox.start()
    await settled(() => expect(outbox.of('r')[0]?.refused?.code).toBe('another-room'))
    expect(daemon.log).toEqual([])
  })

  it('does not compare numbers, nor reply, across a restored backup', async () => {
    const { outbox, daemon } = await setUp()
    await outbox.add('r', 'typed before', { number: 3, reply: 17 })
    daemon.numbers.set('r', 4)
    daemon.currentEpoch = 'e2'
    outbox.start()
    await settled(() => expect(daemon.log).toEqual(['typed before']))
    expect(daemon.replies).toEqual([null])
  })

  it('sends a reply to a message that is gone as a plain one', async () => {
    const { outbox, daemon } = await setUp()
    daemon.refusals = [new Refusal('set-back', 'past the last seq')]
    await outbox.add('r', 'yes', { reply: 90 })
    outbox.start()
    await settled(() => expect(daemon.log).toEqual(['yes']))
    expect(daemon.replies).toEqual([null])
  })

  it('says so when a message cannot be stored, and does not pretend to send it', async () => {
    const storage = new Memory()
    storage.add = async () => {
      throw new Error('quota')
    }
    const { outbox, daemon } = await setUp({ storage })
    outbox.start()
    await expect(outbox.add('r', 'one')).rejects.toThrow('quota')
    expect(outbox.of('r')).toEqual([])
    expect(daemon.log).toEqual([])
  })

  it('sends no more once it is stopped', async () => {
    const { outbox, daemon } = await setUp()
    outbox.start()
    outbox.stop()
    await outbox.add('r', 'one')
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(daemon.log).toEqual([])
  })
})

describe('the storage', () => {
  it('keeps drafts and rooms by client', async () => {
    const storage = await openStorage()
    expect(storage.durable).toBe(true)
    await storage.setDraft('alice', 'r', '반쯤 쓴')
    await storage.setDraft('bob', 'r', 'half')
    expect(await storage.draft('alice', 'r')).toBe('반쯤 쓴')
    await storage.setDraft('alice', 'r', '')
    expect(await storage.draft('alice', 'r')).toBe('')
    expect(await storage.draft('bob', 'r')).toBe('half')
    expect(await storage.rooms('alice')).toEqual([])
  })

  it('is memory where the browser allows no database', async () => {
    globalThis.indexedDB = undefined as unknown as IDBFactory
    const storage = await openStorage()
    expect(storage.durable).toBe(false)
    const { outbox, daemon } = await setUp({ storage })
    outbox.start()
    await outbox.add('r', 'one')
    await settled(() => expect(daemon.log).toEqual(['one']))
  })
})
