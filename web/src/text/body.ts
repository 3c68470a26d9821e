import type { Message } from '../wire/types'

/** A message's text; for one that is not text, how many bytes it has. */
export function body(message: Message): { text: string } | { bytes: number } {
  if (message.text !== undefined) return { text: message.text }
  const base64 = message.base64 ?? ''
  return { bytes: Math.floor((base64.replace(/=+$/, '').length * 3) / 4) }
}
