/**
 * Spreading claims: taking them in, passing on what was news, comparing whole views.
 *
 * Each change that a node learns goes once to each of its other links. As links keep the order and lose
 * nothing while they last, and begin with both sides' whole view, that is enough; the hash of the view on every
 * ping finds whatever is missing all the same.
 *
 * @module
 */
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import * as Identity from "./identity.ts"
import type { At, Link, State } from "./roster.ts"
import * as Roster from "./roster.ts"

/** At most this many of the dead and gone are remembered, unless the cluster is a quarter of it. */
const GONE_MAX = 10_000
const REFUSED_MAX = 1_024

/** Takes claims in that `from` sent. */
export function receive(at: At, claims: ReadonlyArray<Claim>, full: boolean, from: string): void {
  if (!Array.isArray(claims)) return
  const asked: Array<Claim> = []
  for (const claim of claims) {
    if (!Claims.valid(claim)) continue
    if (full) asked.push(claim)
    if (claim.name === at.state.self.name) Identity.hear(at, claim, from)
    else learn(at, claim, from)
    if (at.state.ended) return
  }
  const link = at.state.links.get(from)
  if (link !== undefined && full) {
    link.asked = asked
    at.state.owing = true
  }
}

/** Takes a claim about a peer in. `from` is undefined for my own finding. */
export function learn(at: At, claim: Claim, from: string | undefined): void {
  const { state } = at
  const peer = state.peers.get(claim.name)
  if (claim.name === from) heedItself(at, claim)
  const merged = peer === undefined ? claim : Claims.merge(peer.claim, claim)
  if (merged === peer?.claim) return
  const joins = Claims.lives(merged) && (peer === undefined || !state.live.has(peer))
  if (joins && state.live.size + 1 >= state.options.membersMax) return refuse(at, claim.name)
  state.refused.delete(claim.name)
  if (peer === undefined) Roster.enter(at, merged, from)
  else {
    Roster.record(at, peer, merged, from)
    const { accusers } = merged
    if (accusers.length > 0 && !accusers.includes(state.self.name)) state.alarmed.add(peer)
  }
}

/** A claim that its own member sent. */
function heedItself(at: At, { name, epoch, rank }: Claim): void {
  const link = at.state.links.get(name)
  // It may have become a younger instance of itself meanwhile.
  if (link !== undefined && link.epoch < epoch) link.epoch = epoch
  if (rank === Claims.LEFT) Roster.send(at, name, { _tag: "LeftAck", epoch })
}

function refuse(at: At, name: string): void {
  const { state } = at
  if (state.links.has(name)) state.closing.set(name, "full")
  if (state.refused.has(name)) return
  if (state.refused.size >= REFUSED_MAX) state.refused.clear()
  state.refused.add(name)
  Roster.tell(at, { _tag: "Refused", name })
}

/** I can't reach the peer; `hard` when its address refused me after our link had ended. */
export function accuse(at: At, name: string, hard: boolean): void {
  const { state } = at
  const claim = state.peers.get(name)?.claim
  if (claim === undefined || claim.rank > (hard ? Claims.DEAD : Claims.SUSPECT)) return
  const me = [state.self.name]
  const rank = claim.rank === Claims.ALIVE ? Claims.SUSPECT : claim.rank
  learn(at, { ...claim, rank, accusers: me, hard: hard ? me : [] }, undefined)
  // Said again with every failure, in case that it was lost.
  state.news.set(name, undefined)
}

/** A ping or an acknowledgement came with the peer's hash of its view. */
export function compareViews(at: At, link: Link, view: number): void {
  if (view === at.state.viewHash) {
    link.differs = 0
    return
  }
  if (link.differs++ === 0) link.differsAt = at.now
  if (link.differs < 2 || at.now - link.differsAt < at.state.options.timing.syncMillis) return
  link.differs = 0
  link.full = true
  at.state.owing = true
}

/** A link that brings nothing back is given up, and dialled anew, after so many introductions. */
const GREETINGS_MAX = 5

