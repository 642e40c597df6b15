/**
 * Supervisors: named sets of processes, with a say in which nodes run them, where each of them goes, and how
 * many and how brittle they may be.
 *
 * A supervisor's processes are apart from all others: the same key of the same definition is another
 * process under each supervisor. The cluster knows a supervisor by its name alone. Nodes of different
 * versions may define it differently; then where a process goes, and whether there is room for it, is decided
 * by the definition of the node that has the right to start it: the one to which the supervisor's ring gives it.
 *
 * @module
 */
import type { Key } from "../../core/key.ts"
import type { Intensity } from "../../core/restart.ts"
import type { InitArgs, AnyDefinition as Process, Ref, Runnable, Try } from "../definition.ts"
import type { AlreadyRegistered, StartError, StartIgnored } from "../errors.ts"
import type { Location } from "../names/location.ts"
import type { StartOptions } from "../processes/starts.ts"

/** A node that may run a process, as a strategy sees it. */
export interface Candidate {
  readonly node: string
  /** See the option of `startNode`. */
  readonly weight: number
  /** The supervisor's children there, those that are being started from here included. */
  readonly children: number
  /** How many of these are of the same group; 0 when the strategy has no groups. */
  readonly alike: number
}

/** Where processes go when they are started. What it chose stays there until that node leaves or dies. */
export interface Strategy {
  readonly kind: string
  /** Whether the choice depends on nothing but which candidates there are. */
  readonly fixed: boolean
  /** Which processes belong together. Must give the same for the same process, on every node. */
  readonly group?: (key: Key, definition: string) => Key
  /**
   * Chooses one of the candidates, who are in the order of the ring for this process; undefined leaves it to
   * the ring. `random` gives a number from 0 to below 1.
   */
  readonly place: (candidates: ReadonlyArray<Candidate>, random: () => number) => string | undefined
}

/** Each process where the ring says; with `rebalance: "active"` it moves when the ring says otherwise. */
export const ring: Strategy = { kind: "ring", fixed: true, place: () => undefined }

/** To the node with the fewest children for its weight. */
export const leastLoaded: Strategy = {
  kind: "leastLoaded",
  fixed: false,
  place: (candidates) => least(candidates, ({ children }) => children),
}

/** To any of the nodes. */
export const random: Strategy = {
  kind: "random",
  fixed: false,
  place: (candidates, random) => candidates[Math.floor(random() * candidates.length)]?.node,
}

/**
 * To the first of these nodes that is there; while none is, where the ring says. What has moved on when its
 * node went away doesn't come back with it.
 */
export function pinned(node: string, ...others: ReadonlyArray<string>): Strategy {
  const nodes = [node, ...others]
  return {
    kind: "pinned",
    fixed: true,
    place: (candidates) => nodes.find((each) => candidates.some(({ node }) => node === each)),
  }
}

/**
 * Away from its like: to the node with the fewest children of the same group for its weight; of several such
 * nodes, to the one with the fewest children.
 */
export function spread(group: (key: Key, definition: string) => Key): Strategy {
  return {
    kind: "spread",
    fixed: false,
    group,
    place: (candidates) => {
      const fewest = Math.min(...candidates.map(({ alike, weight }) => alike / weight))
      const apart = candidates.filter(({ alike, weight }) => alike / weight === fewest)
      return least(apart, ({ children }) => children)
    },
  }
}

/** The first with the least load for its weight. */
function least(
  candidates: ReadonlyArray<Candidate>,
  load: (candidate: Candidate) => number,
): string | undefined {
  let best: Candidate | undefined
  for (const one of candidates) {
    if (best === undefined || load(one) / one.weight < load(best) / best.weight) best = one
  }
  return best?.node
}

/** The parts of a supervisor. */
export interface Spec<P extends Process> {
  /** The definitions it may run, which a node that hosts the supervisor hosts for it. */
  readonly processes: ReadonlyArray<P>
  /** Of the nodes that list the supervisor only these host it. Default: all. */
  readonly nodes?: ReadonlyArray<string>
  /** Of the nodes that list the supervisor only those with one of these roles host it. Default: all. */
  readonly roles?: ReadonlyArray<string>
  /** Default `Supervisor.ring`. */
  readonly strategy?: Strategy
  /** For definitions that don't say their own. Default: five restarts in ten seconds. */
  readonly intensity?: Intensity
  /**
   * What the ring placed moves when a node joins (`active`, the default), or only when its node leaves
   * (`passive`).
   */
  readonly rebalance?: "active" | "passive"
  /**
   * More children than this aren't started: Overloaded, by the limit `childrenMax`. Counted by the node that
   * has the right to start the process, so that several nodes together may exceed it a little. Default: none.
   */
  readonly childrenMax?: number
  /** Told what happens, by each node that hosts the supervisor from its start: see {@link Listeners}. */
  readonly listeners?: Listeners<NoInfer<P>> | ReadonlyArray<Listeners<NoInfer<P>>>
}

