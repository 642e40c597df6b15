/**
 * A node's own claim: refuting what others say about it, giving way to another instance of its name,
 * and leaving.
 *
 * @module
 */
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import type { At } from "./roster.ts"
import * as Roster from "./roster.ts"

/** This many instances of my name within {@link CONFLICT_MILLIS} mean that another one lives. */
export const CONFLICTS_MAX = 3
/** See {@link CONFLICTS_MAX}. */
export const CONFLICT_MILLIS = 30_000
/** So many peers have to know that I left … */
const LEFT_ACKS = 3
/** … and they get this long. */
const LEAVE_MILLIS = 1_000

/** Somebody makes this claim about me. */
export function hear(at: At, claim: Claim, from: string): void {
  const { self } = at.state
  if (self.rank === Claims.LEFT || claim.epoch < self.epoch) return
  const stranger = claim.instance !== self.instance
  if (claim.epoch > self.epoch || claim.rank === Claims.LEFT) {
    supersede(at, claim.epoch, claim.instance)
  } else if (stranger && claim.instance > self.instance) {
    supersede(at, claim.epoch, claim.instance)
  } else if (claim.incarnation > self.incarnation) {
    raise(at, {}, claim.incarnation)
  } else if (claim.incarnation === self.incarnation) {
    if (claim.rank === Claims.ALIVE && !stranger) return
    if (claim.rank !== Claims.ALIVE) Roster.strain(at.state, 1)
    raise(at, {})
  } else if (claim.rank !== Claims.ALIVE || stranger) {
    // Refuted already, but they don't know it.
    Roster.send(at, from, { _tag: "Claims", claims: [self], full: false })
  }
}

/** Says something new about me, above every incarnation up to `above`. */
export function raise(
  at: At,
  change: Partial<Pick<Claim, "phase">>,
  above: number = at.state.self.incarnation,
): void {
  const { self } = at.state
  const incarnation = Math.max(above, self.incarnation) + 1
  if (incarnation > Claims.INCARNATION_MAX) return renew(at, self.epoch)
  Roster.declare(at, { ...self, ...change, incarnation })
}

/** Somebody holds my name, or did, with this epoch that I didn't issue. */
export function supersede(at: At, epoch: number, instance: number): void {
  const { state, now } = at
  const recent = state.supersessions.filter((time) => time > now - CONFLICT_MILLIS)
  recent.push(now)
  state.supersessions = recent
  if (recent.length < CONFLICTS_MAX && epoch < Number.MAX_SAFE_INTEGER) return renew(at, epoch)
  state.ended = true
  Roster.tell(at, { _tag: "NameConflict", epoch, instance })
}

/** Goes on as an instance younger than `epoch`. */
function renew(at: At, before: number): void {
  const { state, now } = at
  const epoch = Math.max(before, state.self.epoch) + 1
  Roster.declare(at, { ...state.self, epoch, incarnation: 0 })
  Roster.tell(at, { _tag: "EpochChanged", epoch })
  // Whoever refused the old one may accept this one.
  state.renewedAt = now
  for (const { contact } of state.view) Roster.hurry(contact, now)
  for (const contact of state.seeds.values()) Roster.hurry(contact, now)
  state.contactsChanged = true
}

/** From `joining` to `up`. */
export function synced(at: At): void {
  if (at.state.self.phase === "joining") raise(at, { phase: "up" })
}

/** From any phase to `leaving`. */
export function leave(at: At): void {
  if (at.state.self.phase !== "leaving") raise(at, { phase: "leaving" })
}

/** From `leaving` to gone, once enough peers know. */
export function drained(at: At): void {
  const { state, now } = at
  const { self } = state
  if (self.phase !== "leaving" || self.rank === Claims.LEFT) return
  Roster.declare(at, { ...self, rank: Claims.LEFT, incarnation: Claims.GONE })
  const needed = Math.min(LEFT_ACKS, state.links.size)
  state.leave = { acks: new Set(), needed, until: now + LEAVE_MILLIS }
}

/** A peer knows that I left. */
export function acknowledged(at: At, from: string, epoch: number): void {
  const { leave, self } = at.state
  if (leave !== undefined && epoch === self.epoch) leave.acks.add(from)
}

/** Ends when enough peers know that I left, or the time is up. */
export function depart(at: At): void {
  const { state, now } = at
  const { leave } = state
  if (leave === undefined) return
  // Who leaves at the same time may be gone before it has answered, and needn't know.
  const needed = Math.min(leave.needed, state.live.size)
  if (leave.acks.size < needed && now < leave.until) return
  state.leave = undefined
  state.ended = true
  Roster.tell(at, { _tag: "LeaveDone" })
}
