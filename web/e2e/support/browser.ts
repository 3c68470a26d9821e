/** Chromium, and people in it, each in a context of their own as if on a machine of their own. */

import { existsSync } from 'node:fs'
import { expect } from 'vitest'
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core'

const CHROMIUM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path))

/** Chromium's sandbox does not work as root. */
export const LAUNCH = {
  ...(CHROMIUM === undefined ? {} : { executablePath: CHROMIUM }),
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
}

export function launch(): Promise<Browser> {
  return chromium.launch(LAUNCH)
}

export const ENGLISH: BrowserContextOptions = { locale: 'en-US', timezoneId: 'Asia/Seoul', viewport: { width: 1100, height: 700 } }
export const KOREAN: BrowserContextOptions = { ...ENGLISH, locale: 'ko-KR', colorScheme: 'dark' }

/** What the browser says when the daemon is not there, or a connection breaks. */
const UNREACHABLE = /net::ERR_|^WebSocket connection to /

/** Collects what no page should ever do: throw, log an error, or violate the Content-Security-Policy. */
export class Faults {
  readonly found: string[] = []
  /** Whether losing the daemon is a part of the test. */
  allowUnreachable = false

  watch(context: BrowserContext): void {
    context.on('page', (page) => this.#watchPage(page))
    context.on('weberror', (error) => this.found.push(`uncaught: ${error.error().stack}`))
  }

  expectNone(): void {
    expect(this.found, 'what the pages complained of').toEqual([])
  }

  #watchPage(page: Page): void {
    page.on('console', (message) => {
      const text = message.text()
      if (message.type() !== 'error' && message.type() !== 'warning') return
      if (this.allowUnreachable && UNREACHABLE.test(text)) return
      this.found.push(`${message.type()}: ${text}`)
    })
    page.on('dialog', (dialog) => {
      this.found.push(`a dialog: ${dialog.message()}`)
      void dialog.dismiss()
    })
  }
}

export type Violations = { __violations?: string[] }

/** Notes violations by the event as well, because a browser may keep them from the console. Runs in the page. */
export function noteViolations(): void {
  const violations: string[] = ((window as unknown as Violations).__violations = [])
  document.addEventListener('securitypolicyviolation', (event) => {
    violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)
  })
}
