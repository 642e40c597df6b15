/**
 * The state of a node's membership: itself, its peers and its links; and what every part does to it.
 *
 * During a step the parts change claims and mark what follows from that; `membership.ts` draws the
 * consequences (events, news for others, links to close) once, at the end of the step.
 *
 * @module
 */
import type { Claim } from "./claim.ts"
import * as Claims from "./claim.ts"
import { hash32, splitmix } from "./hash.ts"
import type { DownReason, Event, Medium, Message, Options, Output } from "./member.ts"
import { observersOf } from "./observers.ts"
import type { Rtt } from "./rtt.ts"

/** A node's membership. Owned by `step`; others only read it. */
export interface State {
  readonly options: Options
  /** My own claim. */
  self: Claim
  now: number
  /** My one deadline. */
  wake: number
  random: number
  /** The last number given to a ping. */
  seq: number
  /** My registry's hash. */
  digest: number
  /** Lifeguard's local health: 0 is well, up to {@link HEALTH_MAX}: my own clocks run slower. */
  health: number
  readonly peers: Map<string, Peer>
  readonly links: Map<string, Link>
  /** Peers whose claims live; `view` has them sorted by name, unless `viewChanged`. */
  readonly live: Set<Peer>
  view: ReadonlyArray<Peer>
  viewChanged: boolean
  /** Whom I observe: those of the view that are probed. */
  subjects: ReadonlyArray<Peer>
  /** The sum of the hashes of the live claims, mine included. */
  viewHash: number
  /** Observers of the members of this view, as far as they were needed. */
  readonly observers: Map<string, ReadonlyArray<string>>
  /** Suspects, and the dead whom the user still sees. */
  readonly accused: Set<Peer>
  /** Peers that are dead, not gone: they may come back without a word of ours. */
  readonly dead: Set<Peer>
  /** The dead and gone in the order of their end, and when each is forgotten. */
  readonly gone: Map<string, number>
  /** Peers that the user sees as members. */
  ups: number
  /** Names for which there was no room, as their user has been told. */
  readonly refused: Set<string>
  readonly bans: Map<string, Ban>
  /** Links that end as soon as the peer has read why: when to close them. */
  readonly parting: Map<string, Parting>
  readonly seeds: Map<string, Seed>
  /** Addresses that turned out to be mine. */
  readonly mine: Set<string>
  /** Addresses being dialled, and until when an answer is waited for. */
  readonly dials: Map<string, number>
  /** When the next of the dead is dialled. */
  reconnectAt: number
  /** When somebody is to be dialled, or a dial is over: as of the last look. */
  contactsAt: number
  /** When a peer that is no member is shown my view again, at the earliest. */
  greetAt: number
  readonly relays: Array<Relay>
  /** When to poll those on my bus, unless somebody else does before; infinite without a bus. */
  pollAt: number
  /** It was I who polled last. */
  polls: boolean
  /** When I last became a younger instance of myself; minus infinity for never. */
  renewedAt: number
  /** When others claimed my name, lately. */
  supersessions: ReadonlyArray<number>
  /** Under way to the end: who has acknowledged that I left, and until when I wait. */
  leave: { readonly acks: Set<string>; readonly needed: number; readonly until: number } | undefined
  /** Nothing follows any more. */
  ended: boolean
  // What one step leaves to its end.
  /** Names whose claims are news, and who told them; undefined for my own word. */
  readonly news: Map<string, string | undefined>
  /** Peers whose claims changed. */
  readonly changed: Set<Peer>
  /** Peers accused by others: to be probed at once. */
  readonly alarmed: Set<Peer>
  /** Some link is owed my view, or an answer. */
  owing: boolean
  /** Links to close, and why. */
  readonly closing: Map<string, string>
  /** Something changed about who is to be dialled. */
  contactsChanged: boolean
}

/** Another member, or one that was. */
export interface Peer {
  readonly name: string
  /** The hash of its name. */
  readonly place: number
  claim: Claim
  hash: number
  // What the user was told.
  up: boolean
  suspect: boolean
  /** The claim last shown; the next `Up` must be later. */
  shown: Claim | undefined
  /** Why it is down: decided, or shown. */
  verdict: DownReason | undefined
  // Evidence.
  /** When it last answered; minus infinity for never. */
  heardAt: number
  /** When I first saw its present incarnation accused, and accused with hard evidence. */
  accusedAt: number
  hardAt: number
  /** When a quorum of its observers had first accused it, as I know. */
  agreedAt: number
  /** The epoch whose link to me ended: a refused dial is hard evidence then. */
  lostEpoch: number
  /** Set while I observe it. */
  probe: Probe | undefined
  readonly contact: Contact
  /** When to look for a way through a neighbour, and how many ways have come to nothing. */
  readonly detour: Contact
  detours: number
}

