/**
 * All tables of a node together: how operations change them, and the index and grants derived from
 * them. Owners come and go by hiding and showing their tables.
 *
 * @module
 */
import type { Membership } from "./groups.ts"
import * as Groups from "./groups.ts"
import type { Policy } from "./rivals.ts"
import * as Rivals from "./rivals.ts"
import type { Contents, Entry, Grant, Op } from "./table.ts"
import * as Table from "./table.ts"

/** Messages between the registries of two nodes. */
export type Message =
  | {
      readonly _tag: "Ops"
      readonly owner: string
      readonly epoch: number
      /** Sequence number of the first operation. */
      readonly from: number
      readonly ops: ReadonlyArray<Op>
    }
  | { readonly _tag: "Ask"; readonly owner: string; readonly epoch: number; readonly from: number }
  | {
      readonly _tag: "Snapshot"
      readonly owner: string
      readonly epoch: number
      readonly seq: number
      readonly part: number
      readonly parts: number
      readonly ops: ReadonlyArray<Op>
    }
  | {
      readonly _tag: "Tables"
      readonly tables: ReadonlyArray<{ owner: string; epoch: number; seq: number }>
      /** Whether the sender wants the receiver's own list in return. */
      readonly answer: boolean
    }

/** What a registry asks of the world, or tells it. */
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  | { readonly _tag: "Broadcast"; readonly message: Message }
  /** The winning claim of a name changed. */
  | {
      readonly _tag: "Changed"
      readonly name: string
      readonly before: Entry | undefined
      readonly after: Entry | undefined
      /** Why what was before isn't any more: its owner's reason, or one of {@link REASON}. */
      readonly reason: string
    }
  /** A member of a group came, went or is another now. */
  | {
      readonly _tag: "Grouped"
      readonly group: string
      readonly before: Membership | undefined
      readonly after: Membership | undefined
      readonly reason: string
    }
  /** Another owner has retracted a claim of a name because mine is better. */
  | { readonly _tag: "Won"; readonly entry: Entry; readonly loser: string }
  /** My own claim lost against a better one, or together with another one, and has been retracted. */
  | { readonly _tag: "Lost"; readonly entry: Entry; readonly winner: Entry }
  /** My own grant lost against a better one and has been released. */
  | { readonly _tag: "GrantLost"; readonly slot: number; readonly winner: Grant }

/** The registry of one node. */
export interface State {
  readonly name: string
  readonly policy: Policy
  self: Table.Table
  readonly tables: Map<string, Table.Table>
  /** Tables of earlier epochs: never visible again, kept until what they held is taken over. */
  departed: Array<Table.Table>
  /** What the hidden and departed tables hold, for a quick look. */
  hiding: Array<Contents>
  readonly index: Map<string, Entry>
  readonly grants: Map<number, Grant>
  readonly groups: Groups.Groups
  /** The latest hybrid time issued, and seen in anybody's claims. */
  time: number
  seen: number
  /** Sequence of my last operation that was broadcast. */
  sent: number
  readonly mismatches: Map<string, number>
  /** The digest of all tables, until the next step that may change one. */
  digest: number | undefined
}

/** Why a claim or a membership ended, when it isn't its owner's own decision. */
export const REASON = {
  /** Its node is gone. */
  down: "node down",
  /** The same name goes on elsewhere. */
  moved: "moved",
  /** Another claim of the name is better. */
  conflict: "conflict",
  /** The same owner has registered it anew: its process crashed and started again. */
  crashed: "crashed",
} as const

/** Appends an operation of my own. */
export function write(state: State, op: Op, outputs: Array<Output>): void {
  Table.append(state.self, op)
  applyOp(state, state.self, op, outputs)
  retract(state, op, outputs)
}

/** Whether I claim this name. */
export function owns(state: State, name: string): boolean {
  return Rivals.find(state.index.get(name), state.self) !== undefined
}

/** Whether I have a grant of this slot. */
export function ownGrant(state: State, slot: number): boolean {
  return Rivals.find(state.grants.get(slot), state.self) !== undefined
}

