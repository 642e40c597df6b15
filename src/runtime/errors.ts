/**
 * The expected failures of Skein, as tagged errors. Every error of a call says what is known of its
 * outcome, so that a caller knows when a retry is safe.
 *
 * @module
 */

/**
 * What is known of a call that failed: the handler didn't run and won't (`not-executed`: a retry is
 * safe), it may have run (`unknown`), or it ran (`executed`).
 */
export type Outcome = "not-executed" | "unknown" | "executed"

/** The caller waited longer than the call's timeout. */
export class Timeout extends Error {
  readonly _tag: "Timeout" = "Timeout"
  readonly outcome: Outcome
  readonly process: string
  readonly method: string
  readonly timeoutMillis: number
  constructor(process: string, method: string, timeoutMillis: number, outcome: Outcome) {
    super(`${process}: ${method} gave no answer within ${timeoutMillis} ms (outcome: ${outcome})`)
    this.process = process
    this.method = method
    this.timeoutMillis = timeoutMillis
    this.outcome = outcome
  }
}

/** The caller's AbortSignal fired. */
export class Aborted extends Error {
  readonly _tag: "Aborted" = "Aborted"
  readonly outcome: Outcome
  readonly process: string
  readonly method: string
  constructor(process: string, method: string, outcome: Outcome) {
    super(`${process}: ${method} was aborted by its caller (outcome: ${outcome})`)
    this.process = process
    this.method = method
    this.outcome = outcome
  }
}

/** No process of that name is running anywhere in the cluster, or it stopped before its turn came. */
export class NoProcess extends Error {
  readonly _tag: "NoProcess" = "NoProcess"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  constructor(process: string) {
    super(`no process ${process} is running: start it with node.start`)
    this.process = process
  }
}

/** The process has no such call or cast: its node runs another version of the definition. */
export class NoMethod extends Error {
  readonly _tag: "NoMethod" = "NoMethod"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly method: string
  constructor(process: string, method: string) {
    super(`${process} has no call or cast named ${method} on the node it runs on`)
    this.process = process
    this.method = method
  }
}

/** The node that held the process went away after the call had been sent to it. */
export class NodeDown extends Error {
  readonly _tag: "NodeDown" = "NodeDown"
  readonly outcome: Outcome = "unknown"
  readonly process: string
  readonly node: string
  constructor(process: string, node: string) {
    super(`node ${node} went away while it was asked for ${process}`)
    this.process = process
    this.node = node
  }
}

/** The node that should answer can't be reached from here. */
export class Unreachable extends Error {
  readonly _tag: "Unreachable" = "Unreachable"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly node: string
  constructor(process: string, node: string) {
    super(`node ${node}, asked for ${process}, can't be reached from here`)
    this.process = process
    this.node = node
  }
}

/** A bounded queue or table is full. `limit` names the option that bounds it. */
export class Overloaded extends Error {
  readonly _tag: "Overloaded" = "Overloaded"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly limit: string
  readonly max: number
  constructor(process: string, limit: string, max: number) {
    super(`${process}: the limit ${limit} of ${max} is reached`)
    this.process = process
    this.limit = limit
    this.max = max
  }
}

/** The handler threw, or its promise was rejected; its process was restarted as its type says. */
export class HandlerCrashed extends Error {
  readonly _tag: "HandlerCrashed" = "HandlerCrashed"
  readonly outcome: Outcome = "executed"
  readonly process: string
  readonly method: string
  /** What was thrown, as text. */
  readonly reason: string
  constructor(process: string, method: string, reason: string) {
    super(`${process}: ${method} crashed: ${reason}`)
    this.process = process
    this.method = method
    this.reason = reason
  }
}

