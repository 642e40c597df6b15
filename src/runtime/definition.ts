/**
 * The types of process definitions and of references to processes: they name each other, since a handler
 * can ask for references, and a reference has the methods of its definition.
 *
 * @module
 */
import type * as Effect from "effect/Effect"
import type { Key } from "../core/key.ts"
import type { Intensity, Type } from "../core/restart.ts"
import type { CallError } from "./errors.ts"

/** What a handler may return: a value, a promise of it, or an Effect. */
export type Success<T> =
  T extends Effect.Effect<infer A, infer _E, infer _R> ? A : T extends PromiseLike<infer A> ? A : T

/** The errors a handler declares: those of the Effect it returns. They don't crash its process. */
export type Failure<T> = T extends Effect.Effect<infer _A, infer E, infer _R> ? E : never

/** The services that a handler's Effect still needs. */
export type Services<T> = T extends Effect.Effect<infer _A, infer _E, infer R> ? R : never

/** What a handler gets to know about its own process, and can ask of it. */
export interface Self<S> {
  /** The process's state: read it, change it, or assign a new one. It moves with the process. */
  state: S
  /** The text of the key that the process was started with: a string key itself; see `Key.parse`. */
  readonly key: string
  /** The name of the node that the process runs on now. */
  readonly node: string
  /** Aborted when this process stops, crashes or moves away. */
  readonly signal: AbortSignal
  /**
   * Sends this process one of its own calls or casts after `millis`. The timer dies with the process and
   * moves with it. Returns a function that cancels it.
   */
  after(millis: number, method: string, ...args: ReadonlyArray<unknown>): () => void
  /**
   * Makes this process a member of a group, or changes what was given. The membership ends and moves with the
   * process. Throws NotData and Overloaded. See `node.group`.
   */
  join(group: Key, options?: Joining): void
  /** Ends a membership; false when there is none. */
  leave(group: Key): boolean
  /** A reference to another process, to call it or cast to it. */
  ref<P extends AnyDefinition>(definition: P, key: Key): Ref<P>
  /** Ends this process once the message in hand is finished; `permanent` ones are then restarted. */
  stop(reason?: string): void
}

/** A handler of a call or a cast. */
export type Handler<S> = (self: Self<S>, ...args: Array<never>) => unknown

/** What a state function answers when there is nothing to run: nothing is registered. */
export const ignore: unique symbol = Symbol("skein/ignore")

type Ignore = typeof ignore

/** How a process joins a group. */
export interface Joining<M = unknown> {
  /** Metadata: plain data of at most 64 KiB. */
  readonly meta?: M
  /** Whether keys are routed to it at once. Default true. */
  readonly online?: boolean
}

/** How a process leaves one node for another when the cluster changes. */
export interface Handoff<S> {
  /**
   * `resume` (the default): its state goes along. `restart`: it starts anew at the new node. `ignore`: it
   * stays where it is until its node leaves, and is then started anew elsewhere.
   */
  readonly kind?: "resume" | "restart" | "ignore"
  /** Turns the state into plain data before it moves. Without it the state itself must be plain data. */
  capture?(state: S): unknown
  /** Turns what `capture` gave into a state again. */
  restore?(data: never): S
  /**
   * After a healed partition: the state of the process that goes on, given both. `theirs` is given again
   * when the connection breaks before it is known that it has come.
   */
  merge?(mine: S, theirs: S): S
}

/** The parts of a process definition. */
export interface Spec<S, I, Calls, Casts> {
  /** Makes the first state, from what `node.start` was given; {@link ignore} when nothing is to be run. */
  readonly state: (
    init: I,
  ) => S | Ignore | PromiseLike<S | Ignore> | Effect.Effect<S | Ignore, unknown>
  /** Handlers whose callers wait for the reply. */
  readonly calls?: Calls
  /** Handlers whose callers don't wait. */
  readonly casts?: Casts
  readonly handoff?: Handoff<NoInfer<S>>
  /** Runs once the process has its state, at a start, a restart and an arrival. */
  started?(self: Self<NoInfer<S>>): void
  /**
   * Runs before the process goes: stopped, crashed beyond its limit, or moved away. Not when its node
   * stops at once (`node.stop()`) or dies: `node.leave()` runs it.
   */
  stopping?(self: Self<NoInfer<S>>, reason: string): void
  /** Default `transient`: restarted after a crash, gone after `self.stop`. */
  readonly restart?: Type
  /** Default: five restarts in ten seconds. */
  readonly intensity?: Intensity
  /** Messages that may wait for this process; one more is `Overloaded`. Default: the node's `mailboxMax`. */
  readonly mailboxMax?: number
}

