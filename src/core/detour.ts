/**
 * Ways round: a member that can't be dialled, as it is behind a browser's wall or a part of the network is
 * cut off, is linked through a neighbour that has a link to it, for as long as there is no other way.
 *
 * @module
 */
import * as Claims from "./claim.ts"
import { hash32, mix32 } from "./hash.ts"
import type { At, Peer, State } from "./roster.ts"
import * as Roster from "./roster.ts"

/** Of two members that learn of each other the lower name dials; the other one after this long. */
export const YIELD_MILLIS = 1_500
/** A peer that can be dialled has this long to be linked before a neighbour is asked. */
const DIALLING_MILLIS = 500
/** A neighbour of which nothing is heard for this long doesn't help. */
const ASKING_MILLIS = 6_000

/** Asks a neighbour for a way to the peer when there is no link and it is time. */
export function seek(at: At, peer: Peer, dialable: boolean): void {
  const { state, now } = at
  const { detour, name } = peer
  if (state.links.has(name) || Roster.banned(state, name)) return Roster.rest(detour)
  if (detour.at === Number.POSITIVE_INFINITY) {
    const turn = state.self.name < name ? 0 : YIELD_MILLIS
    detour.at = now + turn + (dialable ? DIALLING_MILLIS : 0)
  }
  if (detour.at > now) return
  const neighbours = neighboursOf(state, peer)
  const via = neighbours[peer.detours % neighbours.length]
  if (via === undefined) return later(state, peer, now)
  detour.at = now + ASKING_MILLIS
  at.outputs.push({ _tag: "Relay", peer: name, via })
}

/** The neighbour has no way to the peer, or the way through it is lost: another one is asked next. */
export function failed(at: At, name: string): void {
  const { state, now } = at
  const peer = state.peers.get(name)
  if (peer === undefined) return
  peer.detours++
  later(state, peer, now)
  state.contactsChanged = true
}

function later(state: State, { detour }: Peer, now: number): void {
  detour.at = now + Roster.jitter(state, detour.backoffMillis)
  const { reconnectMillis } = state.options.timing
  detour.backoffMillis = Math.min(2 * detour.backoffMillis, reconnectMillis)
}

/** Whom I could ask: those with a link of their own first, each pair of members in another order. */
function neighboursOf(state: State, peer: Peer): ReadonlyArray<string> {
  const pair = hash32(state.self.name) ^ peer.place
  const able: Array<{ readonly name: string; readonly far: number; readonly place: number }> = []
  for (const { peer: name, medium } of state.links.values()) {
    const neighbour = state.peers.get(name)
    if (neighbour === undefined || neighbour.claim.rank !== Claims.ALIVE) continue
    able.push({ name, far: medium === "relay" ? 1 : 0, place: mix32(neighbour.place, pair) })
  }
  able.sort((a, b) => a.far - b.far || a.place - b.place || Claims.compare(a.name, b.name))
  return able.map(({ name }) => name)
}