/** A supervisor: give it to `startNode`, and to `node.supervisor`. */
export interface Definition<P extends Process = Process> {
  readonly name: string
  readonly spec: Spec<P>
}

/** Any supervisor. */
export type AnyDefinition = Definition

const NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/

/**
 * Defines a supervisor.
 *
 * @param name how it is known in the whole cluster: a letter, then at most 63 letters, digits, dots, dashes
 *   or underscores
 * @throws TypeError when the name can't be used, or something can't be right
 *
 * @example
 * ```ts
 * import { Process, Supervisor } from "skein"
 *
 * const Job = Process.define("Job", { state: (url: string) => ({ url }) })
 * const Jobs = Supervisor.define("jobs", {
 *   processes: [Job],
 *   roles: ["worker"],
 *   strategy: Supervisor.leastLoaded,
 * })
 * ```
 */
export function define<P extends Process>(name: string, spec: Spec<P>): Definition<P> {
  const problem = problemOf(name, spec)
  if (problem !== undefined) throw new TypeError(`Supervisor.define: ${problem}`)
  return { name, spec }
}

function problemOf(name: string, spec: Spec<Process>): string | undefined {
  if (!NAME.test(name)) return `the name ${JSON.stringify(name)} doesn't match ${NAME}`
  const { processes, nodes, roles, intensity, childrenMax = 1 } = spec
  if (processes.length === 0) return `${name} has no processes`
  const names = processes.map((process) => process.name)
  const twice = names.find((each, i) => names.indexOf(each) !== i)
  if (twice !== undefined) return `${name} has two processes named ${twice}`
  if (nodes?.length === 0) return `${name} has no nodes: leave the option out for all`
  if (roles?.length === 0) return `${name} has no roles: leave the option out for all`
  if (!(Number.isInteger(childrenMax) && childrenMax >= 1))
    return `${name}: childrenMax must be an integer of at least 1, got ${childrenMax}`
  if (intensity !== undefined && !(intensity.max >= 0 && intensity.withinMillis > 0))
    return `${name}: the intensity must be some restarts, 0 or more, within some milliseconds`
  return undefined
}

// --- the handle ----------------------------------------------------------------------------------

/** A process of a supervisor. */
export type Child<P extends Process = Process> = P extends Process
  ? {
      readonly ref: Ref<P>
      /** The name of its definition. */
      readonly definition: P["name"]
      readonly key: Key
      /** Its registered name: supervisor, colon, definition, slash, the text of its key. */
      readonly name: string
      /** The node that it runs on. */
      readonly node: string
    }
  : never

/** How many children there are. */
export interface Counts {
  readonly total: number
  /** Those of this node. */
  readonly local: number
  /** Nodes without any aren't listed. */
  readonly byNode: ReadonlyMap<string, number>
  /** By the name of the definition. */
  readonly byDefinition: ReadonlyMap<string, number>
}

/** How a child is started: see StartOptions. It is never an error when it runs already. */
export type ChildOptions = Omit<StartOptions, "exclusive">

/**
 * What came of a start. `AlreadyStarted`: a process of this key runs, and where; when a connection broke
 * meanwhile it may be this very start that has got through. `Ignored`: the state function answered
 * `Process.ignore`. `Invalid`: it can't be started, wherever and whenever, with what was given.
 * `Failed`: it wasn't started, or that isn't known; the error says why.
 */
export type StartResult<P extends Process> =
  | {
      readonly _tag: "Started" | "AlreadyStarted"
      readonly ref: Ref<P>
      readonly key: Key
      readonly node: string
    }
  | { readonly _tag: "Ignored" }
  | { readonly _tag: "Invalid"; readonly problem: string }
  | {
      readonly _tag: "Failed"
      readonly error: Exclude<StartError, AlreadyRegistered | StartIgnored>
    }

type Asks<P> = Ref<P>["try"]
type Casts<P> = Ref<P>["cast"]
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never
type Value<F> = F extends (...args: never) => Promise<Try<infer A, infer _E>> ? A : never

/**
 * A supervisor, at one node. What it tells is what this node knows: at once of what was done from here, a
 * moment later of what was done elsewhere. Every node can have it, also one that doesn't host the supervisor.
 */
