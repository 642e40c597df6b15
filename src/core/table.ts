/**
 * One owner's table: what one node (one epoch of it) has registered, as a dense log of operations.
 * Only the owner appends; everybody else applies the same operations in the same order, so a replica
 * at sequence s is exactly the fold of the owner's first s operations.
 *
 * @module
 */

/** An operation of an owner's log. Its sequence number is its position, counted from 1. */
export type Op =
  | {
      readonly _tag: "Put"
      readonly name: string
      /** Rises by one each time another node starts to serve the name. */
      readonly generation: number
      /** The process at the owner, unique within the owner's epoch. */
      readonly pid: number
      /** Hybrid logical time of the registration: milliseconds × 1024, plus a counter. */
      readonly time: number
      /** What is needed to start the process again elsewhere, opaque to the core. */
      readonly meta: Uint8Array | undefined
      readonly props: Props | undefined
      /** Whether it stays at its node, wherever the ring places its slot, until that node leaves. */
      readonly sticky: boolean
    }
  /** `reason`: why, for those who watch the name. */
  | { readonly _tag: "Delete"; readonly name: string; readonly reason: string }
  | { readonly _tag: "Grant"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Release"; readonly slot: number }
  /** A name's metadata is another now. */
  | { readonly _tag: "Describe"; readonly name: string; readonly props: Props | undefined }
  /** A process, or the node itself (`pid` 0), is a member of a group: see there. */
  | {
      readonly _tag: "Join"
      readonly group: string
      readonly pid: number
      readonly name: string
      readonly time: number
      readonly online: boolean
      readonly meta: Uint8Array | undefined
    }
  | {
      readonly _tag: "Quit"
      readonly group: string
      readonly pid: number
      readonly reason: string
    }

/** The user's metadata of a name, opaque to the core. */
export interface Props {
  /** Rises by one with each change. */
  readonly version: number
  readonly bytes: Uint8Array
}

/** A claim of a name by its owner's table. `next` chains the claims that lose against it. */
export interface Entry {
  readonly name: string
  readonly table: Table
  readonly generation: number
  readonly pid: number
  readonly time: number
  readonly meta: Uint8Array | undefined
  readonly props: Props | undefined
  readonly sticky: boolean
  /** The data plane's mark that it has sent messages by this claim. */
  used: boolean
  next: Entry | undefined
}

/** The right to start names in a slot, held by the owner of the table. */
export interface Grant {
  readonly slot: number
  readonly table: Table
  readonly generation: number
  next: Grant | undefined
}

/** That a process, or a node by itself (`pid` 0), is a member of a group. */
export interface Membership {
  readonly group: string
  readonly table: Table
  /** Unique in its table's epoch; 0 for the node itself. */
  readonly pid: number
  /** The registered name of the process; empty for the node itself. */
  readonly name: string
  /** When it joined: hybrid time, see the registry. */
  readonly time: number
  /** Whether keys are routed to it. */
  readonly online: boolean
  /** The user's metadata, opaque to the core. */
  readonly meta: Uint8Array | undefined
}

/** What a table holds besides its log: kept here while its owner is down. */
export interface Contents {
  readonly entries: Map<string, Entry>
  readonly grants: Map<number, Grant>
  /** Names of `entries` that a live node has served since: nothing is left to take over. */
  readonly served: Set<string>
  /** Names of `entries` that this node has begun to take over. */
  readonly adopted: Set<string>
  /** Slots of `grants` that a live node has held since. */
  readonly taken: Set<number>
  memberships: ReadonlyArray<Membership>
}

/** A replica (or the original) of one owner's registrations. */
export interface Table {
  readonly owner: string
  readonly epoch: number
  /** How many operations have been applied. */
  seq: number
  /** How many there are, as far as is known: infinitely many until their owner has said. */
  latest: number
  /** The newest operations, at most {@link LOG_MAX}; the last one has sequence `seq`. */
  log: Array<Op>
  /** Set while the owner is down: its claims, out of the index. */
  hidden: Contents | undefined
  hiddenAt: number
  /** Since when the owner has been back, while what it has written in the meantime isn't here. */
  returningAt: number | undefined
  /** A snapshot being received. */
  staging: Staging | undefined
  /** When a range was last asked for, so that a burst of gaps asks once. */
  askedAt: number
  /** Names in the index (or hidden) that this owner claims. */
  names: number
  /** Memberships of its processes and of itself, in groups (or hidden). */
  memberships: number
}

/** The first parts of a snapshot, by one node: another one may have cut the same table differently. */
export interface Staging {
  readonly from: string
  readonly seq: number
  readonly parts: number
  readonly arrived: Array<ReadonlyArray<Op>>
}

/** Operations kept for ranges; a replica further behind gets a snapshot. */
export const LOG_MAX = 4096

/** An empty table. */
export function make(owner: string, epoch: number): Table {
  return {
    owner,
    epoch,
    seq: 0,
    latest: Number.POSITIVE_INFINITY,
    log: [],
    hidden: undefined,
    hiddenAt: 0,
    returningAt: undefined,
    staging: undefined,
    askedAt: Number.NEGATIVE_INFINITY,
    names: 0,
    memberships: 0,
  }
}

/** Remembers an applied operation. The log is cut in large steps, so that appending stays cheap. */
export function append(table: Table, op: Op): void {
  table.seq++
  table.log.push(op)
  if (table.log.length >= 2 * LOG_MAX) table.log = table.log.slice(-LOG_MAX)
}

/** The operations from sequence `from` on, or undefined when the log doesn't reach back that far. */
export function range(table: Table, from: number): ReadonlyArray<Op> | undefined {
  const first = table.seq - table.log.length + 1
  if (from < first || from < 1) return undefined
  return table.log.slice(from - first)
}
