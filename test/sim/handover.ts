/**
 * Cores alone while nodes join and leave as planned, on links that are slow, clog and are lost; nobody dies.
 * So nothing excuses anything: a name has one server at any moment, its generation rises with every move,
 * each counter keeps its exact value, what else there is of it goes along, and nothing moves that needn't.
 *
 * @module
 */
import * as Invariants from "../../src/core/invariants.ts"
import * as Rings from "../../src/core/rings.ts"
import { type Core, Cores } from "../../src/testing/cores/cores.ts"
import type { Plan } from "../../src/testing/runs/plan.ts"
import type { Pump } from "../../src/testing/runs/pump.ts"
import type { Subject } from "../../src/testing/runs/run.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import * as Belongings from "./belongings.ts"

/** So many names operations ask for, */
const NAMES = 48
/** and of those so many are there from the beginning. */
const FIRST = 24
/** How many more names to look at for one that gets another owner. */
const TRIES = 20
/** Everything that serves counts this often, so that no state is lost unseen. */
const BEAT_MICROS = 15_000

const nameOf = (n: number): string => `count/${n}`
/** All that are there from the beginning, where there are others: what operations on belongings choose from. */
const all: ReadonlyArray<string> = [
  ...Array.from({ length: FIRST }, (_, n) => nameOf(n)),
  ...Belongings.others,
]

/** What a node hosts where there is a named supervisor: of the first two, one at least stays. */
function hostsOf(index: number): ReadonlyArray<string> {
  if (index < 2) return ["", Belongings.SUPERVISOR]
  return index % 2 === 0 ? [""] : [Belongings.SUPERVISOR]
}

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
  knobs: { passive: [0, 1], others: [0, 1] },
  operations: ["want", "bump", ...Belongings.operations],
  sometimes: [
    ...["a name moved", "a name came back", "a move was given up", "somebody left"],
    ...["a sticky name moved", "metadata and members moved"],
  ],
  bounds: Simulation.boundsOf({}),
  with: (plan, keep, body) => body(new Exact(plan, keep).subject),
}

/** Cores whose counters are to be exact. */
class Exact extends Cores {
  readonly #plan: Plan
  readonly #reached = new Map(handover.sometimes.map((what) => [what, false]))
  /** By node and slot: the ring of the node when it got the slot. */
  readonly #rings = new Map<Core, Map<number, Rings.Rings>>()
  readonly #settled = new Map<Core, { readonly settled: boolean; readonly firm: boolean }>()
  /** The ring that each node computed with before. */
  readonly #before = new Map<Core, Rings.Rings>()
  /** The metadata that each name was given last, and the groups that it is a member of. */
  readonly #labels = new Map<string, string>()
  readonly #groups = new Map<string, ReadonlySet<string>>()
  #names = NAMES
  #excuse: string | undefined
  #forced = false
  #formed = false

  constructor(plan: Plan, keep: boolean) {
    const { passive, others } = plan.knobs
    super({
      name: handover.name,
      seed: plan.seed,
      keep,
      rebalance: passive === 1 ? "passive" : "active",
      passive: passive === 1 ? [Belongings.SUPERVISOR] : [],
      options: (index) => (others === 1 ? { hosts: hostsOf(index) } : {}),
    })
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
        if (Belongings.isOperation(operation)) this.#operate(operation, node, n)
        else if (operation === "bump") this.bump(nameOf(n % NAMES))
        else this.want(nameOf(n % NAMES), askers[node % Math.max(1, askers.length)])
      },
      look: () => this.complaint,
      eventually: new Map<string, () => unknown>([
        ["converged", () => this.unrest()],
        ["everybody has the same registry", () => this.#unanimous()],
        ["every name is served once", () => this.#served()],
        ["every counter is exact", () => this.#exact()],
        ["names are where the ring says", () => this.#placed()],
        ["everybody knows metadata and members", () => this.#belongings()],
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
    const others = this.#plan.knobs.others === 1 ? Belongings.others : []
    for (const [n, name] of others.entries()) this.want(name, this.full[n % this.full.length])
    while (this.served.size < FIRST + others.length) await pump.sleep(10_000)
    // Every other one has something that is to go along with it.
    if (others.length > 0)
      for (let n = 0; n < all.length; n += 2)
        for (const operation of ["label", "enroll"] as const) this.#operate(operation, 0, n)
    this.#formed = true
    this.#beat(this.world.now + this.#plan.horizon)
  }

  #operate(operation: Belongings.Operation, node: number, n: number): void {
    const name = all[n % all.length] as string
    const at = this.running[node % Math.max(1, this.running.length)]
    if (!Belongings.operate(this, operation, { name, node: at, n })) return
    if (operation === "label") this.#labels.set(name, Belongings.labelOf(n).join())
    else if (operation !== "enlist") {
      const process = this.servers(name)[0]?.shell.processes.get(name)
      this.#groups.set(name, new Set(process?.groups))
    }
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
    const { rings } = node.state.supervision
    const before = this.#before.get(node)
    this.#before.set(node, rings)
    if (!this.#formed || before === undefined) return
    for (let i = 0; i < TRIES; i++) {
      const name = nameOf(this.#names++)
      if (Rings.owner(rings, name) === Rings.owner(before, name)) continue
      for (const each of this.#askers) each.shell.want(name)
      return
    }
  }

  #got(node: Core, slot: number): void {
    const got = this.#rings.get(node) ?? new Map<number, Rings.Rings>()
    if (got.has(slot)) this.#reached.set("a name came back", true)
    this.#rings.set(node, got.set(slot, node.state.supervision.rings))
  }

  /** 42: nothing moves but away from who leaves and to who came. */
  #frugal(node: Core, { slot, to, names, leaving }: Freeze): void {
    if (names.length === 0) return
    this.#reached.set("a name moved", true)
    if (names.some(Belongings.sticky)) this.#reached.set("a sticky name moved", true)
    const rich = (name: string): boolean =>
      this.#labels.has(name) && (this.#groups.get(name)?.size ?? 0) > 0
    if (names.some(rich)) this.#reached.set("metadata and members moved", true)
    if (leaving) return
    const why = (what: string): void =>
      this.complain("only what must moves", `${node.name} gives ${names} to ${to}${what}`)
    if (this.#plan.knobs.passive === 1) return why(", and nobody leaves")
    if (names.some(Belongings.sticky)) return why(", and some of them stay")
    const rings = this.#rings.get(node)?.get(slot)
    if (rings === undefined || Rings.ownerOfSlot(rings, slot) !== node.name) return
    if (Rings.has(rings, to)) why(", which was there when it got them")
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

  /** Nobody died: so processes have what they were given, wherever they are by now. */
  #belongings(): string | undefined {
    for (const { shell } of this.running) {
      for (const { name, props, groups } of shell.processes.values()) {
        const label = this.#labels.get(name)
        if (props?.bytes.join() !== label)
          return `${name} was told that it is ${label}, and is ${props?.bytes.join()}`
        const [those, these] = [[...(this.#groups.get(name) ?? [])], [...groups]]
        if (those.sort().join() !== these.sort().join())
          return `${name} joined ${those.join(" ")}, and is in ${these.join(" ")}`
      }
    }
    return Belongings.known(this.running)
  }

  #placed(): string | undefined {
    for (const { state } of this.running) {
      const { rings, passive } = state.supervision
      const wrong = Invariants.placed(state.registry, rings, passive)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
}

type Freeze = Extract<Parameters<Cores["perform"]>[1], { readonly _tag: "Freeze" }>
