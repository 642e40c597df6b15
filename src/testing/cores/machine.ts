/**
 * Pure machines alone on the hosts of a simulation: no runtime, no codec, no promises. The driver does
 * what a runtime would do (dials, handshakes, links, timers), under the same time, network and faults
 * as whole nodes have. Messages travel as the objects that they are.
 *
 * For tests of machines that speak as `src/core/membership.ts` does with its links. Membership itself
 * is {@link membership}; whole cores of nodes are in `cores.ts`.
 *
 * @example
 * ```ts
 * import { Machines, membership } from "skein/testing"
 *
 * const net = new Machines({ seed: 1, machine: membership })
 * const [first, second] = net.cluster(5)
 * net.run(1_000)
 * if (first !== undefined) net.crash(first, { machine: true })
 * const noticed = () => second?.events.some(({ event }) => event._tag === "Down")
 * net.until("the crash is noticed", noticed, 10_000)
 * ```
 *
 * @module
 */
import * as Membership from "../../core/membership.ts"
import { Faults } from "../faults/faults.ts"
import type { Ending, Stage } from "../faults/stage.ts"
import { type Claim, type Complaint, complain, SimulationFailed, seconds } from "../runs/check.ts"
import * as Chance from "../world/chance.ts"
import { Host, nameOf } from "../world/host.ts"
import { Network } from "../world/network.ts"
import { World } from "../world/world.ts"
import { optionsOf, type WorldOfMachines } from "./birth.ts"
import { type Birth, type Driver, Life, type Machine, tagOf } from "./life.ts"
import type { Letter, Link } from "./links.ts"

export type { WorldOfMachines } from "./birth.ts"
export { type Birth, type Given, type Happened, Life, type Machine, type Untimed } from "./life.ts"
export type { Letter, Link } from "./links.ts"

/** How machines are made. */
export interface MachinesOptions<S, I extends Told, O extends Tagged> extends WorldOfMachines {
  readonly machine: Machine<S, I, O>
}

interface Tagged {
  readonly _tag: string
}
interface Told extends Tagged {
  readonly now: number
}

/** Membership alone, as a machine. Give it `Synced` once it may be `up`. */
export const membership: Machine<Membership.State, Membership.Input, Membership.Output> = {
  init: Membership.init,
  step: Membership.step,
  wakeAt: Membership.wakeAt,
  epoch: (state, name) =>
    (name === state.self.name ? state.self : state.peers.get(name)?.claim)?.epoch ?? 0,
  leave: [{ _tag: "Leave" }, { _tag: "Drained" }],
}

const LOSS = Chance.purpose("letter loss")
const DOUBLE = Chance.purpose("letter double")
const CHANCE = Chance.purpose("chance")
const LOOK_MILLIS = 10
/**
 * Machines, one a host. `N` is what a node is: {@link Life}, or more of it where {@link Machines.born}
 * says so. All times are simulated milliseconds.
 */
