/**
 * The data plane: where a call or a cast goes, and how it gets there. The core decides where a name
 * lives; messages go straight there. A message for a name on the move waits, or is passed on, in order.
 *
 * @module
 */
import * as Registry from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import * as Value from "../../wire/value.ts"
import type { Method } from "../definition.ts"
import { NodeDown, NoProcess, NotData, Overloaded, reasonOf, TooLarge } from "../errors.ts"
import type { Link } from "../links/link.ts"
import type { Parts } from "../parts.ts"
import { type Cell, FROZEN, type Mail, STARTING, STOPPED } from "../processes/cell.ts"
import type { Names } from "../processes/names.ts"
import type { Starts } from "../processes/starts.ts"
import { Call } from "./calls.ts"
import * as Envelope from "./envelope.ts"
import { Fences } from "./fences.ts"
import type { Caller, Target } from "./ref.ts"
import { Replies } from "./replies.ts"
import { Visitor } from "./visitor.ts"
import { Waiting } from "./waiting.ts"

/** Nodes a message passes through on its way to a name that moves before it rests. */
const HOPS_MAX = 8
/** How often a call looks for a process that had just gone when it came. */
const RETRIES_MAX = 3

/** Brings messages to processes, here and elsewhere; what references call through. */
export class Router implements Caller {
  readonly #parts: Parts
  readonly #names: Names
  readonly #starts: Starts
  /** Answers to other nodes' calls. */
  readonly replies: Replies
  /** Order across moves. */
  readonly fences: Fences
  /** This node's own messages that have to wait. */
  readonly #waiting: Waiting
  /**
   * Those of others. What the old owner of a name passes on comes before this node's own, which wait at a
   * fence for just that.
   */
  readonly #visiting: Waiting
  /** Names that arrived here and may still be sent messages by their old owner. */
  readonly #closed = new Set<string>()
  /** Nodes that said that they leave: what was sent to them was passed on. */
  readonly #leaving = new Set<string>()

  constructor(parts: Parts, names: Names, starts: Starts) {
    this.#parts = parts
    this.#names = names
    this.#starts = starts
    this.replies = new Replies(parts, (id, error) => this.failed(id, error))
    this.fences = new Fences(parts, (name) => this.#release(name))
    this.#waiting = this.#lane((name) => this.fences.has(name) || this.#visiting.has(name))
    this.#visiting = this.#lane(() => false)
  }

  #lane(shut: (name: string) => boolean): Waiting {
    const { platform, limits } = this.#parts
    return new Waiting(platform, limits.pendingMax, {
      shut,
      retry: (name, mail) => {
        this.dispatch(name, mail, mail instanceof Visitor ? mail.hops : 0)
      },
    })
  }

  // --- out ---------------------------------------------------------------------------------------

  call(
    target: Target,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const parts = this.#parts
    const { name } = target
    const stopped = parts.stopped(name)
    if (stopped !== undefined) return Promise.reject(stopped)
    const cell = target.cache as Cell | undefined
    const near = cell !== undefined && reachable(cell) ? cell : this.#local(target)
    let mine = args
    if (near !== undefined || !this.#routable(name)) {
      try {
        mine = copied(args)
      } catch (error) {
        return Promise.reject(notData(name, error))
      }
    }
    return parts.calls.make(name, method, mine, timeoutMillis, signal, (call) => {
      if (near === undefined) return this.dispatch(name, call, 0)
      call.cell = near
      parts.processes.deliver(near, call)
    })
  }

  cast(target: Target, method: Method, args: ReadonlyArray<unknown>): void {
    const { name } = target
    const stopped = this.#parts.stopped(name)
    if (stopped !== undefined) throw stopped
    const cell = target.cache as Cell | undefined
    const near = cell !== undefined && reachable(cell) ? cell : this.#local(target)
    if (near !== undefined) {
      if (near.queued >= near.hosted.mailboxMax) {
        throw new Overloaded(name, "mailboxMax", near.hosted.mailboxMax)
      }
      this.#parts.processes.send(near, method, this.#copied(name, args), undefined)
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
      throw notData(name, error)
    }
  }

