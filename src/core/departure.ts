/**
 * Planned moves as the old owner sees them: which slots go, offer, freeze, commit, and the way back
 * before and after the commit. A leaving node moves everything away and is done when nothing is left.
 *
 * @module
 */
import type { At, Outgoing, State } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"

/** Slots that one node hands over at the same time. */
export const MOVES_MAX: number = 32

/** Queues my slots that belong elsewhere. */
export function rebalance(at: At): void {
  const { state } = at
  const leaving = state.leaveBy !== Number.POSITIVE_INFINITY
  const queued = new Set(state.queue)
  const names = slots(at)
  repair(at, names)
  for (const grant of Registry.ownGrants(at.registry)) {
    const { slot } = grant
    const owner = Rings.ownerOfSlot(state.rings, slot)
    if (state.outgoing.has(slot) || queued.has(slot) || owner === undefined) continue
    if (owner === state.name || (stays(state, slot) && !leaving)) continue
    if (!names.has(slot) && !state.starting.has(slot)) {
      Placement.registry(at, { _tag: "Release", slot })
    } else state.queue.push(slot)
  }
  // Names whose slot somebody else holds, after a conflict: they follow their slot.
  for (const slot of names.keys()) {
    if (stays(state, slot) && !leaving) continue
    const holder = Registry.grant(at.registry, slot)?.table.owner ?? state.name
    if (holder !== state.name && !state.outgoing.has(slot) && !queued.has(slot))
      state.queue.push(slot)
  }
  if (state.queue.length > 0) state.names = names
}

/** Whether names of this slot move only when their node leaves. */
function stays({ passive }: State, slot: number): boolean {
  return passive.size > 0 && passive.has(Rings.numberOf(slot))
}

/** A name of mine whose slot nobody holds any more would never move or be taken over again. */
function repair(at: At, names: ReadonlyMap<number, ReadonlySet<string>>): void {
  for (const [slot, mine] of names) {
    if (Registry.grant(at.registry, slot) !== undefined || at.state.outgoing.has(slot)) continue
    const claims = [...mine].map((name) => Registry.lookup(at.registry, name)?.generation ?? 1)
    Placement.write(at, slot, Math.max(...claims))
  }
}

function slots(at: At): Map<number, Set<string>> {
  const bySlot = new Map<number, Set<string>>()
  for (const name of Registry.ownNames(at.registry)) put(at, bySlot, name)
  return bySlot
}

/** A name of mine has come while names are kept by slot. */
export function place(at: At, name: string): void {
  if (at.state.names !== undefined) put(at, at.state.names, name)
}

/** Names that stick to their node go only when that leaves. */
function put({ state, registry }: At, bySlot: Map<number, Set<string>>, name: string): void {
  if (!Registry.placed(name)) return
  if (state.leaveBy === Number.POSITIVE_INFINITY && Registry.lookup(registry, name)?.sticky) return
  const slot = Rings.slot(name)
  const others = bySlot.get(slot)
  if (others === undefined) bySlot.set(slot, new Set([name]))
  else others.add(name)
}

/** Offers as many queued slots as may be under way at once. */
export function pump(at: At): void {
  const { state, now } = at
  if (state.queue.length === 0) {
    if (state.outgoing.size === 0) state.names = undefined
    return
  }
  if (state.outgoing.size >= MOVES_MAX) return
  const later: Array<number> = []
  while (state.queue.length > 0 && state.outgoing.size < MOVES_MAX) {
    const slot = state.queue.pop() as number
    const grant = Registry.grant(at.registry, slot)
    if (grant === undefined) continue
    const to = destination(state, grant)
    if (to === undefined || to === state.name) continue
    if (state.starting.has(slot) || state.incoming.has(slot)) {
      later.push(slot)
      continue
    }
    const generation = newest(at, grant) + 1
    state.outgoing.set(slot, {
      to,
      generation,
      stage: "offered",
      names: [],
      at: now + state.timing.moveMaxMillis,
    })
    Placement.send(at, to, { _tag: "Offer", slot, generation })
  }
  for (const slot of later) state.queue.push(slot)
}

/** My slots go to their ring owner; names of mine in somebody else's slot follow to its holder. */
function destination(state: State, { slot, table }: Registry.Grant): string | undefined {
  if (table.owner === state.name) return Rings.ownerOfSlot(state.rings, slot)
  return (state.names?.get(slot)?.size ?? 0) > 0 ? table.owner : undefined
}

function newest({ state, registry }: At, grant: Registry.Grant): number {
  let generation = grant.generation
  for (const name of state.names?.get(grant.slot) ?? [])
    generation = Math.max(generation, Registry.lookup(registry, name)?.generation ?? 0)
  return generation
}

