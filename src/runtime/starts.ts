/**
 * Starting, stopping and registering names, here or at the node that may.
 *
 * @module
 */
import * as Registry from "../core/registry.ts"
import * as Ring from "../core/ring.ts"
import { Writer } from "../wire/bytes.ts"
import type { Data } from "../wire/message.ts"
import * as Value from "../wire/value.ts"
import type { Cell } from "./cell.ts"
import type { Engine } from "./engine.ts"
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
  Unreachable,
} from "./errors.ts"
import * as Failure from "./failure.ts"

/** A start under way: one of ours, or one that came from another node. */
interface Start {
  readonly id: number
  /** The node that waits for the answer, and the number it knows the start by. */
  readonly origin: string
  readonly originId: number
  readonly name: string
  readonly meta: Uint8Array | undefined
  readonly exclusive: boolean
  readonly deadline: number
  hops: number
  /** The node it was sent on to. */
  sentTo: string | undefined
  readonly done: (error: Error | undefined, node: string) => void
}

interface Waiter {
  readonly id: number
  readonly node: string
  readonly deadline: number
  readonly settle: (message: Data | undefined) => void
}

export interface StartOptions {
  /** Fail with AlreadyRegistered when the process is running already. Default false: return it. */
  readonly exclusive?: boolean
  /** Milliseconds until the start fails with Timeout. Default 5,000. */
  readonly timeout?: number
  readonly signal?: AbortSignal
}

const HOPS_MAX = 8
const RETRY_MILLIS = 50
const SWEEP_MILLIS = 100
const RESERVED_MILLIS = 5_000
const FOREIGN_MILLIS = 10_000

export class Starts {
  readonly #engine: Engine
  #lastId = 0
  readonly #starts = new Map<number, Start>()
  readonly #waiters = new Map<number, Waiter>()
  /** Starts of a name that wait for one under way here. */
  readonly #here = new Map<string, Array<Start>>()
  readonly #reserved = new Map<string, { readonly node: string; readonly until: number }>()
  readonly #stops = new Map<number, Array<() => void>>()
  #sweeping = false

  constructor(engine: Engine) {
    this.#engine = engine
  }

  /** Whether a process of this name is being started here. */
  pending(name: string): boolean {
    return this.#here.has(name)
  }

