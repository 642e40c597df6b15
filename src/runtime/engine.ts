/**
 * One running node: puts its parts together, starts and ends them, and answers for the connections. What
 * the core decides is carried out in `outputs.ts`, what peers send is read in `intake.ts`.
 *
 * @module
 */
import type * as Context from "effect/Context"
import type * as Cluster from "../core/cluster.ts"
import * as Membership from "../core/membership.ts"
import type { Discovery } from "../discovery/discovery.ts"
import type { CloseReason, Transport } from "../transport.ts"
import * as Handshake from "../wire/handshake.ts"
import * as Value from "../wire/value.ts"
import { type Call, Calls } from "./calls/calls.ts"
import * as Ref from "./calls/ref.ts"
import { Router } from "./calls/router.ts"
import type { AnyDefinition } from "./definition.ts"
import { Driver } from "./driver.ts"
import { NodeStopped, NotData, reasonOf } from "./errors.ts"
import { Events } from "./events.ts"
import { Functions } from "./functions/functions.ts"
import type * as Remote from "./functions/remote.ts"
import { Services } from "./functions/services.ts"
import { nameOf } from "./groups/groupref.ts"
import { Groups } from "./groups/groups.ts"
import { Memberships } from "./groups/memberships.ts"
import { Inbox } from "./inbox.ts"
import { Intake } from "./intake.ts"
import type { Limits } from "./limits.ts"
import { Connections } from "./links/connections.ts"
import { Discoveries } from "./links/discoveries.ts"
import type { Link } from "./links/link.ts"
import { type DialFailure, Links } from "./links/links.ts"
import { Indexes } from "./names/indexes.ts"
import { Metadata } from "./names/metadata.ts"
import { Monitors } from "./names/monitors.ts"
import { Registrations } from "./names/registrations.ts"
import { Reservations } from "./names/reservations.ts"
import { type Life, Outputs } from "./outputs.ts"
import type { Parts } from "./parts.ts"
import type { Platform } from "./platform.ts"
import { type Cell, withdraw } from "./processes/cell.ts"
import { Conflicts } from "./processes/conflicts.ts"
import { Mover } from "./processes/mover.ts"
import { Names } from "./processes/names.ts"
import { Processes } from "./processes/processes.ts"
import { Starts } from "./processes/starts.ts"
import { Stops } from "./processes/stops.ts"
import type { Wills } from "./processes/wills.ts"
import type { AnyDefinition as Supervisor } from "./supervisors/supervisor.ts"
import { Handle } from "./supervisors/supervisorref.ts"
import { Supervisors } from "./supervisors/supervisors.ts"
import { Topics } from "./topics/topics.ts"

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
  /** The supervisors that the node hosts; no two of one name. */
  readonly supervisors: ReadonlyArray<Supervisor>
  /** The functions that it serves from the start; no two of one name. */
  readonly functions: ReadonlyArray<Remote.AnyDefinition>
  /** How it finds others besides. */
  readonly discovery: ReadonlyArray<Discovery>
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
  readonly connections: Connections
  readonly names: Names
  readonly supervisors: Supervisors
  readonly starts: Starts
  readonly stops: Stops
  readonly reservations: Reservations
  readonly router: Router
  readonly services: Services
  readonly memberships: Memberships
  readonly groups: Groups
  readonly registrations: Registrations
  readonly indexes: Indexes
  readonly monitors: Monitors
  readonly metadata: Metadata
  readonly topics: Topics
  readonly functions: Functions
  readonly discoveries: Discoveries
  readonly wills: Wills
  /** Set by whoever runs the node. */
  readonly life: Life = { onReady: () => {}, onLeft: () => {}, onConflict: () => {} }
  readonly #options: EngineOptions
  readonly #outputs: Outputs
  #driver: Driver | undefined
  #address = ""
  /** Ends what is to be done when the host ends. */
  #stay: () => void = () => {}
  #closed = false

  constructor(options: EngineOptions) {
    const { name, platform, limits } = options
    this.#options = options
    this.name = name
    this.platform = platform
    this.limits = limits
    this.processes = this.#makeProcesses()
    this.calls = this.#makeCalls()
    this.connections = new Connections(this)
    this.memberships = new Memberships(this)
    this.names = new Names(this, options.processes)
    for (const { name, spec } of options.supervisors)
      for (const process of spec.processes) this.names.host(process, name, spec.intensity)
    this.supervisors = new Supervisors(this, options.supervisors)
    this.starts = new Starts(this, this.names, this.supervisors)
    this.router = new Router(this, this.names, this.starts)
    this.services = new Services(this, options.context, this.router.replies)
    this.stops = new Stops(this, this.services)
    this.reservations = new Reservations(this, this.services)
    const { names, reservations, services } = this
    this.registrations = new Registrations(this, { names, reservations, services })
    this.indexes = new Indexes(() => this.core.registry)
    this.monitors = new Monitors(this)
    this.metadata = new Metadata(this, services)
    this.groups = new Groups(this, names, this.router, this.memberships)
    this.topics = new Topics(this, services, options.context)
    this.functions = new Functions(this, this.services, this.router, options.functions)
    this.discoveries = this.#makeDiscoveries()
    for (const supervisor of options.supervisors) listen(this, supervisor)
    const { router, memberships } = this
    const mover = new Mover(this, { names, router, memberships })
    this.wills = mover.wills
    const conflicts = new Conflicts(this, { ...this, router, memberships })
    this.#outputs = new Outputs(this, { ...this, mover, conflicts })
    const inbox = new Inbox(this, { ...this, mover })
    this.links = this.#makeLinks(new Intake(this, { ...this, mover, inbox }))
  }

  #makeProcesses(): Processes {
    const { name, platform, context } = this.#options
    return new Processes(name, platform, context, {
      gone: (cell, reason, crashed) => this.#gone(cell, reason, crashed),
      restarted: (cell) => this.names.restarted(cell),
      crashed: (cell, reason, restarted) =>
        this.events.emit({ _tag: "ProcessCrashed", process: cell.name, reason, restarted }),
      join: (cell, group, options) => this.memberships.join(cell, nameOf(group), options),
      leave: (cell, group) => this.memberships.leave(cell, nameOf(group)),
      ref: (definition, key) => Ref.make(this.router, definition, Ref.nameOf(definition, key)),
      mergeFailed: (cell) => this.events.emit({ _tag: "HandoffFailed", processes: [cell.name] }),
      overloaded: (cell) =>
        this.events.emit({ _tag: "Dropped", process: cell.name, limit: "mailboxMax" }),
    })
  }

  #makeDiscoveries(): Discoveries {
    const { discovery, cluster, cookie } = this.#options
    return new Discoveries(this, {
      strategies: discovery,
      cluster,
      cookie,
      address: () => this.#address,
      connect: (addresses) => this.connections.found(addresses),
      forget: (addresses) => this.connections.lost(addresses),
      event: (event) => this.events.emit(event),
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
    const { name, transport, cookie, dialMillis } = this.#options
    const { platform, limits } = this
    return new Links({
      name,
      transport,
      platform,
      cookie,
      dialMillis,
      frameBytesMax: limits.frameBytesMax,
      queueBytesMax: limits.queueBytesMax,
      connectionsMax: limits.connectionsMax,
      identity: () => this.#identity(),
      refuse: (peer) => this.#refuse(peer),
      up: (link, dialled) => this.#linkUp(link, dialled),
      down: (link, reason) => this.#linkDown(link, reason),
      dialFailed: (address, reason, real) => this.#dialFailed(address, reason, real),
      relayFailed: (peer) => this.driver.input({ _tag: "RelayFailed", now: platform.now(), peer }),
      superseded: (epoch, instance) =>
        this.driver.input({ _tag: "Superseded", now: platform.now(), epoch, instance }),
      refused: (address, reason, by) => {
        this.connections.refused(address, reason)
        this.events.emit({ _tag: "ConnectionRefused", address, reason, by })
      },
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
    // Before the transport, which says at its end that nothing more follows.
    this.#stay = this.platform.ending?.(() => this.#dying()) ?? this.#stay
    this.#address = await this.links.listen()
    this.#driver = new Driver(
      this.platform,
      this.#options.core(this.#address),
      (output) => this.#outputs.perform(output),
      () => this.#heard(),
    )
    this.#driver.start()
    this.links.open()
    this.functions.open()
    this.discoveries.start()
  }

  #dying(): void {
    if (!this.#closed && this.#driver !== undefined) this.wills.write()
  }

  /** Ends everything at once; resolves when the transport listens no more. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stay()
    this.discoveries.close()
    this.#driver?.close()
    this.calls.close((call) => this.#ended(call))
    this.connections.close()
    this.starts.close()
    this.services.close()
    this.topics.close()
    this.monitors.close()
    this.groups.close()
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
  #gone(cell: Cell, reason: string, crashed: boolean): void {
    const why = `${crashed ? "crashed" : "stopped"}: ${reason}`
    this.names.gone(cell, why)
    this.memberships.end(cell, why)
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

  #linkUp(link: Link, dialled: string | undefined): void {
    const { name: peer, epoch, address } = link.peer
    const now = this.platform.now()
    const { medium } = link
    this.driver.input({ _tag: "LinkUp", now, peer, epoch, address, dialled, medium })
    this.connections.linkUp(link)
    this.router.retry()
  }

  #linkDown(link: Link, reason: CloseReason): void {
    if (this.#closed) return
    const { name: peer, epoch } = link.peer
    this.router.linkDown(peer)
    this.starts.linkDown(peer)
    this.services.linkDown(peer)
    this.topics.linkDown(peer)
    const why = reason === "ended" ? "closed" : "reset"
    this.driver.input({ _tag: "LinkDown", now: this.platform.now(), peer, epoch, reason: why })
    this.connections.linkDown(link)
  }

  #dialFailed(address: string, reason: DialFailure, real: string | undefined): void {
    if (this.#closed) return
    this.driver.input({ _tag: "DialFailed", now: this.platform.now(), address, reason, real })
    this.connections.dialFailed(address, reason)
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

/** The listeners that a supervisor's definition brings along. */
function listen(engine: Engine, supervisor: Supervisor): void {
  const handle = new Handle(engine, supervisor)
  for (const listeners of [supervisor.spec.listeners ?? []].flat()) handle.on(listeners)
}
