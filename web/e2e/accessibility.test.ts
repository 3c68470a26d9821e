/** The page for people who use a keyboard, a screen reader, a phone, or their own colours. */

import { violationsOf } from './support/axe'
import { Lines } from './support/lines'
import type { Daemon } from './support/daemon'
import { ENGLISH, eventually, expect, KOREAN, test } from './support/test'
import { furnish, VIEWS } from './views'
import type { Person } from './support/person'

async function furnished(daemon: Daemon): Promise<void> {
  const [owner, ...guests] = await Promise.all(['alice/desk', 'guest0', 'guest1'].map((name) => Lines.connect(daemon, name)))
  await furnish(owner!, guests, 'release')
  for (const one of [owner!, ...guests]) one.close()
}

/** In dark and in light, with nothing moving. */
async function expectAccessible(person: Person, view: string): Promise<void> {
  for (const colorScheme of ['dark', 'light'] as const) {
    await person.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    expect(await violationsOf(person), `${view}, ${colorScheme}`).toEqual([])
  }
}

for (const [screen, options] of [['desktop', ENGLISH], ['phone', { ...KOREAN, viewport: { width: 320, height: 568 } }]] as const) {
  test(`axe finds nothing in any view (${screen})`, async ({ arrive, daemon }) => {
    await furnished(daemon)
    const alice = await arrive('alice', { ...options, reducedMotion: 'reduce' })
    await alice.goto()
    await alice.button('signIn').waitFor()
    await expectAccessible(alice, 'signing in')
    await alice.signIn()
    await alice.room('release').waitFor()
    await expectAccessible(alice, 'the rooms')
    for (const key of ['newRoom', 'settings'] as const) {
      await alice.button(key).click()
      await expectAccessible(alice, key)
      await alice.page.keyboard.press('Escape')
    }
    await alice.join('release')
    await eventually(() => alice.articles.count()).toBe(7)
    await alice.say('from the page')
    await eventually(() => alice.unsettled()).toEqual([])
    for (const view of VIEWS) {
      await view.go(alice)
      await expectAccessible(alice, view.name)
      await view.leave?.(alice)
    }
  })
}

test('axe finds nothing while the connection is lost, or a message was refused', async ({ enter, cable, daemon, faults }) => {
  faults.allowUnreachable = true
  await furnished(daemon)
  const alice = await enter('alice')
  await alice.join('release')
  await cable.pull()
  await alice.say('is anybody there?')
  await eventually(() => alice.status.textContent()).toContain(alice.label('offlineWaiting', { n: 1 }))
  await expectAccessible(alice, 'no connection')
  const owner = await Lines.connect(daemon, 'alice/desk')
  await owner.ask('delete', { room: 'release' })
  await cable.plug()
  await eventually(() => alice.room('release').count()).toBe(0)
  await expectAccessible(alice, 'the room is gone')
  owner.close()
})

test('everything can be done with a keyboard, and the focus is never lost', async ({ arrive, daemon, judge }) => {
  await furnished(daemon)
  const alice = await arrive('alice', { ...ENGLISH, reducedMotion: 'reduce' })
  const { keyboard } = alice.page
  /** Presses keys, and finds the focus somewhere after each. */
  const press = async (...keys: string[]): Promise<void> => {
    for (const key of keys) {
      await keyboard.press(key)
      await eventually(() => alice.focused()).not.toBe('nothing')
    }
  }
  await alice.goto()
  await eventually(() => alice.focused()).toBe('sign-name')
  await keyboard.insertText('alice')
  await press('Enter')
  await alice.room('release').waitFor()

  // A new room, and a message in it.
  await tabTo(alice, alice.label('newRoom'))
  await press('Enter')
  await keyboard.insertText('kitchen')
  await press('Enter')
  await alice.isIn('kitchen')
  await eventually(() => alice.focused()).toBe(alice.label('writeTo', { room: 'kitchen' }))
  await keyboard.insertText('coffee is ready')
  await press('Enter')
  await eventually(() => judge.texts('kitchen')).toEqual(['coffee is ready'])

  // Another room by name; then back with the arrows.
  await press('Control+k')
  await keyboard.insertText('rele')
  await press('Enter')
  await eventually(() => alice.page.locator('.room-title bdi').textContent()).toBe('release')
  await tabTo(alice, alice.label('join'))
  await press('Enter')
  await alice.isIn('release')
  await press('Alt+Shift+ArrowDown')
  await alice.isIn('kitchen')

  // Reply to a message, and take it back.
  await press('Alt+ArrowUp', 'r')
  await keyboard.insertText('on my way')
  await press('Enter')
  await eventually(() => judge.messages('kitchen').then((all) => all.at(-1))).toMatchObject({ text: 'on my way', reply: 1 })
  await eventually(() => alice.unsettled()).toEqual([])
  await press('Alt+ArrowUp', 'Delete')
  await alice.page.getByRole('dialog').waitFor()
  await press('Enter')
  await eventually(() => judge.messages('kitchen').then((all) => all[1]?.redacted)).toBe(3)
  await eventually(() => alice.focused()).not.toBe('nothing')

  // The topic, from the menu.
  await tabTo(alice, alice.label('menu'))
  await press('Enter', 'Enter')
  await keyboard.insertText('What is there to eat')
  await press('Enter')
  await eventually(() => alice.page.locator('.topic').textContent()).toBe('What is there to eat')
  await eventually(() => alice.focused()).toBe(alice.label('menu'))

  // People, help, and round the regions.
  await tabTo(alice, `2 ${alice.label('people')}`)
  await press('Enter', 'Escape', 'Control+/', 'Escape')
  const regions = new Set<string>()
  for (let at = 0; at < 4; at++) {
    await press('F6')
    regions.add(await alice.focused())
  }
  expect(regions.size).toBeGreaterThan(2)

  // Leave, and sign out.
  await tabTo(alice, alice.label('menu'))
  await press('Enter', 'End', 'ArrowUp')
  expect(await alice.focused()).toBe(alice.label('leaveRoom'))
  await press('Enter')
  await eventually(() => judge.members('kitchen').then((all) => all.map(({ client }) => client))).toEqual(['judge'])
  await tabTo(alice, alice.label('settings'))
  await press('Enter')
  await tabTo(alice, alice.label('signOut'))
  await press('Enter')
  await eventually(() => alice.focused()).toBe('sign-name')
})

