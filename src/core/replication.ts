/**
 * How tables get to other nodes: operations in order, ranges where there is a gap, snapshots where a
 * range is gone, and a comparison of what everybody has when digests differ for long.
 *
 * @module
 */
import * as Groups from "./groups.ts"
import { hash32, mix32 } from "./hash.ts"
import * as Hiding from "./hiding.ts"
import type { Message, Output, State } from "./ledger.ts"
import * as Ledger from "./ledger.ts"
import type { Entry, Op } from "./table.ts"
import * as Table from "./table.ts"

/** Operations per message: small enough to interleave with calls, large enough to amortise. */
export const OPS_PER_MESSAGE_MAX: number = 1024
/** Bytes of names and metadata per snapshot part, roughly. */
export const SNAPSHOT_PART_BYTES_MAX: number = 256 * 1024
/** Parts a snapshot may have; with the part size above a bound on what a peer can make us hold. */
export const SNAPSHOT_PARTS_MAX: number = 65_536
const ASK_AGAIN_MILLIS = 250
/** Why something ended of which only a snapshot tells. */
const UNKNOWN = "unknown"
const MISMATCH_MILLIS = 400
/** Less than others wait for a node that doesn't say that it agrees on the ring. */
const RETURN_MILLIS = 1_000

/** Broadcasts what I have written since the last time. */
export function flush(state: State, outputs: Array<Output>): void {
  while (state.sent < state.self.seq) {
    const from = state.sent + 1
    const ops = Table.range(state.self, from)?.slice(0, OPS_PER_MESSAGE_MAX)
    // More was written in one go than the log keeps: the replicas will see the gap and ask.
    if (ops === undefined) {
      state.sent = state.self.seq - state.self.log.length
      continue
    }
    state.sent += ops.length
    const { owner, epoch } = state.self
    outputs.push({ _tag: "Broadcast", message: { _tag: "Ops", owner, epoch, from, ops } })
  }
}

/** Takes in what another registry says. */
export function receive(
  state: State,
  now: number,
  from: string,
  message: Message,
  outputs: Array<Output>,
): void {
  if (message._tag === "Tables") return receiveTables(state, now, from, message, outputs)
  const table = state.tables.get(message.owner)
  // Only members have tables, so what a stranger says of a stranger is never stored.
  if (table === undefined || table.epoch !== message.epoch) return
  if (table.hidden !== undefined && table.returningAt === undefined) return
  if (message._tag === "Ask") {
    if (table.hidden === undefined) serve(state, from, table, message.from, outputs)
    return
  }
  if (table === state.self) return
  if (message._tag === "Snapshot") return receiveSnapshot(state, now, from, table, message, outputs)
  if (!Number.isSafeInteger(message.from)) return
  const last = message.from + message.ops.length - 1
  if (table.latest < last) table.latest = last
  if (message.from > table.seq + 1) return ask(now, from, table, outputs)
  const { ops } = message
  const first = Math.max(0, table.seq + 1 - message.from)
  for (let i = first; i < ops.length; i++) {
    const op = ops[i] as Op
    Table.append(table, op)
    if (table.hidden === undefined) Ledger.applyOp(state, table, op, outputs)
    else Hiding.apply(state, table, table.hidden, op, outputs)
  }
  if (table.hidden !== undefined) return returned(state, table, outputs)
  // Only now: of an old claim that its owner has given up since the end may be among these.
  for (let i = first; i < ops.length; i++) Ledger.retract(state, ops[i] as Op, outputs)
}

/** Shows the table of an owner that is back, once all that it has written is here. */
function returned(state: State, table: Table.Table, outputs: Array<Output>): void {
  if (table.seq < table.latest) return
  state.digest = undefined
  Hiding.show(state, table, outputs)
}

