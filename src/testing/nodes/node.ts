/**
 * A node of a simulation as its test sees it: an ordinary node that can crash, start again, stand still and
 * have a bad clock. It stays the same object through all its lives, and so do references that it gave.
 *
 * @module
 */
import * as Duration from "effect/Duration"
import * as Key from "../../core/key.ts"
import * as Ref from "../../runtime/calls/ref.ts"
import type { AnyDefinition, Method, Ref as Reference } from "../../runtime/definition.ts"
import { type CallError, NodeStopped } from "../../runtime/errors.ts"
import type { Node } from "../../runtime/node.ts"
import type { StartOptions } from "../../runtime/processes/starts.ts"
import type { Faults, Ongoing } from "../faults/faults.ts"
import { EPOCH_MILLIS } from "../world/clock.ts"
import type { Host } from "../world/host.ts"
import { inside } from "./inside.ts"
import type { Nodes, Program } from "./nodes.ts"

/** A length of time: milliseconds, or text such as `"30 seconds"`. */
export type Time = Duration.Input

/** The clocks of a simulated node. */
export interface SimClock {
  /** What the node takes for the time, in Unix milliseconds. */
  now(): number
  /** Its monotonic milliseconds. */
  monotonic(): number
  /** Sets the wall clock forward by so much; back with a negative number of milliseconds. */
  step(by: Time): void
  /** Lets both clocks run faster, or slower when negative, by so many parts per million. */
  drift(ppm: number): Ongoing
  /** Lets the wall clock stand still. */
  freeze(): Ongoing
}

/** What a simulated node can do besides what any node can. */
export interface SimNode extends Node {
  /** Which of the nodes it is, from 0. */
  readonly index: number
  /** Whether its program runs; also while it stands still. */
  readonly running: boolean
  /** Whether it stands still. */
  readonly paused: boolean
  readonly clock: SimClock
  /**
   * Its program ends here and now: nothing is handed over, no finalizer runs, what waits for it fails with
   * NodeStopped. Its machine closes its connections; with `machine: true` that is gone as well, silently.
   */
  crash(options?: { readonly machine?: boolean }): void
  /**
   * Starts it again, after it has crashed, stopped or left, or crashes it first; resolves when it serves.
   * `stale`: its wall clock was set back meanwhile, so that it seems older than it was before.
   */
  restart(options?: { readonly stale?: boolean }): Promise<void>
  /** It stands still: no code of it runs. What comes waits, timers are late. */
  pause(): void
  /** It goes on. */
  resume(): void
  /** As `pause`, and its monotonic clock stands still too: a closed laptop. */
  suspend(): void
  /** Its timers fire at multiples of this only: a hidden browser tab. 0 ends it. */
  throttle(every: Time): void
}

/** Makes the test's handle of a host. */
export function make(nodes: Nodes, faults: Faults, host: Host, asked: Asked): SimNode {
  const handle = new Handle(nodes, faults, host, asked)
  // What isn't different from any other node is asked of the one that runs now.
  return new Proxy(handle, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target)
      if (value === undefined && typeof property === "string" && property !== "then") {
        return (handle.present(property) as Record<string, unknown>)[property]
      }
      return typeof value === "function" ? value.bind(target) : value
    },
  }) as unknown as SimNode
}

/** Told what the test asks of a node, and when it has its answer, or an error. */
export type Asked = (what: string) => (phase: "ok" | "fail") => void

/** A length of time in microseconds. */
export function micros(time: Time): number {
  const millis = Duration.toMillis(Duration.fromInputUnsafe(time))
  return Math.round(millis * 1_000)
}

class Handle implements Ref.Caller {
  readonly index: number
  readonly clock: SimClock
  readonly #nodes: Nodes
  readonly #faults: Faults
  readonly #host: Host
  readonly #asked: Asked
  /** Fails what waits for this node when it ends. */
  readonly #waiting = new Set<() => void>()
  #standing: Ongoing | undefined
  #hidden: Ongoing | undefined

