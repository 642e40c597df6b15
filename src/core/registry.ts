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
import { hash32, mix32 } from "./hash.ts"
import type { Contents, Entry, Grant, Op } from "./table.ts"
import * as Table from "./table.ts"

export type { Entry, Grant, Op } from "./table.ts"

/** Which of two claims with equal generation wins: the earlier registration, or the later one. */
export type Policy = "oldest" | "newest"

/** What a registry needs to know at birth. */
export interface Options {
  readonly name: string
  readonly epoch: number
  readonly policy?: Policy
}

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

/** What can happen to a registry. `now` is monotonic milliseconds, `wall` is Unix milliseconds. */
export type Input =
  | {
      readonly _tag: "Put"
      readonly wall: number
      readonly name: string
      readonly generation: number
      readonly pid: number
      readonly meta: Uint8Array | undefined
    }
  | { readonly _tag: "Delete"; readonly name: string }
  | {
      readonly _tag: "Grant"
      readonly slot: number
      readonly generation: number
      readonly takeover: ReadonlyArray<string>
    }
  | { readonly _tag: "Release"; readonly slot: number }
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
    }
  /** My own claim lost against a better one and has been retracted. */
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
  /** The latest hybrid time seen or issued. */
  time: number
  /** Sequence of my last operation that was broadcast. */
  sent: number
  readonly mismatches: Map<string, number>
}

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** Operations per message: small enough to interleave with calls, large enough to amortise. */
export const OPS_PER_MESSAGE_MAX: number = 1024
/** Bytes of names and metadata per snapshot part, roughly. */
export const SNAPSHOT_PART_BYTES_MAX: number = 256 * 1024
/** Parts a snapshot may have; with the part size above a bound on what a peer can make us hold. */
export const SNAPSHOT_PARTS_MAX: number = 65_536
/** How long the table of a node that is down is kept for its return, in milliseconds. */
export const HIDDEN_MILLIS: number = 20 * 60_000
/** How far a peer's hybrid time may run ahead of ours before it is no longer followed: one day. */
const AHEAD_MAX = 86_400_000 * 1024
const ASK_AGAIN_MILLIS = 250
const MISMATCH_MILLIS = 400

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
    time: 0,
    sent: 0,
    mismatches: new Map(),
  }
}

