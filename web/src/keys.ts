/** Keys that work everywhere on the page. */

import type { Chat } from './app/chat'

export function onKey(chat: Chat, event: KeyboardEvent): void {
  if (!chat.state.login || event.isComposing) return
  const control = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey
  if (control && event.code === 'KeyK') chat.state.dialog = chat.state.dialog === 'switcher' ? null : 'switcher'
  else if (control && event.code === 'Slash') chat.state.dialog = 'help'
  else if (chat.state.dialog !== null) return
  else if (event.altKey && event.shiftKey && event.key === 'ArrowUp') step(chat, -1)
  else if (event.altKey && event.shiftKey && event.key === 'ArrowDown') step(chat, 1)
  else if (event.key === 'F6') region(event.shiftKey ? -1 : 1)
  else return
  event.preventDefault()
}

function step(chat: Chat, by: number): void {
  const rooms = chat.rooms.joined()
  const at = rooms.findIndex((room) => room.room === chat.state.open)
  const next = rooms[at < 0 ? 0 : (at + by + rooms.length) % rooms.length]
  if (next) chat.openRoom(next.room)
}

/** Moves the focus to the next part of the page. */
function region(by: number): void {
  const all = [...document.querySelectorAll<HTMLElement>('[data-region]')].filter((one) => one.offsetParent !== null)
  const at = all.findIndex((one) => one.contains(document.activeElement))
  const next = all[(at + by + all.length) % all.length]
  const target = next?.matches('[tabindex]')
    ? next
    : next?.querySelector<HTMLElement>('textarea, [tabindex="0"], [tabindex="-1"], button')
  target?.focus()
}
