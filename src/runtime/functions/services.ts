/**
 * Requests between nodes: a node serves named services, and every node, this one too, can ask for them.
 *
 * A request is one frame; its answer is a reply or a failure, as for calls. Nothing is asked twice: when
 * the connection breaks its outcome is unknown. Whoever gives a request up, by its timeout or its signal,
 * tells the node that serves it.
 *
 * @module
 */
import type * as Context from "effect/Context"
import type { Reader } from "../../wire/bytes.ts"
import * as Message from "../../wire/message.ts"
import * as Value from "../../wire/value.ts"
import type { Call } from "../calls/calls.ts"
import * as Envelope from "../calls/envelope.ts"
import type { Replies } from "../calls/replies.ts"
import type { Method } from "../definition.ts"
import {
  Aborted,
  NodeDown,
  type NodeStopped,
  NoService,
  NotData,
  Overloaded,
  reasonOf,
  Timeout,
  TooLarge,
  Unreachable,
} from "../errors.ts"
import type { Link } from "../links/link.ts"
import type { Parts } from "../parts.ts"
import type { Reply } from "../processes/cell.ts"
import { asked, Job, type Serving } from "./job.ts"

export type { Request, Serving } from "./job.ts"

/** How a request is made. */
export interface RequestOptions {
  /** Milliseconds until it fails with Timeout. */
  readonly timeout: number
  /** Gives it up when it fires. */
  readonly signal?: AbortSignal | undefined
  /** What its errors name: a process, and what was asked for it. Default: the service, and the node. */
  readonly about?: { readonly process: string; readonly method: string }
}

/** What one node serves, and what it asks of others and of itself. */
export class Services {
  readonly #parts: Parts
  readonly #context: Context.Context<never>
  readonly #replies: Replies
  readonly #handlers = new Map<string, Serving>()
  /** Requests whose handlers are still at work. */
  readonly #jobs = new Set<Job>()
  /** Those of them that other nodes wait for, by node and by the number that it gave. */
  readonly #visitors = new Map<string, Map<number, Job>>()

  /** `context` is what handlers' Effects run with. */
  constructor(parts: Parts, context: Context.Context<never>, replies: Replies) {
    this.#parts = parts
    this.#context = context
    this.#replies = replies
  }

  /** How many requests are being served now: those whose handlers haven't come to an end. */
  get count(): number {
    return this.#jobs.size
  }

