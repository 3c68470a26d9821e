/** A client of the plain protocol over TCP, with requests in JSON: what it reads is what the daemon has, whatever a page shows. */

import { connect, type Socket } from 'node:net'
import type { Answer, Failed, Fields, Incoming, Item, Member, Message, Room } from '../../src/wire/types'
import type { Daemon } from './daemon'

type Waiting = { items: Item[]; resolve(answer: { items: Item[]; end: Answer }): void; reject(error: Error): void }

export class Lines {
  #rest = ''
  #waiting: Waiting[] = []

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.#read(text))
    const broken = (error?: Error): void => {
      for (const { reject } of this.#waiting.splice(0)) reject(error ?? new Error('the daemon closed the connection'))
    }
    socket.on('error', broken)
    socket.on('close', () => broken())
  }

  static async connect(daemon: Daemon, client: string, token?: string): Promise<Lines> {
    const socket = connect(daemon.lines)
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    const lines = new Lines(socket)
    await lines.ask('hello', { client, token })
    return lines
  }

  /** Sends a request without waiting for the answers to earlier ones. */
  ask(verb: string, fields: Fields = {}): Promise<{ items: Item[]; end: Answer }> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ items: [], resolve, reject })
      this.socket.write(`${JSON.stringify({ do: verb, ...fields })}\n`)
    })
  }

  /** Every message of a room, oldest first. Joins it. */
  async messages(room: string): Promise<Message[]> {
    await this.ask('join', { room })
    const { items } = await this.ask('fetch', { room, after: 0 })
    return items.filter((item): item is Message => item.type === 'message')
  }

  async texts(room: string): Promise<(string | undefined)[]> {
    return (await this.messages(room)).map((message) => message.text)
  }

  async rooms(): Promise<Room[]> {
    return (await this.ask('rooms')).items as Room[]
  }

  async members(room: string): Promise<Member[]> {
    return (await this.ask('who', { room })).items as Member[]
  }

  /** Sends many messages, as fast as the daemon takes them. */
  async feed(room: string, texts: readonly string[]): Promise<void> {
    const AT_ONCE = 500
    for (let from = 0; from < texts.length; from += AT_ONCE) {
      await Promise.all(texts.slice(from, from + AT_ONCE).map((text) => this.ask('send', { room, text })))
    }
  }

  close(): void {
    this.socket.destroy()
  }

  /** Answers come in the order of the requests. */
  #read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) {
      const item = JSON.parse(line) as Incoming
      const waiting = this.#waiting[0]
      if (item.type === 'ok' || item.type === 'end' || item.type === 'error') this.#waiting.shift()
      if (item.type === 'ok' || item.type === 'end') waiting?.resolve({ items: waiting.items, end: item })
      else if (item.type === 'error') waiting?.reject(refusal(item))
      else waiting?.items.push(item)
    }
  }
}

function refusal({ code, text }: Failed): Error {
  return new Error(`${code}: ${text}`)
}
