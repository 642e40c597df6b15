/**
 * What goes over an established link: the messages between two cores, and those of the data plane.
 * Every frame's body starts with one byte that says which; all decoding is total and bounded.
 *
 * @module
 */
import type { Claim } from "../core/claim.ts"
import type { Message as Core } from "../core/cluster.ts"
import type { Op, Props } from "../core/table.ts"
import type { Codec } from "./schema.ts"
import {
  array,
  bool,
  bytes,
  oneOf,
  optional,
  string,
  struct,
  u8,
  u32,
  uint,
  union,
} from "./schema.ts"

/** Kinds of frames. Calls, casts and replies are written by hand, as they are the hot ones. */
export const KIND = {
  core: 0,
  call: 1,
  cast: 2,
  reply: 3,
  failure: 4,
  forward: 5,
  data: 6,
  /** Something asked of a node, and that its answer isn't waited for any more. */
  request: 7,
  abandon: 8,
  /** A message of a topic. */
  publish: 9,
  /** Part of a stream between two nodes of which one isn't the sender, or isn't the receiver. */
  relay: 10,
  /** Nothing follows on this link: the sender goes on on another one. */
  last: 11,
} as const

/** The longest name of a process or method on the wire, in UTF-16 code units. */
export const NAME_MAX: number = 1024
const NODE_MAX = 128
/** The longest reason why a name or a membership ended, in UTF-16 code units. */
export const REASON_MAX = 256
const ADDRESS_MAX = 512
const MEMBERS_MAX = 65_536
const LIST_MAX = 1_000_000
const META_BYTES_MAX = 16 * 1024 * 1024

const name = string(NAME_MAX)
const reason = string(REASON_MAX)
const node = string(NODE_MAX)

const claim: Codec<Claim> = struct({
  name: node,
  epoch: uint,
  incarnation: uint,
  rank: u8 as Codec<Claim["rank"]>,
  accusers: array(node, MEMBERS_MAX),
  hard: array(node, MEMBERS_MAX),
  phase: oneOf("joining", "up", "leaving"),
  address: string(ADDRESS_MAX),
  instance: u32,
  weight: u8,
  roles: array(node, 256),
  hosts: array(node, 256),
})

const sign = struct({ seq: uint, view: u32, digest: u32 })

const move = struct({ slot: uint, generation: uint })

const props: Codec<Props | undefined> = optional(
  struct({ version: uint, bytes: bytes(META_BYTES_MAX) }),
)

const op: Codec<Op> = union({
  Put: struct({
    name,
    generation: uint,
    pid: uint,
    time: uint,
    meta: optional(bytes(META_BYTES_MAX)),
    props,
    sticky: bool,
  }),
  Delete: struct({ name, reason }),
  Grant: move,
  Release: struct({ slot: uint }),
  Describe: struct({ name, props }),
  Join: struct({
    group: name,
    pid: uint,
    name,
    time: uint,
    online: bool,
    meta: optional(bytes(META_BYTES_MAX)),
  }),
  Quit: struct({ group: name, pid: uint, reason }),
})

const table = struct({ owner: node, epoch: uint, seq: uint })

/** Messages between the cores of two nodes. Order is part of the protocol: append only. */
export const core: Codec<Core> = union({
  Ping: sign,
  Ack: sign,
  PingRequest: struct({ seq: uint, target: node }),
  PingReply: struct({ seq: uint, target: node, ok: bool }),
  Claims: struct({ claims: array(claim, MEMBERS_MAX), full: bool }),
  LeftAck: struct({ epoch: uint }),
  Bye: struct({}),
  Ops: struct({ owner: node, epoch: uint, from: uint, ops: array(op, LIST_MAX) }),
  Ask: struct({ owner: node, epoch: uint, from: uint }),
  Snapshot: struct({
    owner: node,
    epoch: uint,
    seq: uint,
    part: uint,
    parts: uint,
    ops: array(op, LIST_MAX),
  }),
  Tables: struct({ tables: array(table, MEMBERS_MAX), answer: bool }),
  Settle: struct({ signature: u32, ask: bool }),
  Offer: move,
  Accept: move,
  Refuse: move,
  Cancel: move,
  Installed: move,
  Commit: move,
  Drained: move,
  Done: move,
  Orphans: struct({
    slot: uint,
    generation: uint,
    names: array(
      struct({
        name,
        generation: uint,
        meta: optional(bytes(META_BYTES_MAX)),
        props,
        sticky: optional(bool),
      }),
      LIST_MAX,
    ),
  }),
  Poll: sign,
  Here: sign,
}) as Codec<Core>

/**
 * About a stream through neighbours, under a number that sender and receiver have agreed on. `path`: who asks
 * for it, then all nodes on the way; in the answer only these.
 */
export type Relay =
  | {
      readonly _tag: "Open"
      readonly id: number
      readonly target: string
      readonly path: ReadonlyArray<string>
    }
  | { readonly _tag: "Accept"; readonly id: number; readonly path: ReadonlyArray<string> }
  /** There is no way, or it is lost. */
  | { readonly _tag: "Refuse"; readonly id: number }
  | { readonly _tag: "Data"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly _tag: "Credit"; readonly id: number; readonly bytes: number }
  | { readonly _tag: "End"; readonly id: number }
  | { readonly _tag: "Reset"; readonly id: number }