  constructor(nodes: Nodes, faults: Faults, host: Host, asked: Asked) {
    this.index = host.index
    this.clock = clockOf(nodes, faults, host)
    this.#nodes = nodes
    this.#faults = faults
    this.#host = host
    this.#asked = asked
    nodes.ended.add((ended) => {
      if (ended === host) for (const fail of [...this.#waiting]) fail()
    })
  }

  get name(): string {
    return this.#host.name
  }

  get address(): string {
    return this.#host.name
  }

  get running(): boolean {
    return this.#host.running
  }

  get paused(): boolean {
    return this.#host.paused
  }

  // --- lives -------------------------------------------------------------------------------------

  crash({ machine = false }: { readonly machine?: boolean } = {}): void {
    this.#nodes.down(this.#host, machine ? "machine" : "crash")
  }

  async restart({ stale = false }: { readonly stale?: boolean } = {}): Promise<void> {
    const host = this.#host
    if (host.running) this.#nodes.down(host, "crash")
    // It was the old program that stood still.
    this.resume()
    this.#nodes.up(host, stale)
    const program = this.#nodes.programs.get(host) as Program
    try {
      await this.#wait("restart", () => program.ready)
    } catch (error) {
      throw program.failure ?? error
    }
  }

  pause(): void {
    this.#stand("pause")
  }

  suspend(): void {
    this.#stand("suspend")
  }

  #stand(kind: "pause" | "suspend"): void {
    if (this.#standing !== undefined && this.#faults.has(this.#standing)) return
    this.#standing = this.#faults.begin({ kind, node: this.index })
  }

  resume(): void {
    this.#standing?.end()
    this.#standing = undefined
  }

  throttle(every: Time): void {
    this.#hidden?.end()
    this.#hidden = undefined
    const length = micros(every)
    if (length > 0)
      this.#hidden = this.#faults.begin({ kind: "throttle", node: this.index, micros: length })
  }

  // --- what any node can -------------------------------------------------------------------------

  async start<P extends AnyDefinition>(
    definition: P,
    key: Key.Key,
    ...rest: ReadonlyArray<unknown>
  ): Promise<Reference<P>> {
    const what = `start(${definition.name}, ${JSON.stringify(Key.text(key))})`
    const [init, options] = rest as [never, StartOptions?]
    await this.#ask(what, (node) => node.start(definition as never, key, init, options as never))
    return this.ref(definition, key)
  }

  async spawn<P extends AnyDefinition>(
    definition: P,
    ...rest: ReadonlyArray<unknown>
  ): Promise<Reference<P>> {
    const [init, options] = rest as [never, never]
    const ref = await this.#ask(`spawn(${definition.name})`, (node) =>
      node.spawn(definition as never, init, options),
    )
    return Ref.make(this, definition, (ref as Reference<P>).name)
  }

  ref<P extends AnyDefinition>(definition: P, of: Parameters<Node["ref"]>[1]): Reference<P> {
    return Ref.make(this, definition, Ref.named(definition, of))
  }

  call(
    target: Ref.Target,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const what = `${target.name}.${method.name}()`
    return this.#ask(what, (_, { engine }) => {
      const router = engine?.router as Ref.Caller
      return router.call({ ...target, cache: undefined }, method, args, timeoutMillis, signal)
    })
  }

  cast(target: Ref.Target, method: Method, args: ReadonlyArray<unknown>): void {
    const { engine } = this.#program(`${target.name}.${method.name}()`)
    this.#host.io(() => engine?.router.cast({ ...target, cache: undefined }, method, args))
  }

  settled(): Promise<void> {
    return this.#ask("settled()", (node) => node.settled())
  }

  connect(...args: Parameters<Node["connect"]>): Promise<void> {
    return this.#ask(`connect(${String(args[0])})`, (node) => node.connect(...args))
  }

  /** The running node, for what a test asks of it that isn't different in a simulation. */
  present(what: string): object {
    const node = this.#program(what).node as Node
    return inside(this.#host, (what, ask) => this.#wait(what, ask), node, "")
  }

  leave(): Promise<void> {
    return this.#end("leave()", (node) => node.leave())
  }

  stop(): Promise<void> {
    return this.#end("stop()", (node) => node.stop())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }

  // --- asking ------------------------------------------------------------------------------------

  async #end(what: string, f: (node: Node) => Promise<void>): Promise<void> {
    if (!this.#host.running) return
    try {
      await this.#ask(what, f)
    } catch (error) {
      // It has ended, which is what was asked for.
      if (!(error instanceof NodeStopped)) throw error
    }
  }

  #program(what: string): Program {
    const program = this.#nodes.programs.get(this.#host)
    if (!this.#host.running || program?.node === undefined || program.engine === undefined)
      throw new NodeStopped(what, this.name)
    return program
  }

  /** Asks it of the node: once it serves and doesn't stand still. Fails when it ends before the answer. */
  #ask<A>(what: string, f: (node: Node, program: Program) => Promise<A>): Promise<A> {
    const program = this.#nodes.programs.get(this.#host)
    if (!this.#host.running || program === undefined)
      return Promise.reject(new NodeStopped(what, this.name))
    const { node, ready } = program
    return this.#wait(what, async () => f(node ?? (await ready), program))
  }

  #wait<A>(what: string, f: () => Promise<A>): Promise<A> {
    const answered = this.#asked(`${this.name}: ${what}`)
    return new Promise<A>((resolve, reject) => {
      const over = (phase: "ok" | "fail"): void => {
        if (this.#waiting.delete(fail)) answered(phase)
      }
      const fail = (): void => {
        over("fail")
        reject(new NodeStopped(what, this.name, "unknown") as CallError)
      }
      this.#waiting.add(fail)
      this.#host.io(() => {
        f().then(
          (value) => {
            over("ok")
            resolve(value)
          },
          (error: unknown) => {
            over("fail")
            reject(error)
          },
        )
      })
    })
  }
}

function clockOf(nodes: Nodes, faults: Faults, host: Host): SimClock {
  const { world } = nodes
  const node = host.index
  return {
    now: () => EPOCH_MILLIS + host.clock.wall(world.now) / 1_000,
    monotonic: () => host.clock.mono(world.now) / 1_000,
    step: (by) => void faults.begin({ kind: "step", node, micros: micros(by) }),
    drift: (ppm) => faults.begin({ kind: "drift", node, ppm }),
    freeze: () => faults.begin({ kind: "freeze", node }),
  }
}
