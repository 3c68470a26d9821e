/** Names and tokens: who gets in, and what the browser keeps of it. */

import type { Person } from './support/person'
import { eventually, expect, test as base } from './support/test'

const test = base.override({ withTokens: ['alice', 'bob', 'judge'] })

/** All that the browser keeps, here and for later. */
function remembered(person: Person): Promise<{ local: string; session: string }> {
  return person.page.evaluate(() => ({ local: JSON.stringify({ ...localStorage }), session: JSON.stringify({ ...sessionStorage }) }))
}

async function fillIn(person: Person, token: string, { remember = false } = {}): Promise<void> {
  await person.page.locator('#sign-name').fill(person.name)
  if (!(await person.page.locator('#sign-token').isVisible())) {
    await person.button('signIn').click()
    await person.page.locator('#sign-token').waitFor()
  }
  await person.page.locator('#sign-token').fill(token)
  if (remember) await person.page.getByLabel(person.label('rememberMe')).check()
  await person.button('signIn').click()
}

test('a token is asked for where the daemon demands one, and checked', async ({ arrive, daemon }) => {
  const alice = await arrive('alice')
  await alice.goto()
  expect(await alice.page.locator('#sign-token').count()).toBe(0)
  await alice.page.locator('#sign-name').fill('alice')
  await alice.button('signIn').click()
  await eventually(() => alice.page.getByRole('alert').textContent()).toBe(alice.label('tokenHint'))
  await fillIn(alice, 'not-a-token')
  await eventually(() => alice.page.getByRole('alert').textContent()).toBe(alice.label('tokenWrong'))
  await fillIn(alice, daemon.tokens.bob!)
  await eventually(() => alice.page.getByRole('alert').textContent()).toBe(alice.label('tokenWrong'))
  await fillIn(alice, daemon.tokens.alice!)
  await alice.createRoom('general')
})

test('a token is forgotten with the page, unless the person wants it kept', async ({ arrive, daemon }) => {
  const alice = await arrive('alice')
  const token = daemon.tokens.alice!
  await alice.goto()
  expect(await alice.page.getByLabel(alice.label('rememberMe')).isChecked()).toBe(false)
  await fillIn(alice, token)
  await alice.page.locator('.rooms-foot').waitFor()
  for (const kept of Object.values(await remembered(alice))) expect(kept).not.toContain(token)
  expect(await alice.context.cookies()).toEqual([])
  await alice.page.reload()
  await alice.button('signIn').waitFor()
  expect(await alice.page.locator('#sign-name').inputValue()).toBe('alice')

  await fillIn(alice, token, { remember: true })
  await alice.page.locator('.rooms-foot').waitFor()
  await alice.page.reload()
  await alice.page.locator('.rooms-foot').waitFor()
  await alice.createRoom('general')

  await alice.button('settings').click()
  await alice.button('signOut').click()
  await alice.button('signIn').waitFor()
  for (const kept of Object.values(await remembered(alice))) expect(kept).not.toContain(token)
  await alice.page.reload()
  await alice.button('signIn').waitFor()
})

test('a link signs in, and the token leaves the address at once', async ({ arrive, daemon }) => {
  const bob = await arrive('bob')
  const token = daemon.tokens.bob!
  const visited: string[] = []
  bob.page.on('framenavigated', (frame) => visited.push(frame.url()))
  await bob.goto(`#token=${token}&client=bob`)
  await bob.page.locator('.rooms-foot').waitFor()
  expect(await bob.page.evaluate(() => location.href)).not.toContain(token)
  // Going back leads out of the page, and not to an address with a token in it.
  expect(await bob.page.evaluate(() => history.length)).toBe(2)
  const { local } = await remembered(bob)
  expect(local).not.toContain(token)
  await bob.createRoom('general')
})

test('who loses their token is told, and let in with a new one', async ({ arrive, daemon, judge, faults }) => {
  faults.allowUnreachable = true
  const bob = await arrive('bob')
  await bob.goto()
  await fillIn(bob, daemon.tokens.bob!)
  await bob.createRoom('general')
  daemon.run('token', 'revoke', 'bob')
  await eventually(() => bob.page.getByRole('alert').allTextContents()).toEqual([bob.label('tokenEnded')])
  const fresh = daemon.run('token', 'issue', 'bob')
  await fillIn(bob, fresh)
  await bob.open('general')
  await bob.isIn('general')
  await bob.say('back again')
  await eventually(() => judge.texts('general')).toEqual(['back again'])
})
