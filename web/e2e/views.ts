/** The views of the page, each with how to get there. Left in this order, they follow from one another. */

import type { Lines } from './support/lines'
import type { Person } from './support/person'
import { eventually } from './support/test'

export type View = { name: string; go(person: Person): Promise<void>; leave?(person: Person): Promise<void> }

const escape = (person: Person): Promise<void> => person.page.keyboard.press('Escape')

/** Selects one's own last message. */
async function select(person: Person): Promise<void> {
  await person.composer.focus()
  await person.page.keyboard.press('Alt+ArrowUp')
}

function dialog(name: string, open: (person: Person) => Promise<void>): View {
  return {
    name,
    async go(person) {
      await open(person)
      await eventually(() => person.page.getByRole('dialog').count(), name).toBe(1)
    },
    async leave(person) {
      await escape(person)
      await eventually(() => person.page.getByRole('dialog').count(), name).toBe(0)
    },
  }
}

function fromMenu(key: Parameters<Person['label']>[0], name: string): View {
  return dialog(name, async (person) => {
    await person.button('menu').click()
    await person.page.getByRole('menuitem', { name: person.label(key), exact: true }).click()
  })
}

/** Everything there is to see in a room once signed in. */
export const VIEWS: View[] = [
  { name: 'the room', async go() {} },
  {
    name: 'a selected message',
    go: select,
    leave: escape,
  },
  {
    name: 'a reply being written',
    async go(person) {
      await select(person)
      await person.page.keyboard.press('r')
      await person.page.keyboard.insertText('/re')
    },
    async leave(person) {
      await person.composer.fill('')
      await escape(person)
    },
  },
  {
    name: 'the people',
    async go(person) {
      await person.page.locator('.count').click()
      await eventually(() => person.page.locator('.people .nick').count()).toBeGreaterThan(1)
    },
    leave: escape,
  },
  {
    name: 'what may be done with a person',
    async go(person) {
      await person.page.locator('.count').click()
      await person.page.locator('.people summary').first().click()
    },
    leave: escape,
  },
  {
    name: 'the menu',
    async go(person) {
      await person.button('menu').click()
      await person.page.getByRole('menu').waitFor()
    },
    leave: escape,
  },
  fromMenu('editTopic', 'changing the topic'),
  fromMenu('inviteSomeone', 'inviting somebody'),
  fromMenu('jumpToDate', 'jumping to a date'),
  fromMenu('deleteRoom', 'deleting the room'),
  dialog('taking a message back', async (person) => {
    await select(person)
    await person.page.keyboard.press('Delete')
  }),
  dialog('finding a room', (person) => person.page.keyboard.press('Control+k')),
  dialog('help', (person) => person.page.keyboard.press('Control+/')),
]

/** A room in which there is some of everything. */
export async function furnish(owner: Lines, others: readonly Lines[], room: string): Promise<void> {
  await owner.ask('create', { room, topic: 'Release 2.0 — https://example.org', private: true })
  for (const [at, other] of others.entries()) {
    await owner.ask('invite', { room, client: `guest${at}` })
    await other.ask('join', { room })
  }
  const [guest] = others
  await owner.ask('invite', { room, client: 'later' })
  await owner.ask('ban', { room, client: 'troll' })
  await guest?.ask('nick', { name: '김민지' })
  await owner.ask('join', { room })
  await owner.ask('send', { room, text: 'Good morning' })
  await guest?.ask('send', { room, text: '안녕하세요, https://example.org/builds/42 보세요' })
  await guest?.ask('send', { room, text: 'oops' })
  await guest?.ask('redact', { room, seq: 3 })
  await owner.ask('send', { room, text: 'Thanks!', reply: 2 })
  await owner.ask('send', { room, text: `${'A long message. '.repeat(400)}` })
  await owner.ask('send', { room, base64: '/////w==' })
  await guest?.ask('send', { room, text: '👍' })
}