  /** The process when it is here and nothing stands before it; remembered in the reference. */
  #local(target: Target): Cell | undefined {
    const { registry } = this.#parts.core
    const entry = registry.index.get(target.name)
    if (entry === undefined || entry.table !== registry.self) return undefined
    if (this.#queued(target.name) || this.#closed.has(target.name)) return undefined
    const cell = this.#parts.processes.get(entry.pid)
    if (cell !== undefined && reachable(cell)) target.cache = cell
    return cell
  }

  /** Whether a message for this name can be written to a link at once. */
  #routable(name: string): boolean {
    if (this.#queued(name)) return false
    const entry = this.#parts.core.registry.index.get(name)
    return entry !== undefined && this.#parts.links.get(entry.table.owner) !== undefined
  }

  // --- the way -----------------------------------------------------------------------------------

  /**
   * Brings a message to its process, here or elsewhere, or holds it. Returns why that can't be; calls
   * are told too.
   */
  dispatch(name: string, mail: Mail, hops: number): Error | undefined {
    const { core, processes, links } = this.#parts
    const queued = mail instanceof Visitor ? this.#visiting.has(name) : this.#queued(name)
    if (queued) return this.#hold(name, mail)
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
    if (this.#parts.processes.deliver(cell, mail)) return undefined
    return new Overloaded(cell.name, "mailboxMax", cell.hosted.mailboxMax)
  }

  /** No live node holds the name, as far as we know: it may be on its way, or not exist. */
  #seek(name: string, mail: Mail, hops: number): Error | undefined {
    const { core, links } = this.#parts
    const to = this.fences.wentTo(name)
    if (to !== undefined) {
      const link = links.get(to)
      if (link !== undefined) return this.#transmit(link, 0, name, mail, hops)
    }
    const slot = Rings.slot(name)
    const { supervision, registry } = core
    const moving = supervision.incoming.has(slot) || supervision.outgoing.has(slot)
    const coming = moving || this.#starts.pending(name)
    if (coming || this.#names.recoverable(name)) return this.#hold(name, mail)
    const holder =
      Registry.grant(registry, slot)?.table.owner ?? Rings.ownerOfSlot(supervision.rings, slot)
    if (holder === undefined) return this.#fail(mail, new NoProcess(name))
    if (holder === core.registry.name) {
      return supervision.firm ? this.#fail(mail, new NoProcess(name)) : this.#hold(name, mail)
    }
    const link = links.get(holder)
    if (link === undefined) return this.#hold(name, mail)
    return this.#transmit(link, 0, name, mail, hops)
  }

  /** Sent in circles, as nodes don't agree on the ring yet: it waits here until they may. */
  #rest(name: string, mail: Mail): Error | undefined {
    if (mail instanceof Visitor) mail.hops = 0
    return this.#hold(name, mail)
  }

