/** A person at a browser: what they see, and what they do with keys and pointer. */

import type { BrowserContext, Locator, Page } from 'playwright-core'
import { texts } from '../../test/texts'
import type { Violations } from './browser'
import { eventually } from './wait'

/** A message as the page shows it. */
export type Shown = { by: string; text: string; state: string }

export class Person {
  /** The page's texts in this person's language. */
  readonly #language: 0 | 1

  constructor(
    readonly name: string,
    readonly context: BrowserContext,
    public page: Page,
    readonly address: string,
    locale: string,
  ) {
    this.#language = locale.startsWith('ko') ? 1 : 0
  }

  label(key: keyof typeof texts, values: Record<string, string | number> = {}): string {
    const [many = '', one = many] = texts[key][this.#language].split('|')
    return (values.n === 1 ? one : many).replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]))
  }

  button(key: keyof typeof texts): Locator {
    return this.page.getByRole('button', { name: this.label(key), exact: true })
  }

  get composer(): Locator {
    return this.page.locator('.composer textarea')
  }

  get articles(): Locator {
    return this.page.locator('.log article')
  }

  get status(): Locator {
    return this.page.locator('.status')
  }

  async goto(hash = ''): Promise<void> {
    await this.page.goto(this.address + hash)
  }

  async signIn(): Promise<void> {
    await this.goto()
    await this.page.locator('#sign-name').fill(this.name)
    await this.button('signIn').click()
    await this.page.locator('.rooms-foot').waitFor()
  }

  async createRoom(name: string, { topic = '', secret = false } = {}): Promise<void> {
    await this.button('newRoom').click()
    const dialog = this.page.getByRole('dialog')
    await dialog.getByLabel(this.label('roomName'), { exact: true }).fill(name)
    await dialog.getByLabel(this.label('topic'), { exact: true }).fill(topic)
    if (secret) await dialog.getByLabel(this.label('makePrivate')).check()
    await dialog.getByRole('button', { name: this.label('create'), exact: true }).click()
    await this.isIn(name)
  }

  /** The room in the list. */
  room(name: string): Locator {
    return this.page.locator('.rooms .room', { has: this.page.locator('.room-name', { hasText: new RegExp(`^${escaped(name)}$`) }) })
  }

  async open(name: string): Promise<void> {
    await this.room(name).click()
  }

  async join(name: string): Promise<void> {
    await this.open(name)
    await this.button('join').click()
    await this.isIn(name)
  }

  /** Waits until this room is open, and can be written in. */
  async isIn(name: string): Promise<void> {
    await eventually(() => this.page.locator('.room-title bdi').textContent()).toBe(name)
    await this.composer.waitFor()
    await eventually(() => this.page.locator('.log').getAttribute('aria-busy')).toBe('false')
  }

  /** Waits until the page has opened this room without a connection. */
  async isOffline(name: string): Promise<void> {
    await eventually(() => this.page.locator('.room-title bdi').textContent()).toBe(name)
    await this.composer.waitFor()
    await eventually(() => this.status.getAttribute('class')).toContain('down')
  }

  async say(text: string): Promise<void> {
    await this.composer.focus()
    await this.page.keyboard.insertText(text)
    await this.page.keyboard.press('Enter')
  }

  /** What the log shows, from the top. */
  shown(): Promise<Shown[]> {
    return this.articles.evaluateAll((articles) => {
      let by = ''
      return articles.map((article) => {
        by = article.querySelector('.byline .name')?.textContent ?? by
        const state = article.querySelector('.state')
        return {
          by,
          text: article.querySelector('.text, .redacted')?.textContent ?? '',
          state: article.classList.contains('refused') ? 'refused' : (state?.getAttribute('title') ?? ''),
        }
      })
    })
  }

  async texts(): Promise<string[]> {
    return (await this.shown()).map(({ text }) => text)
  }

  /** Notes from now on if a text that is shown vanishes, were it for a moment. */
  async watchTexts(): Promise<() => Promise<string[]>> {
    const handle = await this.page.evaluateHandle(() => {
      const vanished: string[] = []
      let before = new Set<string>()
      const look = (): void => {
        const now = new Set(Array.from(document.querySelectorAll('.log .text'), (text) => text.textContent ?? ''))
        for (const text of before) if (!now.has(text)) vanished.push(text)
        before = now
      }
      look()
      new MutationObserver(look).observe(document.querySelector('.log')!, { childList: true, subtree: true })
      return vanished
    })
    return () => handle.jsonValue()
  }

  /** The announcement to screen readers. */
  announced(): Promise<string | null> {
    return this.page.locator('[data-announcements]').textContent()
  }

  /** What has the focus. */
  focused(): Promise<string> {
    return this.page.evaluate(() => {
      const element = document.activeElement
      if (!element || element === document.body) return 'nothing'
      return element.id || element.getAttribute('aria-label') || element.textContent?.trim() || element.className || element.tagName
    })
  }

  /** What the browser has stored for this page, by the name of the store. */
  kept(store: 'waiting' | 'drafts' | 'rooms'): Promise<unknown[]> {
    return this.page.evaluate(async (name) => {
      const opening = indexedDB.open('dantok')
      const database = await new Promise<IDBDatabase>((resolve, reject) => {
        opening.onsuccess = () => resolve(opening.result)
        opening.onerror = () => reject(opening.error)
      })
      const reading = database.transaction(name).objectStore(name).getAll()
      await new Promise((resolve) => (reading.onsuccess = resolve))
      database.close()
      return reading.result
    }, store)
  }

  /** What is not yet known to be on the daemon's disk of all that was entered here: what is shown so, and what is stored. */
  async unsettled(): Promise<unknown[]> {
    const shown = (await this.shown()).filter(({ state }) => state === this.label('waiting') || state === 'refused')
    return [...shown, ...(await this.kept('waiting'))]
  }

  violations(): Promise<string[]> {
    return this.page.evaluate(() => (window as unknown as Violations).__violations ?? []).catch(() => [])
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
