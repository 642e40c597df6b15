/**
 * The processes of one node: mailboxes, dispatch, crashes and restarts. A synchronous handler runs to
 * completion without a promise or a fiber in between; an Effect is run only when a handler returns one.
 *
 * @module
 */
import { Cause, type Context, Effect, Exit, Option } from "effect"
import * as Restart from "../core/restart.ts"
import {
  BUSY,
  Cell,
  FROZEN,
  type Host,
  type Hosted,
  IDLE,
  type Mail,
  more,
  push,
  READY,
  type Reply,
  RUNNING,
  STARTING,
  STOPPED,
  shift,
  type Timer,
  take,
} from "./cell.ts"
import type { AnyDefinition, Method, Ref } from "./definition.ts"
import { HandlerCrashed, NoMethod, NoProcess, Overloaded, reasonOf } from "./errors.ts"
import type { Platform } from "./platform.ts"

/** What the node does about its processes. */
export interface Keeper {
  /** A process is gone for good: take its name back. */
  readonly gone: (cell: Cell, reason: string) => void
  /** A process crashed; it was restarted, or not. */
  readonly crashed: (cell: Cell, reason: string, restarted: boolean) => void
  readonly ref: <P extends AnyDefinition>(definition: P, key: string) => Ref<P>
  /** A cast found a full mailbox. */
  readonly overloaded: (cell: Cell) => void
}

/** Messages handled before the event loop gets its turn. */
const TURN_MAX = 10_000
/** Messages one process handles before others get their turn. */
const SLICE_MAX = 256
/** Low bits of a process id say where it lies in the table; the rest make it unique. */
const INDEX_RANGE = 2 ** 26

/** Makes the first state, or the next one after a crash. */
type Done = (error: unknown) => void

export class Processes implements Host {
  readonly node: string
  readonly #platform: Platform
  readonly #context: Context.Context<never>
  readonly #keeper: Keeper
  readonly #cells: Array<Cell | undefined> = [undefined]
  readonly #free: Array<number> = []
  #serial = 0
  #count = 0
  #ready: Array<Cell> = []
  #scheduled = false

  constructor(node: string, platform: Platform, context: Context.Context<never>, keeper: Keeper) {
    this.node = node
    this.#platform = platform
    this.#context = context
    this.#keeper = keeper
  }

  get count(): number {
    return this.#count
  }

  /** The process with this id, or undefined when it is gone. */
  get(pid: number): Cell | undefined {
    const cell = this.#cells[pid % INDEX_RANGE]
    return cell !== undefined && cell.pid === pid ? cell : undefined
  }

  all(): Array<Cell> {
    return this.#cells.filter((cell) => cell !== undefined)
  }

  /** A new process without a state yet; see {@link boot} and {@link adopt}. */
  create(hosted: Hosted, name: string, generation: number, meta: Uint8Array | undefined): Cell {
    const index = this.#free.pop()
    const pid = index === undefined ? this.#cells.length : index + ++this.#serial * INDEX_RANGE
    const cell = new Cell(hosted, name, pid, generation, meta)
    if (index === undefined) this.#cells.push(cell)
    else this.#cells[index] = cell
    this.#count++
    return cell
  }

