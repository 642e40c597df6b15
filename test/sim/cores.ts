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
import * as Rings from "../../src/core/rings.ts"
import type { Orphan } from "../../src/core/supervision.ts"
import type { Table } from "../../src/core/table.ts"
import { type Core, Cores } from "../../src/testing/cores/cores.ts"
import { defaults } from "../../src/testing/runs/arbitrary.ts"
import type { Complaint } from "../../src/testing/runs/check.ts"
import type { Plan } from "../../src/testing/runs/plan.ts"
import type { Subject } from "../../src/testing/runs/run.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import * as Belongings from "./belongings.ts"

const NAMES = 12
const nameOf = (n: number): string => `count/${n % NAMES}`
const otherOf = (n: number): string => Belongings.others[n % Belongings.others.length] as string
const all: ReadonlyArray<string> = [
  ...Array.from({ length: NAMES }, (_, n) => nameOf(n)),
  ...Belongings.others,
]
/** What nodes host by their index, in turn, where there is a named supervisor. */
const HOSTS = [["", Belongings.SUPERVISOR], [""], [Belongings.SUPERVISOR]]

export const cores: Simulation.Simulation = {
  name: "cores",
  nodes: { min: 2, max: 5 },
  horizon: "30 seconds",
  faults: [...defaults, "drop", "duplicate"],
  faultsMax: 12,
  losses: true,
  knobs: { passive: [0, 1], newest: [0, 1], supervisor: [0, 1] },
  operations: ["want", "want", "want another", "bump", ...Belongings.operations],
  sometimes: [
    "two nodes served one name",
    "a name was taken over",
    "a name moved",
    "a node slept",
    "an accusation was refuted",
    "a name conflict was decided",
    "a sticky name was outside of its slot",
    "a name of the supervisor went to another host",
    "metadata was changed, and a group joined",
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
  /** The operations on belongings that have done something. */
  readonly #done = new Set<string>()
  #changed = false
  /** There was a time when nobody hosted the named supervisor: what it had may be forgotten. */
  #hostless = false

  constructor(plan: Plan, keep: boolean) {
    const { passive, newest, supervisor } = plan.knobs
    super({
      name: cores.name,
      seed: plan.seed,
      keep,
      lax: true,
      rebalance: passive === 1 ? "passive" : "active",
      passive: passive === 1 ? [Belongings.SUPERVISOR] : [],
      policy: newest === 1 ? "newest" : "oldest",
      options: (index) => (supervisor === 1 ? { hosts: HOSTS[index % 3] as Array<string> } : {}),
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
        const at = full[node % Math.max(1, full.length)]
        const name = all[n % all.length] as string
        if (operation === "want") this.want(nameOf(n), at)
        else if (operation === "want another") this.want(otherOf(n), at)
        else if (Belongings.isOperation(operation)) {
          const done = Belongings.operate(this, operation, { name, node: at, n })
          if (done) this.#done.add(operation)
          if (this.#done.has("label") && this.#done.has("enroll"))
            this.#reached.set("metadata was changed, and a group joined", true)
        } else this.bump(nameOf(n))
      },
      look: () => this.complaint ?? this.#rivals(),
      eventually: new Map<string, () => unknown>([
        ["converged", () => this.unrest(this.#serving)],
        ["everybody has the same registry", () => this.#unanimous()],
        ["what everybody knew is served once", () => this.#served()],
        ["names are where the ring says", () => this.#placed()],
        ["everybody knows metadata and members", () => Belongings.known(this.#serving)],
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
    return supervision.sure && supervision.rings.members.length > 1
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
      this.#supervised(output.names)
      this.#wrong(node, "only what must moves", this.#needless(node, output))
    }
    if (output._tag === "Takeover" && output.orphans.length > 0) {
      this.#reached.set("a name was taken over", true)
      this.#supervised(output.orphans.map(({ name }) => name))
      for (const orphan of output.orphans)
        this.#wrong(node, "takeovers rise", this.#level(node, orphan))
    }
    if (output._tag === "Settled") this.#outside(node)
    if (output._tag === "Lost") this.#reached.set("a name conflict was decided", true)
    super.perform(node, output)
  }

  #supervised(names: ReadonlyArray<string>): void {
    if (names.some(Belongings.supervised))
      this.#reached.set("a name of the supervisor went to another host", true)
  }

  #outside({ name, state }: Core): void {
    for (const own of Registry.ownNames(state.registry)) {
      const holder = Registry.grant(state.registry, Rings.slot(own))?.table.owner
      if (Belongings.sticky(own) && holder !== name)
        this.#reached.set("a sticky name was outside of its slot", true)
    }
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
    if (!leaving && names.some(Belongings.sticky)) return `gives ${names} to ${to}, which stay`
    // Names that were left behind follow their slot, wherever that is.
    if (Registry.grant(registry, slot)?.table.owner !== node.name) return undefined
    const owner = Rings.ownerOfSlot(supervision.rings, slot)
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
    this.#hostless ||= !this.#serving.some(({ options }) =>
      options.hosts?.includes(Belongings.SUPERVISOR),
    )
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
    for (const { shell, state } of this.#serving)
      for (const name of shell.wanted)
        if (hosted(state, name)) return `the start of ${name} is under way`
    for (const name of all) {
      const servers = this.servers(name).map((server) => server.name)
      if (servers.length > 1) return `${name} is served by ${servers.join(" and ")}`
      const owed = this.known.has(name) && !(this.#hostless && Belongings.supervised(name))
      if (servers.length === 0 && owed) return `${name} is gone`
      for (const { state, name: node } of this.#serving) {
        const holder = state.registry.index.get(name)?.table.owner
        if (holder !== servers[0]) return `${node} takes ${holder} for the server of ${name}`
      }
    }
    return undefined
  }

  #placed(): string | undefined {
    for (const { state } of this.#serving) {
      const { rings, passive } = state.supervision
      const wrong = Invariants.placed(state.registry, rings, passive)
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

/** Whether somebody hosts the supervisor of a name. */
function hosted({ supervision }: Core["state"], name: string): boolean {
  return Ring.size(Rings.of(supervision.rings, Rings.supervisorOf(name))) > 0
}

type Freeze = Extract<Parameters<Cores["perform"]>[1], { readonly _tag: "Freeze" }>
