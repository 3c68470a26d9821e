/** `test` with a daemon, and people. Any test fails if a page threw, logged an error or violated its security policy. */

import { test as base } from 'vitest'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import { ENGLISH, Faults, launch, noteViolations } from './browser'
import { serveBuilt } from './built'
import { Cable } from './cable'
import { Daemon } from './daemon'
import { Lines } from './lines'
import { Person } from './person'

export { expect } from 'vitest'
export { ENGLISH, KOREAN } from './browser'
export { eventually, until } from './wait'

type Fixtures = {
  browser: Browser
  /** Who has a token, if the daemon is to demand them. */
  withTokens: readonly string[]
  daemon: Daemon
  /** Between the browsers and the daemon. */
  cable: Cable
  faults: Faults
  /** Gives somebody a browser of their own. */
  arrive(name: string, options?: BrowserContextOptions): Promise<Person>
  /** The same, and signs them in. */
  enter(name: string, options?: BrowserContextOptions): Promise<Person>
  /** Reads over TCP what the daemon has. */
  judge: Lines
}

export const test = base.extend<Fixtures>({
  browser: [
    async ({}, use) => {
      const browser = await launch()
      await use(browser)
      await browser.close()
    },
    { scope: 'file' },
  ],
  withTokens: [],
  daemon: async ({ withTokens }, use) => {
    const daemon = await Daemon.start(withTokens)
    await use(daemon)
    await daemon.remove()
  },
  cable: async ({ daemon }, use) => {
    const dist = process.env.DANTOK_E2E_DIST
    const built = dist === undefined ? null : await serveBuilt(dist, () => daemon.web)
    const cable = await Cable.to(built?.address ?? daemon.web)
    await use(cable)
    await cable.pull()
    built?.server.close()
  },
  faults: async ({}, use) => {
    const faults = new Faults()
    await use(faults)
    faults.expectNone()
  },
  arrive: async ({ browser, cable, faults }, use) => {
    const people: Person[] = []
    await use(async (name, options = ENGLISH) => {
      const context = await browser.newContext(options)
      context.setDefaultTimeout(30_000)
      faults.watch(context)
      await context.addInitScript(noteViolations)
      const person = new Person(name, context, await context.newPage(), `http://127.0.0.1:${cable.port}/`, options.locale ?? 'en')
      people.push(person)
      return person
    })
    for (const person of people) {
      faults.found.push(...(await person.violations()))
      await person.context.close()
    }
  },
  enter: async ({ arrive }, use) => {
    await use(async (name, options) => {
      const person = await arrive(name, options)
      await person.signIn()
      return person
    })
  },
  judge: async ({ daemon }, use) => {
    const judge = await Lines.connect(daemon, 'judge', daemon.tokens.judge)
    await use(judge)
    judge.close()
  },
})