export class Machines<S, I extends Told, O extends Tagged, N extends Life<S, I, O> = Life<S, I, O>>
  implements Stage, Driver<S, I, O>
{
  readonly world: World
  readonly network: Network<Letter>
  readonly machine: Machine<S, I, O>
  readonly faults: Faults
  /** Every life so far, in the order of their beginnings: a host has had one for each time it started. */
  readonly nodes: Array<N> = []
  /** Told of every event of every node. */
  readonly watchers: Set<(node: N, event: Membership.Event) => void> = new Set()
  /** Told of every input (undefined at birth) and what followed from it, once it has been carried out. */
  readonly steps: Set<(node: N, input: I | undefined, outputs: ReadonlyArray<O>) => void> =
    new Set()
  /** Asked about every message that comes; false loses it. */
  filter: ((to: N, from: string, message: Letter) => boolean) | undefined
  /** The first thing that was found wrong: {@link Machines.run} throws it. */
  complaint: Complaint | undefined
  readonly eventsMax: number
  mute: boolean = false
  readonly #options: MachinesOptions<S, I, O>
  readonly #byHost = new Map<Host, N>()
  readonly #given = new Map<Host, Partial<Membership.Options>>()
  readonly #walls = new Set<() => void>()
  readonly #draws = new Map<string, number>()
  #seeds: ReadonlyArray<string> = []

  constructor(options: MachinesOptions<S, I, O>) {
    const { seed = 1, name = "machines", keep = false, reorder = false, noise = {} } = options
    this.world = new World({ name, seed, keep })
    this.network = new Network<Letter>(this.world, { copy: (letter) => letter, reorder })
    this.network.noise = { ...this.network.noise, ...noise }
    this.machine = options.machine
    this.faults = new Faults(this)
    this.eventsMax = options.eventsMax ?? 10_000
    this.#options = options
  }

  // --- nodes -------------------------------------------------------------------------------------

  /** The nodes that run; those that stand still do. */
  get running(): ReadonlyArray<N> {
    return [...this.#byHost.values()].filter(({ running }) => running)
  }

  /** The node of a host, be it running or over. */
  at(host: Host): N | undefined {
    return this.#byHost.get(host)
  }

  /**
   * So many nodes, or nodes of these names, start at one instant. Their seeds are the first of them:
   * all, unless it is said how many.
   */
  cluster(
    nodes: number | ReadonlyArray<string>,
    seeds: number = Number.POSITIVE_INFINITY,
  ): ReadonlyArray<N> {
    const names =
      typeof nodes === "number" ? Array.from({ length: nodes }, (_, i) => nameOf(i)) : nodes
    this.#seeds = names.slice(0, seeds)
    const hosts = names.map((name) => this.#host(name))
    return hosts.map((host) => this.#launch(host, false))
  }

  /**
   * A node starts: on a new host, or on the one that has its address (which is its name by default), as
   * the next process there. Where a process runs there, that one crashes first. Its seeds are those of
   * {@link Machines.cluster} unless it is given others.
   */
  start(name: string, given: Partial<Membership.Options> = {}): N {
    const host = this.#host(given.address || name)
    if (host.running) this.down(host, "crash")
    this.#given.set(host, { name, ...given })
    return this.#launch(host, false)
  }

  #host(address: string): Host {
    const { hosts } = this.network
    const known = hosts.find(({ name }) => name === address)
    if (known !== undefined) return known
    const host = new Host(this.world, address)
    hosts.push(host)
    return host
  }

  join(): Host {
    const host = this.#host(nameOf(this.network.hosts.length))
    this.#launch(host, false)
    return host
  }

  up(host: Host, stale: boolean): void {
    this.#launch(host, stale)
  }

  #launch(host: Host, stale: boolean): N {
    const { world } = this
    host.start(stale)
    world.current = host
    const given = { seeds: this.#seeds, ...this.#given.get(host) }
    const options = optionsOf(this.#options, { world, host, given })
    const node = this.born({ host, options, driver: this })
    this.nodes.push(node)
    this.#byHost.set(host, node)
    node.begin()
    return node
  }

  /** Makes a node: what a subclass says when its nodes are more than lives. */
  protected born(birth: Birth<S, I, O>): N {
    return new Life(birth) as N
  }

  down(host: Host, how: Ending): void {
    const node = this.#byHost.get(host)
    if (!host.running || node === undefined) return
    if (how === "leave") {
      host.life("leaving")
      for (const input of this.machine.leave) node.input(input)
    } else if (how === "stop") host.io(() => this.#stop(node, "stop"))
    else {
      if (how === "machine") host.reachable = false
      this.#over(host, how === "machine" ? "lost" : "crash")
    }
  }

  #stop(node: N, what: string): void {
    if (!node.running) return
    node.links.close()
    this.#over(node.host, what)
  }

  #over(host: Host, what: string): void {
    host.end(what)
    this.network.hangUp(host)
  }

  // --- time --------------------------------------------------------------------------------------

  /** Simulated milliseconds since the beginning. */
  get now(): number {
    return this.world.now / 1_000
  }

  /** Lets so much time pass. Throws SimulationFailed as soon as something is wrong. */
  run(millis: number): void {
    const { world } = this
    const until = world.now + Math.ceil(millis * 1_000)
    while (this.complaint === undefined && world.step(until));
    if (this.complaint !== undefined)
      throw new SimulationFailed(this.complaint, this.now, world.seed)
    world.now = Math.max(world.now, until)
  }

  /**
   * Lets time pass until this holds; how long that took. A text, or false, says what is still missing.
   * Throws SimulationFailed when it doesn't hold in time, or something is wrong.
   */
  until(what: string, claim: Claim, maxMillis: number, stepMillis: number = LOOK_MILLIS): number {
    const start = this.now
    for (;;) {
      const missing = complain(claim())
      if (missing === undefined) return this.now - start
      if (this.now - start >= maxMillis) {
        const message = `not within ${seconds(maxMillis)}: ${missing}\n${this}`
        throw new SimulationFailed({ check: what, message }, this.now, this.world.seed)
      }
      this.run(stepMillis)
    }
  }

  /** Does it so much later, whatever becomes of the nodes. */
  after(millis: number, run: () => void): void {
    this.world.later(millis * 1_000, run)
  }

  /** A uint below `bound`, drawn by what it is for and how often that was asked. */
  chance(purpose: string, bound: number): number {
    const n = this.#draws.get(purpose) ?? 0
    this.#draws.set(purpose, n + 1)
    return Chance.draw(this.world.seed, CHANCE, tagOf(purpose), 0, n) % bound
  }

  /** Says that something is wrong, unless something has been before. */
  complain(check: string, message: string): void {
    this.complaint ??= { check, message }
  }

  // --- faults: short words for the most frequent; `faults.begin` has all -------------------------

  /**
   * Nothing gets from one to the other until {@link Machines.mend}: then as streams send it again, or,
   * where it was a clog, at once and all together.
   */
  cut(from: N, to: N, kind: "cut" | "clog" = "cut"): void {
    this.#walls.add(this.network.wall(from.host.index, to.host.index, kind))
  }

  /** As {@link Machines.cut}, from these to those and back. */
  split(some: ReadonlyArray<N>, others: ReadonlyArray<N>, kind: "cut" | "clog" = "cut"): void {
    for (const a of some)
      for (const b of others) {
        this.cut(a, b, kind)
        this.cut(b, a, kind)
      }
  }

  /** Ends every cut and every split. */
  mend(): void {
    for (const end of this.#walls) end()
    this.#walls.clear()
  }

  /** Both sides notice that their connection is gone. */
  reset(a: N, b: N): void {
    for (const connection of this.network.between(a.host, b.host)) connection.reset()
  }

  /** The process ends, and with `machine` its host as well: then nobody hangs up for it. */
  crash(node: N, { machine = false }: { readonly machine?: boolean } = {}): void {
    if (node.running) this.down(node.host, machine ? "machine" : "crash")
  }

  /** The process stops, and ends its links in order. */
  stop(node: N): void {
    if (node.running) this.down(node.host, "stop")
  }

  /** The node begins to leave. */
  leave(node: N): void {
    if (node.running) this.down(node.host, "leave")
  }

  /** The process stands still; its host goes on. */
  pause(node: N): void {
    node.host.pause()
  }

  /** The process goes on. */
  resume(node: N): void {
    node.host.resume()
  }

  // --- what drives the lives ---------------------------------------------------------------------

  post(node: Life<S, I, O>, link: Link, letter: Letter): void {
    const { world } = this
    const { lossPpm = 0, doublePpm = 0 } = this.#options
    const { _tag, seq = 0, slot = 0 } = letter as Numbered
    world.trace.mix(tagOf(_tag), seq, slot)
    if (lossPpm + doublePpm > 0) {
      const pair = tagOf(`${node.name}>${link.peer?.name}`)
      if (world.happens(LOSS, pair, node.host.incarnation, link.sent, lossPpm)) {
        link.sent++
        return
      }
      if (world.happens(DOUBLE, pair, node.host.incarnation, link.sent, doublePpm))
        link.send(letter)
    }
    link.send(letter)
  }

  receive(node: Life<S, I, O>, from: string, letter: Letter): void {
    const { filter } = this
    if (filter !== undefined && !filter(node as N, from, letter)) return
    if (node.running) this.deliver(node as N, from, letter)
  }

  /** A message for a node: for its machine, unless a subclass knows better. */
  protected deliver(node: N, from: string, letter: Letter): void {
    node.hear(from, letter)
  }

  stepped(node: Life<S, I, O>, input: I | undefined, outputs: ReadonlyArray<O>): void {
    for (const tell of this.steps) tell(node as N, input, outputs)
  }

  /** Carries out what only this kind of machine wants done: nothing, unless a subclass knows better. */
  perform(_node: Life<S, I, O>, _output: O): void {}

  told(node: Life<S, I, O>, event: Membership.Event): void {
    for (const tell of this.watchers) tell(node as N, event)
    if (event._tag === "NameConflict") this.#stop(node as N, "conflict")
    if (event._tag === "LeaveDone") {
      node.left = true
      this.#stop(node as N, "left")
    }
  }

  /** What everybody has seen lately, for a failing test. */
  toString(): string {
    return this.nodes.map((node) => this.describe(node)).join("\n")
  }

  /** A node and its last events, for a failing test. */
  protected describe(node: N): string {
    const { name, running, paused, left, links, events } = node
    const what = running ? (paused ? "stands still" : "runs") : left ? "has left" : "is down"
    const lines = events
      .slice(-EVENTS_SHOWN)
      .map(({ at, event }) => `    ${seconds(at)} ${JSON.stringify(event)}`)
    return [`${name} ${what}, linked to ${links.peers.join(" ") || "nobody"}`, ...lines].join("\n")
  }
}

const EVENTS_SHOWN = 8

interface Numbered extends Letter {
  readonly seq?: number
  readonly slot?: number
}
