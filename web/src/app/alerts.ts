/** How the page calls for attention: the number in its title, and notifications. */

import { t } from '../i18n'
import * as texts from '../i18n/texts'
import { body } from '../text/body'
import { oneLine } from '../text/links'
import type { Message, Room } from '../wire/types'
import { recall, remember } from './prefs'

export type Permission = 'on' | 'off' | 'denied' | 'none'

export class Alerts {
  #unread = -1

  constructor(private readonly open: (room: string) => void) {
    navigator.serviceWorker?.addEventListener('message', (event: MessageEvent<{ open?: unknown }>) => {
      if (typeof event.data.open === 'string') this.open(event.data.open)
    })
  }

  /** The number of unread messages, in the title and on the icon. */
  count(unread: number): void {
    if (unread === this.#unread) return
    this.#unread = unread
    document.title = unread > 0 ? `(${unread}) dantok` : 'dantok'
    const badge = navigator as Navigator & { setAppBadge?(n: number): Promise<void>; clearAppBadge?(): Promise<void> }
    const done = unread > 0 ? badge.setAppBadge?.(unread) : badge.clearAppBadge?.()
    done?.catch(() => undefined)
  }

  /** Whether the person is looking at the page. */
  attentive(): boolean {
    return document.visibilityState === 'visible' && document.hasFocus()
  }

  permission(): Permission {
    if (typeof Notification === 'undefined' || !window.isSecureContext) return 'none'
    if (Notification.permission === 'denied') return 'denied'
    return Notification.permission === 'granted' && recall('notify') !== 'off' ? 'on' : 'off'
  }

  async turn(on: boolean): Promise<void> {
    remember('notify', on ? null : 'off')
    if (on && this.permission() !== 'none') await Notification.requestPermission()
  }

  muted(room: string): boolean {
    return recall(`muted:${room}`) !== null
  }

  mute(room: string, muted: boolean): void {
    remember(`muted:${room}`, muted ? 'yes' : null)
  }

  wants(room: string): boolean {
    return this.permission() === 'on' && !this.attentive() && !this.muted(room)
  }

  show(room: Room, message: Message): void {
    const content = body(message)
    const text = 'text' in content ? oneLine(content.text) : t(texts.bytes, { n: content.bytes })
    const more = (room.unread ?? 0) > 1 ? `\n${t(texts.notifyMore, { n: room.unread ?? 0, room: room.room })}` : ''
    const title = `${message.client} · ${room.room}`
    const options: NotificationOptions = {
      body: text + more,
      tag: `dantok:${room.room}`,
      icon: './icons/icon-192.png',
      data: { room: room.room },
    }
    try {
      const notification = new Notification(title, options)
      notification.onclick = () => {
        window.focus()
        this.open(room.room)
        notification.close()
      }
    } catch {
      // Phones show notifications only from the service worker.
      void navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, options))
    }
  }
}
