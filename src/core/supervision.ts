/**
 * Supervision: who may start names in which slot, planned moves, and takeover after a crash.
 *
 * The right to start names in a slot is a grant, recorded in its holder's registry table. Only the
 * holder starts names there. A first grant is written, and a dead holder's is taken over, only once
 * every ring member has said that it computes with the same ring: as each node's registry operations
 * travel on the same link before that word, nobody can have granted what we don't see.
 *
 * A planned move goes offer → accept → freeze → state → installed → commit → drained → done. Before
 * the commit the old owner can always resume; from then on only the new one serves, unless it dies
 * before it has said so. The states themselves travel outside of this machine.
 *
 * @module
 */
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"

/** When the machine acts, in milliseconds. */
export interface Timing {
  /** A loss of members changes the ring after this long, a gain after `upMillis`: one change a burst. */
  readonly downMillis: number
  readonly upMillis: number
  /** When some member doesn't confirm the ring, go on without its word after this long. */
  readonly settleMaxMillis: number
  /** An uncommitted move is given up after this long, and tried again `retryMillis` later. */
  readonly moveMaxMillis: number
  readonly retryMillis: number
  /** A state that was installed and never committed is dropped after this long. */
  readonly standbyMaxMillis: number
  /** A leaving node gives up on what it couldn't hand over after this long. */
  readonly leaveMaxMillis: number
}

/** The default timing. */
export const timing: Timing = {
  downMillis: 50,
  upMillis: 200,
  settleMaxMillis: 2_000,
  moveMaxMillis: 5_000,
  retryMillis: 1_000,
  standbyMaxMillis: 30_000,
  leaveMaxMillis: 30_000,
}

/** Slots that one node hands over at the same time. */
export const MOVES_MAX: number = 128
/** Nodes recorded as successors of a slot's holder. */
export const TAKEOVER_MAX: number = 2

export interface Options {
  readonly name: string
  readonly timing?: Timing
  /** `active`: names move when their ring owner changes. `passive`: only when their node leaves. */
  readonly rebalance?: "active" | "passive"
}

