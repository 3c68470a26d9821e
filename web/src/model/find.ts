/** Finds rooms by a part of their name, or by the initial consonants of Korean ones: ㄷㅌ finds 단톡. */

import type { Room } from '../wire/types'

const INITIALS = 'ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ'

function initials(text: string): string {
  let found = ''
  for (const char of text) {
    const at = char.charCodeAt(0) - 0xac00
    found += at >= 0 && at < 11_172 ? INITIALS[Math.floor(at / 588)]! : char
  }
  return found
}

export function find(rooms: readonly Room[], wanted: string, max: number): Room[] {
  const query = wanted.normalize('NFC').toLowerCase()
  if (query === '') return rooms.slice(0, max)
  const consonants = /^[ㄱ-ㅎ]+$/.test(query)
  const ranked: { room: Room; at: number }[] = []
  for (const room of rooms) {
    const name = room.room.toLowerCase()
    const at = consonants ? Math.max(name.indexOf(query), initials(name).indexOf(query)) : name.indexOf(query)
    if (at >= 0) ranked.push({ room, at: at === 0 ? 0 : 1 })
  }
  return ranked
    .sort((a, b) => a.at - b.at)
    .slice(0, max)
    .map(({ room }) => room)
}
