import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { backoffMs } from '../src/wire/backoff'
import { Lines } from '../src/wire/lines'
import { Lost, Refusal, type Incoming, type Item } from '../src/wire/types'
import { Wire, type SocketLike, type State } from '../src/wire/wire'

class FakeSocket implements SocketLike {
  readyState = 0
  sent: Record<string, unknown>[] = []
  closed = false
  onopen: ((event: never) => void) | null = null
  onmessage: ((event: MessageEvent) => void) | null = null
  onclose: ((event: CloseEvent) => void) | null = null

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>)
  }
  close(): void {
    this.closed = true
  }
  opened(): void {
    this.readyState = 1
    this.onopen?.(undefined as never)
  }
  /** The daemon writes these objects, each with the tag of the last request unless it has none. */
  answers(...objects: object[]): void {
    const tag = this.sent.at(-1)?.tag
    this.pushes(...objects.map((object) => ({ ...object, tag })))
  }
  pushes(...objects: object[]): void {
    this.onmessage?.({ data: objects.map((object) => JSON.stringify(object)).join('\n') } as MessageEvent)
  }
  dies(): void {
    this.readyState = 3
    this.onclose?.({} as CloseEvent)
  }
}

const HELLO = { type: 'ok', client: 'alice/web', epoch: 'e1', max_body: 65536 }

function setUp() {
  const sockets: FakeSocket[] = []
  const states: State[] = []
  const pushed: Item[] = []
  let epochs = 0
  const wire = new Wire(
    {
      open: () => {
        const socket = new FakeSocket()
        sockets.push(socket)
        return socket
      },
      now: () => Date.now(),
      random: () => 1,
      schedule: { now: () => 0, later: (run) => setTimeout(run, 0) },
    },
    { state: (state) => states.push(state), push: (item) => pushed.push(item), epochChanged: () => epochs++ },
  )
  const up = async (): Promise<FakeSocket> => {
    const socket = sockets.at(-1)!
    socket.opened()
    socket.answers(HELLO)
    await vi.advanceTimersByTimeAsync(0)
    return socket
  }
  return { wire, sockets, states, pushed, up, epochs: () => epochs }
}