/** Messages between the supervisors of two nodes. */
export type Message =
  | { readonly _tag: "Settle"; readonly signature: number }
  | { readonly _tag: "Offer"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Accept"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Refuse"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Cancel"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Installed"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Commit"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Drained"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Done"; readonly slot: number; readonly generation: number }

/** What can happen to a supervisor. `now` is monotonic milliseconds. */
export type Input =
  | { readonly _tag: "Ring"; readonly now: number; readonly members: ReadonlyArray<Ring.Weighted> }
  | { readonly _tag: "LinkUp"; readonly now: number; readonly peer: string }
  | { readonly _tag: "LinkDown"; readonly now: number; readonly peer: string }
  | { readonly _tag: "Down"; readonly now: number; readonly peer: string }
  | {
      readonly _tag: "Message"
      readonly now: number
      readonly from: string
      readonly message: Message
    }
  /** May a name in this slot be started here? Answered by Granted, Forward or Denied with the id. */
  | { readonly _tag: "Ask"; readonly now: number; readonly id: number; readonly slot: number }
  /** A start that had been granted is over: the name is registered, or won't be. */
  | { readonly _tag: "Started"; readonly now: number; readonly slot: number }
  /** The states of these names were captured and sent on; the others of the slot stay here. */
  | {
      readonly _tag: "Captured"
      readonly now: number
      readonly slot: number
      readonly names: ReadonlyArray<string>
    }
  | { readonly _tag: "CaptureFailed"; readonly now: number; readonly slot: number }
  /** The states that came for this slot are ready, or can't be used. */
  | {
      readonly _tag: "Restored"
      readonly now: number
      readonly slot: number
      readonly generation: number
      readonly ok: boolean
    }
  | { readonly _tag: "GrantLost"; readonly now: number; readonly slot: number }
  /** A name of my own came or went: only told while `names` is kept. */
  | { readonly _tag: "Placed"; readonly now: number; readonly name: string }
  | { readonly _tag: "Removed"; readonly now: number; readonly name: string }
  | { readonly _tag: "Leave"; readonly now: number }
  | { readonly _tag: "Tick"; readonly now: number }

/** A name to start again from its recorded registration. */
export interface Orphan {
  readonly name: string
  readonly generation: number
  readonly meta: Uint8Array | undefined
}

/** What a supervisor asks of the world. Outputs are to be carried out in their order. */
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  /** What a grant or a name that this machine wrote brought about in the registry. */
  | { readonly _tag: "Registry"; readonly output: Registry.Output }
  | {
      readonly _tag: "Granted"
      readonly id: number
      readonly slot: number
      readonly generation: number
    }
  | { readonly _tag: "Forward"; readonly id: number; readonly to: string }
  | { readonly _tag: "Denied"; readonly id: number }
  /** Finish the message in hand, queue the rest, capture the states, send them to `to`. */
  | {
      readonly _tag: "Freeze"
      readonly slot: number
      readonly generation: number
      readonly to: string
      readonly names: ReadonlyArray<string>
      readonly leaving: boolean
    }
  /** The move is off: serve again. */
  | { readonly _tag: "Thaw"; readonly slot: number }
  /** From here on the other node serves: forward what is queued, keep the state until Forget. */
  | {
      readonly _tag: "Depart"
      readonly slot: number
      readonly to: string
      readonly names: ReadonlyArray<string>
    }
  /** The new owner died before it said that it serves: serve again, with this generation. */
  | { readonly _tag: "Revive"; readonly slot: number; readonly generation: number }
  | { readonly _tag: "Forget"; readonly slot: number }
  /** Serve what was installed; until Open, only what the old owner forwards. */
  | {
      readonly _tag: "Activate"
      readonly slot: number
      readonly generation: number
      readonly from: string
    }
  | { readonly _tag: "Open"; readonly slot: number }
  | { readonly _tag: "Discard"; readonly slot: number }
  | { readonly _tag: "Takeover"; readonly from: string; readonly orphans: ReadonlyArray<Orphan> }
  | { readonly _tag: "RingChanged"; readonly members: ReadonlyArray<string> }
  | { readonly _tag: "Settled" }
  /** A leaving node has handed everything over, or given up on it. */
  | { readonly _tag: "Drained"; readonly left: number }

/** A slot on its way out. */
export interface Outgoing {
  readonly to: string
  readonly generation: number
  readonly stage: "offered" | "frozen" | "sent" | "committed"
  readonly names: ReadonlyArray<string>
  /** When to give up, or after the commit, when to repeat it. */
  readonly at: number
}

/** A slot on its way in. */
export interface Incoming {
  readonly from: string
  readonly generation: number
  readonly stage: "accepted" | "installed" | "active"
  readonly at: number
}

/** The supervisor of one node. */
export interface State {
  readonly name: string
  readonly timing: Timing
  readonly passive: boolean
  ring: Ring.Ring
  /** The members of the next ring, and when it comes into force. */
  next: { readonly members: ReadonlyArray<Ring.Weighted>; readonly at: number } | undefined
  /** The ring that each node last said it computes with. */
  readonly echoes: Map<string, number>
  settled: boolean
  changedAt: number
  readonly outgoing: Map<number, Outgoing>
  readonly incoming: Map<number, Incoming>
  /** Slots still to be moved. */
  queue: Array<number>
  /** My placed names by slot, kept only while slots are on their way out. */
  names: Map<number, Set<string>> | undefined
  retryAt: number
  /** Starts that wait for a decision, by slot. */
  readonly waiting: Map<number, Array<number>>
  /** Starts that were granted and aren't over, by slot. */
  readonly starting: Map<number, number>
  leaveBy: number
  drained: boolean
}

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** A supervisor that knows no node, not even itself. */
export function init(options: Options): State {
  return {
    name: options.name,
    timing: options.timing ?? timing,
    passive: options.rebalance === "passive",
    ring: Ring.empty,
    next: undefined,
    echoes: new Map(),
    settled: false,
    changedAt: 0,
    outgoing: new Map(),
    incoming: new Map(),
    queue: [],
    names: undefined,
    retryAt: Number.POSITIVE_INFINITY,
    waiting: new Map(),
    starting: new Map(),
    leaveBy: Number.POSITIVE_INFINITY,
    drained: false,
  }
}

/** The next state and what follows from it, given the registry as it is now. Total. */
export function step(state: State, input: Input, registry: Registry.State): Step {
  const outputs: Array<Output> = []
  const at: At = { state, registry, now: "now" in input ? input.now : 0, outputs }
  switch (input._tag) {
    case "Ring":
      plan(at, input.members)
      break
    case "LinkUp":
      send(at, input.peer, { _tag: "Settle", signature: Ring.signature(state.ring) })
      for (const [slot, move] of state.outgoing)
        if (move.to === input.peer) recommit(at, slot, move)
      break
    case "LinkDown":
      unlinked(at, input.peer)
      break
    case "Down":
      lost(at, input.peer)
      break
    case "Message":
      receive(at, input.from, input.message)
      break
    case "Ask":
      decide(at, input.id, input.slot)
      break
    case "Started":
      started(at, input.slot)
      break
    case "Captured":
      captured(at, input.slot, input.names)
      break
    case "CaptureFailed":
      abort(at, input.slot)
      break
    case "Restored":
      restored(at, input.slot, input.generation, input.ok)
      break
    case "GrantLost":
      forfeited(at, input.slot)
      break
    case "Leave":
      if (state.leaveBy === Number.POSITIVE_INFINITY)
        state.leaveBy = at.now + state.timing.leaveMaxMillis
      break
    case "Placed":
      place(state, input.name)
      return { state, outputs }
    case "Removed":
      state.names?.get(Ring.slot(input.name))?.delete(input.name)
      return { state, outputs }
    case "Tick":
      break
  }
  advance(at)
  return { state, outputs }
}

/** When the machine next has something to do by itself. */
export function wakeAt(state: State): number {
  let at = Math.min(state.next?.at ?? Number.POSITIVE_INFINITY, state.retryAt)
  if (!state.settled) at = Math.min(at, state.changedAt + state.timing.settleMaxMillis)
  if (!state.drained) at = Math.min(at, state.leaveBy)
  for (const move of state.outgoing.values()) at = Math.min(at, move.at)
  for (const move of state.incoming.values()) at = Math.min(at, move.at)
  return at
}

/** Whether nothing is on the move and every ring member agrees on the ring. */
export function quiet(state: State): boolean {
  const { settled, next, outgoing, incoming, queue } = state
  return settled && next === undefined && outgoing.size + incoming.size + queue.length === 0
}

interface At {
  readonly state: State
  readonly registry: Registry.State
  readonly now: number
  readonly outputs: Array<Output>
}

function send(at: At, to: string, message: Message): void {
  at.outputs.push({ _tag: "Send", to, message })
}

// --- the ring ------------------------------------------------------------------------------------

function plan(at: At, members: ReadonlyArray<Ring.Weighted>): void {
  const { state, now } = at
  const { downMillis, upMillis } = state.timing
  const ids = new Set(members.map((member) => member.id))
  const lost = state.ring.members.some((member) => !ids.has(member.id))
  const wait = Ring.size(state.ring) === 0 ? 0 : lost ? downMillis : upMillis
  // A burst may postpone the change, but not for ever: at most as long as the first one asked for.
  const due = state.next === undefined ? now + wait : Math.min(state.next.at, now + wait)
  state.next = { members, at: due }
}

/** What time and settling bring about, after every input. */
function advance(at: At): void {
  const { state, now } = at
  if (state.next !== undefined && now >= state.next.at) change(at, state.next.members)
  if (!state.settled && (agreed(state) || now >= state.changedAt + state.timing.settleMaxMillis))
    settle(at)
  if (now >= state.retryAt) {
    state.retryAt = Number.POSITIVE_INFINITY
    if (state.settled) rebalance(at)
  }
  for (const [slot, move] of state.outgoing) if (now >= move.at) overdue(at, slot, move)
  for (const [slot, move] of state.incoming) {
    if (now >= move.at) {
      state.incoming.delete(slot)
      at.outputs.push({ _tag: move.stage === "active" ? "Open" : "Discard", slot })
    }
  }
  pump(at)
  drain(at)
}

function change(at: At, members: ReadonlyArray<Ring.Weighted>): void {
  const { state } = at
  state.next = undefined
  const next = Ring.make(members)
  if (Ring.signature(next) === Ring.signature(state.ring) && Ring.size(next) > 0) return
  const before = state.ring
  state.ring = next
  state.changedAt = at.now
  state.settled = false
  const ids = next.members.map((member) => member.id)
  at.outputs.push({ _tag: "RingChanged", members: ids })
  const told = new Set([...ids, ...before.members.map((member) => member.id)])
  told.delete(state.name)
  for (const peer of [...told].sort())
    send(at, peer, { _tag: "Settle", signature: Ring.signature(next) })
}

function agreed(state: State): boolean {
  const signature = Ring.signature(state.ring)
  return state.ring.members.every(
    (member) => member.id === state.name || state.echoes.get(member.id) === signature,
  )
}

function settle(at: At): void {
  at.state.settled = true
  takeOver(at)
  rebalance(at)
  for (const slot of [...at.state.waiting.keys()]) reconsider(at, slot)
  at.outputs.push({ _tag: "Settled" })
}

// --- starting names ------------------------------------------------------------------------------

function decide(at: At, id: number, slot: number): void {
  const { state, outputs } = at
  const wait = (): void => {
    const ids = state.waiting.get(slot)
    if (ids === undefined) state.waiting.set(slot, [id])
    else ids.push(id)
  }
  if (!(slot >= 0 && slot < Ring.SLOTS)) {
    outputs.push({ _tag: "Denied", id })
    return
  }
  const incoming = state.incoming.get(slot)
  if (state.outgoing.has(slot) || (incoming !== undefined && incoming.stage !== "active"))
    return wait()
  const grant = Registry.grant(at.registry, slot)
  if (grant !== undefined) {
    const { owner } = grant.table
    if (owner !== state.name) outputs.push({ _tag: "Forward", id, to: owner })
    else allow(at, id, slot, grant.generation)
    return
  }
  const owner = Ring.ownerOfSlot(state.ring, slot)
  if (owner === undefined) outputs.push({ _tag: "Denied", id })
  else if (owner !== state.name) outputs.push({ _tag: "Forward", id, to: owner })
  else if (!state.settled || state.next !== undefined) wait()
  else {
    write(at, slot, 1)
    allow(at, id, slot, 1)
  }
}

function allow(at: At, id: number, slot: number, generation: number): void {
  at.state.starting.set(slot, (at.state.starting.get(slot) ?? 0) + 1)
  at.outputs.push({ _tag: "Granted", id, slot, generation })
}

function started(at: At, slot: number): void {
  const left = (at.state.starting.get(slot) ?? 0) - 1
  if (left > 0) at.state.starting.set(slot, left)
  else at.state.starting.delete(slot)
}

function reconsider(at: At, slot: number): void {
  const ids = at.state.waiting.get(slot)
  if (ids === undefined) return
  at.state.waiting.delete(slot)
  for (const id of ids) decide(at, id, slot)
}

/** Writes my grant of a slot, with the next ranks as successors. */
function write(at: At, slot: number, generation: number): void {
  const takeover = successors(at.state, slot)
  registry(at, { _tag: "Grant", slot, generation, takeover })
}

function registry(at: At, input: Registry.Input): void {
  for (const output of Registry.step(at.registry, input).outputs) {
    at.outputs.push({ _tag: "Registry", output })
  }
}

function successors(state: State, slot: number): ReadonlyArray<string> {
  return Ring.ownersOfSlot(state.ring, slot, TAKEOVER_MAX + 1)
    .filter((id) => id !== state.name)
    .slice(0, TAKEOVER_MAX)
}

// --- takeover after a crash ----------------------------------------------------------------------

/** The first live node of the recorded list takes a dead holder's slot; else its ring owner. */
function takeOver(at: At): void {
  const { state } = at
  const grants = Registry.orphanGrants(at.registry)
  const names = Registry.orphanNames(at.registry)
  if (grants.length === 0 && names.length === 0) return
  const bySlot = new Map<number, Array<Registry.Entry>>()
  for (const entry of names) {
    if (entry.name.startsWith("/")) continue
    const slot = Ring.slot(entry.name)
    const others = bySlot.get(slot)
    if (others === undefined) bySlot.set(slot, [entry])
    else others.push(entry)
  }
  const taken = new Map<string, Array<Orphan>>()
  for (const grant of grants) {
    const heir = grant.takeover.find((id) => Ring.has(state.ring, id))
    const taker = heir ?? Ring.ownerOfSlot(state.ring, grant.slot)
    const entries = bySlot.get(grant.slot) ?? []
    bySlot.delete(grant.slot)
    if (taker === state.name) inherit(at, grant, entries, taken)
    else drop(at, grant.slot, grant.table.owner)
  }
  // Names that stayed behind when their slot moved away: the holder of the slot starts them again.
  for (const [slot, entries] of bySlot) {
    if (Registry.grant(at.registry, slot)?.table.owner === state.name) adopt(entries, 0, taken)
  }
  for (const [from, orphans] of taken) at.outputs.push({ _tag: "Takeover", from, orphans })
}

function inherit(
  at: At,
  grant: Registry.Grant,
  entries: ReadonlyArray<Registry.Entry>,
  taken: Map<string, Array<Orphan>>,
): void {
  const { state } = at
  const { slot } = grant
  const generation =
    entries.reduce((g, entry) => Math.max(g, entry.generation), grant.generation) + 1
  write(at, slot, generation)
  const move = state.incoming.get(slot)
  if (move?.stage === "installed" && move.from === grant.table.owner) {
    // The dead node had already sent us the states: nothing is lost.
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Activate", slot, generation, from: move.from })
    at.outputs.push({ _tag: "Open", slot })
    return
  }
  drop(at, slot, grant.table.owner)
  adopt(entries, generation, taken)
}

function adopt(
  entries: ReadonlyArray<Registry.Entry>,
  generation: number,
  taken: Map<string, Array<Orphan>>,
): void {
  for (const entry of entries) {
    const from = entry.table.owner
    const orphan = {
      name: entry.name,
      generation: Math.max(generation, entry.generation + 1),
      meta: entry.meta,
    }
    const others = taken.get(from)
    if (others === undefined) taken.set(from, [orphan])
    else others.push(orphan)
  }
}

/** Forgets a standby of a node that is gone. */
function drop(at: At, slot: number, from: string): void {
  const move = at.state.incoming.get(slot)
  if (move === undefined || move.from !== from) return
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: move.stage === "active" ? "Open" : "Discard", slot })
}

