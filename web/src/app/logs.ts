/** The logs of the rooms that were open lately, and which room is which: a name may come to belong to another room. */

import { RoomLog, type Ask } from './roomlog'

const LOGS_MAX = 8

export class Logs {
  #logs = new Map<string, RoomLog>()
  /** The numbers of rooms, as far as this connection has told them. */
  #numbers = new Map<string, number>()

  constructor(
    private readonly ask: Ask,
    private readonly changed: () => void,
  ) {}

  get(room: string): RoomLog | undefined {
    return this.#logs.get(room)
  }

  /** The log of a room that is being opened. The one that was open longest ago is forgotten. */
  open(room: string): RoomLog {
    const log = this.#logs.get(room) ?? new RoomLog(room, this.ask, this.changed)
    this.#logs.delete(room)
    this.#logs.set(room, log)
    const [oldest] = this.#logs.keys()
    if (this.#logs.size > LOGS_MAX && oldest !== undefined) this.#logs.delete(oldest)
    return log
  }

  number(room: string): number | undefined {
    return this.#numbers.get(room)
  }

  /** Notes a room's number. If it is another room than before, nothing remembered of the old one holds: returns false. */
  numbered(room: string, number: number): boolean {
    this.#numbers.set(room, number)
    const log = this.#logs.get(room)
    if (!log) return true
    if (log.number !== null && log.number !== number) {
      this.#logs.delete(room)
      return false
    }
    log.number = number
    return true
  }

  forget(room: string): void {
    this.#logs.delete(room)
    this.#numbers.delete(room)
  }

  /** The connection is gone: rooms may be deleted and made again unseen. */
  forgetNumbers(): void {
    this.#numbers.clear()
  }

  clear(): void {
    this.#logs.clear()
    this.#numbers.clear()
  }
}
