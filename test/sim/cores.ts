/**
 * Cores alone under every fault there is, and some that no stream has: packets lost for good and doubled.
 * Checked are the invariants of `src/core/invariants.ts` at every step, and that in the end everybody agrees
 * on the truth.
 */
import type { Claim } from "../../src/core/claim.ts"
import * as Invariants from "../../src/core/invariants.ts"
import * as Ledger from "../../src/core/ledger.ts"
import type * as Membership from "../../src/core/membership.ts"
import * as Registry from "../../src/core/registry.ts"
import * as Ring from "../../src/core/ring.ts"
import type { Orphan } from "../../src/core/supervision.ts"
import type { Table } from "../../src/core/table.ts"
import { type Core, Cores } from "../../src/testing/cores/cores.ts"
import { defaults } from "../../src/testing/runs/arbitrary.ts"
import type { Complaint } from "../../src/testing/runs/check.ts"
import type { Plan } from "../../src/testing/runs/plan.ts"
import type { Subject } from "../../src/testing/runs/run.ts"
import * as Simulation from "../../src/testing/simulation.ts"

const NAMES = 12
const nameOf = (n: number): string => `count/${n % NAMES}`

export const cores: Simulation.Simulation = {
  name: "cores",
  nodes: { min: 2, max: 5 },
  horizon: "30 seconds",
  faults: [...defaults, "drop", "duplicate"],
  faultsMax: 12,
  losses: true,
  knobs: { passive: [0, 1], newest: [0, 1] },
  operations: ["want", "bump"],
  sometimes: [
    "two nodes served one name",
    "a name was taken over",
    "a name moved",
    "a node slept",
    "an accusation was refuted",
    "a name conflict was decided",
  ],
  bounds: Simulation.boundsOf({}),
  with: (plan, keep, body) => body(new Watched(plan, keep).subject),
}

/** Cores that are looked at at every step. */
class Watched extends Cores {
  readonly #plan: Plan
  readonly #histories = new Map<Core, Invariants.History>()
  readonly #reached = new Map(cores.sometimes.map((name) => [name, false]))
  /** What each node last said of itself. */
  readonly #selves = new Map<Core, Claim>()
  /** Who slept before the step under way. */
  #slept: Core | undefined
  #changed = false

