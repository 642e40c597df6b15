/**
 * Supervision: who may start names in which slot, planned moves, and takeover after a crash.
 *
 * The right to start names in a slot is a grant, recorded in its holder's registry table. Only the
 * holder starts names there. A dead holder's is taken over once every ring member has said that it
 * computes with the same ring, and what it had written is here; a first one is written once every
 * member has said that it has taken over what it is heir of. So nobody can have granted what we don't
 * see. Who doesn't say so in time is waited for no longer: then generations decide.
 *
 * A planned move goes offer → accept → freeze → state → installed → commit → drained → done. Before
 * the commit the old owner can always resume; from then on only the new one serves, unless it dies
 * before it has said so. The states themselves travel outside of this machine.
 *
 * @module
 */
import * as Agreement from "./agreement.ts"
import * as Arrival from "./arrival.ts"
import * as Departure from "./departure.ts"
import type { At, Message, Output, State, Timing } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"
import * as Takeover from "./takeover.ts"

export { MOVES_MAX } from "./departure.ts"
export type {
  Incoming,
  Message,
  Orphan,
  Outgoing,
  Output,
  State,
  Timing,
} from "./placement.ts"

/** The default timing. */
export const timing: Timing = {
  downMillis: 50,
  upMillis: 100,
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
  /** The named supervisors whose names move only when their node leaves. */
  readonly passive?: ReadonlyArray<string>
}

/** What can happen to a supervisor. `now` is monotonic milliseconds. */
export type Input =
  | {
      readonly _tag: "Ring"
      readonly now: number
      readonly members: ReadonlyArray<Rings.Host>
      /** Members that are on their way out. */
      readonly leaving?: ReadonlyArray<string>
    }
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

