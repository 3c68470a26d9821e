/** Collects changes and tells of them once a frame: ten thousand messages in a burst are drawn a few times, not each. */

export class Ticker {
  #due = false

  constructor(private readonly tick: () => void) {}

  bump(): void {
    if (this.#due) return
    this.#due = true
    const run = (): void => {
      if (!this.#due) return
      this.#due = false
      this.tick()
    }
    // A hidden page gets no frames.
    if (typeof document !== 'undefined' && document.visibilityState === 'visible') requestAnimationFrame(run)
    setTimeout(run, 250)
  }
}
