/**
 * The whole core of one node: membership, registry and supervision composed into one machine, with
 * the ring between them. It has no clock, no randomness and no IO: what it wants done are its outputs.
 *
 * What one part tells another is carried here and nowhere else:
 * members come and go → their tables are shown or hidden → the ring changes → slots move or are taken
 * over. A node's own registry operations are flushed before any word of its supervisor, so that a peer
 * that hears the word has the operations.
 *
 * @module
 */
import * as Membership from "./membership.ts"
import * as Registry from "./registry.ts"
import type * as Rings from "./rings.ts"
import * as Supervision from "./supervision.ts"

/** What a node needs to know at birth. */
export interface Options {
  readonly membership: Membership.Options
  readonly supervision?: Omit<Supervision.Options, "name">
  readonly policy?: Registry.Policy
  /** A node that can't catch up with everybody it sees within this long serves all the same. */
  readonly joinMaxMillis?: number
  /** A node that sees nobody serves alone, but not before this long: others may yet be found. Default 0. */
  readonly patienceMillis?: number
}

/** Everything two cores say to each other. */
export type Message = Membership.Message | Registry.Message | Supervision.Message

type Told<A> = A extends { readonly _tag: "Message" | "Digest" | "Synced" | "Drained" } ? never : A

/** What can happen to a node. `now` is monotonic milliseconds, `wall` Unix milliseconds. */
export type Input =
  | Told<Membership.Input>
  | {
      readonly _tag: "Message"
      readonly now: number
      readonly from: string
      readonly message: Message
    }
  | {
      readonly _tag: "Register"
      readonly now: number
      readonly wall: number
      readonly name: string
      readonly generation: number
      readonly pid: number
      readonly meta: Uint8Array | undefined
      readonly props?: Registry.Props | undefined
      /** Whether it stays at this node, wherever the ring places it, until the node leaves. */
      readonly sticky?: boolean
    }
  | {
      readonly _tag: "Unregister"
      readonly now: number
      readonly name: string
      /** For those who watch the name. Default: the empty string. */
      readonly reason?: string
    }
  /** A name of this node gets other metadata. */
  | ({ readonly now: number } & Extract<Registry.Input, { readonly _tag: "Describe" }>)
  /** A process of this node, or the node itself (`pid` 0), joins a group, or is another member now. */
  | ({ readonly now: number } & Extract<Registry.Input, { readonly _tag: "Join" | "Quit" }>)
  | { readonly _tag: "Flush"; readonly now: number }
  | Extract<
      Supervision.Input,
      { readonly _tag: "Ask" | "Started" | "Captured" | "CaptureFailed" | "Restored" }
    >

/** What a node asks of the world or tells it, to be carried out in order. */
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  | { readonly _tag: "Broadcast"; readonly message: Message }
  | Extract<Membership.Output, { readonly _tag: "Dial" | "Relay" | "Close" | "Event" }>
  | Extract<Registry.Output, { readonly _tag: "Changed" | "Lost" | "Won" | "Grouped" }>
  | Exclude<Supervision.Output, { readonly _tag: "Send" | "Registry" | "Drained" }>
  /** This node is a full member: it serves and may be given names. */
  | { readonly _tag: "Ready" }
  /** Handing over is finished; `left` slots could not be handed over. */
  | { readonly _tag: "HandedOver"; readonly left: number }

/** One node. */
export interface State {
  membership: Membership.State
  registry: Registry.State
  supervision: Supervision.State
  /** Until when a joining node waits for its peers' tables; undefined once it is up. */
  joinBy: number | undefined
  /** Until when a joining node doesn't take it that there is nobody else; undefined once that is over. */
  aloneAt: number | undefined
  readonly seedsLeft: Set<string>
  /** The tables that each peer last listed, while joining. */
  readonly listed: Map<string, Extract<Registry.Message, { readonly _tag: "Tables" }>["tables"]>
  digest: number
  expireAt: number
}

type Step = { readonly state: State; readonly outputs: ReadonlyArray<Output> }

/** Operations of my own that are sent on without waiting for a flush. */
export const FLUSH_MAX: number = 1024
const EXPIRE_MILLIS = 60_000

/** A node that is about to join its seeds. */
export function init(options: Options, now: number): Step {
  const { name, epoch, seeds } = options.membership
  const born = Membership.init(options.membership, now)
  const registry = Registry.init({ name, epoch, policy: options.policy ?? "oldest" })
  const state: State = {
    membership: born.state,
    registry,
    supervision: Supervision.init({ ...options.supervision, name }),
    joinBy: now + (options.joinMaxMillis ?? 3_000),
    aloneAt: now + (options.patienceMillis ?? 0),
    seedsLeft: new Set(seeds),
    listed: new Map(),
    digest: 0,
    expireAt: now + EXPIRE_MILLIS,
  }
  const at: At = { state, now, outputs: [] }
  carry(at, born.outputs)
  join(at)
  return { state, outputs: at.outputs }
}

