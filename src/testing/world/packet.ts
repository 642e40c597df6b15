/**
 * What travels over a simulated network, and what a connection needs of the network around it.
 *
 * @module
 */
import type { Host } from "./host.ts"
import type { World } from "./world.ts"

/** Something sent from one host to another. */
export interface Packet {
  /** Its number in the run. */
  readonly id: number
  readonly from: number
  readonly to: number
  /** Its number among those from this sender to this receiver: what its fate is keyed by. */
  readonly n: number
  readonly bytes: number
  /** What it says, for people. Not cheap. */
  readonly what: () => string
}

/** What becomes of a packet. */
export type Verdict =
  | "pass"
  /** It is lost for good. */
  | "drop"
  | "duplicate"
  /** Some of its bits are flipped; where payloads are no bytes, its connection is lost. */
  | "corrupt"
  | { readonly delayMicros: number }

/** How a network is made. */
export interface NetworkOptions<P> {
  /** Copies a payload, with some of its bits flipped; undefined where payloads are no bytes. */
  readonly corrupt?: (payload: P, packet: Packet) => P
  /** Copies a payload, for a packet that comes twice. */
  readonly copy: (payload: P) => P
  /** Whether payloads of one direction overtake each other, as on no stream. Default false. */
  readonly reorder?: boolean
}

/** A packet and its fate. */
export interface Sent {
  readonly packet: Packet
  readonly fate: Exclude<Verdict, object>
  readonly delayMicros: number
}

/** The network, as a connection sees it. */
export interface Carrier<P> {
  readonly world: World
  readonly options: NetworkOptions<P>
  /** Bytes on their way in one direction from which a sender is told to wait. */
  readonly queueBytes: number
  /** Makes a packet and decides what becomes of it. */
  send(from: Host, to: Host, bytes: number, what: () => string): Sent
  /** How long something is under way. */
  latency(from: number, to: number): number
  /** Does it at the other host, a latency from now; behind a wall, once that is gone. */
  travel(from: number, to: number, run: () => void): void
  /** Whether the network is cut between them; a link that isn't open otherwise is clogged. */
  cut(from: number, to: number): boolean
  /** Whether anything gets from one to the other. */
  open(from: number, to: number): boolean
  /** Something arrives: whether it was let through. */
  arrive(from: number, to: number, sentAt: number, run: () => void): boolean
  /** Whether a stream that sent something then has been given up by now. */
  hopeless(sentAt: number): boolean
  /** Both sides know that a connection is over. */
  forget(connection: unknown): void
}