// --- planned moves, as the old owner -------------------------------------------------------------

/** Queues my slots that belong elsewhere, and renews the successors of those that stay. */
function rebalance(at: At): void {
  const { state } = at
  const leaving = state.leaveBy !== Number.POSITIVE_INFINITY
  const queued = new Set(state.queue)
  const names = slots(at.registry)
  for (const grant of Registry.ownGrants(at.registry)) {
    const { slot } = grant
    const owner = Ring.ownerOfSlot(state.ring, slot)
    if (state.outgoing.has(slot) || queued.has(slot) || owner === undefined) continue
    if (owner === state.name || (state.passive && !leaving)) {
      if (grant.takeover.some((id) => !Ring.has(state.ring, id)) || grant.takeover.length === 0) {
        if (successors(state, slot).length > 0) write(at, slot, grant.generation)
      }
    } else if (!names.has(slot) && !state.starting.has(slot)) {
      registry(at, { _tag: "Release", slot })
    } else state.queue.push(slot)
  }
  if (state.queue.length > 0) state.names = names
}

function slots(state: Registry.State): Map<number, Set<string>> {
  const bySlot = new Map<number, Set<string>>()
  for (const name of Registry.ownNames(state)) put(bySlot, name)
  return bySlot
}

function place(state: State, name: string): void {
  if (state.names !== undefined) put(state.names, name)
}

