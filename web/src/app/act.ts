/** Carries out what was entered in the composer. */

import { t } from '../i18n'
import * as texts from '../i18n/texts'
import { person } from '../model/names'
import type { Message } from '../wire/types'
import type { Chat } from './chat'
import { parse, type Command } from '../commands'

/** Returns whether the line is done with; otherwise it stays as typed. */
export async function enter(chat: Chat, line: string): Promise<boolean> {
  const command = parse(line)
  const room = chat.state.open
  switch (command.do) {
    case 'join':
      return join(chat, command.room ?? room)
    case 'create':
      return chat.create(command.room, command.topic, command.private)
    case 'nick':
      return chat.act('nick', { name: command.nick }, t(texts.nickSet, { nick: command.nick }))
    case 'rooms':
      chat.state.dialog = 'switcher'
      return true
    case 'help':
      chat.state.dialog = 'help'
      return true
    case 'quit':
      chat.signOut()
      return true
    case 'wrong':
      chat.say(t(texts.usage, { usage: command.usage }), true)
      return false
    case 'unknown':
      chat.say(t(texts.unknownCommand, { verb: command.verb }), true)
      return false
    default:
      if (room !== null) return inRoom(chat, room, command)
      chat.say(texts.noRoomOpen, true)
      return false
  }
}

async function join(chat: Chat, room: string | null): Promise<boolean> {
  if (room === null) return false
  await chat.join(room)
  return true
}

async function inRoom(chat: Chat, room: string, command: Command): Promise<boolean> {
  switch (command.do) {
    case 'send':
      return send(chat, room, command.text, chat.state.replyTo)
    case 'reply': {
      const seq = command.seq ?? chat.state.selected ?? last(chat, false)?.seq
      if (seq !== undefined && seq > 0) return send(chat, room, command.text, seq)
      chat.say(texts.nothingToReply, true)
      return false
    }
    case 'redact':
      return redact(chat, room, command.seq ?? chat.state.selected)
    case 'leave':
      return chat.act('leave', { room: command.room ?? room })
    case 'delete':
      if (command.room === room) return chat.act('delete', deletion(chat, room))
      chat.say(t(texts.deleteOther, { room: command.room }), true)
      return false
    case 'topic':
      if (command.topic !== null) return setTopic(chat, room, command.topic)
      chat.say(chat.rooms.get(room)?.topic || texts.noTopic)
      return true
    case 'invite':
      return chat.act('invite', { room, client: command.client }, t(texts.invited, { name: command.client }))
    case 'kick':
    case 'ban':
    case 'unban':
      return chat.act(command.do, { room, client: command.client })
    case 'date':
      chat.state.dialog = 'date'
      return true
    case 'who':
      chat.state.panel = 'people'
      return true
    default:
      return false
  }
}

async function send(chat: Chat, room: string, text: string, reply: number | null): Promise<boolean> {
  if (!chat.rooms.isMember(room) && chat.state.wire.is === 'up') {
    chat.say(texts.notJoined, true)
    return false
  }
  chat.state.replyTo = chat.state.selected = null
  return chat.send(room, text, reply)
}

/** Takes a message back: this one, or one's own last. */
export async function redact(chat: Chat, room: string, seq: number | null): Promise<boolean> {
  // "My last message" is the one typed last, not an earlier one just because the last is not stored yet.
  if (seq === null && chat.outbox?.of(room).some((message) => message.seq === undefined)) {
    chat.say(texts.notStoredYet, true)
    return false
  }
  const which = seq ?? last(chat, true)?.seq
  if (which === undefined) {
    chat.say(texts.nothingToRedact, true)
    return false
  }
  chat.state.selected = null
  return chat.act('redact', { room, seq: which })
}

export function setTopic(chat: Chat, room: string, topic: string): Promise<boolean> {
  return chat.act('topic', topic === '' ? { room, clear: true } : { room, topic })
}

/** The number makes sure that it is this room that is deleted, however often the request is repeated. */
export function deletion(chat: Chat, room: string): { room: string; number?: number } {
  const number = chat.log(room)?.number
  return number == null ? { room } : { room, number }
}

/** The last message of one's own, or of the others. */
function last(chat: Chat, own: boolean): Message | undefined {
  const me = person(chat.client)
  const found = chat.log()?.timeline.entries.findLast((entry) => {
    if (entry.kind !== 'message') return false
    const { redacted, redacts, client } = entry.message
    return redacted === undefined && redacts === undefined && (client === me) === own
  })
  return found?.kind === 'message' ? found.message : undefined
}
