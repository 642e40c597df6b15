/**
 * What the user is told: the events that lead from what was shown before to what is known now.
 *
 * @module
 */
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import type { Event } from "./member.ts"
import { describe } from "./member.ts"
import type { At, Peer } from "./roster.ts"
import * as Roster from "./roster.ts"

/** Tells everything that has changed, peer by peer in the order of their names. */
export function changes(at: At): void {
  const { state } = at
  if (state.changed.size === 0) return
  const before = state.ups
  const changed = [...state.changed].sort((a, b) => Claims.compare(a.name, b.name))
  state.changed.clear()
  let lost = false
  for (const peer of changed) lost = show(at, peer) || lost
  if (lost && before > 0 && state.ups === 0) Roster.tell(at, { _tag: "Isolated" })
}

/** Whether the peer went down. */
function show(at: At, peer: Peer): boolean {
  const { name, claim, shown } = peer
  if (peer.up && shown !== undefined) {
    const { epoch } = shown
    if (Roster.banned(at.state, name)) {
      end(at, peer, claim, { _tag: "Down", name, epoch, reason: "disconnected" })
      return true
    }
    if (claim.epoch > epoch) end(at, peer, shown, { _tag: "Superseded", name, epoch })
    else if (claim.rank === Claims.LEFT) end(at, peer, claim, { _tag: "Left", name, epoch })
    else if (peer.verdict !== undefined) {
      end(at, peer, claim, { _tag: "Down", name, epoch, reason: peer.verdict })
      return true
    }
  }
  if (peer.up) update(at, peer)
  else if (appears(at, peer)) begin(at, peer)
  return false
}

function appears(at: At, { name, claim, shown }: Peer): boolean {
  if (!Claims.lives(claim) || Roster.banned(at.state, name)) return false
  return shown === undefined || Claims.compareVersions(claim, shown) > 0
}

function begin(at: At, peer: Peer): void {
  peer.up = true
  peer.shown = peer.claim
  at.state.ups++
  Roster.tell(at, { _tag: "Up", ...describe(peer.claim) })
  update(at, peer)
}

function update(at: At, peer: Peer): void {
  const { name, claim, shown } = peer
  peer.shown = claim
  if (shown !== undefined && differs(claim, shown)) {
    Roster.tell(at, { _tag: "Changed", ...describe(claim) })
  }
  const suspect = claim.rank !== Claims.ALIVE
  if (suspect === peer.suspect) return
  peer.suspect = suspect
  Roster.tell(at, { _tag: suspect ? "Suspect" : "Refuted", name })
}

/** `last` is the version that the next `Up` has to surpass. */
function end(at: At, peer: Peer, last: Claim, event: Event): void {
  const { state } = at
  peer.up = false
  peer.suspect = false
  peer.shown = last
  state.ups--
  if (peer.claim.rank === Claims.DEAD) {
    state.accused.delete(peer)
    peer.probe = undefined
  }
  Roster.tell(at, event)
}

function differs(a: Claim, b: Claim): boolean {
  if (a.phase !== b.phase || a.address !== b.address || a.weight !== b.weight) return true
  return others(a.roles, b.roles) || others(a.hosts, b.hosts)
}

function others(a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean {
  return a.length !== b.length || a.some((text, i) => text !== b[i])
}
