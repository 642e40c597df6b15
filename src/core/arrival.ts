/**
 * Planned moves as the new owner sees them: accept, install, serve once the old owner has committed,
 * and open to everybody once it has drained.
 *
 * @module
 */
import type { At, Incoming } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"

/** Answers the offer of a slot. */
export function offered(at: At, from: string, slot: number, generation: number): void {
  const { state, now } = at
  // What I serve there myself, and is yet to lose against theirs or win, is only known once we have
  // settled and what they have written is here.
  if (!state.settled || !Registry.complete(at.registry, from)) {
    state.offers.set(slot, { from, generation })
    return
  }
  if (!acceptable(at, from, slot, generation))
    return Placement.send(at, from, { _tag: "Refuse", slot, generation })
  if (state.incoming.has(slot)) at.outputs.push({ _tag: "Discard", slot })
  const until = now + state.timing.standbyMaxMillis
  state.incoming.set(slot, { from, generation, stage: "accepted", doubtful: false, at: until })
  Placement.send(at, from, { _tag: "Accept", slot, generation })
}

/** Answers offers that had to wait. */
export function reconsider(at: At): void {
  const { state, registry } = at
  for (const [slot, { from, generation }] of [...state.offers]) {
    if (!Registry.complete(registry, from)) continue
    state.offers.delete(slot)
    offered(at, from, slot, generation)
  }
}

/** A slot must be mine by the ring, or by my grant: then these are names that were left outside. */
function acceptable({ state, registry }: At, from: string, slot: number, gen: number): boolean {
  if (!Number.isSafeInteger(gen) || gen < 1) return false
  if (state.leaveBy !== Number.POSITIVE_INFINITY || state.outgoing.has(slot)) return false
  const move = state.incoming.get(slot)
  if (move !== undefined && (move.from !== from || move.stage === "active")) return false
  const held = Registry.grant(registry, slot)
  if (held?.table.owner === state.name) return gen > held.generation
  return Rings.ownerOfSlot(state.rings, slot) === state.name
}

/** The states that came are ready, or unusable. */
export function restored(at: At, slot: number, generation: number, ok: boolean): void {
  const { state } = at
  const move = state.incoming.get(slot)
  if (move === undefined || move.generation !== generation || move.stage !== "accepted") return
  if (ok) {
    state.incoming.set(slot, { ...move, stage: "installed" })
    Placement.send(at, move.from, { _tag: "Installed", slot, generation })
  } else {
    Placement.send(at, move.from, { _tag: "Refuse", slot, generation })
    discard(at, slot)
  }
}

/** From here on I serve, if I have what I need for it. */
export function committed(at: At, from: string, slot: number, generation: number): void {
  const { state } = at
  const move = state.incoming.get(slot)
  const ready = move?.stage === "installed" || move?.stage === "left"
  if (ready && move.generation === generation && move.from === from)
    return activate(at, slot, move, generation)
  // It may be long ago, and the slot be elsewhere by now: what counts is that the states arrived.
  const done = (state.arrived.get(slot) ?? 0) >= generation
  Placement.send(at, from, { _tag: done ? "Done" : "Refuse", slot, generation })
}

/** Serves what was installed. */
export function activate(at: At, slot: number, move: Incoming, generation: number): void {
  const { state } = at
  const held = Registry.grant(at.registry, slot)
  const own = held?.table.owner === state.name ? held.generation : 0
  const next = Math.max(own, generation)
  state.incoming.set(slot, { ...move, stage: "active" })
  Placement.write(at, slot, next)
  state.arrived.set(slot, next)
  at.outputs.push({ _tag: "Activate", slot, generation: next, from: move.from })
  // The ring may have changed under the move, and what wasn't part of it be left to start again.
  Placement.retry(at)
  Placement.reconsider(at, slot)
}

/** The old owner is gone: its states are all that is left. Those that aren't here won't come. */
export function bereave(at: At, peer: string): void {
  const { state } = at
  for (const [slot, move] of state.incoming) {
    if (move.from !== peer) continue
    if (move.stage === "installed") state.incoming.set(slot, { ...move, stage: "left" })
    else if (move.stage === "accepted") discard(at, slot)
    else if (move.stage === "active") opened(at, slot, move.generation)
  }
}

/** Without the link the old owner gives up what it hasn't committed, and can't say so. */
export function unlinked(at: At, peer: string): void {
  const { state } = at
  for (const [slot, offer] of state.offers) if (offer.from === peer) state.offers.delete(slot)
  for (const [slot, move] of state.incoming) {
    if (move.from !== peer) continue
    if (move.stage === "installed") state.incoming.set(slot, { ...move, doubtful: true })
    else if (move.stage === "accepted") discard(at, slot)
    else if (move.stage === "active") opened(at, slot, move.generation)
  }
}

/** The old owner is back and has said what it stands by: not by these. */
export function relinked(at: At, peer: string): void {
  for (const [slot, move] of at.state.incoming)
    if (move.from === peer && move.doubtful && move.stage === "installed") discard(at, slot)
}

/** The old owner serves on. */
export function cancelled(at: At, from: string, slot: number, generation: number): void {
  const offer = at.state.offers.get(slot)
  if (offer?.from === from && offer.generation === generation) at.state.offers.delete(slot)
  const move = at.state.incoming.get(slot)
  if (move?.from !== from || move.generation !== generation || move.stage === "active") return
  discard(at, slot)
}

/** Gives a standby up. */
export function discard(at: At, slot: number): void {
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: "Discard", slot })
  Placement.reconsider(at, slot)
}

/**
 * The old owner has passed on everything that it had queued. Only now it hears that I serve: the names
 * are registered since the commit, and their registrations go before this word.
 */
export function drained(at: At, from: string, slot: number, generation: number): void {
  const move = at.state.incoming.get(slot)
  if (move?.from !== from || move.generation !== generation || move.stage !== "active") return
  opened(at, slot, generation)
  Placement.send(at, from, { _tag: "Done", slot, generation })
}

/** From here on I take messages from everybody. */
export function opened(at: At, slot: number, generation: number): void {
  const move = at.state.incoming.get(slot)
  if (move?.stage !== "active" || move.generation !== generation) return
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: "Open", slot })
}

/** A move that has taken too long ends as it is. */
export function overdue(at: At, slot: number, move: Incoming): void {
  if (move.stage === "active") opened(at, slot, move.generation)
  else discard(at, slot)
}