/** Who says too late what it has is taken at its last word: it may be back without a link to us. */
export function impatient(state: State, now: number, outputs: Array<Output>): void {
  for (const table of state.tables.values()) {
    if (table.returningAt === undefined || now - table.returningAt < RETURN_MILLIS) continue
    state.digest = undefined
    Hiding.show(state, table, outputs)
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
  const chunks = chunked(Ledger.contentsAsOps(state, table))
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

function chunked(ops: ReadonlyArray<Op>): Array<ReadonlyArray<Op>> {
  const chunks: Array<ReadonlyArray<Op>> = []
  let start = 0
  let bytes = 0
  for (let i = 0; i < ops.length; i++) {
    const op = ops[i] as Op
    const size = bytesOf(op)
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

/** Roughly, and rather too many. */
function bytesOf(op: Op): number {
  if (op._tag === "Join")
    return 64 + 3 * (op.group.length + op.name.length) + (op.meta?.length ?? 0)
  if (op._tag !== "Put") return 64
  return 48 + 3 * op.name.length + (op.meta?.length ?? 0) + (op.props?.bytes.length ?? 0)
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
  if (!Number.isSafeInteger(seq) || seq <= table.seq) return
  if (!(parts >= 1 && parts <= SNAPSHOT_PARTS_MAX)) return
  // Parts come in order on their link: one that doesn't fit belongs to a transfer that was cut short.
  if (part === 0) table.staging = { from, seq, parts, arrived: [] }
  const { staging } = table
  if (staging === undefined || staging.from !== from || staging.seq !== seq) return
  if (staging.parts !== parts || staging.arrived.length !== part) return
  staging.arrived.push(ops)
  // More parts are coming: don't ask again yet.
  table.askedAt = now
  if (part + 1 < parts) return
  table.staging = undefined
  table.askedAt = Number.NEGATIVE_INFINITY
  replace(state, table, seq, staging.arrived.flat(), outputs)
}

/** Makes a table exactly what a snapshot says: what is absent from it is deleted. */
function replace(
  state: State,
  table: Table.Table,
  seq: number,
  ops: ReadonlyArray<Op>,
  outputs: Array<Output>,
): void {
  if (table.hidden !== undefined)
    return replaceHidden(state, table, table.hidden, seq, ops, outputs)
  const names = new Set<string>()
  const slots = new Set<number>()
  const memberships = new Set<string>()
  for (const op of ops) {
    if (op._tag === "Put") names.add(op.name)
    else if (op._tag === "Grant") slots.add(op.slot)
    else if (op._tag === "Join") memberships.add(`${op.pid} ${op.group}`)
  }
  for (const name of Ledger.namesOf(state, table))
    if (!names.has(name)) Ledger.removeEntry(state, table, name, UNKNOWN, outputs)
  for (const { group, pid } of Groups.ofTable(state.groups, table))
    if (!memberships.has(`${pid} ${group}`))
      Ledger.removeMember(state, table, group, pid, UNKNOWN, outputs)
  for (const slot of Ledger.slotsOf(state, table))
    if (!slots.has(slot)) Ledger.removeGrant(state, table, slot)
  table.seq = seq
  table.log = []
  for (const op of ops) {
    if (op._tag === "Put" && same(Ledger.claimOf(state, table, op.name), op)) continue
    if (op._tag === "Join" && known(Groups.find(state.groups, op.group, table.owner, op.pid), op))
      continue
    Ledger.applyOp(state, table, op, outputs)
    Ledger.retract(state, op, outputs)
  }
}

function replaceHidden(
  state: State,
  table: Table.Table,
  contents: Table.Contents,
  seq: number,
  ops: ReadonlyArray<Op>,
  outputs: Array<Output>,
): void {
  contents.entries.clear()
  contents.grants.clear()
  contents.memberships = []
  table.seq = seq
  table.log = []
  for (const op of ops) Hiding.apply(state, table, contents, op, outputs)
  returned(state, table, outputs)
}

function same(entry: Entry | undefined, op: Extract<Op, { _tag: "Put" }>): boolean {
  return (
    entry !== undefined &&
    entry.pid === op.pid &&
    entry.generation === op.generation &&
    entry.time === op.time &&
    entry.props?.version === op.props?.version &&
    equal(entry.props?.bytes, op.props?.bytes)
  )
}

function known(
  member: Groups.Membership | undefined,
  op: Extract<Op, { readonly _tag: "Join" }>,
): boolean {
  if (member === undefined || member.time !== op.time || member.online !== op.online) return false
  return equal(member.meta, op.meta)
}

function equal(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.length === b.length && a.every((byte, i) => byte === b[i])
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
    if (table === undefined || table === state.self) continue
    if (table.hidden !== undefined && table.returningAt === undefined) continue
    if (theirs.owner === from && table.epoch === theirs.epoch) {
      table.latest = theirs.seq
      if (table.hidden !== undefined) returned(state, table, outputs)
    }
    if (table.epoch === theirs.epoch && theirs.seq > table.seq) ask(now, from, table, outputs)
  }
  if (message.answer) outputs.push({ _tag: "Send", to: from, message: tablesOf(state, false) })
}

/** What I have, for a peer to compare with what it has. */
export function tablesOf(state: State, answer: boolean): Message {
  const tables: Array<{ owner: string; epoch: number; seq: number }> = []
  for (const { owner, epoch, seq, hidden } of state.tables.values())
    if (hidden === undefined) tables.push({ owner, epoch, seq })
  tables.sort((a, b) => (a.owner < b.owner ? -1 : 1))
  return { _tag: "Tables", tables, answer }
}

/** A difference that lasts is looked into; one that is only operations in flight goes away. */
export function compare(
  state: State,
  now: number,
  peer: string,
  theirs: number,
  outputs: Array<Output>,
): void {
  if (theirs === digest(state)) {
    state.mismatches.delete(peer)
    // We have the same of everybody, so of the peer itself all that there is.
    const table = state.tables.get(peer)
    if (table?.latest === Number.POSITIVE_INFINITY) table.latest = table.seq
    return
  }
  const since = state.mismatches.get(peer)
  if (since === undefined) state.mismatches.set(peer, now)
  else if (now - since >= MISMATCH_MILLIS) {
    state.mismatches.set(peer, now)
    outputs.push({ _tag: "Send", to: peer, message: tablesOf(state, true) })
  }
}

/** Order-independent hash of (owner, epoch, sequence) of all tables whose owners are up, uint32. */
export function digest(state: State): number {
  if (state.digest !== undefined) return state.digest
  let sum = 0
  for (const table of state.tables.values()) {
    if (table.hidden !== undefined || table.seq === 0) continue
    const id = mix32(hash32(table.owner), table.epoch >>> 0)
    sum = (sum + mix32(id, table.seq >>> 0)) >>> 0
  }
  state.digest = sum
  return sum
}