describe('the connection', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('says HELLO first, with the token and the epoch, and is up when that is answered', async () => {
    const { wire, sockets, states, up } = setUp()
    wire.start({ client: 'alice/web', token: 'secret', epoch: 'e1' })
    await up()
    expect(sockets[0]!.sent).toEqual([{ do: 'hello', tag: 1, client: 'alice/web', token: 'secret', epoch: 'e1' }])
    expect(states.map((state) => state.is)).toEqual(['off', 'connecting', 'up'])
  })

  it('gives each request its own answer, and what belongs to none to the handler', async () => {
    const { wire, pushed, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    const who = wire.ask('who', { room: 'r' })
    const send = wire.ask('send', { room: 'r', text: '안녕\nline' })
    const [whoTag, sendTag] = socket.sent.slice(-2).map((request) => request.tag)
    socket.pushes(
      { type: 'member', client: 'bob', tag: whoTag },
      { type: 'gone', room: 'x' },
      { type: 'ok', count: 1, tag: whoTag },
      { type: 'ok', seq: 7, dup: false, tag: sendTag },
    )
    expect((await who).items).toHaveLength(1)
    expect((await send).end).toMatchObject({ seq: 7, dup: false })
    expect(pushed).toEqual([{ type: 'gone', room: 'x' }])
    expect(socket.sent.at(-1)).toMatchObject({ do: 'send', text: '안녕\nline' })
  })

  it('hands a refusal to who asked', async () => {
    const { wire, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    const asked = wire.ask('send', {})
    socket.answers({ type: 'error', code: 'limit', text: 'slowly', wait_ms: 213 })
    await expect(asked).rejects.toMatchObject({ code: 'limit', waitMs: 213 })
  })

  it('fails what is under way when the connection breaks, and connects again, later each time', async () => {
    const { wire, sockets, states, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    const asked = wire.ask('rooms')
    socket.dies()
    await expect(asked).rejects.toBeInstanceOf(Lost)
    await expect(wire.ask('rooms')).rejects.toBeInstanceOf(Lost)
    const waits: number[] = []
    for (let round = 0; round < 4; round++) {
      const state = states.at(-1)!
      if (state.is === 'waiting') waits.push(state.retryAt - Date.now())
      await vi.advanceTimersByTimeAsync(waits.at(-1)!)
      sockets.at(-1)!.dies()
    }
    expect(waits).toEqual([250, 500, 1000, 2000])
  })

  it('forgets how often it failed once it is up', async () => {
    const { wire, sockets, states, up } = setUp()
    wire.start({ client: 'alice/web' })
    for (let round = 0; round < 5; round++) {
      sockets.at(-1)!.dies()
      const state = states.at(-1)!
      await vi.advanceTimersByTimeAsync(state.is === 'waiting' ? state.retryAt - Date.now() : 0)
    }
    await up()
    sockets.at(-1)!.dies()
    const state = states.at(-1)!
    expect(state.is === 'waiting' && state.retryAt - Date.now()).toBe(250)
  })

  it('connects at once when the page becomes visible', async () => {
    const { wire, sockets } = setUp()
    wire.start({ client: 'alice/web' })
    for (let round = 0; round < 8; round++) {
      sockets.at(-1)!.dies()
      if (round < 7) await vi.advanceTimersByTimeAsync(20_000)
    }
    const before = sockets.length
    wire.wake()
    expect(sockets).toHaveLength(before + 1)
  })

  it('finds within two seconds of being visible that the connection died in its sleep', async () => {
    const { wire, sockets, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    wire.wake()
    expect(socket.sent.at(-1)).toMatchObject({ do: 'ping' })
    await vi.advanceTimersByTimeAsync(1_900)
    expect(socket.closed).toBe(true)
    expect(sockets).toHaveLength(2)
  })

  it('keeps a connection that answers', async () => {
    const { wire, sockets, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    let pings = 0
    for (let second = 0; second < 600; second++) {
      await vi.advanceTimersByTimeAsync(1_000)
      if (socket.sent.length === 1 + pings) continue
      pings++
      socket.answers({ type: 'ok' })
    }
    expect(sockets).toHaveLength(1)
    expect(pings).toBeGreaterThan(10)
  })

  it('gives up a silent connection even while requests go on being made', async () => {
    const { wire, sockets, up } = setUp()
    wire.start({ client: 'alice/web' })
    await up()
    for (let second = 0; second < 12; second++) {
      wire.ask('typing', { room: 'r' }).catch(() => undefined)
      await vi.advanceTimersByTimeAsync(1_000)
    }
    expect(sockets.length).toBeGreaterThan(1)
  })

  it('says HELLO again without the epoch when the rooms were restored from a backup', async () => {
    const { wire, sockets, epochs } = setUp()
    wire.start({ client: 'alice/web', epoch: 'old' })
    sockets[0]!.opened()
    sockets[0]!.answers({ type: 'error', code: 'epoch', text: 'restored' })
    await vi.advanceTimersByTimeAsync(0)
    expect(epochs()).toBe(1)
    expect(sockets[0]!.sent[1]).toEqual({ do: 'hello', tag: 2, client: 'alice/web' })
    sockets[0]!.answers({ ...HELLO, epoch: 'new' })
    await vi.advanceTimersByTimeAsync(0)
    expect(wire.state.is).toBe('up')
    sockets[0]!.dies()
    await vi.advanceTimersByTimeAsync(300)
    sockets[1]!.opened()
    expect(sockets[1]!.sent[0]).toMatchObject({ epoch: 'new' })
  })

  it('stops trying when the daemon does not let it in', async () => {
    const { wire, sockets, states } = setUp()
    wire.start({ client: 'alice/web' })
    sockets[0]!.opened()
    sockets[0]!.answers({ type: 'error', code: 'denied', text: 'no' })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(states.at(-1)).toEqual({ is: 'refused', code: 'denied', text: 'no' })
    expect(sockets).toHaveLength(1)
  })

  it('stops trying when its token ends while it is connected', async () => {
    const { wire, sockets, states, up } = setUp()
    wire.start({ client: 'alice/web', token: 't' })
    const socket = await up()
    socket.pushes({ type: 'error', code: 'denied', text: 'the token has expired' })
    socket.dies()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(states.at(-1)).toMatchObject({ is: 'refused', code: 'denied' })
    expect(sockets).toHaveLength(1)
  })

  it('tries again when there are too many connections, and says so', async () => {
    const { wire, sockets, states } = setUp()
    wire.start({ client: 'alice/web' })
    sockets[0]!.opened()
    sockets[0]!.pushes({ type: 'error', code: 'limit', text: 'too many connections' })
    sockets[0]!.dies()
    expect(states.at(-1)).toMatchObject({ is: 'waiting', reason: 'too many connections' })
  })

  it('hears nothing more from a connection that it gave up', async () => {
    const { wire, pushed, up } = setUp()
    wire.start({ client: 'alice/web' })
    const socket = await up()
    wire.stop()
    socket.pushes({ type: 'gone', room: 'x' })
    socket.dies()
    expect(pushed).toEqual([])
    expect(wire.state.is).toBe('off')
  })
})

describe('lines', () => {
  it('skips what is not an object with a type', () => {
    const heard: Incoming[] = []
    const lines = new Lines({ now: () => 0, later: () => undefined }, (incoming) => heard.push(incoming))
    lines.push('{"type":"ok"}\n\nnot json\n[1]\n"x"\nnull\n{"no":"type"}\n{"type":"gone","room":"a"}')
    expect(heard.map((incoming) => incoming.type)).toEqual(['ok', 'gone'])
  })

  it('pauses a long burst, and keeps its order with what arrives meanwhile', () => {
    let clock = 0
    const later: (() => void)[] = []
    const heard: number[] = []
    const lines = new Lines({ now: () => clock, later: (run) => later.push(run) }, (incoming) => {
      clock += 1
      heard.push((incoming as { seq: number }).seq)
    })
    const text = (from: number, to: number): string =>
      Array.from({ length: to - from }, (_, at) => JSON.stringify({ type: 'ok', seq: from + at })).join('\n')
    lines.push(text(0, 100))
    expect(heard.length).toBeLessThan(100)
    lines.push(text(100, 120))
    while (later.length > 0) later.shift()!()
    expect(heard).toEqual(Array.from({ length: 120 }, (_, at) => at))
  })
})

it('waits longer after each failure, up to a limit, and not in step with others', () => {
  expect([0, 1, 2, 3].map((failures) => backoffMs(failures, 1))).toEqual([250, 500, 1000, 2000])
  expect(backoffMs(100, 1)).toBe(15_000)
  expect(backoffMs(3, 0)).toBe(1000)
})

it('is an error that says what the daemon said', () => {
  expect(new Refusal('denied', 'no').message).toBe('no')
})
