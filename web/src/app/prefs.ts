/** What the browser remembers. It may refuse to; then nothing is remembered. */

function area(kind: 'localStorage' | 'sessionStorage'): globalThis.Storage | null {
  try {
    return window[kind]
  } catch {
    return null
  }
}

/** Several daemons may share an origin under different paths. */
const PREFIX = `dantok:${typeof location === 'undefined' ? '/' : location.pathname.replace(/[^/]*$/, '')}:`

export function remember(key: string, value: string | null, lasting = true): void {
  try {
    const store = area(lasting ? 'localStorage' : 'sessionStorage')
    if (value === null) store?.removeItem(PREFIX + key)
    else store?.setItem(PREFIX + key, value)
  } catch {
    // It is full or forbidden.
  }
}

export function recall(key: string, lasting = true): string | null {
  try {
    return area(lasting ? 'localStorage' : 'sessionStorage')?.getItem(PREFIX + key) ?? null
  } catch {
    return null
  }
}
