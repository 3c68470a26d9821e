/** Who is in a room, who is here and who is typing: the last answer to WHO, updated by events since. */

import type { Event, Member } from '../wire/types'
import { person } from './names'

/** Clients repeat TYPING more often than this. */
export const TYPING_MS = 6_000

export type Person = {
  name: string
  nick: string
  /** Connected on any device. */
  here: boolean
  devices: string[]
  since: string | null
}

export type Note = { client: string; nick: string; what: 'joined' | 'left' | 'nick'; now?: string }

export class Members {
  #all = new Map<string, Member>()
  #typingUntil = new Map<string, number>()
  /** What is asked for with every drawing, until something changes: rooms may have thousands of members. */
  #nicks: Map<string, string> | null = null
  #cursors: number[] | null = null

  replace(members: readonly Member[]): void {
    this.#all = new Map(members.map((member) => [member.client, member]))
    this.#nicks = this.#cursors = null
  }

  get count(): number {
    return this.#all.size
  }

  nick(client: string): string {
    this.#nicks ??= new Map(Array.from(this.#all.values(), (member) => [person(member.client), member.nick]))
    return this.#nicks.get(person(client)) ?? person(client)
  }

  /** Applies an event. Returns the note to show for it, if any. */
  event(event: Event, nowMs: number): Note | null {
    const { client } = event
    const note = (what: Note['what']): Note => ({ client, nick: this.nick(client), what })
    switch (event.event) {
      case 'joined': {
        const joined = note('joined')
        this.#all.set(client, {
          type: 'member',
          room: event.room,
          client,
          connections: 1,
          cursor: 0,
          nick: this.nick(client),
          since: event.time,
        })
        this.#nicks = this.#cursors = null
        return joined
      }
      case 'left': {
        const left = note('left')
        this.#all.delete(client)
        this.#nicks = this.#cursors = null
        this.#typingUntil.delete(person(client))
        return left
      }
      case 'online':
      case 'offline':
        this.#update(client, { connections: event.event === 'online' ? 1 : 0, since: event.time })
        if (event.event === 'offline') this.#typingUntil.delete(person(client))
        return null
      case 'nick': {
        const renamed: Note = { ...note('nick'), now: event.nick ?? person(client) }
        for (const other of [...this.#all.keys()]) {
          if (person(other) === person(client)) this.#update(other, { nick: event.nick ?? person(client) })
        }
        return renamed
      }
      case 'typing':
        this.#typingUntil.set(person(client), nowMs + TYPING_MS)
        return null
      default:
        return null
    }
  }

  /** They have sent what they were typing. */
  spoke(client: string): void {
    this.#typingUntil.delete(person(client))
  }

  /** Nicks of those who are typing, except one's own. */
  typing(own: string, nowMs: number): string[] {
    const nicks: string[] = []
    for (const [name, until] of this.#typingUntil) {
      if (until <= nowMs) this.#typingUntil.delete(name)
      else if (name !== person(own)) nicks.push(this.nick(name))
    }
    return nicks
  }

  /** Each person once, those who are here first, then by name. */
  people(): Person[] {
    const people = new Map<string, Person>()
    for (const member of this.#all.values()) {
      const name = person(member.client)
      const known = people.get(name)
      const here = member.connections > 0
      if (known) {
        known.devices.push(member.client)
        if (here && !known.here) known.since = member.since
        known.here ||= here
      } else {
        people.set(name, { name, nick: member.nick, here, devices: [member.client], since: member.since })
      }
    }
    return [...people.values()].sort((a, b) => Number(b.here) - Number(a.here) || (a.name < b.name ? -1 : 1))
  }

  /** How far each other person has read, on whichever device they are furthest, in ascending order. */
  cursors(own: string): number[] {
    if (this.#cursors) return this.#cursors
    const furthest = new Map<string, number>()
    for (const member of this.#all.values()) {
      const name = person(member.client)
      if (name === person(own) || member.cursor === null) continue
      furthest.set(name, Math.max(furthest.get(name) ?? 0, member.cursor))
    }
    return (this.#cursors = [...furthest.values()].sort((a, b) => a - b))
  }

  #update(client: string, change: Partial<Member>): void {
    const member = this.#all.get(client)
    if (member) this.#all.set(client, { ...member, ...change })
    this.#nicks = null
  }
}

/** How many of these cursors have reached a seq. */
export function readBy(cursors: readonly number[], seq: number): number {
  let low = 0
  let high = cursors.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (cursors[middle]! < seq) low = middle + 1
    else high = middle
  }
  return cursors.length - low
}