  /** Starts a process where the ring says; resolves to the node that runs it. */
  start(name: string, init: unknown, options: StartOptions): Promise<string> {
    const { exclusive = false, timeout = 5_000, signal } = options
    const stopped = this.#engine.stopped(name)
    if (stopped !== undefined) return Promise.reject(stopped)
    if (signal?.aborted) return Promise.reject(new Aborted(name, "start", "not-executed"))
    let meta: Uint8Array | undefined
    try {
      meta = encoded(name, init, this.#engine.limits.frameBytesMax)
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      const aborted = (): void => start.done(new Aborted(name, "start", "unknown"), "")
      const start: Start = {
        id,
        origin: this.#engine.name,
        originId: id,
        name,
        meta,
        exclusive,
        deadline: this.#engine.platform.now() + timeout,
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
    this.#sweepLater()
    this.#begin(start)
  }

  #begin(start: Start): void {
    const { core, platform } = this.#engine
    const entry = core.registry.index.get(start.name)
    if (entry !== undefined) return this.#exists(start, entry.table.owner)
    const others = this.#here.get(start.name)
    if (others !== undefined) {
      others.push(start)
      return
    }
    const slot = Ring.slot(start.name)
    this.#engine.driver.input({ _tag: "Ask", now: platform.now(), id: start.id, slot })
  }

  #exists(start: Start, node: string): void {
    start.done(start.exclusive ? new AlreadyRegistered(start.name, node) : undefined, node)
  }

  // --- the core's answers ------------------------------------------------------------------------

  granted(id: number, slot: number, generation: number): void {
    const start = this.#starts.get(id)
    const over = (): void =>
      this.#engine.driver.input({ _tag: "Started", now: this.#engine.platform.now(), slot })
    if (start === undefined) return over()
    const entry = this.#engine.core.registry.index.get(start.name)
    if (entry !== undefined) {
      over()
      return this.#exists(start, entry.table.owner)
    }
    const others = this.#here.get(start.name)
    if (others !== undefined) {
      others.push(start)
      return over()
    }
    this.#launch(start, generation, over)
  }

  #launch(start: Start, generation: number, over: () => void): void {
    const { name, meta } = start
    const { processes, limits } = this.#engine
    const hosted = this.#engine.hosted(name)
    const problem =
      hosted === undefined
        ? new UnknownDefinition(name, this.#engine.name)
        : processes.count >= limits.processesMax
          ? new Overloaded(name, "processesMax", limits.processesMax)
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
      this.#engine.registered(cell)
      over()
      this.#engine.events.emit({ _tag: "ProcessStarted", process: name })
      const node = this.#engine.core.registry.index.get(name)?.table.owner ?? this.#engine.name
      // The answer goes out behind the registration, so that its receiver can look the name up.
      this.#engine.driver.afterFlush(() => {
        waiting.forEach((one, i) => {
          if (i === 0) one.done(undefined, node)
          else this.#exists(one, node)
        })
      })
    })
  }

  forward(id: number, to: string): void {
    const start = this.#starts.get(id)
    if (start === undefined) return
    const link = this.#engine.links.get(to)
    if (link === undefined || start.hops >= HOPS_MAX) return this.#retry(start)
    start.sentTo = to
    const { name, meta, exclusive, hops } = start
    const origin = this.#engine.name
    this.#engine.send(link, { _tag: "Start", id, origin, name, meta, exclusive, hops: hops + 1 })
  }

  denied(id: number): void {
    const start = this.#starts.get(id)
    start?.done(new NoNode(start.name), "")
  }

  #retry(start: Start): void {
    this.#engine.platform.timer(RETRY_MILLIS, () => {
      if (!this.#starts.has(start.id)) return
      start.hops = 0
      start.sentTo = undefined
      this.#begin(start)
    })
  }

  // --- other nodes' starts -----------------------------------------------------------------------

  receive(from: string, message: Extract<Data, { readonly _tag: "Start" }>): void {
    const { name, meta, exclusive, hops } = message
    const id = ++this.#lastId
    this.#open({
      id,
      origin: from,
      originId: message.id,
      name,
      meta,
      exclusive,
      deadline: this.#engine.platform.now() + FOREIGN_MILLIS,
      hops,
      sentTo: undefined,
      done: (error, node) => {
        if (!this.#starts.delete(id)) return
        const link = this.#engine.links.get(from)
        if (link === undefined) return
        const answer: Data =
          error === undefined
            ? { _tag: "Started", id: message.id, node }
            : { _tag: "NotStarted", id: message.id, error: Failure.toWire(name, error) }
        this.#engine.driver.afterFlush(() => this.#engine.send(link, answer))
      },
    })
  }

  answered(id: number, error: Error | undefined, node: string): void {
    this.#starts.get(id)?.done(error, node)
  }

  /** A node is gone: starts are idempotent, so what it was asked is asked again. */
  linkDown(node: string): void {
    for (const start of [...this.#starts.values()]) if (start.sentTo === node) this.#retry(start)
    for (const waiter of [...this.#waiters.values()]) {
      if (waiter.node === node) this.#settle(waiter.id, undefined)
    }
  }

  // --- stopping ----------------------------------------------------------------------------------

  /** Stops a process wherever it runs; false when there is none. */
  async stop(name: string, reason: string, timeout: number): Promise<boolean> {
    const { core } = this.#engine
    const entry = Registry.lookup(core.registry, name)
    if (entry === undefined) return false
    if (entry.table === core.registry.self) return this.stopHere(name, reason)
    const owner = entry.table.owner
    const link = this.#engine.links.get(owner)
    if (link === undefined) throw new Unreachable(name, owner)
    const answer = await this.#ask(owner, timeout, (id) => {
      this.#engine.send(link, { _tag: "Stop", id, name, reason })
    })
    if (answer?._tag !== "Stopped") throw new Timeout(name, "stopProcess", timeout, "unknown")
    return answer.found
  }

  stopHere(name: string, reason: string): Promise<boolean> {
    const { core, processes } = this.#engine
    const entry = Registry.lookup(core.registry, name)
    const cell = entry?.table === core.registry.self ? processes.get(entry.pid) : undefined
    if (cell === undefined) return Promise.resolve(false)
    return new Promise((resolve) => {
      const others = this.#stops.get(cell.pid)
      const done = (): void => resolve(true)
      if (others === undefined) this.#stops.set(cell.pid, [done])
      else others.push(done)
      processes.stop(cell, reason, true)
    })
  }

  /** A process is gone: tells those who waited for it. */
  gone(cell: Cell): void {
    const waiting = this.#stops.get(cell.pid)
    if (waiting === undefined) return
    this.#stops.delete(cell.pid)
    this.#engine.driver.afterFlush(() => {
      for (const done of waiting) done()
    })
  }

  // --- registering -------------------------------------------------------------------------------

  /** Asks the node that serializes the name's slot whether it is free; the holder when it isn't. */
  async reserve(name: string, timeout: number): Promise<string | undefined> {
    const { core, name: self } = this.#engine
    const at = Ring.owner(core.supervision.ring, name) ?? self
    if (at === self) return this.#reserveHere(name, self)
    const link = this.#engine.links.get(at)
    if (link === undefined) throw new Unreachable(name, at)
    const answer = await this.#ask(at, timeout, (id) => {
      this.#engine.send(link, { _tag: "Reserve", id, name })
    })
    if (answer?._tag !== "Reserved") throw new Timeout(name, "register", timeout, "not-executed")
    return answer.holder === "" ? undefined : answer.holder
  }

  reserveFor(node: string, id: number, name: string): void {
    const link = this.#engine.links.get(node)
    if (link === undefined) return
    this.#engine.send(link, { _tag: "Reserved", id, holder: this.#reserveHere(name, node) ?? "" })
  }

  #reserveHere(name: string, node: string): string | undefined {
    const entry = Registry.lookup(this.#engine.core.registry, name)
    if (entry !== undefined) return entry.table.owner
    const reserved = this.#reserved.get(name)
    const now = this.#engine.platform.now()
    if (reserved !== undefined && reserved.node !== node && reserved.until > now)
      return reserved.node
    this.#reserved.set(name, { node, until: now + RESERVED_MILLIS })
    this.#sweepLater()
    return undefined
  }

  /** The name is in the registry, or given up: its reservation has served. */
  unreserve(name: string): void {
    if (this.#reserved.size > 0) this.#reserved.delete(name)
  }

  // --- questions to other nodes ------------------------------------------------------------------

  #ask(node: string, timeout: number, send: (id: number) => void): Promise<Data | undefined> {
    return new Promise((settle) => {
      const id = ++this.#lastId
      const deadline = this.#engine.platform.now() + timeout
      this.#waiters.set(id, { id, node, deadline, settle })
      this.#sweepLater()
      send(id)
    })
  }

  #settle(id: number, message: Data | undefined): void {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return
    this.#waiters.delete(id)
    waiter.settle(message)
  }

  told(message: Extract<Data, { readonly _tag: "Stopped" | "Reserved" }>): void {
    this.#settle(message.id, message)
  }

  #sweepLater(): void {
    if (this.#sweeping) return
    this.#sweeping = true
    this.#engine.platform.timer(SWEEP_MILLIS, () => {
      this.#sweeping = false
      this.#sweep()
    })
  }

  #sweep(): void {
    const now = this.#engine.platform.now()
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
    for (const waiter of [...this.#waiters.values()])
      if (now >= waiter.deadline) this.#settle(waiter.id, undefined)
    for (const [name, { until }] of this.#reserved) if (now >= until) this.#reserved.delete(name)
    if (this.#starts.size + this.#waiters.size + this.#reserved.size > 0) this.#sweepLater()
  }

  close(): void {
    for (const start of [...this.#starts.values()])
      start.done(new NodeStopped(start.name, this.#engine.name, "unknown"), "")
    for (const waiter of [...this.#waiters.values()]) this.#settle(waiter.id, undefined)
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
