/** One Enter, one message, whole: typing with an input method. */

import type { Lines } from './support/lines'
import { InputMethod, type Platform } from './support/ime'
import type { Person } from './support/person'
import { eventually, expect, KOREAN, test } from './support/test'

/** Every way in which Enter reaches the page. */
const PLATFORMS: Platform[] = ['linux', 'windows', 'mac', 'none']

/** What is stored once another message, typed in the plainest way, is. */
async function stored(person: Person, judge: Lines): Promise<(string | undefined)[]> {
  await eventually(() => person.composer.inputValue()).toBe('')
  await person.say('the end')
  await eventually(async () => (await person.texts()).at(-1)).toBe('the end')
  await eventually(async () => (await person.shown()).every(({ state }) => state !== person.label('waiting'))).toBe(true)
  return (await judge.texts('수다방')).slice(0, -1)
}

for (const platform of PLATFORMS) {
  test(`Enter sends the syllable that is being composed, once (${platform})`, async ({ enter, judge }) => {
    const minji = await enter('민지', KOREAN)
    await minji.createRoom('수다방')
    const keyboard = await InputMethod.of(minji)

    await keyboard.compose('ㅇ', '아', '안')
    await keyboard.commit('안')
    await keyboard.compose('ㄴ', '녀', '녕')
    await keyboard.enter('녕', platform)
    await eventually(() => minji.texts()).toEqual(['안녕'])

    // The end of a syllable that may yet move on to the next one: 값 + ㅣ is 갑시.
    await keyboard.compose('ㄱ', '가', '갑', '값')
    await keyboard.enter('값', platform)
    await eventually(() => minji.texts()).toEqual(['안녕', '값'])

    // Letters of a laugh are no syllables.
    await keyboard.compose('ㅋ')
    await keyboard.commit('ㅋ')
    await keyboard.compose('ㅋ')
    await keyboard.enter('ㅋ', platform)
    await eventually(() => minji.texts()).toEqual(['안녕', '값', 'ㅋㅋ'])
    expect(await stored(minji, judge)).toEqual(['안녕', '값', 'ㅋㅋ'])
  })
}

test('Hangul, Latin letters, digits and line breaks are mixed', async ({ enter, judge }) => {
  const minji = await enter('민지', KOREAN)
  await minji.createRoom('수다방')
  const keyboard = await InputMethod.of(minji)

  await minji.page.keyboard.type('PR 42 ')
  await keyboard.compose('ㄷ', '도', '돼')
  await keyboard.enter('돼', 'mac')
  await eventually(() => minji.texts()).toEqual(['PR 42 돼'])

  await keyboard.compose('ㅇ', '아')
  await keyboard.commit('아')
  await minji.page.keyboard.type(' ok')
  await keyboard.plainEnter()
  await eventually(() => minji.texts()).toEqual(['PR 42 돼', '아 ok'])

  // Composing in the middle of what is typed already.
  await minji.page.keyboard.type('ab')
  await minji.page.keyboard.press('ArrowLeft')
  await keyboard.compose('ㄱ', '가', '각')
  await keyboard.enter('각', 'linux')
  await eventually(() => minji.texts()).toEqual(['PR 42 돼', '아 ok', 'a각b'])

  await keyboard.compose('ㅎ', '하', '한')
  await keyboard.commit('한')
  await minji.page.keyboard.press('Shift+Enter')
  await keyboard.compose('ㅈ', '주', '줄')
  await keyboard.enter('줄', 'windows')
  expect(await stored(minji, judge)).toEqual(['PR 42 돼', '아 ok', 'a각b', '한\n줄'])
})

test('somebody who types fast and holds Enter sends one message', async ({ enter, judge }) => {
  const minji = await enter('민지', KOREAN)
  await minji.createRoom('수다방')
  const keyboard = await InputMethod.of(minji)
  await keyboard.compose('ㄴ', '네')
  await keyboard.enter('네', 'mac')
  await keyboard.compose('ㅇ', '으', '응')
  await keyboard.enter('응', 'linux')
  await minji.page.keyboard.down('Enter')
  await minji.page.keyboard.down('Enter')
  await minji.page.keyboard.up('Enter')
  expect(await stored(minji, judge)).toEqual(['네', '응'])
})

for (const platform of ['linux', 'mac'] as const) {
  test(`the first Enter picks a conversion in Japanese, the second sends (${platform})`, async ({ enter, judge }) => {
    const minji = await enter('민지', KOREAN)
    await minji.createRoom('수다방')
    const keyboard = await InputMethod.of(minji)
    await keyboard.compose('に', 'にほん', '日本')
    if (platform === 'linux') await keyboard.enter('日本', 'linux')
    else await keyboard.pick('日本')
    await eventually(() => minji.composer.inputValue()).toBe('日本')
    expect(await minji.texts()).toEqual([])

    await keyboard.plainEnter()
    await eventually(() => minji.texts()).toEqual(['日本'])
    expect(await stored(minji, judge)).toEqual(['日本'])
  })
}
