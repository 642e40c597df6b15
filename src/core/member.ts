/**
 * The vocabulary of membership: what a node is told, what it says and does, and what it knows of others.
 *
 * @module
 */
import type { Claim, Phase } from "./claim.ts"
import type { Timing } from "./timing.ts"

/** What a node needs to know at birth. */
export interface Options {
  /** 1 to 64 letters, digits and `. _ @ : -`. */
  readonly name: string
  /** Higher than any that this name had before: an integer from 1 to 2^53 - 1. */
  readonly epoch: number
  /** A random uint32 that tells two processes of one name and epoch apart. */
  readonly instance: number
  /** Where others can dial this node; empty when they can't. */
  readonly address: string
  /** 0 for a node that never hosts, else its weight in the ring, 1 to 64. */
  readonly weight: number
  readonly roles: ReadonlyArray<string>
  /** The supervisors whose processes it hosts. Default: only the default one, the empty string. */
  readonly hosts?: ReadonlyArray<string>
  /** Addresses to dial for as long as the node runs. */
  readonly seeds: ReadonlyArray<string>
  /** The uint32 that all of the node's chances follow from. */
  readonly random: number
  readonly timing: Timing
  /** More living members than this, the node itself included, are not taken in. */
  readonly membersMax: number
}

/**
 * What a link runs over: a connection of its `own`, a `bus` on which whatever is sent reaches everybody, or
 * the links of neighbours that `relay` it.
 */
export type Medium = "own" | "bus" | "relay"

/** What two nodes say to each other, over a link that keeps the order. */
export type Message =
  /** Are you there? With hashes of what the sender knows of members and names (uint32). */
  | {
      readonly _tag: "Ping"
      readonly seq: number
      readonly view: number
      readonly digest: number
    }
  | {
      readonly _tag: "Ack"
      readonly seq: number
      readonly view: number
      readonly digest: number
    }
  /** On a bus: who is there? Everybody answers everybody. */
  | {
      readonly _tag: "Poll"
      readonly seq: number
      readonly view: number
      readonly digest: number
    }
  | {
      readonly _tag: "Here"
      readonly seq: number
      readonly view: number
      readonly digest: number
    }
  /** Please ping the target for me. */
  | { readonly _tag: "PingRequest"; readonly seq: number; readonly target: string }
  /** It answered, or hasn't yet. */
  | {
      readonly _tag: "PingReply"
      readonly seq: number
      readonly target: string
      readonly ok: boolean
    }
  /** News; or, when `full`, all that is alive as the sender knows: please answer with what is newer. */
  | {
      readonly _tag: "Claims"
      readonly claims: ReadonlyArray<Claim>
      readonly full: boolean
    }
  /** I have seen that you have left. */
  | { readonly _tag: "LeftAck"; readonly epoch: number }
  /** My user parts with you. */
  | { readonly _tag: "Bye" }

/** What can happen to a node. `now` is monotonic milliseconds, fractions allowed. */
export type Input =
  | { readonly _tag: "Tick"; readonly now: number }
  /**
   * A link to this peer is up, whoever dialled; it replaces the one before. `address` is the peer's own
   * word, `dialled` what was dialled to get there, when this node did that.
   */
  | {
      readonly _tag: "LinkUp"
      readonly now: number
      readonly peer: string
      readonly epoch: number
      readonly address: string
      readonly dialled?: string | undefined
      /** Default: `own`. */
      readonly medium?: Medium | undefined
    }
  /** It ended. `epoch` is the one it came up with; the end of a link that was replaced isn't told. */
  | {
      readonly _tag: "LinkDown"
      readonly now: number
      readonly peer: string
      readonly epoch: number
      readonly reason: "closed" | "reset" | "timeout"
    }
  | {
      readonly _tag: "DialFailed"
      readonly now: number
      readonly address: string
      readonly reason: "refused" | "unreachable" | "timeout" | "rejected" | "self" | "duplicate"
      /** With `duplicate`: the address of who is there by its own word. */
      readonly real?: string | undefined
    }
  /** No link to this peer came about through the neighbour that was asked. */
  | { readonly _tag: "RelayFailed"; readonly now: number; readonly peer: string }
  /** A message over the link that is up with `from`. */
  | {
      readonly _tag: "Message"
      readonly now: number
      readonly from: string
      readonly message: Message
    }
  /** Other frames came from these since the last tick: as good as an acknowledgement. */
  | { readonly _tag: "Heard"; readonly now: number; readonly peers: ReadonlyArray<string> }
  /** The hash of my registry that pings carry (uint32). */
  | { readonly _tag: "Digest"; readonly now: number; readonly digest: number }
  /** My registry has caught up: from `joining` to `up`. */
  | { readonly _tag: "Synced"; readonly now: number }
  /** From now on `leaving`. */
  | { readonly _tag: "Leave"; readonly now: number }
  /** Nothing keeps me any more: from `leaving` to gone. */
  | { readonly _tag: "Drained"; readonly now: number }
  /** The user wants links to these addresses, and takes back having parted with who is there. */
  | { readonly _tag: "Connect"; readonly now: number; readonly addresses: ReadonlyArray<string> }
  /** Discovery gives these addresses: they are dialled too, but who was parted with stays so. */
  | { readonly _tag: "Discovered"; readonly now: number; readonly addresses: ReadonlyArray<string> }
  /**
   * Nobody wants these addresses any more: they aren't dialled once nobody lives there. Seeds stay, and
   * who is a member is dialled as one.
   */
  | { readonly _tag: "Forget"; readonly now: number; readonly addresses: ReadonlyArray<string> }
  /** The user parts with this peer. */
  | { readonly _tag: "Disconnect"; readonly now: number; readonly peer: string }
  /** A handshake was refused, as somebody else holds my name with this epoch. */
  | {
      readonly _tag: "Superseded"
      readonly now: number
      readonly epoch: number
      readonly instance: number
    }

