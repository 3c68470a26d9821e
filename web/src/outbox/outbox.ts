/**
 * What was typed and is not known to be on the daemon's disk. A message is stored here before it is sent, leaves only
 * when the daemon has answered, and keeps its id, so that sending it again never doubles it. In each room, one is under
 * way at a time: that keeps the order whatever goes wrong.
 */

import { Lost, Refusal } from '../wire/types'
import type { Storage, Waiting } from './storage'
import { newId, type Tabs } from './tabs'

const RETRY_MS = 1_000
const RETRY_MAX_MS = 30_000

export interface Sender {
  /** Sends the message, and returns its seq. */
  send(message: Waiting): Promise<number>
  /** The room's number, from a room that this client is a member of. */
  number(room: string): Promise<number | null>
  epoch(): string | null
}

export type Shown = Waiting & {
  /** Its seq, once it is on disk. It is shown here until the room's log shows it. */
  seq?: number
  /** The last seq of the room's log when it was typed: what it becomes comes after that. */
  after?: number
}

export class Outbox {
  #messages: Shown[] = []
  #busy = new Set<string>()
  #running = false
  #generation = 0

  constructor(
    private readonly storage: Storage,
    private readonly tabs: Tabs,
    private readonly client: string,
    private readonly sender: Sender,
    private readonly changed: () => void,
    private readonly wait: (ms: number) => Promise<void> = (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  ) {}

  get durable(): boolean {
    return this.storage.durable
  }

  /** Takes over what an earlier page or a closed tab left. */
  async adopt(): Promise<void> {
    const known = new Set(this.#messages.map((message) => message.key))
    const others = (await this.storage.list(this.client)).filter((message) => !known.has(message.key))
    const gone = await this.tabs.gone([...new Set(others.map((message) => message.tab))])
    for (const message of others) {
      if (!gone.has(message.tab) || this.#messages.some((one) => one.key === message.key)) continue
      const own = { ...message, tab: this.tabs.own }
      await this.storage.put(own)
      this.#messages.push(own)
    }
    this.#messages.sort((a, b) => a.key - b.key)
    this.changed()
    this.#pump()
  }

  /** Stores a message and then sends it. Resolves once it is stored. */
  async add(
    room: string,
    text: string,
    { reply = null, number = null, after }: { reply?: number | null; number?: number | null; after?: number } = {},
  ): Promise<void> {
    const fields = {
      id: newId(),
      client: this.client,
      room,
      number,
      epoch: this.sender.epoch(),
      text,
      reply,
      time: Date.now(),
      tab: this.tabs.own,
    }
    // Shown at once, under a key after all others until the storage gives it its own.
    const shown: Shown = { ...fields, key: Infinity, ...(after === undefined ? {} : { after }) }
    this.#messages.push(shown)
    this.changed()
    try {
      shown.key = await this.storage.add(fields)
    } catch (error) {
      this.#messages = this.#messages.filter((message) => message !== shown)
      this.changed()
      throw error
    }
    this.#pump()
  }

  /** What waits in a room, and what is on disk there but not in its log yet. */
  of(room: string): Shown[] {
    return this.#messages.filter((message) => message.room === room)
  }

  /** How many messages are not on disk yet. */
  count(): number {
    return this.#messages.filter((message) => message.seq === undefined).length
  }

  /** The room's log shows everything up to this seq. */
  logged(room: string, seq: number): void {
    const before = this.#messages.length
    this.#messages = this.#messages.filter((one) => one.room !== room || one.seq === undefined || one.seq > seq)
    if (this.#messages.length !== before) this.changed()
  }

  /** There is a connection. */
  start(): void {
    this.#running = true
    this.#generation++
    this.#busy.clear()
    this.#pump()
  }

  stop(): void {
    this.#running = false
    this.#generation++
  }

  async retry(key: number): Promise<void> {
    const message = this.#messages.find((one) => one.key === key)
    if (!message?.refused) return
    delete message.refused
    message.number = null
    // The refusal may have been for what the id stood for.
    message.id = newId()
    await this.storage.put(stored(message))
    this.changed()
    this.#pump()
  }

  async discard(key: number): Promise<Waiting | undefined> {
    const message = this.#messages.find((one) => one.key === key)
    if (!message?.refused) return undefined
    this.#messages = this.#messages.filter((one) => one !== message)
    await this.storage.remove(key)
    this.changed()
    return message
  }

  #pump(): void {
    if (!this.#running) return
    for (const message of this.#messages) {
      if (message.seq !== undefined || message.refused || this.#busy.has(message.room)) continue
      // One that is still being stored holds up those after it, and is looked at again when it is.
      this.#busy.add(message.room)
      if (message.key === Infinity) {
        this.#busy.delete(message.room)
        break
      }
      void this.#deliver(message)
    }
  }

  async #deliver(message: Shown): Promise<void> {
    const generation = this.#generation
    for (let failures = 0; generation === this.#generation; failures++) {
      try {
        await this.#prepare(message)
        message.seq = await this.sender.send(message)
        await this.storage.remove(message.key).catch(() => undefined)
        break
      } catch (error) {
        if (error instanceof Lost || generation !== this.#generation) return
        const again = error instanceof Refusal ? await this.#refusal(message, error, failures) : RETRY_MS
        if (again === null) break
        await this.wait(again)
      }
    }
    if (generation !== this.#generation) return
    this.#busy.delete(message.room)
    this.changed()
    this.#pump()
  }

  /** A message belongs to the room that it was typed in, not to a later one of the same name. */
  async #prepare(message: Shown): Promise<void> {
    const sameEpoch = message.epoch === null || message.epoch === this.sender.epoch()
    if (message.reply !== null && !sameEpoch) message.reply = null
    if (message.number === null || !sameEpoch) return
    const number = await this.sender.number(message.room)
    if (number !== null && number !== message.number) throw new Refusal('another-room', '')
  }

  /** How long to wait before trying again, or null if the message is settled. */
  async #refusal(message: Shown, error: Refusal, failures: number): Promise<number | null> {
    if (error.code === 'set-back' && message.reply !== null) {
      message.reply = null
      return 0
    }
    if (error.waitMs !== undefined) return Math.max(error.waitMs, 50)
    if (error.code === 'storage' || error.code === 'stopping') return Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** failures)
    message.refused = { code: error.code, text: error.message }
    await this.storage.put(stored(message)).catch(() => undefined)
    return null
  }
}

function stored(message: Shown): Waiting {
  const { seq: _seq, after: _after, ...rest } = message
  return rest
}
