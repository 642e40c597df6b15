/**
 * Whole nodes on the hosts of a simulation: the same core, runtime and codec as in production, on a
 * simulated platform and transport.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import type * as Cluster from "../../core/cluster.ts"
import * as Registry from "../../core/registry.ts"
import type { Engine } from "../../runtime/engine.ts"
import type { NodeEvent } from "../../runtime/events.ts"
import { launch } from "../../runtime/launch.ts"
import type { Node } from "../../runtime/node.ts"
import type { NodeOptions } from "../../runtime/options.ts"
import { BUSY, type Cell, IDLE, READY, RUNNING } from "../../runtime/processes/cell.ts"
import type { Ending, Stage } from "../faults/stage.ts"
import { Host, nameOf } from "../world/host.ts"
import type { Network } from "../world/network.ts"
import type { World } from "../world/world.ts"
import * as Platform from "./platform.ts"
import * as Transport from "./transport.ts"

/** Options of simulated nodes: those of real ones but for what the simulation decides. */
export type SimulatedOptions = Omit<
  NodeOptions,
  "name" | "transport" | "connect" | "cookie" | "signal"
> & {
  /** Addresses to join; the address of a node is its name. Default: all nodes of the beginning. */
  readonly connect?: ReadonlyArray<string>
  /** Whether nobody can dial it, as a browser that knows only WebSocket: it is a leaf. Default false. */
  readonly leaf?: boolean
  /** Whether it shares a bus with all others of which this is said, as tabs of a browser do. Default false. */
  readonly bus?: boolean
}

/** What is told of an event of a node. */
export type Watcher = (host: Host, event: NodeEvent) => void

/** The program on a host: a node that is starting, or serves. */
export interface Program {
  readonly host: Host
  readonly platform: Platform.Simulated
  /** Resolves when it serves. */
  ready: Promise<Node>
  engine: Engine | undefined
  node: Node | undefined
  /** Why it could not start. */
  failure: unknown
}

/** The nodes of a simulation. */
export class Nodes implements Stage {
  readonly world: World
  readonly network: Network<Uint8Array>
  readonly programs: Map<Host, Program> = new Map()
  /** Told of every event of every node. */
  readonly watchers: Set<Watcher> = new Set()
  /** Told when the program of a host has ended. */
  readonly ended: Set<(host: Host) => void> = new Set()
  readonly #options: (index: number) => SimulatedOptions
  readonly #bus = new Set<string>()
  #seeds: ReadonlyArray<string> = []

  constructor(world: World, options: (index: number) => SimulatedOptions) {
    this.world = world
    this.network = Transport.network(world)
    this.#options = options
  }

  /** So many hosts, whose nodes know each other's addresses, start at the same instant. */
  open(names: ReadonlyArray<string>): void {
    this.#seeds = names
    for (const name of names) this.network.hosts.push(new Host(this.world, name))
    for (const host of this.network.hosts) this.up(host, false)
  }

  join(name: string = nameOf(this.network.hosts.length)): Host {
    const host = new Host(this.world, name)
    this.network.hosts.push(host)
    this.up(host, false)
    return host
  }

  up(host: Host, stale: boolean): void {
    const { world } = this
    host.start(stale)
    const platform = Platform.platform(host)
    const program: Program = {
      host,
      platform,
      ready: Promise.resolve() as Promise<never>,
      engine: undefined,
      node: undefined,
      failure: undefined,
    }
    this.programs.set(host, program)
    world.current = host
    program.ready = this.#launch(program)
    program.ready.catch((error: unknown) => {
      program.failure = error
      if (this.programs.get(host) === program) this.#over(host, "stop")
    })
  }

