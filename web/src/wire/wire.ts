/** The connection to the daemon: requests and their answers, pushes, and reconnecting. */

import { backoffMs } from './backoff'
import { Lines, type Schedule } from './lines'
import { Lost, Refusal } from './types'
import type { Answer, Failed, Fields, Incoming, Item, Ok } from './types'

export const SUBPROTOCOL = 'dantok.json.v1'

/** An idle connection is asked for a sign of life after this long … */
const IDLE_MS = 30_000
/** … and given up when nothing has arrived for this long after a request. */
const SILENT_MS = 10_000
/** The same after the page became visible or the network changed: nobody should watch a dead connection. */
const WAKE_MS = 1_500
const CONNECT_MS = 10_000

export interface SocketLike {
  readyState: number
  send(text: string): void
  close(): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: MessageEvent) => void) | null
  onclose: ((event: CloseEvent) => void) | null
}

export type Credentials = { client: string; token?: string; epoch?: string }

export type State =
  | { is: 'off' }
  | { is: 'connecting' }
  | { is: 'up'; hello: Ok }
  /** Not connected; the next attempt is at this time. */
  | { is: 'waiting'; retryAt: number; reason?: string }
  /** The daemon does not let this client in; only the person can change that. */
  | { is: 'refused'; code: string; text: string }

export interface Handlers {
  state(state: State): void
  push(item: Item): void
  /** The rooms were restored from a backup: everything remembered of them no longer holds. */
  epochChanged(): void
}

type Pending = { items: Item[]; resolve(answer: { items: Item[]; end: Answer }): void; reject(error: Error): void }

export interface Environment {
  open(): SocketLike
  now(): number
  random(): number
  schedule: Schedule
}

export class Wire {
  #socket: SocketLike | null = null
  readonly #lines: Lines
  #pending = new Map<number, Pending>()
  #lastTag = 0
  #failures = 0
  /** How many messages have arrived. */
  #heard = 0
  /** Until when something must arrive. */
  #probing: number | null = null
  #retry: ReturnType<typeof setTimeout> | undefined
  #watch: ReturnType<typeof setTimeout> | undefined
  #credentials: Credentials | null = null
  #farewell: Failed | null = null
  state: State = { is: 'off' }

  constructor(
    private readonly environment: Environment,
    private readonly handlers: Handlers,
  ) {
    this.#lines = new Lines(environment.schedule, (incoming) => this.#handle(incoming))
  }

  /** Connects, and stays connected until `stop`. */
  start(credentials: Credentials): void {
    this.stop()
    this.#credentials = credentials
    this.#failures = 0
    this.#connect()
  }

  stop(): void {
    this.#credentials = null
    this.#drop()
    this.#set({ is: 'off' })
  }

  /** Says that now is a good time: the page is visible again, or the network is back. */
  wake(): void {
    if (!this.#credentials) return
    if (this.state.is === 'waiting') {
      this.#failures = 0
      this.#connect()
    } else if (this.state.is === 'connecting') {
      this.#probe(WAKE_MS)
    } else if (this.state.is === 'up') {
      this.ask('ping').catch(() => undefined)
      this.#probe(WAKE_MS)
    }
  }

  /** Sends a request. It fails with `Refusal` if the daemon refuses it, and with `Lost` if the connection breaks first. */
  ask(verb: string, fields: Fields = {}): Promise<{ items: Item[]; end: Answer }> {
    if (this.state.is !== 'up') return Promise.reject(new Lost())
    return this.#transmit(verb, fields)
  }

  #transmit(verb: string, fields: Fields): Promise<{ items: Item[]; end: Answer }> {
    const socket = this.#socket
    if (!socket || socket.readyState !== 1) return Promise.reject(new Lost())
    const tag = ++this.#lastTag
    return new Promise((resolve, reject) => {
      this.#pending.set(tag, { items: [], resolve, reject })
      socket.send(JSON.stringify({ do: verb, tag, ...fields }))
      this.#probe(SILENT_MS)
    })
  }

