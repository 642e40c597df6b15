/**
 * Starting processes: the core says which node may, and everybody who asks for the same name gets the
 * same process. Starts are idempotent, so one whose node went away is simply asked for again.
 *
 * @module
 */
import * as Ring from "../core/ring.ts"
import { Writer } from "../wire/bytes.ts"
import type { Data } from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import * as Envelope from "./envelope.ts"
import {
  Aborted,
  AlreadyRegistered,
  NodeStopped,
  NoNode,
  NotData,
  Overloaded,
  reasonOf,
  StartFailed,
  Timeout,
  TooLarge,
  UnknownDefinition,
} from "./errors.ts"
import * as Failure from "./failure.ts"
import type { Names } from "./names.ts"
import type { Parts } from "./parts.ts"
import { Sweep } from "./sweep.ts"

/** A start under way: one of ours, or one that came from another node. */
interface Start {
  readonly id: number
  readonly name: string
  readonly meta: Uint8Array | undefined
  readonly exclusive: boolean
  readonly deadline: number
  hops: number
  /** The node it was sent on to. */
  sentTo: string | undefined
  readonly done: (error: Error | undefined, node: string) => void
}

/** How a process is started. */
export interface StartOptions {
  /** Fail with AlreadyRegistered when the process is running already. Default false: return it. */
  readonly exclusive?: boolean
  /** Milliseconds until the start fails with Timeout. Default 5,000. */
  readonly timeout?: number
  /** Gives the start up when it fires; the process may be started all the same. */
  readonly signal?: AbortSignal
}

/** Nodes that a start may be sent on through while they don't agree on the ring. */
const HOPS_MAX = 8
const RETRY_MILLIS = 50
const SWEEP_MILLIS = 100
/** How long a start of another node is pursued; its own deadline is at its origin. */
const FOREIGN_MILLIS = 10_000

/** The starts under way at one node. */
export class Starts {
  readonly #parts: Parts
  readonly #names: Names
  readonly #sweep: Sweep
  #lastId = 0
  readonly #starts = new Map<number, Start>()
  /** Starts of a name that wait for one under way here. */
  readonly #here = new Map<string, Array<Start>>()

  constructor(parts: Parts, names: Names) {
    this.#parts = parts
    this.#names = names
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
  }

  /** Whether a process of this name is being started here. */
  pending(name: string): boolean {
    return this.#here.has(name)
  }

  /** Starts a process where the ring says; resolves to the node that runs it. */
  start(name: string, init: unknown, options: StartOptions): Promise<string> {
    const { exclusive = false, timeout = 5_000, signal } = options
    const stopped = this.#parts.stopped(name)
    if (stopped !== undefined) return Promise.reject(stopped)
    if (signal?.aborted) return Promise.reject(new Aborted(name, "start", "not-executed"))
    let meta: Uint8Array | undefined
    try {
      meta = encoded(name, init, this.#parts.limits.frameBytesMax)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      const aborted = (): void => start.done(new Aborted(name, "start", "unknown"), "")
      const start: Start = {
        id,
        name,
        meta,
        exclusive,
        deadline: this.#parts.platform.now() + timeout,
        hops: 0,
        sentTo: undefined,
        done: (error, node) => {
          if (!this.#starts.delete(id)) return
          signal?.removeEventListener("abort", aborted)
          if (error === undefined) resolve(node)
          else
            reject(
              error instanceof Timeout ? new Timeout(name, "start", timeout, error.outcome) : error,
            )
        },
      }
      signal?.addEventListener("abort", aborted, { once: true })
      this.#open(start)
    })
  }

  #open(start: Start): void {
    this.#starts.set(start.id, start)
    this.#sweep.later()
    this.#begin(start)
  }

