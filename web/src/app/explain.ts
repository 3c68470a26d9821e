import * as texts from '../i18n/texts'
import { Lost, Refusal } from '../wire/types'

const words: Partial<Record<string, string>> = {
  denied: texts.denied,
  'not-joined': texts.notAMember,
  'no-room': texts.noRoom,
  'room-exists': texts.roomExists,
  storage: texts.storageFailed,
  stopping: texts.stopping,
  'too-long': texts.messageTooLong,
  'another-room': texts.anotherRoom,
}

/** What went wrong, in the reader's language where the page has words for it, otherwise in the daemon's. */
export function explain(error: unknown): string {
  if (error instanceof Lost) return texts.notConnected
  if (error instanceof Refusal) return words[error.code] ?? error.message
  return error instanceof Error ? error.message : String(error)
}
