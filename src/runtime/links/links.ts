/**
 * The links of a node: listening, dialling, the handshake, and one link per peer whoever dialled. A link
 * through neighbours gives way to one of its own connection, and nothing is lost on the way.
 *
 * @module
 */
import type { CloseReason, Connection, Listener, Transport } from "../../transport.ts"
import { PeerUnreachable } from "../../transport.ts"
import { Reader } from "../../wire/bytes.ts"
import * as Handshake from "../../wire/handshake.ts"
import { KIND } from "../../wire/message.ts"
import type { Platform } from "../platform.ts"
import { type Initiator, Link } from "./link.ts"
import { Relays } from "./relays.ts"

/** What the links need from the node, and what they tell it. */
export interface LinksOptions {
  /** The node's name. */
  readonly name: string
  readonly transport: Transport
  readonly platform: Platform
  readonly cookie: string | undefined
  /** Who this node is; the address is known only once it listens. */
  readonly identity: () => Handshake.Identity
  /** Limits of each link; see `link.ts`. */
  readonly frameBytesMax: number
  readonly queueBytesMax: number
  /** Links and handshakes under way, together. */
  readonly connectionsMax: number
  /** How long a connection may take to come about. */
  readonly dialMillis: number
  /** Reasons of the membership against a peer, at its handshake. */
  readonly refuse: (peer: Handshake.Peer) => Handshake.Verdict | undefined
  /** A link to a peer stands, by dialling `dialled` if we did; the one before it, if any, is gone. */
  readonly up: (link: Link, dialled: string | undefined) => void
  /** The link to a peer is gone, and no other has taken its place. */
  readonly down: (link: Link, reason: CloseReason) => void
  /** A dial didn't lead to a link; `real`: the address of who is there by its own word, if it said one. */
  readonly dialFailed: (address: string, reason: DialFailure, real?: string) => void
  /** No link to the peer came about through the neighbour that was asked. */
  readonly relayFailed: (peer: string) => void
  /** Somebody else holds our name. */
  readonly superseded: (epoch: number, instance: number) => void
  /** A handshake failed for a reason that the user should know. */
  readonly refused: (address: string, reason: string, by: "us" | "them") => void
  /** A frame came on a link. */
  readonly frame: (link: Link, buffer: Uint8Array, start: number, end: number) => void
}

/**
 * Why a dial didn't lead to a link. `rejected`: the handshake failed. `self`: the address is our own.
 * `duplicate`: there is a link to that node already.
 */
export type DialFailure = "refused" | "unreachable" | "timeout" | "rejected" | "self" | "duplicate"

/** A link on which nothing came for this long gives way to one that its peer dials. */
const SILENT_MILLIS = 3_000

/** A connection that is to become a link: whose wish it is, and how it goes. */
interface Way {
  readonly initiator: Initiator
  /** What was dialled, if we did. */
  readonly dialled: string | undefined
  /** The nodes that relay it. */
  readonly path: ReadonlyArray<string>
}

const DIRECT: ReadonlyArray<string> = []

/** All links of one node, one per peer. */
export class Links {
  readonly #options: LinksOptions
  readonly #relays: Relays
  readonly #reader = new Reader()
  readonly #byName = new Map<string, Link>()
  /** Addresses being dialled, with the names of their nodes where known. */
  readonly #dialling = new Map<string, string | undefined>()
  /** Peers to whom a way through neighbours is looked for. */
  readonly #relaying = new Set<string>()
  /** What ends each dial under way. */
  readonly #aborts = new Set<() => void>()
  #handshakes = 0
  /** Connections that came before the node could make something of them. */
  #early: Array<Connection> | undefined = []
  #listener: Listener | undefined
  #closed = false