/** What an operation of this table means to the index and the grants. */
export function applyOp(state: State, table: Table.Table, op: Op, outputs: Array<Output>): void {
  switch (op._tag) {
    case "Put": {
      const { name, generation, pid, time, meta, props, sticky } = op
      if (time > state.seen) state.seen = time
      insertEntry(
        state,
        { name, table, generation, pid, time, meta, props, sticky, used: false, next: undefined },
        outputs,
      )
      break
    }
    case "Delete": {
      const rival = claimOf(state, table, op.name)
      removeEntry(state, table, op.name, op.reason, outputs)
      if (rival !== undefined && op.reason === REASON.conflict) yielded(state, rival, outputs)
      break
    }
    case "Describe": {
      const entry = claimOf(state, table, op.name)
      if (entry !== undefined)
        insertEntry(state, { ...entry, props: op.props, next: undefined }, outputs)
      break
    }
    case "Join": {
      const { group, pid, name, time, online, meta } = op
      if (time > state.seen) state.seen = time
      insertMember(state, { group, table, pid, name, time, online, meta }, outputs)
      break
    }
    case "Quit":
      removeMember(state, table, op.group, op.pid, op.reason, outputs)
      break
    case "Grant": {
      const { slot, generation } = op
      insertGrant(state, { slot, table, generation, next: undefined })
      break
    }
    case "Release":
      removeGrant(state, table, op.slot)
      break
  }
}

/**
 * A rival has given up its claim because of a conflict: with mine, which won, or which mustn't stay either. (I
 * may learn of its claim only now, when it is gone.)
 */
export function yielded(state: State, rival: Entry, outputs: Array<Output>): void {
  const { name, table } = rival
  const entry = claimOf(state, state.self, name)
  if (entry === undefined || table === state.self) return
  const { policy } = state
  const neither = !Rivals.survives(policy, entry, rival) && !Rivals.survives(policy, rival, entry)
  if (neither) surrender(state, entry, rival, outputs)
  else if (state.index.get(name) === entry) outputs.push({ _tag: "Won", entry, loser: table.owner })
}

/** Puts a claim in its place among the rivals; replaces the same owner's earlier one. */
export function insertEntry(state: State, entry: Entry, outputs: Array<Output>): void {
  const before = state.index.get(entry.name)
  for (const { entries, served } of state.hiding) {
    const other = entries.get(entry.name)
    if (other !== undefined && other.generation <= entry.generation) served.add(entry.name)
  }
  if (before === undefined) {
    entry.table.names++
    state.index.set(entry.name, entry)
    outputs.push({ _tag: "Changed", name: entry.name, before, after: entry, reason: "" })
    return
  }
  if (Rivals.find(before, entry.table) === undefined) entry.table.names++
  const rest = Rivals.unlink(before, entry.table)
  const head = Rivals.link(rest, entry, (a, b) => Rivals.beats(state.policy, a, b))
  state.index.set(entry.name, head)
  if (head === before) return
  const reason = supplanted(before, head)
  outputs.push({ _tag: "Changed", name: entry.name, before, after: head, reason })
}

/** Why a claim isn't the first one any more, now that `head` is; the empty string when it is the same. */
function supplanted(before: Entry, head: Entry): string {
  if (before.table !== head.table)
    return head.generation > before.generation ? REASON.moved : REASON.conflict
  return before.pid === head.pid && before.time === head.time ? "" : REASON.crashed
}

/** Takes this table's claim of a name away. */
export function removeEntry(
  state: State,
  table: Table.Table,
  name: string,
  reason: string,
  outputs: Array<Output>,
): void {
  const before = state.index.get(name)
  if (before === undefined || Rivals.find(before, table) === undefined) return
  table.names--
  const head = Rivals.unlink(before, table)
  if (head === undefined) state.index.delete(name)
  else state.index.set(name, head)
  if (head !== before) outputs.push({ _tag: "Changed", name, before, after: head, reason })
}

/** Enters a membership, or its new state. */
export function insertMember(state: State, membership: Membership, outputs: Array<Output>): void {
  const before = Groups.insert(state.groups, membership)
  if (before === undefined) membership.table.memberships++
  const { group } = membership
  outputs.push({ _tag: "Grouped", group, before, after: membership, reason: "" })
}

/** Takes a membership of this table away. */
export function removeMember(
  state: State,
  table: Table.Table,
  group: string,
  pid: number,
  reason: string,
  outputs: Array<Output>,
): void {
  const before = Groups.remove(state.groups, group, table.owner, pid)
  if (before === undefined) return
  table.memberships--
  outputs.push({ _tag: "Grouped", group, before, after: undefined, reason })
}

