/**
 * A call or cast of another node, while it is on this one.
 *
 * @module
 */

import type { Method } from "../definition.ts"
import type { Mail, Reply } from "../processes/cell.ts"
import type { Replies } from "./replies.ts"

/** A message in a mailbox here whose answer goes to another node. */
export class Visitor implements Mail, Reply {
  method: Method | undefined
  readonly args: ReadonlyArray<unknown>
  next: Mail | undefined = undefined
  /** The node that waits for the answer. */
  readonly origin: string
  /** The number that `origin` knows the call by; 0 for a cast. */
  readonly id: number
  readonly process: string
  /** How many nodes it has passed through since it last rested. */
  hops: number
  readonly #replies: Replies

  constructor(
    replies: Replies,
    origin: string,
    id: number,
    process: string,
    method: Method,
    args: ReadonlyArray<unknown>,
    hops: number,
  ) {
    this.#replies = replies
    this.origin = origin
    this.id = id
    this.process = process
    this.method = method
    this.args = args
    this.hops = hops
  }

  get reply(): Reply | undefined {
    return this.id === 0 ? undefined : this
  }

  succeed(value: unknown): void {
    this.#replies.succeed(this.origin, this.id, this.process, value)
  }

  /** It came to nothing: of a cast nobody but this node's user is left to be told. */
  unheard(error: Error): void {
    if (this.id === 0) this.#replies.unheard(this.process, error)
  }

  fail(error: unknown): void {
    if (this.id !== 0) this.#replies.fail(this.origin, this.id, this.process, error)
  }
}
