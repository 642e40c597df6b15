/**
 * Takeover after a crash: the slots and names of nodes that are down go to their heirs. The heir of a slot
 * is the live node that holds it already, or else its owner by the ring: everybody who has settled agrees
 * on who that is, whatever each of them has heard from the dead node last. Only the heir takes over.
 *
 * But the heir may not have heard of it: the last operations of a node that crashes reach some and not
 * others. So who knows of something that its heir hasn't taken tells the heir, a few times; and at once
 * when the heir is the dead node itself, started again, which knows nothing of its former life. That goes
 * before the word that everybody waits for, so nobody is sure before it is there.
 *
 * @module
 */
import * as Arrival from "./arrival.ts"
import type { At, Incoming, Message, Orphan } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"

/** How often an heir is told of the same orphans. */
const TELLS_MAX = 8
/** Bytes of start arguments in one message. */
const BYTES_MAX = 1024 * 1024
/** Messages about orphans that are kept until this node has settled. */
const TOLD_MAX = 4_096

/** Takes over what I am the heir of, and tells the heirs of what they haven't taken. */
export function takeOver(at: At): void {
  const { state, registry } = at
  const orphans = orphansBySlot(registry)
  const taken = new Map<string, Array<Orphan>>()
  let left = false
  for (const grant of Registry.orphanGrants(registry)) {
    const { slot, generation } = grant
    const entries = orphans.get(slot) ?? []
    orphans.delete(slot)
    if (heir(at, slot) === state.name) inherit(at, slot, grant, entries, taken)
    else left = tell(at, slot, generation, grant.table.owner, entries) || left
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
    const grant = Registry.grant(registry, slot)
    const owner = entries[0]?.table.owner
    if (heir(at, slot) !== state.name) left = tell(at, slot, 0, owner, entries) || left
    else if (grant === undefined) inherit(at, slot, undefined, entries, taken)
    else adopt(at, entries, 0, taken)
  }
  for (const [from, names] of taken) at.outputs.push({ _tag: "Takeover", from, orphans: names })
  if (taken.size > 0 || (left && tells(at) < TELLS_MAX)) Placement.retry(at)
}

/** Somebody knows of names that nobody serves and whose heir I am. */
export function told(at: At, from: string, message: Extract<Message, { _tag: "Orphans" }>): void {
  const { state, registry } = at
  const { slot, generation } = message
  if (!state.settled || state.next !== undefined) {
    if (state.told.length < TOLD_MAX) state.told.push({ from, message })
    return
  }
  // Else it will be told again, or somebody else will be.
  if (heir(at, slot) !== state.name) return
  if (state.incoming.has(slot) || state.outgoing.has(slot)) return
  const names = message.names.filter(
    ({ name }) =>
      Registry.placed(name) &&
      Rings.slot(name) === slot &&
      Registry.lookup(registry, name) === undefined &&
      !Registry.cared(registry, name),
  )
  const grant = Registry.grant(registry, slot)
  const above = 1 + names.reduce((g, name) => Math.max(g, name.generation), generation)
  // Also without names: starts in this slot wait elsewhere until somebody has taken it over.
  if (grant === undefined) {
    Placement.write(at, slot, above)
    state.arrived.set(slot, above)
    Placement.reconsider(at, slot)
  }
  if (names.length === 0) return
  const orphans = names.map((orphan) => {
    Registry.adopt(registry, orphan.name)
    Placement.starting(at, slot)
    return { ...orphan, generation: grant === undefined ? above : orphan.generation + 1 }
  })
  at.outputs.push({ _tag: "Takeover", from, orphans })
}

/** What this node was told before it had settled. */
export function reconsider(at: At): void {
  for (const { from, message } of at.state.told.splice(0)) told(at, from, message)
}

/** Who takes over what dead nodes have left in a slot, as all agree who have settled. */
function heir({ state, registry }: At, slot: number): string | undefined {
  return Registry.grant(registry, slot)?.table.owner ?? Rings.ownerOfSlot(state.rings, slot)
}

/**
 * Tells the heir of a slot of what `owner` has left there, once it has had time to take that; whether there is
 * anything.
 */
function tell(
  at: At,
  slot: number,
  generation: number,
  owner: string | undefined,
  entries: ReadonlyArray<Registry.Entry>,
): boolean {
  const to = heir(at, slot)
  if ((entries.length === 0 && generation === 0) || to === undefined) return false
  if ((tells(at) === 0 && to !== owner) || !at.state.echoes.has(to)) return true
  let names: Array<Orphan> = []
  let bytes = 0
  const send = (): void => {
    Placement.send(at, to, { _tag: "Orphans", slot, generation, names })
    names = []
    bytes = 0
  }
  for (const { name, generation, meta, props, sticky } of entries) {
    if (bytes >= BYTES_MAX) send()
    names.push({ name, generation, meta, props, sticky })
    bytes += name.length + (meta?.length ?? 0) + (props?.bytes.length ?? 0)
  }
  send()
  return true
}

/**
 * How many times heirs would have been told by now: not before everybody has said that it took what it is
 * heir of, since what they have taken may still be on its way.
 */
function tells({ state, now }: At): number {
  return state.firm ? Math.floor((now - state.bereftAt) / state.timing.retryMillis) : 0
}

function orphansBySlot(registry: Registry.State): Map<number, Array<Registry.Entry>> {
  const bySlot = new Map<number, Array<Registry.Entry>>()
  for (const entry of Registry.orphanNames(registry)) {
    if (!Registry.placed(entry.name)) continue
    const slot = Rings.slot(entry.name)
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
    Placement.starting(at, Rings.slot(entry.name))
    const from = entry.table.owner
    const orphan = {
      name: entry.name,
      generation: Math.max(generation, entry.generation + 1),
      meta: entry.meta,
      props: entry.props,
      sticky: entry.sticky,
    }
    const others = taken.get(from)
    if (others === undefined) taken.set(from, [orphan])
    else others.push(orphan)
  }
}