function put(bySlot: Map<number, Set<string>>, name: string): void {
  if (name.startsWith("/")) return
  const slot = Ring.slot(name)
  const others = bySlot.get(slot)
  if (others === undefined) bySlot.set(slot, new Set([name]))
  else others.add(name)
}

/** Offers as many queued slots as may be under way at once. */
function pump(at: At): void {
  const { state, now } = at
  if (state.queue.length === 0) {
    if (state.outgoing.size === 0) state.names = undefined
    return
  }
  const later: Array<number> = []
  let next = 0
  while (next < state.queue.length && state.outgoing.size < MOVES_MAX) {
    const slot = state.queue[next++] as number
    const grant = Registry.grant(at.registry, slot)
    const to = Ring.ownerOfSlot(state.ring, slot)
    if (grant?.table.owner !== state.name || to === undefined || to === state.name) continue
    if (state.starting.has(slot)) {
      later.push(slot)
      continue
    }
    const generation = grant.generation + 1
    state.outgoing.set(slot, {
      to,
      generation,
      stage: "offered",
      names: [],
      at: now + state.timing.moveMaxMillis,
    })
    send(at, to, { _tag: "Offer", slot, generation })
  }
  if (next > 0) state.queue = [...later, ...state.queue.slice(next)]
}

function captured(at: At, slot: number, names: ReadonlyArray<string>): void {
  const move = at.state.outgoing.get(slot)
  if (move?.stage === "frozen") at.state.outgoing.set(slot, { ...move, stage: "sent", names })
}

