/**
 * The port to the network: reliable, ordered streams of bytes between addresses. A transport moves
 * bytes and knows nothing of what they mean; framing, authentication and routing are done above it.
 *
 * Write your own by implementing {@link Transport}; the suite in `test/transports/conformance.ts`
 * says, test by test, what is expected of it.
 *
 * @module
 */

import type { Discovery } from "./discovery/discovery.ts"

/** A way to reach other nodes. Addresses are strings whose form each transport decides. */
export interface Transport {
  /** What it is, for people: `"tcp"`, `"memory"`. */
  readonly kind: string
  /** Whether only this process can reach it, so that no cookie is needed. */
  readonly trusted: boolean
  /**
   * Whether others can't dial those who have only this, and they come and go: such a node is a leaf, which
   * is given no processes unless it asks for them. Default: false.
   */
  readonly leaf?: boolean
  /** Who is there, where the medium itself tells: the node looks there without being asked to. */
  readonly discovery?: Discovery
  /**
   * Starts to accept connections. `accept` is called once for each, never before this returned; the
   * acceptor owns the connection from then on. Rejects with {@link AddressUnavailable}.
   */
  listen(accept: (connection: Connection) => void): Promise<Listener>
  /**
   * Opens a connection. Rejects with {@link PeerUnreachable}: with the reason `"aborted"` when
   * `signal` fires first, `"timeout"` when the transport's own limit passes.
   */
  dial(address: string, signal: AbortSignal): Promise<Connection>
}

/** What {@link Transport.listen} opened. */
export interface Listener {
  /** The address that others can dial. */
  readonly address: string
  /** Stops accepting; resolves when the address is free again. Connections made before live on. */
  close(): Promise<void>
}

/**
 * One stream of bytes in each direction. No method calls a handler before it returns, so callers may
 * use them in any state.
 */
export interface Connection {
  /** Where the other side is, for people: not always an address that can be dialled. */
  readonly remote: string
  /**
   * Whether it shares its medium with all others there, so that what is sent to one costs everybody: nodes
   * say what is for all once, and ask each other less. Default: false.
   */
  readonly bus?: boolean
  /**
   * Whether nobody else can change what goes through it, as it is encrypted or doesn't leave this machine's own
   * programs: where both ends say so, nodes don't seal what they say. Default: false.
   */
  readonly secure?: boolean
  /**
   * Sends `bytes`, whose ownership passes to the connection: don't touch them again. False says
   * that the buffer is full: the bytes are taken all the same, but wait for {@link Handlers.drain}
   * before the next write, or memory grows without bound. False too once the connection is closed,
   * where the bytes go nowhere.
   */
  write(bytes: Uint8Array): boolean
  /**
   * Directs what happens from now on to `handlers`, in place of those given before. Without handlers
   * (at first, and after `undefined`) bytes, drain and close are kept for the next ones, and the
   * other side is slowed down rather than memory filled.
   */
  receive(handlers: Handlers | undefined): void
  /**
   * Sends what was written, then ends both directions. No data comes after this was called; the
   * handlers' `close` comes once, as always.
   */
  close(): void
  /** Ends at once: bytes not yet sent, or not yet received by the other side, may be lost. */
  destroy(): void
}

/** What a connection tells its owner. */
export interface Handlers {
  /** Some bytes came, cut anywhere. The receiver owns them. */
  data(bytes: Uint8Array): void
  /** The buffer that {@link Connection.write} had reported full has room again. */
  drain(): void
  /** The connection is over; comes exactly once, after all data and with nothing after it. */
  close(reason: CloseReason): void
}

/**
 * Why a connection is over: either side ended it in order (`ended`), it was lost (`reset`), or this
 * side called `destroy` (`destroyed`). Don't conclude much from the first two: the death of the other
 * side's process may look like either, and so may its `close` while bytes of ours were on their way.
 * To know that the other side was done, let it say so in its data.
 */
export type CloseReason = "ended" | "reset" | "destroyed"

/** The address to listen on is taken, not ours, or not an address. */
export class AddressUnavailable extends Error {
  readonly _tag: "AddressUnavailable" = "AddressUnavailable"
  readonly address: string
  constructor(address: string, problem: string, cause?: unknown) {
    super(`can't listen on ${address}: ${problem}`, { cause })
    this.address = address
  }
}

/**
 * Why a dial failed: nobody listens there (`refused`), the network or the other side's TLS didn't let
 * us through (`unreachable`), no answer in time (`timeout`), the caller gave up (`aborted`), or the
 * text isn't an address of this transport (`invalid-address`).
 */
export type DialFailure = "refused" | "unreachable" | "timeout" | "aborted" | "invalid-address"

/** A dial failed. `cause` is the host's own error, where there is one. */
export class PeerUnreachable extends Error {
  readonly _tag: "PeerUnreachable" = "PeerUnreachable"
  readonly address: string
  readonly reason: DialFailure
  constructor(address: string, reason: DialFailure, cause?: unknown) {
    const detail = cause instanceof Error ? `: ${cause.message}` : ""
    super(`can't reach ${address} (${reason})${detail}`, { cause })
    this.address = address
    this.reason = reason
  }
}
