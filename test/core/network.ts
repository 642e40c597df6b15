/**
 * A network of whole cores in virtual time: ordered links that are cut, mended and reset, nodes that
 * crash, stall, restart and leave. It keeps the ground truth of who serves what, and checks it whenever
 * that changes.
 */
import assert from "node:assert/strict"
import * as Cluster from "../../src/core/cluster.ts"
import * as Membership from "../../src/core/membership.ts"
import * as Registry from "../../src/core/registry.ts"
import type { Options as Supervising } from "../../src/core/supervision.ts"
import type { Frame, Told } from "./shell.ts"
import { Shell } from "./shell.ts"
import { type Place, Wires } from "./wires.ts"
import { World } from "./world.ts"

export interface NetworkOptions {
  readonly seed: number
  readonly latencyMillis?: number
  readonly timing?: Membership.Timing
  readonly rebalance?: NonNullable<Supervising["rebalance"]>
  /** Chances in percent that a frame is lost or doubled, as no ordered link would. */
  readonly lossPercent?: number
  readonly doublePercent?: number
  /** Faults make two servers of one name legal for a while: don't check at every moment. */
  readonly lax?: boolean
}

/** One process of a node. */
export interface Node extends Place {
  readonly generation: number
  state: Cluster.State
  readonly shell: Shell
  running: boolean
  reachable: boolean
  paused: boolean
  /** It has left as planned. */
  left: boolean
  ready: boolean
  readonly events: Array<Membership.Event>
  /** What came while it was paused. */
  held: Array<() => void>
  inputs: Array<Told>
  busy: boolean
  timer: number
}

/** Who served a name last, and whether every full member has heard of it. */
interface Served {
  readonly node: string
  readonly generation: number
  heard: boolean
}

export class Network {
  readonly nodes: Array<Node> = []
  readonly wires: Wires
  /** The names that every full member has heard of, at some time. */
  readonly known: Set<string> = new Set()
  /** For every name who served it last, and with which generation. */
  readonly served: Map<string, Served> = new Map()
  /** How often each name was told to count while somebody served it. */
  readonly counted: Map<string, number> = new Map()
  readonly #options: Required<NetworkOptions>
  readonly #world: World

  constructor(options: NetworkOptions) {
    this.#options = {
      latencyMillis: 1,
      timing: Membership.lan,
      rebalance: "active",
      lossPercent: 0,
      doublePercent: 0,
      lax: false,
      ...options,
    }
    const { seed, latencyMillis, lossPercent, doublePercent } = this.#options
    this.#world = new World(seed, latencyMillis)
    this.wires = new Wires(this.#world, lossPercent, doublePercent)
  }

  get now(): number {
    return this.#world.now
  }

