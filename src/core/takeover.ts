/**
 * Takeover after a crash: the slots and names of nodes that are down go to the first live node of the
 * list that their grant recorded, so that everybody agrees on it, whatever ring the dead node had.
 *
 * @module
 */
import * as Arrival from "./arrival.ts"
import type { At, Incoming, Orphan } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Ring from "./ring.ts"

/**
 * Takes over what is my turn. The first live node of the recorded list takes a dead holder's slot, else
 * its ring owner. But that one may not have heard of it: the last operations of a node that crashes
 * reach some and not others. So what is still there after `retryMillis` is for the next in the slot's
 * ranking, and so on; who takes a name whose slot isn't his hands it on.
 */
export function takeOver(at: At): void {
  const { state, registry } = at
  const orphans = orphansBySlot(registry)
  const taken = new Map<string, Array<Orphan>>()
  let left = false
  for (const grant of Registry.orphanGrants(registry)) {
    const { slot, takeover } = grant
    const entries = orphans.get(slot) ?? []
    orphans.delete(slot)
    if (mine(at, slot, takeover)) inherit(at, slot, grant, entries, taken)
    else left = true
  }
  // What was handed to me and isn't committed any more, or was committed unheard.
  for (const [slot, move] of [...state.incoming]) {
    if (move.stage !== "left" || Registry.orphanGrant(registry, slot) !== undefined) continue
    const holder = Registry.grant(registry, slot)?.table.owner ?? state.name
    if (holder !== state.name) Arrival.discard(at, slot)
    else resume(at, slot, move, move.generation)
    orphans.delete(slot)
  }
  // Names that stayed behind when their slot moved away, or that its new holder hasn't heard of.
  for (const [slot, entries] of orphans) {
    const holder = Registry.grant(registry, slot)?.table.owner
    if (!mine(at, slot, holder === undefined ? [] : [holder])) left = true
    else if (holder === undefined) inherit(at, slot, undefined, entries, taken)
    else adopt(at, entries, 0, taken)
  }
  for (const [from, names] of taken) at.outputs.push({ _tag: "Takeover", from, orphans: names })
  if (taken.size > 0 || (left && turn(at) <= Ring.size(state.ring))) Placement.retry(at)
}

/** Whether it is my turn to take a slot: `first` are asked first, in order, then its ranking. */
function mine(at: At, slot: number, first: ReadonlyArray<string>): boolean {
  const { ring, name } = at.state
  const heir = first.find((id) => Ring.has(ring, id)) ?? Ring.ownerOfSlot(ring, slot)
  if (heir === name) return true
  const turns = turn(at)
  if (turns === 0 || !Ring.has(ring, name)) return false
  const ranking = Ring.ownersOfSlot(ring, slot, Ring.size(ring))
  const order = [...new Set([...first.filter((id) => Ring.has(ring, id)), ...ranking])]
  return order.indexOf(name) <= turns
}

/**
 * How many have had their turn: none before everybody has said that it took what it is heir of, since
 * what the first ones have taken may still be on its way.
 */
function turn({ state, now }: At): number {
  return state.firm ? Math.floor((now - state.bereftAt) / state.timing.retryMillis) : 0
}

function orphansBySlot(registry: Registry.State): Map<number, Array<Registry.Entry>> {
  const bySlot = new Map<number, Array<Registry.Entry>>()
  for (const entry of Registry.orphanNames(registry)) {
    if (!Registry.placed(entry.name)) continue
    const slot = Ring.slot(entry.name)
    const others = bySlot.get(slot)
    if (others === undefined) bySlot.set(slot, [entry])
    else others.push(entry)
  }
  return bySlot
}

function inherit(
  at: At,
  slot: number,
  grant: Registry.Grant | undefined,
  entries: ReadonlyArray<Registry.Entry>,
  taken: Map<string, Array<Orphan>>,
): void {
  const generation =
    entries.reduce((g, entry) => Math.max(g, entry.generation), grant?.generation ?? 0) + 1
  const move = at.state.incoming.get(slot)
  // With the states that the dead node had sent nothing is lost; what isn't among them comes later.
  if (move?.stage === "left" && move.from === grant?.table.owner)
    return resume(at, slot, move, generation)
  Placement.write(at, slot, generation)
  at.state.arrived.set(slot, generation)
  adopt(at, entries, generation, taken)
}

function resume(at: At, slot: number, move: Incoming, generation: number): void {
  Arrival.activate(at, slot, move, generation)
  const served = at.state.incoming.get(slot)
  if (served !== undefined) Arrival.opened(at, slot, served.generation)
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
