/**
 * The expected failures of Skein, as tagged errors. Every error of a call says what is known of its
 * outcome, so that a caller knows when a retry is safe.
 *
 * @module
 */
import * as Key from "../core/key.ts"
import * as Rings from "../core/rings.ts"
import type { Location } from "./names/location.ts"

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
    const placed = /^[^/:@]+\//.test(process)
    super(`no process ${process} is running${placed ? ": start it with node.start" : ""}`)
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

/** The state function answered `Process.ignore`: there is nothing to run, and nothing was registered. */
export class StartIgnored extends Error {
  readonly _tag: "StartIgnored" = "StartIgnored"
  readonly outcome: Outcome = "executed"
  readonly process: string
  constructor(process: string) {
    super(`${process} was not started: its state function answered Process.ignore`)
    this.process = process
  }
}

/** `start` with `exclusive`, or `register`: the name is taken. */
export class AlreadyRegistered extends Error {
  readonly _tag: "AlreadyRegistered" = "AlreadyRegistered"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  /** The node that holds the name. */
  readonly node: string
  /** Where the name lives; undefined while its registration is under way, or isn't known here yet. */
  readonly location: Location | undefined
  constructor(process: string, node: string, location?: Location) {
    super(`${process} is already registered, on node ${node}`)
    this.process = process
    this.node = node
    this.location = location
  }
}

/** Nobody serves what was asked for: not the node that was asked, or no node at all. */
export class NoService extends Error {
  readonly _tag: "NoService" = "NoService"
  readonly outcome: Outcome = "not-executed"
  /** What was asked for: `f:` and the name of a function. */
  readonly process: string
  /** The node that was asked; undefined when there is none to ask. */
  readonly node: string | undefined
  constructor(process: string, node: string | undefined) {
    super(
      node === undefined
        ? `${process}: no node that can be reached and is fit serves it`
        : `${process}: node ${node} doesn't serve it`,
    )
    this.process = process
    this.node = node
  }
}

/** Fewer members than it takes agreed to a registration in time: it didn't take place. */
export class NoQuorum extends Error {
  readonly _tag: "NoQuorum" = "NoQuorum"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly needed: number
  readonly got: number
  constructor(process: string, needed: number, got: number) {
    super(`${process}: ${got} members agreed to the registration in time, it takes ${needed}`)
    this.process = process
    this.needed = needed
    this.got = got
  }
}

/** The metadata was changed by others each time, between the look at it and its change. */
export class Contended extends Error {
  readonly _tag: "Contended" = "Contended"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  readonly attempts: number
  constructor(process: string, attempts: number) {
    super(`${process}: its metadata was changed by others ${attempts} times in a row`)
    this.process = process
    this.attempts = attempts
  }
}

/** The process is a member of the group, with other metadata or another state. */
export class AlreadyMember extends Error {
  readonly _tag: "AlreadyMember" = "AlreadyMember"
  readonly outcome: Outcome = "not-executed"
  readonly group: Key.Key
  readonly process: string
  constructor(group: Key.Key, process: string) {
    super(
      `${process} is a member of the group ${Key.text(group)} already: update, enable or disable it`,
    )
    this.group = group
    this.process = process
  }
}

/** The process isn't a member of the group. */
export class NotMember extends Error {
  readonly _tag: "NotMember" = "NotMember"
  readonly outcome: Outcome = "not-executed"
  readonly group: Key.Key
  readonly process: string
  constructor(group: Key.Key, process: string) {
    super(`${process} is not a member of the group ${Key.text(group)}`)
    this.group = group
    this.process = process
  }
}

/** No member of the group is online. */
export class NoMember extends Error {
  readonly _tag: "NoMember" = "NoMember"
  readonly outcome: Outcome = "not-executed"
  readonly group: Key.Key
  constructor(group: Key.Key) {
    super(`nobody of the group ${Key.text(group)} is online`)
    this.group = group
  }
}

/** More messages were waiting for a subscriber than `bufferMax`, and it had asked for `overflow: "error"`. */
export class SubscriberOverloaded extends Error {
  readonly _tag: "SubscriberOverloaded" = "SubscriberOverloaded"
  readonly outcome: Outcome = "unknown"
  /** The text of the topic's key, or of the pattern's prefix. */
  readonly topic: string
  readonly bufferMax: number
  constructor(topic: string, bufferMax: number) {
    super(`${topic}: a subscriber had ${bufferMax} messages waiting and got one more`)
    this.topic = topic
    this.bufferMax = bufferMax
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

/** No member of the cluster hosts processes, or those of this supervisor. */
export class NoNode extends Error {
  readonly _tag: "NoNode" = "NoNode"
  readonly outcome: Outcome = "not-executed"
  readonly process: string
  constructor(process: string) {
    const supervisor = Rings.supervisorOf(process)
    super(
      supervisor === ""
        ? `${process}: no member of the cluster lists definitions in the option processes`
        : `${process}: no member of the cluster hosts the supervisor ${supervisor}: it must be in a node's option supervisors, and its nodes and roles must fit that node`,
    )
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
export type StartError =
  | CallError
  | StartFailed
  | StartIgnored
  | AlreadyRegistered
  | UnknownDefinition
  | NoNode

/** An unknown thrown value as one line of text. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message
  try {
    return typeof thrown === "string" ? thrown : (JSON.stringify(thrown) ?? String(thrown))
  } catch {
    return String(thrown)
  }
}