  /** A process starts; under a name that was there before, with the next epoch. */
  start(name: string, seeds: ReadonlyArray<string> = [], weight: number = 1): Node {
    const { timing, rebalance } = this.#options
    const epoch = this.nodes.filter((node) => node.name === name).length + 1
    const membership: Membership.Options = {
      name,
      epoch,
      instance: this.#world.chance("instance", 2 ** 32),
      address: name,
      weight,
      roles: [],
      seeds,
      random: this.#world.chance("random", 2 ** 32),
      timing,
      membersMax: 32,
    }
    const { state, outputs } = Cluster.init({ membership, supervision: { rebalance } }, this.now)
    const node: Node = {
      name,
      generation: epoch,
      state,
      epoch: () => node.state.registry.self.epoch,
      input: (told) => this.input(node, told),
      receive: (from, frame) => this.#whenRunning(node, () => receive(node, from, frame)),
      shell: new Shell({
        name,
        input: (told) => this.input(node, told),
        send: (to, data) => this.wires.send(node, to, data),
        after: (millis, run) => this.after(millis, () => this.#whenRunning(node, run)),
        delay: (purpose) => this.#world.chance(`${purpose} ${name}`, 400) / 100,
        served: (process) => this.#served(node, process.name, process.generation),
        saw: (key, owner) => this.#saw(key, owner),
        holder: (key) => Registry.lookup(node.state.registry, key)?.table.owner,
      }),
      running: true,
      reachable: true,
      paused: false,
      left: false,
      ready: false,
      events: [],
      links: new Map(),
      dialling: new Set(),
      held: [],
      inputs: [],
      busy: false,
      timer: 0,
    }
    this.nodes.push(node)
    node.busy = true
    for (const output of outputs) this.#perform(node, output)
    node.busy = false
    this.#drain(node)
    return node
  }

  /** So many nodes that know each other's addresses, settled. */
  cluster(size: number): ReadonlyArray<Node> {
    const names = Array.from({ length: size }, (_, i) => `n${i}`)
    const nodes = names.map((name) => this.start(name, names))
    this.until("formed", () => this.calm(nodes), 15_000)
    return nodes
  }

  /** Takes an input, as the driver does: from inside an output, after the outputs before. */
  input(node: Node, told: Told): void {
    this.#whenRunning(node, () => {
      node.inputs.push(told)
      if (!node.busy) this.#drain(node)
    })
  }

  #whenRunning(node: Node, run: () => void): void {
    if (node.paused) node.held.push(run)
    else if (node.running) run()
  }

  #drain(node: Node): void {
    node.busy = true
    for (;;) {
      const told = node.inputs.shift()
      if (told === undefined && Cluster.unsent(node.state) === 0) break
      const input = { now: this.now, ...(told ?? { _tag: "Flush" }) } as Cluster.Input
      const timed = input._tag === "Register" ? { ...input, wall: 1.7e12 + this.now } : input
      const { state, outputs } = Cluster.step(node.state, timed)
      node.state = state
      for (const output of outputs) this.#perform(node, output)
    }
    node.busy = false
    this.#arm(node)
  }

  // --- time --------------------------------------------------------------------------------------

  run(millis: number): void {
    this.#world.run(millis)
  }

  /** Does it so much later. */
  after(millis: number, run: () => void): void {
    this.#world.later(this.now + millis, run)
  }

  /** Lets time pass until it holds; how long that took. */
  until(what: string, holds: () => boolean, maxMillis: number): number {
    const start = this.now
    while (!holds()) {
      if (this.now - start >= maxMillis) assert.fail(`not within ${maxMillis} ms: ${what}\n${this}`)
      this.run(10)
    }
    return this.now - start
  }

  /** Whether these see each other and nobody else, agree, and have nothing on the move. */
  calm(nodes: ReadonlyArray<Node>): boolean {
    const names = nodes
      .map(({ name }) => name)
      .sort()
      .join()
    const digest = Registry.digest((nodes[0] as Node).state.registry)
    return nodes.every(
      ({ state, ready }) =>
        ready &&
        Cluster.quiet(state) &&
        Registry.digest(state.registry) === digest &&
        Membership.members(state.membership)
          .filter(({ status }) => status === "alive" || status === "suspect")
          .map(({ name }) => name)
          .join() === names,
    )
  }

  /** The nodes that serve and mean to stay. */
  get full(): ReadonlyArray<Node> {
    return this.running.filter(
      ({ ready, paused, state }) =>
        ready && !paused && state.supervision.leaveBy === Number.POSITIVE_INFINITY,
    )
  }

  get running(): ReadonlyArray<Node> {
    return this.nodes.filter(({ running }) => running)
  }

  /** The running nodes that serve a name right now. */
  servers(name: string): ReadonlyArray<Node> {
    return this.running.filter(({ shell }) => shell.serves(name))
  }

  #arm(node: Node): void {
    const timer = ++node.timer
    const at = Cluster.wakeAt(node.state)
    if (at === Number.POSITIVE_INFINITY) return
    const late = this.#world.chance(`timer ${node.name}`, 1_000) / 1_000
    this.#world.later(Math.max(at, this.now) + late, () => {
      if (node.timer === timer && !node.paused) this.input(node, { _tag: "Tick" })
    })
  }

  // --- faults ------------------------------------------------------------------------------------

  /** Nothing gets from one to the other, silently, until it is mended. */
  cut(from: Node, to: Node): void {
    this.#world.cut(from.name, to.name)
  }

  split(some: ReadonlyArray<Node>, others: ReadonlyArray<Node>): void {
    for (const a of some)
      for (const b of others) {
        this.cut(a, b)
        this.cut(b, a)
      }
  }

  mend(): void {
    this.#world.mend()
  }

  /** Both sides notice that their connection is gone. */
  reset(a: Node, b: Node): void {
    const link = a.links.get(b.name) ?? b.links.get(a.name)
    if (link !== undefined) this.wires.reset(link)
  }

  /** The process ends: its host closes its connections, or is gone as well. */
  crash(node: Node, silently: boolean = false): void {
    node.running = false
    if (silently) node.reachable = false
    else for (const link of [...node.links.values()]) this.wires.hangUp(link)
  }

  pause(node: Node): void {
    node.paused = true
  }

  resume(node: Node): void {
    node.paused = false
    const { held } = node
    node.held = []
    // What comes first after a stall, timers or frames, is up to the host.
    if (this.#world.chance("resume", 2) === 0) this.input(node, { _tag: "Tick" })
    for (const run of held) this.#whenRunning(node, run)
    this.input(node, { _tag: "Tick" })
  }

  // --- what a runtime does -----------------------------------------------------------------------

  #perform(node: Node, output: Cluster.Output): void {
    switch (output._tag) {
      case "Send":
        this.wires.send(node, output.to, output.message)
        return
      case "Broadcast":
        for (const peer of [...node.links.keys()]) this.wires.send(node, peer, output.message)
        return
      case "Dial":
        return this.#dial(node, output.address, output.peer)
      case "Close": {
        const link = node.links.get(output.peer)
        if (link !== undefined) this.wires.close(link)
        return
      }
      case "Event":
        node.events.push(output.event)
        if (output.event._tag === "NameConflict") this.crash(node)
        if (output.event._tag === "LeaveDone") {
          node.left = true
          this.crash(node)
        }
        return
      case "Ready":
        node.ready = true
        return
      default:
        node.shell.perform(output)
    }
  }

  #dial(node: Node, address: string, peer: string | undefined): void {
    if (peer !== undefined && node.links.has(peer)) return
    const host = this.nodes.findLast((other) => other.name === address)
    this.wires.dial(node, address, host)
  }

  // --- the truth ---------------------------------------------------------------------------------

  /** Whoever serves the name counts once. */
  bump(name: string): void {
    const process = this.servers(name)[0]?.shell.processes.get(name)
    if (process === undefined) return
    process.counter++
    this.counted.set(name, (this.counted.get(name) ?? 0) + 1)
  }

  #saw(name: string, owner: string): void {
    const served = this.served.get(name)
    if (served?.node !== owner || served.heard) return
    served.heard = this.full.every(({ state }) => {
      const entry = Registry.lookup(state.registry, name)
      return entry !== undefined && entry.generation >= served.generation
    })
    if (served.heard) this.known.add(name)
  }

  #served(node: Node, name: string, generation: number): void {
    const before = this.served.get(name)
    this.served.set(name, { node: node.name, generation, heard: false })
    if (this.#options.lax) return
    const servers = this.servers(name).map((server) => server.name)
    assert.ok(servers.length <= 1, `31: ${name} is served by ${servers} at ${this.now}\n${this}`)
    if (before?.heard && before.node !== node.name)
      assert.ok(
        generation > before.generation,
        `32: ${name} went from ${before.node} (${before.generation}) to ${node.name} (${generation})`,
      )
  }

  /** What everybody has seen, for a failing test. */
  toString(): string {
    return this.nodes
      .map(({ name, generation, running, state, shell, events }) => {
        const { outgoing, incoming, queue, settled, ring } = state.supervision
        const moves = `out ${JSON.stringify([...outgoing])} in ${JSON.stringify([...incoming])}`
        const served = [...shell.processes.values()].map((p) => `${p.name}:${p.generation}`)
        return (
          `${name}.${generation} ${running ? "runs" : "is down"}, ring ${ring.members.map(({ id }) => id)}` +
          ` ${settled ? "settled" : "open"}, ${moves} queue ${queue.length}, serves ${served}\n` +
          events
            .slice(-6)
            .map((event) => `    ${JSON.stringify(event)}\n`)
            .join("")
        )
      })
      .join("")
  }
}

function receive(node: Node, from: string, frame: Frame): void {
  if (frame._tag === "Start" || frame._tag === "State") node.shell.receive(frame)
  else node.input({ _tag: "Message", from, message: frame })
}
