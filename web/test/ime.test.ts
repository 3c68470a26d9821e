import { describe, expect, it } from 'vitest'
import { endsInHangul, Enter, type Key } from '../src/ime'

const key = (more: Partial<Key> = {}): Key => ({
  key: 'Enter',
  code: 'Enter',
  keyCode: 13,
  isComposing: false,
  shiftKey: false,
  ctrlKey: false,
  altKey: false,
  metaKey: false,
  repeat: false,
  ...more,
})

describe('Enter', () => {
  it('sends what is typed without an input method', () => {
    const enter = new Enter()
    expect(enter.keyDown(key())).toBe('send')
    expect(enter.keyDown(key({ code: 'NumpadEnter' }))).toBe('send')
    expect(enter.keyDown(key({ repeat: true }))).toBe('ignore')
    expect(enter.keyDown(key({ shiftKey: true }))).toBe('pass')
    expect(enter.lineBreak()).toBe('pass')
    expect(enter.keyDown(key({ key: 'a', code: 'KeyA', keyCode: 65 }))).toBe('pass')
  })

  it('sends Hangul whole, and once, at the end of the composition (Chrome)', () => {
    const enter = new Enter()
    enter.compositionStart()
    expect(enter.keyDown(key({ isComposing: true, keyCode: 229 }))).toBe('pass')
    expect(enter.compositionEnd('하', '안녕하')).toBe(true)
    // On a Mac, the same press of the key comes once more.
    expect(enter.keyDown(key())).toBe('ignore')
    expect(enter.lineBreak()).toBe('ignore')
    enter.keyUp(key())
    expect(enter.keyDown(key())).toBe('send')
  })

  it('knows the key by its code where it is called Process (Firefox)', () => {
    const enter = new Enter()
    enter.compositionStart()
    expect(enter.keyDown(key({ key: 'Process', isComposing: true, keyCode: 229 }))).toBe('pass')
    expect(enter.compositionEnd('녕', '안녕')).toBe(true)
  })

  it('sends Hangul where the composition ends before the key (Safari)', () => {
    const enter = new Enter()
    enter.compositionStart()
    expect(enter.compositionEnd('녕', '안녕')).toBe(false)
    expect(enter.keyDown(key({ keyCode: 229 }))).toBe('send')
  })

  it('picks a conversion in Japanese and Chinese, and sends with the next press', () => {
    const enter = new Enter()
    enter.compositionStart()
    expect(enter.keyDown(key({ isComposing: true, keyCode: 229 }))).toBe('pass')
    expect(enter.compositionEnd('日本', '日本')).toBe(false)
    expect(enter.lineBreak()).toBe('ignore')
    enter.keyUp(key())
    expect(enter.keyDown(key())).toBe('send')
    const safari = new Enter()
    safari.compositionStart()
    safari.compositionEnd('日本', '日本')
    expect(safari.keyDown(key({ keyCode: 229 }))).toBe('ignore')
    safari.keyUp(key())
    expect(safari.keyDown(key())).toBe('send')
  })

  it('sends a second message although no key was seen going up', () => {
    const enter = new Enter()
    for (let round = 0; round < 2; round++) {
      enter.compositionStart()
      enter.keyDown(key({ isComposing: true, keyCode: 229 }))
      expect(enter.compositionEnd('ㅋ', 'ㅋㅋ')).toBe(true)
    }
  })

  it('does not send at the end of a composition that another key ended', () => {
    const enter = new Enter()
    enter.compositionStart()
    enter.keyDown(key({ isComposing: true, keyCode: 229 }))
    enter.keyDown(key({ key: 'Process', code: 'Space', isComposing: true, keyCode: 229 }))
    expect(enter.compositionEnd('가', '가')).toBe(false)
  })

  it('ends a composition in which the browser would break the line', () => {
    const enter = new Enter()
    enter.compositionStart()
    enter.keyDown(key({ isComposing: true }))
    expect(enter.lineBreak()).toBe('end')
    expect(enter.compositionEnd('하', '안녕하')).toBe(true)
  })

  it('sends from keyboards that do not name their keys', () => {
    const enter = new Enter()
    expect(enter.keyDown(key({ key: 'Unidentified', code: '', keyCode: 229 }))).toBe('pass')
    expect(enter.lineBreak()).toBe('send')
  })
})

it('knows Hangul: syllables, and their parts as they are typed', () => {
  for (const text of ['가', '안녕하', 'ㅋㅋ', 'ok ㅇ', 'ㅏ', '\u1112\u1161']) expect(endsInHangul(text)).toBe(true)
  for (const text of ['', 'a', '日本', '안녕 ', '안녕!', 'に']) expect(endsInHangul(text)).toBe(false)
})
