/** A cable between browsers and the daemon that can be pulled, or go dead as when a laptop leaves the room. */

import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Address } from './daemon'

export class Cable {
  #server: Server | null = null
  #sockets = new Set<Socket>()
  #dead = false
  #muffled = false
  port = 0

  private constructor(private readonly to: Address) {}

  static async to(address: Address): Promise<Cable> {
    const cable = new Cable(address)
    await cable.plug()
    return cable
  }

  /** Connections are refused from now on, and those that there are break. */
  async pull(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (!server) return
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  async plug(): Promise<void> {
    this.#dead = this.#muffled = false
    const server = createServer((socket) => this.#join(socket))
    this.#server = server
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.port, '127.0.0.1', resolve))
    const address = server.address()
    if (typeof address === 'object' && address) this.port = address.port
  }

  /** Nothing gets through any more, and nobody is told: connections stay open. */
  die(): void {
    this.#dead = true
  }

  /** The daemon hears the browsers, which hear nothing of it, until the cable is plugged in again. */
  muffle(): void {
    this.#muffled = true
  }

  /** Whoever connects from now on gets through. The connections that died stay dead. */
  revive(): void {
    this.#dead = false
  }

  #join(here: Socket): void {
    this.#keep(here)
    if (this.#dead) return
    const there = connect(this.to)
    this.#keep(there)
    // What was sent while the line was dead is lost, and so is all that follows on that connection.
    let dead = false
    const through = (from: Socket, to: Socket, open: () => boolean): void => {
      from.on('data', (data) => {
        dead ||= this.#dead
        if (!dead && open()) to.write(data)
      })
      from.on('close', () => to.destroy())
    }
    through(here, there, () => true)
    through(there, here, () => !this.#muffled)
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
