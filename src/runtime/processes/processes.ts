/**
 * The lives of the processes of one node: how they begin, crash, start again, move and end. What they do
 * in between is the scheduler's.
 *
 * @module
 */
import type * as Context from "effect/Context"
import type { Key } from "../../core/key.ts"
import * as Restart from "../../core/restart.ts"
import { type AnyDefinition, ignore, type Joining, type Method, type Ref } from "../definition.ts"
import { HandlerCrashed, NoMethod, NoProcess, reasonOf, StartIgnored } from "../errors.ts"
import type { Platform } from "../platform.ts"
import * as Argument from "./argument.ts"
import {
  Cell,
  FROZEN,
  type Host,
  type Hosted,
  IDLE,
  type Mail,
  more,
  READY,
  type Reply,
  STARTING,
  STOPPED,
  type Timer,
  take,
} from "./cell.ts"
import { Scheduler } from "./scheduler.ts"

/** What the node does about its processes. */
export interface Keeper {
  /** A process is gone for good, by itself or by crashing too often: take its name back. */
  readonly gone: (cell: Cell, reason: string, crashed: boolean) => void
  /** A process that crashed, or ended and is permanent, has begun anew. */
  readonly restarted: (cell: Cell) => void
  /** A process crashed; it was restarted, or not. */
  readonly crashed: (cell: Cell, reason: string, restarted: boolean) => void
  readonly ref: <P extends AnyDefinition>(definition: P, key: Key) => Ref<P>
  readonly join: (cell: Cell, group: Key, options: Joining) => void
  readonly leave: (cell: Cell, group: Key) => boolean
  /** The state of another process of this name could not be merged into this one. */
  readonly mergeFailed: (cell: Cell) => void
  /** A cast found a full mailbox. */
  readonly overloaded: (cell: Cell) => void
}

/** Low bits of a process id say where it lies in the table; the rest make it unique. */
const INDEX_RANGE = 2 ** 26

/** Told that a process has its state, or what went wrong. */
type Done = (error: unknown) => void

/** The processes of one node, by their ids. */
export class Processes implements Host {
  readonly node: string
  readonly #platform: Platform
  readonly #scheduler: Scheduler
  readonly #keeper: Keeper
  readonly #cells: Array<Cell | undefined> = [undefined]
  readonly #free: Array<number> = []
  #serial = 0
  #count = 0

