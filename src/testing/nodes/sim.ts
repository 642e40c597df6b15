/**
 * A simulation as its test sees it: nodes, time, faults, and what is so.
 *
 * @module
 */

import * as Invariants from "../../core/invariants.ts"
import * as Ref from "../../runtime/calls/ref.ts"
import type { AnyDefinition } from "../../runtime/definition.ts"
import type { NodeEvent } from "../../runtime/events.ts"
import * as Value from "../../wire/value.ts"
import type { Trouble } from "../faults/fault.ts"
import { Faults, type Ongoing } from "../faults/faults.ts"
import { Checks, type Claim, SimulationFailed, seconds } from "../runs/check.ts"
import type { Pump } from "../runs/pump.ts"
import type { Noise } from "../world/network.ts"
import * as SimNode from "./node.ts"
import { type SimNode as Handle, micros, type Time } from "./node.ts"
import type { Nodes } from "./nodes.ts"

/** What befalls a link, or all packets: chances from 0 to 1. */
export interface LinkOptions {
  /** Lost on the way and sent again: late by 200 ms, 600 ms, 1.4 s … */
  readonly loss?: number
  /** Lost for good, as no stream loses anything. */
  readonly drop?: number
  readonly duplicate?: number
  readonly corrupt?: number
  /** Later by this. */
  readonly delay?: Time
}

/** A packet as rules see it: a write of one node to another. */
export interface SimPacket {
  readonly from: string
  readonly to: string
  readonly bytes: number
  /** The kinds of its messages: `"Ping"`, `"Ops Settle"`, `"Call"`. */
  readonly what: string
}

/** What a rule decides: let it pass, lose it, double it, flip some of its bits, or let it come later. */
export type SimVerdict = "pass" | "drop" | "duplicate" | "corrupt" | { readonly delay: Time }

/** Something a node said. */
export interface SimEvent {
  /** When, in simulated milliseconds. */
  readonly at: number
  readonly node: string
  readonly event: NodeEvent
}

/** The state of a definition's processes. */
export type State<P> = P extends { readonly types?: { readonly state: infer S } } ? S : never

/** Events that are kept at most; the oldest give way. */
export const EVENTS_MAX: number = 100_000

const SETTLE_MILLIS = 120_000
const LOOK_MICROS = 10_000

/** One simulation. */
export class Sim {
  readonly seed: number
  /** Everything that the nodes have said so far, in order. */
  readonly events: Array<SimEvent> = []
  /** The claims that are looked at. */
  readonly checks: Checks = new Checks()
  readonly faults: Faults
  readonly #nodes: Nodes
  readonly #handles: Array<Handle> = []
  readonly #asks = new Map<symbol, { readonly what: string; readonly at: number }>()
  readonly #pump: () => Pump

  /** Made by `simulate` and by runs of a Simulation only. */
  constructor(nodes: Nodes, pump: () => Pump) {
    this.seed = nodes.world.seed
    this.faults = new Faults(nodes)
    this.#nodes = nodes
    this.#pump = pump
    nodes.watchers.add((host, event) => {
      this.events.push({ at: this.now, node: host.name, event })
      if (this.events.length > EVENTS_MAX) this.events.shift()
    })
  }

  /** The nodes, those that have joined since the beginning last. */
  get nodes(): ReadonlyArray<Handle> {
    const { hosts } = this.#nodes.network
    for (let i = this.#handles.length; i < hosts.length; i++) {
      const host = hosts[i] as (typeof hosts)[number]
      this.#handles.push(SimNode.make(this.#nodes, this.faults, host, (what) => this.#ask(what)))
    }
    return this.#handles
  }

  /** Simulated milliseconds since the beginning. */
  get now(): number {
    return this.#nodes.world.now / 1_000
  }

  /** 16 hex digits of everything that happened so far: equal for equal runs, on every runtime. */
  get hash(): string {
    return this.#nodes.world.trace.hash
  }

  // --- time --------------------------------------------------------------------------------------

