/**
 * Cores alone while nodes join and leave as planned, on links that are slow, clog and are lost; nobody dies.
 * So nothing excuses anything: a name has one server at any moment, its generation rises with every move,
 * each counter keeps its exact value, and nothing moves that needn't.
 *
 * @module
 */
import * as Invariants from "../../src/core/invariants.ts"
import * as Ring from "../../src/core/ring.ts"
import { type Core, Cores } from "../../src/testing/cores/cores.ts"
import type { Plan } from "../../src/testing/runs/plan.ts"
import type { Pump } from "../../src/testing/runs/pump.ts"
import type { Subject } from "../../src/testing/runs/run.ts"
import * as Simulation from "../../src/testing/simulation.ts"

/** So many names operations ask for, */
const NAMES = 48
/** and of those so many are there from the beginning. */
const FIRST = 24
/** How many more names to look at for one that gets another owner. */
const TRIES = 20
/** Everything that serves counts this often, so that no state is lost unseen. */
const BEAT_MICROS = 15_000

const nameOf = (n: number): string => `count/${n}`

/** The suite. */
export const handover: Simulation.Simulation = {
  name: "handover",
  nodes: { min: 2, max: 4 },
  horizon: "8 seconds",
  faults: ["join", "leave", "reset", "clog", "delay"],
  faultsMax: 24,
  // With longer ones the others would take a node for dead.
  lengthMax: "1500 millis",
  downMax: 1,
  knobs: { passive: [0, 1] },
  operations: ["want", "bump"],
  sometimes: ["a name moved", "a name came back", "a move was given up", "somebody left"],
  bounds: Simulation.boundsOf({}),
  with: (plan, keep, body) => body(new Exact(plan, keep).subject),
}

/** Cores whose counters are to be exact. */
class Exact extends Cores {
  readonly #plan: Plan
  readonly #reached = new Map(handover.sometimes.map((what) => [what, false]))
  /** By node and slot: the ring of the node when it got the slot. */
  readonly #rings = new Map<Core, Map<number, Ring.Ring>>()
  readonly #settled = new Map<Core, { readonly settled: boolean; readonly firm: boolean }>()
  /** The ring that each node computed with before. */
  readonly #before = new Map<Core, Ring.Ring>()
  #names = NAMES
  #excuse: string | undefined
  #forced = false
  #formed = false

