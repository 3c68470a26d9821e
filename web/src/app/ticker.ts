/** Collects changes and tells of them once a frame: ten thousand messages in a burst are drawn a few times, not each. */

import { nextTick } from 'vue'

export class Ticker {
  #due = false
  /** When the last drawing was done, and how long it took. */
  #doneAt = 0
  #tookMs = 0

  constructor(private readonly tick: () => void) {}

  bump(): void {
    if (this.#due) return
    this.#due = true
    // A hidden page gets no frames. A slow one spends half of its time on something else than drawing.
    const rest = this.#doneAt + this.#tookMs - performance.now()
    if (document.visibilityState !== 'visible') setTimeout(this.#run, 100)
    else if (rest > 8) setTimeout(() => requestAnimationFrame(this.#run), rest)
    else requestAnimationFrame(this.#run)
    setTimeout(this.#run, 500)
  }

  readonly #run = (): void => {
    if (!this.#due) return
    this.#due = false
    const began = performance.now()
    this.tick()
    void nextTick(() => {
      this.#doneAt = performance.now()
      this.#tookMs = this.#doneAt - began
    })
  }
}