  /** Makes the process's state with its definition's state function; `done` gets what went wrong. */
  boot(cell: Cell, init: unknown, done: Done): void {
    let made: unknown
    try {
      made = cell.hosted.definition.spec.state(init as never)
    } catch (error) {
      return this.#unborn(cell, error, done)
    }
    this.#settle(
      cell,
      made,
      (state) => {
        if (cell.status === STOPPED) return done(new NoProcess(cell.name))
        cell.state = state
        const error = this.#hook(() => cell.hosted.definition.spec.started?.(cell))
        if (error !== undefined) return this.#unborn(cell, error.thrown, done)
        this.#rest(cell)
        done(undefined)
      },
      (error) => this.#unborn(cell, error, done),
    )
  }

  /** Gives a process that moved here its state. It stays frozen until {@link thaw}. */
  adopt(cell: Cell, state: unknown): void {
    cell.state = state
    cell.status = FROZEN
  }

  /** Lets a process that moved here work, its `started` hook first. */
  arrive(cell: Cell): void {
    const error = this.#hook(() => cell.hosted.definition.spec.started?.(cell))
    if (error !== undefined) return this.#again(cell, reasonOf(error.thrown), true)
    this.thaw(cell)
  }

  #unborn(cell: Cell, error: unknown, done: Done): void {
    this.remove(cell)
    done(error ?? new Error("unknown"))
  }

  // --- messages ----------------------------------------------------------------------------------

  /** Puts a message into the process's mailbox; false when the mailbox is full. */
  send(
    cell: Cell,
    method: Method,
    args: ReadonlyArray<unknown>,
    reply: Reply | undefined,
  ): boolean {
    return this.deliver(cell, { method, args, reply, next: undefined })
  }

  deliver(cell: Cell, mail: Mail): boolean {
    if (cell.queued >= cell.hosted.mailboxMax) {
      const { name, hosted } = cell
      if (mail.reply === undefined) this.#keeper.overloaded(cell)
      else mail.reply.fail(new Overloaded(name, "mailboxMax", hosted.mailboxMax))
      return false
    }
    push(cell, mail)
    if (cell.status === IDLE) this.#wake(cell)
    return true
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
        this.#rest(cell)
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
      return this.#crash(cell, error, mail, method)
    }
    if (typeof out !== "object" || out === null || !isPending(out)) {
      mail.reply?.succeed(out)
      return
    }
    cell.status = BUSY
    this.#settle(
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
        } else this.#crash(cell, error, mail, method)
      },
    )
  }

  /** Waits for a promise or runs an Effect; anything else is there already. */
  #settle(
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
    if (cell.status === BUSY) this.#rest(cell)
  }

  /** The message in hand is finished: end, move, or go on, whatever is due. */
  #rest(cell: Cell): void {
    if (cell.status === STOPPED) return
    const extra = cell.extra
    if (extra?.stopping !== undefined) return this.#end(cell, extra.stopping)
    if (extra?.atRest !== undefined) {
      const atRest = extra.atRest
      extra.atRest = undefined
      cell.status = FROZEN
      return atRest()
    }
    cell.status = IDLE
    if (cell.head !== undefined) this.#wake(cell)
  }

  // --- ends --------------------------------------------------------------------------------------

  #crash(cell: Cell, thrown: unknown, mail: Mail, method: Method): void {
    const reason = reasonOf(thrown)
    mail.reply?.fail(new HandlerCrashed(cell.name, method.name, reason))
    if (cell.status === STOPPED) return
    this.#again(cell, reason, true)
  }

  #end(cell: Cell, stopping: { readonly reason: string; readonly final: boolean }): void {
    if (stopping.final) this.#finish(cell, stopping.reason)
    else this.#again(cell, stopping.reason, false)
  }

  /** Starts an ended process again, as its restart type and intensity say. What waits for it stays. */
  #again(cell: Cell, reason: string, crashed: boolean): void {
    const { spec } = cell.hosted.definition
    const history = cell.extra?.history ?? []
    const type = spec.restart ?? "transient"
    const now = this.#platform.now()
    const decision = Restart.decide(
      type,
      crashed,
      history,
      now,
      spec.intensity ?? Restart.intensity,
    )
    if (crashed) this.#keeper.crashed(cell, reason, decision._tag === "Again")
    if (decision._tag !== "Again") return this.#finish(cell, reason)
    this.#release(cell)
    const extra = more(cell)
    extra.history = decision.history
    extra.stopping = undefined
    cell.status = STARTING
    const init = cell.hosted.decodeInit(cell.meta)
    if (!init.ok) return this.#finish(cell, "its start argument can't be read")
    // A state function that keeps failing counts as crashing, up to the same limit.
    this.#restart(cell, init.value)
  }

  #restart(cell: Cell, init: unknown): void {
    const failed = (error: unknown): void => {
      if (cell.status !== STOPPED) this.#again(cell, reasonOf(error), true)
    }
    let made: unknown
    try {
      made = cell.hosted.definition.spec.state(init as never)
    } catch (error) {
      return failed(error)
    }
    this.#settle(
      cell,
      made,
      (state) => {
        if (cell.status === STOPPED) return
        cell.state = state
        const error = this.#hook(() => cell.hosted.definition.spec.started?.(cell))
        if (error !== undefined) failed(error.thrown)
        else this.#rest(cell)
      },
      failed,
    )
  }

  #finish(cell: Cell, reason: string): void {
    this.#hook(() => cell.hosted.definition.spec.stopping?.(cell, reason))
    const waiting = take(cell)
    this.remove(cell)
    for (const mail of waiting) mail.reply?.fail(new NoProcess(cell.name))
    this.#keeper.gone(cell, reason)
  }

  /** Ends a process once the message in hand is finished; `final` whatever its restart type is. */
  stop(cell: Cell, reason: string, final: boolean): void {
    if (cell.status === STOPPED) return
    const stopping = { reason, final }
    if (cell.status === IDLE || cell.status === READY || cell.status === FROZEN) {
      return this.#end(cell, stopping)
    }
    const extra = more(cell)
    if (extra.stopping?.final !== true) extra.stopping = stopping
  }

  stopSelf(cell: Cell, reason: string): void {
    this.stop(cell, reason, false)
  }

  /** Ends a process at once, without hooks: its name belongs to somebody else, or the node is ending. */
  kill(cell: Cell): void {
    if (cell.status === STOPPED) return
    const waiting = take(cell)
    this.remove(cell)
    for (const mail of waiting) mail.reply?.fail(new NoProcess(cell.name))
  }

  /** Lets go of a process that lives on elsewhere. Its mailbox is the caller's. */
  dismiss(cell: Cell, reason: string): void {
    if (cell.status === STOPPED) return
    this.#hook(() => cell.hosted.definition.spec.stopping?.(cell, reason))
    this.remove(cell)
  }

  /** Takes a process out of the table and ends what belongs to it. */
  remove(cell: Cell): void {
    if (cell.status === STOPPED) return
    cell.status = STOPPED
    this.#release(cell)
    const index = cell.pid % INDEX_RANGE
    if (this.#cells[index] === cell) {
      this.#cells[index] = undefined
      this.#free.push(index)
      this.#count--
    }
  }

  #release(cell: Cell): void {
    const { extra } = cell
    if (extra === undefined) return
    for (const timer of extra.timers ?? []) timer.cancel()
    extra.timers = undefined
    extra.controller?.abort()
    extra.controller = undefined
    extra.interrupt?.()
    extra.interrupt = undefined
  }

  #hook(f: () => void): { thrown: unknown } | undefined {
    try {
      f()
      return undefined
    } catch (thrown) {
      return { thrown }
    }
  }

  /** Takes back a message that hasn't been started; false when it has. */
  cancel(cell: Cell, mail: Mail): boolean {
    for (let at = cell.head; at !== undefined; at = at.next) {
      if (at !== mail) continue
      at.method = undefined
      return true
    }
    return false
  }

  // --- moves -------------------------------------------------------------------------------------

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
    if (cell.status === FROZEN) this.#rest(cell)
  }

  // --- what handlers ask for ---------------------------------------------------------------------

  ref<P extends AnyDefinition>(definition: P, key: string): Ref<P> {
    return this.#keeper.ref(definition, key)
  }

  after(cell: Cell, millis: number, method: string, args: ReadonlyArray<unknown>): () => void {
    const { calls, casts } = cell.hosted.definition
    const found = calls.get(method) ?? casts.get(method)
    if (found === undefined) throw new NoMethod(cell.name, method)
    if (cell.status === STOPPED) return () => {}
    const extra = more(cell)
    extra.timers ??= new Set()
    const timers = extra.timers
    const timer: Timer = {
      at: this.#platform.now() + Math.max(0, millis),
      method,
      args,
      cancel: () => {},
    }
    const disarm = this.#platform.timer(millis, () => {
      timers.delete(timer)
      this.send(cell, found, args, undefined)
    })
    timer.cancel = () => {
      timers.delete(timer)
      disarm()
    }
    timers.add(timer)
    return timer.cancel
  }
}

function isPending(out: object): boolean {
  return typeof (out as { then?: unknown }).then === "function" || Effect.isEffect(out)
}
