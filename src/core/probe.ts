/**
 * Probing: each observer pings its subjects in turn, asks others for help when an acknowledgement is
 * late, and accuses a subject that nobody reaches within one period.
 *
 * SWIM's probe with Lifeguard's local health and negative acknowledgements (Dadgar, Phillips, Currey
 * 2018), on fixed subjects, and with one rule more: a node that comes late to its own deadline was
 * standing still itself, and asks again instead of accusing.
 *
 * @module
 */
import * as Claims from "./claim.ts"
import * as Gossip from "./gossip.ts"
import { subjectsOf } from "./observers.ts"
import type { At, Peer, Probe, State } from "./roster.ts"
import * as Roster from "./roster.ts"
import * as Rtt from "./rtt.ts"

/** How many others are asked to ping a subject that is late. */
const HELPERS = 3
/** A probe is begun again at most so often for a node that is always late. */
const RESTARTS_MAX = 3
/** A link is given up, and dialled anew, when so many probes in a row needed the help of others. */
const MISSES_MAX = 3
/** Into so many parts a period is divided, to begin in one of them. */
const CHANCES = 2 ** 20
/** Pings on behalf of others at the same time. */
const RELAYS_MAX = 1_024

/** Takes up new subjects, at a time of chance within a period, and drops those that are none. */
export function assign(state: State, now: number): void {
  const { probeMillis } = state.options.timing
  const subjects = subjectsOf(state.view, state.self.name)
  for (const peer of state.view) {
    if (!subjects.has(peer)) peer.probe = undefined
    else if (peer.probe === undefined) {
      peer.probe = idle(now + ((1 + Roster.chance(state, CHANCES)) * probeMillis) / CHANCES)
    }
  }
  state.subjects = state.view.filter((peer) => peer.probe !== undefined)
}

/** Does what is due: begins probes, asks for help, fails them, and tells askers that I had no answer. */
export function due(at: At): void {
  for (const peer of subjects(at.state)) advance(at, peer)
  const { relays } = at.state
  let kept = 0
  for (const relay of relays) {
    if (relay.nackAt <= at.now) {
      relay.nackAt = Number.POSITIVE_INFINITY
      reply(at, relay.from, relay.seq, relay.target, false)
    }
    if (relay.until > at.now) relays[kept++] = relay
  }
  relays.length = kept
}

function advance(at: At, peer: Peer): void {
  const { probe } = peer
  if (probe === undefined) return
  if (probe.seq !== 0 && probe.failAt <= at.now) fail(at, peer, probe)
  if (probe.seq !== 0 && probe.askAt <= at.now) ask(at, peer, probe)
  if (probe.seq !== 0 || probe.at > at.now) return
  // On a bus everybody waits for a poll.
  if (Roster.onBus(at.state, peer)) probe.at = at.now + at.state.options.timing.probeMillis
  else begin(at, peer, probe, 0)
}

/** From now on a sign of life is waited for, for one period, under this number. */
export function wait(at: At, probe: Probe, seq: number): void {
  const { state, now } = at
  probe.seq = seq
  probe.sentAt = now
  probe.askAt = Number.POSITIVE_INFINITY
  probe.failAt = now + state.options.timing.probeMillis * (state.health + 1)
  probe.at = probe.failAt
  probe.helpers.length = 0
}

function begin(at: At, peer: Peer, probe: Probe, restarts: number): void {
  const { state, now } = at
  const seq = ++state.seq
  wait(at, probe, seq)
  probe.restarts = restarts
  const link = Roster.linkTo(state, peer)
  if (link === undefined) return ask(at, peer, probe)
  const { timing } = state.options
  // (On a bus the help of others would reach nobody whom I don't reach.)
  if (link.medium !== "bus") probe.askAt = now + Rtt.patience(link.rtt, timing) * (state.health + 1)
  const { viewHash: view, digest } = state
  Roster.send(at, peer.name, { _tag: "Ping", seq, view, digest })
}

/** Asks other observers of the peer to try. */
function ask(at: At, peer: Peer, probe: Probe): void {
  const { state } = at
  probe.askAt = Number.POSITIVE_INFINITY
  const able = Roster.observers(state, peer.name).filter((name) => {
    const claim = state.peers.get(name)?.claim
    return claim?.rank === Claims.ALIVE && state.links.has(name)
  })
  for (let i = 0; i < HELPERS && able.length > 0; i++) {
    const [helper] = able.splice(Roster.chance(state, able.length), 1)
    probe.helpers.push(helper as string)
    Roster.send(at, helper as string, { _tag: "PingRequest", seq: probe.seq, target: peer.name })
  }
}

function fail(at: At, peer: Peer, probe: Probe): void {
  probe.seq = 0
  // Helpers that don't even say that they had no answer: perhaps it's me.
  if (probe.helpers.length > 0) Roster.strain(at.state, 1)
  Gossip.accuse(at, peer.name, false)
}