  constructor(node: string, platform: Platform, context: Context.Context<never>, keeper: Keeper) {
    this.node = node
    this.#platform = platform
    this.#keeper = keeper
    this.#scheduler = new Scheduler(platform, context, {
      overloaded: keeper.overloaded,
      crashed: (cell, thrown, mail, method) => this.#crash(cell, thrown, mail, method),
      ending: (cell, { reason, final }) => this.#end(cell, reason, final),
    })
  }

  /** How many there are. */
  get count(): number {
    return this.#count
  }

  /** The process with this id, or undefined when it is gone. */
  get(pid: number): Cell | undefined {
    const cell = this.#cells[pid % INDEX_RANGE]
    return cell !== undefined && cell.pid === pid ? cell : undefined
  }

  /** All of them, by their place in the table. */
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
    this.#scheduler.settle(
      cell,
      made,
      (state) => {
        if (cell.status === STOPPED) return done(new NoProcess(cell.name))
        if (state === ignore) return this.#unborn(cell, new StartIgnored(cell.name), done)
        cell.state = state
        const error = this.#hook(() => cell.hosted.definition.spec.started?.(cell))
        if (error !== undefined) return this.#unborn(cell, error.thrown, done)
        this.#scheduler.rest(cell)
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
    return this.#scheduler.deliver(cell, { method, args, reply, next: undefined })
  }

  /** Puts a message into the process's mailbox; false when the mailbox is full. */
  deliver(cell: Cell, mail: Mail): boolean {
    if (mail.method?.immediate === true && atWork(cell)) return this.#scheduler.answer(cell, mail)
    return this.#scheduler.deliver(cell, mail)
  }

  /** Handles what a process has waiting now, ahead of its turn. Only for callers outside of handlers. */
  catchUp(cell: Cell): void {
    this.#scheduler.catchUp(cell)
  }

  /** Stops handling messages once the one in hand is finished, then calls `atRest`. */
  freeze(cell: Cell, atRest: () => void): void {
    this.#scheduler.freeze(cell, atRest)
  }

  /** Handles messages again. */
  thaw(cell: Cell): void {
    this.#scheduler.thaw(cell)
  }

  // --- ends --------------------------------------------------------------------------------------

  #crash(cell: Cell, thrown: unknown, mail: Mail, method: Method): void {
    const reason = reasonOf(thrown)
    mail.reply?.fail(new HandlerCrashed(cell.name, method.name, reason))
    if (cell.status === STOPPED) return
    this.#again(cell, reason, true)
  }

  #end(cell: Cell, reason: string, final: boolean): void {
    if (final) this.#finish(cell, reason)
    else this.#again(cell, reason, false)
  }

  /** Starts an ended process again, as its restart type and intensity say. What waits for it stays. */
  #again(cell: Cell, reason: string, crashed: boolean): void {
    const { spec } = cell.hosted.definition
    const history = cell.extra?.history ?? []
    const type = spec.restart ?? "transient"
    const now = this.#platform.now()
    const decision = Restart.decide(type, crashed, history, now, cell.hosted.intensity)
    if (crashed) this.#keeper.crashed(cell, reason, decision._tag === "Again")
    if (decision._tag !== "Again") return this.#finish(cell, reason, crashed)
    this.#release(cell)
    const extra = more(cell)
    extra.history = decision.history
    extra.stopping = undefined
    cell.status = STARTING
    const init = Argument.decode(cell.meta)
    if (!init.ok) return this.#finish(cell, "its start argument can't be read", true)
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
    this.#scheduler.settle(
      cell,
      made,
      (state) => {
        if (cell.status === STOPPED) return
        cell.state = state
        const error = this.#hook(() => cell.hosted.definition.spec.started?.(cell))
        if (error !== undefined) return failed(error.thrown)
        this.#keeper.restarted(cell)
        this.#scheduler.rest(cell)
      },
      failed,
    )
  }

  #finish(cell: Cell, reason: string, crashed = false): void {
    this.#hook(() => cell.hosted.definition.spec.stopping?.(cell, reason))
    const waiting = take(cell)
    this.remove(cell)
    for (const mail of waiting) mail.reply?.fail(new NoProcess(cell.name))
    this.#keeper.gone(cell, reason, crashed)
    rested(cell)
  }

  /** Ends a process once the message in hand is finished; `final` whatever its restart type is. */
  stop(cell: Cell, reason: string, final: boolean): void {
    if (cell.status === STOPPED) return
    if (cell.status === IDLE || cell.status === READY || cell.status === FROZEN) {
      return this.#end(cell, reason, final)
    }
    const extra = more(cell)
    if (extra.stopping?.final !== true) extra.stopping = { reason, final }
  }

  mergeFailed(cell: Cell): void {
    this.#keeper.mergeFailed(cell)
  }

  /** Ends a process that asked for it; `permanent` ones start again. */
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
    rested(cell)
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

  // --- what handlers ask for ---------------------------------------------------------------------

  /** A process joins a group. */
  join(cell: Cell, group: Key, options: Joining): void {
    this.#keeper.join(cell, group, options)
  }

  /** A process leaves a group. */
  leave(cell: Cell, group: Key): boolean {
    return this.#keeper.leave(cell, group)
  }

  /** A reference for a handler. */
  ref<P extends AnyDefinition>(definition: P, key: Key): Ref<P> {
    return this.#keeper.ref(definition, key)
  }

  /** Sends a process one of its own messages later; the result cancels it. Throws NoMethod. */
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

/** Whether what doesn't wait for its turn can be done now: not while it is made, moved, or gone. */
function atWork({ status }: Cell): boolean {
  return status !== STARTING && status !== FROZEN && status !== STOPPED
}

/** Whoever waits for a process to come to rest needn't wait for one that has ended. */
function rested(cell: Cell): void {
  const atRest = cell.extra?.atRest
  if (cell.extra === undefined || atRest === undefined) return
  cell.extra.atRest = undefined
  atRest()
}
