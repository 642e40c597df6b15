/**
 * One running node: puts its parts together, starts and ends them, and answers for the connections. What
 * the core decides is carried out in `outputs.ts`, what peers send is read in `intake.ts`.
 *
 * @module
 */
import type * as Context from "effect/Context"
import type * as Cluster from "../core/cluster.ts"
import * as Membership from "../core/membership.ts"
import type { CloseReason, Transport } from "../transport.ts"
import * as Handshake from "../wire/handshake.ts"
import * as Value from "../wire/value.ts"
import { type Call, Calls } from "./calls.ts"
import { type Cell, withdraw } from "./cell.ts"
import type { AnyDefinition } from "./definition.ts"
import { Driver } from "./driver.ts"
import { NodeStopped, NotData, reasonOf } from "./errors.ts"
import { Events } from "./events.ts"
import { Inbox } from "./inbox.ts"
import { Inquiries } from "./inquiries.ts"
import { Intake } from "./intake.ts"
import type { Limits } from "./limits.ts"
import type { Link } from "./link.ts"
import { type DialFailure, Links } from "./links.ts"
import { Mover } from "./mover.ts"
import { Names } from "./names.ts"
import { type Life, Outputs } from "./outputs.ts"
import type { Parts } from "./parts.ts"
import type { Platform } from "./platform.ts"
import { Processes } from "./processes.ts"
import * as Ref from "./ref.ts"
import { Reservations } from "./reservations.ts"
import { Router } from "./router.ts"
import { Starts } from "./starts.ts"
import { Stops } from "./stops.ts"

/** How an engine is made: options that have been checked, with nothing left out. */
export interface EngineOptions {
  /** The node's name. */
  readonly name: string
  /** The cluster's name. */
  readonly cluster: string
  readonly cookie: string | undefined
  readonly transport: Transport
  /** The definitions that the node hosts; no two of one name. */
  readonly processes: ReadonlyArray<AnyDefinition>
  readonly limits: Limits
  readonly platform: Platform
  /** What handlers' Effects run with. */
  readonly context: Context.Context<never>
  /** See the node's identity: the higher of two instances of one name is the younger. */
  readonly epoch: number
  /** A random uint32 that tells apart two nodes of one name. */
  readonly instance: number
  /** How long a connection may take to come about. */
  readonly dialMillis: number
  /** The core's options, once the address is known. */
  readonly core: (address: string) => Cluster.Options
}

/** The parts of one node. */
export class Engine implements Parts {
  readonly name: string
  readonly platform: Platform
  readonly limits: Limits
  readonly events: Events = new Events()
  readonly calls: Calls
  readonly processes: Processes
  readonly links: Links
  readonly names: Names
  readonly starts: Starts
  readonly stops: Stops
  readonly reservations: Reservations
  readonly router: Router
  /** Set by whoever runs the node. */
  readonly life: Life = { onReady: () => {}, onLeft: () => {}, onConflict: () => {} }
  readonly #options: EngineOptions
  readonly #inquiries: Inquiries
  readonly #outputs: Outputs
  #driver: Driver | undefined
  #address = ""
  #closed = false

  constructor(options: EngineOptions) {
    const { name, platform, limits } = options
    this.#options = options
    this.name = name
    this.platform = platform
    this.limits = limits
    this.processes = this.#makeProcesses()
    this.calls = this.#makeCalls()
    this.names = new Names(this, options.processes)
    this.starts = new Starts(this, this.names)
    this.#inquiries = new Inquiries(this)
    this.stops = new Stops(this, this.#inquiries)
    this.reservations = new Reservations(this, this.#inquiries)
    this.router = new Router(this, this.names, this.starts)
    const mover = new Mover(this, this.names, this.router)
    const { names, starts, stops, reservations, router, life } = this
    this.#outputs = new Outputs(this, { names, starts, reservations, router, mover, life })
    const inbox = new Inbox(this, names, router, mover)
    const inquiries = this.#inquiries
    this.links = this.#makeLinks(
      new Intake(this, { starts, stops, reservations, inquiries, router, mover, inbox }),
    )
  }

  #makeProcesses(): Processes {
    const { name, platform, context } = this.#options
    return new Processes(name, platform, context, {
      gone: (cell, reason) => this.#gone(cell, reason),
      crashed: (cell, reason, restarted) =>
        this.events.emit({ _tag: "ProcessCrashed", process: cell.name, reason, restarted }),
      ref: (definition, key) => Ref.make(this.router, definition, key),
      mergeFailed: (cell) => this.events.emit({ _tag: "HandoffFailed", processes: [cell.name] }),
      overloaded: (cell) =>
        this.events.emit({ _tag: "Dropped", process: cell.name, limit: "mailboxMax" }),
    })
  }

