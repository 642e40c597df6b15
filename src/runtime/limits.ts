/**
 * How much of everything a node takes on.
 *
 * @module
 */

/** The limits of a node. Reaching one is a typed error. */
export interface Limits {
  /** Names this node holds: those of its processes, and additional ones. Default 1,000,000. */
  readonly namesMax: number
  /** Messages that may wait for one process. Default 10,000. */
  readonly mailboxMax: number
  /** Calls under way from this node. Default 100,000. */
  readonly pendingMax: number
  /** Requests of functions and services that this node works on at a time. Default 10,000. */
  readonly servingMax: number
  /** Connections and handshakes. Default 1,024. */
  readonly connectionsMax: number
  /** Bytes of one message. Default 8 MiB. */
  readonly frameBytesMax: number
  /** Bytes that may wait for a peer that doesn't read. Default 16 MiB. */
  readonly queueBytesMax: number
  /** Members of the cluster. Default 32. */
  readonly membersMax: number
}

/** The limits of a node that is told nothing else. */
export const defaults: Limits = {
  namesMax: 1_000_000,
  mailboxMax: 10_000,
  pendingMax: 100_000,
  servingMax: 10_000,
  connectionsMax: 1_024,
  frameBytesMax: 8 * 1024 * 1024,
  queueBytesMax: 16 * 1024 * 1024,
  membersMax: 32,
}
