/**
 * Mailboxes and turns: which process handles its next message when. A synchronous handler runs to
 * completion without a promise or a fiber in between; an Effect is run only when a handler returns one.
 *
 * @module
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Method } from "../definition.ts"
import { Overloaded } from "../errors.ts"
import type { Platform } from "../platform.ts"
import {
  BUSY,
  type Cell,
  FROZEN,
  IDLE,
  type Mail,
  more,
  push,
  READY,
  RUNNING,
  STOPPED,
  type Stopping,
  shift,
} from "./cell.ts"

/** Messages handled before the event loop gets its turn. */
const TURN_MAX = 10_000
/** Messages one process handles before others get their turn. */
const SLICE_MAX = 256
/** What becomes of processes; see `processes.ts`. */
export interface Lives {
  /** A cast found a full mailbox. */
  readonly overloaded: (cell: Cell) => void
  /** A handler threw, or its promise or Effect failed in a way that it doesn't declare. */
  readonly crashed: (cell: Cell, thrown: unknown, mail: Mail, method: Method) => void
  /** The message in hand is finished, and the process was to end then. */
  readonly ending: (cell: Cell, stopping: Stopping) => void
}

/** Gives the processes of one node their turns. */
export class Scheduler {
  readonly #platform: Platform
  readonly #context: Context.Context<never>
  readonly #lives: Lives
  #ready: Array<Cell> = []
  #scheduled = false

  /** `context` is what handlers' Effects run with. */
  constructor(platform: Platform, context: Context.Context<never>, lives: Lives) {
    this.#platform = platform
    this.#context = context
    this.#lives = lives
  }

  /** Puts a message into a mailbox; false when it is full. Its caller is told then, or the user. */
  deliver(cell: Cell, mail: Mail): boolean {
    if (cell.queued >= cell.hosted.mailboxMax) {
      const { name, hosted } = cell
      if (mail.reply === undefined) this.#lives.overloaded(cell)
      else mail.reply.fail(new Overloaded(name, "mailboxMax", hosted.mailboxMax))
      return false
    }
    push(cell, mail)
    if (cell.status === IDLE) this.#wake(cell)
    return true
  }

  /** Handles a call ahead of everything, beside what the process is busy with. Its handler doesn't throw. */
  answer(cell: Cell, { method, args, reply }: Mail): boolean {
    void Promise.resolve(method?.handler(cell, ...args)).then(
      (value) => reply?.succeed(value),
      (error: unknown) => reply?.fail(error),
    )
    return true
  }

  /**
   * Handles what a process has waiting now, ahead of its turn. Only for callers outside of all handlers:
   * some hosts hand over megabytes from a socket before any turn comes.
   */
  catchUp(cell: Cell): void {
    this.#run(cell, cell.queued)
  }

  #wake(cell: Cell): void {
    cell.status = READY
    this.#ready.push(cell)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(this.#turn)
  }

  /** Handles what is waiting, in fair slices, and leaves the rest to the next turn of the event loop. */
  readonly #turn = (): void => {
    let budget = TURN_MAX
    let at = 0
    while (at < this.#ready.length && budget > 0) {
      const cell = this.#ready[at++] as Cell
      budget -= this.#run(cell, Math.min(SLICE_MAX, budget))
      if (at >= 1024) {
        this.#ready = this.#ready.slice(at)
        at = 0
      }
    }
    this.#ready = at >= this.#ready.length ? [] : this.#ready.slice(at)
    if (this.#ready.length === 0) this.#scheduled = false
    else this.#platform.defer(this.#turn)
  }

  /** Handles up to `max` messages of one process; returns how many it was. */
  #run(cell: Cell, max: number): number {
    // It may have been frozen or stopped since it became ready.
    if (cell.status !== READY) return 0
    cell.status = RUNNING
    for (let n = 1; n <= max; n++) {
      const mail = shift(cell)
      if (mail === undefined) {
        cell.status = IDLE
        return n
      }
      if (mail.method !== undefined) this.#handle(cell, mail, mail.method)
      if (cell.status !== RUNNING) return n
      const { extra } = cell
      if (extra !== undefined && (extra.stopping !== undefined || extra.atRest !== undefined)) {
        this.rest(cell)
        return n
      }
    }
    cell.status = IDLE
    if (cell.head !== undefined) this.#wake(cell)
    return max
  }

  #handle(cell: Cell, mail: Mail, method: Method): void {
    let out: unknown
    try {
      const { args } = mail
      const { handler } = method
      out =
        args.length === 0
          ? handler(cell)
          : args.length === 1
            ? handler(cell, args[0])
            : handler(cell, ...args)
    } catch (error) {
      return this.#lives.crashed(cell, error, mail, method)
    }
    if (typeof out !== "object" || out === null || !isPending(out)) {
      mail.reply?.succeed(out)
      return
    }
    cell.status = BUSY
    this.settle(
      cell,
      out,
      (value) => {
        mail.reply?.succeed(value)
        this.#resume(cell)
      },
      (error, declared) => {
        if (declared) {
          mail.reply?.fail(error)
          this.#resume(cell)
        } else this.#lives.crashed(cell, error, mail, method)
      },
    )
  }

  /** Waits for a promise or runs an Effect; anything else is there already. */
  settle(
    cell: Cell,
    out: unknown,
    succeed: (value: unknown) => void,
    fail: (error: unknown, declared: boolean) => void,
  ): void {
    if (Effect.isEffect(out)) {
      const extra = more(cell)
      const effect = out as Effect.Effect<unknown, unknown>
      let ended = false
      const interrupt = Effect.runCallbackWith(this.#context)(effect, {
        onExit: (exit) => {
          ended = true
          extra.interrupt = undefined
          if (Exit.isSuccess(exit)) return succeed(exit.value)
          const declared = Cause.findErrorOption(exit.cause)
          if (Option.isSome(declared)) fail(declared.value, true)
          else fail(Cause.squash(exit.cause), false)
        },
      })
      if (!ended) extra.interrupt = () => interrupt()
    } else if (typeof out === "object" && out !== null && isPending(out)) {
      ;(out as PromiseLike<unknown>).then(succeed, (error) => fail(error, false))
    } else succeed(out)
  }

  /** After a promise or Effect: back to work, unless something came up meanwhile. */
  #resume(cell: Cell): void {
    if (cell.status === BUSY) this.rest(cell)
  }

  /** The message in hand is finished: end, move, or go on, whatever is due. */
  rest(cell: Cell): void {
    if (cell.status === STOPPED) return
    const extra = cell.extra
    if (extra?.stopping !== undefined) return this.#lives.ending(cell, extra.stopping)
    if (extra?.atRest !== undefined) {
      const atRest = extra.atRest
      extra.atRest = undefined
      cell.status = FROZEN
      return atRest()
    }
    cell.status = IDLE
    if (cell.head !== undefined) this.#wake(cell)
  }

  /** Stops handling messages once the one in hand is finished, then calls `atRest`. */
  freeze(cell: Cell, atRest: () => void): void {
    if (cell.status === STOPPED || cell.status === FROZEN) return atRest()
    if (cell.status === IDLE || cell.status === READY) {
      cell.status = FROZEN
      return atRest()
    }
    more(cell).atRest = atRest
  }

  /** Handles messages again. */
  thaw(cell: Cell): void {
    if (cell.extra !== undefined) cell.extra.atRest = undefined
    if (cell.status === FROZEN) this.rest(cell)
  }
}

function isPending(out: object): boolean {
  return typeof (out as { then?: unknown }).then === "function" || Effect.isEffect(out)
}