const PATH_MAX = 16

/** Streams through neighbours. Order is part of the protocol: append only. */
export const relay: Codec<Relay> = union({
  Open: struct({ id: uint, target: node, path: array(node, PATH_MAX) }),
  Accept: struct({ id: uint, path: array(node, PATH_MAX) }),
  Refuse: struct({ id: uint }),
  Data: struct({ id: uint, bytes: bytes(META_BYTES_MAX) }),
  Credit: struct({ id: uint, bytes: uint }),
  End: struct({ id: uint }),
  Reset: struct({ id: uint }),
}) as Codec<Relay>

/** A timer on its way with its process. `args` are encoded values. */
export interface MovingTimer {
  readonly inMillis: number
  readonly method: string
  readonly args: Uint8Array
}

/** A process on its way. `state` is undefined when it starts anew at its new node. */
export interface MovingProcess {
  readonly name: string
  readonly meta: Uint8Array | undefined
  readonly state: Uint8Array | undefined
  readonly timers: ReadonlyArray<MovingTimer>
  /** Ages of its recent restarts in milliseconds, for the restart intensity. */
  readonly restarts: ReadonlyArray<number>
  readonly props: Props | undefined
  readonly sticky: boolean
  readonly aliases: ReadonlyArray<MovingAlias>
  readonly groups: ReadonlyArray<MovingMembership>
}

/** An additional name on its way with its process. */
export interface MovingAlias {
  readonly name: string
  readonly generation: number
  readonly props: Props | undefined
}

/** A process's membership of a group on its way with it. */
export interface MovingMembership {
  readonly group: string
  readonly online: boolean
  readonly meta: Uint8Array | undefined
}

/** An error on the wire: one of ours by its tag, or one that a handler declares, encoded. */
export interface WireError {
  readonly tag: string
  readonly outcome: "not-executed" | "unknown" | "executed"
  readonly process: string
  readonly text: string
  readonly number: number
  readonly declared: Uint8Array | undefined
}

/** The less frequent messages of the data plane. */
export type Data =
  | {
      readonly _tag: "Start"
      readonly id: number
      readonly origin: string
      readonly name: string
      readonly meta: Uint8Array | undefined
      readonly exclusive: boolean
      readonly hops: number
      readonly props: Uint8Array | undefined
      /** The node that is to run it; empty for whom the ring or the supervisor says. */
      readonly at: string
      /** With which generation, once the slot's holder has allowed it; 0 before. */
      readonly generation: number
    }
  | { readonly _tag: "Started"; readonly id: number; readonly node: string }
  | { readonly _tag: "NotStarted"; readonly id: number; readonly error: WireError }
  | {
      readonly _tag: "State"
      readonly slot: number
      readonly generation: number
      readonly processes: ReadonlyArray<MovingProcess>
    }
  /** Everything that the sender sent for this name before has been passed on to where it lives now. */
  | { readonly _tag: "Fence"; readonly id: number; readonly origin: string; readonly name: string }
  | { readonly _tag: "Fenced"; readonly id: number }
  /** The sender is about to be gone: this is what it has, and the receiver is heir of. */
  | { readonly _tag: "Will"; readonly processes: ReadonlyArray<MovingProcess> }

const millis = uint
const timer: Codec<MovingTimer> = struct({
  inMillis: millis,
  method: name,
  args: bytes(META_BYTES_MAX),
})
const moving: Codec<MovingProcess> = struct({
  name,
  meta: optional(bytes(META_BYTES_MAX)),
  state: optional(bytes(META_BYTES_MAX)),
  timers: array(timer, LIST_MAX),
  restarts: array(millis, 1024),
  props,
  sticky: bool,
  aliases: array(struct({ name, generation: uint, props }), LIST_MAX),
  groups: array(
    struct({ group: name, online: bool, meta: optional(bytes(META_BYTES_MAX)) }),
    LIST_MAX,
  ),
})

/** Errors between nodes. */
export const error: Codec<WireError> = struct({
  tag: string(64),
  outcome: oneOf("not-executed", "unknown", "executed"),
  process: name,
  text: string(65_536),
  number: uint,
  declared: optional(bytes(META_BYTES_MAX)),
})

/** The less frequent messages of the data plane. Order is part of the protocol: append only. */
export const data: Codec<Data> = union({
  Start: struct({
    id: uint,
    origin: node,
    name,
    meta: optional(bytes(META_BYTES_MAX)),
    exclusive: bool,
    hops: u8,
    props: optional(bytes(META_BYTES_MAX)),
    at: node,
    generation: uint,
  }),
  Started: struct({ id: uint, node }),
  NotStarted: struct({ id: uint, error }),
  State: struct({ slot: uint, generation: uint, processes: array(moving, LIST_MAX) }),
  Fence: struct({ id: uint, origin: node, name }),
  Fenced: struct({ id: uint }),
  Will: struct({ processes: array(moving, LIST_MAX) }),
}) as Codec<Data>
