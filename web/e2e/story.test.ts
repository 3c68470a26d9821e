/** What a team does on its first day. */

import { eventually, expect, KOREAN, test } from './support/test'

test('two people find each other, a third catches up', async ({ enter, judge }) => {
  const alice = await enter('alice')
  const minji = await enter('민지', KOREAN)
  await eventually(() => minji.page.locator('.rooms-list').textContent()).toContain(minji.label('noRoomsAtAll'))

  await alice.createRoom('general', { topic: 'Everything about the release' })
  await minji.room('general').waitFor()
  await minji.join('general')
  await eventually(() => minji.page.locator('.topic').textContent()).toBe('Everything about the release')

  await alice.say('Good morning! Is the build ready?')
  await eventually(() => minji.texts()).toEqual(['Good morning! Is the build ready?'])
  await minji.say('네, 오늘 오후에 배포합니다.')
  await eventually(() => alice.texts()).toEqual(['Good morning! Is the build ready?', '네, 오늘 오후에 배포합니다.'])

  // A nick is shown beside the name, never in its place.
  await minji.say('/nick 김민지(팀장)')
  await eventually(async () => (await alice.shown())[1]?.by).toBe('김민지(팀장) 민지')
  await eventually(async () => (await minji.shown())[1]?.by).toBe('김민지(팀장) 민지')

  const chul = await enter('철수', KOREAN)
  await chul.join('general')
  await eventually(() => chul.shown()).toEqual([
    { by: 'alice', text: 'Good morning! Is the build ready?', state: '' },
    { by: '김민지(팀장) 민지', text: '네, 오늘 오후에 배포합니다.', state: '' },
  ])
  await chul.say('저도 왔습니다')
  for (const person of [alice, minji, chul]) {
    await eventually(async () => (await person.texts()).at(-1)).toBe('저도 왔습니다')
  }
  expect((await judge.messages('general')).map(({ client, text }) => [client, text])).toEqual([
    ['alice', 'Good morning! Is the build ready?'],
    ['민지', '네, 오늘 오후에 배포합니다.'],
    ['철수', '저도 왔습니다'],
  ])
})

test('a message is waiting, then on disk, then read', async ({ enter, cable, faults }) => {
  faults.allowUnreachable = true
  const alice = await enter('alice')
  await alice.createRoom('general')
  const state = async (): Promise<string | undefined> => (await alice.shown())[0]?.state

  cable.die()
  await alice.say('hello')
  await eventually(state).toBe(alice.label('waiting'))
  await cable.pull()
  await cable.plug()
  await eventually(state).toBe(alice.label('onDisk'))

  const bob = await enter('bob')
  await bob.join('general')
  await eventually(state).toBe(alice.label('readBy', { n: 1 }))
})

test('unread messages are counted live, and begin at a line that stays', async ({ enter }) => {
  const alice = await enter('alice')
  await alice.createRoom('lunch')
  await alice.createRoom('general')
  const bob = await enter('bob')
  await bob.join('lunch')
  await bob.say('first')
  await bob.say('second')
  await eventually(() => alice.room('lunch').locator('.badge').textContent()).toBe('2')
  await eventually(() => alice.page.title()).toBe('(2) dantok')

  await alice.open('lunch')
  await alice.page.locator('.unread-line').waitFor()
  await eventually(() => alice.texts()).toEqual(['first', 'second'])
  await eventually(() => alice.page.title()).toBe('dantok')
  await bob.say('third')
  await eventually(() => alice.texts()).toEqual(['first', 'second', 'third'])
  const before = alice.page.locator('.unread-line + article .text')
  expect(await before.allTextContents()).toEqual(['first'])
})

test('who is typing is shown, and who is here', async ({ enter }) => {
  const alice = await enter('alice')
  await alice.createRoom('general')
  const bob = await enter('bob')
  await bob.join('general')
  await bob.composer.focus()
  await bob.page.keyboard.insertText('I was thinking')
  await eventually(() => alice.page.locator('.typing bdi').textContent()).toBe(alice.label('typingOne', { name: 'bob' }))

  await alice.page.locator('.count').click()
  const here = alice.page.getByRole('complementary').locator('section', { hasText: alice.label('hereNow') })
  await eventually(() => here.locator('.nick').allTextContents()).toEqual(['alice', 'bob'])
  await bob.context.close()
  await eventually(() => here.locator('.nick').allTextContents()).toEqual(['alice'])
})

test('replies and redactions reach everybody', async ({ enter, judge }) => {
  const alice = await enter('alice')
  await alice.createRoom('general')
  const bob = await enter('bob')
  await bob.join('general')
  await alice.say('the password is hunter2')
  await alice.say('lunch at noon?')
  await eventually(() => bob.texts()).toEqual(['the password is hunter2', 'lunch at noon?'])

  await bob.say('/reply 2 yes')
  await eventually(() => alice.page.locator('.quote .quoted').allTextContents()).toEqual(['lunch at noon?'])
  await alice.articles.first().hover()
  await alice.button('redact').click()
  await alice.page.getByRole('dialog').getByRole('button', { name: alice.label('redact'), exact: true }).click()
  for (const person of [alice, bob]) {
    await eventually(async () => (await person.texts())[0]).toBe(person.label('redacted'))
    expect(await person.page.content()).not.toContain('hunter2')
  }
  const [first, , reply] = await judge.messages('general')
  expect(first).toMatchObject({ text: '', redacted: 4 })
  expect(reply?.reply).toBe(2)
})

test('rooms are private until somebody is invited, and go for everybody when deleted', async ({ enter, judge }) => {
  const alice = await enter('alice')
  const bob = await enter('bob')
  await alice.createRoom('board', { secret: true })
  await alice.createRoom('open')
  await bob.room('open').waitFor()
  expect(await bob.room('board').count()).toBe(0)

  await alice.open('board')
  await alice.isIn('board')
  await alice.say('/invite bob')
  await bob.join('board')
  await bob.say('thanks')
  await alice.say('/delete board')
  for (const person of [alice, bob]) await eventually(() => person.room('board').count()).toBe(0)
  expect((await judge.rooms()).map(({ room }) => room)).toEqual(['open'])
})
