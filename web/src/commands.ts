/** The lines that people enter: messages, and commands that begin with a slash, as in the terminal client. */

export type Command =
  | { do: 'send'; text: string; reply?: number }
  | { do: 'reply'; text: string; seq: number | null }
  | { do: 'redact'; seq: number | null }
  | { do: 'join'; room: string | null }
  | { do: 'leave'; room: string | null }
  | { do: 'delete'; room: string }
  | { do: 'create'; room: string; topic: string; private: boolean }
  | { do: 'topic'; topic: string | null }
  | { do: 'invite' | 'kick' | 'ban' | 'unban'; client: string }
  | { do: 'nick'; nick: string }
  | { do: 'who' | 'rooms' | 'help' | 'quit' | 'date' }
  | { do: 'wrong'; usage: string }
  | { do: 'unknown'; verb: string; text: string }

/** Every command with its usage, for the help and for completion. */
export const USAGE = {
  reply: '/reply [SEQ] TEXT',
  redact: '/redact [SEQ]',
  join: '/join ROOM',
  create: '/create [--private] ROOM [TOPIC]',
  topic: '/topic [TEXT|--clear]',
  invite: '/invite NAME',
  kick: '/kick NAME',
  ban: '/ban NAME',
  unban: '/unban NAME',
  leave: '/leave',
  delete: '/delete ROOM',
  nick: '/nick NAME',
  date: '/date',
  who: '/who',
  rooms: '/rooms',
  help: '/help',
  quit: '/quit',
} as const

/** What a line asks for. `//text` is the message `/text`. */
export function parse(line: string): Command {
  if (line.startsWith('//')) return { do: 'send', text: line.slice(1) }
  // Only one line can be a command, so that pasted paths and scripts are not.
  if (!line.startsWith('/') || line.trimEnd().includes('\n')) return { do: 'send', text: line }
  const [, verb = '', rest = ''] = /^\/(\S*)\s*([^]*)$/.exec(line.trimEnd()) ?? []
  return command(verb, rest) ?? { do: 'unknown', verb, text: line.slice(1) }
}

function command(verb: string, rest: string): Command | null {
  if (!isVerb(verb)) return null
  const usage = USAGE[verb]
  const wrong: Command = { do: 'wrong', usage }
  switch (verb) {
    case 'reply': {
      const [, seq, text = ''] = /^(?:(\d{1,15})(?:\s+|$))?([^]*)$/.exec(rest) ?? []
      return text === '' ? wrong : { do: 'reply', seq: seq === undefined ? null : Number(seq), text }
    }
    case 'redact':
      if (rest === '') return { do: 'redact', seq: null }
      return /^\d{1,15}$/.test(rest) ? { do: 'redact', seq: Number(rest) } : wrong
    case 'join':
    case 'leave':
      if (rest === '') return { do: verb, room: null }
      return isName(rest) ? { do: verb, room: rest } : wrong
    case 'delete':
      return isName(rest) ? { do: 'delete', room: rest } : wrong
    case 'create':
      return create(rest) ?? wrong
    case 'topic':
      if (rest === '') return { do: 'topic', topic: null }
      if (rest === '--clear') return { do: 'topic', topic: '' }
      return option(rest) ? wrong : { do: 'topic', topic: rest.replace(/^--\s+/, '') }
    case 'invite':
    case 'kick':
    case 'ban':
    case 'unban':
      return isName(rest) ? { do: verb, client: rest } : wrong
    case 'nick':
      return rest === '' || option(rest) ? wrong : { do: 'nick', nick: rest }
    case 'who':
    case 'rooms':
    case 'help':
    case 'quit':
    case 'date':
      return rest === '' ? { do: verb } : wrong
  }
}

function isVerb(verb: string): verb is keyof typeof USAGE {
  return Object.hasOwn(USAGE, verb)
}

function create(rest: string): Command | null {
  const words = rest.split(/\s+/).filter((word) => word !== '')
  const dashes = words.indexOf('--')
  const options = dashes < 0 ? words : words.slice(0, dashes)
  const free = options.filter((word) => word !== '--private')
  if (free.some(option)) return null
  const [room, ...topic] = dashes < 0 ? free : [...free, ...words.slice(dashes + 1)]
  if (room === undefined || !isName(room)) return null
  return { do: 'create', room, topic: topic.join(' '), private: free.length < options.length }
}

/** A word that looks like an option: `--x`, also with the dashes that word processors make of them. */
function option(text: string): boolean {
  return /^(?:--?|[–—])[\p{L}\d]/u.test(text)
}

/** Whether this could be the name of a room or a person; the daemon knows the finer rules. */
export function isName(text: string): boolean {
  return (
    text !== '' && !/[\s=\p{Cc}]/u.test(text) && !text.startsWith('-') && new TextEncoder().encode(text).length <= 64
  )
}
