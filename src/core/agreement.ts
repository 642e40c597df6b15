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
import * as Ring from "./ring.ts"

/** How often to look whether operations that are missing have come. */
const LOOK_MILLIS = 10

/** Of the ring and of who its members are: one that starts again under its name is somebody else. */
export function signatureOf({ registry }: At, ring: Ring.Ring): number {
  let hash = Ring.signature(ring)
  for (const { id } of ring.members) {
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
  state.changedAt = now
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
export function agreed({ state, registry, now }: At): boolean {
  const { agreed, claimed } = words(state)
  state.lookAt = Number.POSITIVE_INFINITY
  if (!others(state).every((echo) => echo === agreed || echo === claimed)) return false
  if (state.ring.members.every(({ id }) => Registry.complete(registry, id))) return true
  state.lookAt = now + LOOK_MILLIS
  return false
}

/** Whether everybody has taken over what it is heir of: the operations came before the word. */
export function claimed({ state }: At): boolean {
  const { claimed } = words(state)
  return others(state).every((echo) => echo === claimed)
}

/** When to go on without the word of those who don't say it. */
export function forcedAt({ settled, changedAt, timing }: State): number {
  return changedAt + (settled ? 2 : 1) * timing.settleMaxMillis
}

/** What is said of a ring: that I compute with it, and then that I have taken over what I am heir of. */
function words({ signature }: State): { readonly agreed: number; readonly claimed: number } {
  return { agreed: signature, claimed: mix32(signature, 1) }
}

function others({ ring, name, echoes }: State): ReadonlyArray<number | undefined> {
  return ring.members.filter(({ id }) => id !== name).map(({ id }) => echoes.get(id))
}
