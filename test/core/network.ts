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
import type { Data, Told } from "./shell.ts"
import { Shell } from "./shell.ts"
import { World } from "./world.ts"

export type Frame = Cluster.Message | Data

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
export interface Node {
  readonly name: string
  readonly epoch: number
  state: Cluster.State
  readonly shell: Shell
  running: boolean
  reachable: boolean
  paused: boolean
  left: boolean
  ready: boolean
  readonly events: Array<Membership.Event>
  readonly links: Map<string, Link>
  readonly dialling: Set<string>
  held: Array<Told>
  inputs: Array<Told>
  busy: boolean
  timer: number
}

/** One side of a connection. */
interface Link {
  readonly from: Node
  readonly to: Node
  other: Link | undefined
  open: boolean
  /** Frames arrive in order: none before this time. */
  clear: number
}

/** Who served a name last, and whether every full member has heard of it. */
interface Served {
  readonly node: string
  readonly generation: number
  heard: boolean
}

export class Network {
  readonly nodes: Array<Node> = []
  /** Called with every frame that arrives; false loses it. */
  filter: (from: Node, to: Node, frame: Frame) => boolean = () => true
  /** The names that every full member has heard of, at some time. */
  readonly known: Set<string> = new Set()
  /** For every name who served it last, and with which generation. */
  readonly served: Map<string, Served> = new Map()
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
    this.#world = new World(options.seed, this.#options.latencyMillis)
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
      epoch,
      state,
      shell: new Shell({
        name,
        input: (told) => this.input(node, told),
        send: (to, data) => this.#send(node, to, data),
        after: (millis, run) => this.#after(node, millis, run),
        delay: (purpose) => this.#world.chance(`${purpose} ${name}`, 400) / 100,
        served: (process) => this.#served(node, process.name, process.generation),
        saw: (key) => this.#saw(key),
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
    this.until("formed", () => this.calm(nodes), 5_000)
    return nodes
  }

  /** Takes an input, as the driver does: from inside an output, after the outputs before. */
  input(node: Node, told: Told): void {
    if (!node.running) return
    if (node.paused) node.held.push(told)
    else node.inputs.push(told)
    if (!node.busy && !node.paused) this.#drain(node)
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

  #after(node: Node, millis: number, run: () => void): void {
    this.#world.later(this.now + millis, () => {
      if (!node.running) return
      if (node.paused) this.#after(node, 10, run)
      else run()
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
    for (const [one, two] of [
      [a, b],
      [b, a],
    ] as const) {
      const link = one.links.get(two.name)
      if (link === undefined) continue
      if (link.other !== undefined) link.other.open = false
      this.#ended(link)
    }
  }

  /** The process ends: its host closes its connections, or is gone as well. */
  crash(node: Node, silently: boolean = false): void {
    node.running = false
    if (silently) node.reachable = false
    else for (const link of [...node.links.values()]) this.#hangUp(link)
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
    for (const told of held) this.input(node, told)
    this.input(node, { _tag: "Tick" })
  }

  // --- what a runtime does -----------------------------------------------------------------------

  #perform(node: Node, output: Cluster.Output): void {
    switch (output._tag) {
      case "Send":
        this.#send(node, output.to, output.message)
        return
      case "Broadcast":
        for (const peer of [...node.links.keys()]) this.#send(node, peer, output.message)
        return
      case "Dial":
        return this.#dial(node, output.address, output.peer)
      case "Close": {
        const link = node.links.get(output.peer)
        if (link === undefined) return
        this.#hangUp(link)
        node.links.delete(output.peer)
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
    if (node.dialling.has(address) || (peer !== undefined && node.links.has(peer))) return
    node.dialling.add(address)
    const fail = (reason: "refused" | "self" | "duplicate" | "timeout"): void => {
      if (node.dialling.delete(address)) this.input(node, { _tag: "DialFailed", address, reason })
    }
    this.#world.later(this.now + 5_000, () => fail("timeout"))
    const host = this.nodes.findLast((other) => other.name === address)
    this.#world.travel(node.name, address, this.#world.arrival(node.name, address), () => {
      const back = (run: () => void): void =>
        this.#world.travel(address, node.name, this.#world.arrival(address, node.name), run)
      if (host === undefined || (!host.running && host.reachable))
        return back(() => fail("refused"))
      if (!host.running || host.paused || !node.running) return
      if (host === node) return back(() => fail("self"))
      const before = host.links.get(node.name)
      if (before?.to === node && before.open) return back(() => fail("duplicate"))
      if (before !== undefined) {
        this.#hangUp(before)
        host.links.delete(node.name)
      }
      this.#establish(host, node, () => fail("duplicate"))
    })
  }