function commit(at: At, slot: number, move: Outgoing): void {
  const { state, outputs } = at
  const committed: Outgoing = { ...move, stage: "committed", at: at.now + state.timing.retryMillis }
  state.outgoing.set(slot, committed)
  const { generation } = move
  // In this order on one link: the new owner serves, gets what was queued here, then opens.
  for (const name of move.names) registry(at, { _tag: "Delete", name })
  registry(at, { _tag: "Release", slot })
  send(at, move.to, { _tag: "Commit", slot, generation })
  outputs.push({ _tag: "Depart", slot, to: move.to, names: move.names })
  send(at, move.to, { _tag: "Drained", slot, generation })
}

function recommit(at: At, slot: number, move: Outgoing): void {
  if (move.stage !== "committed") return
  at.state.outgoing.set(slot, { ...move, at: at.now + at.state.timing.retryMillis })
  send(at, move.to, { _tag: "Commit", slot, generation: move.generation })
  send(at, move.to, { _tag: "Drained", slot, generation: move.generation })
}

function overdue(at: At, slot: number, move: Outgoing): void {
  if (move.stage === "committed") recommit(at, slot, move)
  else abort(at, slot)
}

/** Gives up a move that isn't committed: serve on, and try again later. */
function abort(at: At, slot: number): void {
  const { state, now } = at
  const move = state.outgoing.get(slot)
  if (move === undefined || move.stage === "committed") return
  state.outgoing.delete(slot)
  if (move.stage !== "offered") at.outputs.push({ _tag: "Thaw", slot })
  send(at, move.to, { _tag: "Cancel", slot, generation: move.generation })
  state.retryAt = Math.min(state.retryAt, now + state.timing.retryMillis)
  reconsider(at, slot)
}

