/** What the daemon writes: one object a line, as "FORMAT" in protocol.md describes. */

export type Tagged = { tag?: number | string }

export type Ok = Tagged & {
  type: 'ok'
  seq?: number
  dup?: boolean
  cursor?: number | null
  last?: number
  created?: boolean
  number?: number
  after?: number
  count?: number
  topic?: string
  server?: string
  version?: number
  client?: string
  max_body?: number
  retention_secs?: number
  admin?: boolean
  epoch?: string
}
export type Failed = Tagged & { type: 'error'; code: string; text: string; wait_ms?: number }
export type End = Tagged & { type: 'end'; room: string; handed: number; oldest: number; last: number }
export type Message = Tagged & {
  type: 'message'
  room: string
  seq: number
  time: string
  client: string
  text?: string
  base64?: string
  reply?: number
  redacts?: number
  redacted?: number
}
export type Gap = Tagged & { type: 'gap'; room: string; from: number; to: number; reason: string }
export type Room = Tagged & {
  type: 'room'
  room: string
  members: number
  last: number
  unread: number | null
  active: string
  topic: string
  private: boolean
  cursor: number | null
}
export type Member = Tagged & {
  type: 'member'
  room: string
  client: string
  connections: number
  cursor: number | null
  nick: string
  since: string | null
}
export type Access = Tagged & { type: 'access'; room: string; client: string; access: 'owner' | 'invited' | 'banned' }
export type Event = Tagged & { type: 'event'; room: string; time: string; client: string; event: string; nick?: string }
export type Gone = Tagged & { type: 'gone'; room: string }
export type Ended = Tagged & { type: 'ended'; room: string; code: string; text: string }

export type Answer = Ok | End
export type Item = Message | Gap | Room | Member | Access | Event | Gone | Ended
export type Incoming = Ok | Failed | End | Item

/** The members of a request besides `do` and `tag`, named as in the usage of the verb. */
export type Fields = Record<string, string | number | boolean | null | undefined>

/** A refusal by the daemon. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    text: string,
    readonly waitMs?: number,
  ) {
    super(text)
    this.name = 'Refusal'
  }
}

/** The connection broke before the answer: the request may or may not have been carried out. */
export class Lost extends Error {
  constructor() {
    super('the connection was lost')
    this.name = 'Lost'
  }
}
