/**
 * The data plane: where a call or a cast goes, and how it gets there. The core decides where a name
 * lives; messages go straight there. A message for a name on the move waits, or is passed on, in order.
 *
 * @module
 */
import * as Registry from "../core/registry.ts"
import * as Ring from "../core/ring.ts"
import { Reader, type Writer } from "../wire/bytes.ts"
import * as Message from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import { Call } from "./calls.ts"
import { type Cell, FROZEN, type Mail, type Reply, STARTING, STOPPED } from "./cell.ts"
import type { Method } from "./definition.ts"
import type { Engine } from "./engine.ts"
import {
  NodeDown,
  NoMethod,
  NoProcess,
  NotData,
  Overloaded,
  reasonOf,
  TooLarge,
  Unreachable,
} from "./errors.ts"
import * as Failure from "./failure.ts"
import type { Link } from "./link.ts"
import type { Caller, Target } from "./ref.ts"

/** Nodes a message may pass through on its way to a name that moves. */
const HOPS_MAX = 8
/** How often held messages are looked at again, and how long they are held at most. */
const RETRY_MILLIS = 100
const HELD_MILLIS = 30_000
/** How long the old owner of a name knows where it went. */
const DEPARTED_MILLIS = 30_000
/** How long messages wait for those sent before them on another way. */
const FENCE_MILLIS = 1_000

/** A call or cast that came from another node. */
class Visitor implements Mail, Reply {
  method: Method | undefined
  readonly args: ReadonlyArray<unknown>
  next: Mail | undefined = undefined
  readonly #engine: Engine
  readonly origin: string
  /** 0 for a cast. */
  readonly id: number
  readonly process: string
  readonly hops: number

  constructor(
    engine: Engine,
    origin: string,
    id: number,
    process: string,
    method: Method,
    args: ReadonlyArray<unknown>,
    hops: number,
  ) {
    this.#engine = engine
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
    this.#engine.router.answer(this.origin, this.id, this.process, value)
  }

  fail(error: unknown): void {
    if (this.id !== 0) this.#engine.router.refuse(this.origin, this.id, this.process, error)
  }
}

interface Held {
  readonly name: string
  readonly mail: Mail
  readonly since: number
}

export class Router implements Caller {
  readonly #engine: Engine
  readonly #reader: Reader = new Reader()
  readonly #held = new Map<string, Array<Held>>()
  #heldCount = 0
  #retrying = false
  /** Names whose messages wait until the old owner has passed on what it got. */
  readonly #fenced = new Map<string, Set<number>>()
  readonly #fences = new Map<number, { readonly name: string; readonly owner: string }>()
  #lastFence = 0
  /** Names that arrived here and may still be sent messages by their old owner. */
  readonly #closed = new Set<string>()
  readonly #departed = new Map<string, { readonly to: string; readonly at: number }>()
  readonly #departedPids = new Map<number, string>()

  constructor(engine: Engine) {
    this.#engine = engine
  }

  // --- out ---------------------------------------------------------------------------------------

  call(
    target: Target,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const engine = this.#engine
    const { name } = target
    const stopped = engine.stopped(name)
    if (stopped !== undefined) return Promise.reject(stopped)
    const cell = target.cache as Cell | undefined
    const near = cell !== undefined && reachable(cell) ? cell : this.#local(target)
    let mine = args
    if (near !== undefined || !this.#routable(name)) {
      try {
        mine = copied(args)
      } catch (error) {
        return Promise.reject(notData(name, error, "not-executed"))
      }
    }
    return engine.calls.make(name, method, mine, timeoutMillis, signal, (call) => {
      if (near === undefined) return this.dispatch(name, call, 0)
      call.cell = near
      engine.processes.deliver(near, call)
    })
  }

  cast(target: Target, method: Method, args: ReadonlyArray<unknown>): void {
    const { name } = target
    const stopped = this.#engine.stopped(name)
    if (stopped !== undefined) throw stopped
    const cell = target.cache as Cell | undefined
    const near = cell !== undefined && reachable(cell) ? cell : this.#local(target)
    if (near !== undefined) {
      if (near.queued >= near.hosted.mailboxMax) {
        throw new Overloaded(name, "mailboxMax", near.hosted.mailboxMax)
      }
      this.#engine.processes.send(near, method, this.#copied(name, args), undefined)
      return
    }
    const far = this.#routable(name)
    const mail: Mail = {
      method,
      args: far ? args : this.#copied(name, args),
      reply: undefined,
      next: undefined,
    }
    const error = this.dispatch(name, mail, 0)
    if (error !== undefined) throw error
  }

