/**
 * Membership: who belongs to the cluster, who is down, as one node knows it. A pure machine.
 *
 * "Quorum SWIM": members observe each other ({@link ./observers.ts}), ping their subjects and ask others
 * for help ({@link ./probe.ts}), spread what they find as claims that merge in any order
 * ({@link ./claim.ts}, {@link ./gossip.ts}); a member is removed when a quorum of its observers has
 * accused it and it hasn't refuted in time ({@link ./suspicion.ts}).
 *
 * @module
 */

import * as Bus from "./bus.ts"
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import * as Contact from "./contact.ts"
import * as Detour from "./detour.ts"
import * as Gossip from "./gossip.ts"
import * as Identity from "./identity.ts"
import * as Links from "./links.ts"
import type { Input, Member, Message, Options, Output } from "./member.ts"
import { describe } from "./member.ts"
import * as Parting from "./parting.ts"
import * as Probe from "./probe.ts"
import * as Report from "./report.ts"
import type { At, Peer, State } from "./roster.ts"
import * as Roster from "./roster.ts"
import * as Suspicion from "./suspicion.ts"

export type { Claim } from "./claim.ts"
export type {
  Description,
  DownReason,
  Event,
  Input,
  Member,
  Message,
  Options,
  Output,
} from "./member.ts"
export type { State } from "./roster.ts"
export type { Timing } from "./timing.ts"
export { lan, local, wan } from "./timing.ts"

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** No clock goes further. */
const NOW_MAX = 2 ** 52

/** A node that is about to dial its seeds: joining, and alone. */
export function init(options: Options, now: number): Step {
  const { name, epoch, address, instance, weight, roles, hosts = [""], seeds, random } = options
  const self: Claim = {
    name,
    epoch,
    incarnation: 0,
    rank: Claims.ALIVE,
    accusers: [],
    hard: [],
    phase: "joining",
    address,
    instance,
    weight,
    roles: [...roles],
    hosts: [...hosts],
  }
  if (!Claims.valid(self)) throw new Error(`BUG: a node can't be born as ${JSON.stringify(self)}`)
  const state = born(options, self, now, random >>> 0)
  for (const seed of seeds) Contact.seed(state, seed, now)
  const at: At = { state, now, outputs: [] }
  settle(at)
  return { state, outputs: at.outputs }
}

/** The next state and what follows from it. Total: no input throws. Late or early ticks do no harm. */
export function step(state: State, input: Input): Step {
  const at: At = { state, now: clock(state, input.now), outputs: [] }
  state.now = at.now
  if (!state.ended) {
    notice(at)
    take(at, input)
    if (!state.ended) settle(at)
  }
  if (state.ended) state.wake = Number.POSITIVE_INFINITY
  return { state, outputs: at.outputs }
}

/** When the machine next has something to do by itself; infinite for never. */
export function wakeAt(state: State): number {
  return state.wake
}

/** Everybody known, sorted by name, this node and the dead included. */
export function members(state: State): ReadonlyArray<Member> {
  const all = [self(state)]
  for (const peer of state.peers.values()) all.push(view(state, peer))
  return all.sort((a, b) => Claims.compare(a.name, b.name))
}

/** The claims of those that are members now, this node first. */
export function* living(state: State): Generator<Claim> {
  if (state.self.rank !== Claims.LEFT) yield state.self
  for (const peer of state.peers.values()) if (peer.up) yield peer.claim
}

/** This node. */
export function self(state: State): Member {
  const status = state.self.rank === Claims.LEFT ? "left" : "alive"
  return { ...describe(state.self), status, connected: true, rttMillis: undefined }
}

/** A uint32 that is the same on nodes that know the same living members in the same condition. */
export function viewHash(state: State): number {
  return state.viewHash
}

/** Whether there are as many members as may be, and this isn't one of them. */
export function full({ peers, live, options }: State, name: string): boolean {
  const peer = peers.get(name)
  if (peer !== undefined && live.has(peer)) return false
  return live.size + 1 >= options.membersMax
}

