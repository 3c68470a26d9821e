/** Nothing that was entered is lost, doubled or reordered, whatever breaks. What counts is what the daemon has in the end. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium, type BrowserContext } from 'playwright-core'
import { LAUNCH } from './support/browser'
import { Lines } from './support/lines'
import { Person } from './support/person'
import { ENGLISH, eventually, expect, test, until } from './support/test'

const numbered = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, at) => `m${from + at}`)

async function sayAll(person: Person, texts: string[]): Promise<void> {
  for (const text of texts) await person.say(text)
}

test('the daemon is killed while somebody types, again and again', async ({ enter, daemon, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  const bob = await enter('bob')
  await bob.join('general')
  const wanted = numbered(1, 60)
  const rounds = 3
  const entering = sayAll(alice, wanted)
  for (let round = 1; round <= rounds; round++) {
    await until('some of it was entered', async () => (await alice.articles.count()) >= (round * wanted.length) / (rounds + 1))
    await daemon.kill()
    await new Promise((resolve) => setTimeout(resolve, 100))
    await daemon.start()
  }
  await entering
  await eventually(() => alice.unsettled()).toEqual([])
  const judge = await Lines.connect(daemon, 'judge')
  expect(await judge.texts('general')).toEqual(wanted)
  judge.close()
  for (const person of [alice, bob]) await eventually(() => person.texts()).toEqual(wanted)
})

test('what was entered without a connection survives a reload, and so does what is half typed', async ({ enter, daemon, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  await alice.say('m1')
  await eventually(() => alice.unsettled()).toEqual([])
  // The service worker has the page by now, so that it opens without the daemon.
  await alice.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined))

  await cable.pull()
  await sayAll(alice, ['m2', 'm3'])
  await alice.composer.fill('half of a sent')
  await eventually(() => alice.status.textContent()).toContain(alice.label('offlineWaiting', { n: 2 }))
  await eventually(() => alice.kept('drafts')).toEqual(['half of a sent'])

  await alice.page.reload()
  await alice.isOffline('general')
  await eventually(() => alice.texts()).toEqual(['m2', 'm3'])
  expect(await alice.composer.inputValue()).toBe('half of a sent')
  await alice.composer.fill('')
  await alice.say('m4')

  await daemon.restart()
  await cable.plug()
  await eventually(() => alice.texts()).toEqual(['m1', 'm2', 'm3', 'm4'])
  await eventually(() => alice.unsettled()).toEqual([])
  const judge = await Lines.connect(daemon, 'judge')
  expect(await judge.texts('general')).toEqual(['m1', 'm2', 'm3', 'm4'])
  judge.close()
})

test('answers that are lost with the connection double nothing', async ({ enter, judge, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  const vanished = await alice.watchTexts()
  for (const text of numbered(1, 6)) {
    // The daemon hears the message; the page never hears the answer.
    cable.muffle()
    await alice.say(text)
    await eventually(() => judge.texts('general')).toContain(text)
    await cable.pull()
    await cable.plug()
    await eventually(() => alice.unsettled()).toEqual([])
  }
  expect(await judge.texts('general')).toEqual(numbered(1, 6))
  expect(await alice.texts()).toEqual(numbered(1, 6))
  expect(await vanished()).toEqual([])
})

test('a line that goes dead is noticed, and what waited is sent', async ({ enter, judge, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  cable.die()
  await alice.say('m1')
  cable.revive()
  await alice.say('m2')
  // As when a laptop is opened: the page looks at once whether the connection is still alive.
  await alice.page.evaluate(() => window.dispatchEvent(new Event('online')))
  await eventually(() => alice.unsettled()).toEqual([])
  expect(await judge.texts('general')).toEqual(['m1', 'm2'])
})

test('the browser says that it is offline, and online again', async ({ enter, judge, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  await alice.context.setOffline(true)
  await sayAll(alice, ['m1', 'm2'])
  await alice.context.setOffline(false)
  await eventually(() => alice.unsettled()).toEqual([])
  expect(await judge.texts('general')).toEqual(['m1', 'm2'])
})

test('two tabs of one person send what each was given, once', async ({ enter, judge, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  const page = await alice.context.newPage()
  const second = new Person('alice', alice.context, page, alice.address, 'en')
  await second.signIn()
  await second.open('general')
  await second.isIn('general')

  await cable.pull()
  await sayAll(alice, ['a1', 'a2'])
  await sayAll(second, ['b1', 'b2'])
  await eventually(() => alice.kept('waiting')).toHaveLength(4)
  // One tab is closed with messages in it; the other sends them.
  await page.close()
  await cable.plug()
  await until('all are stored', async () => (await judge.texts('general')).length >= 4)
  await eventually(() => alice.texts()).toHaveLength(4)
  const texts = await judge.texts('general')
  expect(texts.filter((text) => text?.startsWith('a'))).toEqual(['a1', 'a2'])
  expect(texts.filter((text) => text?.startsWith('b'))).toEqual(['b1', 'b2'])
})

test('the browser is killed with messages waiting, and the next one sends them', async ({ daemon, cable, judge }) => {
  const profile = mkdtempSync(join(tmpdir(), 'dantok-e2e-profile-'))
  const address = `http://127.0.0.1:${cable.port}/`
  const open = async (): Promise<{ context: BrowserContext; person: Person }> => {
    const context = await chromium.launchPersistentContext(profile, { ...ENGLISH, ...LAUNCH })
    return { context, person: new Person('alice', context, context.pages()[0] ?? (await context.newPage()), address, 'en') }
  }
  const first = await open()
  await first.person.signIn()
  await first.person.createRoom('general')
  await first.person.say('m1')
  await eventually(() => first.person.unsettled()).toEqual([])
  await cable.pull()
  await sayAll(first.person, ['m2', 'm3'])
  await eventually(() => first.person.texts()).toEqual(['m1', 'm2', 'm3'])
  for (const pid of processesOf(profile)) process.kill(pid, 'SIGKILL')
  await first.context.close().catch(() => undefined)

  await daemon.restart()
  await cable.plug()
  const second = await open()
  await second.person.signIn()
  const again = await Lines.connect(daemon, 'judge')
  await eventually(() => again.texts('general')).toEqual(['m1', 'm2', 'm3'])
  again.close()
  judge.close()
  await second.context.close()
  rmSync(profile, { recursive: true, force: true })
})

/** The processes of the browser that was started on this profile, its own first. */
function processesOf(profile: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(`--user-data-dir=${profile}`)
    } catch {
      return false
    }
  })
}

test('what the daemon refuses stays until the person decides', async ({ enter, daemon, judge, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  const bob = await enter('bob')
  await bob.join('general')

  await cable.pull()
  await bob.say('let me in')
  const owner = await Lines.connect(daemon, 'alice')
  await owner.ask('ban', { room: 'general', client: 'bob' })
  await cable.plug()
  await eventually(async () => (await bob.shown()).at(-1)).toEqual({ by: 'bob', text: 'let me in', state: 'refused' })
  await owner.ask('unban', { room: 'general', client: 'bob' })
  expect(await judge.texts('general')).toEqual([])

  await bob.button('join').click()
  await bob.page.getByRole('article').getByRole('button', { name: bob.label('retry') }).click()
  await eventually(() => judge.texts('general')).toEqual(['let me in'])
  await eventually(() => bob.unsettled()).toEqual([])
  owner.close()
})
