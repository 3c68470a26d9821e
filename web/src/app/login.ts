/** Who signs in: from the address, from what the browser remembers, or from the form. */

import { recall, remember } from './prefs'

export type Login = { client: string; token: string; remembered: boolean }

/** What the address says, as in `/#token=…&client=alice`. */
export type Link = { token: string; client: string; room: string }

export function fromHash(hash: string): Link | null {
  const fields = new URLSearchParams(hash.replace(/^#/, ''))
  const token = fields.get('token')
  if (!token) return null
  return { token, client: fields.get('client') ?? '', room: fields.get('room') ?? '' }
}

/** A person's name becomes this device of theirs; a name with a device stays as it is. */
export function clientOf(name: string): string {
  const trimmed = name.trim().normalize('NFC')
  return trimmed === '' || trimmed.includes('/') ? trimmed : `${trimmed}/web`
}

/** The name to show in the form for a client. */
export function nameOf(client: string): string {
  return client.replace(/\/web$/, '')
}

export function recalled(): Login | null {
  const client = recall('client') ?? recall('client', false)
  if (!client) return null
  const token = recall('token') ?? ''
  // A name alone is no secret: it signs in again after a reload, unless it needs a token that was not kept.
  if (token === '' && recall('with-token', false)) return null
  return { client, token, remembered: recall('client') !== null }
}

export function lastName(): string {
  return nameOf(recall('client') ?? recall('client', false) ?? '')
}

export function keep(login: Login): void {
  remember('client', login.client, false)
  remember('with-token', login.token === '' ? null : 'yes', false)
  remember('client', login.remembered ? login.client : null)
  remember('token', login.remembered && login.token !== '' ? login.token : null)
}

export function forget(): void {
  for (const key of ['client', 'token']) remember(key, null)
  remember('client', null, false)
  remember('with-token', null, false)
}
