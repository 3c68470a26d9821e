import { createApp } from 'vue'
import './style.css'
import { Chat } from './app/chat'
import { fromHash, recalled } from './app/login'
import { t } from './i18n'
import { language } from './i18n/language'
import { openStorage } from './outbox/storage'
import { openTabs } from './outbox/tabs'
import App from './ui/App.vue'
import { CHAT } from './ui/use'

document.documentElement.lang = language

// A token in the address is taken out of it before anything else, so that it is in no history and no screenshot.
const link = fromHash(location.hash)
if (link) history.replaceState(null, '', location.pathname + location.search)

/** The daemon's WebSocket, beside the page, wherever a proxy has put that. */
function address(): string {
  const url = new URL('./ws', location.href)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  url.hash = url.search = ''
  return url.href
}

async function start(): Promise<void> {
  const chat = new Chat(await openStorage(), openTabs(), address())
  const app = createApp(App, { link })
  app.provide(CHAT, chat)
  app.config.globalProperties.$t = t
  app.mount('#app')
  const login = recalled()
  if (link?.client) chat.signIn({ client: link.client, token: link.token, remembered: false })
  else if (login && !link) chat.signIn(login)
  const wake = (): void => {
    if (document.visibilityState === 'visible') chat.wake()
  }
  document.addEventListener('visibilitychange', wake)
  for (const event of ['online', 'pageshow', 'focus']) window.addEventListener(event, wake)
  navigator.connection?.addEventListener('change', wake)
}

/** Scripts are trusted by name, and this is the only one that is loaded by code. */
function keepShell(): void {
  if (import.meta.env.DEV || !navigator.serviceWorker) return
  const policy = window.trustedTypes?.createPolicy('dantok', {
    createScriptURL(url) {
      if (url !== './sw.js') throw new TypeError('not a script of this page')
      return url
    },
  })
  const url = policy ? policy.createScriptURL('./sw.js') : './sw.js'
  navigator.serviceWorker.register(url as string).catch(() => undefined)
}

declare module 'vue' {
  interface ComponentCustomProperties {
    $t: typeof t
  }
}

declare global {
  interface Navigator {
    readonly connection?: EventTarget
  }
  interface Window {
    readonly trustedTypes?: {
      createPolicy(
        name: string,
        rules: { createScriptURL(url: string): string },
      ): { createScriptURL(url: string): unknown }
    }
  }
}

void start()
keepShell()
