/**
 * The expected failures of what is asked of a node itself: its options and its connections.
 *
 * @module
 */

/** An option of `startNode` can't be right. */
export class InvalidOption extends Error {
  readonly _tag: "InvalidOption" = "InvalidOption"
  readonly option: string
  constructor(option: string, problem: string) {
    super(`startNode: ${option} ${problem}`)
    this.option = option
  }
}

/** Why an address given to `connect` could not be joined. */
export interface ConnectFailure {
  readonly address: string
  /**
   * Of the last attempt: `refused`, `unreachable` or `timeout`; or why the handshake was refused, such as
   * `authentication`; or `self` where it is this node's own address, or `disconnected` by a user.
   */
  readonly reason: string
}

/** Reasons for which an address isn't tried again by itself. */
const SETTLED: ReadonlySet<string> = new Set(["self", "disconnected"])

/** Of the addresses given to `connect` some could not be joined within its time. */
export class ConnectFailed extends Error {
  readonly _tag: "ConnectFailed" = "ConnectFailed"
  /** The first that failed. */
  readonly address: string
  readonly reason: string
  /** All that failed, in the order in which they were given. */
  readonly failures: ReadonlyArray<ConnectFailure>
  constructor(failures: readonly [ConnectFailure, ...ReadonlyArray<ConnectFailure>]) {
    const list = failures.map(({ address, reason }) => `${address} (${reason})`).join(", ")
    const again = failures.some(({ reason }) => !SETTLED.has(reason))
    const hope = again ? ": tried again for as long as the node runs" : ""
    super(`could not be connected: ${list}${hope}`)
    this.failures = failures
    this.address = failures[0].address
    this.reason = failures[0].reason
  }
}

/** An address given to `connect` can't be added: nothing of its list was dialled. */
export class DuplicateAddress extends Error {
  readonly _tag: "DuplicateAddress" = "DuplicateAddress"
  readonly address: string
  /**
   * It is twice in the list (`twice`), this node's own (`own`), the address of a node that is connected
   * (`connected`), or was given before and is tried for as long as the node runs (`listed`).
   */
  readonly reason: "twice" | "own" | "connected" | "listed"
  constructor(address: string, reason: "twice" | "own" | "connected" | "listed") {
    super(`${address} can't be connected again: ${DUPLICATES[reason]}`)
    this.address = address
    this.reason = reason
  }
}

const DUPLICATES = {
  twice: "it is given twice",
  own: "it is this node's own address",
  connected: "it is connected",
  listed: "it was given before and is tried for as long as the node runs",
} as const

/** A name given to `disconnect` is of no node that is connected or looked for: nobody was parted with. */
export class UnknownNode extends Error {
  readonly _tag: "UnknownNode" = "UnknownNode"
  readonly node: string
  constructor(node: string) {
    super(`${node} is no node that is connected or looked for`)
    this.node = node
  }
}

/** Another live node has this node's name: this one gave way. */
export class NameConflict extends Error {
  readonly _tag: "NameConflict" = "NameConflict"
  readonly node: string
  constructor(node: string) {
    super(`another live node is named ${node}: this one stopped`)
    this.node = node
  }
}
