import { language } from './language'
import * as texts from './texts'

/** A text with `{name}` replaced; of two forms, the one for this number. */
export function t(text: string, values: Record<string, string | number>): string {
  const [many = '', one = many] = text.split('|')
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
  if (day === dayOf(now.toISOString())) return texts.today
  const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1)
  if (day === dayOf(yesterday.toISOString())) return texts.yesterday
  const date = new Date(time)
  return (date.getFullYear() === now.getFullYear() ? thisYear : otherYear).format(date)
}

/** For lists: the time today, the date otherwise. */
export function when(time: string, now = new Date()): string {
  return dayOf(time) === dayOf(now.toISOString()) ? timeOf(time) : short.format(new Date(time))
}
