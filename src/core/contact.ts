/**
 * Whom to dial, and when: seeds, members without a link, and the dead, who may come back.
 *
 * @module
 */
import * as Detour from "./detour.ts"
import * as Gossip from "./gossip.ts"
import type { Input } from "./member.ts"
import type { At, Contact, Peer, Seed, State } from "./roster.ts"
import * as Roster from "./roster.ts"

type Failure = Extract<Input, { readonly _tag: "DialFailed" }>["reason"]

/** A dial of which nothing is heard is over after this long. */
const DIAL_MILLIS = 6_000
/** A seed that turned out to be somebody we are linked to under another address is left alone. */
const DUPLICATE_MILLIS = 60_000
/** All members together dial about so many of the dead per period. */
const DIALS_PER_PERIOD = 3
/** More addresses than this aren't dialled; the oldest give way. */
export const ADDRESSES_MAX = 1_024
/** Longer addresses aren't dialled. */
export const ADDRESS_LENGTH_MAX = 512

/** An address that is listed to be connected, and how it stands. */
export interface Listed {
  readonly address: string
  /** Who lives there, or whom a user has parted with; undefined where that isn't known. */
  readonly node: string | undefined
  /**
   * `connected`: there is a link. `dialling`: an answer is waited for. `waiting`: it is dialled later.
   * `disconnected`: a user has parted with who is there.
   */
  readonly state: "connected" | "dialling" | "waiting" | "disconnected"
}

/** From now on this address is dialled until there is a link to who is there. */
export function seed(
  state: State,
  address: string,
  now: number,
  pardoned: ReadonlyArray<string> = [],
): void {
  if (typeof address !== "string" || address.length > ADDRESS_LENGTH_MAX) return
  if (!dialable(state, address)) return
  const seed: Seed = {
    at: now,
    backoffMillis: Roster.BACKOFF_MILLIS,
    real: realOf(state, address),
    unwanted: false,
    pardoned: new Set(pardoned),
  }
  state.seeds.delete(address)
  state.seeds.set(address, seed)
  trim(state.seeds)
  state.contactsChanged = true
}

/** Discovery gives this address: it is dialled as a seed, and nothing is asked of it anew. */
export function discovered(state: State, address: string, now: number): void {
  const known = state.seeds.get(address)
  // Who leaves doesn't look for others any more.
  if (state.self.phase === "leaving") return
  if (known === undefined) seed(state, address, now)
  else known.unwanted = false
}

/** Nobody wants this address any more; false when it stays, as it was given at birth. */
export function forget(state: State, address: string): boolean {
  if (state.options.seeds.includes(address)) return false
  const known = state.seeds.get(address)
  if (known === undefined) return true
  known.unwanted = true
  known.pardoned.clear()
  state.contactsChanged = true
  return true
}

/** A user has parted with the peer: whatever was asked for before doesn't take that back. */
export function unpardon(state: State, name: string): void {
  for (const seed of state.seeds.values()) seed.pardoned.delete(name)
}

/** Whether my user has asked for this address since anybody parted with the peer. */
export function pardons(state: State, address: string, name: string): boolean {
  return state.seeds.get(address)?.pardoned.has(name) === true
}

/** What who was last found at the address calls it: the address itself where that isn't known. */
export function realOf(state: State, address: string): string {
  return state.seeds.get(address)?.real ?? address
}

/** Who lives at the address, as far as this node knows; one that is linked before others. */
export function nodeAt(state: State, address: string): string | undefined {
  const real = realOf(state, address)
  const here = (one: string): boolean => one === address || one === real
  for (const link of state.links.values()) if (here(link.address)) return link.peer
  return state.view.find(({ claim }) => here(claim.address))?.name
}

/** Whether it is an address of this node itself, as far as it knows. */
export function own(state: State, address: string): boolean {
  return !dialable(state, address)
}

/** All addresses that are listed to be connected, and those of peers parted with. */
export function list(state: State): ReadonlyArray<Listed> {
  const listed: Array<Listed> = []
  const reals = new Set<string>()
  for (const [address, seed] of state.seeds) {
    const { real, unwanted } = seed
    if (unwanted) continue
    reals.add(real)
    listed.push(stand(state, address))
  }
  for (const [node, ban] of state.bans) {
    const address = state.peers.get(node)?.claim.address ?? ban.address
    if (!Roster.banned(state, node) || reals.has(address) || reals.has(ban.address)) continue
    listed.push({ address, node, state: "disconnected" })
  }
  return listed
}

