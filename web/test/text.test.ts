import { describe, expect, it } from 'vitest'
import { body } from '../src/text/body'
import { isPlain, oneLine, parts } from '../src/text/links'

const links = (text: string): string[] => parts(text).flatMap((part) => (part.href === undefined ? [] : [part.text]))

describe('links', () => {
  it('are found in text, and nothing is lost around them', () => {
    const text = 'see https://example.org/a?b=c#d, and http://localhost:8080 or www.dantok.kr.'
    expect(links(text)).toEqual(['https://example.org/a?b=c#d', 'http://localhost:8080', 'www.dantok.kr'])
    expect(
      parts(text)
        .map((part) => part.text)
        .join(''),
    ).toBe(text)
    expect(parts('www.dantok.kr')[0]!.href).toBe('https://www.dantok.kr/')
  })

  it.each([
    ['https://example.org.', 'https://example.org'],
    ['(https://example.org/x)', 'https://example.org/x'],
    ['https://en.wikipedia.org/wiki/Chat_(disambiguation)', 'https://en.wikipedia.org/wiki/Chat_(disambiguation)'],
    ['"https://example.org/x"', 'https://example.org/x'],
    ['<https://example.org/x>', 'https://example.org/x'],
    ['https://example.org에서 보세요', 'https://example.org'],
    ['https://example.org/단톡방', 'https://example.org/단톡방'],
    ['https://한국.kr/길', 'https://한국.kr/길'],
    ['「https://example.org/x」', 'https://example.org/x'],
    ['https://[::1]:7480/x', 'https://[::1]:7480/x'],
  ])('end where a reader would end them: %s', (text, link) => {
    expect(links(text)).toEqual([link])
  })

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    'https://',
    'https://x',
    'http://user:secret@example.org/',
    'vbscript:x',
    'xhttps://nothing',
    'https://exa mple',
  ])('are only of the web, to a host, without a password: %s', (text) => {
    expect(parts(text).every((part) => part.href === undefined || /^https?:\/\/exa/.test(part.href))).toBe(true)
    expect(links(text).filter((link) => link.includes('@') || !link.startsWith('http'))).toEqual([])
  })

  it('do not swallow characters that cannot be seen or that reorder text', () => {
    expect(links('https://example.org/\u202egnp.exe')).toEqual(['https://example.org/'])
    expect(links('https://example.org/\u200bx')).toEqual(['https://example.org/'])
  })

  it('are bounded, and found in linear time', () => {
    expect(links('https://example.org '.repeat(500))).toHaveLength(100)
    const hostile = [
      'https://'.repeat(8_000),
      `https://${'('.repeat(60_000)}`,
      `https://a.b/${'.'.repeat(60_000)}`,
      'www.'.repeat(16_000),
    ]
    for (const text of hostile)
      expect(
        parts(text)
          .map((part) => part.text)
          .join(''),
      ).toBe(text)
  })
})

describe('text', () => {
  it('shows characters that reorder it', () => {
    expect(parts('a\u202eb\u2069')).toEqual([
      { text: 'a' },
      { text: 'U+202E', mark: true },
      { text: 'b' },
      { text: 'U+2069', mark: true },
    ])
  })

  it('is never markup', () => {
    expect(parts('<img src=x onerror=alert(1)>')).toEqual([{ text: '<img src=x onerror=alert(1)>' }])
  })

  it('is plain if nothing in it needs care', () => {
    for (const text of ['hello', '안녕하세요', 'a < b & c', '日本語', 'مرحبا']) expect(isPlain(text)).toBe(true)
    for (const text of ['https://x.org', 'a\nb', '👍', 'WWW.x.org', 'a\u202eb', 'x'.repeat(600)])
      expect(isPlain(text)).toBe(false)
  })

  it('fits on one line, for labels', () => {
    expect(oneLine(' a\n\n b\u202ec\u0000 ')).toBe('a b c')
    expect(oneLine('가'.repeat(300), 10)).toBe(`${'가'.repeat(10)}…`)
    expect(oneLine('👍'.repeat(20), 5)).toBe(`${'👍'.repeat(5)}…`)
  })

  it('may be bytes', () => {
    const base = { type: 'message', room: 'r', seq: 1, time: '', client: 'a' } as const
    expect(body({ ...base, base64: '//4AAQI=' })).toEqual({ bytes: 5 })
    expect(body({ ...base, text: '' })).toEqual({ text: '' })
  })
})