/** The new owner doesn't serve and never will: I do, above the generation it might have used. */
function revive(at: At, slot: number, move: Outgoing): void {
  const { state } = at
  state.outgoing.delete(slot)
  write(at, slot, move.generation + 1)
  at.outputs.push({ _tag: "Revive", slot, generation: move.generation + 1 })
  state.retryAt = Math.min(state.retryAt, at.now + state.timing.retryMillis)
  reconsider(at, slot)
}

function finish(at: At, slot: number): void {
  at.state.outgoing.delete(slot)
  at.outputs.push({ _tag: "Forget", slot })
  reconsider(at, slot)
}

function forfeited(at: At, slot: number): void {
  const move = at.state.outgoing.get(slot)
  if (move === undefined || move.stage === "committed") return
  at.state.outgoing.delete(slot)
  if (move.stage !== "offered") at.outputs.push({ _tag: "Thaw", slot })
  send(at, move.to, { _tag: "Cancel", slot, generation: move.generation })
  reconsider(at, slot)
}

// --- planned moves, as the new owner -------------------------------------------------------------

function offered(at: At, from: string, slot: number, generation: number): void {
  const { state, now } = at
  const mine = Ring.ownerOfSlot(state.ring, slot) === state.name
  const taken = Registry.grant(at.registry, slot)?.table.owner === state.name
  if (!mine || taken || !(generation >= 1) || state.leaveBy !== Number.POSITIVE_INFINITY) {
    return send(at, from, { _tag: "Refuse", slot, generation })
  }
  if (state.incoming.has(slot)) at.outputs.push({ _tag: "Discard", slot })
  const until = now + state.timing.standbyMaxMillis
  state.incoming.set(slot, { from, generation, stage: "accepted", at: until })
  send(at, from, { _tag: "Accept", slot, generation })
}

function restored(at: At, slot: number, generation: number, ok: boolean): void {
  const { state } = at
  const move = state.incoming.get(slot)
  if (move === undefined || move.generation !== generation || move.stage !== "accepted") return
  if (ok) {
    state.incoming.set(slot, { ...move, stage: "installed" })
    send(at, move.from, { _tag: "Installed", slot, generation })
  } else {
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Discard", slot })
    send(at, move.from, { _tag: "Refuse", slot, generation })
    reconsider(at, slot)
  }
}

function committed(at: At, from: string, slot: number, generation: number): void {
  const { state } = at
  const move = state.incoming.get(slot)
  const held = Registry.grant(at.registry, slot)
  if (held?.table.owner === state.name && held.generation >= generation) {
    return send(at, from, { _tag: "Done", slot, generation })
  }
  if (move?.stage !== "installed" || move.generation !== generation || move.from !== from) {
    return send(at, from, { _tag: "Refuse", slot, generation })
  }
  state.incoming.set(slot, { ...move, stage: "active" })
  write(at, slot, generation)
  at.outputs.push({ _tag: "Activate", slot, generation, from })
  send(at, from, { _tag: "Done", slot, generation })
  reconsider(at, slot)
}

