/**
 * Starting processes: the core says which node may, and everybody who asks for the same name gets the
 * same process. Starts are idempotent, so one whose node went away is simply asked for again.
 *
 * @module
 */
import * as Rings from "../../core/rings.ts"
import type { Data } from "../../wire/message.ts"
import * as Annotation from "../annotation.ts"
import * as Envelope from "../calls/envelope.ts"
import {
  Aborted,
  AlreadyRegistered,
  NodeStopped,
  NoNode,
  NotData,
  Overloaded,
  reasonOf,
  StartFailed,
  StartIgnored,
  Timeout,
  UnknownDefinition,
} from "../errors.ts"
import * as Failure from "../failure.ts"
import type { Parts } from "../parts.ts"
import { Sweep } from "../sweep.ts"
import * as Argument from "./argument.ts"
import { Delegations, type Placer } from "./delegations.ts"
import type { Names } from "./names.ts"
import { Sightings } from "./sightings.ts"

/** A start under way: one of ours, or one that came from another node. */
export interface Start {
  readonly id: number
  readonly name: string
  readonly meta: Uint8Array | undefined
  /** Its metadata, encoded. */
  readonly props: Uint8Array | undefined
  readonly exclusive: boolean
  /** The node that is to run it; empty for whom the ring or the supervisor says. */
  readonly at: string
  /** With which generation, once the slot's holder has allowed it; 0 before. */
  readonly generation: number
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
  /**
   * The node that is to run it, instead of the one that the ring says. There it stays until that node
   * leaves or dies. Fails with Unreachable when there is no such member.
   */
  readonly at?: string
  /** The process's metadata: see `node.update` and `node.find`. */
  readonly meta?: unknown
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
  /** Starts of a name that wait for one under way from here. */
  readonly #here = new Map<string, Array<Start>>()
  readonly #delegations: Delegations
  readonly #sightings: Sightings
  readonly #placer: Placer

  constructor(parts: Parts, names: Names, placer: Placer) {
    this.#parts = parts
    this.#names = names
    this.#placer = placer
    this.#sightings = new Sightings(parts)
    this.#delegations = new Delegations(parts, () => ++this.#lastId)
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
  }

  /** Whether a process of this name is being started here. */
  pending(name: string): boolean {
    return this.#here.has(name)
  }

  /** Starts a process where the ring says; resolves to the node that runs it. */
  start(name: string, init: unknown, options: StartOptions): Promise<string> {
    return this.#start(name, init, options, 0)
  }

  /**
   * Starts a process that belongs to this node: it never moves, and ends with the node. Its name must be
   * nobody else's yet.
   */
  spawn(name: string, init: unknown, options: StartOptions): Promise<string> {
    return this.#start(name, init, { ...options, at: this.#parts.name, exclusive: true }, 1)
  }

  /** The text of a key that no process of any node has had. */
  fresh(): string {
    const { name, core } = this.#parts
    return `${name}.${core.registry.self.epoch.toString(36)}.${++this.#lastId}`
  }

