/**
 * One connection of a simulated network: a stream in each direction, in order, and what each side gets
 * to know of its end.
 *
 * @module
 */
import type { Host } from "./host.ts"
import type { Carrier, Packet } from "./packet.ts"

/** Why a connection is over; see `src/transport.ts`. */
export type Reason = "ended" | "reset" | "destroyed"

/** What an end tells its owner. */
export interface Receiver<P> {
  data(payload: P): void
  drain(): void
  close(reason: Reason): void
}

/** Two ends that are each other's peer. */
export class Connection<P> {
  /** The end of who dialled. */
  readonly here: End<P>
  readonly there: End<P>
  readonly network: Carrier<P>
  /** Nothing gets through any more, and nobody is told: as when a middlebox forgot the connection. */
  dead: boolean = false

  constructor(network: Carrier<P>, dialler: Host, acceptor: Host) {
    this.network = network
    this.here = new End(this, dialler)
    this.there = new End(this, acceptor)
    this.here.peer = this.there
    this.there.peer = this.here
  }

  /** Both sides learn that the connection is lost; what is under way is lost with it. */
  reset(): void {
    for (const end of [this.here, this.there]) end.lose()
  }

  /** The program at one end is gone. */
  orphan(host: Host): void {
    const end = this.here.host === host ? this.here : this.there
    end.abandon(host.reachable)
  }

  /** Forgotten once both sides know that it is over. */
  forget(): void {
    if (this.here.over !== undefined && this.there.over !== undefined) this.network.forget(this)
  }
}

/** Something on its way. In order: it is handed over once everything before it is there. */
interface Item<P> {
  readonly packet: Packet | undefined
  readonly payload: P | undefined
  /** The same again, where the packet comes twice. */
  readonly double: P | undefined
  readonly bytes: number
  readonly sentAt: number
  /** The sender ends with this. */
  readonly end: "ended" | "reset" | undefined
  there: boolean
  /** What comes behind it. */
  next: Item<P> | undefined
}

/** Items in order. There may be very many of these, and most of them empty. */
class Queue<P> {
  first: Item<P> | undefined
  #last: Item<P> | undefined