  /** Lets so much time pass. */
  async advance(time: Time): Promise<void> {
    await this.#pump().sleep(micros(time))
  }

  /**
   * Lets time pass until this holds; rejects when it doesn't within the limit (default 2 minutes). A text
   * that the claim gives says what is still missing.
   */
  async until(what: string, claim: Claim, within: Time = SETTLE_MILLIS): Promise<void> {
    const { world } = this.#nodes
    const deadline = world.now + micros(within)
    for (;;) {
      const answer = claim()
      if (answer !== false && typeof answer !== "string") return
      if (world.now >= deadline) {
        const missing = typeof answer === "string" ? `: ${answer}` : ""
        const message = `not within ${seconds(micros(within) / 1_000)}${missing}`
        throw new SimulationFailed({ check: what, message }, this.now, this.seed)
      }
      await this.#pump().sleep(LOOK_MICROS)
    }
  }

  /**
   * Lets time pass until all nodes that run and don't stand still see each other, have the same names, and
   * nothing is on the move. Rejects when that isn't so within the limit (default 2 minutes).
   */
  converged(within?: Time): Promise<void> {
    return this.until("converged", () => this.calm(), within)
  }

  /** What keeps the nodes from having converged; undefined when they have. */
  calm(): string | undefined {
    return this.#nodes.starting() ?? Invariants.calm(this.#nodes.states())
  }

  /**
   * Lets time pass until nothing is on the move: every node has settled with those that it sees, be they
   * all or, while the network is cut, some. Rejects when that isn't so within the limit (default 2 minutes).
   */
  settle(within?: Time): Promise<void> {
    return this.until("settle", () => this.#settled(), within)
  }

  #settled(): string | undefined {
    const starting = this.#nodes.starting()
    if (starting !== undefined) return starting
    const states = this.#nodes.states()
    const settled = new Set(Invariants.components(states).flat())
    const missing = states.filter((state) => !settled.has(state))
    if (missing.length === 0) return undefined
    return `${missing.map(({ registry }) => registry.name).join(" ")} have not settled`
  }

  // --- faults ------------------------------------------------------------------------------------

  /** Begins any fault: see the list of kinds. It goes on until it or all faults are ended. */
  fault(fault: Trouble): Ongoing {
    return this.faults.begin(fault)
  }

  /** Cuts the network: nodes of different groups don't reach each other. Who is in none is with the rest. */
  partition(...groups: ReadonlyArray<ReadonlyArray<Handle>>): Ongoing {
    const indices = groups.map((group) => group.map(({ index }) => index))
    return this.fault({ kind: "partition", groups: indices })
  }

  /** Cuts a node off from all others. */
  isolate(node: Handle): Ongoing {
    return this.fault({ kind: "isolate", node: node.index })
  }

  /** Lets nothing get from one node to another; the way back works. */
  oneWay(from: Handle, to: Handle): Ongoing {
    return this.fault({ kind: "oneway", from: from.index, to: to.index })
  }

  /** Lets what two nodes send each other queue up; it comes in a burst when this ends. */
  clog(a: Handle, b: Handle): Ongoing {
    return this.fault({ kind: "clog", link: [a.index, b.index] })
  }

  /** Makes a link worse than others. */
  link(a: Handle, b: Handle, options: LinkOptions): Ongoing {
    const link = [a.index, b.index] as const
    const parts: Array<Ongoing> = []
    for (const kind of ["loss", "drop", "duplicate", "corrupt"] as const) {
      const chance = options[kind]
      if (chance !== undefined) parts.push(this.fault({ kind, link, ppm: ppm(kind, chance) }))
    }
    if (options.delay !== undefined)
      parts.push(this.fault({ kind: "delay", link, micros: micros(options.delay) }))
    return {
      what: parts.map(({ what }) => what).join(", "),
      kind: parts[0]?.kind ?? "delay",
      end: () => {
        for (const part of parts) part.end()
      },
    }
  }

