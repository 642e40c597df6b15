/**
 * The name registry: owner-written logs and an index derived from them.
 *
 * Every node writes only its own table; replicas apply its operations strictly in order. A gap asks
 * for a range, and a range that is gone for an exact snapshot, from whichever node has it. There are
 * no tombstones: a deletion is an operation like any other, and a snapshot replaces. Among several
 * claims of one name the winner is computed from the claims alone, never from the local view, so that
 * all nodes pick the same one; only the loser's owner retracts.
 *
 * The large maps are owned by the state that `step` returns: an old state is not to be read again.
 *
 * @module
 */
import * as Groups from "./groups.ts"
import * as Hiding from "./hiding.ts"
import type { Message, Output, State } from "./ledger.ts"
import * as Ledger from "./ledger.ts"
import * as Replication from "./replication.ts"
import type { Policy } from "./rivals.ts"
import type { Entry, Grant, Op, Props } from "./table.ts"
import * as Table from "./table.ts"

export type { Message, Output, State } from "./ledger.ts"
export { REASON } from "./ledger.ts"
export { adopt, cared, hidden, orphanGrant, orphanGrants, orphanNames } from "./orphans.ts"
export {
  digest,
  OPS_PER_MESSAGE_MAX,
  SNAPSHOT_PART_BYTES_MAX,
  SNAPSHOT_PARTS_MAX,
} from "./replication.ts"
export { beats, type Policy, type Resolver } from "./rivals.ts"
export type { Entry, Grant, Op, Props } from "./table.ts"

/** What a registry needs to know at birth. */
export interface Options {
  readonly name: string
  readonly epoch: number
  readonly policy?: Policy
}

/** What can happen to a registry. `now` is monotonic milliseconds, `wall` is Unix milliseconds. */
export type Input =
  | {
      readonly _tag: "Put"
      readonly wall: number
      readonly name: string
      readonly generation: number
      readonly pid: number
      readonly meta: Uint8Array | undefined
      readonly props?: Props | undefined
      readonly sticky?: boolean
    }
  | { readonly _tag: "Delete"; readonly name: string; readonly reason?: string }
  | ({ readonly wall: number } & Omit<Extract<Op, { readonly _tag: "Join" }>, "time">)
  | Extract<Op, { readonly _tag: "Describe" | "Quit" | "Grant" | "Release" }>
  | { readonly _tag: "Flush" }
  | {
      readonly _tag: "Message"
      readonly now: number
      readonly from: string
      readonly message: Message
    }
  | { readonly _tag: "LinkUp"; readonly peer: string }
  | {
      readonly _tag: "MemberUp"
      readonly now: number
      readonly name: string
      readonly epoch: number
    }
  | {
      readonly _tag: "MemberDown"
      readonly now: number
      readonly name: string
      readonly epoch: number
    }
  | {
      readonly _tag: "PeerDigest"
      readonly now: number
      readonly peer: string
      readonly digest: number
    }
  | { readonly _tag: "Epoch"; readonly epoch: number }
  | { readonly _tag: "Tick"; readonly now: number }

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** How long the table of a node that is down is kept for its return, in milliseconds. */
export const HIDDEN_MILLIS: number = 20 * 60_000
/** A hybrid time further ahead of our clock, one day, isn't followed: its clock is broken. */
const AHEAD_MAX = 86_400_000 * 1024
const AT_SIGN = 64

/** A registry that knows nothing yet. */
export function init(options: Options): State {
  const self = Table.make(options.name, options.epoch)
  return {
    name: options.name,
    policy: options.policy ?? "oldest",
    self,
    tables: new Map([[options.name, self]]),
    departed: [],
    hiding: [],
    index: new Map(),
    grants: new Map(),
    groups: Groups.make(),
    time: 0,
    seen: 0,
    sent: 0,
    mismatches: new Map(),
    digest: undefined,
  }
}

/** The next state and what follows from it. Total: no input throws. */
export function step(state: State, input: Input): Step {
  const outputs: Array<Output> = []
  if (input._tag !== "PeerDigest" && input._tag !== "LinkUp") state.digest = undefined
  switch (input._tag) {
    case "Put": {
      const { name, generation, pid, meta, props, sticky = false } = input
      const time = tick(state, input.wall)
      Ledger.write(
        state,
        { _tag: "Put", name, generation, pid, time, meta, props, sticky },
        outputs,
      )
      break
    }
    case "Delete":
      if (Ledger.owns(state, input.name)) {
        const { name, reason = "" } = input
        Ledger.write(state, { _tag: "Delete", name, reason }, outputs)
      }
      break
    case "Describe":
      if (Ledger.owns(state, input.name)) {
        const { name, props } = input
        Ledger.write(state, { _tag: "Describe", name, props }, outputs)
      }
      break
    case "Join": {
      const { group, pid, name, wall, online, meta } = input
      const time = memberOf(state, group, pid)?.time ?? tick(state, wall)
      Ledger.write(state, { _tag: "Join", group, pid, name, time, online, meta }, outputs)
      break
    }
    case "Quit":
      if (memberOf(state, input.group, input.pid) !== undefined) {
        const { group, pid, reason } = input
        Ledger.write(state, { _tag: "Quit", group, pid, reason }, outputs)
      }
      break
    case "Grant": {
      const { slot, generation } = input
      Ledger.write(state, { _tag: "Grant", slot, generation }, outputs)
      break
    }
    case "Release":
      if (Ledger.ownGrant(state, input.slot))
        Ledger.write(state, { _tag: "Release", slot: input.slot }, outputs)
      break
    case "Flush":
      Replication.flush(state, outputs)
      break
    case "Message":
      Replication.receive(state, input.now, input.from, input.message, outputs)
      break
    case "LinkUp":
      outputs.push({ _tag: "Send", to: input.peer, message: Replication.tablesOf(state, false) })
      break
    case "MemberUp":
      up(state, input.now, input.name, input.epoch, outputs)
      break
    case "MemberDown":
      down(state, input.now, input.name, input.epoch, outputs)
      break
    case "PeerDigest":
      Replication.impatient(state, input.now, outputs)
      Replication.compare(state, input.now, input.peer, input.digest, outputs)
      break
    case "Epoch":
      renew(state, input.epoch, outputs)
      break
    case "Tick":
      expire(state, input.now)
      break
  }
  return { state, outputs }
}

