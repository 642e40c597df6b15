/**
 * The supervisors of one node: who hosts each of them, which children it has, and where the processes go
 * whose start this node has allowed.
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import * as Key from "../../core/key.ts"
import * as Membership from "../../core/membership.ts"
import * as Registry from "../../core/registry.ts"
import * as Ring from "../../core/ring.ts"
import * as Rings from "../../core/rings.ts"
import { keyOf } from "../calls/ref.ts"
import { Overloaded, reasonOf } from "../errors.ts"
import type { Parts } from "../parts.ts"
import { uint32 } from "../platform.ts"
import { Children, definitionOf } from "./children.ts"
import * as Supervisor from "./supervisor.ts"

type Changed = Extract<Cluster.Output, { readonly _tag: "Changed" }>

/** Whether a node that lists a supervisor hosts it. */
export function hosts(
  { spec: { nodes, roles } }: Supervisor.AnyDefinition,
  node: string,
  own: ReadonlyArray<string>,
): boolean {
  if (nodes !== undefined && !nodes.includes(node)) return false
  return roles === undefined || roles.some((role) => own.includes(role))
}

/** What one node knows of supervisors. */
export class Supervisors {
  readonly #parts: Parts
  /** Those that this node hosts. */
  readonly #hosted = new Map<string, Supervisor.AnyDefinition>()
  /** Of those that it hosts, and that its user has asked for. */
  readonly #children = new Map<string, Children>()

  constructor(parts: Parts, hosted: ReadonlyArray<Supervisor.AnyDefinition>) {
    this.#parts = parts
    for (const definition of hosted) {
      const { name, spec } = definition
      const { group } = spec.strategy ?? Supervisor.ring
      this.#hosted.set(name, definition)
      this.#children.set(name, new Children(this.#grouping(name, group)))
    }
  }

  /** What may be wrong with a user's function is told of, and leaves the process in no group. */
  #grouping(
    supervisor: string,
    group: Supervisor.Strategy["group"],
  ): (name: string) => string | undefined {
    return (name) =>
      group === undefined
        ? undefined
        : this.#tried(supervisor, () => Key.text(group(Key.parse(keyOf(name)), definitionOf(name))))
  }

  #tried<A>(supervisor: string, f: () => A): A | undefined {
    try {
      return f()
    } catch (thrown) {
      const event = `the strategy of ${supervisor}`
      this.#parts.events.emit({ _tag: "ListenerFailed", event, reason: reasonOf(thrown) })
      return undefined
    }
  }

  // --- children ----------------------------------------------------------------------------------

  /** The children of a supervisor, from now on kept up to date. */
  children(supervisor: string): Children {
    const known = this.#children.get(supervisor)
    if (known !== undefined) return known
    const children = new Children(() => undefined)
    const now = this.#parts.platform.now()
    for (const [name, { table }] of this.#parts.core.registry.index) {
      if (Rings.supervisorOf(name) === supervisor) children.changed(name, table.owner, "", now)
    }
    this.#children.set(supervisor, children)
    return children
  }

  /** The winning claim of a name changed. */
  changed({ name, after, reason }: Changed): void {
    if (this.#children.size === 0) return
    const children = this.#children.get(Rings.supervisorOf(name))
    children?.changed(name, after?.table.owner, reason, this.#parts.platform.now())
  }

  // --- nodes -------------------------------------------------------------------------------------

  /** The members that host a supervisor, as they say, by their names. */
  hosts(supervisor: string): Array<Ring.Weighted> {
    const found: Array<Ring.Weighted> = []
    for (const { name, phase, weight, hosts } of Membership.living(this.#parts.core.membership)) {
      const fit = phase === "up" && weight > 0
      if (fit && hosts.includes(supervisor)) found.push({ id: name, weight })
    }
    return found.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Whether a node that is there no more hosted a supervisor, or one that is hosts it. */
  hosted(supervisor: string, node: string): boolean {
    const member = Membership.members(this.#parts.core.membership).find(({ name }) => name === node)
    return member?.hosts.includes(supervisor) === true
  }

  /** Whether this node is who has to act for another one: so on one of the hosts, when they agree. */
  elected(supervisor: string, node: string): boolean {
    const others = this.hosts(supervisor).filter(({ id }) => id !== node)
    return Ring.owners(Ring.make(others), node, 1)[0] === this.#parts.name
  }

  /** The node that a process of this name belongs to; undefined when its start will tell. */
  home({ name: supervisor, spec }: Supervisor.AnyDefinition, name: string): string | undefined {
    const { registry, supervision } = this.#parts.core
    const { strategy = Supervisor.ring, rebalance } = spec
    const entry = Registry.lookup(registry, name)
    if (entry !== undefined && (entry.sticky || rebalance === "passive")) return entry.table.owner
    if (entry === undefined && !strategy.fixed) return undefined
    const chosen = entry === undefined ? this.#choose(supervisor, strategy, name) : undefined
    return chosen ?? Rings.owner(supervision.rings, name)
  }

  // --- starts ------------------------------------------------------------------------------------

  /**
   * Says which node is to run a process whose start this node has just allowed, and remembers it until it is
   * {@link over}; `at` is the node that was asked for, or empty. undefined: this one, and the ring says for
   * how long.
   */
  place(name: string, at: string): string | undefined | Overloaded {
    const supervisor = Rings.supervisorOf(name)
    const definition = this.#hosted.get(supervisor)
    if (definition === undefined) return at === "" ? undefined : at
    const children = this.children(supervisor)
    const { childrenMax = Number.POSITIVE_INFINITY, strategy = Supervisor.ring } = definition.spec
    if (children.total >= childrenMax) return new Overloaded(name, "childrenMax", childrenMax)
    const node = at === "" ? this.#choose(supervisor, strategy, name) : at
    children.starting(name, node ?? this.#parts.name)
    return node
  }

  /** The start of a process that was placed is over, whatever came of it. */
  over(name: string): void {
    if (this.#hosted.size > 0) this.#children.get(Rings.supervisorOf(name))?.started(name)
  }

  #choose(supervisor: string, strategy: Supervisor.Strategy, name: string): string | undefined {
    if (strategy === Supervisor.ring) return undefined
    const candidates = this.#candidates(supervisor, name)
    const random = (): number => uint32(this.#parts.platform) / 2 ** 32
    const node = this.#tried(supervisor, () => strategy.place(candidates, random))
    return candidates.some((candidate) => candidate.node === node) ? node : undefined
  }

  /** Who can be given a process, in the order of the ring; those that the ring doesn't know yet last. */
  #candidates(supervisor: string, name: string): ReadonlyArray<Supervisor.Candidate> {
    const { core, links, name: self } = this.#parts
    const children = this.children(supervisor)
    const ring = Rings.of(core.supervision.rings, supervisor)
    const rank = Ring.ownersOfSlot(ring, Rings.slot(name) % Ring.SLOTS, Ring.size(ring))
    const place = (node: string): number => (rank.includes(node) ? rank.indexOf(node) : rank.length)
    return this.hosts(supervisor)
      .filter(({ id }) => id === self || links.get(id) !== undefined)
      .sort((a, b) => place(a.id) - place(b.id))
      .map(({ id, weight }) => ({ node: id, weight, ...children.load(id, name) }))
  }
}
