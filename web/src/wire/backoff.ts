const FIRST_MS = 250
const MAX_MS = 15_000

/** How long to wait before the next attempt: doubled after each failure, and spread so that clients do not come in step. */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures, 16))
  return Math.round(full * (0.5 + random / 2))
}