/** The probing of one subject. */
export interface Probe {
  /** When the next one begins. */
  at: number
  /** Number of the ping under way; 0 for none. */
  seq: number
  sentAt: number
  /** When helpers are asked; infinite once they were. */
  askAt: number
  /** When it has failed. */
  failAt: number
  /** Begun anew so often, as this node was late itself. */
  restarts: number
  /** Helpers that haven't answered. */
  helpers: Array<string>
}

/** A connection to a peer whose handshake is done. */
export interface Link {
  readonly peer: string
  /** The epoch at the handshake, by which its end is told. */
  readonly cameWith: number
  /** The epoch of the process behind it, now. */
  epoch: number
  readonly address: string
  readonly medium: Medium
  /** The last poll on the bus that it has answered; 0 for none. */
  answered: number
  readonly rtt: Rtt
  /** Since when the peer's hash of the view differs from mine, and how often in a row. */
  differsAt: number
  differs: number
  /** Probes in a row that only others could bring an answer to, with nothing on the link itself. */
  missed: number
  /** When to introduce myself again, in case that the peer is no member by then. */
  greetAt: number
  /** How often I did so since something last came. */
  greeted: number
  // What the end of the step owes it.
  full: boolean
  /** The full view it sent, to be answered. */
  asked: ReadonlyArray<Claim> | undefined
}

/** When to dial an address. */
export interface Contact {
  at: number
  /** The wait after the next failure. */
  backoffMillis: number
}

/** An address that somebody wants to be dialled. */
export interface Seed extends Contact {
  /** What who was last found there calls it: the address that others dial. */
  real: string
  /** Nobody wants it any more: it goes as soon as nobody lives there. */
  unwanted: boolean
  /** Peers parted with before my user asked for this address: if it leads to them, they are welcome. */
  readonly pardoned: Set<string>
}

/** A user parted with a peer. */
export interface Ban {
  /** Mine, the peer's own, or nobody's any more: then the next link begins with a new incarnation. */
  by: "me" | "them" | "nobody"
  /** Where the peer was then. */
  readonly address: string
  /** The epoch of the peer that knows it; 0 for none. */
  told: number
}

/** A link over which a peer was told that its user parts. */
export interface Parting {
  readonly epoch: number
  readonly closeAt: number
}

/** A ping on behalf of somebody else. */
export interface Relay {
  readonly from: string
  readonly seq: number
  readonly target: string
  /** When to say that there is no answer yet; infinite once said. */
  nackAt: number
  readonly until: number
}

/** A step under way. */
export interface At {
  readonly state: State
  readonly now: number
  readonly outputs: Array<Output>
}

/** The worst that local health gets. */
export const HEALTH_MAX = 8
/** The dead are remembered for this long, so that no old claim brings them back. */
export const REMEMBER_MILLIS: number = 24 * 60 * 60 * 1_000
/** The first wait before an address is dialled again. */
export const BACKOFF_MILLIS = 50

/** Tells the user. */
export function tell(at: At, event: Event): void {
  at.outputs.push({ _tag: "Event", event })
}

/** Sends over the link that is up with `to`. */
export function send(at: At, to: string, message: Message): void {
  at.outputs.push({ _tag: "Send", to, message })
}

/** An integer below `bound`, which is at most 2^32. */
export function chance(state: State, bound: number): number {
  state.random = splitmix(state.random)
  return Math.floor((state.random / 2 ** 32) * bound)
}

/** The link to the very process that the peer's claim is about. */
export function linkTo(state: State, peer: Peer): Link | undefined {
  const link = state.links.get(peer.name)
  return link?.epoch === peer.claim.epoch ? link : undefined
}

/** Whether a user has parted with the peer. */
export function banned(state: State, name: string): boolean {
  const ban = state.bans.get(name)
  return ban !== undefined && ban.by !== "nobody"
}

/** Whether a peer that was parted with is at this address, or was then. */
export function isAt(state: State, name: string, ban: Ban, address: string): boolean {
  return ban.address === address || state.peers.get(name)?.claim.address === address
}

/** The observers of a member by the present view, sorted. */
export function observers(state: State, name: string): ReadonlyArray<string> {
  const known = state.observers.get(name)
  if (known !== undefined) return known
  const view = state.view.map((peer) => peer.name)
  view.push(state.self.name)
  const found = observersOf(view, name)
  state.observers.set(name, found)
  return found
}

/** Whether what I say on the link to `peer` reaches everybody on a bus, so that all are probed at once. */
export function onBus(state: State, peer: Peer): boolean {
  return linkTo(state, peer)?.medium === "bus"
}

/** Nothing is to be dialled there, and the next time with short waits again. */
export function rest(contact: Contact): void {
  contact.at = Number.POSITIVE_INFINITY
  contact.backoffMillis = BACKOFF_MILLIS
}