/** An argument, a reply or a state isn't plain data, or didn't decode on the other side. */
export class NotData extends Error {
  readonly _tag: "NotData" = "NotData"
  readonly outcome: Outcome
  readonly process: string
  readonly what: string
  constructor(process: string, what: string, outcome: Outcome) {
    super(`${process}: ${what}`)
    this.process = process
    this.what = what
    this.outcome = outcome
  }
}

/** A message is larger than a frame may be. */
export class TooLarge extends Error {
  readonly _tag: "TooLarge" = "TooLarge"
  readonly outcome: Outcome
  readonly process: string
  readonly bytes: number
  readonly bytesMax: number
  constructor(process: string, bytes: number, bytesMax: number, outcome: Outcome = "not-executed") {
    super(`${process}: a message of ${bytes} bytes exceeds frameBytesMax (${bytesMax})`)
    this.process = process
    this.bytes = bytes
    this.bytesMax = bytesMax
    this.outcome = outcome
  }
}

/** This node has stopped. */
export class NodeStopped extends Error {
  readonly _tag: "NodeStopped" = "NodeStopped"
  readonly outcome: Outcome
  readonly process: string
  readonly node: string
  constructor(process: string, node: string, outcome: Outcome = "not-executed") {
    super(`node ${node} has stopped (asked for ${process})`)
    this.process = process
    this.node = node
    this.outcome = outcome
  }
}

/** The process could not be started: its state function failed. */
export class StartFailed extends Error {
  readonly _tag: "StartFailed" = "StartFailed"
  readonly outcome: Outcome = "executed"
  readonly process: string
  readonly reason: string
  constructor(process: string, reason: string) {
    super(`${process} could not be started: ${reason}`)
    this.process = process
    this.reason = reason
  }
}

/** `start` with `exclusive`, or `register`: the name is taken. */
export class AlreadyRegistered extends Error {
  readonly _tag: "AlreadyRegistered" = "AlreadyRegistered"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  /** The node that holds the name. */
  readonly node: string
  constructor(process: string, node: string) {
    super(`${process} is already registered, on node ${node}`)
    this.process = process
    this.node = node
  }
}

/** A node was asked for a process whose definition isn't among its `processes`. */
export class UnknownDefinition extends Error {
  readonly _tag: "UnknownDefinition" = "UnknownDefinition"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly node: string
  constructor(process: string, node: string) {
    super(`${process}: node ${node} doesn't list its definition in the option processes`)
    this.process = process
    this.node = node
  }
}

/** No member of the cluster hosts processes. */
export class NoNode extends Error {
  readonly _tag: "NoNode" = "NoNode"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  constructor(process: string) {
    super(`${process}: no member of the cluster hosts processes`)
    this.process = process
  }
}

/** Everything that a call can fail with, besides the errors that its own handler declares. */
export type CallError =
  | Timeout
  | Aborted
  | NoProcess
  | NoMethod
  | NodeDown
  | Unreachable
  | Overloaded
  | HandlerCrashed
  | NotData
  | TooLarge
  | NodeStopped

/** Everything that starting a process can fail with. */
export type StartError = CallError | StartFailed | AlreadyRegistered | UnknownDefinition | NoNode

/** An option of `startNode` can't be right. */
export class InvalidOption extends Error {
  readonly _tag: "InvalidOption" = "InvalidOption"
  readonly option: string
  constructor(option: string, problem: string) {
    super(`startNode: ${option} ${problem}`)
    this.option = option
  }
}

/** An address given to `connect` could not be joined within its time. */
export class ConnectFailed extends Error {
  readonly _tag: "ConnectFailed" = "ConnectFailed"
  readonly address: string
  readonly reason: string
  constructor(address: string, reason: string) {
    super(
      `${address} could not be connected: ${reason}; it is tried again for as long as the node runs`,
    )
    this.address = address
    this.reason = reason
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

/** An unknown thrown value as one line of text. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message
  try {
    return typeof thrown === "string" ? thrown : (JSON.stringify(thrown) ?? String(thrown))
  } catch {
    return String(thrown)
  }
}
