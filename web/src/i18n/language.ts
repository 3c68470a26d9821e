export const language: 'ko' | 'en' = pick(typeof navigator === 'undefined' ? 'en' : navigator.language)

export function pick(tag: string): 'ko' | 'en' {
  return /^ko\b/i.test(tag) ? 'ko' : 'en'
}

/** A text in the language of the browser. */
export function both(english: string, korean: string): string {
  return language === 'ko' ? korean : english
}
