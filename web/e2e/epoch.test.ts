/** Rooms that an operator restored from a backup: the page says so, and what it still has to send is sent. */

import { Lines } from './support/lines'
import { eventually, expect, test } from './support/test'

test('a restored backup is told, and nothing of before is shown as if it were there', async ({ enter, daemon, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  await alice.say('in the backup')
  await eventually(() => alice.unsettled()).toEqual([])
  await daemon.terminate()
  daemon.backUp()
  await daemon.start()
  for (const text of ['lost 1', 'lost 2']) await alice.say(text)
  await eventually(() => alice.unsettled()).toEqual([])
  expect(await alice.page.getByRole('alert').count()).toBe(0)

  await daemon.terminate()
  await alice.say('typed meanwhile')
  daemon.restore()
  await daemon.start()
  await eventually(() => alice.page.getByRole('alert').textContent()).toContain(alice.label('epoch'))
  await eventually(() => alice.texts()).toEqual(['in the backup', 'typed meanwhile'])
  await eventually(() => alice.unsettled()).toEqual([])
  const judge = await Lines.connect(daemon, 'judge')
  expect(await judge.texts('general')).toEqual(['in the backup', 'typed meanwhile'])
  judge.close()

  // It stays until it was read.
  await alice.say('and on')
  await eventually(() => alice.texts()).toHaveLength(3)
  await alice.button('dismiss').click()
  await eventually(() => alice.page.getByRole('alert').count()).toBe(0)
})

test('a page that was closed meanwhile is told as well', async ({ enter, daemon, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  await alice.say('in the backup')
  await eventually(() => alice.unsettled()).toEqual([])
  await daemon.terminate()
  daemon.backUp()
  await daemon.start()
  await alice.say('lost')
  await eventually(() => alice.unsettled()).toEqual([])
  await alice.page.goto('about:blank')
  await daemon.terminate()
  daemon.restore()
  await daemon.start()

  await alice.goto('#/general')
  await eventually(() => alice.page.getByRole('alert').textContent()).toContain(alice.label('epoch'))
  await eventually(() => alice.texts()).toEqual(['in the backup'])
})
