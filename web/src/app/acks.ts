/** Tells the daemon what was read, not more often than needed. */

const DELAY_MS = 250

export class Acks {
  #seen = new Map<string, number>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(private readonly acknowledge: (room: string, seq: number) => void) {}

  seen(room: string, seq: number): void {
    if (seq <= (this.#seen.get(room) ?? 0)) return
    this.#seen.set(room, seq)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      const seen = this.#seen
      this.#seen = new Map()
      for (const [name, last] of seen) this.acknowledge(name, last)
    }, DELAY_MS)
  }
}
