/** Everything the page knows and does, between the connection and what is drawn. */

import { shallowReactive, shallowRef, triggerRef } from 'vue'
import { t } from '../i18n'
import * as texts from '../i18n/texts'
import { person } from '../model/names'
import { Rooms } from '../model/rooms'
import { Outbox } from '../outbox/outbox'
import type { Storage, Waiting } from '../outbox/storage'
import type { Tabs } from '../outbox/tabs'
import { Lost, Refusal, type Fields, type Item, type Member, type Ok, type Room } from '../wire/types'
import { SUBPROTOCOL, Wire, type State } from '../wire/wire'
import { Acks } from './acks'
import { Alerts } from './alerts'
import { explain } from './explain'
import { keep, forget, type Login } from './login'
import { Logs } from './logs'
import { Polling } from './polling'
import { recall, remember } from './prefs'
import { BACKLOG_MAX, type RoomLog } from './roomlog'
import { Ticker } from './ticker'

const ROOMS_KEPT = 200
const KEEP_ROOMS_MS = 2_000
const TYPING_EVERY_MS = 3_000

export type Panel = 'people' | null
export type DialogName =
  'switcher' | 'create' | 'topic' | 'invite' | 'delete' | 'date' | 'settings' | 'help' | 'redact' | null

export class Chat {
  readonly state = shallowReactive({
    login: null as Login | null,
    wire: { is: 'off' } as State,
    /** Whether there has been a connection since signing in. */
    greeted: false,
    open: null as string | null,
    notice: null as { text: string; error: boolean } | null,
    /** Something that must not be missed; stays until it is dismissed. */
    warning: null as string | null,
    panel: null as Panel,
    dialog: null as DialogName,
    replyTo: null as number | null,
    selected: null as number | null,
    refusal: null as { code: string; text: string; tried: Login | null } | null,
  })
  /** Changes when anything below does; computed values depend on it. */
  readonly version = shallowRef(0)
  readonly rooms = new Rooms()
  readonly alerts: Alerts
  outbox: Outbox | null = null
  readonly #wire: Wire
  readonly #ticker: Ticker
  readonly #logs: Logs
  readonly #acks = new Acks((room, seq) => void this.#acknowledge(room, seq))
  #followed: string | null = null
  readonly who = new Polling(() => this.#who())
  #noticeTimer: ReturnType<typeof setTimeout> | undefined
  #refreshTimer: ReturnType<typeof setTimeout> | undefined
  #keepTimer: ReturnType<typeof setTimeout> | undefined
  #typedAt = -Infinity

  constructor(
    readonly storage: Storage,
    private readonly tabs: Tabs,
    url: string,
  ) {
    this.#ticker = new Ticker(() => {
      const log = this.log()
      log?.window.beforeDraw(log.timeline)
      this.version.value++
      triggerRef(this.version)
      this.alerts.count(this.rooms.unread())
      if (log?.loaded) this.outbox?.logged(log.room, log.timeline.end)
      this.#keepRooms()
    })
    this.#logs = new Logs((verb, fields) => this.#ask(verb, fields), this.bump)
    this.alerts = new Alerts((room) => this.openRoom(room))
    this.#wire = new Wire(
      {
        open: () => new WebSocket(url, SUBPROTOCOL),
        now: () => performance.now(),
        random: Math.random,
        schedule: { now: () => performance.now(), later: (run) => setTimeout(run, 0) },
      },
      {
        state: (state) => this.#connection(state),
        push: (item) => this.#push(item),
        epochChanged: () => this.#epochChanged(),
      },
    )
  }

  bump = (): void => this.#ticker.bump()

  get client(): string {
    return this.state.login?.client ?? ''
  }

  get hello(): Ok | null {
    return this.state.wire.is === 'up' ? this.state.wire.hello : this.#lastHello
  }
  #lastHello: Ok | null = null

  log(room = this.state.open): RoomLog | null {
    return room === null ? null : (this.#logs.get(room) ?? null)
  }

  // Signing in and out

  signIn(login: Login): void {
    this.state.login = login
    this.state.refusal = null
    this.state.greeted = false
    this.outbox = new Outbox(
      this.storage,
      this.tabs,
      login.client,
      {
        send: (message) => this.#deliver(message),
        number: (room) => this.#number(room),
        epoch: () => this.hello?.epoch ?? null,
      },
      this.bump,
    )
    this.outbox.adopt().catch((error: unknown) => this.tell(error))
    void this.#recallRooms(login.client)
    const { client, token } = login
    const epoch = recall(`epoch:${client}`)
    this.#wire.start({ client, ...(token === '' ? {} : { token }), ...(epoch === null ? {} : { epoch }) })
  }

  signOut(): void {
    forget()
    this.storage.forget(this.client).catch(() => undefined)
    this.#wire.stop()
    this.#leaveSession()
    this.state.login = null
  }

  wake(): void {
    this.#wire.wake()
  }

  /** Begins with the rooms as they were last seen; soon the daemon says how they are. */
  async #recallRooms(client: string): Promise<void> {
    const rooms = await this.storage.rooms(client).catch(() => [])
    if (this.state.greeted || this.client !== client || rooms.length === 0) return
    this.rooms.replace(rooms)
    this.bump()
  }

  #keepRooms(): void {
    if (!this.state.greeted) return
    this.#keepTimer ??= setTimeout(() => {
      this.#keepTimer = undefined
      if (this.client !== '')
        this.storage.setRooms(this.client, this.rooms.joined().slice(0, ROOMS_KEPT)).catch(() => undefined)
    }, KEEP_ROOMS_MS)
  }

  #leaveSession(): void {
    this.outbox?.stop()
    this.outbox = null
    this.rooms.clear()
    this.#logs.clear()
    this.state.open = this.state.dialog = this.state.panel = this.state.warning = null
    this.bump()
  }

  #connection(state: State): void {
    this.state.wire = state
    if (state.is === 'up') void this.#connected(state.hello)
    else {
      this.outbox?.stop()
      this.#setFollowed(null)
      this.#logs.forgetNumbers()
    }
    if (state.is === 'refused') {
      this.state.refusal = { code: state.code, text: state.text, tried: this.state.login }
      this.#leaveSession()
      this.state.login = null
    }
  }

  async #connected(hello: Ok): Promise<void> {
    const login = this.state.login
    if (!login) return
    this.#lastHello = hello
    if (hello.client) login.client = hello.client
    if (!this.state.greeted) keep(login)
    this.state.greeted = true
    if (hello.epoch) remember(`epoch:${login.client}`, hello.epoch)
    try {
      await this.#ask('events', { on: true })
      await this.#refresh()
      await this.#ask('watch')
      this.outbox?.start()
      void this.outbox?.adopt()
      if (this.state.open !== null) await this.#resume(this.state.open)
    } catch (error) {
      if (!(error instanceof Lost)) this.tell(error)
    }
  }

  #epochChanged(): void {
    this.#logs.clear()
    remember(`epoch:${this.client}`, null)
    this.state.warning = texts.epoch
    this.bump()
  }

  // Asking the daemon

  async #ask(verb: string, fields: Fields = {}): ReturnType<Wire['ask']> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#wire.ask(verb, fields)
      } catch (error) {
        if (!(error instanceof Refusal) || error.waitMs === undefined || tries >= 20) throw error
        await new Promise((resolve) => setTimeout(resolve, Math.max(error.waitMs ?? 0, 50)))
      }
    }
  }

  /** Does something that the person asked for, and says what became of it. */
  async act(verb: string, fields: Fields, done?: string): Promise<boolean> {
    try {
      await this.#ask(verb, fields)
      if (done !== undefined) this.say(done)
      return true
    } catch (error) {
      this.tell(error)
      return false
    }
  }

  async list<T extends Item>(verb: string, fields: Fields): Promise<T[]> {
    return (await this.#ask(verb, fields)).items as T[]
  }

  async #refresh(): Promise<void> {
    this.rooms.replace(await this.list<Room>('rooms', {}))
    this.bump()
  }

  async #number(room: string): Promise<number | null> {
    const known = this.#logs.number(room)
    if (known !== undefined) return known
    if (!this.rooms.isMember(room)) return null
    const { end } = await this.#ask('join', { room })
    const { number = null } = end as Ok
    if (number !== null) this.#logs.numbered(room, number)
    return number
  }

  async #deliver({ room, text, id, reply }: Waiting): Promise<number> {
    const { end } = await this.#wire.ask('send', { room, text, id, reply })
    return (end as Ok).seq ?? 0
  }

  // What the daemon tells

  #push(item: Item): void {
    switch (item.type) {
      case 'message':
      case 'gap':
        this.#logs.get(item.room)?.push(item)
        break
      case 'room':
        this.#roomChanged(item)
        break
      case 'event': {
        const log = this.#logs.get(item.room)
        const note = log?.members.event(item, Date.now())
        if (log && note) log.note(note)
        if (note && note.what !== 'nick') this.who.soon()
        break
      }
      case 'gone':
        this.#roomGone(item.room)
        break
      case 'ended':
        if (this.#followed === item.room) this.#setFollowed(null)
        setTimeout(() => void this.#follow().catch(() => undefined), 2_000)
        break
      default:
        break
    }
    this.bump()
  }

  #roomChanged(room: Room): void {
    const before = this.rooms.get(room.room)
    this.rooms.set(room)
    const log = this.#logs.get(room.room)
    void log?.reached(room.last)
    if (room.cursor !== null && room.last > (before?.last ?? room.last)) {
      const more = (room.unread ?? 0) > (before?.unread ?? 0)
      if (more && (room.room !== this.state.open || !this.alerts.attentive())) void this.#alert(room)
    }
    if (room.room === this.state.open) {
      if (before && before.cursor === null && room.cursor !== null) void this.#resume(room.room).catch(() => undefined)
      else if (this.#followed === null) void this.#follow().catch(() => undefined)
    }
  }

  async #alert(room: Room): Promise<void> {
    if (!this.alerts.wants(room.room)) return
    try {
      const items = await this.list('history', { room: room.room, max: 1 })
      const message = items.find((item) => item.type === 'message')
      if (message && person(message.client) !== person(this.client)) this.alerts.show(room, message)
    } catch {
      // The number in the title says it as well.
    }
  }

  #roomGone(name: string): void {
    const open = this.state.open === name
    this.rooms.remove(name)
    this.#logs.forget(name)
    if (this.#followed === name) this.#setFollowed(null)
    if (open) this.say(t(texts.roomGone, { room: name }), true)
    // It may still be there for others to see: a room that this client was removed from.
    clearTimeout(this.#refreshTimer)
    this.#refreshTimer = setTimeout(() => {
      this.#refresh().then(
        () => {
          if (this.state.open !== null && !this.rooms.get(this.state.open)) this.closeRoom()
        },
        () => undefined,
      )
    }, 50)
  }

  // Rooms

  openRoom(name: string): void {
    if (this.state.open === name && this.#logs.get(name)?.loaded) return
    this.state.open = name
    this.state.replyTo = this.state.selected = null
    this.#logs.open(name)
    this.bump()
    void this.#resume(name).catch((error: unknown) => {
      if (!(error instanceof Lost)) this.tell(error)
    })
  }

  closeRoom(): void {
    this.state.open = null
    this.state.panel = null
    this.bump()
  }

  /** Loads the open room, or what it missed, and follows it. */
  async #resume(name: string): Promise<void> {
    const room = this.rooms.get(name)
    if (this.state.wire.is !== 'up') return
    if (!room) {
      this.say(t(texts.roomMissing, { room: name }), true)
      return this.closeRoom()
    }
    const log = this.#logs.get(name) ?? this.#logs.open(name)
    log.failure = null
    if (room.cursor !== null) {
      if (!log.loaded || room.last - log.timeline.end > BACKLOG_MAX) {
        log.number = null
        await log.open(room.cursor, room.last)
      } else {
        if ((room.unread ?? 0) > 0 && room.cursor < room.last) log.unreadAfter ??= room.cursor
        await log.reached(room.last)
      }
      if (this.state.open !== name) return
      await this.#follow()
    }
    await this.who.now()
  }

  #setFollowed(name: string | null): void {
    const before = this.log(this.#followed)
    if (before) before.followed = false
    this.#followed = name
    const log = this.log(name)
    if (log) log.followed = true
  }

  /** Has the open room pushed, from where its log ends; what lies further back is fetched when somebody scrolls there. */
  async #follow(): Promise<void> {
    const name = this.state.open
    if (name === null || this.#followed === name || this.state.wire.is !== 'up') return
    const room = this.rooms.get(name)
    if (!room || room.cursor === null) return
    if (this.#followed !== null) this.#ask('unfollow', { room: this.#followed }).catch(() => undefined)
    this.#setFollowed(name)
    const log = this.log(name)
    const after = log?.loaded && room.last - log.timeline.end <= BACKLOG_MAX ? log.timeline.end : room.last
    try {
      const { end } = await this.#ask('follow', { room: name, after })
      if (this.#logs.numbered(name, (end as Ok).number ?? 0)) return
      this.say(t(texts.roomGone, { room: name }), true)
      await this.#resume(name)
    } catch (error) {
      if (this.#followed === name) this.#setFollowed(null)
      if (!(error instanceof Refusal) || error.code !== 'set-back') throw error
      this.#setBack(name)
    }
  }

  async join(name: string): Promise<void> {
    try {
      const { end } = await this.#ask('join', { room: name })
      this.#logs.numbered(name, (end as Ok).number ?? 0)
      await this.#refresh()
      this.openRoom(name)
    } catch (error) {
      this.tell(error, texts.joinFailed)
    }
  }

  async create(room: string, topic: string, secret: boolean): Promise<boolean> {
    const fields = { room, ...(topic === '' ? {} : { topic }), ...(secret ? { private: true } : {}) }
    if (!(await this.act('create', fields))) return false
    // A dialog gives the focus back when it closes; the room's composer takes it after that.
    this.state.dialog = null
    await this.join(room)
    return true
  }

  // Reading

  /** The person has seen everything up to this seq. */
  seen(name: string, seq: number): void {
    const room = this.rooms.get(name)
    if (room && room.cursor !== null && seq > room.cursor) this.#acks.seen(name, seq)
  }

  async #acknowledge(room: string, seq: number): Promise<void> {
    try {
      const { end } = await this.#ask('ack', { room, seq })
      this.rooms.acked(room, (end as Ok).cursor ?? (end as Ok).seq ?? seq)
      this.bump()
    } catch (error) {
      if (error instanceof Refusal && error.code === 'set-back') this.#setBack(room)
    }
  }

  #setBack(room: string): void {
    this.#logs.forget(room)
    this.state.warning = texts.setBack
    this.#refresh()
      .then(() => (room === this.state.open ? this.#resume(room) : undefined))
      .catch(() => undefined)
  }

  /** Asks who is in the open room and how far they have read. Returns whether that may change soon. */
  async #who(): Promise<boolean> {
    const log = this.log()
    if (!log || this.state.wire.is !== 'up') return false
    log.members.replace(await this.list<Member>('who', { room: log.room }))
    this.bump()
    return log.expectsReaders(person(this.client))
  }

  // Writing

  async send(room: string, text: string, reply: number | null): Promise<boolean> {
    if (!this.outbox) return false
    try {
      const log = this.#logs.get(room)
      const number = log?.number ?? this.#logs.number(room) ?? null
      const sending = this.outbox.add(room, text, {
        reply,
        number,
        ...(log?.loaded ? { after: log.timeline.last } : {}),
      })
      log?.toEnd().catch(() => undefined)
      await sending
      this.who.soon()
      return true
    } catch (error) {
      this.say(t(texts.notStored, { text: error instanceof Error ? error.message : String(error) }), true)
      return false
    }
  }

  typing(room: string): void {
    const now = performance.now()
    if (now - this.#typedAt < TYPING_EVERY_MS || this.state.wire.is !== 'up' || !this.rooms.isMember(room)) return
    this.#typedAt = now
    this.#wire.ask('typing', { room }).catch(() => undefined)
  }

  // Telling the person

  say(text: string, error = false): void {
    clearTimeout(this.#noticeTimer)
    this.state.notice = { text, error }
    this.#noticeTimer = setTimeout(() => (this.state.notice = null), error ? 8_000 : 4_000)
  }

  tell(error: unknown, text = texts.failed): void {
    this.say(t(text, { text: explain(error) }), true)
  }
}