  #copied(name: string, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
    try {
      return copied(args)
    } catch (error) {
      throw notData(name, error, "not-executed")
    }
  }

  /** The process when it is here and nothing stands before it; remembered in the reference. */
  #local(target: Target): Cell | undefined {
    const { registry } = this.#engine.core
    const entry = registry.index.get(target.name)
    if (entry === undefined || entry.table !== registry.self) return undefined
    if (this.#held.has(target.name) || this.#closed.has(target.name)) return undefined
    const cell = this.#engine.processes.get(entry.pid)
    if (cell !== undefined && reachable(cell)) target.cache = cell
    return cell
  }

  /** Whether a message for this name can be written to a link at once. */
  #routable(name: string): boolean {
    if (this.#held.has(name)) return false
    const entry = this.#engine.core.registry.index.get(name)
    return entry !== undefined && this.#engine.links.get(entry.table.owner) !== undefined
  }

  // --- the way -----------------------------------------------------------------------------------

  /**
   * Brings a message to its process, here or elsewhere, or holds it. Returns why that can't be; calls
   * are told too.
   */
  dispatch(name: string, mail: Mail, hops: number): Error | undefined {
    const { core, processes, links } = this.#engine
    if (this.#held.has(name) || this.#fenced.has(name)) return this.#hold(name, mail)
    const entry = core.registry.index.get(name)
    if (entry === undefined) return this.#seek(name, mail, hops)
    if (entry.table === core.registry.self) {
      if (this.#closed.has(name)) return this.#hold(name, mail)
      const cell = processes.get(entry.pid)
      if (cell === undefined) return this.#fail(mail, new NoProcess(name))
      return this.#deliver(cell, mail)
    }
    const link = links.get(entry.table.owner)
    if (link === undefined) return this.#hold(name, mail)
    entry.used = true
    return this.#transmit(link, entry.pid, name, mail, hops)
  }

  #deliver(cell: Cell, mail: Mail): Error | undefined {
    if (mail instanceof Call) {
      mail.cell = cell
      mail.node = undefined
    }
    if (this.#engine.processes.deliver(cell, mail)) return undefined
    return new Overloaded(cell.name, "mailboxMax", cell.hosted.mailboxMax)
  }

  /** No live node holds the name, as far as we know: it may be on its way, or not exist. */
  #seek(name: string, mail: Mail, hops: number): Error | undefined {
    const { core, links, starts } = this.#engine
    const departed = this.#departed.get(name)
    if (departed !== undefined) {
      const link = links.get(departed.to)
      if (link !== undefined) return this.#transmit(link, 0, name, mail, hops)
    }
    const slot = Ring.slot(name)
    const { supervision, registry } = core
    const coming = supervision.incoming.has(slot) || starts.pending(name)
    if (coming || this.#engine.recoverable(name)) return this.#hold(name, mail)
    const holder =
      Registry.grant(registry, slot)?.table.owner ?? Ring.ownerOfSlot(supervision.ring, slot)
    if (holder === undefined) return this.#fail(mail, new NoProcess(name))
    if (holder === core.registry.name) {
      return supervision.settled ? this.#fail(mail, new NoProcess(name)) : this.#hold(name, mail)
    }
    if (hops >= HOPS_MAX) return this.#fail(mail, new NoProcess(name))
    const link = links.get(holder)
    if (link === undefined) return this.#hold(name, mail)
    return this.#transmit(link, 0, name, mail, hops)
  }

  #fail<E extends Error>(mail: Mail, error: E): E {
    mail.reply?.fail(error)
    return error
  }

  /** Writes a message to a link: our own calls under their number, others' with their origin. */
  #transmit(link: Link, pid: number, name: string, mail: Mail, hops: number): Error | undefined {
    const { method } = mail
    if (method === undefined) return undefined
    if (hops >= HOPS_MAX) return this.#fail(mail, new Unreachable(name, link.peer.name))
    if (link.full)
      return this.#fail(
        mail,
        new Overloaded(name, "queueBytesMax", this.#engine.limits.queueBytesMax),
      )
    const writer = link.begin()
    try {
      if (mail instanceof Visitor)
        this.#writeForward(writer, mail.origin, mail.id, name, method, mail.hops + 1, mail.args)
      else if (mail instanceof Call) {
        if (mail.calls === undefined) {
          link.drop()
          return undefined
        }
        mail.cell = undefined
        mail.node = link.peer.name
        writer.u8(Message.KIND.call)
        writer.uint(this.#engine.calls.number(mail))
        writeTarget(writer, pid, name)
        writer.string(method.name)
        writeArgs(writer, mail.args)
      } else {
        writer.u8(Message.KIND.cast)
        writeTarget(writer, pid, name)
        writer.string(method.name)
        writeArgs(writer, mail.args)
      }
    } catch (error) {
      link.drop()
      return this.#fail(mail, notData(name, error, "not-executed"))
    }
    const bytes = link.end()
    if (bytes === undefined) return undefined
    return this.#fail(mail, new TooLarge(name, bytes, this.#engine.limits.frameBytesMax))
  }

  #writeForward(
    writer: Writer,
    origin: string,
    id: number,
    name: string,
    method: Method,
    hops: number,
    args: ReadonlyArray<unknown>,
  ): void {
    writer.u8(Message.KIND.forward)
    writer.string(origin)
    writer.uint(id)
    writer.string(name)
    writer.u8(hops)
    writer.string(method.name)
    writeArgs(writer, args)
  }

  // --- in ----------------------------------------------------------------------------------------

  /** A frame of the data plane's hot kinds; false when it is malformed. */
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
        const call = this.#engine.calls.get(reader.uint())
        const value = Value.read(reader)
        if (!reader.done()) return false
        call?.receive(value)
        return true
      }
      case Message.KIND.failure: {
        const id = reader.uint()
        const wire = Message.error.read(reader)
        if (!reader.done()) return false
        this.#failed(id, Failure.fromWire(wire))
        return true
      }
      case Message.KIND.forward:
        return this.#forwarded(reader)
      default:
        return false
    }
  }

  #message(origin: string, id: number, reader: Reader): boolean {
    const pid = reader.uint()
    const given = pid === 0 ? reader.string() : undefined
    const methodName = reader.string()
    const args = readArgs(reader)
    if (!reader.done()) return false
    const cell = pid === 0 ? undefined : this.#engine.processes.get(pid)
    const name = cell?.name ?? given ?? this.#departedPids.get(pid)
    if (name === undefined) {
      if (id !== 0) this.refuse(origin, id, "", new NoProcess(""))
      return true
    }
    const method = this.#method(name, methodName, id === 0 ? "cast" : "call")
    if (method === undefined) {
      if (id !== 0) this.refuse(origin, id, name, new NoMethod(name, methodName))
      return true
    }
    const mail = new Visitor(this.#engine, origin, id, name, method, args, 0)
    if (cell !== undefined && reachable(cell) && this.#closed.size === 0) {
      this.#engine.processes.deliver(cell, mail)
    } else this.dispatch(name, mail, 1)
    return true
  }

  #forwarded(reader: Reader): boolean {
    const origin = reader.string()
    const id = reader.uint()
    const name = reader.string()
    const hops = reader.u8()
    const methodName = reader.string()
    const args = readArgs(reader)
    if (!reader.done()) return false
    const method = this.#method(name, methodName, id === 0 ? "cast" : "call")
    if (method === undefined) {
      if (id !== 0) this.refuse(origin, id, name, new NoMethod(name, methodName))
      return true
    }
    const mail = new Visitor(this.#engine, origin, id, name, method, args, hops)
    const cell = this.#closed.has(name) ? this.#engine.mover.arrived(name) : undefined
    // What the old owner passes on goes before everything that came here directly.
    if (cell !== undefined) this.#engine.processes.deliver(cell, mail)
    else this.dispatch(name, mail, hops)
    return true
  }

  #method(name: string, method: string, kind: "call" | "cast"): Method | undefined {
    const definition = this.#engine.definitionOf(name)
    // A node that only passes messages on needn't know the definition.
    if (definition === undefined) return { name: method, kind, handler: () => undefined }
    return kind === "call" ? definition.calls.get(method) : definition.casts.get(method)
  }

  // --- replies -----------------------------------------------------------------------------------

  answer(origin: string, id: number, process: string, value: unknown): void {
    const { links, calls } = this.#engine
    if (origin === this.#engine.name) return calls.get(id)?.succeed(value)
    const link = links.get(origin)
    if (link === undefined) return
    const writer = link.begin()
    try {
      writer.u8(Message.KIND.reply)
      writer.uint(id)
      Value.write(writer, value)
    } catch (error) {
      link.drop()
      return this.refuse(origin, id, process, notData(process, error, "executed"))
    }
    const bytes = link.end()
    if (bytes !== undefined) {
      const { frameBytesMax } = this.#engine.limits
      this.refuse(origin, id, process, new TooLarge(process, bytes, frameBytesMax, "executed"))
    }
  }

  refuse(origin: string, id: number, process: string, error: unknown): void {
    const { links } = this.#engine
    if (origin === this.#engine.name) return this.#failed(id, error)
    const link = links.get(origin)
    if (link === undefined) return
    const writer = link.begin()
    writer.u8(Message.KIND.failure)
    writer.uint(id)
    Message.error.write(writer, Failure.toWire(process, error))
    if (link.end() !== undefined) {
      this.refuse(origin, id, process, new NotData(process, "its error is too large", "executed"))
    }
  }

  /** A call failed elsewhere. One that met a process that had just gone looks for it once more. */
  #failed(id: number, error: unknown): void {
    const call = this.#engine.calls.get(id)
    if (call === undefined) return
    if (error instanceof NoProcess && call.retries < 3 && call.method !== undefined) {
      const entry = this.#engine.core.registry.index.get(call.process)
      if (entry !== undefined || this.#engine.recoverable(call.process)) {
        call.retries++
        call.node = undefined
        this.#hold(call.process, call)
        return
      }
    }
    call.fail(error instanceof NoProcess ? new NoProcess(call.process) : error)
  }

  /** The link to a node is gone. What it may have passed on to others is still waited for. */
  linkDown(node: string, passedOn: boolean): void {
    for (const [id, fence] of [...this.#fences]) if (fence.owner === node) this.fenced(id)
    if (passedOn) return
    for (const call of this.#engine.calls.sentTo(node)) call.fail(new NodeDown(call.process, node))
  }

  // --- held messages -----------------------------------------------------------------------------

  #hold(name: string, mail: Mail): Error | undefined {
    const { pendingMax } = this.#engine.limits
    if (this.#heldCount >= pendingMax)
      return this.#fail(mail, new Overloaded(name, "pendingMax", pendingMax))
    this.#heldCount++
    const held: Held = { name, mail, since: this.#engine.platform.now() }
    const others = this.#held.get(name)
    if (others === undefined) this.#held.set(name, [held])
    else others.push(held)
    this.#retryLater()
    return undefined
  }

  #retryLater(): void {
    if (this.#retrying) return
    this.#retrying = true
    this.#engine.platform.timer(RETRY_MILLIS, () => {
      this.#retrying = false
      this.retry()
    })
  }

  /** Looks at all held messages again: something changed, or time has passed. */
  retry(): void {
    for (const name of [...this.#held.keys()]) this.release(name)
    const now = this.#engine.platform.now()
    for (const [name, { at }] of this.#departed)
      if (now - at > DEPARTED_MILLIS) this.#departed.delete(name)
    if (this.#departed.size === 0) this.#departedPids.clear()
    if (this.#held.size > 0) this.#retryLater()
  }

  /** Looks at the held messages of one name again, in their order. */
  release(name: string): void {
    if (this.#fenced.has(name)) return
    const held = this.#held.get(name)
    if (held === undefined) return
    this.#held.delete(name)
    this.#heldCount -= held.length
    const now = this.#engine.platform.now()
    for (const { mail, since } of held) {
      if (mail instanceof Call && mail.calls === undefined) continue
      if (now - since > HELD_MILLIS) this.#fail(mail, new NoProcess(name))
      else this.#again(name, mail, since)
    }
  }

  #again(name: string, mail: Mail, since: number): void {
    const before = this.#held.get(name)?.length ?? 0
    this.dispatch(name, mail, mail instanceof Visitor ? mail.hops : 0)
    const queue = this.#held.get(name)
    // Held again: it has been waiting since it first was.
    if (queue !== undefined && queue.length > before)
      queue[queue.length - 1] = { name, mail, since }
  }

  // --- moves -------------------------------------------------------------------------------------

  /** The claim of a name changed: what was sent on the old way must arrive before what follows. */
  changed(
    name: string,
    before: Registry.Entry | undefined,
    after: Registry.Entry | undefined,
  ): void {
    if (before?.used === true && before.table !== after?.table) {
      before.used = false
      const link = this.#engine.links.get(before.table.owner)
      if (link !== undefined) this.#fence(link, name)
    }
    if (after !== undefined) this.release(name)
  }

  #fence(link: Link, name: string): void {
    const id = ++this.#lastFence
    this.#fences.set(id, { name, owner: link.peer.name })
    const ids = this.#fenced.get(name)
    if (ids === undefined) this.#fenced.set(name, new Set([id]))
    else ids.add(id)
    this.#engine.send(link, { _tag: "Fence", id, origin: this.#engine.name, name })
    this.#engine.platform.timer(FENCE_MILLIS, () => this.fenced(id))
  }

  /** A fence of ours came through. */
  fenced(id: number): void {
    const fence = this.#fences.get(id)
    if (fence === undefined) return
    this.#fences.delete(id)
    const ids = this.#fenced.get(fence.name)
    ids?.delete(id)
    if (ids?.size === 0) this.#fenced.delete(fence.name)
    this.release(fence.name)
  }

  /** A fence of somebody else: behind everything for the name that came before it. */
  passFence(id: number, origin: string, name: string): void {
    const departed = this.#departed.get(name)
    const next = departed === undefined ? undefined : this.#engine.links.get(departed.to)
    if (next !== undefined) {
      this.#engine.send(next, { _tag: "Fence", id, origin, name })
      return
    }
    if (origin === this.#engine.name) return this.fenced(id)
    const link = this.#engine.links.get(origin)
    if (link !== undefined) this.#engine.send(link, { _tag: "Fenced", id })
  }

  /** A process moved away: what waits for it and what still comes is passed on. */
  depart(cell: Cell, mails: ReadonlyArray<Mail>, to: string): void {
    this.#departed.set(cell.name, { to, at: this.#engine.platform.now() })
    this.#departedPids.set(cell.pid, cell.name)
    const link = this.#engine.links.get(to)
    for (const mail of mails) {
      if (link === undefined) this.#fail(mail, new NoProcess(cell.name))
      else this.#passOn(link, cell.name, mail)
    }
    this.#retryLater()
  }

  /** To the new owner, ahead of what it gets directly. */
  #passOn(link: Link, name: string, mail: Mail): void {
    const { method } = mail
    if (method === undefined) return
    if (mail instanceof Visitor) {
      this.#transmit(link, 0, name, mail, mail.hops)
      return
    }
    const id = mail instanceof Call ? this.#engine.calls.number(mail) : 0
    if (mail instanceof Call) {
      mail.cell = undefined
      mail.node = link.peer.name
    }
    const copy = new Visitor(this.#engine, this.#engine.name, id, name, method, mail.args, 0)
    this.#transmit(link, 0, name, copy, 0)
  }

  returned(name: string): void {
    this.#departed.delete(name)
  }

  /** Until `open`, only what the old owner passes on reaches this name. */
  shut(name: string): void {
    // It may have left from here before: fences for it must not be sent round in circles.
    this.#departed.delete(name)
    this.#closed.add(name)
  }

  open(name: string): void {
    if (this.#closed.delete(name)) this.release(name)
  }

  close(): void {
    for (const held of this.#held.values()) {
      for (const { mail, name } of held) mail.reply?.fail(new NoProcess(name))
    }
    this.#held.clear()
  }
}

/** Whether a message may be put into its mailbox without a further look. */
function reachable(cell: Cell): boolean {
  return cell.status !== FROZEN && cell.status !== STOPPED && cell.status !== STARTING
}

function copied(args: ReadonlyArray<unknown>): ReadonlyArray<unknown> {
  for (let i = 0; i < args.length; i++) {
    const type = typeof args[i]
    if (type === "object" || type === "function" || type === "symbol") return args.map(Value.copy)
  }
  return args
}

function writeTarget(writer: Writer, pid: number, name: string): void {
  writer.uint(pid)
  if (pid === 0) writer.string(name)
}

function writeArgs(writer: Writer, args: ReadonlyArray<unknown>): void {
  writer.uint(args.length)
  for (let i = 0; i < args.length; i++) Value.write(writer, args[i])
}

function readArgs(reader: Reader): ReadonlyArray<unknown> {
  const count = reader.uint()
  const args: Array<unknown> = []
  for (let i = 0; i < count && !reader.failed; i++) args.push(Value.read(reader))
  return args
}

function notData(process: string, error: unknown, outcome: "not-executed" | "executed"): NotData {
  return new NotData(process, reasonOf(error), outcome)
}
