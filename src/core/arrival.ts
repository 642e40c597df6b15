/**
 * Planned moves as the new owner sees them: accept, install, serve once the old owner has committed,
 * and open to everybody once it has drained.
 *
 * @module
 */
import type { At } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"

/** Answers the offer of a slot. */
export function offered(at: At, from: string, slot: number, generation: number): void {
  const { state, now } = at
  const mine = Ring.ownerOfSlot(state.ring, slot) === state.name
  const taken = Registry.grant(at.registry, slot)?.table.owner === state.name
  if (!mine || taken || !(generation >= 1) || state.leaveBy !== Number.POSITIVE_INFINITY) {
    return Placement.send(at, from, { _tag: "Refuse", slot, generation })
  }
  if (state.incoming.has(slot)) at.outputs.push({ _tag: "Discard", slot })
  const until = now + state.timing.standbyMaxMillis
  state.incoming.set(slot, { from, generation, stage: "accepted", at: until })
  Placement.send(at, from, { _tag: "Accept", slot, generation })
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
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Discard", slot })
    Placement.send(at, move.from, { _tag: "Refuse", slot, generation })
    Placement.reconsider(at, slot)
  }
}

/** From here on I serve, if I have what I need for it. */
export function committed(at: At, from: string, slot: number, generation: number): void {
  const { state } = at
  const move = state.incoming.get(slot)
  const held = Registry.grant(at.registry, slot)
  if (held?.table.owner === state.name && held.generation >= generation) {
    return Placement.send(at, from, { _tag: "Done", slot, generation })
  }
  if (move?.stage !== "installed" || move.generation !== generation || move.from !== from) {
    return Placement.send(at, from, { _tag: "Refuse", slot, generation })
  }
  state.incoming.set(slot, { ...move, stage: "active" })
  Placement.write(at, slot, generation)
  at.outputs.push({ _tag: "Activate", slot, generation, from })
  Placement.send(at, from, { _tag: "Done", slot, generation })
  Placement.reconsider(at, slot)
}

/** The old owner has passed on everything that it had queued. */
export function opened(at: At, slot: number, generation: number): void {
  const move = at.state.incoming.get(slot)
  if (move?.stage !== "active" || move.generation !== generation) return
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: "Open", slot })
}

/** Nothing more will be forwarded by this peer. */
export function open(at: At, peer: string): void {
  for (const [slot, move] of at.state.incoming) {
    if (move.from === peer && move.stage === "active") opened(at, slot, move.generation)
  }
}

/** Forgets a standby of a node that is gone. */
export function drop(at: At, slot: number, from: string): void {
  const move = at.state.incoming.get(slot)
  if (move === undefined || move.from !== from) return
  at.state.incoming.delete(slot)
  at.outputs.push({ _tag: move.stage === "active" ? "Open" : "Discard", slot })
}