  async #launch(program: Program): Promise<Node> {
    const { host, platform } = program
    const launching = launch(this.#optionsOf(host), (engine) => {
      program.engine = engine
      engine.events.watch((event) => this.#happened(program, event))
    })
    const { node } = await Effect.runPromiseWith(Platform.context(platform))(launching)
    program.node = node
    return node
  }

  down(host: Host, how: Ending): void {
    const program = this.programs.get(host)
    if (!host.running || program === undefined) return
    const { node } = program
    if ((how === "stop" || how === "leave") && node !== undefined) {
      host.life(how === "stop" ? "stopping" : "leaving")
      host.io(() => void (how === "stop" ? node.stop() : node.leave()))
      return
    }
    if (how === "machine") host.reachable = false
    this.#over(host, how === "machine" ? "lost" : "crash")
  }

  #over(host: Host, what: string): void {
    if (!host.running) return
    host.end(what)
    // A node that stops says so itself; nobody else would end what the test reads of one that crashed.
    if (what !== "stop") this.programs.get(host)?.engine?.events.close()
    this.network.hangUp(host)
    for (const tell of this.ended) tell(host)
  }

  #optionsOf(host: Host): NodeOptions {
    const { connect, leaf = false, bus = false, ...options } = this.#options(host.index)
    if (bus) this.#bus.add(host.name)
    return {
      ...options,
      name: host.name,
      transport: Transport.transport(this.network, host, { leaf, bus: this.#bus }),
      connect: connect ?? this.#seeds,
    }
  }

  #happened(program: Program, event: NodeEvent): void {
    const { host } = program
    if (this.programs.get(host) !== program || !host.running) return
    const { world } = this
    world.trace.mix(host.index, world.now, 1)
    world.trace.mixText(event._tag)
    const { _tag: name, ...data } = event
    if (world.trace.keeps)
      world.record(() => ({ kind: "note", node: host.index, name, data: brief(data) }))
    for (const watcher of this.watchers) watcher(host, event)
    if (event._tag === "Stopped") this.#over(host, "stop")
  }

  // --- what is so --------------------------------------------------------------------------------

  /** The engines of the nodes that serve and don't stand still. */
  serving(): ReadonlyArray<Engine> {
    return this.network.hosts.flatMap((host) => {
      const program = this.programs.get(host)
      return host.awake && program?.node !== undefined && program.engine !== undefined
        ? [program.engine]
        : []
    })
  }

  /** Which node runs and doesn't stand still, but doesn't serve yet; undefined when there is none. */
  starting(): string | undefined {
    const host = this.network.hosts.find(
      (host) => host.awake && this.programs.get(host)?.node === undefined,
    )
    return host === undefined ? undefined : `${host.name} is still starting`
  }

  /** What the cores of these nodes know. */
  states(): ReadonlyArray<Cluster.State> {
    return this.serving().map((engine) => engine.core)
  }

  /** The running nodes on which a process of this name runs, as it is and not as anybody believes. */
  owners(name: string): ReadonlyArray<string> {
    return this.cells(name).map(({ node }) => node)
  }

  /** The live processes of this name, wherever they are. */
  cells(name: string): ReadonlyArray<Cell> {
    return this.network.hosts.flatMap((host) => {
      const engine = this.programs.get(host)?.engine
      if (!host.running || engine === undefined) return []
      return engine.processes.all().filter((cell) => cell.name === name && serves(cell))
    })
  }

  /** The names that a node serves, as the ring places them. */
  served(engine: Engine): ReadonlyArray<string> {
    const names: Array<string> = []
    for (const cell of engine.processes.all())
      if (serves(cell) && Registry.placed(cell.name)) names.push(cell.name)
    return names
  }
}

/** Whether a process is alive here: it handles messages, now or when they come. */
function serves({ status }: Cell): boolean {
  return status === IDLE || status === READY || status === RUNNING || status === BUSY
}

/** Long lists are cut: a trace is to be read. */
function brief(data: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).map(([key, value]) => [
      key,
      Array.isArray(value) && value.length > LIST_MAX
        ? [...value.slice(0, LIST_MAX), `and ${value.length - LIST_MAX} more`]
        : value,
    ]),
  )
}

const LIST_MAX = 8