  constructor(options: LinksOptions) {
    this.#options = options
    const { platform, dialMillis } = options
    this.#relays = new Relays({
      name: options.name,
      platform,
      dialMillis,
      link: (name) => this.#byName.get(name),
      accept: (connection, path) => void this.#accept(connection, path),
    })
  }

  /** Starts listening; the address that others can dial. Connections wait for {@link open}. */
  async listen(): Promise<string> {
    const listener = await this.#options.transport.listen((connection) => {
      if (this.#early === undefined) void this.#accept(connection)
      else if (this.#early.length < this.#options.connectionsMax) this.#early.push(connection)
      else connection.destroy()
    })
    this.#listener = listener
    if (this.#closed) await listener.close()
    return listener.address
  }

  /** Starts accepting connections. */
  open(): void {
    const early = this.#early ?? []
    this.#early = undefined
    for (const connection of early) void this.#accept(connection)
  }

  /** The link to a peer. */
  get(name: string): Link | undefined {
    return this.#byName.get(name)
  }

  /** All links that stand. */
  all(): IterableIterator<Link> {
    return this.#byName.values()
  }

  /** Tries to connect; ends in `up` or `dialFailed`. */
  async dial(address: string, peer: string | undefined): Promise<void> {
    if (this.#dialling.has(address) || this.#closed) return
    if (peer !== undefined && this.#byName.get(peer)?.path.length === 0) return
    if (this.#full()) return this.#options.dialFailed(address, "unreachable")
    this.#dialling.set(address, peer)
    let real: string | undefined
    try {
      const connection = await this.#connect(address)
      const way: Way = { initiator: "us", dialled: address, path: DIRECT }
      await this.#shake(connection, way, (found) => {
        real = found.address
      })
    } catch (error) {
      if (this.#closed) return
      if (error instanceof PeerUnreachable) this.#options.dialFailed(address, reasonOf(error))
      else this.#rejected(address, error, real)
    } finally {
      this.#dialling.delete(address)
    }
  }

  /** Tries to connect to a peer through a neighbour; ends in `up` or `relayFailed`. */
  async relay(peer: string, via: string): Promise<void> {
    if (this.#closed || this.#byName.has(peer) || this.#relaying.has(peer)) return
    if (this.#full()) return this.#options.relayFailed(peer)
    this.#relaying.add(peer)
    try {
      const { connection, path } = await this.#relays.dial(peer, via)
      await this.#shake(connection, { initiator: "us", dialled: undefined, path })
    } catch {
      if (!this.#closed) this.#options.relayFailed(peer)
    } finally {
      this.#relaying.delete(peer)
    }
  }

  async #connect(address: string): Promise<Connection> {
    const timeout = new AbortController()
    const stop = (): void => timeout.abort()
    const cancel = this.#options.platform.timer(this.#options.dialMillis, stop)
    this.#aborts.add(stop)
    try {
      return await this.#options.transport.dial(address, timeout.signal)
    } finally {
      cancel()
      this.#aborts.delete(stop)
    }
  }

  async #accept(connection: Connection, path: ReadonlyArray<string> = DIRECT): Promise<void> {
    if (this.#closed) return connection.destroy()
    if (this.#full()) {
      this.#options.refused(connection.remote, "full", "us")
      return connection.destroy()
    }
    try {
      await this.#shake(connection, { initiator: "them", dialled: undefined, path })
    } catch (error) {
      if (!this.#closed) this.#told(connection.remote, error)
    }
  }

  async #shake(
    connection: Connection,
    way: Way,
    met: (peer: Handshake.Peer) => void = () => {},
  ): Promise<void> {
    this.#handshakes++
    try {
      const local = this.#local(way, met)
      const shake = way.initiator === "us" ? Handshake.initiate : Handshake.respond
      const established = await shake(connection, local)
      if (this.#closed) return connection.destroy()
      this.#established(established, way)
    } catch (error) {
      connection.destroy()
      const { remote } = connection
      throw error instanceof Error ? error : new Error(`handshake with ${remote} failed`)
    } finally {
      this.#handshakes--
    }
  }

  #local(way: Way, met: (peer: Handshake.Peer) => void): Handshake.Local {
    const { platform, cookie, identity } = this.#options
    return {
      identity: identity(),
      cookie,
      admit: (peer) => {
        met(peer)
        return this.#admit(peer, way)
      },
      timer: platform.timer,
      randomBytes: platform.randomBytes,
    }
  }

  #full(): boolean {
    return this.#byName.size + this.#handshakes >= this.#options.connectionsMax
  }

  // --- one link per peer -------------------------------------------------------------------------

  #admit(peer: Handshake.Peer, way: Way): Handshake.Verdict {
    const self = this.#options.identity()
    if (peer.name === self.name) {
      if (peer.instance === self.instance) return { _tag: "Reject", reason: "self" }
      const { epoch, instance } = self
      return { _tag: "Reject", reason: "name-conflict", epoch, instance }
    }
    const refused = this.#options.refuse(peer)
    if (refused !== undefined) return refused
    const duplicate =
      way.initiator === "us" ? this.#reached(peer, way) : this.#duplicate(peer, way, self.name)
    if (duplicate) return { _tag: "Reject", reason: "duplicate" }
    return { _tag: "Admit" }
  }

  /** Whether we are there already, having dialled another of the peer's addresses, or by a shorter way. */
  #reached(peer: Handshake.Peer, way: Way): boolean {
    const link = this.#byName.get(peer.name)
    if (link === undefined || link.peer.epoch !== peer.epoch || longer(link, way)) return false
    return (link.initiator === "us" || longer(way, link)) && this.#audible(link)
  }

  /** Whether the peer's connection should give way to one of ours, so that one of two survives. */
  #duplicate(peer: Handshake.Peer, way: Way, self: string): boolean {
    // A peer that dials again has lost the link that it started itself.
    if (this.#byName.has(peer.name)) return this.#reached(peer, way)
    if (peer.name < self) return false
    if (way.path.length > 0) return this.#relaying.has(peer.name)
    for (const [address, name] of this.#dialling) {
      if (name === peer.name || address === peer.address) return true
    }
    return false
  }

  /**
   * Whether something came lately on a link. A peer that dials has none to us: one of ours that is silent
   * has been lost without our being told, and the peer knows better.
   */
  #audible(link: Link): boolean {
    return this.#options.platform.now() - link.readAt < SILENT_MILLIS
  }

  #established(established: Handshake.Established, way: Way): void {
    const { peer, connection, rest } = established
    const before = this.#byName.get(peer.name)
    const stays =
      before !== undefined && (before.peer.epoch > peer.epoch || this.#preferred(before, peer, way))
    if (stays) return connection.destroy()
    const shorter = before?.peer.epoch === peer.epoch && longer(before, way)
    if (!shorter) before?.destroy()
    const link = this.#make(established, way)
    this.#byName.set(peer.name, link)
    this.#options.up(link, way.dialled)
    if (shorter) this.#shorten(before, link, rest)
    else link.start(rest)
  }

  #make({ peer, connection, keys }: Handshake.Established, { initiator, path }: Way): Link {
    const { frameBytesMax, queueBytesMax, platform } = this.#options
    return new Link(peer, initiator, connection, {
      frameBytesMax,
      queueBytesMax,
      now: platform.now,
      path,
      keys,
      onFrame: (link, buffer, start, end) => this.#frame(link, buffer, start, end),
      onClose: (closed, reason) => {
        this.#relays.linkDown(closed)
        if (this.#byName.get(peer.name) !== closed) return
        this.#byName.delete(peer.name)
        if (!this.#closed) this.#options.down(closed, reason)
      },
    })
  }

  /** What the peer sent the long way comes before what it sends on the link that takes over. */
  #shorten(before: Link, link: Link, rest: Uint8Array): void {
    const { platform, dialMillis } = this.#options
    const cancel = platform.timer(dialMillis, () => before.destroy())
    before.retire(() => {
      cancel()
      link.start(rest)
    })
  }

  #frame(link: Link, buffer: Uint8Array, start: number, end: number): void {
    const kind = start < end ? buffer[start] : undefined
    if (kind === KIND.last) return link.last()
    if (kind !== KIND.relay) return this.#options.frame(link, buffer, start, end)
    link.heard = true
    this.#reader.reset(buffer, start + 1, end)
    if (!this.#relays.receive(link, this.#reader)) link.destroy()
  }

  /** Two connections crossed: both sides keep the shorter, or the one that the lower name started. */
  #preferred(before: Link, peer: Handshake.Peer, way: Way): boolean {
    const { initiator } = way
    if (before.peer.epoch !== peer.epoch || longer(before, way)) return false
    if (longer(way, before)) return this.#audible(before)
    if (before.initiator === initiator) return false
    if (initiator === "them" && !this.#audible(before)) return false
    const lower = this.#options.identity().name < peer.name ? "us" : "them"
    return before.initiator === lower
  }

  // --- failures ----------------------------------------------------------------------------------

  #rejected(address: string, error: unknown, real: string | undefined): void {
    const reason = error instanceof Handshake.HandshakeFailed ? error.reason : "closed"
    if (reason === "self" || reason === "duplicate") {
      return this.#options.dialFailed(address, reason, real)
    }
    this.#told(address, error)
    // A process that is being ended still accepts for a moment: that is no verdict, try again soon.
    this.#options.dialFailed(address, reason === "closed" ? "unreachable" : "rejected")
  }

  #told(address: string, error: unknown): void {
    if (!(error instanceof Handshake.HandshakeFailed)) return
    const { reason, by, epoch, instance } = error
    if (reason === "self" || reason === "duplicate") return
    const named = reason === "name-conflict" || reason === "superseded"
    if (named && by === "them" && epoch !== undefined)
      this.#options.superseded(epoch, instance ?? 0)
    this.#options.refused(address, reason, by)
  }

  /** Ends all links once what was written is sent, and stops listening. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    for (const abort of this.#aborts) abort()
    for (const connection of this.#early ?? []) connection.destroy()
    for (const link of [...this.#byName.values()]) link.close()
    this.#byName.clear()
    await this.#listener?.close()
  }
}

/** Whether one goes through neighbours and the other doesn't. */
function longer(one: { readonly path: ReadonlyArray<string> }, other: typeof one): boolean {
  return one.path.length > 0 && other.path.length === 0
}

function reasonOf(error: PeerUnreachable): DialFailure {
  switch (error.reason) {
    case "refused":
      return "refused"
    case "timeout":
    case "aborted":
      return "timeout"
    default:
      return "unreachable"
  }
}
