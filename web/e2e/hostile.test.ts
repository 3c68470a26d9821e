/** Texts, names and topics by somebody who means harm. They come over TCP, where no page checks what is sent. */

import type { Page } from 'playwright-core'
import { Lines } from './support/lines'
import { eventually, expect, test } from './support/test'

const RTL_OVERRIDE = '\u202e'
const ZERO_WIDTH = '\u200b\u2060\ufeff'

/** What HTML, scripts and links can look like. None of it may become an element or run. */
const MARKUP = [
  '<img src=x onerror="alert(1)">',
  '<script>alert(1)</script>',
  '"><svg/onload=alert(1)>',
  '{{ constructor.constructor("alert(1)")() }}',
  '&lt;b&gt;&#x3c;b&#x3e;',
  'javascript:alert(1)',
  'data:text/html,<script>alert(1)</script>',
  'https://example.org/"onmouseover="alert(1)',
]

/** Elements that only markup which was taken for HTML can have made. */
function smuggled(page: Page): Promise<number> {
  return page.locator('.log :is(img, script, iframe, svg:not([aria-hidden]), b, style), [onerror], [onload], [onmouseover]').count()
}

test('markup stays text, in messages, topics, names and nicks', async ({ enter, daemon }) => {
  const mallory = await Lines.connect(daemon, '<i>mallory')
  await mallory.ask('create', { room: '<b>room</b>', topic: MARKUP[0] })
  await mallory.ask('join', { room: '<b>room</b>' })
  await mallory.ask('nick', { name: '<u>x</u>' })
  await mallory.feed('<b>room</b>', MARKUP)
  const alice = await enter('alice')
  await alice.join('<b>room</b>')
  await eventually(() => alice.texts()).toEqual(MARKUP)
  expect((await alice.shown())[0]?.by).toBe('<u>x</u> <i>mallory')
  expect(await alice.page.locator('.topic').textContent()).toBe(MARKUP[0])
  await alice.page.locator('.count').click()
  await eventually(() => alice.page.locator('.people .nick').allTextContents()).toContain('<u>x</u>')
  expect(await smuggled(alice.page)).toBe(0)

  // What is a link at all leads to the web, and gives nothing away.
  const links = await alice.articles.locator('a').evaluateAll((all) => all.map((link) => [link.getAttribute('href'), link.getAttribute('rel')]))
  for (const [href, rel] of links) {
    expect(href).toMatch(/^https?:\/\//)
    expect(href).not.toContain('"')
    expect(rel).toContain('noopener')
  }

  // The same where text is read out, and where a reply quotes it.
  await mallory.ask('send', { room: '<b>room</b>', text: MARKUP[1], reply: 1 })
  await eventually(() => alice.announced()).toContain(MARKUP[1])
  await eventually(() => alice.page.locator('.quote .quoted').textContent()).toBe(MARKUP[0])
  expect(await smuggled(alice.page)).toBe(0)
  mallory.close()
})

test('text that runs from right to left turns nothing around but itself', async ({ enter, daemon }) => {
  const mallory = await Lines.connect(daemon, 'mallory')
  await mallory.ask('create', { room: 'general', topic: 'עברית: (a) 1 > 2' })
  await mallory.ask('join', { room: 'general' })
  await mallory.ask('nick', { name: 'עברית' })
  const texts = [`${RTL_OVERRIDE}gnp.exe`, '\u2067never closed', 'שלום עולם', `${RTL_OVERRIDE.repeat(200)}abc`]
  await mallory.feed('general', texts)
  const alice = await enter('alice')
  await alice.join('general')
  await eventually(() => alice.articles.count()).toBe(texts.length)

  // A nick from right to left stays left of the name it belongs to, and that left of the time.
  const [nick, client, time] = await alice.page.locator('.byline').first().evaluate((byline) =>
    ['.nick', '.client', 'time'].map((part) => byline.querySelector(part)!.getBoundingClientRect().left),
  )
  expect(nick).toBeLessThan(client!)
  expect(client).toBeLessThan(time!)

  // An override is shown as a mark, so that nobody takes gnp.exe for exe.png.
  expect((await alice.texts())[0]).not.toContain(RTL_OVERRIDE)
  await eventually(() => alice.articles.first().locator('.mark').count()).toBe(1)
  mallory.close()
})

test('what cannot be seen does not hide who speaks', async ({ enter, daemon }) => {
  const mallory = await Lines.connect(daemon, 'mallory')
  await mallory.ask('join', { room: 'general' })
  const alice = await enter('alice')
  await alice.join('general')
  const nicks = ['alice', 'alice  ', 'а1ice', 'x'.repeat(32)]
  for (const name of nicks) {
    await mallory.ask('nick', { name }).catch(() => undefined)
    await mallory.ask('send', { room: 'general', text: 'I am alice' })
    await eventually(async () => (await alice.shown()).at(-1)?.text).toBe('I am alice')
    await eventually(async () => (await alice.shown()).at(-1)?.by).toMatch(/ mallory$/)
  }
  await mallory.feed('general', [ZERO_WIDTH, `${ZERO_WIDTH}a${ZERO_WIDTH}`, '\u0000\u0007\u001b[2J', '\u3164', ''])
  await eventually(() => alice.articles.count()).toBe(nicks.length + 5)
  // Each of them takes up room, so that it can be seen that there is a message.
  const heights = await alice.articles.evaluateAll((articles) => articles.map((article) => article.getBoundingClientRect().height))
  for (const height of heights) expect(height).toBeGreaterThan(10)
  mallory.close()
})

test('a message may be as long as the limit, and as wide', async ({ enter, daemon, judge }) => {
  const max = 65_536
  const mallory = await Lines.connect(daemon, 'mallory')
  await mallory.ask('join', { room: 'general' })
  const texts = ['a'.repeat(max), '가'.repeat(Math.floor(max / 3)), '\n'.repeat(max - 1) + 'x', 'Z\u0351\u036b\u0343'.repeat(2_000), 'https://example.org/' + 'a'.repeat(60_000)]
  await mallory.feed('general', texts)
  const alice = await enter('alice', { viewport: { width: 400, height: 700 } })
  await alice.join('general')
  await eventually(() => alice.articles.count()).toBe(texts.length)
  await eventually(() => alice.page.evaluate(() => document.documentElement.scrollWidth)).toBe(400)
  expect(await alice.page.locator('.log').evaluate((log) => log.scrollWidth - log.clientWidth)).toBe(0)
  // Folded, until somebody wants to see all of it.
  await alice.articles.first().getByRole('button', { name: alice.label('showAll') }).click()
  await eventually(async () => (await alice.texts())[0]).toBe(texts[0])

  const longest = '가'.repeat(Math.floor(max / 3))
  await alice.composer.fill(longest)
  await alice.composer.press('Enter')
  await eventually(() => judge.texts('general')).toEqual([...texts, longest])
  await alice.composer.fill(`${longest}가`)
  await alice.page.getByText(alice.label('tooLong', { n: max - 1 + 3, max }), { exact: true }).waitFor()
  await alice.composer.press('Enter')
  expect(await alice.composer.inputValue()).toBe(`${longest}가`)
  expect(await judge.texts('general')).toEqual([...texts, longest])
  mallory.close()
})

test('names as long as they may be, and a thousand rooms', async ({ enter, daemon }) => {
  const mallory = await Lines.connect(daemon, 'mallory')
  const long = 'W'.repeat(64)
  await Promise.all(Array.from({ length: 999 }, (_, at) => mallory.ask('create', { room: `room-${String(at).padStart(3, '0')}`, topic: `Number ${at}` })))
  await mallory.ask('create', { room: long, topic: 'T'.repeat(512) })
  const alice = await enter('alice', { viewport: { width: 320, height: 568 } })
  await eventually(() => alice.page.locator('.rooms .room').count()).toBeGreaterThan(100)
  expect(await alice.page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)

  // Rooms that the list leaves out are found by name.
  await alice.page.keyboard.press('Control+k')
  await alice.page.keyboard.insertText('room-777')
  await eventually(() => alice.page.getByRole('option').first().locator('bdi').textContent()).toBe('room-777')
  await alice.page.keyboard.press('Enter')
  await eventually(() => alice.page.locator('.room-title bdi').textContent()).toBe('room-777')
  await alice.button('join').click()
  await alice.isIn('room-777')
  await alice.say('found it')
  await eventually(() => alice.texts()).toEqual(['found it'])

  await alice.button('backToRooms').click()
  await alice.page.keyboard.press('Control+k')
  await alice.page.keyboard.insertText('WWW')
  await alice.page.keyboard.press('Enter')
  await eventually(() => alice.page.locator('.room-title bdi').textContent()).toBe(long)
  expect(await alice.page.evaluate(() => document.documentElement.scrollWidth)).toBe(320)
  mallory.close()
})

test('bytes that are no text, and floods of events', async ({ enter, daemon }) => {
  const mallory = await Lines.connect(daemon, 'mallory')
  await mallory.ask('join', { room: 'general' })
  await mallory.ask('send', { room: 'general', base64: '/////w==' })
  const alice = await enter('alice')
  await alice.join('general')
  await eventually(() => alice.texts()).toEqual([alice.label('bytes', { n: 4 })])
  await Promise.all(Array.from({ length: 300 }, () => mallory.ask('typing', { room: 'general' }).catch(() => undefined)))
  await Promise.all(Array.from({ length: 100 }, (_, at) => mallory.ask('nick', { name: `n${at}` }).catch(() => undefined)))
  await mallory.ask('send', { room: 'general', text: 'still here?' })
  await eventually(async () => (await alice.texts()).at(-1)).toBe('still here?')
  mallory.close()
})