/** How often moves are looked through for those that take too long. */
const CHECK_MILLIS = 250

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** A supervisor that knows no node, not even itself. */
export function init(options: Options): State {
  return {
    name: options.name,
    timing: options.timing ?? timing,
    passive: new Set([
      ...(options.rebalance === "passive" ? [0] : []),
      ...(options.passive ?? []).map(Rings.number),
    ]),
    rings: Rings.empty,
    next: undefined,
    signature: 0,
    epoch: 0,
    witnesses: [],
    echoes: new Map(),
    lookAt: Number.POSITIVE_INFINITY,
    remindAt: Number.POSITIVE_INFINITY,
    settled: false,
    firm: false,
    sure: false,
    changedAt: 0,
    outgoing: new Map(),
    incoming: new Map(),
    offers: new Map(),
    arrived: new Map(),
    queue: [],
    checkAt: 0,
    names: undefined,
    retryAt: Number.POSITIVE_INFINITY,
    bereftAt: 0,
    told: [],
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
      state.witnesses = input.leaving ?? []
      plan(at, input.members)
      break
    case "LinkUp":
      state.echoes.set(input.peer, Number.NaN)
      Agreement.waver(at, input.peer)
      // First what I stand by: with my word the peer gives up the other states that I sent it.
      for (const [slot, move] of state.outgoing)
        if (move.to === input.peer) Departure.recommit(at, slot, move)
      Agreement.tell(at, input.peer, false)
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
      Agreement.doubt(at)
      break
    case "Leave":
      if (state.leaveBy === Number.POSITIVE_INFINITY)
        state.leaveBy = at.now + state.timing.leaveMaxMillis
      break
    case "Placed":
      Departure.place(at, input.name)
      return { state, outputs }
    case "Removed":
      state.names?.get(Rings.slot(input.name))?.delete(input.name)
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
  if (!state.firm) at = Math.min(at, Agreement.forcedAt(state))
  if (!state.sure) at = Math.min(at, state.lookAt, state.remindAt)
  if (!state.drained) at = Math.min(at, state.leaveBy)
  if (state.outgoing.size + state.incoming.size > 0) at = Math.min(at, state.checkAt)
  return at
}

/** Whether nothing is on the move and every ring member has said that it agrees on the ring. */
export function quiet(state: State): boolean {
  const { sure, next, outgoing, incoming, queue } = state
  return sure && next === undefined && outgoing.size + incoming.size + queue.length === 0
}

// --- the ring ------------------------------------------------------------------------------------

function plan(at: At, members: ReadonlyArray<Rings.Host>): void {
  const { state, now } = at
  const { downMillis, upMillis } = state.timing
  const same =
    members.length > 0 && Agreement.signatureOf(at, Rings.make(members)) === state.signature
  if (same) {
    state.next = undefined
    if (state.firm) reconsiderAll(at)
    return
  }
  const ids = new Set(members.map((member) => member.id))
  const lost = state.rings.members.some((member) => !ids.has(member.id))
  const first = state.rings.members.length === 0 || members.length === 0
  const wait = first ? 0 : lost ? downMillis : upMillis
  // A burst may postpone the change, but not for ever: at most as long as the first one asked for.
  const due = state.next === undefined ? now + wait : Math.min(state.next.at, now + wait)
  state.next = { members, at: due }
}

/** What time and settling bring about, after every input. */
function advance(at: At): void {
  const { state, now } = at
  if (state.epoch !== at.registry.self.epoch) rename(at)
  if (state.next !== undefined && now >= state.next.at) change(at, state.next.members)
  if (!state.settled && (Agreement.agreed(at) || now >= Agreement.forcedAt(state))) settle(at)
  if (state.settled && !state.sure) {
    state.sure = Agreement.claimed(at)
    if (!state.firm && (state.sure || now >= Agreement.forcedAt(state))) confirm(at)
  }
  if (!state.sure && now >= state.remindAt) Agreement.remind(at)
  if (state.settled && state.offers.size > 0) Arrival.reconsider(at)
  if (now >= state.retryAt) {
    // With another ring coming it isn't the time to decide: settling on that one will be.
    state.retryAt = state.next?.at ?? Number.POSITIVE_INFINITY
    if (state.settled && state.next === undefined) act(at)
  }
  if (now >= state.checkAt) check(at)
  Departure.pump(at)
  Departure.drain(at)
}

/** Looks for moves that take too long: now and then, not at every step, as there may be many. */
function check(at: At): void {
  const { state, now } = at
  state.checkAt = now + CHECK_MILLIS
  for (const [slot, move] of state.outgoing) if (now >= move.at) Departure.overdue(at, slot, move)
  for (const [slot, move] of state.incoming) if (now >= move.at) Arrival.overdue(at, slot, move)
}

/** I am a younger instance of myself now: the others have to agree on that one. */
function rename({ state, registry, now }: At): void {
  state.epoch = registry.self.epoch
  if (Rings.has(state.rings, state.name)) state.next ??= { members: state.rings.members, at: now }
}

function change(at: At, members: ReadonlyArray<Rings.Host>): void {
  const { state } = at
  const before = state.rings
  state.next = undefined
  state.rings = Rings.make(members)
  state.signature = Agreement.signatureOf(at, state.rings)
  Agreement.unsettle(at)
  Departure.redirect(at)
  if (Rings.signature(before) !== Rings.signature(state.rings)) {
    const ids = state.rings.members.map((member) => member.id)
    at.outputs.push({ _tag: "RingChanged", members: ids })
  }
  Agreement.tellAll(at, false)
}

function settle(at: At): void {
  at.state.settled = true
  at.state.bereftAt = at.now
  at.state.retryAt = Number.POSITIVE_INFINITY
  act(at)
  Agreement.tellAll(at, false)
}

function confirm(at: At): void {
  at.state.firm = true
  reconsiderAll(at)
  at.outputs.push({ _tag: "Settled" })
}

/** What an agreed ring lets a node do: take over, move, and start what waits. */
function act(at: At): void {
  Takeover.takeOver(at)
  Takeover.reconsider(at)
  Departure.rebalance(at)
  reconsiderAll(at)
}

function reconsiderAll(at: At): void {
  for (const slot of [...at.state.waiting.keys()]) Placement.reconsider(at, slot)
}

// --- messages and failures -----------------------------------------------------------------------

function receive(at: At, from: string, message: Message): void {
  const { state } = at
  if (message._tag === "Settle") {
    state.echoes.set(from, message.signature)
    Agreement.hear(at, from, message.signature)
    Arrival.relinked(at, from)
    if (message.ask) Agreement.tell(at, from, false)
    return
  }
  const { slot, generation } = message
  if (!Rings.isSlot(slot)) return
  if (message._tag === "Offer") return Arrival.offered(at, from, slot, generation)
  if (message._tag === "Commit") return Arrival.committed(at, from, slot, generation)
  if (message._tag === "Drained") return Arrival.drained(at, from, slot, generation)
  if (message._tag === "Orphans") return Takeover.told(at, from, message)
  if (message._tag === "Cancel") return Arrival.cancelled(at, from, slot, generation)
  const move = state.outgoing.get(slot)
  if (move === undefined || move.to !== from || move.generation !== generation) return
  Departure.answered(at, slot, move, message._tag)
}

/** Without the link a state under way may be lost: start that move over. */
function unlinked(at: At, peer: string): void {
  at.state.echoes.delete(peer)
  Agreement.waver(at, peer)
  for (const [slot, move] of at.state.outgoing) if (move.to === peer) Departure.abort(at, slot)
  Arrival.unlinked(at, peer)
}

function lost(at: At, peer: string): void {
  const { state, registry } = at
  // A node that wasn't in the ring, as it was leaving, can have left something all the same.
  state.retryAt = Math.min(state.retryAt, at.now + state.timing.downMillis)
  state.bereftAt = at.now
  const grants = new Map<number, number>()
  for (const { slot, table, generation } of Registry.orphanGrants(registry))
    if (table.owner === peer) grants.set(slot, generation)
  for (const [slot, move] of state.outgoing) {
    if (move.to !== peer) continue
    // Either it has served and died, or somebody has taken over from it since.
    const served =
      (grants.get(slot) ?? 0) >= move.generation ||
      (Registry.grant(registry, slot)?.generation ?? 0) > move.generation
    if (move.stage !== "committed") Departure.abort(at, slot)
    else if (served) Departure.finish(at, slot)
    else Departure.revive(at, slot, move)
  }
  Arrival.bereave(at, peer)
}