/** Probes at once whom others have accused. */
export function alarm(at: At): void {
  const { alarmed } = at.state
  if (alarmed.size === 0) return
  for (const peer of [...alarmed].sort((a, b) => Claims.compare(a.name, b.name))) {
    const { probe, claim } = peer
    if (probe?.seq === 0 && claim.rank !== Claims.ALIVE) begin(at, peer, probe, 0)
  }
  alarmed.clear()
}

/** This node stood still: probes under way are begun again. */
export function restart(at: At): void {
  for (const peer of subjects(at.state)) {
    const { probe } = peer
    if (probe === undefined || probe.seq === 0 || probe.restarts >= RESTARTS_MAX) continue
    probe.restarts++
    if (Roster.onBus(at.state, peer)) wait(at, probe, probe.seq)
    else begin(at, peer, probe, probe.restarts)
  }
}

/** A sign of life of the very process that the peer's claim is about. */
export function heard(at: At, peer: Peer): void {
  peer.heardAt = at.now
  const { probe } = peer
  if (probe === undefined || probe.seq === 0) return
  if (probe.askAt !== Number.POSITIVE_INFINITY) Roster.strain(at.state, -1)
  probe.seq = 0
  probe.restarts = 0
}

/** The peer acknowledged a ping, of mine or on behalf of others. */
export function acknowledge(at: At, from: string, seq: number): void {
  const { state, now } = at
  const peer = state.peers.get(from)
  const link = peer === undefined ? undefined : Roster.linkTo(state, peer)
  if (peer !== undefined && link !== undefined) {
    link.missed = 0
    if (peer.probe?.seq === seq) Rtt.sample(link.rtt, now - peer.probe.sentAt)
    heard(at, peer)
  }
  if (state.relays.length === 0) return
  for (const relay of state.relays) {
    if (relay.target === from) reply(at, relay.from, relay.seq, from, true)
  }
  const others = state.relays.filter((relay) => relay.target !== from)
  state.relays.splice(0, state.relays.length, ...others)
}

/** Pings the target on behalf of a peer. */
export function assist(at: At, from: string, seq: number, target: string): void {
  const { state, now } = at
  const link = state.links.get(target)
  if (link === undefined || state.relays.length >= RELAYS_MAX) {
    return reply(at, from, seq, target, target === state.self.name)
  }
  const { timing } = state.options
  // In time for the asker, who has waited already.
  const nackAt = now + Math.min(Rtt.patience(link.rtt, timing), timing.probeMillis / 4)
  state.relays.push({ from, seq, target, nackAt, until: now + timing.probeMillis })
  const { viewHash: view, digest } = state
  Roster.send(at, target, { _tag: "Ping", seq: ++state.seq, view, digest })
}

function reply(at: At, to: string, seq: number, target: string, ok: boolean): void {
  if (at.state.links.has(to)) Roster.send(at, to, { _tag: "PingReply", seq, target, ok })
}

/** A helper reached the target of this probe, or hasn't yet. */
export function assisted(at: At, from: string, seq: number, target: string, ok: boolean): void {
  const peer = at.state.peers.get(target)
  const { probe } = peer ?? {}
  if (peer === undefined || probe === undefined || probe.seq !== seq) return
  probe.helpers = probe.helpers.filter((helper) => helper !== from)
  if (!ok) return
  heard(at, peer)
  miss(at, peer)
}

/**
 * Others reach the peer and I don't: the connection may have been lost without our being told, and would
 * swallow what is sent on it for as long as the host believes in it.
 */
function miss({ state }: At, peer: Peer): void {
  const link = Roster.linkTo(state, peer)
  if (link === undefined || ++link.missed < MISSES_MAX) return
  link.missed = 0
  state.closing.set(peer.name, "silent")
}

/** The next deadline of a probe or relay. */
export function wakeAt(state: State): number {
  let at = Number.POSITIVE_INFINITY
  for (const peer of state.subjects) at = Math.min(at, deadline(peer.probe))
  for (const peer of state.accused) at = Math.min(at, deadline(peer.probe))
  for (const relay of state.relays) at = Math.min(at, relay.nackAt, relay.until)
  return at
}

function deadline(probe: Probe | undefined): number {
  if (probe === undefined) return Number.POSITIVE_INFINITY
  return probe.seq === 0 ? probe.at : Math.min(probe.askAt, probe.failAt)
}

/** Whom I probe: my part of the view, and those whom only others hold for dead. */
function* subjects(state: State): Generator<Peer> {
  yield* state.subjects
  for (const peer of state.accused) if (peer.claim.rank === Claims.DEAD) yield peer
}

function idle(at: number): Probe {
  return { at, seq: 0, sentAt: 0, askAt: 0, failAt: 0, restarts: 0, helpers: [] }
}