/** What a node wants done, in order. */
export type Output =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Message }
  /** Ends in `LinkUp` or `DialFailed`. `peer` is who should be there, where known. */
  | { readonly _tag: "Dial"; readonly address: string; readonly peer: string | undefined }
  /** A link to the peer through a neighbour. Ends in `LinkUp` with the medium `relay`, or `RelayFailed`. */
  | { readonly _tag: "Relay"; readonly peer: string; readonly via: string }
  /** End the link once what was sent is written, but don't wait for a peer that doesn't read. */
  | { readonly _tag: "Close"; readonly peer: string; readonly reason: string }
  | { readonly _tag: "Event"; readonly event: Event }
  /** This peer's registry has this hash. */
  | { readonly _tag: "PeerDigest"; readonly peer: string; readonly digest: number }

/** A member as its own claims describe it. */
export interface Description {
  readonly name: string
  readonly epoch: number
  readonly incarnation: number
  readonly phase: Phase
  readonly address: string
  readonly weight: number
  readonly roles: ReadonlyArray<string>
  readonly hosts: ReadonlyArray<string>
}

/**
 * What the node's user learns. Per name: `Up`, any number of `Suspect`, `Refuted` and `Changed`, then one
 * of `Down`, `Left` and `Superseded`, and so on; (epoch, incarnation) rises from `Up` to `Up`.
 */
export type Event =
  | ({ readonly _tag: "Up" } & Description)
  /** Its phase, address, weight or roles are others now. */
  | ({ readonly _tag: "Changed" } & Description)
  /** Somebody can't reach it. */
  | { readonly _tag: "Suspect"; readonly name: string }
  /** It has shown that it is there. */
  | { readonly _tag: "Refuted"; readonly name: string }
  | {
      readonly _tag: "Down"
      readonly name: string
      readonly epoch: number
      /** It fell silent, its closed connections were refused, or a user parted with it. */
      readonly reason: DownReason
    }
  /** It left as planned. */
  | { readonly _tag: "Left"; readonly name: string; readonly epoch: number }
  /** A younger instance has its name; unless that one is gone too, its `Up` follows. */
  | { readonly _tag: "Superseded"; readonly name: string; readonly epoch: number }
  /** This node goes on as a younger instance of itself. */
  | { readonly _tag: "EpochChanged"; readonly epoch: number }
  /** This node didn't run for about this long. */
  | { readonly _tag: "Slept"; readonly millis: number }
  /** The last of the others is down. */
  | { readonly _tag: "Isolated" }
  /** Another live process has this node's name: it must stop. Nothing follows. */
  | { readonly _tag: "NameConflict"; readonly epoch: number; readonly instance: number }
  /** The others know that this node has left, or had the time to. Nothing follows. */
  | { readonly _tag: "LeaveDone" }
  /** There is no room for this member. */
  | { readonly _tag: "Refused"; readonly name: string }

/** Why a member is down. */
export type DownReason = "silent" | "refused" | "disconnected"

/** A member as this node sees it. */
export interface Member extends Description {
  readonly status: "alive" | "suspect" | "dead" | "left"
  /** Whether there is a link to it. */
  readonly connected: boolean
  /** Smoothed round trip, where measured. */
  readonly rttMillis: number | undefined
}

/** The claim's part that users see. */
export function describe(claim: Claim): Description {
  const { name, epoch, incarnation, phase, address, weight, roles, hosts } = claim
  return { name, epoch, incarnation, phase, address, weight, roles, hosts }
}
