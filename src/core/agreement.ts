/**
 * How all nodes come to compute with the same ring: everybody says so to everybody, and then that it has
 * taken over what it is heir of. Each node's registry operations go before its words on the same link, so
 * that who hears the first word of all knows every grant that there was under the ring before, and who
 * hears the second one every grant of a dead node's slot.
 *
 * @module
 */
import { mix32 } from "./hash.ts"
import type { At, State } from "./placement.ts"
import * as Placement from "./placement.ts"
import * as Registry from "./registry.ts"
import * as Rings from "./rings.ts"

/** How often to look whether operations that are missing have come. */
const LOOK_MILLIS = 10
/** How often to ask again those who haven't said that they agree: a word may have been lost. */
const REMIND_MILLIS = 1_000

/** Of the ring and of who its members are: one that starts again under its name is somebody else. */
export function signatureOf({ registry }: At, rings: Rings.Rings): number {
  let hash = Rings.signature(rings)
  for (const { id } of rings.members) {
    const epoch = registry.tables.get(id)?.epoch ?? 0
    hash = mix32(hash, mix32(epoch >>> 0, Math.floor(epoch / 2 ** 32)))
  }
  return hash
}

/** Says to a peer how far I am with my ring; with `ask`, it answers how far it is. */
export function tell(at: At, peer: string, ask: boolean): void {
  const { agreed, claimed } = words(at.state)
  const signature = at.state.settled ? claimed : agreed
  Placement.send(at, peer, { _tag: "Settle", signature, ask })
}

/** As {@link tell}, to everybody that there is a link to. */
export function tellAll(at: At, ask: boolean): void {
  for (const peer of [...at.state.echoes.keys()].sort()) tell(at, peer, ask)
}

/** What was agreed on is open again. */
export function unsettle({ state, now }: At): void {
  state.settled = false
  state.firm = false
  state.sure = false
  state.changedAt = now
  state.remindAt = now + REMIND_MILLIS
}

/**
 * A member says how far it is. One that computes with another ring than mine may have taken over from me,
 * if I stood still and don't know of it: then I am not sure until it agrees again.
 */
export function hear(at: At, from: string, signature: number): void {
  const { agreed, claimed } = words(at.state)
  if (signature !== agreed && signature !== claimed) waver(at, from)
}

/** What a member of the ring has done lately isn't known here: I am not sure until it says so again. */
export function waver({ state, now }: At, member: string): void {
  if (!Rings.has(state.rings, member) && !state.witnesses.includes(member)) return
  state.sure = false
  state.remindAt = now + REMIND_MILLIS
}

/** Asks those again of whom there is no last word yet. */
export function remind(at: At): void {
  const { state, now } = at
  const { claimed } = words(state)
  state.remindAt = now + REMIND_MILLIS
  for (const id of all(state)) {
    const echo = state.echoes.get(id)
    if (echo !== undefined && echo !== claimed) tell(at, id, true)
  }
}

/** This node didn't run for a while: what it believes of the others is to be confirmed first. */
export function doubt(at: At): void {
  const { echoes } = at.state
  for (const peer of echoes.keys()) echoes.set(peer, Number.NaN)
  unsettle(at)
  tellAll(at, true)
}

/**
 * Whether everybody computes with my ring, and all that they had written before they said so is here:
 * after a partition it isn't sent, it has to be asked for.
 */
export function agreed(at: At): boolean {
  const { agreed, claimed } = words(at.state)
  return heard(at, agreed, claimed)
}

/**
 * Whether everybody has taken over what it is heir of, and what it has written is here: it was sent before
 * the word, but perhaps on a link that was lost since.
 */
export function claimed(at: At): boolean {
  const { claimed } = words(at.state)
  return heard(at, claimed, claimed)
}

function heard({ state, registry, now }: At, one: number, other: number): boolean {
  state.lookAt = Number.POSITIVE_INFINITY
  if (!everybody(state, one, other)) return false
  if (all(state).every((id) => Registry.complete(registry, id))) return true
  state.lookAt = now + LOOK_MILLIS
  return false
}

/** When to go on without the word of those who don't say it. */
export function forcedAt({ settled, changedAt, timing }: State): number {
  return changedAt + (settled ? 2 : 1) * timing.settleMaxMillis
}

/** What is said of a ring: that I compute with it, and then that I have taken over what I am heir of. */
function words({ signature }: State): { readonly agreed: number; readonly claimed: number } {
  return { agreed: signature, claimed: mix32(signature, 1) }
}

/** Whether the last word of every other member is one of these two. */
function everybody(state: State, one: number, other: number): boolean {
  const { name, echoes } = state
  for (const id of all(state)) {
    if (id === name) continue
    const echo = echoes.get(id)
    if (echo !== one && echo !== other) return false
  }
  return true
}

/** Who has to agree: the ring, and those who are leaving it. */
function all({ rings, witnesses }: State): ReadonlyArray<string> {
  return [...rings.members.map(({ id }) => id), ...witnesses]
}