  /** Judges every packet from now on; the result ends that. */
  rule(rule: (packet: SimPacket) => SimVerdict): () => void {
    const { names } = this.#nodes.world
    const name = (index: number): string => names[index] as string
    return this.#nodes.network.rule((packet) => {
      const { from, to, bytes, what } = packet
      const verdict = rule({
        from: name(from),
        to: name(to),
        bytes,
        get what() {
          return what()
        },
      })
      return typeof verdict === "object" ? { delayMicros: micros(verdict.delay) } : verdict
    })
  }

  /**
   * Ends every fault of the network, of clocks and of speed. Nodes that are down or stand still stay so:
   * see `restart` and `resume`.
   */
  heal(): void {
    const nodes: ReadonlySet<Trouble["kind"]> = new Set(["pause", "suspend", "join", ...downs])
    this.faults.end(({ kind }) => !nodes.has(kind))
  }

  /** Ends a node here and now: as `node.crash`. */
  crash(node: Handle, options?: { readonly machine?: boolean }): void {
    node.crash(options)
  }

  /** One more node joins; resolves when it serves. */
  async join(): Promise<Handle> {
    const host = this.#nodes.join()
    this.faults.joined(host)
    await this.#nodes.programs.get(host)?.ready
    return this.nodes[host.index] as Handle
  }

  /** What befalls packets at random on the whole network. */
  set noise(noise: Partial<Noise>) {
    this.#nodes.network.noise = { ...this.#nodes.network.noise, ...noise }
  }

  // --- what is so --------------------------------------------------------------------------------

  /** The names of the nodes where this process lives, as it is and not as anybody believes. */
  owners(definition: AnyDefinition, key: string): ReadonlyArray<string> {
    return this.#nodes.owners(Ref.nameOf(definition, key))
  }

  /** Whether a node has started, runs and doesn't stand still: what is asked of it is done now. */
  serves(node: Handle): boolean {
    return this.#nodes.serving().some((engine) => engine.name === node.name)
  }

  /**
   * A copy of the state of this process, as it is where it lives; undefined when it lives nowhere, or at
   * more than one node.
   */
  state<P extends AnyDefinition>(definition: P, key: string): State<P> | undefined {
    const cells = this.#nodes.cells(Ref.nameOf(definition, key))
    return cells.length === 1 ? (Value.copy(cells[0]?.state) as State<P>) : undefined
  }

  /** From now on this must hold after everything that happens. A text says what is wrong. */
  always(name: string, claim: Claim): void {
    this.checks.always(name, claim)
  }

  /** The test fails unless this was so at least once. */
  sometimes(name: string, claim: Claim | boolean): void {
    this.checks.sometimes(name, claim)
  }

  /** Notes something of a node in the trace and the diagram. */
  note(node: Handle, name: string, data?: unknown): void {
    const { world } = this.#nodes
    world.trace.mixText(name)
    world.record(() => ({ kind: "note", node: node.index, name, data }))
  }

  /** What the test has asked of nodes and has no answer to. */
  get waiting(): ReadonlyArray<string> {
    return [...this.#asks.values()].map(({ what, at }) => `${what} since ${seconds(at)}`)
  }

  #ask(what: string): (phase: "ok" | "fail") => void {
    const key = Symbol(what)
    const { world } = this.#nodes
    this.#asks.set(key, { what, at: this.now })
    this.#pump().touch()
    const operation = ++this.#operations
    const index = world.names.indexOf(what.slice(0, what.indexOf(": ")))
    const record = (phase: "call" | "ok" | "fail"): void => {
      world.trace.mix(operation, index, world.now)
      world.record(() => ({ kind: "operation", node: index, operation, phase, what }))
    }
    record("call")
    return (phase) => {
      record(phase)
      this.#asks.delete(key)
      this.#pump().touch()
    }
  }

  #operations = 0
}

const downs: ReadonlyArray<Trouble["kind"]> = ["crash", "stop", "leave", "flap"]

function ppm(name: string, chance: number): number {
  if (chance >= 0 && chance <= 1) return Math.round(chance * 1_000_000)
  throw new RangeError(`${name} is a chance from 0 to 1, got ${chance}`)
}
