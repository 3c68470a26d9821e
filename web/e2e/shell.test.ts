/** The page without the daemon: kept by a service worker, installable. */

import { Lines } from './support/lines'
import { eventually, expect, test } from './support/test'

test('it opens without the daemon, with the rooms as they were', async ({ enter, daemon, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  await alice.say('m1')
  await eventually(() => alice.unsettled()).toEqual([])
  await alice.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined))
  await eventually(() => alice.kept('rooms')).toMatchObject([[{ room: 'general' }]])

  await daemon.kill()
  await alice.page.goto('about:blank')
  await alice.goto('#/general')
  await alice.isOffline('general')
  await alice.room('general').waitFor()
  await alice.say('m2')
  await eventually(() => alice.texts()).toEqual(['m2'])

  await daemon.start()
  await eventually(() => alice.texts()).toEqual(['m1', 'm2'])
  const judge = await Lines.connect(daemon, 'judge')
  await eventually(() => judge.texts('general')).toEqual(['m1', 'm2'])
  judge.close()
})

test('what it keeps is the page and nothing else, and only one version of it', async ({ enter }) => {
  const alice = await enter('alice')
  await alice.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined))
  const cached = await alice.page.evaluate(async () => {
    const names = await caches.keys()
    const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()))
    return requests.map((all) => all.map(({ url }) => new URL(url).pathname.replace(/-[\w-]{8}\./, '.')).sort())
  })
  expect(cached).toHaveLength(1)
  expect(cached[0]).toContain('/')
  expect(cached[0]).toContain('/assets/index.js')
  expect(cached[0]).toContain('/assets/index.css')
  expect(cached[0]!.filter((path) => /ws|api|healthz/.test(path))).toEqual([])

  // Everything that the page needs is among it.
  const loaded = await alice.page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname.replace(/-[\w-]{8}\./, '.')))
  for (const path of loaded.filter((path) => path !== '/sw.js')) expect(cached[0]).toContain(path)
})

test('the manifest makes it installable', async ({ enter }) => {
  const alice = await enter('alice')
  const session = await alice.context.newCDPSession(alice.page)
  await eventually(async () => {
    const { errors, data } = await session.send('Page.getAppManifest')
    return { errors, named: data?.includes('dantok') }
  }).toEqual({ errors: [], named: true })
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors')
  expect(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito')).toEqual([])
})