/** Hybrid logical time (Kulkarni et al. 2014): later than what was issued, and than what was seen. */
function tick(state: State, wall: number): number {
  const clock = Math.floor(wall) * 1024
  const seen = state.seen < clock + AHEAD_MAX ? state.seen : 0
  state.time = Math.max(clock, state.time + 1, seen + 1)
  return state.time
}

function memberOf(state: State, group: string, pid: number): Groups.Membership | undefined {
  return Groups.find(state.groups, group, state.name, pid)
}

/** My name got a new epoch: the same registrations, as a new table. */
function renew(state: State, epoch: number, outputs: Array<Output>): void {
  if (!(epoch > state.self.epoch)) return
  const ops = Ledger.contentsAsOps(state, state.self)
  for (const name of Ledger.namesOf(state, state.self))
    Ledger.removeEntry(state, state.self, name, "", outputs)
  for (const { group, pid } of Groups.ofTable(state.groups, state.self))
    Ledger.removeMember(state, state.self, group, pid, "", outputs)
  for (const slot of Ledger.slotsOf(state, state.self)) Ledger.removeGrant(state, state.self, slot)
  state.self = Table.make(state.name, epoch)
  state.tables.set(state.name, state.self)
  state.sent = 0
  for (const op of ops) Ledger.write(state, op, outputs)
}

function up(state: State, now: number, name: string, epoch: number, outputs: Array<Output>): void {
  if (name === state.name) return
  const table = state.tables.get(name)
  if (table !== undefined && table.epoch > epoch) return
  if (table === undefined || table.epoch < epoch) {
    // A new epoch starts from nothing: no entry of the old one may ever be seen again.
    if (table !== undefined) {
      if (table.hidden === undefined) Hiding.hide(state, now, table, outputs)
      state.departed.push(table)
    }
    state.tables.set(name, Table.make(name, epoch))
  } else if (table.hidden !== undefined) {
    // Not before it is known what it has given up and registered since.
    table.returningAt = now
    table.latest = Number.POSITIVE_INFINITY
  }
  outputs.push({ _tag: "Send", to: name, message: Replication.tablesOf(state, true) })
}

function down(
  state: State,
  now: number,
  name: string,
  epoch: number,
  outputs: Array<Output>,
): void {
  const table = state.tables.get(name)
  if (table === undefined || table === state.self || table.epoch !== epoch) return
  if (table.hidden !== undefined) {
    table.returningAt = undefined
    return
  }
  Hiding.hide(state, now, table, outputs)
  state.mismatches.delete(name)
}

function expire(state: State, now: number): void {
  const expired = (table: Table.Table): boolean =>
    table.hidden !== undefined &&
    table.returningAt === undefined &&
    now - table.hiddenAt >= HIDDEN_MILLIS
  for (const [owner, table] of state.tables) if (expired(table)) state.tables.delete(owner)
  state.departed = state.departed.filter((table) => !expired(table))
  const kept = [...state.tables.values(), ...state.departed]
  state.hiding = state.hiding.filter((contents) => kept.some((table) => table.hidden === contents))
}

// --- views ---------------------------------------------------------------------------------------

/** The winning claim of a name, among nodes that are up. */
export function lookup(state: State, name: string): Entry | undefined {
  return state.index.get(name)
}

/** The winning grant of a slot, among nodes that are up. */
export function grant(state: State, slot: number): Grant | undefined {
  return state.grants.get(slot)
}

/**
 * Whether the ring places a name: `definition/key`, perhaps with a supervisor and a colon in front. Any
 * other one belongs to its process (`/name`) or to its node (`@definition/key`), and never moves by itself.
 */
export function placed(name: string): boolean {
  return name.indexOf("/") > 0 && name.charCodeAt(0) !== AT_SIGN
}

/** The grants I hold, by slot. */
export function ownGrants(state: State): ReadonlyArray<Grant> {
  const own: Array<Grant> = []
  for (const grant of state.grants.values()) if (grant.table === state.self) own.push(grant)
  return own.sort((a, b) => a.slot - b.slot)
}

/** The names I hold, in no particular order. */
export function ownNames(state: State): ReadonlyArray<string> {
  const own: Array<string> = []
  for (const [name, entry] of state.index) if (entry.table === state.self) own.push(name)
  return own
}

/** Whether every table listed by a peer has been applied here: what a joining node waits for. */
export function covers(
  state: State,
  tables: Extract<Message, { _tag: "Tables" }>["tables"],
): boolean {
  return tables.every(({ owner, epoch, seq }) => {
    const table = state.tables.get(owner)
    return table === undefined || table.epoch > epoch || (table.epoch === epoch && table.seq >= seq)
  })
}

/** Whether everything is here that this owner had written when it, or its last word, was last heard. */
export function complete(state: State, owner: string): boolean {
  const table = state.tables.get(owner)
  if (table === state.self) return true
  return table !== undefined && table.hidden === undefined && table.seq >= table.latest
}

/** How many names live nodes hold, or one of them does, losing claims included. */
export function count(state: State, owner?: string): number {
  if (owner === undefined) return state.index.size
  const table = state.tables.get(owner)
  return table === undefined || table.hidden !== undefined ? 0 : table.names
}