/** The claims behind all that, sorted by name, for tests and diagnostics. */
export function claims(state: State): ReadonlyArray<Claim> {
  const all = [state.self]
  for (const peer of state.peers.values()) all.push(peer.claim)
  return all.sort((a, b) => Claims.compare(a.name, b.name))
}

function view(state: State, peer: Peer): Member {
  const { claim, suspect } = peer
  const smoothed = state.links.get(peer.name)?.rtt.smoothed
  const dead = claim.rank === Claims.LEFT ? "left" : "dead"
  return {
    ...describe(claim),
    status: peer.up ? (suspect ? "suspect" : "alive") : dead,
    connected: smoothed !== undefined,
    rttMillis: smoothed !== undefined && smoothed >= 0 ? smoothed : undefined,
  }
}

// --- time ----------------------------------------------------------------------------------------

function clock(state: State, now: number): number {
  return now > state.now && now < NOW_MAX ? now : state.now
}

/** A node that comes late to its deadline stood still; it must not take that for others' silence. */
function notice(at: At): void {
  const { state, now } = at
  const { ackMaxMillis, suspicionMillis } = state.options.timing
  const late = now - state.wake
  if (late <= ackMaxMillis / 2 || state.leave !== undefined) return
  if (late > suspicionMillis) return wake(at, late)
  Roster.strain(state, 1)
  Suspicion.pause(state, late)
  Probe.restart(at)
}

/** It slept: for the others it may be dead, so it says that it is there before anything else. */
function wake(at: At, millis: number): void {
  const { state, now } = at
  Roster.tell(at, { _tag: "Slept", millis })
  Identity.raise(at, {})
  for (const link of state.links.values()) link.full = true
  state.owing = true
  Suspicion.restart(state, now)
  Probe.restart(at)
}

// --- inputs --------------------------------------------------------------------------------------

function take(at: At, input: Input): void {
  const { state } = at
  switch (input._tag) {
    case "Message":
      return receive(at, input.from, input.message)
    case "Heard":
      for (const name of list(input.peers)) {
        const peer = state.peers.get(name)
        const link = peer === undefined ? undefined : Roster.linkTo(state, peer)
        if (peer === undefined || link === undefined) continue
        link.missed = 0
        Probe.heard(at, peer)
      }
      return
    case "Digest":
      state.digest = input.digest >>> 0
      return
    case "LinkUp":
      return Links.up(at, input)
    case "LinkDown":
      return Links.down(at, input.peer, input.epoch, input.reason)
    case "DialFailed":
      return Contact.failed(at, input.address, input.reason, input.real)
    case "RelayFailed":
      return Detour.failed(at, input.peer)
    case "Synced":
      return Identity.synced(at)
    case "Leave":
      return Identity.leave(at)
    case "Drained":
      return Identity.drained(at)
    case "Connect":
      for (const address of list(input.addresses)) Parting.connect(at, address)
      return
    case "Discovered":
      for (const address of list(input.addresses)) Contact.discovered(state, address, at.now)
      return
    case "Forget":
      for (const address of list(input.addresses)) Parting.forget(at, address)
      return
    case "Disconnect":
      return Parting.disconnect(at, input.peer)
    case "Superseded":
      return superseded(at, input.epoch, input.instance)
  }
}

function list(given: ReadonlyArray<string>): ReadonlyArray<string> {
  return Array.isArray(given) ? given : []
}

function receive(at: At, from: string, message: Message): void {
  const { state } = at
  const link = state.links.get(from)
  if (link === undefined || typeof message !== "object" || message === null) return
  link.greeted = 0
  switch (message._tag) {
    case "Ping":
    case "Ack":
    case "Poll":
    case "Here": {
      const { seq, view, digest } = message
      if (!Number.isSafeInteger(seq)) return
      answer(at, from, message._tag, seq)
      Gossip.compareViews(at, link, view >>> 0)
      at.outputs.push({ _tag: "PeerDigest", peer: from, digest: digest >>> 0 })
      return
    }
    case "PingRequest":
      if (!Number.isSafeInteger(message.seq) || !Claims.isName(message.target)) return
      return Probe.assist(at, from, message.seq, message.target)
    case "PingReply":
      return Probe.assisted(at, from, message.seq, message.target, message.ok === true)
    case "Claims":
      Gossip.receive(at, message.claims, message.full, from)
      if (message.full) Parting.insist(at, from)
      return
    case "LeftAck":
      return Identity.acknowledged(at, from, message.epoch)
    case "Bye":
      return Parting.farewell(at, from)
  }
}

