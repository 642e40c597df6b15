/**
 * The links of a node: listening, dialling, the handshake, and one link per peer whoever dialled.
 *
 * @module
 */
import type { CloseReason, Connection, Listener, Transport } from "../../transport.ts"
import { PeerUnreachable } from "../../transport.ts"
import * as Handshake from "../../wire/handshake.ts"
import type { Platform } from "../platform.ts"
import { type Initiator, Link } from "./link.ts"

/** What the links need from the node, and what they tell it. */
export interface LinksOptions {
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

/** All links of one node, one per peer. */
export class Links {
  readonly #options: LinksOptions
  readonly #byName = new Map<string, Link>()
  /** Addresses being dialled, with the names of their nodes where known. */
  readonly #dialling = new Map<string, string | undefined>()
  /** What ends each dial under way. */
  readonly #aborts = new Set<() => void>()
  #handshakes = 0
  /** Connections that came before the node could make something of them. */
  #early: Array<Connection> | undefined = []
  #listener: Listener | undefined
  #closed = false

  constructor(options: LinksOptions) {
    this.#options = options
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
    if (peer !== undefined && this.#byName.has(peer)) return
    if (this.#full()) return this.#options.dialFailed(address, "unreachable")
    this.#dialling.set(address, peer)
    let real: string | undefined
    try {
      const connection = await this.#connect(address)
      await this.#shake(connection, "us", address, (found) => {
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

  async #accept(connection: Connection): Promise<void> {
    if (this.#closed) return connection.destroy()
    if (this.#full()) {
      this.#options.refused(connection.remote, "full", "us")
      return connection.destroy()
    }
    try {
      await this.#shake(connection, "them", connection.remote)
    } catch (error) {
      if (!this.#closed) this.#told(connection.remote, error)
    }
  }

  async #shake(
    connection: Connection,
    initiator: Initiator,
    address: string,
    met: (peer: Handshake.Peer) => void = () => {},
  ): Promise<void> {
    this.#handshakes++
    try {
      const local = this.#local(initiator, met)
      const shake = initiator === "us" ? Handshake.initiate : Handshake.respond
      const { peer, rest } = await shake(connection, local)
      if (this.#closed) return connection.destroy()
      const dialled = initiator === "us" ? address : undefined
      this.#established(peer, dialled, connection, rest)
    } catch (error) {
      connection.destroy()
      throw error instanceof Error ? error : new Error(`handshake with ${address} failed`)
    } finally {
      this.#handshakes--
    }
  }

  #local(initiator: Initiator, met: (peer: Handshake.Peer) => void): Handshake.Local {
    const { platform, cookie, identity } = this.#options
    return {
      identity: identity(),
      cookie,
      admit: (peer) => {
        met(peer)
        return this.#admit(peer, initiator)
      },
      timer: platform.timer,
      randomBytes: platform.randomBytes,
    }
  }

  #full(): boolean {
    return this.#byName.size + this.#handshakes >= this.#options.connectionsMax
  }

  // --- one link per peer -------------------------------------------------------------------------

  #admit(peer: Handshake.Peer, initiator: Initiator): Handshake.Verdict {
    const self = this.#options.identity()
    if (peer.name === self.name) {
      if (peer.instance === self.instance) return { _tag: "Reject", reason: "self" }
      const { epoch, instance } = self
      return { _tag: "Reject", reason: "name-conflict", epoch, instance }
    }
    const refused = this.#options.refuse(peer)
    if (refused !== undefined) return refused
    const duplicate = initiator === "us" ? this.#reached(peer) : this.#duplicate(peer, self.name)
    if (duplicate) return { _tag: "Reject", reason: "duplicate" }
    return { _tag: "Admit" }
  }

  /** Whether we are there already, having dialled another of the peer's addresses. */
  #reached(peer: Handshake.Peer): boolean {
    const link = this.#byName.get(peer.name)
    if (link === undefined || link.initiator !== "us") return false
    return link.peer.epoch === peer.epoch && this.#audible(link)
  }

  /** Whether the peer's connection should give way to one of ours, so that one of two survives. */
  #duplicate(peer: Handshake.Peer, self: string): boolean {
    const link = this.#byName.get(peer.name)
    // A peer that dials again has lost the link that it started itself.
    if (link !== undefined)
      return link.peer.epoch === peer.epoch && link.initiator === "us" && this.#audible(link)
    if (peer.name < self) return false
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

  #established(
    peer: Handshake.Peer,
    dialled: string | undefined,
    connection: Connection,
    rest: Uint8Array,
  ): void {
    const initiator: Initiator = dialled === undefined ? "them" : "us"
    const before = this.#byName.get(peer.name)
    if (before !== undefined) {
      const stays = before.peer.epoch > peer.epoch || this.#preferred(before, peer, initiator)
      if (stays) return connection.destroy()
      before.destroy()
    }
    const { frameBytesMax, queueBytesMax, frame } = this.#options
    const link = new Link(peer, initiator, connection, {
      frameBytesMax,
      queueBytesMax,
      now: this.#options.platform.now,
      onFrame: frame,
      onClose: (closed, reason) => {
        if (this.#byName.get(peer.name) !== closed) return
        this.#byName.delete(peer.name)
        if (!this.#closed) this.#options.down(closed, reason)
      },
    })
    this.#byName.set(peer.name, link)
    this.#options.up(link, dialled)
    link.start(rest)
  }

  /** Two connections crossed: both sides keep the one that the lower name started. */
  #preferred(before: Link, peer: Handshake.Peer, initiator: Initiator): boolean {
    if (before.peer.epoch !== peer.epoch || before.initiator === initiator) return false
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