export interface SupervisorRef<P extends Process> {
  readonly name: string
  /**
   * Starts a child, named or, without a key, under a new one; resolves to what came of it, and never rejects.
   * The option `at` takes precedence over the strategy.
   */
  start<D extends P>(
    definition: D & Runnable<D>,
    key: Key | undefined,
    ...init: InitArgs<D, ChildOptions>
  ): Promise<StartResult<D>>
  /**
   * Ends a child, whatever its restart type is, once the message in hand is finished; false when there is
   * none. Rejects with Unreachable, Timeout, NodeStopped.
   */
  terminate(child: Ref<Process> | Location | Child<P>, reason?: string): Promise<boolean>
  terminate(definition: P, key: Key, reason?: string): Promise<boolean>
  /** All children, by their registered names. O(number). */
  children(): ReadonlyArray<Child<P>>
  /** Those of this node, by their registered names. */
  localChildren(): ReadonlyArray<Child<P>>
  /** How many there are. O(nodes and definitions). */
  counts(): Counts
  /** Where a child runs; undefined when it doesn't. Throws a TypeError on what isn't a key. */
  whereis(definition: P, key: Key): Location | undefined
  /**
   * The child that a reference, a location, or the `id` of a location means; undefined when none does that
   * runs. An id means one life of it.
   */
  whois(of: Ref<Process> | Location | string): Child<P> | undefined
  /** The living nodes that host the supervisor, sorted. */
  nodes(): ReadonlyArray<string>
  /**
   * The node that a child belongs to: the one that it has to stay at, else the one that the ring or the
   * strategy gives it to. undefined when that will only be found when it is started.
   */
  nodeFor(definition: P, key: Key): string | undefined
  /** Whether that is this node. */
  isMine(definition: P, key: Key): boolean
  /** A reference to the child of this key, whether it runs or not. Costs nothing. */
  ref<D extends P>(definition: D, key: Key): Ref<D>
  /** The same as the call of the reference. */
  call<D extends P, M extends keyof Asks<D>>(
    definition: D,
    key: Key,
    method: M,
    ...args: Arguments<Asks<D>[M]>
  ): Promise<Value<Asks<D>[M]>>
  /** The same as the cast of the reference. */
  cast<D extends P, M extends keyof Casts<D>>(
    definition: D,
    key: Key,
    method: M,
    ...args: Arguments<Casts<D>[M]>
  ): void
  /** The same, but answers false, and sends nothing, when there is no such child. */
  send<D extends P, M extends keyof Casts<D>>(
    definition: D,
    key: Key,
    method: M,
    ...args: Arguments<Casts<D>[M]>
  ): boolean
  /** Calls these when something happens, until the result is called: as `node.on`. */
  on(listeners: Listeners<P>): () => void
}

// --- events --------------------------------------------------------------------------------------

/** What all events have. */
export interface Told {
  readonly supervisor: string
  /** The node that tells. */
  readonly by: string
}

/** Something happened to a child. */
export interface ChildEvent<P extends Process = Process> extends Told {
  readonly child: Child<P>
}

/** Children go to another node, or come from one. */
export interface HandoffEvent<P extends Process = Process> extends Told {
  readonly from: string
  readonly to: string
  readonly children: ReadonlyArray<Child<P>>
}

/** Something happened to a node that hosts the supervisor. */
export interface HostEvent extends Told {
  readonly node: string
  /**
   * Whether it is up to the node that tells to do something about it, if it has to be done once: so on one of
   * the supervisor's other nodes, when these agree on who is there.
   */
  readonly elected: boolean
}

/**
 * What is called when something happens: once each, on the node that is said, at once, before anything that
 * follows. One that throws is the node's event ListenerFailed.
 */
export interface Listeners<P extends Process = Process> {
  // --- on the child's node
  /** It runs: started, or begun anew elsewhere than it was; not when it moved with its state. */
  started?(event: ChildEvent<P>): void
  /** It ended for good, or could not begin anew; not when it moved away. */
  stopped?(event: ChildEvent<P> & { readonly reason: string }): void
  /** It crashed, and began anew (`restarted`) or will be `stopped`. */
  crashed?(event: ChildEvent<P> & { readonly reason: string; readonly restarted: boolean }): void
  // --- moves: the first three on the node that they go from, the last two on the one that they come to
  /** They stand still, to be moved. */
  handoffStarted?(event: HandoffEvent<P>): void
  /** They are there; of those of `handoffStarted` that aren't among them each has stayed. */
  handoffEnded?(event: HandoffEvent<P>): void
  /** Their states could not be sent, restored or merged. */
  handoffFailed?(event: Told & { readonly children: ReadonlyArray<Child<P>> }): void
  /** They came, with their state or to start anew. */
  arrived?(event: HandoffEvent<P>): void
  /** They were a dead node's, and are started again; their state is lost. */
  takenOver?(event: HandoffEvent<P>): void
  // --- conflicts
  /** On the node that had it: it lost against the one at `child.node`. */
  conflictLost?(event: ChildEvent<P>): void
  /** On the node that has it: the one at `loser` lost against it. */
  conflictWon?(event: ChildEvent<P> & { readonly loser: string }): void
  // --- nodes that host the supervisor: on every node but the one that it is about
  /** It is a member. */
  nodeUp?(event: HostEvent): void
  /** It hands its children over; `nodeDown` follows. */
  nodeLeaving?(event: HostEvent): void
  /** It has left (`"left"`), or died, or can't be reached any more. */
  nodeDown?(event: HostEvent & { readonly reason: string }): void
}
