/** The real daemon, with a data directory and ports of its own. */

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEADLINE_MS, until } from './wait'

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('../../../target', import.meta.url))
export const BINARY = process.env.DANTOK_E2E_BINARY ?? join(target, 'debug', 'dantok')

/** What the developer has set for a daemon of their own is no business of the tests. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('DANTOK_') && name !== 'STATE_DIRECTORY'),
)

const running = new Set<ChildProcess>()
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')))

export type Address = { host: string; port: number }

export class Daemon {
  readonly #directory = mkdtempSync(join(tmpdir(), 'dantok-e2e-'))
  #child: ChildProcess | null = null
  /** Where it listens for lines, and for browsers; the same after a restart. */
  lines: Address = { host: '127.0.0.1', port: 0 }
  web: Address = { host: '127.0.0.1', port: 0 }

  readonly tokens: Record<string, string> = {}

  private constructor() {}

  /** One that demands tokens, if there is anybody to issue them to. */
  static async start(clients: readonly string[] = []): Promise<Daemon> {
    const daemon = new Daemon()
    await daemon.start()
    for (const client of clients) daemon.tokens[client] = daemon.run('token', 'issue', client)
    return daemon
  }

  get data(): string {
    return join(this.#directory, 'data')
  }

  get log(): string {
    try {
      return readFileSync(join(this.#directory, 'log'), 'utf8')
    } catch {
      return ''
    }
  }

  /** What a subcommand prints, run on the same data directory. */
  run(...words: string[]): string {
    return execFileSync(BINARY, [...words, '--data-dir', this.data], { encoding: 'utf8', env: environment }).trim()
  }

  /** Starts, or starts again on the same data directory and ports. */
  async start(): Promise<void> {
    const before = this.log.length
    const log = openSync(join(this.#directory, 'log'), 'a')
    const at = ({ host, port }: Address): string => `${host}:${port}`
    const options = ['--listen', at(this.lines), '--web', at(this.web), '--data-dir', this.data]
    const child = spawn(BINARY, options, { stdio: ['ignore', 'ignore', log], env: environment })
    closeSync(log)
    running.add(child)
    this.#child = child
    await until('the daemon is ready', () => {
      if (child.exitCode !== null) throw new Error(`the daemon has ended:\n${this.log}`)
      const printed = this.log.slice(before)
      this.lines.port = portOf(printed, 'listening') ?? this.lines.port
      this.web.port = portOf(printed, 'listening for the web') ?? this.web.port
      return this.lines.port !== 0 && this.web.port !== 0 && / ready/.test(printed)
    })
  }

  /** SIGKILL. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  /** SIGTERM. */
  terminate(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.start()
  }

  /** Copies the data directory of a stopped daemon; `restore` puts the copy back as an operator would. */
  backUp(): void {
    cpSync(this.data, join(this.#directory, 'backup'), { recursive: true })
  }

  restore(): void {
    rmSync(this.data, { recursive: true })
    cpSync(join(this.#directory, 'backup'), this.data, { recursive: true })
    this.run('epoch', '--renew')
  }

  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    const late = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
    await ended
    clearTimeout(late)
    running.delete(child)
  }
}

function portOf(log: string, what: string): number | undefined {
  const [, port] = new RegExp(` ${what} address=\\S*:(\\d+)`).exec(log) ?? []
  return port === undefined ? undefined : Number(port)
}