/** The next state and what follows from it. Total: no input throws. */
export function step(state: State, input: Input): Step {
  const outputs: Array<Output> = []
  switch (input._tag) {
    case "Put":
      state.time = Math.max(state.time + 1, Math.floor(input.wall) * 1024)
      write(state, { ...putOf(input), time: state.time }, outputs)
      break
    case "Delete":
      if (owns(state, input.name)) write(state, { _tag: "Delete", name: input.name }, outputs)
      break
    case "Grant":
      write(state, grantOf(input), outputs)
      break
    case "Release":
      if (ownGrant(state, input.slot)) write(state, { _tag: "Release", slot: input.slot }, outputs)
      break
    case "Flush":
      flush(state, outputs)
      break
    case "Message":
      receive(state, input.now, input.from, input.message, outputs)
      break
    case "LinkUp":
      outputs.push({ _tag: "Send", to: input.peer, message: tablesOf(state, false) })
      break
    case "MemberUp":
      up(state, input.now, input.name, input.epoch, outputs)
      break
    case "MemberDown":
      down(state, input.now, input.name, input.epoch, outputs)
      break
    case "PeerDigest":
      compare(state, input.now, input.peer, input.digest, outputs)
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

// --- views ---------------------------------------------------------------------------------------

/** The winning claim of a name, among nodes that are up. */
export function lookup(state: State, name: string): Entry | undefined {
  return state.index.get(name)
}

/** The winning grant of a slot, among nodes that are up. */
export function grant(state: State, slot: number): Grant | undefined {
  return state.grants.get(slot)
}

/** The best claim of a name by a node that is down, unless a live node has served it since. */
export function hidden(state: State, name: string): Entry | undefined {
  let best: Entry | undefined
  for (const { entries, served } of state.hiding) {
    const entry = served.has(name) ? undefined : entries.get(name)
    if (entry !== undefined && (best === undefined || beats(state.policy, entry, best)))
      best = entry
  }
  return best
}

/** Grants of nodes that are down and that no live node has taken since: best one per slot, by slot. */
export function orphanGrants(state: State): ReadonlyArray<Grant> {
  const best = new Map<number, Grant>()
  for (const { grants, taken } of state.hiding) {
    for (const grant of grants.values()) {
      if (taken.has(grant.slot)) continue
      const other = best.get(grant.slot)
      if (other === undefined || beatsGrant(grant, other)) best.set(grant.slot, grant)
    }
  }
  return [...best.values()].sort((a, b) => a.slot - b.slot)
}

/** Claims of nodes that are down and whose names no live node has served since: best one per name. */
export function orphanNames(state: State): ReadonlyArray<Entry> {
  const best = new Map<string, Entry>()
  for (const { entries, served } of state.hiding) {
    for (const entry of entries.values()) {
      if (served.has(entry.name)) continue
      const other = best.get(entry.name)
      if (other === undefined || beats(state.policy, entry, other)) best.set(entry.name, entry)
    }
  }
  return [...best.values()]
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

/** Order-independent hash of (owner, epoch, sequence) of all tables whose owners are up, uint32. */
export function digest(state: State): number {
  let sum = 0
  for (const table of state.tables.values()) {
    if (table.hidden !== undefined || table.seq === 0) continue
    const id = mix32(hash32(table.owner), table.epoch >>> 0)
    sum = (sum + mix32(id, table.seq >>> 0)) >>> 0
  }
  return sum
}

/** How many names live nodes hold. */
export function count(state: State): number {
  return state.index.size
}

// --- the order of claims -------------------------------------------------------------------------

/** Whether claim `a` wins against `b`: generation, then time by policy, then owner. Data only. */
export function beats(policy: Policy, a: Entry, b: Entry): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation
  if (a.time !== b.time) return policy === "oldest" ? a.time < b.time : a.time > b.time
  return a.table.owner < b.table.owner
}

function beatsGrant(a: Grant, b: Grant): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation
  return a.table.owner < b.table.owner
}

// --- my own table --------------------------------------------------------------------------------

function putOf(input: Extract<Input, { _tag: "Put" }>): Extract<Op, { _tag: "Put" }> {
  const { name, generation, pid, meta } = input
  return { _tag: "Put", name, generation, pid, time: 0, meta }
}

function grantOf(input: Extract<Input, { _tag: "Grant" }>): Op {
  const { slot, generation, takeover } = input
  return { _tag: "Grant", slot, generation, takeover }
}

function owns(state: State, name: string): boolean {
  return find(state.index.get(name), state.self) !== undefined
}

function ownGrant(state: State, slot: number): boolean {
  return find(state.grants.get(slot), state.self) !== undefined
}

function write(state: State, op: Op, outputs: Array<Output>): void {
  Table.append(state.self, op)
  applyOp(state, state.self, op, outputs)
  retract(state, op, outputs)
}

function flush(state: State, outputs: Array<Output>): void {
  while (state.sent < state.self.seq) {
    const from = state.sent + 1
    const ops = Table.range(state.self, from)?.slice(0, OPS_PER_MESSAGE_MAX)
    // More was written in one go than the log keeps: the replicas will see the gap and ask.
    if (ops === undefined) {
      state.sent = state.self.seq - Table.LOG_MAX
      continue
    }
    state.sent += ops.length
    const { owner, epoch } = state.self
    outputs.push({ _tag: "Broadcast", message: { _tag: "Ops", owner, epoch, from, ops } })
  }
}

/** My name got a new epoch: the same registrations, as a new table. */
function renew(state: State, epoch: number, outputs: Array<Output>): void {
  if (!(epoch > state.self.epoch)) return
  const ops = contentsAsOps(state, state.self)
  for (const name of namesOf(state, state.self)) removeEntry(state, state.self, name, outputs)
  for (const slot of slotsOf(state, state.self)) removeGrant(state, state.self, slot)
  state.self = Table.make(state.name, epoch)
  state.tables.set(state.name, state.self)
  state.sent = 0
  for (const op of ops) write(state, op, outputs)
}

// --- applying operations -------------------------------------------------------------------------

function applyOp(state: State, table: Table.Table, op: Op, outputs: Array<Output>): void {
  switch (op._tag) {
    case "Put": {
      const { name, generation, pid, time, meta } = op
      if (time > state.time && time < state.time + AHEAD_MAX) state.time = time
      insertEntry(
        state,
        { name, table, generation, pid, time, meta, used: false, next: undefined },
        outputs,
      )
      break
    }
    case "Delete":
      removeEntry(state, table, op.name, outputs)
      break
    case "Grant": {
      const { slot, generation, takeover } = op
      insertGrant(state, { slot, table, generation, takeover, next: undefined })
      break
    }
    case "Release":
      removeGrant(state, table, op.slot)
      break
  }
}

/** Puts a claim in its place among the rivals; replaces the same owner's earlier one. */
function insertEntry(state: State, entry: Entry, outputs: Array<Output>): void {
  const before = state.index.get(entry.name)
  for (const contents of state.hiding) contents.served.add(entry.name)
  if (before === undefined) {
    entry.table.names++
    state.index.set(entry.name, entry)
    outputs.push({ _tag: "Changed", name: entry.name, before, after: entry })
    return
  }
  if (find(before, entry.table) === undefined) entry.table.names++
  const rest = unlink(before, entry.table)
  const head = link(rest, entry, (a, b) => beats(state.policy, a, b))
  state.index.set(entry.name, head)
  if (head !== before) outputs.push({ _tag: "Changed", name: entry.name, before, after: head })
}

function removeEntry(state: State, table: Table.Table, name: string, outputs: Array<Output>): void {
  const before = state.index.get(name)
  if (before === undefined || find(before, table) === undefined) return
  table.names--
  const head = unlink(before, table)
  if (head === undefined) state.index.delete(name)
  else state.index.set(name, head)
  if (head !== before) outputs.push({ _tag: "Changed", name, before, after: head })
}

function insertGrant(state: State, grant: Grant): void {
  const before = state.grants.get(grant.slot)
  for (const contents of state.hiding) contents.taken.add(grant.slot)
  const head = before === undefined ? undefined : unlink(before, grant.table)
  state.grants.set(grant.slot, link(head, grant, beatsGrant))
}

function removeGrant(state: State, table: Table.Table, slot: number): void {
  const before = state.grants.get(slot)
  if (before === undefined) return
  const head = unlink(before, table)
  if (head === undefined) state.grants.delete(slot)
  else state.grants.set(slot, head)
}

type Linked<A> = { readonly table: Table.Table; next: A | undefined }

function unlink<A extends Linked<A>>(head: A, table: Table.Table): A | undefined {
  if (head.table === table) return head.next
  for (let at = head; at.next !== undefined; at = at.next) {
    if (at.next.table === table) {
      at.next = at.next.next
      break
    }
  }
  return head
}

function link<A extends Linked<A>>(head: A | undefined, item: A, wins: (a: A, b: A) => boolean): A {
  if (head === undefined || wins(item, head)) {
    item.next = head
    return item
  }
  let at = head
  while (at.next !== undefined && !wins(item, at.next)) at = at.next
  item.next = at.next
  at.next = item
  return head
}

function find<A extends Linked<A>>(head: A | undefined, table: Table.Table): A | undefined {
  for (let at = head; at !== undefined; at = at.next) if (at.table === table) return at
  return undefined
}

/** Takes back my own claim that `op` brought a better rival for, or that lost from the start. */
function retract(state: State, op: Op, outputs: Array<Output>): void {
  if (op._tag === "Put") retractName(state, op.name, outputs)
  else if (op._tag === "Grant") retractGrant(state, op.slot, outputs)
}

function retractName(state: State, name: string, outputs: Array<Output>): void {
  const winner = state.index.get(name)
  if (winner === undefined || winner.table === state.self) return
  const entry = find(winner, state.self)
  if (entry === undefined) return
  outputs.push({ _tag: "Lost", entry, winner })
  write(state, { _tag: "Delete", name }, outputs)
}

function retractGrant(state: State, slot: number, outputs: Array<Output>): void {
  const winner = state.grants.get(slot)
  if (winner === undefined || winner.table === state.self || !ownGrant(state, slot)) return
  outputs.push({ _tag: "GrantLost", slot, winner })
  write(state, { _tag: "Release", slot }, outputs)
}

// --- replication ---------------------------------------------------------------------------------

function receive(
  state: State,
  now: number,
  from: string,
  message: Message,
  outputs: Array<Output>,
): void {
  if (message._tag === "Tables") return receiveTables(state, now, from, message, outputs)
  const table = state.tables.get(message.owner)
  // Only members have tables, so what a stranger says of a stranger is never stored.
  if (table === undefined || table.epoch !== message.epoch || table.hidden !== undefined) return
  if (message._tag === "Ask") return serve(state, from, table, message.from, outputs)
  if (table === state.self) return
  if (message._tag === "Snapshot") return receiveSnapshot(state, now, from, table, message, outputs)
  if (message.from > table.seq + 1) return ask(now, from, table, outputs)
  for (let i = Math.max(0, table.seq + 1 - message.from); i < message.ops.length; i++) {
    const op = message.ops[i] as Op
    Table.append(table, op)
    applyOp(state, table, op, outputs)
    retract(state, op, outputs)
  }
}

function ask(now: number, to: string, table: Table.Table, outputs: Array<Output>): void {
  if (now - table.askedAt < ASK_AGAIN_MILLIS) return
  table.askedAt = now
  const { owner, epoch, seq } = table
  outputs.push({ _tag: "Send", to, message: { _tag: "Ask", owner, epoch, from: seq + 1 } })
}

function serve(
  state: State,
  to: string,
  table: Table.Table,
  from: number,
  outputs: Array<Output>,
): void {
  if (!Number.isSafeInteger(from) || from < 1 || from > table.seq) return
  const { owner, epoch, seq } = table
  const ops = Table.range(table, from)
  if (ops !== undefined) {
    for (let at = 0; at < ops.length; at += OPS_PER_MESSAGE_MAX) {
      const slice = ops.slice(at, at + OPS_PER_MESSAGE_MAX)
      const message: Message = { _tag: "Ops", owner, epoch, from: from + at, ops: slice }
      outputs.push({ _tag: "Send", to, message })
    }
    return
  }
  const chunks = chunked(contentsAsOps(state, table))
  for (let part = 0; part < chunks.length; part++) {
    const slice = chunks[part] as ReadonlyArray<Op>
    const message: Message = {
      _tag: "Snapshot",
      owner,
      epoch,
      seq,
      part,
      parts: chunks.length,
      ops: slice,
    }
    outputs.push({ _tag: "Send", to, message })
  }
}

function receiveSnapshot(
  state: State,
  now: number,
  from: string,
  table: Table.Table,
  message: Extract<Message, { _tag: "Snapshot" }>,
  outputs: Array<Output>,
): void {
  const { seq, part, parts, ops } = message
  if (
    !(seq > table.seq) ||
    !(parts >= 1 && parts <= SNAPSHOT_PARTS_MAX) ||
    !(part >= 0 && part < parts)
  )
    return
  if (
    table.staging === undefined ||
    table.staging.seq !== seq ||
    table.staging.parts.length !== parts
  ) {
    table.staging = { seq, parts: new Array(parts).fill(undefined), missing: parts }
  }
  // Parts are still coming: don't ask again yet.
  table.askedAt = now
  const staging = table.staging
  if (staging.parts[part] !== undefined) return
  staging.parts[part] = ops
  if (--staging.missing > 0) return
  table.staging = undefined
  replace(state, table, seq, staging.parts.flat() as Array<Op>, outputs)
  table.askedAt = Number.NEGATIVE_INFINITY
  ask(now, from, table, outputs)
}

/** Makes a table exactly what a snapshot says: what is absent from it is deleted. */
function replace(
  state: State,
  table: Table.Table,
  seq: number,
  ops: ReadonlyArray<Op>,
  outputs: Array<Output>,
): void {
  const names = new Set<string>()
  const slots = new Set<number>()
  for (const op of ops) {
    if (op._tag === "Put") names.add(op.name)
    else if (op._tag === "Grant") slots.add(op.slot)
  }
  for (const name of namesOf(state, table))
    if (!names.has(name)) removeEntry(state, table, name, outputs)
  for (const slot of slotsOf(state, table)) if (!slots.has(slot)) removeGrant(state, table, slot)
  table.seq = seq
  table.log = []
  for (const op of ops) {
    if (op._tag === "Put" && same(claimOf(state, table, op.name), op)) continue
    applyOp(state, table, op, outputs)
    retract(state, op, outputs)
  }
}

function same(entry: Entry | undefined, op: Extract<Op, { _tag: "Put" }>): boolean {
  return (
    entry !== undefined &&
    entry.pid === op.pid &&
    entry.generation === op.generation &&
    entry.time === op.time
  )
}

function receiveTables(
  state: State,
  now: number,
  from: string,
  message: Extract<Message, { _tag: "Tables" }>,
  outputs: Array<Output>,
): void {
  for (const theirs of message.tables) {
    const table = state.tables.get(theirs.owner)
    if (table === undefined || table === state.self || table.hidden !== undefined) continue
    if (table.epoch === theirs.epoch && theirs.seq > table.seq) ask(now, from, table, outputs)
  }
  if (message.answer) outputs.push({ _tag: "Send", to: from, message: tablesOf(state, false) })
}

function tablesOf(state: State, answer: boolean): Message {
  const tables = [...state.tables.values()]
    .filter((table) => table.hidden === undefined)
    .map(({ owner, epoch, seq }) => ({ owner, epoch, seq }))
    .sort((a, b) => (a.owner < b.owner ? -1 : 1))
  return { _tag: "Tables", tables, answer }
}

/** A difference that lasts is looked into; one that is only operations in flight goes away. */
function compare(
  state: State,
  now: number,
  peer: string,
  theirs: number,
  outputs: Array<Output>,
): void {
  if (theirs === digest(state)) {
    state.mismatches.delete(peer)
    return
  }
  const since = state.mismatches.get(peer)
  if (since === undefined) state.mismatches.set(peer, now)
  else if (now - since >= MISMATCH_MILLIS) {
    state.mismatches.set(peer, now)
    outputs.push({ _tag: "Send", to: peer, message: tablesOf(state, true) })
  }
}

// --- members -------------------------------------------------------------------------------------

function up(state: State, now: number, name: string, epoch: number, outputs: Array<Output>): void {
  if (name === state.name) return
  const table = state.tables.get(name)
  if (table !== undefined && table.epoch > epoch) return
  if (table === undefined || table.epoch < epoch) {
    // A new epoch starts from nothing: no entry of the old one may ever be seen again.
    if (table !== undefined) {
      if (table.hidden === undefined) hide(state, now, table, outputs)
      state.departed.push(table)
    }
    state.tables.set(name, Table.make(name, epoch))
  } else if (table.hidden !== undefined) {
    show(state, table, outputs)
  }
  outputs.push({ _tag: "Send", to: name, message: tablesOf(state, true) })
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
  if (table.hidden !== undefined) return
  hide(state, now, table, outputs)
  state.mismatches.delete(name)
}

/** Takes an owner's claims out of the index and keeps them aside. */
function hide(state: State, now: number, table: Table.Table, outputs: Array<Output>): void {
  const contents: Contents = {
    entries: new Map(),
    grants: new Map(),
    served: new Set(),
    taken: new Set(),
  }
  const names = table.names
  for (const name of namesOf(state, table)) {
    contents.entries.set(name, claimOf(state, table, name) as Entry)
    removeEntry(state, table, name, outputs)
  }
  for (const slot of slotsOf(state, table)) {
    contents.grants.set(slot, find(state.grants.get(slot), table) as Grant)
    removeGrant(state, table, slot)
    if (state.grants.has(slot)) contents.taken.add(slot)
  }
  for (const name of contents.entries.keys()) if (state.index.has(name)) contents.served.add(name)
  state.hiding.push(contents)
  table.hidden = contents
  table.hiddenAt = now
  table.names = names
  table.staging = undefined
}

/** The owner is back with the same epoch: its claims return without a byte being transferred. */
function show(state: State, table: Table.Table, outputs: Array<Output>): void {
  const contents = table.hidden as Contents
  state.hiding = state.hiding.filter((other) => other !== contents)
  table.hidden = undefined
  table.names = 0
  for (const entry of contents.entries.values()) {
    insertEntry(state, { ...entry, used: false, next: undefined }, outputs)
    retractName(state, entry.name, outputs)
  }
  for (const grant of contents.grants.values()) {
    insertGrant(state, { ...grant, next: undefined })
    retractGrant(state, grant.slot, outputs)
  }
}

function expire(state: State, now: number): void {
  const expired = (table: Table.Table): boolean =>
    table.hidden !== undefined && now - table.hiddenAt >= HIDDEN_MILLIS
  for (const [owner, table] of state.tables) if (expired(table)) state.tables.delete(owner)
  state.departed = state.departed.filter((table) => !expired(table))
  const kept = [...state.tables.values(), ...state.departed]
  state.hiding = state.hiding.filter((contents) => kept.some((table) => table.hidden === contents))
}

// --- contents of one table -----------------------------------------------------------------------

function claimOf(state: State, table: Table.Table, name: string): Entry | undefined {
  return find(state.index.get(name), table)
}

function namesOf(state: State, table: Table.Table): Array<string> {
  const names: Array<string> = []
  if (table.names === 0) return names
  for (const name of state.index.keys())
    if (claimOf(state, table, name) !== undefined) names.push(name)
  return names
}

function slotsOf(state: State, table: Table.Table): Array<number> {
  const slots: Array<number> = []
  for (const [slot, head] of state.grants) if (find(head, table) !== undefined) slots.push(slot)
  return slots
}

function contentsAsOps(state: State, table: Table.Table): Array<Op> {
  const ops: Array<Op> = []
  for (const name of namesOf(state, table)) {
    const { generation, pid, time, meta } = claimOf(state, table, name) as Entry
    ops.push({ _tag: "Put", name, generation, pid, time, meta })
  }
  for (const slot of slotsOf(state, table)) {
    const { generation, takeover } = find(state.grants.get(slot), table) as Grant
    ops.push({ _tag: "Grant", slot, generation, takeover })
  }
  return ops
}

function chunked(ops: ReadonlyArray<Op>): Array<ReadonlyArray<Op>> {
  const chunks: Array<ReadonlyArray<Op>> = []
  let start = 0
  let bytes = 0
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i] as Op
    const size = op._tag === "Put" ? 32 + 3 * op.name.length + (op.meta?.length ?? 0) : 64
    if (i > start && bytes + size > SNAPSHOT_PART_BYTES_MAX) {
      chunks.push(ops.slice(start, i))
      start = i
      bytes = 0
    }
    bytes += size
  }
  chunks.push(ops.slice(start))
  return chunks
}