/** An answer to a move of mine. */
export function answered(
  at: At,
  slot: number,
  move: Outgoing,
  answer: "Accept" | "Refuse" | "Installed" | "Done",
): void {
  const { state, outputs } = at
  if (answer === "Accept" && move.stage === "offered") {
    const grant = Registry.grant(at.registry, slot)
    // The ring may have changed since it was offered.
    if (grant === undefined || destination(state, grant) !== move.to) return abort(at, slot)
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

/** The states were captured and sent on. */
export function captured(at: At, slot: number, names: ReadonlyArray<string>): void {
  const move = at.state.outgoing.get(slot)
  if (move?.stage === "frozen") at.state.outgoing.set(slot, { ...move, stage: "sent", names })
}

function commit(at: At, slot: number, move: Outgoing): void {
  const { state, outputs } = at
  const committed: Outgoing = { ...move, stage: "committed", at: at.now + state.timing.retryMillis }
  state.outgoing.set(slot, committed)
  const { generation } = move
  // In this order on one link: the new owner serves, gets what was queued here, then opens.
  const reason = Registry.REASON.moved
  for (const name of move.names) Placement.registry(at, { _tag: "Delete", name, reason })
  Placement.registry(at, { _tag: "Release", slot })
  Placement.send(at, move.to, { _tag: "Commit", slot, generation })
  outputs.push({ _tag: "Depart", slot, to: move.to, names: move.names })
  Placement.send(at, move.to, { _tag: "Drained", slot, generation })
}

/** Says the commit again: the new owner may not have heard it. */
export function recommit(at: At, slot: number, move: Outgoing): void {
  if (move.stage !== "committed") return
  at.state.outgoing.set(slot, { ...move, at: at.now + at.state.timing.retryMillis })
  Placement.send(at, move.to, { _tag: "Commit", slot, generation: move.generation })
  Placement.send(at, move.to, { _tag: "Drained", slot, generation: move.generation })
}

/** A move of mine has taken too long. */
export function overdue(at: At, slot: number, move: Outgoing): void {
  if (move.stage === "committed") recommit(at, slot, move)
  else abort(at, slot)
}

/** The ring has changed: what isn't committed and was on its way to somebody else now is called off. */
export function redirect(at: At): void {
  const { state } = at
  for (const [slot, move] of [...state.outgoing]) {
    const grant = Registry.grant(at.registry, slot)
    if (grant?.table.owner === state.name && Rings.ownerOfSlot(state.rings, slot) !== move.to)
      abort(at, slot)
  }
}

/** Gives up a move that isn't committed: serve on, and try again later. */
export function abort(at: At, slot: number): void {
  const move = at.state.outgoing.get(slot)
  if (move === undefined || move.stage === "committed") return
  at.state.outgoing.delete(slot)
  if (move.stage !== "offered") at.outputs.push({ _tag: "Thaw", slot })
  Placement.send(at, move.to, { _tag: "Cancel", slot, generation: move.generation })
  Placement.retry(at)
  Placement.reconsider(at, slot)
}

/** The new owner doesn't serve and never will: I do, above the generation it might have used. */
export function revive(at: At, slot: number, move: Outgoing): void {
  const generation = move.generation + 1
  at.state.outgoing.delete(slot)
  if (Registry.grant(at.registry, slot) === undefined) Placement.write(at, slot, generation)
  at.outputs.push({ _tag: "Revive", slot, generation })
  Placement.retry(at)
  Placement.reconsider(at, slot)
}

/** The new owner serves: what was kept for a revival can go. */
export function finish(at: At, slot: number): void {
  at.state.outgoing.delete(slot)
  at.outputs.push({ _tag: "Forget", slot })
  Placement.reconsider(at, slot)
}

/** My grant lost against a better one: whoever has it serves, and the move is off. */
export function forfeited(at: At, slot: number): void {
  // What I serve there follows its slot.
  Placement.retry(at)
  abort(at, slot)
}

/** Whether a leaving node has nothing left to hand over. */
export function drain(at: At): void {
  const { state, now } = at
  if (state.drained || state.leaveBy === Number.POSITIVE_INFINITY) return
  // The ring without me must be in force, and then nothing of mine be left, or nobody to take it.
  if (state.next !== undefined || Rings.has(state.rings, state.name)) return expired(at)
  const alone = state.rings.members.length === 0
  // What is on its way in is still to come and to go, or to be called off: who has left can't be told.
  const moves = state.outgoing.size + state.incoming.size + state.queue.length
  const moving = moves + state.starting.size > 0
  const busy = moving || !state.settled || state.retryAt !== Number.POSITIVE_INFINITY
  if (busy && !alone && now < state.leaveBy) return
  const left = Registry.ownGrants(at.registry)
  const nobody = left.every(({ slot }) => Rings.ownerOfSlot(state.rings, slot) === undefined)
  if (alone || nobody || now >= state.leaveBy) finishLeave(at, left.length)
}

function expired(at: At): void {
  if (at.now >= at.state.leaveBy) finishLeave(at, Registry.ownGrants(at.registry).length)
}

function finishLeave(at: At, left: number): void {
  at.state.drained = true
  at.outputs.push({ _tag: "Drained", left })
}
