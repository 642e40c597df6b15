/**
 * Users part with peers: neither side sees the other as a member any more, nor dials it, until one of
 * the users connects again. The rest of the cluster isn't concerned: both remain members for others,
 * and both go on observing each other through them.
 *
 * @module
 */
import * as Claims from "./claim.ts"
import * as Contact from "./contact.ts"
import * as Gossip from "./gossip.ts"
import * as Identity from "./identity.ts"
import type { At, Ban, State } from "./roster.ts"
import * as Roster from "./roster.ts"

/** A peer that was told gets this long to read it and end the link. */
const CLOSE_MILLIS = 1_000
const BANS_MAX = 1_024

/** Whether my user can part with a peer: it is linked or looked for, and nobody has parted with it. */
export function parts(state: State, name: string): boolean {
  if (Roster.banned(state, name)) return false
  if (state.links.has(name)) return true
  const peer = state.peers.get(name)
  return peer !== undefined && peer.claim.rank !== Claims.LEFT
}

/** My user parts with a peer. */
export function disconnect(at: At, name: string): void {
  const { state } = at
  const link = state.links.get(name)
  if (link === undefined && !state.peers.has(name)) return
  ban(at, name, "me")
  if (link === undefined) return
  state.links.delete(name)
  bid(at, name, link.cameWith)
}

/** The peer's user parts with me. */
export function farewell(at: At, from: string): void {
  ban(at, from, "them")
  at.state.closing.set(from, "bye")
}

/** Tells the peer; it ends the link when it has read it. */
function bid(at: At, name: string, epoch: number): void {
  Roster.send(at, name, { _tag: "Bye" })
  at.state.parting.set(name, { epoch, closeAt: at.now + CLOSE_MILLIS })
}

function ban(at: At, name: string, by: "me" | "them"): void {
  const { state } = at
  const address = (state.links.get(name) ?? state.peers.get(name)?.claim)?.address ?? ""
  state.bans.delete(name)
  state.bans.set(name, { by, address, told: 0 })
  for (const first of state.bans.keys()) {
    if (state.bans.size <= BANS_MAX) break
    state.bans.delete(first)
  }
  Contact.unpardon(state, name)
  revise(at, name)
}

/**
 * Whether a link that came up may stay. `dialled` is the address that I dialled for it; undefined when
 * the peer did.
 */
export function admits(at: At, name: string, epoch: number, dialled?: string): boolean {
  const { state } = at
  state.parting.delete(name)
  const ban = state.bans.get(name)
  if (ban === undefined) return true
  if (!welcome(state, name, ban, epoch, dialled)) {
    bid(at, name, epoch)
    return false
  }
  state.bans.delete(name)
  revise(at, name)
  // As I was down for the peer, it waits for a new incarnation of mine.
  Identity.raise(at, {})
  return true
}

/**
 * A link from a peer that knows that we parted is its user's will; another one is told first. One that I
 * dialled, by an address that I didn't know to be the peer's, is welcome if my user asked for it since.
 */
function welcome(
  state: State,
  name: string,
  ban: Ban,
  epoch: number,
  dialled: string | undefined,
): boolean {
  if (ban.by === "nobody") return true
  if (dialled !== undefined) return Contact.pardons(state, dialled, name)
  return ban.by === "them" || ban.told === epoch
}

/** A link over which the peer was told has ended: `closed` when the peer did that, having read it. */
export function ended(at: At, name: string, epoch: number, reason: string): void {
  const { state } = at
  const ban = state.bans.get(name)
  if (state.parting.get(name)?.epoch !== epoch) return
  state.parting.delete(name)
  if (ban !== undefined && reason === "closed") ban.told = epoch
  Contact.disconnected(at, name, 0)
}

/** The user connects to this address: whoever is there is welcome again. */
export function connect(at: At, address: string): void {
  const { state, now } = at
  const real = Contact.realOf(state, address)
  const pardoned: Array<string> = []
  for (const [name, ban] of state.bans) {
    if (Roster.isAt(state, name, ban, real)) {
      ban.by = "nobody"
      revise(at, name)
    } else if (ban.by !== "nobody") pardoned.push(name)
  }
  for (const peer of state.view) {
    if (peer.claim.address === real) peer.contact.at = Math.min(peer.contact.at, now)
  }
  state.contactsChanged = true
  Contact.seed(state, address, now, pardoned)
}

/** Nobody wants this address any more: nor is who was parted with there, and hasn't come, welcome. */
export function forget(at: At, address: string): void {
  const { state } = at
  if (!Contact.forget(state, address)) return
  const real = Contact.realOf(state, address)
  for (const [name, ban] of state.bans) {
    if (ban.by !== "nobody" || !Roster.isAt(state, name, ban, real)) continue
    ban.by = "me"
    revise(at, name)
  }
}

/** A peer that is down for my user only, and hasn't noticed, has to raise its incarnation. */
export function insist(at: At, name: string): void {
  const { state } = at
  const peer = state.peers.get(name)
  if (peer?.shown === undefined || peer.up || Roster.banned(state, name)) return
  const later = Claims.compareVersions(peer.claim, peer.shown) > 0
  if (!later && peer.claim.rank === Claims.ALIVE) Gossip.accuse(at, name, false)
}

/** Ends links to peers that were told and didn't end them. */
export function due(at: At): void {
  const { state, now } = at
  for (const [peer, { closeAt }] of state.parting) {
    if (closeAt > now) continue
    state.parting.delete(peer)
    at.outputs.push({ _tag: "Close", peer, reason: "parted" })
  }
}

/** The next link to end. */
export function wakeAt(state: State): number {
  let at = Number.POSITIVE_INFINITY
  for (const { closeAt } of state.parting.values()) at = Math.min(at, closeAt)
  return at
}

function revise(at: At, name: string): void {
  const { state } = at
  const peer = state.peers.get(name)
  if (peer !== undefined) state.changed.add(peer)
  state.contactsChanged = true
}
