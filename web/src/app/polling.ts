/** Asks again and again for what the daemon does not push: who has read how far. */

const FAST_MS = 2_500
const SLOW_MS = 20_000

export class Polling {
  #timer: ReturnType<typeof setTimeout> | undefined

  /** `ask` says whether news is expected soon. */
  constructor(private readonly ask: () => Promise<boolean>) {}

  async now(): Promise<void> {
    clearTimeout(this.#timer)
    // Nobody looks at a hidden page.
    const soon = document.visibilityState === 'visible' && (await this.ask().catch(() => false))
    this.#after(soon ? FAST_MS : SLOW_MS)
  }

  soon(): void {
    this.#after(FAST_MS)
  }

  #after(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.now(), ms)
  }
}
