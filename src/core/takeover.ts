/**
 * Takeover after a crash: the slots and names of nodes that are down go to the first live node of the
 * list that their grant recorded, so that everybody agrees on it, whatever ring the dead node had.
 *
 * @module
 */
import * as Arrival from "./arrival.ts"
import type { At, Orphan } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"

/** The first live node of the recorded list takes a dead holder's slot; else its ring owner. */
export function takeOver(at: At): void {
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
    else Arrival.drop(at, grant.slot, grant.table.owner)
  }
  // Names that stayed behind when their slot moved away: the holder of the slot starts them again.
  for (const [slot, entries] of bySlot) {
    if (Registry.grant(at.registry, slot)?.table.owner === state.name) adopt(at, entries, 0, taken)
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
  Placement.write(at, slot, generation)
  const move = state.incoming.get(slot)
  if (move?.stage === "installed" && move.from === grant.table.owner) {
    // The dead node had already sent us the states: nothing is lost.
    state.incoming.delete(slot)
    at.outputs.push({ _tag: "Activate", slot, generation, from: move.from })
    at.outputs.push({ _tag: "Open", slot })
    return
  }
  Arrival.drop(at, slot, grant.table.owner)
  adopt(at, entries, generation, taken)
}

function adopt(
  at: At,
  entries: ReadonlyArray<Registry.Entry>,
  generation: number,
  taken: Map<string, Array<Orphan>>,
): void {
  for (const entry of entries) {
    Registry.adopt(at.registry, entry.name)
    Placement.starting(at, Ring.slot(entry.name))
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