  constructor(plan: Plan, keep: boolean) {
    const { passive, newest } = plan.knobs
    super({
      name: cores.name,
      seed: plan.seed,
      keep,
      lax: true,
      rebalance: passive === 1 ? "passive" : "active",
      policy: newest === 1 ? "newest" : "oldest",
    })
    this.#plan = plan
    this.watchers.add((node, event) => this.#event(node, event))
    this.steps.add((node) => this.#step(node))
  }

  get subject(): Subject {
    return {
      world: this.world,
      stage: this,
      faults: this.faults,
      synchronous: true,
      form: async (pump) => {
        this.cluster(this.#plan.nodes)
        while (!this.calm()) await pump.sleep(10_000)
      },
      operate: ({ node, operation, n }) => {
        const { full } = this
        if (operation === "want") this.want(nameOf(n), full[node % Math.max(1, full.length)])
        else this.bump(nameOf(n))
      },
      look: () => this.complaint ?? this.#rivals(),
      eventually: new Map<string, () => unknown>([
        ["converged", () => this.unrest(this.#serving)],
        ["everybody has the same registry", () => this.#unanimous()],
        ["what everybody knew is served once", () => this.#served()],
        ["names are where the ring says", () => this.#placed()],
      ]),
      excuse: () => undefined,
      reached: () => this.#reached,
      waiting: () => "",
      inside: () => {},
    }
  }

  get #serving(): ReadonlyArray<Core> {
    return this.running.filter(({ paused }) => !paused)
  }

  // --- at every step -----------------------------------------------------------------------------

  #history(node: Core): Invariants.History {
    const known = this.#histories.get(node)
    if (known !== undefined) return known
    const made = Invariants.history()
    this.#histories.set(node, made)
    return made
  }

  #step(node: Core): void {
    this.#changed = true
    const { membership } = node.state
    this.#wrong(node, "claims rise", Invariants.rising(this.#history(node), membership))
    if (!membership.ended) this.#wrong(node, "awake", Invariants.awake(membership, membership.now))
    this.#wrong(node, "who slept asks", this.#awoken(node))
    this.#selves.set(node, membership.self)
  }

  /** 10: who slept says so by a new incarnation, and takes for sure only what the others confirm. */
  #awoken(node: Core): string | undefined {
    if (this.#slept !== node) return undefined
    this.#slept = undefined
    this.#reached.set("a node slept", true)
    const { membership, supervision } = node.state
    const before = this.#selves.get(node)
    if (before === membership.self) return "slept, and is as it was"
    return supervision.sure && supervision.ring.members.length > 1
      ? "slept, and is sure"
      : undefined
  }

  #event(node: Core, event: Membership.Event): void {
    const { membership } = node.state
    this.#wrong(node, "events alternate", Invariants.ordered(this.#history(node), event))
    if (event._tag === "Down" && event.reason !== "disconnected")
      this.#wrong(node, "a quorum removes", Invariants.justified(membership, event.name))
    if (event._tag === "Slept") this.#slept = node
    if (event._tag === "Refuted") this.#reached.set("an accusation was refuted", true)
  }

  #wrong(node: Core, check: string, message: string | undefined): void {
    if (message !== undefined) this.complain(check, `${node.name}: ${message}`)
  }

  override perform(node: Core, output: Parameters<Cores["perform"]>[1]): void {
    if (output._tag === "Freeze") {
      this.#reached.set("a name moved", true)
      this.#wrong(node, "only what must moves", this.#needless(node, output))
    }
    if (output._tag === "Takeover" && output.orphans.length > 0) {
      this.#reached.set("a name was taken over", true)
      for (const orphan of output.orphans)
        this.#wrong(node, "takeovers rise", this.#level(node, orphan))
    }
    if (output._tag === "Lost") this.#reached.set("a name conflict was decided", true)
    super.perform(node, output)
  }

  /** 32: who takes a name over stands above every claim of the dead that nobody has served since. */
  #level(node: Core, { name, generation }: Orphan): string | undefined {
    for (const { entries, served } of node.state.registry.hiding) {
      const claim = served.has(name) ? undefined : entries.get(name)
      if (claim !== undefined && claim.generation >= generation)
        return `takes over ${name} (${generation}), which was ${claim.table.owner}'s (${claim.generation})`
    }
    return undefined
  }

  /** 42: what the ring gives to a node stays, and everything does where names are to rest. */
  #needless(node: Core, { slot, names, to, leaving }: Freeze): string | undefined {
    const { registry, supervision } = node.state
    // Names that were left behind follow their slot, wherever that is.
    if (Registry.grant(registry, slot)?.table.owner !== node.name) return undefined
    const owner = Ring.ownerOfSlot(supervision.ring, slot)
    if (owner === node.name) return `gives ${names} away, to ${to}, and owns it`
    if (this.#plan.knobs.passive === 1 && !leaving) return `gives ${names} to ${to}, and stays`
    return undefined
  }

  /**
   * 31: inside one settled component a name has at most one server. That rests on links in order without
   * gaps: where packets are lost for good it comes true later.
   */
  #rivals(): Complaint | undefined {
    if (!this.#changed) return undefined
    this.#changed = false
    const byState = new Map(this.#serving.map((node) => [node.state, node]))
    if (this.#two([...byState.values()]) === undefined) return undefined
    this.#reached.set("two nodes served one name", true)
    if (this.#plan.faults.some(({ kind }) => kind === "drop")) return undefined
    for (const component of Invariants.components([...byState.keys()])) {
      const nodes = component.flatMap((state) => byState.get(state) ?? [])
      const message = this.#two(nodes)
      if (message !== undefined) return { check: "one-owner", message }
    }
    return undefined
  }

  #two(nodes: ReadonlyArray<Core>): string | undefined {
    const owners = new Map<string, string>()
    for (const { name: node, shell } of nodes) {
      for (const { name } of shell.processes.values()) {
        if (!shell.serves(name)) continue
        const other = owners.get(name)
        if (other !== undefined) return `two live owners of ${name}: ${other}, ${node}`
        owners.set(name, node)
      }
    }
    return undefined
  }

  // --- in the end --------------------------------------------------------------------------------

  #unanimous(): string | undefined {
    const registries = this.#serving.map(({ state }) => state.registry)
    return Invariants.unanimous(registries) ?? replicated(registries)
  }

  #served(): string | undefined {
    if (this.#serving.some(({ shell }) => shell.wanted.size > 0)) return "starts are under way"
    for (let n = 0; n < NAMES; n++) {
      const name = nameOf(n)
      const servers = this.servers(name).map((server) => server.name)
      if (servers.length > 1) return `${name} is served by ${servers.join(" and ")}`
      if (servers.length === 0 && this.known.has(name)) return `${name} is gone`
      for (const { state, name: node } of this.#serving) {
        const holder = state.registry.index.get(name)?.table.owner
        if (holder !== servers[0]) return `${node} takes ${holder} for the server of ${name}`
      }
    }
    return undefined
  }

  #placed(): string | undefined {
    if (this.#plan.knobs.passive === 1) return undefined
    for (const { state } of this.#serving) {
      const wrong = Invariants.placed(state.registry, state.supervision.ring)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
}

/** 26: what everybody has of a table is what its owner has, also where better claims hide it. */
function replicated(registries: ReadonlyArray<Registry.State>): string | undefined {
  for (const owner of registries) {
    const own = rowsOf(owner, owner.self)
    for (const other of registries) {
      const table = other.tables.get(owner.name)
      const copy = table === undefined ? new Set<string>() : rowsOf(other, table)
      for (const row of copy)
        if (!own.has(row)) return `${other.name} takes ${row} for ${owner.name}'s still`
      for (const row of own)
        if (!copy.has(row)) return `${other.name} doesn't know that ${row} is ${owner.name}'s`
    }
  }
  return undefined
}

function rowsOf(state: Registry.State, table: Table): ReadonlySet<string> {
  const slots = Ledger.slotsOf(state, table).map((slot) => `slot ${slot}`)
  return new Set([...Ledger.namesOf(state, table), ...slots])
}

type Freeze = Extract<Parameters<Cores["perform"]>[1], { readonly _tag: "Freeze" }>