  #start(name: string, init: unknown, options: StartOptions, generation: number): Promise<string> {
    const { exclusive = false, at = "", timeout = 5_000, signal } = options
    const stopped = this.#parts.stopped(name)
    if (stopped !== undefined) return Promise.reject(stopped)
    if (signal?.aborted) return Promise.reject(new Aborted(name, "start", "not-executed"))
    let meta: Uint8Array | undefined
    let props: Uint8Array | undefined
    try {
      meta = Argument.encode(name, init, this.#parts.limits.frameBytesMax)
      props = Annotation.encode(name, options.meta)
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
        props,
        exclusive,
        at,
        generation,
        deadline: this.#parts.platform.now() + timeout,
        hops: 0,
        sentTo: undefined,
        done: (error, node) => {
          if (!this.#starts.delete(id)) return
          signal?.removeEventListener("abort", aborted)
          const left = start.deadline - this.#parts.platform.now()
          if (error === undefined) this.#sightings.await(name, node, left, () => resolve(node))
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
    if (start.generation > 0) return this.#launch(start, start.generation, () => {}, true)
    const slot = Rings.slot(start.name)
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
    // A takeover is bringing it back, or is about to: then it is found running.
    if (this.#names.returning(start.name)) {
      over()
      return this.#retry(start)
    }
    const at = this.#placer.place(start.name, start.at)
    if (at instanceof Error) {
      over()
      return start.done(at, "")
    }
    const placed = (): void => {
      this.#placer.over(start.name)
      over()
    }
    if (at === undefined || at === this.#parts.name)
      return this.#launch(start, generation, placed, at !== undefined)
    this.#here.set(start.name, [start])
    this.#delegations.send(start, at, generation, (outcome) => {
      placed()
      if (outcome._tag === "Over") this.#settle(start.name, outcome.error, outcome.node)
      else this.#anew(start.name)
    })
  }

  /** The node that was to run it is gone: all who wait for this name begin again. */
  #anew(name: string): void {
    const waiting = this.#here.get(name) ?? []
    this.#here.delete(name)
    for (const one of waiting) if (this.#starts.has(one.id)) this.#retry(one)
  }

  /** A start that others of its name have waited for is over. */
  #settle(name: string, error: Error | undefined, node: string): void {
    const waiting = this.#here.get(name) ?? []
    this.#here.delete(name)
    waiting.forEach((one, i) => {
      if (error !== undefined || i === 0) one.done(error, node)
      else this.#exists(one, node)
    })
  }

  #launch(start: Start, generation: number, over: () => void, sticky: boolean): void {
    const { name, meta, props } = start
    const { processes, limits } = this.#parts
    const hosted = this.#names.hosted(name)
    const problem =
      hosted === undefined
        ? new UnknownDefinition(name, this.#parts.name)
        : this.#names.full
          ? new Overloaded(name, "namesMax", limits.namesMax)
          : undefined
    const init = Argument.decode(meta)
    if (hosted === undefined || problem !== undefined || !init.ok) {
      over()
      return start.done(
        problem ?? new NotData(name, "its start argument can't be read", "not-executed"),
        "",
      )
    }
    this.#here.set(name, [start])
    const cell = processes.create(hosted, name, generation, meta)
    processes.boot(cell, init.value, (error) => {
      if (error !== undefined) {
        over()
        const failed =
          error instanceof StartIgnored ? error : new StartFailed(name, reasonOf(error))
        return this.#settle(name, failed, "")
      }
      const metadata = props === undefined ? undefined : { version: 1, bytes: props }
      this.#names.register(cell, metadata, sticky)
      over()
      this.#parts.events.emit({ _tag: "ProcessStarted", process: name })
      const node = this.#parts.core.registry.index.get(name)?.table.owner ?? this.#parts.name
      // The answer goes out behind the registration, so that its receiver can look the name up.
      this.#parts.driver.afterFlush(() => this.#settle(name, undefined, node))
    })
  }

  /** Another node may start the process: it is asked. */
  forward(id: number, to: string): void {
    const start = this.#starts.get(id)
    if (start === undefined) return
    const link = this.#parts.links.get(to)
    if (link === undefined || start.hops >= HOPS_MAX) return this.#retry(start)
    start.sentTo = to
    const { name, meta, props, exclusive, at, hops } = start
    const origin = this.#parts.name
    const generation = 0
    Envelope.data(link, {
      _tag: "Start",
      id,
      origin,
      name,
      meta,
      props,
      exclusive,
      at,
      generation,
      hops: hops + 1,
    })
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
    const { name, meta, props, exclusive, at, generation, hops } = message
    const id = ++this.#lastId
    this.#open({
      id,
      name,
      meta,
      props,
      exclusive,
      at,
      generation,
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
    if (this.#delegations.answered(id, error, node)) return
    this.#starts.get(id)?.done(error, node)
  }

  /** A node is gone: starts are idempotent, so what it was asked is asked again. */
  linkDown(node: string): void {
    this.#sightings.linkDown(node)
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

  /** Something became known of a name. */
  changed(name: string): void {
    this.#sightings.changed(name)
  }

  /** The node ends. */
  close(): void {
    this.#sightings.close()
    for (const start of [...this.#starts.values()])
      start.done(new NodeStopped(start.name, this.#parts.name, "unknown"), "")
  }
}