  /** Whether messages of this node's own have to queue up for this name. */
  #queued(name: string): boolean {
    return this.#waiting.has(name) || this.#visiting.has(name) || this.fences.has(name)
  }

  #hold(name: string, mail: Mail): Error | undefined {
    return (mail instanceof Visitor ? this.#visiting : this.#waiting).hold(name, mail)
  }

  #release(name: string): void {
    this.#visiting.release(name)
    this.#waiting.release(name)
  }

  #fail<E extends Error>(mail: Mail, error: E): E {
    mail.reply?.fail(error)
    if (mail instanceof Visitor) mail.unheard(error)
    return error
  }

  /** Writes a message to a link: our own calls under their number, others' with their origin. */
  #transmit(link: Link, pid: number, name: string, mail: Mail, hops: number): Error | undefined {
    const { method } = mail
    if (method === undefined) return undefined
    if (hops >= HOPS_MAX) return this.#rest(name, mail)
    if (link.full)
      return this.#fail(
        mail,
        new Overloaded(name, "queueBytesMax", this.#parts.limits.queueBytesMax),
      )
    const writer = link.begin()
    try {
      if (mail instanceof Visitor)
        Envelope.forward(writer, mail.origin, mail.id, name, mail.hops + 1, method.name, mail.args)
      else if (mail instanceof Call) {
        if (mail.calls === undefined) {
          link.drop()
          return undefined
        }
        mail.cell = undefined
        mail.node = link.peer.name
        const id = this.#parts.calls.number(mail)
        Envelope.call(writer, id, pid, name, method.name, mail.args)
      } else Envelope.cast(writer, pid, name, method.name, mail.args)
    } catch (error) {
      link.drop()
      return this.#fail(mail, notData(name, error))
    }
    const bytes = link.end()
    if (bytes === undefined) return undefined
    return this.#fail(mail, new TooLarge(name, bytes, this.#parts.limits.frameBytesMax))
  }

  // --- what comes back ---------------------------------------------------------------------------

  /** A call of ours failed elsewhere. One that met a process that had just gone looks for it again. */
  failed(id: number, error: unknown): void {
    const { calls, core } = this.#parts
    const call = calls.get(id)
    if (call === undefined) return
    const { process } = call
    // (Of a process that was meant by its id alone its node may not know the name.)
    if (!(error instanceof NoProcess) || (error.process !== "" && error.process !== process))
      return call.fail(error)
    const exists =
      core.registry.index.get(process) !== undefined || this.#names.recoverable(process)
    if (exists && call.retries < RETRIES_MAX && call.method !== undefined) {
      call.retries++
      call.node = undefined
      this.#waiting.hold(process, call)
    } else call.fail(new NoProcess(process))
  }

  /** A node is a member that serves. */
  nodeUp(node: string): void {
    this.#leaving.delete(node)
  }

  /** A node leaves, and hands over what it has. */
  nodeLeaving(node: string): void {
    this.#leaving.add(node)
  }

  /** The link to a node is gone. What it may have passed on to others is still waited for. */
  linkDown(node: string): void {
    this.fences.linkDown(node)
    if (this.#leaving.has(node)) return
    for (const call of this.#parts.calls.sentTo(node)) call.fail(new NodeDown(call.process, node))
  }

  /** Looks at all messages that wait: something changed. */
  retry(): void {
    this.#visiting.retry()
    this.#waiting.retry()
    this.fences.expire()
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
      const link = this.#parts.links.get(before.table.owner)
      if (link !== undefined) this.fences.raise(link, name)
    }
    if (after !== undefined) this.#release(name)
  }

  /** A process moved away: what waits for it and what still comes is passed on. */
  depart(cell: Cell, mails: ReadonlyArray<Mail>, to: string): void {
    this.fences.depart(cell, to)
    const link = this.#parts.links.get(to)
    for (const mail of mails) {
      if (link === undefined) this.#fail(mail, new NoProcess(cell.name))
      else this.#passOn(link, cell.name, mail)
    }
  }

  /** To the new owner, ahead of what it gets directly. */
  #passOn(link: Link, name: string, mail: Mail): void {
    const { method } = mail
    if (method === undefined) return
    if (mail instanceof Visitor) {
      this.#transmit(link, 0, name, mail, mail.hops)
      return
    }
    const id = mail instanceof Call ? this.#parts.calls.number(mail) : 0
    if (mail instanceof Call) {
      mail.cell = undefined
      mail.node = link.peer.name
    }
    const copy = new Visitor(this.replies, this.#parts.name, id, name, method, mail.args, 0)
    this.#transmit(link, 0, name, copy, 0)
  }

  /** Whether this message may go to its process without a further look: nothing stands before it. */
  direct(cell: Cell): boolean {
    return this.#closed.size === 0 && reachable(cell)
  }

  /** Whether only what the old owner passes on reaches this name. */
  closed(name: string): boolean {
    return this.#closed.has(name)
  }

  /** Until {@link open}, only what the old owner passes on reaches this name. */
  shut(name: string): void {
    // It may have left from here before: fences for it must not be sent round in circles.
    this.fences.returned(name)
    this.#closed.add(name)
  }

  /** The old owner has passed on everything: whoever waits may come. */
  open(name: string): void {
    if (this.#closed.delete(name)) this.#release(name)
  }

  /** The node ends. */
  close(): void {
    this.#visiting.close()
    this.#waiting.close()
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

function notData(process: string, error: unknown): NotData {
  return new NotData(process, reasonOf(error), "not-executed")
}