/** The next state and what follows from it. Total: no input throws. */
export function step(state: State, input: Input): Step {
  const at: At = { state, now: input.now, outputs: [] }
  switch (input._tag) {
    case "Register":
    case "Unregister":
    case "Describe":
    case "Join":
    case "Quit":
      write(at, input)
      if (unsent(state) >= FLUSH_MAX) flush(at)
      break
    case "Flush":
      flush(at)
      break
    case "Ask":
    case "Started":
    case "Captured":
    case "CaptureFailed":
    case "Restored":
      supervise(at, input)
      break
    case "Message":
      receive(at, input.from, input.message)
      break
    case "Tick":
      tick(at)
      break
    default:
      member(at, input)
      contact(at, input)
  }
  if (state.joinBy !== undefined) join(at)
  return { state, outputs: at.outputs }
}

/** When the node next has something to do by itself: the one deadline its shell has to keep. */
export function wakeAt(state: State): number {
  return Math.min(
    Membership.wakeAt(state.membership),
    Supervision.wakeAt(state.supervision),
    joinAt(state),
    state.expireAt,
  )
}

function joinAt({ joinBy, aloneAt }: State): number {
  if (joinBy === undefined) return Number.POSITIVE_INFINITY
  return Math.min(joinBy, aloneAt ?? joinBy)
}

/** Whether this node agrees with its peers on the ring and nothing is on the move. */
export function quiet(state: State): boolean {
  return Supervision.quiet(state.supervision)
}

/** Operations of my own that no peer has been sent yet. */
export function unsent(state: State): number {
  return state.registry.self.seq - state.registry.sent
}

interface At {
  readonly state: State
  readonly now: number
  readonly outputs: Array<Output>
}

// --- from the world to the parts -----------------------------------------------------------------

function member(at: At, input: Membership.Input): void {
  const { state, outputs } = Membership.step(at.state.membership, input)
  at.state.membership = state
  carry(at, outputs)
}

function registry(at: At, input: Registry.Input): void {
  for (const output of Registry.step(at.state.registry, input).outputs) registered(at, output)
}

function write(
  at: At,
  input: Extract<
    Input,
    { readonly _tag: "Register" | "Unregister" | "Describe" | "Join" | "Quit" }
  >,
): void {
  const kept = at.state.supervision.names !== undefined
  if (input._tag === "Register") {
    registry(at, { ...input, _tag: "Put" })
    if (kept) supervise(at, { _tag: "Placed", now: at.now, name: input.name })
  } else if (input._tag === "Unregister") {
    registry(at, { ...input, _tag: "Delete" })
    if (kept) supervise(at, { _tag: "Removed", now: at.now, name: input.name })
  } else registry(at, input)
}

function supervise(at: At, input: Supervision.Input): void {
  const { outputs } = Supervision.step(at.state.supervision, input, at.state.registry)
  for (const output of outputs) supervised(at, output)
}

function receive(at: At, from: string, message: Message): void {
  const { now } = at
  switch (message._tag) {
    case "Ops":
    case "Ask":
    case "Snapshot":
    case "Tables":
      if (message._tag === "Tables" && at.state.joinBy !== undefined)
        at.state.listed.set(from, message.tables)
      registry(at, { _tag: "Message", now, from, message })
      // Offers wait for what their sender has written.
      if (at.state.supervision.offers.size > 0) supervise(at, { _tag: "Tick", now })
      return
    case "Settle":
    case "Offer":
    case "Accept":
    case "Refuse":
    case "Cancel":
    case "Installed":
    case "Commit":
    case "Drained":
    case "Done":
    case "Orphans":
      return supervise(at, { _tag: "Message", now, from, message })
    default:
      return member(at, { _tag: "Message", now, from, message })
  }
}

/** What the other parts make of links, dials and leaving, after membership has. */
function contact(at: At, input: Input): void {
  const { now } = at
  if (input._tag === "LinkUp") {
    registry(at, { _tag: "LinkUp", peer: input.peer })
    supervise(at, { _tag: "LinkUp", now, peer: input.peer })
  } else if (input._tag === "LinkDown") {
    at.state.listed.delete(input.peer)
    supervise(at, { _tag: "LinkDown", now, peer: input.peer })
  } else if (input._tag === "DialFailed") {
    // A duplicate isn't a failure: the other side is dialling us.
    if (input.reason !== "duplicate") at.state.seedsLeft.delete(input.address)
  } else if (input._tag === "Leave") {
    at.state.joinBy = undefined
    supervise(at, { _tag: "Leave", now })
    rering(at)
  }
}