  /** Serves requests for this service from now on. One handler per name. */
  serve(service: string, handler: Serving): void {
    if (this.#handlers.has(service)) throw new Error(`BUG: ${service} is served already`)
    this.#handlers.set(service, handler)
  }

  /** Takes no more requests for this service. Those under way go on. */
  unserve(service: string): void {
    this.#handlers.delete(service)
  }

  // --- asking ------------------------------------------------------------------------------------

  /**
   * Asks a node, also this one: then without a frame, with the arguments copied. Rejects with Timeout,
   * Aborted, Unreachable, NodeDown, NodeStopped, Overloaded, TooLarge, NotData, NoService, HandlerCrashed,
   * or the error that the handler declares.
   */
  request(
    node: string,
    service: string,
    args: ReadonlyArray<unknown>,
    options: RequestOptions,
  ): Promise<unknown> {
    const { process = service, method = asked(node) } = options.about ?? {}
    const link = this.#way(node, process)
    if (link instanceof Error) return Promise.reject(link)
    if (link !== undefined) {
      return this.#ask(process, method, options, (call) => {
        const id = this.#parts.calls.number(call)
        const error = this.#send(link, id, service, process, args)
        if (error === undefined) call.node = node
        else call.fail(error)
        return () => abandon(link, id)
      })
    }
    const mine = copied(process, args)
    if (mine instanceof NotData) return Promise.reject(mine)
    return this.#ask(process, method, options, (call) => {
      const job = new Job(node, node, service, 0, call)
      queueMicrotask(() => {
        // Given up before it began.
        if (call.calls === undefined) return
        call.node = node
        this.#serve(job, mine)
      })
      return () => job.giveUp()
    })
  }

  /** Makes the call; `place` hands it over, and gives what is to be done when it is given up. */
  #ask(
    process: string,
    name: string,
    { timeout, signal }: RequestOptions,
    place: (call: Call) => () => void,
  ): Promise<unknown> {
    let giveUp = (): void => {}
    const method: Method = { name, kind: "call", immediate: false, handler: requested }
    const answer = this.#parts.calls.make(process, method, [], timeout, signal, (call) => {
      giveUp = place(call)
    })
    answer.catch((error) => {
      if (error instanceof Timeout || error instanceof Aborted) giveUp()
    })
    return answer
  }

  /**
   * Asks a node, also this one, and waits for nothing. Throws what is known at once: Unreachable, NotData,
   * TooLarge, NodeStopped, and Overloaded when too much waits for the node. What comes to nothing later is
   * an event of the node that was asked.
   */
  cast(node: string, service: string, args: ReadonlyArray<unknown>): void {
    const link = this.#way(node, service)
    if (link instanceof Error) throw link
    if (link !== undefined) {
      const error = this.#send(link, 0, service, service, args)
      if (error !== undefined) throw error
      return
    }
    const mine = copied(service, args)
    if (mine instanceof NotData) throw mine
    const job = new Job(node, node, service, 0, this.#unheard(service))
    queueMicrotask(() => {
      if (this.#parts.stopped(service) === undefined) this.#serve(job, mine)
    })
  }

  /** The link to a node, undefined for this one, or why it can't be asked. */
  #way(node: string, service: string): Link | NodeStopped | Unreachable | Overloaded | undefined {
    const { links, name, limits } = this.#parts
    const stopped = this.#parts.stopped(service)
    if (stopped !== undefined || node === name) return stopped
    const link = links.get(node)
    if (link === undefined) return new Unreachable(service, node)
    return link.full ? new Overloaded(service, "queueBytesMax", limits.queueBytesMax) : link
  }

  #send(
    link: Link,
    id: number,
    service: string,
    process: string,
    args: ReadonlyArray<unknown>,
  ): NotData | TooLarge | undefined {
    const writer = link.begin()
    try {
      writer.u8(Message.KIND.request)
      writer.uint(id)
      writer.string(service)
      writer.uint(args.length)
      for (let i = 0; i < args.length; i++) Value.write(writer, args[i])
    } catch (error) {
      link.drop()
      return new NotData(process, reasonOf(error), "not-executed")
    }
    const bytes = link.end()
    if (bytes === undefined) return undefined
    return new TooLarge(process, bytes, this.#parts.limits.frameBytesMax)
  }

  // --- serving -----------------------------------------------------------------------------------

  /** Takes the frame of a request; false when it is malformed. */
  receive(link: Link, reader: Reader): boolean {
    const id = reader.uint()
    const service = reader.string()
    const args = Envelope.args(reader)
    if (!reader.done() || service.length > Message.NAME_MAX) return false
    const from = link.peer.name
    // The same once more.
    if (this.#visitors.get(from)?.has(id)) return true
    const reply = id === 0 ? this.#unheard(service) : this.#distant(from, id, service)
    this.#serve(new Job(this.#parts.name, from, service, id, reply), args)
    return true
  }

  /** Takes the frame that says that a request is given up; false when it is malformed. */
  abandoned(link: Link, reader: Reader): boolean {
    const id = reader.uint()
    if (!reader.done()) return false
    this.#visitors.get(link.peer.name)?.get(id)?.giveUp()
    return true
  }

  #serve(job: Job, args: ReadonlyArray<unknown>): void {
    const { name, limits } = this.#parts
    const { service } = job
    const handler = this.#handlers.get(service)
    if (handler === undefined) return job.refuse(new NoService(service, name))
    if (this.#jobs.size >= limits.servingMax) {
      return job.refuse(new Overloaded(service, "servingMax", limits.servingMax))
    }
    this.#remember(job)
    job.work(handler, args, this.#context, () => {
      this.#jobs.delete(job)
      this.#forget(job)
    })
  }

  /** The way back to a request of another node. */
  #distant(node: string, id: number, service: string): Reply {
    const replies = this.#replies
    return {
      succeed: (value) => replies.succeed(node, id, service, value),
      fail: (error) => replies.fail(node, id, service, error),
    }
  }

  /** Nobody waits for what becomes of a cast: the user of this node is told when it is nothing. */
  #unheard(service: string): Reply {
    const { events } = this.#parts
    return {
      succeed: () => {},
      fail: (error) => {
        if (error instanceof Overloaded && error.process === service)
          events.emit({ _tag: "Dropped", process: service, limit: error.limit })
        else events.emit({ _tag: "CastFailed", process: service, reason: reasonOf(error) })
      },
    }
  }

  #remember(job: Job): void {
    this.#jobs.add(job)
    if (job.id === 0) return
    const visitors = this.#visitors.get(job.from)
    if (visitors === undefined) this.#visitors.set(job.from, new Map([[job.id, job]]))
    else visitors.set(job.id, job)
  }

  #forget(job: Job): void {
    const visitors = this.#visitors.get(job.from)
    if (visitors?.get(job.id) !== job) return
    visitors.delete(job.id)
    if (visitors.size === 0) this.#visitors.delete(job.from)
  }

  // --- ends --------------------------------------------------------------------------------------

  /** The link to a node is gone: what it was asked may have been done, and it waits for no answer. */
  linkDown(node: string): void {
    for (const call of this.#parts.calls.sentTo(node)) {
      if (call.method?.handler === requested) call.fail(new NodeDown(call.process, node))
    }
    const visitors = this.#visitors.get(node)
    this.#visitors.delete(node)
    for (const job of visitors?.values() ?? []) job.giveUp()
  }

  /** The node ends, and handlers at work are told. */
  close(): void {
    for (const job of [...this.#jobs]) job.giveUp()
  }
}

/** Stands where calls have their handler, and tells requests from them. */
const requested: Method["handler"] = () => undefined

function copied(service: string, args: ReadonlyArray<unknown>): ReadonlyArray<unknown> | NotData {
  try {
    return args.map(Value.copy)
  } catch (error) {
    return new NotData(service, reasonOf(error), "not-executed")
  }
}

/** Tells the other end that nobody waits for the answer. When the link is gone it knows already. */
function abandon(link: Link, id: number): void {
  if (!link.open) return
  const writer = link.begin()
  writer.u8(Message.KIND.abandon)
  writer.uint(id)
  link.end()
}
