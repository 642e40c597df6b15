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

import * as Arrival from "./arrival.ts"
import * as Departure from "./departure.ts"
import type { At, Message, Output, State, Timing } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"
import * as Takeover from "./takeover.ts"

export { MOVES_MAX } from "./departure.ts"
export {
  type Incoming,
  type Message,
  type Orphan,
  type Outgoing,
  type Output,
  type State,
  TAKEOVER_MAX,
  type Timing,
} from "./placement.ts"

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

/** What a supervisor needs to know at birth. */
export interface Options {
  readonly name: string
  readonly timing?: Timing
  /** `active`: names move when their ring owner changes. `passive`: only when their node leaves. */
  readonly rebalance?: "active" | "passive"
}

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
  /** This node slept: nobody knows what the others have decided meanwhile. */
  | { readonly _tag: "Slept"; readonly now: number }
  /** A name of my own came or went: only told while `names` is kept. */
  | { readonly _tag: "Placed"; readonly now: number; readonly name: string }
  | { readonly _tag: "Removed"; readonly now: number; readonly name: string }
  | { readonly _tag: "Leave"; readonly now: number }
  | { readonly _tag: "Tick"; readonly now: number }

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
      tell(at, input.peer, false)
      for (const [slot, move] of state.outgoing)
        if (move.to === input.peer) Departure.recommit(at, slot, move)
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
      Placement.decide(at, input.id, input.slot)
      break
    case "Started":
      Placement.started(at, input.slot)
      break
    case "Captured":
      Departure.captured(at, input.slot, input.names)
      break
    case "CaptureFailed":
      Departure.abort(at, input.slot)
      break
    case "Restored":
      Arrival.restored(at, input.slot, input.generation, input.ok)
      break
    case "GrantLost":
      Departure.forfeited(at, input.slot)
      break
    case "Slept":
      doubt(at)
      break
    case "Leave":
      if (state.leaveBy === Number.POSITIVE_INFINITY)
        state.leaveBy = at.now + state.timing.leaveMaxMillis
      break
    case "Placed":
      Departure.place(state, input.name)
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

// --- the ring ------------------------------------------------------------------------------------

function plan(at: At, members: ReadonlyArray<Ring.Weighted>): void {
  const { state, now } = at
  const { downMillis, upMillis } = state.timing
  if (sameRing(state, Ring.make(members))) {
    state.next = undefined
    if (state.settled) reconsiderAll(at)
    return
  }
  const ids = new Set(members.map((member) => member.id))
  const lost = state.ring.members.some((member) => !ids.has(member.id))
  const first = Ring.size(state.ring) === 0 || members.length === 0
  const wait = first ? 0 : lost ? downMillis : upMillis
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
    if (state.settled) act(at)
  }
  for (const [slot, move] of state.outgoing) if (now >= move.at) Departure.overdue(at, slot, move)
  for (const [slot, move] of state.incoming) {
    if (now >= move.at) {
      state.incoming.delete(slot)
      at.outputs.push({ _tag: move.stage === "active" ? "Open" : "Discard", slot })
    }
  }
  Departure.pump(at)
  Departure.drain(at)
}

function change(at: At, members: ReadonlyArray<Ring.Weighted>): void {
  const { state } = at
  state.next = undefined
  const next = Ring.make(members)
  const before = state.ring
  state.ring = next
  state.changedAt = at.now
  state.settled = false
  const ids = next.members.map((member) => member.id)
  at.outputs.push({ _tag: "RingChanged", members: ids })
  const told = new Set([...ids, ...before.members.map((member) => member.id)])
  told.delete(state.name)
  for (const peer of [...told].sort()) tell(at, peer, false)
}

function tell(at: At, peer: string, ask: boolean): void {
  Placement.send(at, peer, { _tag: "Settle", signature: Ring.signature(at.state.ring), ask })
}

/** This node didn't run for a while: what it believes of the others is to be confirmed first. */
function doubt(at: At): void {
  const { state } = at
  state.echoes.clear()
  state.settled = false
  state.changedAt = at.now
  for (const { id } of state.ring.members) if (id !== state.name) tell(at, id, true)
}

function agreed(state: State): boolean {
  const signature = Ring.signature(state.ring)
  return state.ring.members.every(
    (member) => member.id === state.name || state.echoes.get(member.id) === signature,
  )
}

function settle(at: At): void {
  at.state.settled = true
  at.state.retryAt = Number.POSITIVE_INFINITY
  act(at)
  at.outputs.push({ _tag: "Settled" })
}

/** What an agreed ring lets a node do: take over, move, and start what waits. */
function act(at: At): void {
  Takeover.takeOver(at)
  Departure.rebalance(at)
  reconsiderAll(at)
}

function reconsiderAll(at: At): void {
  for (const slot of [...at.state.waiting.keys()]) Placement.reconsider(at, slot)
}

function sameRing(state: State, next: Ring.Ring): boolean {
  return Ring.size(next) > 0 && Ring.signature(next) === Ring.signature(state.ring)
}

// --- messages and failures -----------------------------------------------------------------------

function receive(at: At, from: string, message: Message): void {
  const { state } = at
  if (message._tag === "Settle") {
    state.echoes.set(from, message.signature)
    if (message.ask) tell(at, from, false)
    return
  }
  const { slot, generation } = message
  if (!(slot >= 0 && slot < Ring.SLOTS)) return
  if (message._tag === "Offer") return Arrival.offered(at, from, slot, generation)
  if (message._tag === "Commit") return Arrival.committed(at, from, slot, generation)
  const incoming = state.incoming.get(slot)
  if (message._tag === "Drained" || message._tag === "Cancel") {
    if (incoming?.from !== from || incoming.generation !== generation) return
    if (message._tag === "Drained") return Arrival.opened(at, slot, generation)
    if (incoming.stage === "active") return
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Discard", slot })
    return Placement.reconsider(at, slot)
  }
  const move = state.outgoing.get(slot)
  if (move === undefined || move.to !== from || move.generation !== generation) return
  Departure.answered(at, slot, move, message._tag)
}

/** Without the link a state under way may be lost: start that move over. */
function unlinked(at: At, peer: string): void {
  for (const [slot, move] of at.state.outgoing) if (move.to === peer) Departure.abort(at, slot)
  Arrival.open(at, peer)
}

function lost(at: At, peer: string): void {
  const { state } = at
  // A node that is back under its name before the ring has changed leaves orphans all the same.
  state.retryAt = Math.min(state.retryAt, at.now + state.timing.downMillis)
  state.echoes.delete(peer)
  const granted = new Set(
    Registry.orphanGrants(at.registry)
      .filter((grant) => grant.table.owner === peer)
      .map((grant) => grant.slot),
  )
  for (const [slot, move] of state.outgoing) {
    if (move.to !== peer) continue
    if (move.stage !== "committed") Departure.abort(at, slot)
    else if (granted.has(slot) || Registry.grant(at.registry, slot) !== undefined)
      Departure.finish(at, slot)
    else Departure.revive(at, slot, move)
  }
  Arrival.open(at, peer)
}
