/** Small pieces that are drawn often: functions, since those are cheap. */

import { h, type FunctionalComponent, type VNode } from 'vue'
import { hue, initial, person } from '../model/names'
import { oneLine } from '../text/links'

const paths = {
  hash: 'M9 4 7 20M17 4l-2 16M4 9h16M4 15h16',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z',
  plus: 'M12 5v14M5 12h14',
  search: 'M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM15.5 15.5 20 20',
  gear: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4',
  help: 'M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .9-1 1.7v.5M12 17.5v.01',
  people:
    'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c0-4 2.500-6 6-6s6 2 6 6M16 4.500a3.500 3.500 0 0 1 0 6.500M17.500 14c2.300.6 3.500 2.600 3.500 6',
  date: 'M5 6h14v14H5zM5 10h14M9 4v4M15 4v4',
  more: 'M12 6v.01M12 12v.01M12 18v.01',
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6 6 18',
  reply: 'M10 6 4 12l6 6M4 12h9c4 0 7 2 7 6',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  trash: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  send: 'M5 12 4 4l17 8-17 8 1-8zM5 12h8',
  down: 'M12 5v14M6 13l6 6 6-6',
  check: 'M5 13l4.500 4.500L19 7',
  clock: 'M12 21a9 9 0 1 1 0-18 9 9 0 0 1 0 18zM12 7v5l3 2',
  warn: 'M12 4 2.500 20h19zM12 10v4M12 17v.01',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6M4 17h16M10 20h4',
} as const

export type IconName = keyof typeof paths

export const Icon: FunctionalComponent<{ name: IconName }> = ({ name }): VNode =>
  h('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': true }, h('path', { d: paths[name] }))
Icon.props = ['name']

export const Avatar: FunctionalComponent<{ client: string; nick: string; here?: boolean | undefined }> = ({
  client,
  nick,
  here,
}): VNode => h('span', { class: ['avatar', `hue${hue(client, 10)}`, { here }], 'aria-hidden': true }, initial(nick))
Avatar.props = ['client', 'nick', 'here']

/** A nick is never an identity: who it is stands beside it. */
export const Name: FunctionalComponent<{ client: string; nick: string }> = ({ client, nick }): VNode => {
  const shown = oneLine(nick, 32) || person(client)
  const parts: (VNode | string)[] = [h('bdi', { class: 'nick' }, shown)]
  if (shown !== person(client)) parts.push(' ', h('bdi', { class: 'client' }, client))
  return h('span', { class: 'name' }, parts)
}
Name.props = ['client', 'nick']
