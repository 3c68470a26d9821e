import { describe, expect, it } from 'vitest'
import { isName, parse, USAGE } from '../src/commands'
import { t } from '../src/i18n'
import { pick } from '../src/i18n/language'
import { texts } from './texts'
import { clientOf, fromHash, nameOf } from '../src/app/login'

describe('a line', () => {
  it.each([
    ['안녕', { do: 'send', text: '안녕' }],
    ['//help me', { do: 'send', text: '/help me' }],
    ['/usr/bin\n/etc', { do: 'send', text: '/usr/bin\n/etc' }],
    ['/reply 그래요', { do: 'reply', seq: null, text: '그래요' }],
    ['/reply 2 no\nreally', { do: 'send', text: '/reply 2 no\nreally' }],
    ['/reply 2 no', { do: 'reply', seq: 2, text: 'no' }],
    ['/reply', { do: 'wrong', usage: USAGE.reply }],
    ['/redact', { do: 'redact', seq: null }],
    ['/redact 17', { do: 'redact', seq: 17 }],
    ['/redact all', { do: 'wrong', usage: USAGE.redact }],
    ['/join #a', { do: 'join', room: '#a' }],
    ['/join', { do: 'join', room: null }],
    ['/join a b', { do: 'wrong', usage: USAGE.join }],
    ['/join --x', { do: 'wrong', usage: USAGE.join }],
    ['/leave', { do: 'leave', room: null }],
    ['/delete lobby', { do: 'delete', room: 'lobby' }],
    ['/delete', { do: 'wrong', usage: USAGE.delete }],
    ['/create plans', { do: 'create', room: 'plans', topic: '', private: false }],
    ['/create --private plans 점심 and so on', { do: 'create', room: 'plans', topic: '점심 and so on', private: true }],
    ['/create plans --private talk', { do: 'create', room: 'plans', topic: 'talk', private: true }],
    ['/create plans -- --private', { do: 'create', room: 'plans', topic: '--private', private: false }],
    ['/create --private', { do: 'wrong', usage: USAGE.create }],
    ['/create plans --privat', { do: 'wrong', usage: USAGE.create }],
    ['/create plans —private', { do: 'wrong', usage: USAGE.create }],
    ['/topic', { do: 'topic', topic: null }],
    ['/topic 무엇이든', { do: 'topic', topic: '무엇이든' }],
    ['/topic --clear', { do: 'topic', topic: '' }],
    ['/topic --x', { do: 'wrong', usage: USAGE.topic }],
    ['/invite bob', { do: 'invite', client: 'bob' }],
    ['/kick', { do: 'wrong', usage: USAGE.kick }],
    ['/ban bob', { do: 'ban', client: 'bob' }],
    ['/unban bob', { do: 'unban', client: 'bob' }],
    ['/nick 앨리스 in Wonderland', { do: 'nick', nick: '앨리스 in Wonderland' }],
    ['/nick --x', { do: 'wrong', usage: USAGE.nick }],
    ['/who', { do: 'who' }],
    ['/rooms', { do: 'rooms' }],
    ['/help', { do: 'help' }],
    ['/quit', { do: 'quit' }],
    ['/date', { do: 'date' }],
    ['/who me', { do: 'wrong', usage: USAGE.who }],
    ['/dance now', { do: 'unknown', verb: 'dance', text: 'dance now' }],
    ['/constructor', { do: 'unknown', verb: 'constructor', text: 'constructor' }],
    ['/', { do: 'unknown', verb: '', text: '' }],
  ])('%j', (line, command) => {
    expect(parse(line)).toEqual(command)
  })
})

it('names have no spaces, no equals signs, and at most 64 bytes', () => {
  for (const name of ['a', '단톡', 'a/b', '가'.repeat(21)]) expect(isName(name)).toBe(true)
  for (const name of ['', 'a b', 'a=b', '-a', '가'.repeat(22), 'a\u0000']) expect(isName(name)).toBe(false)
})

describe('the languages', () => {
  it('are chosen by the browser', () => {
    expect(pick('ko-KR')).toBe('ko')
    expect(pick('ko')).toBe('ko')
    expect(pick('kok')).toBe('en')
    expect(pick('de')).toBe('en')
  })

  it('are both complete, with the same places to fill in', () => {
    const places = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g))].sort()
    for (const [en, ko] of Object.values(texts))
      for (const form of en.split('|')) expect(places(form)).toEqual(places(ko))
  })

  it('count', () => {
    expect(t(texts.newBelow[0], { n: 1 })).toBe('1 new message')
    expect(t(texts.newBelow[0], { n: 2 })).toBe('2 new messages')
    expect(t(texts.said[0], { name: '{text}', text: 'x' })).toBe('{text}: x')
  })
})

describe('signing in', () => {
  it('by the address', () => {
    expect(fromHash('#token=abc&client=alice%2Fphone&room=lobby')).toEqual({
      token: 'abc',
      client: 'alice/phone',
      room: 'lobby',
    })
    expect(fromHash('#token=abc')).toEqual({ token: 'abc', client: '', room: '' })
    expect(fromHash('#/lobby')).toBeNull()
    expect(fromHash('')).toBeNull()
  })

  it('as this device of a person, unless they name one', () => {
    expect(clientOf(' alice ')).toBe('alice/web')
    expect(clientOf('alice/phone')).toBe('alice/phone')
    expect(clientOf(' ')).toBe('')
    expect(nameOf('alice/web')).toBe('alice')
    expect(nameOf('alice/phone')).toBe('alice/phone')
  })
})