  #makeCalls(): Calls {
    const codec = {
      copy: Value.copy,
      notData: (process: string, error: unknown) =>
        new NotData(process, reasonOf(error), "executed"),
      cancel: withdraw,
    }
    return new Calls(this.platform, codec, this.limits.pendingMax)
  }

  #makeLinks(intake: Intake): Links {
    const { transport, cookie, dialMillis } = this.#options
    const { platform, limits } = this
    return new Links({
      transport,
      platform,
      cookie,
      dialMillis,
      frameBytesMax: limits.frameBytesMax,
      queueBytesMax: limits.queueBytesMax,
      connectionsMax: limits.connectionsMax,
      identity: () => this.#identity(),
      refuse: (peer) => this.#refuse(peer),
      up: (link) => this.#linkUp(link),
      down: (link, reason) => this.#linkDown(link, reason),
      dialFailed: (address, reason) => this.#dialFailed(address, reason),
      superseded: (epoch, instance) =>
        this.driver.input({ _tag: "Superseded", now: platform.now(), epoch, instance }),
      refused: (address, reason, by) =>
        this.events.emit({ _tag: "ConnectionRefused", address, reason, by }),
      frame: (link, buffer, start, end) => intake.receive(link, buffer, start, end),
    })
  }

  /** Takes inputs for the core. Throws until the node listens. */
  get driver(): Driver {
    if (this.#driver === undefined) throw new Error("BUG: the node isn't listening yet")
    return this.#driver
  }

  /** What the core knows. Throws until the node listens. */
  get core(): Cluster.State {
    return this.driver.state
  }

  /** The address that others can dial; empty until the node listens. */
  get address(): string {
    return this.#address
  }

  // --- beginning and end -------------------------------------------------------------------------

  /** Listens and lets the core join; the core then says when it is ready. Rejects AddressUnavailable. */
  async open(): Promise<void> {
    this.#address = await this.links.listen()
    this.#driver = new Driver(
      this.platform,
      this.#options.core(this.#address),
      (output) => this.#outputs.perform(output),
      () => this.#heard(),
    )
    this.#driver.start()
    this.links.open()
  }

  /** Ends everything at once; resolves when the transport listens no more. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#driver?.close()
    this.calls.close((call) => this.#ended(call))
    this.starts.close()
    this.#inquiries.close()
    for (const cell of this.processes.all()) this.processes.kill(cell)
    this.router.close()
    await this.links.close()
    this.events.emit({ _tag: "Stopped" })
    this.events.close()
  }

  #ended(call: Call): NodeStopped {
    const outcome = call.node === undefined ? "not-executed" : "unknown"
    return new NodeStopped(call.process, this.name, outcome)
  }

  /** The error of everything asked of a node that has stopped, or undefined while it runs. */
  stopped(process: string): NodeStopped | undefined {
    return this.#closed ? new NodeStopped(process, this.name) : undefined
  }

  /** A process ended here for good. */
  #gone(cell: Cell, reason: string): void {
    this.names.gone(cell)
    this.stops.gone(cell)
    this.events.emit({ _tag: "ProcessStopped", process: cell.name, reason })
  }

  // --- connections -------------------------------------------------------------------------------

  #identity(): Handshake.Identity {
    const { cluster, name, instance, epoch } = this.#options
    const now = this.#driver === undefined ? epoch : this.#driver.state.registry.self.epoch
    const minor = Handshake.PROTOCOL_MINOR
    return { cluster, name, epoch: now, instance, address: this.#address, minor }
  }

  #refuse(peer: Handshake.Peer): Handshake.Verdict | undefined {
    if (this.#closed) return { _tag: "Reject", reason: "leaving" }
    if (this.#driver === undefined) return undefined
    const { membership, registry } = this.#driver.state
    if (Membership.full(membership, peer.name)) return { _tag: "Reject", reason: "full" }
    const epoch = registry.tables.get(peer.name)?.epoch ?? 0
    return epoch > peer.epoch ? { _tag: "Reject", reason: "superseded", epoch } : undefined
  }

  #linkUp(link: Link): void {
    const { name: peer, epoch, address } = link.peer
    this.driver.input({ _tag: "LinkUp", now: this.platform.now(), peer, epoch, address })
    this.router.retry()
  }

  #linkDown(link: Link, reason: CloseReason): void {
    if (this.#closed) return
    const { name: peer, epoch } = link.peer
    this.router.linkDown(peer)
    this.starts.linkDown(peer)
    this.#inquiries.linkDown(peer)
    const why = reason === "ended" ? "closed" : "reset"
    this.driver.input({ _tag: "LinkDown", now: this.platform.now(), peer, epoch, reason: why })
  }

  #dialFailed(address: string, reason: DialFailure): void {
    if (this.#closed) return
    this.driver.input({ _tag: "DialFailed", now: this.platform.now(), address, reason })
  }

  /** Peers that sent users' messages since the last look: they need no probe. */
  #heard(): ReadonlyArray<string> {
    const peers: Array<string> = []
    for (const link of this.links.all()) {
      if (!link.heard) continue
      link.heard = false
      peers.push(link.peer.name)
    }
    return peers
  }
}