function tick(at: At): void {
  const { state, now } = at
  const digest = Registry.digest(state.registry)
  if (digest !== state.digest) {
    state.digest = digest
    member(at, { _tag: "Digest", now, digest })
  }
  if (now >= Membership.wakeAt(state.membership)) member(at, { _tag: "Tick", now })
  if (now >= Supervision.wakeAt(state.supervision)) supervise(at, { _tag: "Tick", now })
  if (now >= state.expireAt) {
    state.expireAt = now + EXPIRE_MILLIS
    registry(at, { _tag: "Tick", now })
  }
}

// --- from part to part ---------------------------------------------------------------------------

function carry(at: At, outputs: ReadonlyArray<Membership.Output>): void {
  let ring = false
  for (const output of outputs) {
    if (output._tag === "PeerDigest") {
      registry(at, { _tag: "PeerDigest", now: at.now, peer: output.peer, digest: output.digest })
    } else {
      at.outputs.push(output)
      if (output._tag === "Event" && heed(at, output.event)) ring = true
    }
  }
  if (ring) rering(at)
}

/** What a change means to the registry and the supervisor; whether it may concern the ring. */
function heed(at: At, event: Membership.Event): boolean {
  const { now } = at
  switch (event._tag) {
    case "Up":
      registry(at, { _tag: "MemberUp", now, name: event.name, epoch: event.epoch })
      return true
    case "Changed":
      return true
    case "Down":
    case "Left":
    case "Superseded":
      registry(at, { _tag: "MemberDown", now, name: event.name, epoch: event.epoch })
      at.state.listed.delete(event.name)
      supervise(at, { _tag: "Down", now, peer: event.name })
      return true
    case "Slept":
      supervise(at, { _tag: "Slept", now })
      return false
    case "EpochChanged":
      registry(at, { _tag: "Epoch", epoch: event.epoch })
      return false
    default:
      return false
  }
}

/** Tells the supervisor who may be given names now. */
function rering(at: At): void {
  const members: Array<Rings.Host> = []
  const leaving: Array<string> = []
  for (const { name, phase, weight, hosts } of Membership.living(at.state.membership)) {
    if (phase === "up" && weight > 0) members.push({ id: name, weight, hosts })
    if (phase === "leaving" && weight > 0) leaving.push(name)
  }
  supervise(at, { _tag: "Ring", now: at.now, members, leaving })
}

function registered(at: At, output: Registry.Output): void {
  if (output._tag === "GrantLost") {
    supervise(at, { _tag: "GrantLost", now: at.now, slot: output.slot })
  } else at.outputs.push(output)
}

function supervised(at: At, output: Supervision.Output): void {
  switch (output._tag) {
    case "Registry":
      return registered(at, output.output)
    case "Send":
      flush(at)
      at.outputs.push(output)
      return
    case "Drained":
      flush(at)
      at.outputs.push({ _tag: "HandedOver", left: output.left })
      return member(at, { _tag: "Drained", now: at.now })
    default:
      at.outputs.push(output)
  }
}

function flush(at: At): void {
  if (unsent(at.state) > 0) registry(at, { _tag: "Flush" })
}

// --- joining -------------------------------------------------------------------------------------

/** A joining node serves once it has what its peers have, or has nobody to wait for. */
function join(at: At): void {
  const { state, now } = at
  if (state.joinBy === undefined) return
  const nobody = state.membership.ups === 0 && state.seedsLeft.size === 0
  if (state.aloneAt !== undefined && now >= state.aloneAt) state.aloneAt = undefined
  const alone = nobody && state.aloneAt === undefined
  if (now < state.joinBy && !alone && !caughtUp(state)) return
  state.joinBy = undefined
  state.listed.clear()
  member(at, { _tag: "Synced", now })
  rering(at)
  at.outputs.push({ _tag: "Ready" })
}

/** Whether I have what each peer had when it last said so. */
function caughtUp({ membership, registry, listed }: State): boolean {
  for (const { name } of Membership.living(membership)) {
    if (name === registry.name) continue
    const tables = listed.get(name)
    if (tables === undefined || !membership.links.has(name)) return false
    if (!Registry.covers(registry, tables)) return false
    // What I have had once I go on having: it needn't be looked at again.
    if (tables.length > 0) listed.set(name, [])
  }
  return membership.ups > 0
}
