/**
 * The data plane's frames from other nodes: calls and casts for processes, and answers to our own calls.
 *
 * @module
 */
import { Reader } from "../wire/bytes.ts"
import * as Message from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import * as Envelope from "./calls/envelope.ts"
import type { Router } from "./calls/router.ts"
import { Visitor } from "./calls/visitor.ts"
import type { Method } from "./definition.ts"
import { NoMethod, NoProcess } from "./errors.ts"
import * as Failure from "./failure.ts"
import type { Services } from "./functions/services.ts"
import type { Memberships } from "./groups/memberships.ts"
import type { Link } from "./links/link.ts"
import type { Parts } from "./parts.ts"
import type { Cell, Mail } from "./processes/cell.ts"
import * as Merge from "./processes/merge.ts"
import type { Mover } from "./processes/mover.ts"
import type { Names } from "./processes/names.ts"
import type { Topics } from "./topics/topics.ts"

/** The parts that messages are for. */
export interface Addressees {
  readonly names: Names
  readonly router: Router
  readonly mover: Mover
  readonly services: Services
  readonly topics: Topics
  readonly memberships: Memberships
}

/** Reads what peers send most and brings it where it belongs. */
export class Inbox {
  readonly #parts: Parts
  readonly #names: Names
  readonly #router: Router
  readonly #mover: Mover
  readonly #services: Services
  readonly #topics: Topics
  readonly #memberships: Memberships
  readonly #reader: Reader = new Reader()

  constructor(parts: Parts, addressees: Addressees) {
    this.#parts = parts
    this.#names = addressees.names
    this.#router = addressees.router
    this.#mover = addressees.mover
    this.#services = addressees.services
    this.#topics = addressees.topics
    this.#memberships = addressees.memberships
  }

  /** Takes a frame of one of the hot kinds; false when it is malformed or of no such kind. */
  receive(link: Link, kind: number, buffer: Uint8Array, start: number, end: number): boolean {
    const reader = this.#reader
    reader.reset(buffer, start, end)
    link.heard = true
    switch (kind) {
      case Message.KIND.call:
        return this.#message(link.peer.name, reader.uint(), reader)
      case Message.KIND.cast:
        return this.#message(link.peer.name, 0, reader)
      case Message.KIND.reply: {
        const call = this.#parts.calls.get(reader.uint())
        const value = Value.read(reader)
        if (!reader.done()) return false
        call?.receive(value)
        return true
      }
      case Message.KIND.failure: {
        const id = reader.uint()
        const wire = Message.error.read(reader)
        if (!reader.done()) return false
        this.#router.failed(id, Failure.fromWire(wire))
        return true
      }
      case Message.KIND.forward:
        return this.#forwarded(reader)
      case Message.KIND.request:
        return this.#services.receive(link, reader)
      case Message.KIND.abandon:
        return this.#services.abandoned(link, reader)
      case Message.KIND.publish:
        return this.#topics.receive(link.peer.name, reader)
      default:
        return false
    }
  }

  #message(origin: string, id: number, reader: Reader): boolean {
    const pid = reader.uint()
    const given = pid === 0 ? reader.string() : undefined
    const methodName = reader.string()
    const args = Envelope.args(reader)
    if (!reader.done()) return false
    const { replies, fences } = this.#router
    const cell = pid === 0 ? undefined : this.#parts.processes.get(pid)
    const name = cell?.name ?? given ?? fences.nameOf(pid)
    if (name === undefined) {
      if (id !== 0) replies.fail(origin, id, "", new NoProcess(""))
      return true
    }
    const method = this.#method(name, methodName, id === 0 ? "cast" : "call")
    if (method === undefined) {
      if (id !== 0) replies.fail(origin, id, name, new NoMethod(name, methodName))
      return true
    }
    const mail = new Visitor(replies, origin, id, name, method, args, 0)
    if (cell !== undefined && this.#router.direct(cell)) this.#deliver(cell, mail)
    else this.#router.dispatch(name, mail, 1)
    return true
  }

  #forwarded(reader: Reader): boolean {
    const origin = reader.string()
    const id = reader.uint()
    const name = reader.string()
    const hops = reader.u8()
    const methodName = reader.string()
    const args = Envelope.args(reader)
    if (!reader.done()) return false
    const { replies } = this.#router
    const method = this.#method(name, methodName, id === 0 ? "cast" : "call")
    if (method === undefined) {
      if (id !== 0) replies.fail(origin, id, name, new NoMethod(name, methodName))
      return true
    }
    const mail = new Visitor(replies, origin, id, name, method, args, hops)
    const cell = this.#router.closed(name) ? this.#mover.arrived(name) : undefined
    // What the old owner passes on goes before everything that came here directly.
    if (cell !== undefined) this.#deliver(cell, mail)
    else this.#router.dispatch(name, mail, hops)
    return true
  }

  /** A mailbox isn't full because its process hasn't had its turn since a burst began to come in. */
  #deliver(cell: Cell, mail: Mail): void {
    const { processes } = this.#parts
    if (cell.queued >= cell.hosted.mailboxMax) processes.catchUp(cell)
    processes.deliver(cell, mail)
  }

  #method(name: string, method: string, kind: "call" | "cast"): Method | undefined {
    const definition = this.#names.hosted(name)?.definition
    if (method.startsWith("$") && kind === "call") {
      if (method === Merge.NAME) return Merge.method
      if (method === this.#memberships.method.name) return this.#memberships.method
    }
    // A node that only passes messages on needn't know the definition.
    if (definition === undefined)
      return { name: method, kind, immediate: false, handler: () => undefined }
    return kind === "call" ? definition.calls.get(method) : definition.casts.get(method)
  }
}