/** What follows from a sign of life by itself. */
function answer(at: At, from: string, tag: "Ping" | "Ack" | "Poll" | "Here", seq: number): void {
  switch (tag) {
    case "Ack":
      return Probe.acknowledge(at, from, seq)
    case "Ping": {
      const { viewHash: view, digest } = at.state
      return Roster.send(at, from, { _tag: "Ack", seq, view, digest })
    }
    case "Poll":
      return Bus.polled(at, from, seq)
    case "Here":
      return Bus.here(at, from, seq)
  }
}

function superseded(at: At, epoch: number, instance: number): void {
  const { self } = at.state
  if (!Claims.isEpoch(epoch) || self.rank === Claims.LEFT) return
  const younger = epoch > self.epoch || (epoch === self.epoch && instance > self.instance)
  if (younger) Identity.supersede(at, epoch, instance)
}

// --- consequences --------------------------------------------------------------------------------

/** Does what is due and draws the consequences of all that the step has changed. */
function settle(at: At): void {
  const { state, now } = at
  if (state.leave !== undefined) return part(at, state.leave.until)
  const due = now >= state.wake
  refresh(at)
  if (due) {
    Bus.due(at)
    Probe.due(at)
    Parting.due(at)
    Gossip.greet(at)
  }
  do refresh(at)
  while (state.accused.size > 0 && Suspicion.deliberate(at))
  Probe.alarm(at)
  Report.changes(at)
  Gossip.flush(at)
  Links.close(at)
  if (now >= state.contactsAt || state.contactsChanged) Contact.dial(at)
  if (state.gone.size > 0) Gossip.forget(at)
  state.wake = Math.min(
    Probe.wakeAt(state),
    Bus.wakeAt(state),
    Suspicion.wakeAt(state),
    state.contactsAt,
    Parting.wakeAt(state),
    state.greetAt,
    state.gone.values().next().value ?? Number.POSITIVE_INFINITY,
  )
}

/** I have left: all there is to do is to see that the others know. */
function part(at: At, until: number): void {
  Gossip.flush(at)
  Links.close(at)
  Identity.depart(at)
  at.state.wake = until
}

function refresh(at: At): void {
  const { state } = at
  if (!state.viewChanged) return
  state.viewChanged = false
  state.view = [...state.live].sort((a, b) => Claims.compare(a.name, b.name))
  state.observers.clear()
  Probe.assign(state, at.now)
}

function born(options: Options, self: Claim, now: number, random: number): State {
  return {
    options,
    self,
    now,
    wake: Number.POSITIVE_INFINITY,
    random,
    seq: 0,
    digest: 0,
    health: 0,
    peers: new Map(),
    links: new Map(),
    live: new Set(),
    view: [],
    viewChanged: false,
    subjects: [],
    viewHash: Claims.hash(self),
    observers: new Map(),
    accused: new Set(),
    dead: new Set(),
    gone: new Map(),
    ups: 0,
    refused: new Set(),
    bans: new Map(),
    parting: new Map(),
    seeds: new Map(),
    mine: new Set(),
    dials: new Map(),
    reconnectAt: Number.POSITIVE_INFINITY,
    contactsAt: Number.POSITIVE_INFINITY,
    greetAt: Number.POSITIVE_INFINITY,
    relays: [],
    pollAt: Number.POSITIVE_INFINITY,
    polls: false,
    renewedAt: Number.NEGATIVE_INFINITY,
    supersessions: [],
    leave: undefined,
    ended: false,
    news: new Map(),
    changed: new Set(),
    alarmed: new Set(),
    owing: false,
    closing: new Map(),
    contactsChanged: false,
  }
}
