/** The rooms that this client sees. */

import type { Room } from '../wire/types'

export class Rooms {
  #all = new Map<string, Room>()

  /** The complete list, as ROOMS answers it. */
  replace(rooms: readonly Room[]): void {
    this.#all = new Map(rooms.map((room) => [room.room, room]))
  }

  set(room: Room): void {
    this.#all.set(room.room, room)
  }

  remove(name: string): void {
    this.#all.delete(name)
  }

  clear(): void {
    this.#all.clear()
  }

  get(name: string): Room | undefined {
    return this.#all.get(name)
  }

  isMember(name: string): boolean {
    return this.#all.get(name)?.cursor != null
  }

  /** What the client itself has just done, until the daemon's own account of it arrives. */
  acked(name: string, cursor: number): void {
    const room = this.#all.get(name)
    if (!room || room.cursor === null || cursor <= room.cursor) return
    this.#all.set(name, { ...room, cursor, unread: cursor >= room.last ? 0 : room.unread })
  }

  /** Rooms that the client is a member of, the most recently active first. */
  joined(): Room[] {
    return this.#sorted((room) => room.cursor !== null)
  }

  /** Rooms that it could join. */
  others(): Room[] {
    return this.#sorted((room) => room.cursor === null)
  }

  unread(): number {
    let sum = 0
    for (const room of this.#all.values()) sum += room.unread ?? 0
    return sum
  }

  #sorted(which: (room: Room) => boolean): Room[] {
    return [...this.#all.values()].filter(which).sort(byActivity)
  }
}

function byActivity(a: Room, b: Room): number {
  if (a.active !== b.active) return a.active < b.active ? 1 : -1
  return a.room < b.room ? -1 : 1
}
