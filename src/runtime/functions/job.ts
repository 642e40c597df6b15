/**
 * One request while a node serves it: its handler at work, its answer, and its caller giving up.
 *
 * @module
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { HandlerCrashed, reasonOf } from "../errors.ts"
import type { Reply } from "../processes/cell.ts"

/** What a handler gets to know about the request that it serves. */
export interface Request {
  /** The node that asked. */
  readonly from: string
  /** Aborted when nobody waits for the answer any more, or this node ends. */
  readonly signal: AbortSignal
}

/**
 * Serves requests: returns the answer, a promise of it or an Effect, which runs with the node's context.
 * What an Effect fails with reaches the caller as it is, and so does one of our errors that is thrown;
 * anything else is HandlerCrashed.
 */
export type Serving = (request: Request, args: ReadonlyArray<unknown>) => unknown

/** A request that is being served. */
export class Job implements Request {
  readonly from: string
  readonly service: string
  /** The number that another node gave it; 0 when nobody there waits. */
  readonly id: number
  readonly #node: string
  readonly #reply: Reply
  #controller: AbortController | undefined
  /** Ends the handler's Effect. */
  #interrupt: (() => void) | undefined
  #over = false
  #givenUp = false

  /** Asked of `node`, which is this one, by `from`. */
  constructor(node: string, from: string, service: string, id: number, reply: Reply) {
    this.#node = node
    this.from = from
    this.service = service
    this.id = id
    this.#reply = reply
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#givenUp) this.#controller.abort()
    }
    return this.#controller.signal
  }

  /** Lets the handler work; calls `over` at its end, before the answer goes. */
  work(
    handler: Serving,
    args: ReadonlyArray<unknown>,
    context: Context.Context<never>,
    over: () => void,
  ): void {
    const succeed = (value: unknown): void => {
      this.#over = true
      over()
      if (!this.#givenUp) this.#reply.succeed(value)
    }
    const fail = (error: unknown): void => {
      this.#over = true
      over()
      this.refuse(error)
    }
    let out: unknown
    try {
      out = handler(this, args)
    } catch (error) {
      return fail(this.#thrown(error))
    }
    if (Effect.isEffect(out))
      this.#run(out as Effect.Effect<unknown, unknown>, context, succeed, fail)
    else if (isPromise(out)) out.then(succeed, (error) => fail(this.#thrown(error)))
    else succeed(out)
  }

  #run(
    effect: Effect.Effect<unknown, unknown>,
    context: Context.Context<never>,
    succeed: (value: unknown) => void,
    fail: (error: unknown) => void,
  ): void {
    const interrupt = Effect.runCallbackWith(context)(effect, {
      onExit: (exit) => {
        this.#interrupt = undefined
        if (Exit.isSuccess(exit)) return succeed(exit.value)
        const declared = Cause.findErrorOption(exit.cause)
        if (Option.isSome(declared)) fail(declared.value)
        else fail(this.#crashed(Cause.squash(exit.cause)))
      },
    })
    if (!this.#over) this.#interrupt = () => interrupt()
  }

  #thrown(error: unknown): unknown {
    return isOurs(error) ? error : this.#crashed(error)
  }

  #crashed(error: unknown): HandlerCrashed {
    return new HandlerCrashed(this.service, asked(this.#node), reasonOf(error))
  }

  /** Answers with an error. */
  refuse(error: unknown): void {
    if (!this.#givenUp) this.#reply.fail(error)
  }

  /** Nobody waits for it any more. An answer must not be sent: its number may mean another request now. */
  giveUp(): void {
    if (this.#givenUp) return
    this.#givenUp = true
    this.#controller?.abort()
    this.#interrupt?.()
  }
}

/** What stands for the method's name in the errors of a request. */
export function asked(node: string): string {
  return `the request to ${node}`
}

/** Whether this is to be waited for. */
export function isPromise(out: unknown): out is PromiseLike<unknown> {
  return typeof (out as { readonly then?: unknown } | null | undefined)?.then === "function"
}

/** Our errors have a tag and an outcome. */
function isOurs(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { _tag, outcome } = error as { readonly _tag?: unknown; readonly outcome?: unknown }
  return typeof _tag === "string" && typeof outcome === "string"
}