  #connect(): void {
    this.#drop()
    this.#set({ is: 'connecting' })
    let socket: SocketLike
    try {
      socket = this.environment.open()
    } catch {
      this.#broken()
      return
    }
    this.#socket = socket
    socket.onopen = () => void this.#greet()
    socket.onmessage = (event: MessageEvent) => {
      this.#heard++
      if (typeof event.data === 'string') this.#lines.push(event.data)
    }
    socket.onclose = () => {
      this.#lines.flush()
      if (this.#socket === socket) this.#broken()
    }
    this.#probe(CONNECT_MS)
  }

  async #greet(): Promise<void> {
    const credentials = this.#credentials
    if (!credentials) return
    const { client, token, epoch } = credentials
    try {
      const { end } = await this.#transmit('hello', { client, token, epoch })
      const hello = end as Ok
      if (hello.epoch) credentials.epoch = hello.epoch
      this.#failures = 0
      this.#set({ is: 'up', hello })
      this.#rest()
    } catch (error) {
      if (!(error instanceof Refusal)) return
      if (error.code === 'epoch' && epoch !== undefined) {
        delete credentials.epoch
        this.handlers.epochChanged()
        return this.#greet()
      }
      this.#refused(error.code, error.message)
    }
  }

  /** Limits pass, and so does a daemon that stops or cannot write; anything else wants another name or token. */
  #refused(code: string, text: string): void {
    if (code === 'limit' || code === 'stopping' || code === 'storage') return this.#broken(text)
    this.#credentials = null
    this.#drop()
    this.#set({ is: 'refused', code, text })
  }

  #handle(incoming: Incoming): void {
    const tag = typeof incoming.tag === 'number' ? incoming.tag : undefined
    if (tag === undefined) {
      if (incoming.type === 'error') this.#farewell = incoming
      else if (incoming.type !== 'ok' && incoming.type !== 'end') this.handlers.push(incoming)
      return
    }
    const pending = this.#pending.get(tag)
    if (!pending) return
    switch (incoming.type) {
      case 'ok':
      case 'end':
        this.#pending.delete(tag)
        pending.resolve({ items: pending.items, end: incoming })
        break
      case 'error':
        this.#pending.delete(tag)
        pending.reject(new Refusal(incoming.code, incoming.text, incoming.wait_ms))
        break
      default:
        pending.items.push(incoming)
    }
  }

  /** Something must arrive within this time, or the connection is dead. An earlier deadline stays. */
  #probe(ms: number): void {
    const until = this.environment.now() + ms
    if (this.#probing !== null && this.#probing <= until) return
    const before = this.#heard
    this.#probing = until
    clearTimeout(this.#watch)
    this.#watch = setTimeout(() => {
      if (this.#heard !== before) return this.#rest()
      this.#broken()
      if (ms === WAKE_MS) this.wake()
    }, ms)
  }

  /** Nothing is owed; after a while the daemon is asked for a sign of life. */
  #rest(): void {
    this.#probing = null
    clearTimeout(this.#watch)
    this.#watch = setTimeout(() => {
      if (this.state.is === 'up') this.ask('ping').catch(() => undefined)
    }, IDLE_MS)
  }

  #broken(reason?: string): void {
    const farewell = this.#farewell
    this.#drop()
    if (!this.#credentials) return
    if (farewell && farewell.code === 'denied') return this.#refused(farewell.code, farewell.text)
    const wait = backoffMs(this.#failures++, this.environment.random())
    const why = reason ?? farewell?.text
    const retryAt = this.environment.now() + wait
    this.#retry = setTimeout(() => this.#connect(), wait)
    this.#set(why === undefined ? { is: 'waiting', retryAt } : { is: 'waiting', retryAt, reason: why })
  }

  #drop(): void {
    clearTimeout(this.#retry)
    clearTimeout(this.#watch)
    const socket = this.#socket
    this.#socket = null
    this.#farewell = null
    this.#probing = null
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close()
    }
    this.#lines.clear()
    const lost = [...this.#pending.values()]
    this.#pending.clear()
    for (const pending of lost) pending.reject(new Lost())
  }

  #set(state: State): void {
    this.state = state
    this.handlers.state(state)
  }
}
