/**
 * Remote functions: typed functions with a name, which some nodes serve and every node can run: on a chosen
 * node, where a process lives, on any node that serves it, or on all of them.
 *
 * Arguments and results are plain data, copied also when the function runs here.
 *
 * @module
 */
import type { Key } from "../../core/key.ts"
import type {
  CallOptions,
  Failure,
  AnyDefinition as Process,
  Ref,
  Services,
  Success,
  Try,
} from "../definition.ts"
import type { CallError, NoMethod, NoService } from "../errors.ts"
import type { Gathered } from "./gather.ts"

/** What a function gets to know of where it runs and for whom. */
export interface Context {
  /** The node that it runs on. */
  readonly node: string
  /** The node that asked for it. */
  readonly from: string
  /** Aborted when the caller gives up or its node goes, and when this node ends. Effects are interrupted. */
  readonly signal: AbortSignal
  /** A reference to a process, to call it or cast to it. */
  ref<P extends Process>(definition: P, key: Key): Ref<P>
}

/**
 * A function: gives its result, a promise of it, or an Effect. What an Effect fails with reaches the caller
 * as it is; whatever is thrown is HandlerCrashed.
 */
export type Run = (context: Context, ...args: Array<never>) => unknown

type Return<F> = F extends (...args: never) => infer R ? R : never

/** The parts of a function. */
export interface Spec<F extends Run> {
  readonly run: F
  /**
   * Runs where the function ran, with its result, before that leaves for the caller. A promise or an Effect
   * that it returns is waited for, its value ignored; when it fails, the call fails with HandlerCrashed. It
   * runs also when the caller has given up meanwhile, which `context.signal` tells; not when the function
   * failed or, being an Effect, was interrupted.
   */
  readonly beforeReply?: (context: Context, result: Success<NoInfer<Return<F>>>) => unknown
}

/** A remote function: give it to the nodes that serve it and to those that run it. */
export interface Definition<F> {
  readonly name: string
  readonly run: (context: Context, ...args: ReadonlyArray<unknown>) => unknown
  readonly beforeReply: ((context: Context, result: unknown) => unknown) | undefined
  /** Types only. */
  readonly types?: { readonly run: F; readonly services: Services<Return<F>> }
}

/** Any remote function that a node can serve: its Effects need no services. */
export interface AnyDefinition {
  readonly name: string
  readonly run: (context: Context, ...args: ReadonlyArray<unknown>) => unknown
  readonly beforeReply: ((context: Context, result: unknown) => unknown) | undefined
  /** Types only. */
  readonly types?: { readonly services: never }
}

/** The arguments of a function, without its context. */
export type Arguments<F> = F extends (context: never, ...args: infer A) => unknown ? A : never

/** What running a function can fail with, besides the errors that it declares. */
export type RemoteError = Exclude<CallError, NoMethod> | NoService

/** Which nodes are meant. */
export interface Choice {
  /** Only nodes that were started with this role. */
  readonly role?: string
}

/** Where a function is to run. Nodes that are leaving are only asked when they are named. */
export interface Ways<A extends ReadonlyArray<unknown>, Out> {
  /** On this node. Unreachable when there is no connection to it, NoService when it doesn't serve it. */
  on(node: string): (...args: A) => Out
  /**
   * On the node that holds this process, or this name, as this node knows it now. NoProcess when nobody
   * does, NoService when that node doesn't serve the function.
   */
  at(of: Ref<Process> | Key): (...args: A) => Out
  /**
   * On a node that serves it, by turns. When that turns out not to serve it any more, not to be reached or
   * to be Overloaded, the next one is asked. NoService when there is none.
   */
  any(choice?: Choice): (...args: A) => Out
}

/** How a node runs a function. Calls reject with the errors that the function declares, and RemoteErrors. */
export interface Handle<F> extends Ways<Arguments<F>, Promise<Success<Return<F>>>> {
  /** The name of the function. */
  readonly name: string
  /**
   * On all nodes that serve it, at the same time; resolves when each has answered or failed, never rejects.
   */
  all(
    choice?: Choice,
  ): (
    ...args: Arguments<F>
  ) => Promise<Gathered<Success<Return<F>>, RemoteError | Failure<Return<F>>>>
  /** Without waiting for anything; throws only what is known at once (Unreachable, NotData …). */
  readonly cast: Ways<Arguments<F>, void>
  /** The same calls, with failures as values. */
  readonly try: Ways<
    Arguments<F>,
    Promise<Try<Success<Return<F>>, RemoteError | Failure<Return<F>>>>
  >
  /** The same handle with other call options. */
  with(options: CallOptions): Handle<F>
}

const NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/

/**
 * Defines a remote function.
 *
 * @param name how it is known in the whole cluster: a letter, then at most 63 letters, digits, dots, dashes
 *   or underscores
 * @throws TypeError when the name can't be used, or there is no function
 *
 * @example
 * ```ts
 * import { Remote } from "skein"
 *
 * const Resize = Remote.define("resize", async (context, bytes: Uint8Array, width: number) => {
 *   return { bytes, width, node: context.node }
 * })
 * ```
 */
export function define<F extends Run>(name: string, run: F): Definition<F>
export function define<F extends Run>(name: string, spec: Spec<F>): Definition<F>
export function define<F extends Run>(name: string, given: F | Spec<F>): Definition<F> {
  if (!NAME.test(name)) {
    throw new TypeError(`Remote.define: the name ${JSON.stringify(name)} doesn't match ${NAME}`)
  }
  const spec: Spec<F> = typeof given === "function" ? { run: given } : given
  if (typeof spec.run !== "function") {
    throw new TypeError(`Remote.define: ${name} has no function to run`)
  }
  const { run, beforeReply } = spec
  return { name, run, beforeReply } as unknown as Definition<F>
}
