/**
 * One running node: the parts of the runtime, and what they tell each other. The core decides; here its
 * outputs are carried out.
 *
 * @module
 */
import type { Context } from "effect"
import type * as Cluster from "../core/cluster.ts"
import type * as Membership from "../core/membership.ts"
import * as Registry from "../core/registry.ts"
import type { CloseReason, Transport } from "../transport.ts"
import { Reader, Writer } from "../wire/bytes.ts"
import * as Frame from "../wire/frame.ts"
import * as Handshake from "../wire/handshake.ts"
import * as Message from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import { Calls } from "./calls.ts"
import type { Cell, Hosted } from "./cell.ts"
import type { AnyDefinition } from "./definition.ts"
import { Driver } from "./driver.ts"
import { NodeStopped, NotData, reasonOf, StartFailed } from "./errors.ts"
import { Events, type NodeEvent } from "./events.ts"
import * as Failure from "./failure.ts"
import type { Limits } from "./limits.ts"
import type { Link } from "./link.ts"
import { type DialFailure, Links } from "./links.ts"
import { Mover } from "./mover.ts"
import type { Platform } from "./platform.ts"
import { Processes } from "./processes.ts"
import * as Ref from "./ref.ts"
import { Router } from "./router.ts"
import { Starts } from "./starts.ts"

export interface EngineOptions {
  readonly name: string
  readonly cluster: string
  readonly cookie: string | undefined
  readonly transport: Transport
  readonly processes: ReadonlyArray<AnyDefinition>
  readonly limits: Limits
  readonly platform: Platform
  readonly context: Context.Context<never>
  readonly epoch: number
  readonly instance: number
  readonly dialMillis: number
  /** The core's options, once the address is known. */
  readonly core: (address: string) => Cluster.Options
}

export class Engine {
  readonly name: string
  readonly platform: Platform
  readonly limits: Limits
  readonly events: Events = new Events()
  readonly calls: Calls
  readonly processes: Processes
  readonly links: Links
  readonly router: Router
  readonly starts: Starts
  readonly mover: Mover
  readonly #options: EngineOptions
  readonly #definitions: ReadonlyMap<string, AnyDefinition>
  readonly #hosted = new Map<string, Hosted>()
  readonly #scratch = new Writer(4096)
  readonly #reader = new Reader()
  /** Nodes that said that they leave: what was sent to them was passed on. */
  readonly #leaving = new Set<string>()
  /** Names registered in addition, by the process they belong to. */
  readonly #aliases = new Map<number, Array<string>>()
  #driver: Driver | undefined
  /** Names whose processes are being started here, until the registry has them. */
  readonly #booting = new Set<string>()
  #address = ""
  #closed = false
  /** Set by the node: the core says that it serves, that it has left, or that it must stop. */
  onReady: () => void = () => {}
  onLeft: () => void = () => {}
  onConflict: () => void = () => {}

  constructor(options: EngineOptions) {
    const { platform, limits } = options
    this.#options = options
    this.name = options.name
    this.platform = platform
    this.limits = limits
    this.#definitions = new Map(options.processes.map((one) => [one.name, one]))
    this.processes = new Processes(options.name, platform, options.context, {
      gone: (cell, reason) => this.#gone(cell, reason),
      crashed: (cell, reason, restarted) =>
        this.events.emit({ _tag: "ProcessCrashed", process: cell.name, reason, restarted }),
      ref: (definition, key) => Ref.make(this.router, definition, key),
      overloaded: (cell) =>
        this.events.emit({ _tag: "Dropped", process: cell.name, limit: "mailboxMax" }),
    })
    const codec = {
      copy: Value.copy,
      notData: (process: string, error: unknown) =>
        new NotData(process, reasonOf(error), "executed"),
      cancel: this.processes.cancel,
    }
    this.calls = new Calls(platform, codec, limits.pendingMax)
    this.router = new Router(this)
    this.starts = new Starts(this)
    this.mover = new Mover(this)
    this.links = new Links({
      transport: options.transport,
      platform,
      cookie: options.cookie,
      identity: () => this.#identity(),
      frameBytesMax: limits.frameBytesMax,
      queueBytesMax: limits.queueBytesMax,
      connectionsMax: limits.connectionsMax,
      dialMillis: options.dialMillis,
      refuse: (peer) => this.#refuse(peer),
      up: (link) => this.#linkUp(link),
      down: (link, reason) => this.#linkDown(link, reason),
      dialFailed: (address, reason) => this.#dialFailed(address, reason),
      superseded: (epoch, instance) =>
        this.driver.input({ _tag: "Superseded", now: platform.now(), epoch, instance }),
      refused: (address, reason, by) =>
        this.events.emit({ _tag: "ConnectionRefused", address, reason, by }),
      frame: (link, buffer, start, end) => this.#frame(link, buffer, start, end),
    })
    for (const definition of options.processes) this.#host(definition)
  }

