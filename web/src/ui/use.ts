import { inject, type InjectionKey } from 'vue'
import type { Chat } from '../app/chat'

export const CHAT: InjectionKey<Chat> = Symbol('chat')

export function useChat(): Chat {
  const chat = inject(CHAT)
  if (!chat) throw new Error('no chat is provided')
  return chat
}

/** What a field holds now. */
export function entered(event: Event): string {
  return (event.target as HTMLInputElement).value
}
