/** Splits what arrives into lines and parses them, without ever blocking the page for long. */

import type { Incoming } from './types'

/** Parsing pauses after this long, so that the page can draw and take keys in between. */
const TURN_MS = 8
const CHECK_EVERY = 32

export interface Schedule {
  now(): number
  later(run: () => void): void
}

export class Lines {
  #waiting: string[] = []
  #at = 0
  #scheduled = false
  #running = false

  constructor(
    private readonly schedule: Schedule,
    private readonly handle: (incoming: Incoming) => void,
  ) {}

  push(text: string): void {
    for (const line of text.split('\n')) if (line !== '') this.#waiting.push(line)
    if (!this.#scheduled && !this.#running) this.#turn()
  }

  /** Handles everything at once: the connection is over. */
  flush(): void {
    this.#turn(Infinity)
  }

  clear(): void {
    this.#waiting = []
    this.#at = 0
  }

  #turn(budget = TURN_MS): void {
    if (this.#running) return
    this.#running = true
    const until = this.schedule.now() + budget
    for (let done = 1; this.#at < this.#waiting.length; done++) {
      const incoming = parse(this.#waiting[this.#at++]!)
      if (incoming) this.handle(incoming)
      if (done % CHECK_EVERY === 0 && this.schedule.now() >= until) break
    }
    this.#running = false
    if (this.#at < this.#waiting.length) {
      this.#scheduled = true
      this.schedule.later(() => {
        this.#scheduled = false
        this.#turn()
      })
    } else {
      this.clear()
    }
  }
}

function parse(line: string): Incoming | null {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'type' in value ? (value as Incoming) : null
  } catch {
    return null
  }
}