  get driver(): Driver {
    if (this.#driver === undefined) throw new Error("BUG: the node isn't listening yet")
    return this.#driver
  }

  get core(): Cluster.State {
    return this.driver.state
  }

  get address(): string {
    return this.#address
  }

  /** Listens and lets the core join. */
  async open(): Promise<void> {
    this.#address = await this.links.listen()
    const { core } = this.#options
    const heard = (): ReadonlyArray<string> => this.#heard()
    this.#driver = new Driver(
      this.platform,
      core(this.#address),
      (output) => this.#perform(output),
      heard,
    )
    this.#driver.start()
    this.links.open()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#driver?.close()
    this.calls.close((call) => {
      return new NodeStopped(
        call.process,
        this.name,
        call.node === undefined ? "not-executed" : "unknown",
      )
    })
    this.starts.close()
    for (const cell of this.processes.all()) this.processes.kill(cell)
    this.router.close()
    await this.links.close()
    this.events.emit({ _tag: "Stopped" })
    this.events.close()
  }

  /** The error of everything asked of a node that has stopped. */
  stopped(process: string): NodeStopped | undefined {
    return this.#closed ? new NodeStopped(process, this.name) : undefined
  }

  // --- definitions -------------------------------------------------------------------------------

  #host(definition: AnyDefinition): void {
    this.#hosted.set(definition.name, {
      definition,
      host: this.processes,
      mailboxMax: definition.spec.mailboxMax ?? this.limits.mailboxMax,
      decodeInit: (meta) => {
        if (meta === undefined) return { ok: true, value: undefined }
        const reader = new Reader(meta)
        const value = Value.read(reader)
        return { ok: reader.done(), value }
      },
    })
  }

  hosted(name: string): Hosted | undefined {
    return this.#hosted.get(definitionName(name))
  }

  definitionOf(name: string): AnyDefinition | undefined {
    return this.#definitions.get(definitionName(name))
  }

  /** Whether a name without a live holder may come back by itself. */
  recoverable(name: string): boolean {
    if (this.#booting.has(name)) return true
    if (Registry.hidden(this.core.registry, name) === undefined) return false
    return this.definitionOf(name)?.spec.restart !== "temporary"
  }

  // --- processes ---------------------------------------------------------------------------------

  /** The process of this name that this node serves. */
  here(name: string): Cell | undefined {
    const { registry } = this.core
    const entry = registry.index.get(name)
    return entry?.table === registry.self ? this.processes.get(entry.pid) : undefined
  }

  /** Enters a process into the registry. */
  registered(cell: Cell): void {
    const { name, generation, pid, meta } = cell
    const { now, wall } = this.platform
    this.#booting.add(name)
    this.driver.input({ _tag: "Register", now: now(), wall: wall(), name, generation, pid, meta })
  }

  /** Starts a process that another node or a dead one had: its start argument is all there is. */
  bootAndRegister(cell: Cell): void {
    const init = cell.hosted.decodeInit(cell.meta)
    this.#booting.add(cell.name)
    this.processes.boot(cell, init.value, (error) => {
      if (error === undefined) {
        this.registered(cell)
        this.events.emit({ _tag: "ProcessStarted", process: cell.name })
      } else {
        this.#booting.delete(cell.name)
        const reason = new StartFailed(cell.name, reasonOf(error)).message
        this.events.emit({ _tag: "ProcessStopped", process: cell.name, reason })
      }
    })
  }

  /** A process ended here for good. */
  #gone(cell: Cell, reason: string): void {
    if (this.here(cell.name) === cell || this.#claims(cell)) {
      this.driver.input({ _tag: "Unregister", now: this.platform.now(), name: cell.name })
    }
    this.#unalias(cell)
    this.starts.gone(cell)
    this.events.emit({ _tag: "ProcessStopped", process: cell.name, reason })
  }

  #claims(cell: Cell): boolean {
    const { registry } = this.core
    const entry = registry.index.get(cell.name)
    return entry?.table === registry.self && entry.pid === cell.pid
  }

  /** A process goes on elsewhere: moved, or lost its name. */
  left(cell: Cell, reason: string): void {
    this.processes.dismiss(cell, reason)
    this.#unalias(cell)
  }

  /** Enters an additional name for a process of this node. */
  alias(cell: Cell, alias: string): void {
    const meta = new TextEncoder().encode(cell.name)
    const { now, wall } = this.platform
    const names = this.#aliases.get(cell.pid)
    if (names === undefined) this.#aliases.set(cell.pid, [alias])
    else names.push(alias)
    this.driver.input({
      _tag: "Register",
      now: now(),
      wall: wall(),
      name: alias,
      generation: 1,
      pid: cell.pid,
      meta,
    })
  }

  /** Takes an additional name back; false when this node doesn't hold it. */
  unalias(alias: string): boolean {
    const { registry } = this.core
    const entry = registry.index.get(alias)
    if (entry === undefined || entry.table !== registry.self) return false
    const names = this.#aliases.get(entry.pid)?.filter((name) => name !== alias) ?? []
    if (names.length === 0) this.#aliases.delete(entry.pid)
    else this.#aliases.set(entry.pid, names)
    this.driver.input({ _tag: "Unregister", now: this.platform.now(), name: alias })
    return true
  }

  #unalias(cell: Cell): void {
    for (const alias of this.#aliases.get(cell.pid) ?? []) {
      this.driver.input({ _tag: "Unregister", now: this.platform.now(), name: alias })
    }
    this.#aliases.delete(cell.pid)
  }

  // --- links -------------------------------------------------------------------------------------

  #identity(): Handshake.Identity {
    const { cluster, name, instance, epoch } = this.#options
    const now = this.#driver === undefined ? epoch : this.#driver.state.registry.self.epoch
    const minor = Handshake.PROTOCOL_MINOR
    return { cluster, name, epoch: now, instance, address: this.#address, minor }
  }

  #refuse(peer: Handshake.Peer): Handshake.Verdict | undefined {
    if (this.#closed) return { _tag: "Reject", reason: "leaving" }
    const epoch = this.#driver?.state.registry.tables.get(peer.name)?.epoch ?? 0
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
    this.router.linkDown(peer, this.#leaving.has(peer))
    this.starts.linkDown(peer)
    const why = reason === "ended" ? "closed" : "reset"
    this.driver.input({ _tag: "LinkDown", now: this.platform.now(), peer, epoch, reason: why })
  }

  #dialFailed(address: string, reason: DialFailure): void {
    if (this.#closed) return
    this.driver.input({ _tag: "DialFailed", now: this.platform.now(), address, reason })
  }

  #heard(): ReadonlyArray<string> {
    const peers: Array<string> = []
    for (const link of this.links.all()) {
      if (!link.heard) continue
      link.heard = false
      peers.push(link.peer.name)
    }
    return peers
  }

  /** Sends one of the less frequent messages; false when it is too large. */
  send(link: Link, message: Message.Data): boolean {
    const writer = link.begin()
    writer.u8(Message.KIND.data)
    Message.data.write(writer, message)
    return link.end() === undefined
  }

  // --- frames ------------------------------------------------------------------------------------

  #frame(link: Link, buffer: Uint8Array, start: number, end: number): void {
    if (start >= end) return link.destroy()
    const kind = buffer[start] as number
    if (kind === Message.KIND.core) return this.#core(link, buffer, start + 1, end)
    if (kind === Message.KIND.data) return this.#data(link, buffer, start + 1, end)
    // A peer that sends what can't be read is not one of ours, or broken: part with it.
    if (!this.router.receive(link, kind, buffer, start + 1, end)) link.destroy()
  }

  #core(link: Link, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#reader
    reader.reset(buffer, start, end)
    const message = Message.core.read(reader)
    if (!reader.done()) return link.destroy()
    this.driver.input({ _tag: "Message", now: this.platform.now(), from: link.peer.name, message })
  }

  #data(link: Link, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#reader
    reader.reset(buffer, start, end)
    const message = Message.data.read(reader)
    if (!reader.done()) return link.destroy()
    link.heard = true
    const from = link.peer.name
    switch (message._tag) {
      case "Start":
        return this.starts.receive(from, message)
      case "Started":
        return this.starts.answered(message.id, undefined, message.node)
      case "NotStarted":
        return this.starts.answered(message.id, Failure.fromWire(message.error) as Error, "")
      case "Stop":
        void this.starts.stopHere(message.name, message.reason).then((found) => {
          if (link.open) this.send(link, { _tag: "Stopped", id: message.id, found })
        })
        return
      case "Stopped":
      case "Reserved":
        return this.starts.told(message)
      case "Reserve":
        return this.starts.reserveFor(from, message.id, message.name)
      case "State":
        return this.mover.install(message)
      case "Fence":
        return this.router.passFence(message.id, message.origin, message.name)
      case "Fenced":
        return this.router.fenced(message.id)
      case "Merge":
        return this.mover.merge(message.name, message.state)
    }
  }

  // --- the core's outputs ------------------------------------------------------------------------

  #perform(output: Cluster.Output): void {
    switch (output._tag) {
      case "Changed":
        if (this.#booting.size > 0 && output.after !== undefined) this.#booting.delete(output.name)
        // Its owner has entered the name: the registry stands for the reservation now.
        this.starts.unreserve(output.name)
        return this.router.changed(output.name, output.before, output.after)
      case "Send": {
        const link = this.links.get(output.to)
        if (link === undefined) return
        const writer = link.begin()
        writer.u8(Message.KIND.core)
        Message.core.write(writer, output.message)
        if (link.end() !== undefined) link.destroy()
        return
      }
      case "Broadcast":
        return this.#broadcast(output.message)
      case "Dial":
        void this.links.dial(output.address, output.peer)
        return
      case "Close":
        return this.links.get(output.peer)?.close()
      case "Event":
        return this.#event(output.event)
      case "Granted":
        return this.starts.granted(output.id, output.slot, output.generation)
      case "Forward":
        return this.starts.forward(output.id, output.to)
      case "Denied":
        return this.starts.denied(output.id)
      case "Ready":
        return this.onReady()
      case "HandedOver":
        return
      case "RingChanged":
        this.events.emit({ _tag: "RingChanged", nodes: output.members })
        return this.router.retry()
      case "Settled":
        this.events.emit({ _tag: "RingSettled" })
        return this.router.retry()
      case "Lost":
        return this.mover.lost(output.entry, output.winner)
      default:
        return this.#move(output)
    }
  }

  #move(
    output: Exclude<
      Cluster.Output,
      {
        readonly _tag:
          | "Changed"
          | "Send"
          | "Broadcast"
          | "Dial"
          | "Close"
          | "Event"
          | "Granted"
          | "Forward"
          | "Denied"
          | "Ready"
          | "HandedOver"
          | "RingChanged"
          | "Settled"
          | "Lost"
      }
    >,
  ): void {
    const { mover } = this
    switch (output._tag) {
      case "Freeze": {
        const { slot, generation, to, names, leaving } = output
        return mover.freeze(slot, generation, to, names, leaving)
      }
      case "Thaw":
        return mover.thaw(output.slot)
      case "Depart":
        return mover.depart(output.slot, output.to)
      case "Revive":
        return mover.revive(output.slot, output.generation)
      case "Forget":
        return mover.forget(output.slot)
      case "Activate":
        return mover.activate(output.slot, output.generation, output.from)
      case "Open":
        return mover.open(output.slot)
      case "Discard":
        return mover.discard(output.slot)
      case "Takeover":
        return mover.takeOver(output.from, output.orphans)
    }
  }

  /** One encoding for all links. */
  #broadcast(message: Cluster.Message): void {
    const writer = this.#scratch
    const at = Frame.begin(writer)
    writer.u8(Message.KIND.core)
    Message.core.write(writer, message)
    Frame.end(writer, at)
    const frame = writer.take()
    for (const link of this.links.all()) link.raw(frame)
  }

  #event(event: Membership.Event): void {
    if (event._tag === "LeaveDone") return this.onLeft()
    if (event._tag === "NameConflict") {
      this.events.emit({ _tag: "NameConflict", node: this.name })
      return this.onConflict()
    }
    const told = this.#told(event)
    if (told !== undefined) this.events.emit(told)
    if (event._tag === "Down" || event._tag === "Left") this.router.retry()
  }

  #told(event: Membership.Event): NodeEvent | undefined {
    switch (event._tag) {
      case "Up":
        this.#leaving.delete(event.name)
        return { _tag: "MemberUp", node: event.name, address: event.address }
      case "Changed":
        if (event.phase !== "leaving") return undefined
        this.#leaving.add(event.name)
        return { _tag: "MemberLeaving", node: event.name }
      case "Suspect":
        return { _tag: "MemberSuspect", node: event.name }
      case "Refuted":
        return { _tag: "MemberTrusted", node: event.name }
      case "Left":
        this.#leaving.add(event.name)
        return { _tag: "MemberLeft", node: event.name }
      case "Down":
        return { _tag: "MemberDown", node: event.name, reason: event.reason }
      case "Superseded":
        return { _tag: "MemberDown", node: event.name, reason: "superseded" }
      case "Slept":
        return { _tag: "Slept", millis: event.millis }
      default:
        return undefined
    }
  }
}

function definitionName(name: string): string {
  return name.slice(0, name.indexOf("/"))
}
