/** Tells tabs of the same browser apart, and those that are still open from those that are gone. */

export interface Tabs {
  readonly own: string
  /** Which of these tabs are gone, so that somebody else must send what they left. */
  gone(tabs: readonly string[]): Promise<Set<string>>
}

export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** A lock that is held for as long as the tab lives. Where there are none (HTTP beyond this machine), every other tab
 * counts as gone: a message may then be sent by two tabs, and its id keeps it one. */
export function openTabs(): Tabs {
  const own = newId()
  const locks = typeof navigator === 'undefined' ? undefined : navigator.locks
  if (!locks) return { own, gone: async (tabs) => new Set(tabs.filter((tab) => tab !== own)) }
  void locks.request(`dantok-tab-${own}`, () => new Promise(() => undefined)).catch(() => undefined)
  return {
    own,
    async gone(tabs) {
      const held = new Set(((await locks.query()).held ?? []).map((lock) => lock.name))
      return new Set(tabs.filter((tab) => tab !== own && !held.has(`dantok-tab-${tab}`)))
    },
  }
}