function stand(state: State, address: string): Listed {
  const parted = partedAt(state, address)
  if (parted !== undefined) return { address, node: parted, state: "disconnected" }
  const node = nodeAt(state, address)
  if (node !== undefined && state.links.has(node)) return { address, node, state: "connected" }
  return { address, node, state: state.dials.has(address) ? "dialling" : "waiting" }
}

/** Dials whoever is due. */
export function dial(at: At): void {
  const { state, now } = at
  state.contactsChanged = false
  for (const [address, until] of state.dials) if (until <= now) failed(at, address, "timeout")
  for (const peer of state.view) {
    const { contact, claim } = peer
    if (!wanted(state, peer)) Roster.rest(contact)
    else {
      if (contact.at === Number.POSITIVE_INFINITY) contact.at = now + patience(state, peer)
      if (contact.at <= now) open(at, contact, claim.address, peer.name)
    }
    Detour.seek(at, peer, dialable(state, claim.address))
  }
  seeds(at)
  reconnect(at)
  state.contactsAt = wakeAt(state)
}

/** How long to wait before a peer is dialled that nothing is known against. */
function patience(state: State, { name }: Peer): number {
  // There is a way to it: a shorter one may take its time.
  if (state.links.has(name)) return Roster.jitter(state, state.options.timing.reconnectMillis)
  return state.self.name < name ? 0 : Detour.YIELD_MILLIS
}

function seeds(at: At): void {
  const { state, now } = at
  if (state.seeds.size === 0) return
  const addresses = new Set<string>()
  for (const link of state.links.values()) addresses.add(link.address)
  for (const peer of state.view) addresses.add(peer.claim.address)
  for (const [address, contact] of state.seeds) {
    const { real, unwanted } = contact
    const inhabited = addresses.has(address) || addresses.has(real)
    if (unwanted && !inhabited) state.seeds.delete(address)
    else if (inhabited || partedAt(state, address) !== undefined) Roster.rest(contact)
    else {
      if (contact.at === Number.POSITIVE_INFINITY) contact.at = now
      if (contact.at <= now) retry(at, contact, address)
    }
  }
}

/** A seed that has been silent for long is dialled by some of the members only. */
function retry(at: At, contact: Contact, address: string): void {
  const { reconnectMillis } = at.state.options.timing
  const rare = contact.backoffMillis >= reconnectMillis
  if (rare && !lucky(at.state)) contact.at = at.now + Roster.jitter(at.state, reconnectMillis)
  else open(at, contact, address, undefined)
}

/** Every period, with a probability that keeps the cluster's rate the same, dials one of the dead. */
function reconnect(at: At): void {
  const { state, now } = at
  const { reconnectMillis } = state.options.timing
  if (state.dead.size === 0) state.reconnectAt = Number.POSITIVE_INFINITY
  else if (state.reconnectAt === Number.POSITIVE_INFINITY) {
    state.reconnectAt = now + 1 + Roster.chance(state, Math.ceil(reconnectMillis))
  } else if (state.reconnectAt <= now) {
    state.reconnectAt = now + Roster.jitter(state, reconnectMillis)
    if (!lucky(state)) return
    const dead = [...state.dead].filter((peer) => lost(state, peer))
    const peer = dead[Roster.chance(state, dead.length)]
    if (peer !== undefined) open(at, peer.contact, peer.claim.address, peer.name)
  }
}

function open(at: At, contact: Contact, address: string, peer: string | undefined): void {
  const { state, now } = at
  const until = state.dials.get(address)
  contact.at = until ?? now + DIAL_MILLIS
  if (until !== undefined) return
  state.dials.set(address, contact.at)
  at.outputs.push({ _tag: "Dial", address, peer })
}

