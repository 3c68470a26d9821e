/** The page's texts in both languages. The page itself loads them in one. */

import { vi } from 'vitest'

type Texts = typeof import('../src/i18n/texts')

async function load(language: string): Promise<Texts> {
  vi.resetModules()
  vi.stubGlobal('navigator', { language })
  const loaded = await import('../src/i18n/texts')
  vi.unstubAllGlobals()
  return loaded
}

const english = await load('en')
const korean = await load('ko-KR')

export const texts = Object.fromEntries(
  (Object.keys(english) as (keyof Texts)[]).map((key) => [key, [english[key], korean[key]] as const]),
) as Record<keyof Texts, readonly [english: string, korean: string]>
