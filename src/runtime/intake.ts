/**
 * What comes in from peers: every frame goes to the part that it is for.
 *
 * @module
 */
import { Reader } from "../wire/bytes.ts"
import * as Message from "../wire/message.ts"
import type { Router } from "./calls/router.ts"
import * as Failure from "./failure.ts"
import type { Inbox } from "./inbox.ts"
import type { Link } from "./links/link.ts"
import type { Parts } from "./parts.ts"
import type { Mover } from "./processes/mover.ts"
import type { Starts } from "./processes/starts.ts"

/** The parts that peers talk to. */
export interface Receivers {
  readonly starts: Starts
  readonly router: Router
  readonly mover: Mover
  readonly inbox: Inbox
}

/** Reads frames. A peer that sends what can't be read is not one of ours, or broken: we part with it. */
export class Intake {
  readonly #parts: Parts
  readonly #to: Receivers
  readonly #reader = new Reader()

  constructor(parts: Parts, receivers: Receivers) {
    this.#parts = parts
    this.#to = receivers
  }

  /** Takes the frame whose body is `buffer` from `start` to `end`; the buffer is the link's. */
  receive(link: Link, buffer: Uint8Array, start: number, end: number): void {
    if (start >= end) return link.destroy()
    const kind = buffer[start] as number
    if (kind === Message.KIND.core) return this.#core(link, buffer, start + 1, end)
    if (kind === Message.KIND.data) return this.#data(link, buffer, start + 1, end)
    if (!this.#to.inbox.receive(link, kind, buffer, start + 1, end)) link.destroy()
  }

  #core(link: Link, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#reader
    reader.reset(buffer, start, end)
    const message = Message.core.read(reader)
    if (!reader.done()) return link.destroy()
    const { driver, platform } = this.#parts
    driver.input({ _tag: "Message", now: platform.now(), from: link.peer.name, message })
  }

  #data(link: Link, buffer: Uint8Array, start: number, end: number): void {
    const reader = this.#reader
    reader.reset(buffer, start, end)
    const message = Message.data.read(reader)
    if (!reader.done()) return link.destroy()
    link.heard = true
    const from = link.peer.name
    const { starts, router, mover } = this.#to
    switch (message._tag) {
      case "Start":
        return starts.receive(from, message)
      case "Started":
        return starts.answered(message.id, undefined, message.node)
      case "NotStarted":
        return starts.answered(message.id, Failure.fromWire(message.error) as Error, "")
      case "State":
        return mover.install(message)
      case "Will":
        return mover.wills.receive(from, message)
      case "Fence":
        return router.fences.pass(message.id, message.origin, message.name)
      case "Fenced":
        return router.fences.fenced(message.id)
    }
  }
}