/** Shows peers that aren't members, though there is a link to them, my view again. */
export function greet(at: At): void {
  const { state, now } = at
  if (state.greetAt > now) return
  state.greetAt = Number.POSITIVE_INFINITY
  for (const link of state.links.values()) {
    if (link.greetAt > now) {
      state.greetAt = Math.min(state.greetAt, link.greetAt)
      continue
    }
    const peer = state.peers.get(link.peer)
    const known = peer !== undefined && peer.claim.epoch === link.epoch
    const settled = known && (state.live.has(peer) || peer.claim.rank === Claims.LEFT)
    link.greetAt = settled ? Number.POSITIVE_INFINITY : now + state.options.timing.probeMillis
    link.full ||= !settled
    state.owing ||= !settled
    // Nobody probes who is no member: a connection that was lost unnoticed is noticed here.
    if (!settled && link.greeted++ >= GREETINGS_MAX) state.closing.set(link.peer, "silent")
    state.greetAt = Math.min(state.greetAt, link.greetAt)
  }
}

/** Sends what the step has made news, and what single links are owed. */
export function flush(at: At): void {
  const { state } = at
  if (state.news.size === 0 && !state.owing) return
  state.owing = false
  const owed = [...state.links.values()].filter((link) => link.full || link.asked !== undefined)
  if (state.news.size === 0 && owed.length === 0) return
  const news = [...state.news.keys()].sort(Claims.compare).map((name) => claimOf(state, name))
  const links = state.news.size > 0 ? [...state.links.values()] : owed
  links.sort((a, b) => Claims.compare(a.peer, b.peer))
  const tellers = new Set(state.news.values())
  for (const link of links) tell(at, link, news, tellers)
  state.news.clear()
}

function tell(
  at: At,
  link: Link,
  news: ReadonlyArray<Claim>,
  tellers: ReadonlySet<string | undefined>,
): void {
  const { state } = at
  const { peer: to, full, asked } = link
  link.full = false
  link.asked = undefined
  if (full) {
    link.differs = 0
    Roster.send(at, to, { _tag: "Claims", claims: fullView(state, to), full: true })
  }
  if (full && asked === undefined) return
  const claims =
    asked !== undefined
      ? answer(state, asked)
      : tellers.has(to)
        ? news.filter(({ name }) => state.news.get(name) !== to)
        : news
  if (claims.length > 0) Roster.send(at, to, { _tag: "Claims", claims, full: false })
}

/** All that lives, and the receiver itself whatever it is: so it can refute. */
function fullView(state: State, to: string): ReadonlyArray<Claim> {
  const claims = [state.self]
  for (const peer of state.live) claims.push(peer.claim)
  const peer = state.peers.get(to)
  if (peer !== undefined && !state.live.has(peer)) claims.push(peer.claim)
  return claims.sort(Claims.compareVersions)
}

/** What I know better than somebody who knows this. */
function answer(state: State, theirs: ReadonlyArray<Claim>): ReadonlyArray<Claim> {
  const known = new Map(theirs.map((claim) => [claim.name, claim]))
  const better: Array<Claim> = []
  for (const claim of [state.self, ...[...state.live].map((peer) => peer.claim)]) {
    const their = known.get(claim.name)
    if (their === undefined || Claims.adds(claim, their)) better.push(claim)
    known.delete(claim.name)
  }
  for (const [name, their] of known) {
    const claim = state.peers.get(name)?.claim
    if (claim !== undefined && Claims.adds(claim, their)) better.push(claim)
  }
  return better.sort(Claims.compareVersions)
}

function claimOf(state: State, name: string): Claim {
  const claim = name === state.self.name ? state.self : state.peers.get(name)?.claim
  if (claim === undefined) throw new Error(`BUG: news about ${name}, whom nobody knows`)
  return claim
}

/** Forgets who is gone for long, or the first of too many. */
export function forget(at: At): void {
  const { state, now } = at
  const max = Math.max(GONE_MAX, 4 * (state.live.size + 1))
  for (const [name, until] of state.gone) {
    const peer = state.peers.get(name)
    if (peer === undefined) throw new Error(`BUG: ${name} is gone and was never there`)
    if (peer.up || (until > now && state.gone.size <= max)) return
    state.gone.delete(name)
    state.dead.delete(peer)
    state.peers.delete(name)
    state.news.delete(name)
    state.changed.delete(peer)
  }
}