/** A dial came to nothing. `real` is the address of who is there by its own word, where that was said. */
export function failed(at: At, address: string, reason: Failure, real?: string): void {
  const { state } = at
  const until = state.dials.get(address)
  // Dialled as the instance that I was before: that says nothing about the one I am now.
  const outdated = until !== undefined && until - DIAL_MILLIS <= state.renewedAt
  state.dials.delete(address)
  state.contactsChanged = true
  if (reason === "self") {
    state.mine.add(address)
    state.seeds.delete(address)
    trim(state.mine)
  }
  for (const peer of state.view) {
    const link = Roster.linkTo(state, peer)
    if (peer.claim.address !== address || (link !== undefined && link.medium !== "relay")) continue
    if (outdated) Roster.hurry(peer.contact, at.now)
    else later(at, peer.contact, reason)
    const observed = Roster.observers(state, peer.name).includes(state.self.name)
    // We were linked and now nobody listens: most likely the process is gone.
    const gone = link === undefined && peer.lostEpoch === peer.claim.epoch
    if (reason === "refused" && observed && gone) {
      Gossip.accuse(at, peer.name, true)
    }
  }
  const contact = state.seeds.get(address)
  if (contact === undefined) return
  if (reason === "duplicate") named(contact, real)
  if (outdated) Roster.hurry(contact, at.now)
  else if (reason === "duplicate") contact.at = at.now + DUPLICATE_MILLIS
  else later(at, contact, reason)
}

/** (A duplicate of a link that has come is over; of one that the peer hasn't missed yet, it isn't.) */
function later(at: At, contact: Contact, reason: Failure): void {
  const { state, now } = at
  const { reconnectMillis } = state.options.timing
  if (reason === "rejected") contact.backoffMillis = reconnectMillis
  contact.at = now + Roster.jitter(state, contact.backoffMillis)
  contact.backoffMillis = Math.min(2 * contact.backoffMillis, reconnectMillis)
}

/** There is a link now. */
export function connected(at: At, name: string, address: string): void {
  const { state } = at
  const peer = state.peers.get(name)
  state.dials.delete(address)
  if (peer !== undefined) state.dials.delete(peer.claim.address)
  state.contactsChanged = true
}

/** A dial led to somebody whose own word for that address is `real`. */
export function reached(state: State, dialled: string, real: string): void {
  const seed = state.seeds.get(dialled)
  state.dials.delete(dialled)
  if (seed !== undefined) named(seed, real)
}

/** Who is at the address calls it by another name: under both it is the same peer. */
function named(seed: Seed, real: string | undefined): void {
  if (typeof real === "string" && real !== "") seed.real = real
}

/** The link to this peer ended, with this epoch behind it: it is dialled at once. */
export function disconnected(at: At, name: string, epoch: number): void {
  const { state, now } = at
  const peer = state.peers.get(name)
  state.contactsChanged = true
  for (const contact of state.seeds.values()) {
    contact.at = Math.min(contact.at, now + Roster.BACKOFF_MILLIS)
  }
  if (peer === undefined) return
  peer.lostEpoch = epoch
  Roster.hurry(peer.contact, now)
}

/** The next dial, or the end of one. */
function wakeAt(state: State): number {
  let at = state.reconnectAt
  for (const { contact, detour } of state.view) at = Math.min(at, contact.at, detour.at)
  for (const contact of state.seeds.values()) at = Math.min(at, contact.at)
  for (const until of state.dials.values()) at = Math.min(at, until)
  return at
}

/** There is no link to it, or only one through a neighbour. */
function wanted(state: State, { name, claim }: Peer): boolean {
  const link = state.links.get(name)
  if (link !== undefined && link.medium !== "relay") return false
  return !Roster.banned(state, name) && dialable(state, claim.address)
}

function lost(state: State, { name, claim }: Peer): boolean {
  if (state.links.has(name) || state.dials.has(claim.address)) return false
  return dialable(state, claim.address) && !covered(state, claim.address)
}

/** Whether who is at the address is linked, looked after as a member, or parted with. */
function covered(state: State, address: string): boolean {
  for (const link of state.links.values()) if (link.address === address) return true
  for (const peer of state.view) if (peer.claim.address === address) return true
  return partedAt(state, address) !== undefined
}

/** With whom at the address a user has parted; undefined for nobody. */
export function partedAt(state: State, address: string): string | undefined {
  const real = realOf(state, address)
  for (const [name, ban] of state.bans) {
    if (ban.by === "nobody") continue
    if (Roster.isAt(state, name, ban, address) || Roster.isAt(state, name, ban, real)) return name
  }
  return undefined
}

function dialable(state: State, address: string): boolean {
  return address !== "" && address !== state.self.address && !state.mine.has(address)
}

function lucky(state: State): boolean {
  return Roster.chance(state, state.live.size + 1) < DIALS_PER_PERIOD
}

function trim(addresses: Map<string, unknown> | Set<string>): void {
  for (const address of addresses.keys()) {
    if (addresses.size <= ADDRESSES_MAX) return
    addresses.delete(address)
  }
}
