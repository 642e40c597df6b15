/**
 * When an accused member is down.
 *
 * SWIM lets any accuser remove a member that doesn't refute in time; here a quorum of the member's
 * observers has to accuse it, as in Rapid, counted among those that aren't suspected themselves. One
 * slow or half-cut node removes nobody.
 *
 * @module
 */
import * as Claims from "./claim.ts"
import type { DownReason } from "./member.ts"
import type { At, Peer, State } from "./roster.ts"
import * as Roster from "./roster.ts"

/** An accused member is down at this time, unless it refutes; infinite while nothing says so. */
export interface Verdict {
  readonly at: number
  readonly reason: DownReason
}

/** With fewer accusers, where there are as many observers, nobody is ever removed. */
const ACCUSERS_MIN = 2
/** The quorum must have stood for this part of the suspicion time. (A crash needs no longer for it.) */
const AGREED = 0.75
/** Enough accusers that are no quorum need this many times the suspicion time. */
const PATIENCE = 6

/** When a suspect, or a peer that others say is dead, is down, as far as is known now. */
export function judge(state: State, peer: Peer): Verdict {
  const { suspicionMillis, hardGraceMillis } = state.options.timing
  const { claim } = peer
  const observers = Roster.observers(state, peer.name)
  const trusted = observers.filter((name) => isTrusted(state, name))
  const quorum = quorumOf(trusted.length)
  let at = Number.POSITIVE_INFINITY
  if (count(trusted, claim.accusers) >= quorum) {
    // A lone accuser may have been early, and wrong: time counts less before the quorum is there.
    const agreedAt = peer.agreedAt + suspicionMillis * AGREED
    at = Math.max(peer.accusedAt + suspicionMillis, agreedAt)
  } else if (
    count(observers, claim.accusers) >= Math.max(1, Math.min(ACCUSERS_MIN, trusted.length))
  ) {
    at = peer.accusedAt + PATIENCE * suspicionMillis
  }
  if (claim.rank === Claims.DEAD) at = Math.min(at, believedAt(state, peer) + suspicionMillis)
  if (count(trusted, claim.hard) >= quorum) {
    const grace = trusted.length >= ACCUSERS_MIN ? hardGraceMillis : 2 * hardGraceMillis
    if (peer.hardAt + grace <= at) return { at: peer.hardAt + grace, reason: "refused" }
  }
  return { at, reason: "silent" }
}

/** Others say that it is dead. Whom I am linked to, or have heard from lately, gets time to refute. */
function believedAt(state: State, peer: Peer): number {
  const linked = Roster.linkTo(state, peer) !== undefined
  return linked ? Math.max(peer.heardAt, peer.accusedAt) : peer.heardAt
}

/** How many accusers a member with so many unsuspected observers needs against it: three quarters. */
export function quorumOf(observers: number): number {
  return Math.max(1, Math.ceil((observers * 3) / 4))
}

/** Removes whose time has come; whether there was any. That may make a quorum against others. */
export function deliberate(at: At): boolean {
  const { state, now } = at
  const due: Array<Peer> = []
  for (const peer of state.accused) {
    if (peer.verdict !== undefined) continue
    agree(state, peer)
    const { at: when, reason } = judge(state, peer)
    if (when > now) continue
    due.push(peer)
    peer.verdict = reason
  }
  due.sort((a, b) => Claims.compare(a.name, b.name))
  for (const peer of due) remove(at, peer)
  return due.length > 0
}

/** Notes when a quorum has first accused the peer. */
function agree(state: State, peer: Peer): void {
  if (peer.agreedAt !== Number.POSITIVE_INFINITY) return
  const { accusers } = peer.claim
  const trusted = Roster.observers(state, peer.name).filter((name) => isTrusted(state, name))
  if (count(trusted, accusers) >= quorumOf(trusted.length)) peer.agreedAt = state.now
}

function remove(at: At, peer: Peer): void {
  const { state } = at
  if (peer.claim.rank === Claims.DEAD) state.changed.add(peer)
  else {
    const reason = peer.verdict
    Roster.record(at, peer, { ...peer.claim, rank: Claims.DEAD }, undefined)
    peer.verdict = reason
  }
  if (state.links.has(peer.name)) state.closing.set(peer.name, "down")
}

/** When the next of the accused is down, if nothing happens. */
export function wakeAt(state: State): number {
  let at = Number.POSITIVE_INFINITY
  for (const peer of state.accused) {
    if (peer.verdict === undefined) at = Math.min(at, judge(state, peer).at)
  }
  return at
}

/** This node stood still for so long: the others' time to refute stood still with it. */
export function pause(state: State, millis: number): void {
  for (const peer of state.accused) {
    peer.accusedAt += millis
    peer.agreedAt += millis
    peer.hardAt += millis
    peer.heardAt += millis
  }
}

/** This node slept: everybody gets all the time again. */
export function restart(state: State, now: number): void {
  for (const peer of state.accused) {
    if (peer.accusedAt < now) peer.accusedAt = now
    if (peer.hardAt < now) peer.hardAt = now
    peer.heardAt = now
  }
}

function isTrusted(state: State, name: string): boolean {
  return name === state.self.name || state.peers.get(name)?.claim.rank === Claims.ALIVE
}

function count(observers: ReadonlyArray<string>, accusers: ReadonlyArray<string>): number {
  let found = 0
  for (const name of accusers) if (observers.includes(name)) found++
  return found
}
