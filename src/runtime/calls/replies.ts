/**
 * Answers to calls that came from other nodes, and back to this one when a call was passed around.
 *
 * @module
 */
import * as Message from "../../wire/message.ts"
import * as Value from "../../wire/value.ts"
import { NotData, reasonOf, TooLarge } from "../errors.ts"
import * as Failure from "../failure.ts"
import type { Parts } from "../parts.ts"

/** Sends answers. One that can't reach its node any more is lost: the caller knows that the link broke. */
export class Replies {
  readonly #parts: Parts
  readonly #failed: (id: number, error: unknown) => void

  /** `failed` takes failures of this node's own calls. */
  constructor(parts: Parts, failed: (id: number, error: unknown) => void) {
    this.#parts = parts
    this.#failed = failed
  }

  /** Answers the call that `origin` knows as `id`. A value that can't be sent becomes a failure. */
  succeed(origin: string, id: number, process: string, value: unknown): void {
    const { links, calls, limits, name } = this.#parts
    if (origin === name) return calls.get(id)?.succeed(value)
    const link = links.get(origin)
    if (link === undefined) return
    const writer = link.begin()
    try {
      writer.u8(Message.KIND.reply)
      writer.uint(id)
      Value.write(writer, value)
    } catch (error) {
      link.drop()
      return this.fail(origin, id, process, new NotData(process, reasonOf(error), "executed"))
    }
    const bytes = link.end()
    if (bytes === undefined) return
    this.fail(origin, id, process, new TooLarge(process, bytes, limits.frameBytesMax, "executed"))
  }

  /** A cast of another node came to nothing here. */
  unheard(process: string, { message: reason }: Error): void {
    this.#parts.events.emit({ _tag: "CastFailed", process, reason })
  }

  /** Tells `origin` that its call `id` failed. */
  fail(origin: string, id: number, process: string, error: unknown): void {
    const { links, name } = this.#parts
    if (origin === name) return this.#failed(id, error)
    const link = links.get(origin)
    if (link === undefined) return
    const writer = link.begin()
    writer.u8(Message.KIND.failure)
    writer.uint(id)
    Message.error.write(writer, Failure.toWire(process, error))
    if (link.end() !== undefined) {
      this.fail(origin, id, process, new NotData(process, "its error is too large", "executed"))
    }
  }
}