  constructor(plan: Plan, keep: boolean) {
    const rebalance = plan.knobs.passive === 1 ? "passive" : "active"
    super({ name: handover.name, seed: plan.seed, keep, rebalance })
    this.#plan = plan
    this.watchers.add((_, event) => {
      if (event._tag === "Down") this.#excuse = `${event.name} was taken for dead`
      if (event._tag === "Left") this.#reached.set("somebody left", true)
    })
    this.steps.add((node) => this.#step(node))
  }

  get subject(): Subject {
    return {
      world: this.world,
      stage: this,
      faults: this.faults,
      synchronous: true,
      form: (pump) => this.#form(pump),
      operate: ({ node, operation, n }) => {
        const askers = this.#askers
        if (operation === "bump") this.bump(nameOf(n % NAMES))
        else this.want(nameOf(n % NAMES), askers[node % Math.max(1, askers.length)])
      },
      look: () => this.complaint,
      eventually: new Map<string, () => unknown>([
        ["converged", () => this.unrest()],
        ["everybody has the same registry", () => this.#unanimous()],
        ["every name is served once", () => this.#served()],
        ["every counter is exact", () => this.#exact()],
        ["names are where the ring says", () => this.#placed()],
      ]),
      excuse: () => this.#excuse ?? (this.#forced ? "a word came too late" : undefined),
      reached: () => this.#reached,
      waiting: () => "",
      inside: () => {},
    }
  }

  async #form(pump: Pump): Promise<void> {
    this.cluster(this.#plan.nodes)
    while (!this.calm()) await pump.sleep(10_000)
    for (let n = 0; n < FIRST; n++) this.want(nameOf(n), this.full[n % this.full.length])
    while (this.served.size < FIRST) await pump.sleep(10_000)
    this.#formed = true
    this.#beat(this.world.now + this.#plan.horizon)
  }

  /** Who may ask for names: not who takes itself for alone, as its first dials were lost. */
  get #askers(): ReadonlyArray<Core> {
    return this.full.filter(({ state }) => state.membership.ups > 0)
  }

  /** Whatever serves counts, now and again. */
  #beat(until: number): void {
    for (const { shell } of this.running)
      for (const { name } of shell.processes.values())
        if (shell.bump(name)) this.counted.set(name, (this.counted.get(name) ?? 0) + 1)
    if (this.world.now < until) this.world.later(BEAT_MICROS, () => this.#beat(until))
  }

  // --- whenever something happens ----------------------------------------------------------------

  /** Who waits too long for another one's word goes on without it: then generations decide. */
  #step(node: Core): void {
    const { settled, firm, sure, changedAt, timing } = node.state.supervision
    const before = this.#settled.get(node) ?? { settled, firm }
    const since = node.now - changedAt
    if (settled && !before.settled && since >= timing.settleMaxMillis) this.#forced = true
    if (firm && !before.firm && !sure) this.#forced = true
    this.#settled.set(node, { settled, firm })
  }

  override perform(node: Core, output: Parameters<Cores["perform"]>[1]): void {
    switch (output._tag) {
      case "Ready":
        // Its first dials were lost, and it serves until it finds the others.
        if (this.#formed && node.state.membership.ups === 0)
          this.#excuse = `${node.name} began alone`
        break
      case "RingChanged":
        this.#rush(node)
        break
      case "Granted":
      case "Activate":
        this.#got(node, output.slot)
        break
      case "Freeze":
        this.#frugal(node, output)
        break
      case "Thaw":
        this.#reached.set("a move was given up", true)
        break
      case "Takeover":
        this.complain("nobody has died", `${node.name} takes over from ${output.from}`)
        break
      case "Lost":
        this.complain("nothing is in dispute", `${node.name} loses ${output.entry.name}`)
        break
    }
    super.perform(node, output)
  }

  /** Everybody asks at once for a name whose owner is another one now, as not all of them know yet. */
  #rush(node: Core): void {
    const { ring } = node.state.supervision
    const before = this.#before.get(node)
    this.#before.set(node, ring)
    if (!this.#formed || before === undefined) return
    for (let i = 0; i < TRIES; i++) {
      const name = nameOf(this.#names++)
      if (Ring.owner(ring, name) === Ring.owner(before, name)) continue
      for (const each of this.#askers) each.shell.want(name)
      return
    }
  }

  #got(node: Core, slot: number): void {
    const rings = this.#rings.get(node) ?? new Map<number, Ring.Ring>()
    if (rings.has(slot)) this.#reached.set("a name came back", true)
    this.#rings.set(node, rings.set(slot, node.state.supervision.ring))
  }

  /** 42: nothing moves but away from who leaves and to who came. */
  #frugal(node: Core, { slot, to, names, leaving }: Freeze): void {
    if (names.length === 0) return
    this.#reached.set("a name moved", true)
    if (leaving) return
    const why = (what: string): void =>
      this.complain("only what must moves", `${node.name} gives ${names} to ${to}${what}`)
    if (this.#plan.knobs.passive === 1) return why(", and nobody leaves")
    const ring = this.#rings.get(node)?.get(slot)
    if (ring === undefined || Ring.ownerOfSlot(ring, slot) !== node.name) return
    if (Ring.has(ring, to)) why(", which was there when it got them")
  }

  // --- in the end --------------------------------------------------------------------------------

  #unanimous(): string | undefined {
    return Invariants.unanimous(this.running.map(({ state }) => state.registry))
  }

  #served(): string | undefined {
    if (this.running.some(({ shell }) => shell.wanted.size > 0)) return "starts are under way"
    for (const name of this.served.keys()) {
      const servers = this.servers(name).map((server) => server.name)
      if (servers.length !== 1) return `${name} is with ${servers.join(" and ") || "nobody"}`
    }
    return undefined
  }

  #exact(): string | undefined {
    for (const [name, count] of this.counted) {
      const counter = this.counter(name)
      if (counter !== count) return `${name} is at ${counter}, and was told to count ${count} times`
    }
    return undefined
  }

  #placed(): string | undefined {
    if (this.#plan.knobs.passive === 1) return undefined
    for (const { state } of this.running) {
      const wrong = Invariants.placed(state.registry, state.supervision.ring)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
}

type Freeze = Extract<Parameters<Cores["perform"]>[1], { readonly _tag: "Freeze" }>
