/**
 * Enter in the composer, also while an input method is composing.
 *
 * A Korean input method composes all the time, and Enter both ends the composition and is meant to send. The usual guard
 * (`isComposing`: ignore the key) makes people press it twice; sending at the key itself loses the syllable under way or
 * sends it twice. So an Enter while composing sends when the composition has ended, if what was composed is Hangul. In
 * Japanese and Chinese, Enter picks a conversion, and only the next one sends.
 */

const HANGUL_AT_END = /[\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff]$/

export function endsInHangul(text: string): boolean {
  return HANGUL_AT_END.test(text)
}

export interface Key {
  key: string
  code: string
  keyCode: number
  isComposing: boolean
  shiftKey: boolean
  ctrlKey: boolean
  altKey: boolean
  metaKey: boolean
  repeat: boolean
}

export type Verdict = 'send' | 'ignore' | 'pass'

export class Enter {
  composing = false
  /** An Enter came while composing: whether to send is decided when the composition ends. */
  #pending = false
  /** The message went out with this press of the key; what else the press brings is not wanted. */
  #sent = false
  /** This press of the key ended a composition, so it does not break the line as well. */
  #spent = false
  #composed = ''
  /** The last key had no name, as those of keyboards on glass. */
  #unnamed = false

  compositionStart(): void {
    this.composing = true
    this.#pending = this.#sent = this.#spent = false
  }

  /** The composition is over, with this text; `value` is what the element holds now. Returns whether to send it. */
  compositionEnd(data: string, value: string): boolean {
    this.composing = false
    this.#composed = data || value
    const send = this.#pending && endsInHangul(this.#composed)
    this.#sent = send
    this.#spent = this.#pending
    this.#pending = false
    return send
  }

  keyDown(event: Key): Verdict {
    // Firefox calls every key of a composition "Process", but keeps its code.
    const enter = event.key === 'Enter' || event.code === 'Enter' || event.code === 'NumpadEnter'
    this.#unnamed = !enter && event.keyCode === 229
    if (!enter) {
      if (event.keyCode !== 229) this.#sent = this.#spent = false
      this.#pending = false
      return 'pass'
    }
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return 'pass'
    if (this.composing || event.isComposing) {
      this.#pending = true
      return 'pass'
    }
    if (this.#sent || event.repeat) return 'ignore'
    this.#spent = false
    // Safari ends the composition first, and then gives the key that ended it.
    if (event.keyCode === 229) return endsInHangul(this.#composed) ? 'send' : 'ignore'
    return 'send'
  }

  keyUp(event: Key): void {
    if (event.key === 'Enter' || event.code === 'Enter' || event.code === 'NumpadEnter')
      this.#sent = this.#spent = false
  }

  /**
   * The browser is about to break the line. `end` if it does so in the middle of a composition, which then has to be ended
   * for the message to be sent whole; `send` if a phone's keyboard did not say that the key was Enter.
   */
  lineBreak(): Verdict | 'end' {
    if (this.#sent || this.#spent) return 'ignore'
    if (this.#pending) return 'end'
    return this.#unnamed && !this.composing ? 'send' : 'pass'
  }
}
