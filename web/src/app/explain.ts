import { t, type Key } from '../i18n'
import { texts } from '../i18n/texts'
import { Lost, Refusal } from '../wire/types'

/** What went wrong, in the reader's language where the page has words for it, otherwise in the daemon's. */
export function explain(error: unknown): string {
  if (error instanceof Lost) return t('notConnected')
  if (!(error instanceof Refusal)) return error instanceof Error ? error.message : String(error)
  const key = `e_${error.code.replace('-', '_')}`
  return isKey(key) ? t(key) : error.message
}

function isKey(key: string): key is Key {
  return Object.hasOwn(texts, key)
}
