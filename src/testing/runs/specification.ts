/**
 * What a property-style simulation consists of: the cluster, what is done to it, and what must hold.
 *
 * @module
 */
import type { AnyDefinition } from "../../runtime/definition.ts"
import type { Kind } from "../faults/fault.ts"
import type { Mode } from "../nodes/guard.ts"
import type { SimNode, Time } from "../nodes/node.ts"
import type { SimulatedOptions } from "../nodes/nodes.ts"
import type { Sim } from "../nodes/sim.ts"

/** What checks get. `model` is the run's own. */
export interface Scene<M> {
  readonly sim: Sim
  readonly model: M
  /** The values that this run was given for the knobs. */
  readonly knobs: Readonly<Record<string, number>>
}

/** What an operation gets. */
export interface Turn<M> extends Scene<M> {
  /** The node that it is done at. It may be down, or stand still. */
  readonly node: SimNode
  /** A number from 0 to 999 to choose by. */
  readonly n: number
}

/** Looks at a run. A text, or false, says what is wrong; anything else is fine. */
export type Look<M> = (scene: Scene<M>) => unknown

/**
 * Something that the test does. Call errors (those with an `outcome`) are to be expected under faults and
 * are no failure of the run; anything else that it throws is.
 */
export type Operation<M> = (turn: Turn<M>) => unknown

/** How plans are made up. */
export interface Chaos {
  /** How many nodes. Default 3 to 5. */
  readonly nodes?: number | { readonly min: number; readonly max: number }
  /** How long faults and operations go on. Default 30 seconds. */
  readonly horizon?: Time
  /** The kinds of faults. Default: all that can befall nodes that talk over streams. */
  readonly faults?: ReadonlyArray<Kind>
  /** Faults in one plan at most. Default 12. */
  readonly faultsMax?: number
  /** How long a fault lasts at most. Default 20 seconds. */
  readonly lengthMax?: Time
  /** Nodes that are down at a time at most, by faults of the plan. Default: less than half. */
  readonly downMax?: number
  /** Operations in one plan at most. Default 30. */
  readonly stepsMax?: number
  /** Values that each run chooses from, by name. The first is what shrinking tries. */
  readonly knobs?: Readonly<Record<string, ReadonlyArray<number>>>
  /** Whether in some plans a part of the nodes is gone for ever in the end. Default false. */
  readonly losses?: boolean
}

/** A property-style simulation of whole nodes. */
export interface Specification<M> extends Chaos {
  /** Names files and messages: letters, digits and hyphens. */
  readonly name: string
  /** The definitions that all nodes host. */
  readonly processes?: ReadonlyArray<AnyDefinition>
  /** More options of the nodes, by their index and the run's knobs. */
  readonly options?:
    | SimulatedOptions
    | ((index: number, knobs: Readonly<Record<string, number>>) => SimulatedOptions)
  /** Makes what a run keeps account with; each run has its own. */
  readonly model?: () => M
  readonly operations?: Readonly<Record<string, Operation<M>>>
  /** Looked at after everything that happens. One owner per name is checked besides. */
  readonly always?: Readonly<Record<string, Look<M>>>
  /** Looked at in the end, when all is mended. That the nodes converge is checked besides. */
  readonly eventually?: Readonly<Record<string, Look<M>>>
  /** Must be so at least once in a suite of 100 runs or more: else the suite shows nothing. */
  readonly sometimes?: Readonly<Record<string, Look<M>>>
  /** Why a run that failed doesn't count, as a text. */
  readonly excuse?: (scene: Scene<M>) => string | undefined
  /** How long what must hold eventually may take, once all is mended. Default 60 seconds. */
  readonly within?: Time
  /** How long it has to stay so. Default 2 seconds. */
  readonly stable?: Time
  /** See `simulate`. Default `throw`. */
  readonly guard?: Mode
  /** Whether the promise of one owner per name is checked all the time. Default true. */
  readonly checks?: boolean
}
