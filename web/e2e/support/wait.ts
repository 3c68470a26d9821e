/** Waiting for conditions. Nothing here says how fast anything has to be. */

import { expect } from 'vitest'

/** Longer than anything takes on a busy machine; what hangs fails by it. */
export const DEADLINE_MS = 60_000

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + DEADLINE_MS
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** `expect` for what becomes true. */
export function eventually<T>(value: () => T | Promise<T>, message?: string): ReturnType<typeof expect.poll<T>> {
  return expect.poll(value, { timeout: DEADLINE_MS, interval: 40, ...(message === undefined ? {} : { message }) })
}