  push(item: Item<P>): void {
    item.next = undefined
    if (this.first === undefined) this.first = item
    else (this.#last as Item<P>).next = item
    this.#last = item
  }

  shift(): Item<P> | undefined {
    const { first } = this
    if (first === undefined) return undefined
    this.first = first.next
    // Who is done with an item mustn't hold on to those behind it, nor an empty queue to its last one.
    first.next = undefined
    if (this.first === undefined) this.#last = undefined
    return first
  }

  /** False when it isn't there any more. */
  remove(item: Item<P>): boolean {
    let before: Item<P> | undefined
    let at = this.first
    for (; at !== item && at !== undefined; at = at.next) before = at
    if (at === undefined) return false
    if (before === undefined) this.first = item.next
    else before.next = item.next
    if (this.#last === item) this.#last = before
    return true
  }

  clear(): void {
    this.first = undefined
    this.#last = undefined
  }
}

/** One side of a connection. */
export class End<P> {
  readonly host: Host
  readonly connection: Connection<P>
  peer: End<P> = this
  /** Why it is over, as this side knows. */
  over: Reason | undefined
  readonly #incarnation: number
  #receiver: Receiver<P> | undefined
  #told = false
  #scheduled = false
  /** What this side has sent and the other one hasn't got. */
  readonly #sent = new Queue<P>()
  #unread = 0
  /** A write found the other side's queue full; it has been emptied since. */
  #full = false
  #drained = false
  /** What came and wasn't read. */
  readonly #inbox = new Queue<P>()

  constructor(connection: Connection<P>, host: Host) {
    this.connection = connection
    this.host = host
    this.#incarnation = host.incarnation
  }

  /** Bytes that were sent and not yet read on the other side. */
  get unread(): number {
    return this.#unread
  }

  /** Sends; false when the sender should wait for `drain`, or the connection is over. */
  send(payload: P, bytes: number, what: () => string): boolean {
    if (this.over !== undefined) return false
    const { network, dead } = this.connection
    const sent = network.send(this.host, this.peer.host, bytes, what)
    const { packet, fate, delayMicros } = sent
    if (dead || fate === "drop") {
      const why = dead ? "half-open" : "lost"
      network.world.record(() => ({ kind: "drop", packet: packet.id, why }))
      return true
    }
    const { copy, corrupt } = network.options
    const double = fate === "duplicate" ? copy(payload) : undefined
    let sound = payload
    if (fate === "corrupt") {
      if (corrupt === undefined) {
        this.connection.reset()
        return false
      }
      sound = corrupt(payload, packet)
    }
    this.#unread += bytes
    this.#post(packet, sound, double, bytes, undefined, delayMicros)
    if (this.#unread < network.queueBytes) return true
    this.#full = true
    return false
  }

  /** Directs what comes to a receiver; without one it is kept. Nothing is told before this returns. */
  receive(receiver: Receiver<P> | undefined): void {
    this.#receiver = receiver
    this.#schedule()
  }

  /** Ends both directions after what was sent. */
  close(): void {
    this.#end("ended", "ended")
  }

  /** Ends at once: what wasn't received is lost. */
  destroy(): void {
    this.#end("destroyed", "reset")
  }

  #end(here: Reason, there: "ended" | "reset"): void {
    if (this.over !== undefined) {
      if (here === "destroyed" && !this.#told) this.over = here
      return
    }
    this.#inbox.clear()
    this.over = here
    const { network } = this.connection
    const delayMicros = network.latency(this.host.index, this.peer.host.index)
    this.#post(undefined, undefined, undefined, 0, there, delayMicros)
    this.#schedule()
  }

  /** The connection is lost: this side learns it now. */
  lose(): void {
    if (this.over !== undefined) return
    this.#inbox.clear()
    this.#sent.clear()
    this.over = "reset"
    this.#schedule()
    this.connection.forget()
  }

  /** The program is gone. Its machine, if that is there, hangs up. */
  abandon(answers: boolean): void {
    this.#receiver = undefined
    if (answers) this.#end("reset", "reset")
    this.over ??= "reset"
    this.#told = true
    if (!answers) this.#sent.clear()
    this.connection.forget()
  }

  // --- under way ---------------------------------------------------------------------------------

  #post(
    packet: Packet | undefined,
    payload: P | undefined,
    double: P | undefined,
    bytes: number,
    end: "ended" | "reset" | undefined,
    delayMicros: number,
  ): void {
    const { network, dead } = this.connection
    if (dead) return
    const { world } = network
    const sentAt = world.now
    const item = { packet, payload, double, bytes, sentAt, end, there: false, next: undefined }
    this.#sent.push(item)
    world.later(delayMicros, () => this.#arrive(item))
  }

  #arrive(item: Item<P>): void {
    const { network } = this.connection
    const [from, to] = [this.host.index, this.peer.host.index]
    if (network.open(from, to)) return this.#arrived(item)
    network.arrive(from, to, item.sentAt, () => this.#arrived(item))
    if (item.packet === undefined) return
    const packet = item.packet.id
    const why = network.cut(from, to) ? "wall" : "clog"
    network.world.record(() => ({ kind: "hold", packet, why }))
  }

  #arrived(item: Item<P>): void {
    if (this.connection.dead) return
    if (this.connection.network.hopeless(item.sentAt)) return this.connection.reset()
    item.there = true
    if (this.connection.network.options.reorder === true && item.end === undefined) {
      if (this.#sent.remove(item)) this.peer.#take(item)
    }
    while (this.#sent.first?.there === true) this.peer.#take(this.#sent.shift() as Item<P>)
  }

  #take(item: Item<P>): void {
    const { host, connection } = this
    const gone = !host.running || host.incarnation !== this.#incarnation
    if (gone) {
      const packet = item.packet?.id
      const { world } = connection.network
      if (packet !== undefined) world.record(() => ({ kind: "drop", packet, why: "dead" }))
      // The machine says that it knows of no such connection, if it is there to say so.
      if (host.reachable && item.end === undefined)
        connection.network.travel(host.index, this.peer.host.index, () => this.peer.lose())
      this.over ??= "reset"
      return connection.forget()
    }
    if (this.over !== undefined) return connection.forget()
    if (item.end === "reset") return this.lose()
    this.#inbox.push(item)
    if (this.#scheduled) return
    this.#scheduled = true
    host.io(() => this.#deliver())
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.host.soon(0, () => this.#deliver())
  }

  #deliver(): void {
    this.#scheduled = false
    while (this.#receiver !== undefined && this.over === undefined) {
      const item = this.#inbox.shift()
      if (item === undefined) break
      this.#read(item)
    }
    const receiver = this.#receiver
    if (receiver === undefined) return
    if (this.#drained && this.over === undefined) {
      this.#drained = false
      receiver.drain()
    }
    if (this.over === undefined || this.#told) return
    this.#told = true
    this.connection.forget()
    receiver.close(this.over)
  }

  #read(item: Item<P>): void {
    const { peer, host, connection } = this
    const { world } = connection.network
    if (item.end !== undefined) {
      this.over = item.end
      return
    }
    const { packet } = item
    if (packet !== undefined) {
      world.trace.mix(packet.id, host.index, world.now)
      if (world.trace.keeps)
        world.record(() => ({ kind: "receive", packet: packet.id, node: host.index }))
      else world.note()
    }
    peer.#unread -= item.bytes
    // A handler may redirect, close or destroy: the receiver is looked at afresh for each.
    this.#receiver?.data(item.payload as P)
    if (item.double !== undefined) this.#receiver?.data(item.double)
    if (!peer.#full || peer.#unread > 0) return
    peer.#full = false
    peer.#drained = true
    peer.#schedule()
  }
}