  #begin(start: Start): void {
    const { core, platform } = this.#parts
    const entry = core.registry.index.get(start.name)
    if (entry !== undefined) return this.#exists(start, entry.table.owner)
    const others = this.#here.get(start.name)
    if (others !== undefined) {
      others.push(start)
      return
    }
    const slot = Ring.slot(start.name)
    this.#parts.driver.input({ _tag: "Ask", now: platform.now(), id: start.id, slot })
  }

  #exists(start: Start, node: string): void {
    start.done(start.exclusive ? new AlreadyRegistered(start.name, node) : undefined, node)
  }

  // --- the core's answers ------------------------------------------------------------------------

  /** This node may start the process; `slot` is kept for it until the core hears Started. */
  granted(id: number, slot: number, generation: number): void {
    const start = this.#starts.get(id)
    const over = (): void =>
      this.#parts.driver.input({ _tag: "Started", now: this.#parts.platform.now(), slot })
    if (start === undefined) return over()
    const entry = this.#parts.core.registry.index.get(start.name)
    if (entry !== undefined) {
      over()
      return this.#exists(start, entry.table.owner)
    }
    const others = this.#here.get(start.name)
    if (others !== undefined) {
      others.push(start)
      return over()
    }
    // A takeover of the same step is bringing it back: then it is found running.
    if (this.#names.booting(start.name)) {
      over()
      return this.#retry(start)
    }
    this.#launch(start, generation, over)
  }

  #launch(start: Start, generation: number, over: () => void): void {
    const { name, meta } = start
    const { processes, limits } = this.#parts
    const hosted = this.#names.hosted(name)
    const problem =
      hosted === undefined
        ? new UnknownDefinition(name, this.#parts.name)
        : this.#names.full
          ? new Overloaded(name, "namesMax", limits.namesMax)
          : undefined
    const init = hosted?.decodeInit(meta)
    if (hosted === undefined || problem !== undefined || init?.ok !== true) {
      over()
      return start.done(
        problem ?? new NotData(name, "its start argument can't be read", "not-executed"),
        "",
      )
    }
    this.#here.set(name, [start])
    const cell = processes.create(hosted, name, generation, meta)
    processes.boot(cell, init.value, (error) => {
      const waiting = this.#here.get(name) ?? []
      this.#here.delete(name)
      if (error !== undefined) {
        over()
        for (const one of waiting) one.done(new StartFailed(name, reasonOf(error)), "")
        return
      }
      this.#names.register(cell)
      over()
      this.#parts.events.emit({ _tag: "ProcessStarted", process: name })
      const node = this.#parts.core.registry.index.get(name)?.table.owner ?? this.#parts.name
      // The answer goes out behind the registration, so that its receiver can look the name up.
      this.#parts.driver.afterFlush(() => {
        waiting.forEach((one, i) => {
          if (i === 0) one.done(undefined, node)
          else this.#exists(one, node)
        })
      })
    })
  }

  /** Another node may start the process: it is asked. */
  forward(id: number, to: string): void {
    const start = this.#starts.get(id)
    if (start === undefined) return
    const link = this.#parts.links.get(to)
    if (link === undefined || start.hops >= HOPS_MAX) return this.#retry(start)
    start.sentTo = to
    const { name, meta, exclusive, hops } = start
    const origin = this.#parts.name
    Envelope.data(link, { _tag: "Start", id, origin, name, meta, exclusive, hops: hops + 1 })
  }

  /** No node hosts processes. */
  denied(id: number): void {
    const start = this.#starts.get(id)
    start?.done(new NoNode(start.name), "")
  }

  #retry(start: Start): void {
    this.#parts.platform.timer(RETRY_MILLIS, () => {
      if (!this.#starts.has(start.id)) return
      start.hops = 0
      start.sentTo = undefined
      this.#begin(start)
    })
  }

  // --- other nodes' starts -----------------------------------------------------------------------

  /** Another node asks for a start. */
  receive(from: string, message: Extract<Data, { readonly _tag: "Start" }>): void {
    const { name, meta, exclusive, hops } = message
    const id = ++this.#lastId
    this.#open({
      id,
      name,
      meta,
      exclusive,
      deadline: this.#parts.platform.now() + FOREIGN_MILLIS,
      hops,
      sentTo: undefined,
      done: (error, node) => {
        if (!this.#starts.delete(id)) return
        const link = this.#parts.links.get(from)
        if (link === undefined) return
        const answer: Data =
          error === undefined
            ? { _tag: "Started", id: message.id, node }
            : { _tag: "NotStarted", id: message.id, error: Failure.toWire(name, error) }
        this.#parts.driver.afterFlush(() => Envelope.data(link, answer))
      },
    })
  }

  /** The node that was asked has answered. */
  answered(id: number, error: Error | undefined, node: string): void {
    this.#starts.get(id)?.done(error, node)
  }

  /** A node is gone: starts are idempotent, so what it was asked is asked again. */
  linkDown(node: string): void {
    for (const start of [...this.#starts.values()]) if (start.sentTo === node) this.#retry(start)
  }

  #expire(): boolean {
    const now = this.#parts.platform.now()
    for (const start of [...this.#starts.values()]) {
      if (now < start.deadline) continue
      start.done(
        new Timeout(
          start.name,
          "start",
          0,
          start.sentTo === undefined ? "not-executed" : "unknown",
        ),
        "",
      )
    }
    return this.#starts.size > 0
  }

  /** The node ends. */
  close(): void {
    for (const start of [...this.#starts.values()])
      start.done(new NodeStopped(start.name, this.#parts.name, "unknown"), "")
  }
}

/** The start argument as it is kept and sent; undefined for none. */
function encoded(name: string, init: unknown, frameBytesMax: number): Uint8Array | undefined {
  if (init === undefined) return undefined
  const writer = new Writer(64)
  try {
    Value.write(writer, init)
  } catch (error) {
    throw new NotData(name, reasonOf(error), "not-executed")
  }
  // Registrations travel several to a frame.
  const bytesMax = Math.floor(frameBytesMax / 8)
  if (writer.length > bytesMax) throw new TooLarge(name, writer.length, bytesMax)
  return writer.take()
}