/** The methods of a section, or none when the section was left out. */
export type Known<T> = string extends keyof T ? Record<never, never> : T

/** A process definition: give it to `startNode` and to whoever calls the process. */
export interface Definition<N extends string, S, I, Calls, Casts> {
  readonly name: N
  readonly spec: Spec<S, I, Calls, Casts>
  readonly calls: ReadonlyMap<string, Method>
  readonly casts: ReadonlyMap<string, Method>
  /** Types only. */
  readonly types?: {
    readonly state: S
    readonly init: (init: I) => void
    readonly calls: Calls
    readonly casts: Casts
  }
}

/** Any process definition. */
export type AnyDefinition = Definition<string, unknown, never, object, object>

/** What `node.start` takes as the first argument of `state`. */
export type Init<P> = P extends { readonly types?: { readonly init: (init: infer I) => void } }
  ? I
  : never

/** A handler under its name. */
export interface Method {
  readonly name: string
  readonly kind: "call" | "cast"
  /** One of the node's own, which doesn't wait for its turn in the mailbox. */
  readonly immediate: boolean
  readonly handler: (self: Self<unknown>, ...args: ReadonlyArray<unknown>) => unknown
}

/** How a call is made. */
export interface CallOptions {
  /** Milliseconds until the call fails with Timeout. Default 5,000. */
  readonly timeout?: number
  /** Gives the call up when it fires. */
  readonly signal?: AbortSignal
}

/** What `ref.try.method()` resolves to: never a rejection. */
export type Try<A, E> =
  | { readonly ok: true; readonly value: A }
  | { readonly ok: false; readonly error: E }

type Tail<F> = F extends (self: never, ...args: infer A) => unknown ? A : never
type Return<F> = F extends (...args: never) => infer R ? R : never
type Calls<P> = P extends { readonly types?: { readonly calls: infer C } } ? C : never
type Casts<P> = P extends { readonly types?: { readonly casts: infer C } } ? C : never

/** A reference to a process of this definition. */
export type Ref<P> = {
  readonly [K in keyof Calls<P>]: (
    ...args: Tail<Calls<P>[K]>
  ) => Promise<Success<Return<Calls<P>[K]>>>
} & {
  /** The text of the process's key: a string key itself; see `Key.parse`. */
  readonly key: string
  /** Its whole name: definition, slash, key; in front of that its supervisor, if that has a name. */
  readonly name: string
  /** Sends without waiting for anything; throws only what is known at once (Overloaded, NotData …). */
  readonly cast: {
    readonly [K in keyof Casts<P>]: (...args: Tail<Casts<P>[K]>) => void
  }
  /** The same calls, with failures as values. */
  readonly try: {
    readonly [K in keyof Calls<P>]: (
      ...args: Tail<Calls<P>[K]>
    ) => Promise<Try<Success<Return<Calls<P>[K]>>, CallError | Failure<Return<Calls<P>[K]>>>>
  }
  /** The same reference with other call options. */
  readonly with: (options: CallOptions) => Ref<P>
}

/** The start argument, optional where the definition allows it, and options. */
export type InitArgs<P, Options> =
  unknown extends Init<P>
    ? [init?: undefined, options?: Options]
    : undefined extends Init<P>
      ? [init?: Init<P>, options?: Options]
      : [init: Init<P>, options?: Options]

type Needs<P> = Services<Return<Calls<P>[keyof Calls<P>] | Casts<P>[keyof Casts<P>]>>

/** A definition all of whose handlers run without services; else what they need is the type error. */
export type Runnable<P> = [Needs<P>] extends [never]
  ? unknown
  : { "its handlers need Effect services, which startNode doesn't provide": Needs<P> }
