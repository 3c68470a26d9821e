import { texts } from './texts'

export type Key = keyof typeof texts

export const language: 'ko' | 'en' = pick(typeof navigator === 'undefined' ? 'en' : navigator.language)

export function pick(tag: string): 'ko' | 'en' {
  return /^ko\b/i.test(tag) ? 'ko' : 'en'
}

/** The text for a key, with `{name}` replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  const [many = '', one = many] = texts[key][language === 'ko' ? 1 : 0].split('|')
  return (values.n === 1 ? one : many).replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''))
}

const format = (options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat => new Intl.DateTimeFormat(language, options)
const clock = format({ hour: 'numeric', minute: '2-digit' })
const fullTime = format({ dateStyle: 'full', timeStyle: 'medium' })
const thisYear = format({ weekday: 'long', month: 'long', day: 'numeric' })
const otherYear = format({ weekday: 'long', year: 'numeric', month: 'long', day: 'numeric' })
const short = format({ month: 'short', day: 'numeric' })

export function timeOf(time: string): string {
  return clock.format(new Date(time))
}

export function fullTimeOf(time: string): string {
  return fullTime.format(new Date(time))
}

/** The day in the reader's time zone, as a number that is the same for all times of that day. */
export function dayOf(time: string): number {
  const date = new Date(time)
  return date.getFullYear() * 10_000 + date.getMonth() * 100 + date.getDate()
}

export function dayLine(time: string, now = new Date()): string {
  const day = dayOf(time)
  if (day === dayOf(now.toISOString())) return t('today')
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1)
  if (day === dayOf(yesterday.toISOString())) return t('yesterday')
  const date = new Date(time)
  return (date.getFullYear() === now.getFullYear() ? thisYear : otherYear).format(date)
}

/** For lists: the time today, the date otherwise. */
export function when(time: string, now = new Date()): string {
  return dayOf(time) === dayOf(now.toISOString()) ? timeOf(time) : short.format(new Date(time))
}
