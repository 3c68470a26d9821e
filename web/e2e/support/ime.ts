/** An input method, through the browser's own interface for them. Only key events tell one platform from another. */

import type { CDPSession } from 'playwright-core'
import type { Person } from './person'

/** What Enter does to a composition, by platform: which events the page gets, and in which order. */
export type Platform = 'linux' | 'mac' | 'windows' | 'none'

export class InputMethod {
  private constructor(private readonly session: CDPSession) {}

  static async of(person: Person): Promise<InputMethod> {
    await person.composer.focus()
    return new InputMethod(await person.context.newCDPSession(person.page))
  }

  /** Shows each of these, one after another, as what is being composed. */
  async compose(...steps: string[]): Promise<void> {
    for (const text of steps) {
      await this.session.send('Input.imeSetComposition', { text, selectionStart: text.length, selectionEnd: text.length })
    }
  }

  /** Ends the composition with this text. */
  async commit(text: string): Promise<void> {
    await this.session.send('Input.insertText', { text })
  }

  /** One press of Enter while `text` is being composed. */
  async enter(text: string, platform: Platform): Promise<void> {
    switch (platform) {
      case 'linux':
        // The input method takes the key, and commits; then the key goes up.
        await this.#down('Process')
        await this.commit(text)
        return this.#up()
      case 'windows':
        // The same, but the key goes on to the page afterwards.
        await this.#down('Process')
        await this.commit(text)
        await this.#press()
        return this.#up()
      case 'mac':
        // The key keeps its name, and comes a second time.
        await this.#down('Enter')
        await this.commit(text)
        await this.#press()
        return this.#up()
      case 'none':
        // The browser handles the key itself; what is composed stays until something ends it.
        await this.#press()
        return this.#up()
    }
  }

  /** Enter picks a conversion, on a Mac: the key comes once, with its name. */
  async pick(text: string): Promise<void> {
    await this.#down('Enter')
    await this.commit(text)
    await this.#up()
  }

  /** Enter when nothing is being composed. */
  async plainEnter(): Promise<void> {
    await this.#press()
    await this.#up()
  }

  async #down(key: string): Promise<void> {
    await this.session.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', key, code: 'Enter', windowsVirtualKeyCode: 229 })
  }

  async #press(): Promise<void> {
    await this.session.send('Input.dispatchKeyEvent', { type: 'keyDown', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' })
  }

  async #up(): Promise<void> {
    await this.session.send('Input.dispatchKeyEvent', { type: 'keyUp', key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13 })
  }
}