/** Goes on with Tab to what has this name; every stop on the way shows that it has the focus. */
async function tabTo(person: Person, name: string): Promise<void> {
  const stops: string[] = []
  for (let at = 0; at < 60; at++) {
    if ((await person.focused()) === name) return
    await person.page.keyboard.press('Tab')
    const stop = await person.focused()
    stops.push(stop)
    // Past its end, the browser's own buttons have the focus.
    if (stop !== 'nothing') expect(await outlined(person), `the focus can be seen on ${stop}`).toBe(true)
  }
  throw new Error(`Tab does not lead to ${name}, only to ${stops.join(', ')}`)
}

/** Whether what has the focus, or what holds it, is marked. */
function outlined(person: Person): Promise<boolean> {
  return person.page.evaluate(() => {
    const element = document.activeElement
    if (!element) return false
    const marked = (one: Element): boolean => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one)
      return (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || boxShadow !== 'none'
    }
    return marked(element) || (element.matches('textarea') && (element.parentElement ? marked(element.parentElement) : false))
  })
}

test('additions by others are announced, and only those', async ({ enter, daemon }) => {
  const bob = await Lines.connect(daemon, 'bob')
  await bob.ask('join', { room: 'general' })
  await bob.feed('general', ['old 1', 'old 2'])
  const alice = await enter('alice')
  await alice.join('general')
  await eventually(() => alice.texts()).toEqual(['old 1', 'old 2'])
  expect(await alice.page.locator('[data-announcements]').getAttribute('aria-live')).toBe('polite')
  expect(await alice.page.getByRole('log').getAttribute('aria-live')).toBe('off')
  expect(await alice.announced()).toBe('')

  await alice.say('mine')
  await eventually(() => alice.unsettled()).toEqual([])
  expect(await alice.announced()).toBe('')
  await bob.ask('send', { room: 'general', text: 'yours' })
  await eventually(() => alice.announced()).toBe('bob: yours')
  await bob.feed('general', Array.from({ length: 200 }, (_, at) => `flood ${at}`))
  await eventually(() => alice.announced()).toMatch(/^\d+ new messages$|^(bob: flood \d+\n?){1,3}$/)
  bob.close()
})

test('it fits a phone of 320 pixels, with room for fingers', async ({ enter, daemon }) => {
  await furnished(daemon)
  const alice = await enter('alice', { ...KOREAN, viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true })
  const expectFits = async (view: string): Promise<void> => {
    expect(await alice.page.evaluate(() => document.documentElement.scrollWidth), `${view}: the width`).toBe(320)
    const small = await alice.page.locator('button:visible, input:visible, textarea:visible, summary:visible').evaluateAll((all) =>
      all.flatMap((one) => {
        const { left, right, width, height } = one.getBoundingClientRect()
        const inLine = one.matches('.log *, [type=checkbox]')
        const fits = left >= 0 && right <= 320 && (inLine || (width >= 24 && height >= 24))
        return fits ? [] : [`${one.outerHTML.slice(0, 100)} ${width}×${height} at ${left}`]
      }),
    )
    expect(small, `${view}: what does not fit`).toEqual([])
  }
  await expectFits('the rooms')
  await alice.room('release').tap()
  await alice.button('join').tap()
  await alice.isIn('release')
  expect(await alice.page.locator('.rooms').isVisible()).toBe(false)
  await alice.say('from a phone')
  await eventually(() => alice.unsettled()).toEqual([])
  for (const view of VIEWS) {
    await view.go(alice)
    await expectFits(view.name)
    await view.leave?.(alice)
  }
  // A message is selected by touching it.
  await alice.articles.first().tap()
  await alice.button('reply').tap()
  await alice.composer.fill('네')
  await alice.button('send').tap()
  await eventually(async () => (await alice.texts()).at(-1)).toBe('네')
  await alice.button('backToRooms').tap()
  await alice.room('release').waitFor()
  await expectFits('the rooms again')
})