/** Puts a grant in its place among the rivals. */
export function insertGrant(state: State, grant: Grant): void {
  const before = state.grants.get(grant.slot)
  for (const { grants, taken } of state.hiding) {
    const other = grants.get(grant.slot)
    if (other !== undefined && other.generation <= grant.generation) taken.add(grant.slot)
  }
  const head = before === undefined ? undefined : Rivals.unlink(before, grant.table)
  state.grants.set(grant.slot, Rivals.link(head, grant, Rivals.beatsGrant))
}

/** Takes this table's grant of a slot away. */
export function removeGrant(state: State, table: Table.Table, slot: number): void {
  const before = state.grants.get(slot)
  if (before === undefined) return
  const head = Rivals.unlink(before, table)
  if (head === undefined) state.grants.delete(slot)
  else state.grants.set(slot, head)
}

/** Takes back my own claim that `op` brought a better rival for, or that lost from the start. */
export function retract(state: State, op: Op, outputs: Array<Output>): void {
  // What a resolver says may depend on metadata.
  if (op._tag === "Put" || op._tag === "Describe") retractName(state, op.name, outputs)
  else if (op._tag === "Grant") retractGrant(state, op.slot, outputs)
}

/** Takes back my own claim of a name, if another one is better. */
export function retractName(state: State, name: string, outputs: Array<Output>): void {
  const entry = claimOf(state, state.self, name)
  if (entry === undefined) return
  const winner = conqueror(state, entry)
  if (winner !== undefined) surrender(state, entry, winner, outputs)
}

function surrender(state: State, entry: Entry, winner: Entry, outputs: Array<Output>): void {
  outputs.push({ _tag: "Lost", entry, winner })
  write(state, { _tag: "Delete", name: entry.name, reason: REASON.conflict }, outputs)
}

/**
 * The first rival that a claim doesn't survive. Not only the best one: a resolver may say that none of two
 * keeps the name, and claims that beat each other in a circle have no order; but of any two one goes.
 */
function conqueror(state: State, entry: Entry): Entry | undefined {
  let rival = state.index.get(entry.name)
  while (rival !== undefined) {
    if (rival !== entry && !Rivals.survives(state.policy, entry, rival)) return rival
    rival = rival.next
  }
  return undefined
}

/** Takes back my own grant, if another one is better. */
export function retractGrant(state: State, slot: number, outputs: Array<Output>): void {
  const winner = state.grants.get(slot)
  if (winner === undefined || winner.table === state.self || !ownGrant(state, slot)) return
  outputs.push({ _tag: "GrantLost", slot, winner })
  write(state, { _tag: "Release", slot }, outputs)
}

// --- contents of one table -----------------------------------------------------------------------

/** This table's claim of a name, winning or not. */
export function claimOf(state: State, table: Table.Table, name: string): Entry | undefined {
  return Rivals.find(state.index.get(name), table)
}

/** The names that this table claims, winning or not. */
export function namesOf(state: State, table: Table.Table): Array<string> {
  const names: Array<string> = []
  if (table.names === 0) return names
  for (const name of state.index.keys())
    if (claimOf(state, table, name) !== undefined) names.push(name)
  return names
}

/** The slots that this table has a grant of. */
export function slotsOf(state: State, table: Table.Table): Array<number> {
  const slots: Array<number> = []
  for (const [slot, head] of state.grants)
    if (Rivals.find(head, table) !== undefined) slots.push(slot)
  return slots
}

/** Everything a table holds, as the operations that would bring it about. */
export function contentsAsOps(state: State, table: Table.Table): Array<Op> {
  const ops: Array<Op> = []
  for (const name of namesOf(state, table)) {
    const { generation, pid, time, meta, props, sticky } = claimOf(state, table, name) as Entry
    ops.push({ _tag: "Put", name, generation, pid, time, meta, props, sticky })
  }
  for (const slot of slotsOf(state, table)) {
    const { generation } = Rivals.find(state.grants.get(slot), table) as Grant
    ops.push({ _tag: "Grant", slot, generation })
  }
  for (const { group, pid, name, time, online, meta } of Groups.ofTable(state.groups, table))
    ops.push({ _tag: "Join", group, pid, name, time, online, meta })
  return ops
}