  #establish(host: Node, node: Node, fail: () => void): void {
    const there: Link = { from: host, to: node, other: undefined, open: true, clear: 0 }
    const here: Link = { from: node, to: host, other: there, open: true, clear: this.now }
    there.other = here
    host.links.set(node.name, there)
    const epoch = node.state.registry.self.epoch
    this.input(host, { _tag: "LinkUp", peer: node.name, epoch, address: node.name })
    this.#deliver(there, () => {
      if (!here.open) return fail()
      if (node.links.get(host.name)?.open) {
        this.#hangUp(here)
        return fail()
      }
      node.dialling.delete(host.name)
      node.links.set(host.name, here)
      const theirs = host.state.registry.self.epoch
      this.input(node, { _tag: "LinkUp", peer: host.name, epoch: theirs, address: host.name })
    })
  }

  #send(node: Node, to: string, frame: Frame): boolean {
    const link = node.links.get(to)
    if (link === undefined || !link.open) return false
    const { lossPercent, doublePercent } = this.#options
    const pair = `${node.name}>${to}`
    if (lossPercent > 0 && this.#world.chance(`loss ${pair}`, 100) < lossPercent) return true
    const twice = doublePercent > 0 && this.#world.chance(`double ${pair}`, 100) < doublePercent
    for (let i = 0; i < (twice ? 2 : 1); i++) {
      this.#deliver(link, () => {
        const { other } = link
        if (other === undefined || link.to.links.get(node.name) !== other) return
        if (this.filter(node, link.to, frame)) this.#receive(link.to, node.name, frame)
      })
    }
    return true
  }

  #receive(node: Node, from: string, frame: Frame): void {
    if (!node.running) return
    if (frame._tag !== "Start" && frame._tag !== "State")
      this.input(node, { _tag: "Message", from, message: frame })
    else if (node.paused) this.#after(node, 0, () => node.shell.receive(frame))
    else node.shell.receive(frame)
  }

  #hangUp(link: Link): void {
    if (!link.open) return
    link.open = false
    const { other } = link
    if (other !== undefined) this.#deliver(link, () => this.#ended(other))
  }

  #ended(link: Link): void {
    link.open = false
    const { from, to } = link
    if (from.links.get(to.name) !== link) return
    from.links.delete(to.name)
    const { epoch } = to
    this.input(from, { _tag: "LinkDown", peer: to.name, epoch, reason: "reset" })
  }

  #deliver(link: Link, run: () => void): void {
    link.clear = Math.max(link.clear, this.#world.arrival(link.from.name, link.to.name))
    this.#world.travel(link.from.name, link.to.name, link.clear, run)
  }

  // --- the truth ---------------------------------------------------------------------------------

  #saw(name: string): void {
    const served = this.served.get(name)
    if (served === undefined || served.heard) return
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
      .map(({ name, epoch, running, state, shell, events }) => {
        const { outgoing, incoming, queue, settled, ring } = state.supervision
        const moves = `out ${JSON.stringify([...outgoing])} in ${JSON.stringify([...incoming])}`
        const served = [...shell.processes.values()].map((p) => `${p.name}:${p.generation}`)
        return (
          `${name}.${epoch} ${running ? "runs" : "is down"}, ring ${ring.members.map(({ id }) => id)}` +
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