function opened(at: At, slot: number, generation: number): void {
  const move = at.state.incoming.get(slot)
  if (move?.stage !== "active" || move.generation !== generation) return
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: "Open", slot })
}

// --- messages and failures -----------------------------------------------------------------------

function receive(at: At, from: string, message: Message): void {
  const { state } = at
  if (message._tag === "Settle") {
    state.echoes.set(from, message.signature)
    return
  }
  const { slot, generation } = message
  if (!(slot >= 0 && slot < Ring.SLOTS)) return
  if (message._tag === "Offer") return offered(at, from, slot, generation)
  if (message._tag === "Commit") return committed(at, from, slot, generation)
  const incoming = state.incoming.get(slot)
  if (message._tag === "Drained" || message._tag === "Cancel") {
    if (incoming?.from !== from || incoming.generation !== generation) return
    if (message._tag === "Drained") return opened(at, slot, generation)
    if (incoming.stage === "active") return
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Discard", slot })
    return reconsider(at, slot)
  }
  const move = state.outgoing.get(slot)
  if (move === undefined || move.to !== from || move.generation !== generation) return
  answered(at, slot, move, message._tag)
}

function answered(
  at: At,
  slot: number,
  move: Outgoing,
  answer: "Accept" | "Refuse" | "Installed" | "Done",
): void {
  const { state, outputs } = at
  if (answer === "Accept" && move.stage === "offered") {
    state.outgoing.set(slot, { ...move, stage: "frozen" })
    const names = [...(state.names?.get(slot) ?? [])].sort()
    const leaving = state.leaveBy !== Number.POSITIVE_INFINITY
    outputs.push({ _tag: "Freeze", slot, generation: move.generation, to: move.to, names, leaving })
  } else if (answer === "Installed" && move.stage === "sent") commit(at, slot, move)
  else if (answer === "Refuse") {
    if (move.stage === "committed") revive(at, slot, move)
    else abort(at, slot)
  } else if (answer === "Done" && move.stage === "committed") finish(at, slot)
}

/** Without the link a state under way may be lost: start that move over. */
function unlinked(at: At, peer: string): void {
  for (const [slot, move] of at.state.outgoing) if (move.to === peer) abort(at, slot)
  open(at, peer)
}

function lost(at: At, peer: string): void {
  const { state } = at
  state.echoes.delete(peer)
  const granted = new Set(
    Registry.orphanGrants(at.registry)
      .filter((grant) => grant.table.owner === peer)
      .map((grant) => grant.slot),
  )
  for (const [slot, move] of state.outgoing) {
    if (move.to !== peer) continue
    if (move.stage !== "committed") abort(at, slot)
    else if (granted.has(slot) || Registry.grant(at.registry, slot) !== undefined) finish(at, slot)
    else revive(at, slot, move)
  }
  open(at, peer)
}

/** Nothing more will be forwarded by this peer. */
function open(at: At, peer: string): void {
  for (const [slot, move] of at.state.incoming) {
    if (move.from === peer && move.stage === "active") opened(at, slot, move.generation)
  }
}

// --- leaving -------------------------------------------------------------------------------------

function drain(at: At): void {
  const { state, now } = at
  if (state.drained || state.leaveBy === Number.POSITIVE_INFINITY) return
  // The ring without me must be in force, and then nothing of mine be left, or nobody to take it.
  if (state.next !== undefined || Ring.has(state.ring, state.name)) return expired(at)
  const alone = Ring.size(state.ring) === 0
  const busy =
    state.outgoing.size > 0 || state.queue.length > 0 || state.starting.size > 0 || !state.settled
  const left = Registry.ownGrants(at.registry).length
  if (alone || (!busy && left === 0)) finishLeave(at, left)
  else if (now >= state.leaveBy) finishLeave(at, left)
}

function expired(at: At): void {
  if (at.now >= at.state.leaveBy) finishLeave(at, Registry.ownGrants(at.registry).length)
}

function finishLeave(at: At, left: number): void {
  at.state.drained = true
  at.outputs.push({ _tag: "Drained", left })
}