/** From three quarters to five quarters of it, at least one. */
export function jitter(state: State, millis: number): number {
  return 1 + (millis * 3) / 4 + chance(state, Math.ceil(millis / 2))
}

/** Dials at once, and with short waits again. */
export function hurry(contact: Contact, now: number): void {
  contact.at = now
  contact.backoffMillis = BACKOFF_MILLIS
}

/** Raises or lowers local health by one. */
export function strain(state: State, change: 1 | -1): void {
  state.health = Math.min(HEALTH_MAX, Math.max(0, state.health + change))
}

/** Makes this my own claim, and news. */
export function declare(at: At, claim: Claim): void {
  const { state } = at
  const before = Claims.lives(state.self) ? Claims.hash(state.self) : 0
  const after = Claims.lives(claim) ? Claims.hash(claim) : 0
  state.self = claim
  state.viewHash = (state.viewHash - before + after) >>> 0
  state.news.set(claim.name, undefined)
}

/** Makes this the claim about a peer, and news from `from`; undefined for my own finding. */
export function record(at: At, peer: Peer, claim: Claim, from: string | undefined): void {
  const { state, now } = at
  const before = peer.claim
  peer.claim = claim
  if (Claims.compareVersions(before, claim) !== 0) renew(at, peer, before)
  if (claim.rank > Claims.ALIVE) peer.accusedAt = Math.min(peer.accusedAt, now)
  if (claim.rank > Claims.ALIVE && claim.hard.length > 0) peer.hardAt = Math.min(peer.hardAt, now)
  place(at, peer)
  state.news.set(peer.name, from)
  state.changed.add(peer)
}

/** A new version: what was held against the one before is void. */
function renew(at: At, peer: Peer, before: Claim): void {
  const { state } = at
  const { claim } = peer
  peer.accusedAt = Number.POSITIVE_INFINITY
  peer.hardAt = Number.POSITIVE_INFINITY
  peer.agreedAt = Number.POSITIVE_INFINITY
  peer.verdict = undefined
  // A probe under way was sent to an instance or a condition that is over.
  if (peer.probe !== undefined) peer.probe.seq = 0
  if (before.epoch === claim.epoch) return
  const link = state.links.get(peer.name)
  if (before.instance === claim.instance) {
    // The same process under a younger epoch: what connects us to it still does.
    if (link?.epoch === before.epoch) link.epoch = claim.epoch
    if (peer.lostEpoch === before.epoch) peer.lostEpoch = claim.epoch
    return
  }
  peer.heardAt = link?.epoch === claim.epoch ? at.now : Number.NEGATIVE_INFINITY
  if (link !== undefined && link.epoch < claim.epoch) state.closing.set(peer.name, "superseded")
}

/** Keeps the sets in which the peer is by its claim. */
function place(at: At, peer: Peer): void {
  const { state, now } = at
  const { rank } = peer.claim
  const lives = Claims.lives(peer.claim)
  const after = lives ? Claims.hash(peer.claim) : 0
  state.viewHash = (state.viewHash - peer.hash + after) >>> 0
  peer.hash = after
  if (lives !== state.live.has(peer)) {
    if (lives) state.live.add(peer)
    else state.live.delete(peer)
    state.viewChanged = true
  }
  if (lives) state.gone.delete(peer.name)
  else if (!state.gone.has(peer.name)) state.gone.set(peer.name, now + REMEMBER_MILLIS)
  if (rank === Claims.DEAD) state.dead.add(peer)
  else state.dead.delete(peer)
  if (rank === Claims.SUSPECT || (rank === Claims.DEAD && peer.up)) state.accused.add(peer)
  else state.accused.delete(peer)
  if (!lives && !state.accused.has(peer)) peer.probe = undefined
  state.contactsChanged = true
}

/** A peer first heard of by this claim. */
export function enter(at: At, claim: Claim, from: string | undefined): Peer {
  const peer: Peer = {
    name: claim.name,
    place: hash32(claim.name),
    claim,
    hash: 0,
    up: false,
    suspect: false,
    shown: undefined,
    verdict: undefined,
    heardAt: Number.NEGATIVE_INFINITY,
    accusedAt: Number.POSITIVE_INFINITY,
    hardAt: Number.POSITIVE_INFINITY,
    agreedAt: Number.POSITIVE_INFINITY,
    lostEpoch: 0,
    probe: undefined,
    contact: { at: Number.POSITIVE_INFINITY, backoffMillis: BACKOFF_MILLIS },
    detour: { at: Number.POSITIVE_INFINITY, backoffMillis: BACKOFF_MILLIS },
    detours: 0,
  }
  at.state.peers.set(peer.name, peer)
  if (at.state.links.get(peer.name)?.epoch === claim.epoch) peer.heardAt = at.now
  record(at, peer, claim, from)
  return peer
}
