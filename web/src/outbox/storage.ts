/** Where messages wait until they are on the daemon's disk: IndexedDB, or memory where the browser allows no more. */

import { openDB, type DBSchema, type IDBPDatabase } from 'idb'
import type { Room } from '../wire/types'

export type Waiting = {
  /** Its place in the order of typing; given by the storage. */
  key: number
  id: string
  /** Who sends it. */
  client: string
  room: string
  /** The room's number and the epoch when it was typed, as far as they were known. */
  number: number | null
  epoch: string | null
  text: string
  reply: number | null
  /** When it was typed, in milliseconds since 1970. */
  time: number
  /** The tab that sends it. */
  tab: string
  /** Why the daemon refused it, if it did. Then it waits for the person to decide. */
  refused?: { code: string; text: string }
}

export interface Storage {
  /** Whether what is stored outlives the tab. */
  readonly durable: boolean
  add(message: Omit<Waiting, 'key'>): Promise<number>
  put(message: Waiting): Promise<void>
  remove(key: number): Promise<void>
  list(client: string): Promise<Waiting[]>
  draft(client: string, room: string): Promise<string>
  setDraft(client: string, room: string, text: string): Promise<void>
  /** The rooms as they were last seen, to begin with while there is no connection. */
  rooms(client: string): Promise<Room[]>
  setRooms(client: string, rooms: readonly Room[]): Promise<void>
  /** Forgets everything of a client but what waits to be sent. */
  forget(client: string): Promise<void>
}

interface Schema extends DBSchema {
  waiting: { key: number; value: Omit<Waiting, 'key'> & { key?: number }; indexes: { client: string } }
  drafts: { key: [string, string]; value: string }
  rooms: { key: string; value: readonly Room[] }
}

export async function openStorage(name = 'dantok'): Promise<Storage> {
  try {
    const database = await openDB<Schema>(name, 1, {
      upgrade(db) {
        db.createObjectStore('waiting', { keyPath: 'key', autoIncrement: true }).createIndex('client', 'client')
        db.createObjectStore('drafts')
        db.createObjectStore('rooms')
      },
    })
    return new Disk(database)
  } catch {
    return new Memory()
  }
}

class Disk implements Storage {
  readonly durable = true
  constructor(private readonly database: IDBPDatabase<Schema>) {}

  async add(message: Omit<Waiting, 'key'>): Promise<number> {
    const change = this.database.transaction('waiting', 'readwrite', { durability: 'strict' })
    const key = await change.store.add(message)
    await change.done
    return key
  }

  async put(message: Waiting): Promise<void> {
    await this.database.put('waiting', message)
  }

  async remove(key: number): Promise<void> {
    await this.database.delete('waiting', key)
  }

  async list(client: string): Promise<Waiting[]> {
    const all = (await this.database.getAllFromIndex('waiting', 'client', client)) as Waiting[]
    return all.sort((a, b) => a.key - b.key)
  }

  async draft(client: string, room: string): Promise<string> {
    return (await this.database.get('drafts', [client, room])) ?? ''
  }

  async setDraft(client: string, room: string, text: string): Promise<void> {
    if (text === '') await this.database.delete('drafts', [client, room])
    else await this.database.put('drafts', text, [client, room])
  }

  async rooms(client: string): Promise<Room[]> {
    return [...((await this.database.get('rooms', client)) ?? [])]
  }

  async setRooms(client: string, rooms: readonly Room[]): Promise<void> {
    await this.database.put('rooms', rooms, client)
  }

  async forget(client: string): Promise<void> {
    const change = this.database.transaction(['drafts', 'rooms'], 'readwrite')
    const drafts = IDBKeyRange.bound([client], [client, []])
    await Promise.all([
      change.objectStore('drafts').delete(drafts),
      change.objectStore('rooms').delete(client),
      change.done,
    ])
  }
}

export class Memory implements Storage {
  readonly durable = false
  #waiting = new Map<number, Waiting>()
  #drafts = new Map<string, string>()
  #next = 1

  async add(message: Omit<Waiting, 'key'>): Promise<number> {
    const key = this.#next++
    this.#waiting.set(key, { ...message, key })
    return key
  }

  async put(message: Waiting): Promise<void> {
    this.#waiting.set(message.key, message)
  }

  async remove(key: number): Promise<void> {
    this.#waiting.delete(key)
  }

  async list(client: string): Promise<Waiting[]> {
    return [...this.#waiting.values()].filter((message) => message.client === client)
  }

  async draft(client: string, room: string): Promise<string> {
    return this.#drafts.get(`${client} ${room}`) ?? ''
  }

  async setDraft(client: string, room: string, text: string): Promise<void> {
    this.#drafts.set(`${client} ${room}`, text)
  }

  /** A page that can keep nothing begins with nothing. */
  async rooms(): Promise<Room[]> {
    return []
  }

  async setRooms(): Promise<void> {}

  async forget(): Promise<void> {
    this.#drafts.clear()
  }
}
