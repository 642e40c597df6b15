/**
 * Probing on a bus, a medium on which whatever one says reaches all: one member polls, every member answers
 * all the others, and so everybody has everybody's sign of life for one message each per period. Nobody is
 * pinged alone, and nobody judges others but after a poll: where all timers are slowed down, as in browser
 * tabs that nobody sees, there are few polls and nobody is accused.
 *
 * Whoever polled last goes on. When no poll comes in time, others take over in the order of their names; of
 * two that poll the lower name stays.
 *
 * @module
 */
import * as Claims from "./claim.ts"
import * as Probe from "./probe.ts"
import type { At, State } from "./roster.ts"
import * as Roster from "./roster.ts"
import * as Rtt from "./rtt.ts"

/** Periods without a poll after which the first of the others polls. */
const TAKEOVER_PERIODS = 1.5
/** From one member to the next that would take over, in periods, and at most so many for the last. */
const STEP_PERIODS = 0.125
const STEPS_PERIODS_MAX = 1

/** Polls, when it is time and this node's turn. */
export function due(at: At): void {
  const { state, now } = at
  if (state.pollAt > now) return
  const mates = matesOf(state)
  if (mates.length === 0) {
    state.pollAt = Number.POSITIVE_INFINITY
    state.polls = false
    return
  }
  const { viewHash: view, digest } = state
  const seq = ++state.seq
  state.polls = true
  state.pollAt = now + state.options.timing.probeMillis * (state.health + 1)
  for (const mate of mates) Roster.send(at, mate, { _tag: "Poll", seq, view, digest })
  watch(at, seq)
}

/** There is a link on the bus now. */
export function joined(state: State, now: number): void {
  if (state.pollAt === Number.POSITIVE_INFINITY) stand(state, matesOf(state), now)
}

/** Somebody polls: everybody gets to hear that I am here. */
export function polled(at: At, from: string, seq: number): void {
  const { state, now } = at
  const mates = matesOf(state)
  const { viewHash: view, digest } = state
  for (const mate of mates) Roster.send(at, mate, { _tag: "Here", seq, view, digest })
  if (!state.polls || from < state.self.name) stand(state, mates, now)
  watch(at, seq)
  alive(at, from)
}

/** Somebody answers a poll, mine or another's. */
export function here(at: At, from: string, seq: number): void {
  const { state, now } = at
  const peer = state.peers.get(from)
  const link = state.links.get(from)
  if (link !== undefined) link.answered = seq
  // (What others measure is the poll's way to them, not a round trip.)
  if (state.polls && peer?.probe?.seq === seq && link !== undefined)
    Rtt.sample(link.rtt, now - peer.probe.sentAt)
  alive(at, from)
}

/** When this node polls unless somebody else does. */
export function wakeAt(state: State): number {
  return state.pollAt
}

/** Leaves polling to others for as long as they do. */
function stand(state: State, mates: ReadonlyArray<string>, now: number): void {
  const rank = mates.filter((mate) => mate < state.self.name).length
  const turn = Math.min(rank * STEP_PERIODS, STEPS_PERIODS_MAX)
  state.polls = false
  state.pollAt = now + state.options.timing.probeMillis * (TAKEOVER_PERIODS + turn)
}

/** From now on those on the bus have one period to show that they are there. */
function watch(at: At, seq: number): void {
  const { state } = at
  for (const peer of state.subjects) {
    const link = Roster.linkTo(state, peer)
    // Its answer may have overtaken the poll.
    if (link?.medium !== "bus" || link.answered === seq) continue
    if (peer.probe?.seq === 0) Probe.wait(at, peer.probe, seq)
  }
}

function alive(at: At, from: string): void {
  const { state } = at
  const peer = state.peers.get(from)
  const link = peer === undefined ? undefined : Roster.linkTo(state, peer)
  if (peer === undefined || link === undefined) return
  link.missed = 0
  Probe.heard(at, peer)
}

function matesOf(state: State): ReadonlyArray<string> {
  const mates: Array<string> = []
  for (const { peer, medium } of state.links.values()) if (medium === "bus") mates.push(peer)
  return mates.sort(Claims.compare)
}
