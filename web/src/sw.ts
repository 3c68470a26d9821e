/** The service worker: keeps the page itself, so that it opens without a network and can be installed. */

const worker = self as unknown as ServiceWorkerGlobalScope
// Both are filled in when the page is built.
const files = '__FILES__' as unknown as string[]
const cacheName = `dantok-${'__VERSION__'}`
const NETWORK_MS = 1_500

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(cacheName)
      .then((cache) => cache.addAll(files.map((file) => new Request(file, { cache: 'reload' }))))
      .then(() => worker.skipWaiting()),
  )
})

worker.addEventListener('activate', (event) => {
  const old = (name: string): boolean => name.startsWith('dantok-') && name !== cacheName
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name))))
      .then(() => worker.clients.claim()),
  )
})

worker.addEventListener('fetch', (event) => {
  const { request } = event
  if (request.method !== 'GET') return
  const url = new URL(request.url)
  const scope = new URL(worker.registration.scope)
  if (url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return
  const path = `./${url.pathname.slice(scope.pathname.length)}`
  // The HTTP API and everything else that is not the page goes to the daemon as it is.
  if (path === './') event.respondWith(page(request))
  else if (files.includes(path)) event.respondWith(kept(request, path))
})

/** The page: from the network if that answers soon, since the daemon may have been updated. */
async function page(request: Request): Promise<Response> {
  const fallback = (): Promise<Response | undefined> => caches.match('./', { cacheName })
  try {
    const fresh = await fetch(request, { signal: AbortSignal.timeout(NETWORK_MS) })
    return fresh.status < 500 ? fresh : ((await fallback()) ?? fresh)
  } catch {
    return (await fallback()) ?? Response.error()
  }
}

async function kept(request: Request, path: string): Promise<Response> {
  return (await caches.match(path, { cacheName })) ?? fetch(request)
}

worker.addEventListener('notificationclick', (event) => {
  event.notification.close()
  const room: unknown = (event.notification.data as { room?: unknown } | null)?.room
  event.waitUntil(
    worker.clients.matchAll({ type: 'window', includeUncontrolled: true }).then(async (windows) => {
      const window = windows[0]
      if (!window) return worker.clients.openWindow(`./#/${encodeURIComponent(String(room))}`)
      window.postMessage({ open: room })
      return window.focus()
    }),
  )
})

export {}
