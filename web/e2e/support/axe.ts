/** axe-core, run in a world of its own beside the page's scripts, which neither sees nor is bound by the page's security policy. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults, RunOptions } from 'axe-core'
import type { Person } from './person'

const SOURCE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const OPTIONS: RunOptions = {
  runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] },
  resultTypes: ['violations'],
}

/** What is wrong with what this person sees now; empty if nothing is. */
export async function violationsOf(person: Person): Promise<string[]> {
  const session = await person.context.newCDPSession(person.page)
  const { frameTree } = await session.send('Page.getFrameTree')
  const { executionContextId: contextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' })
  await session.send('Runtime.evaluate', { contextId, expression: `typeof axe === 'undefined' && (() => {${SOURCE}})()` })
  const { result, exceptionDetails } = await session.send('Runtime.evaluate', {
    contextId, expression: `axe.run(document, ${JSON.stringify(OPTIONS)})`, awaitPromise: true, returnByValue: true,
  })
  await session.detach()
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  const { violations } = result.value as AxeResults
  return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 200)} ${node.failureSummary ?? ''}`))
}
