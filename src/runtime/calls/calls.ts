/**
 * Calls under way from this node: their promises, timeouts and abort signals.
 *
 * Timeouts cost nothing while calls are answered within their turn, and O(1) otherwise: calls with the
 * same timeout form a list in order of their deadlines, and one timer watches the heads.
 *
 * @module
 */

import type { Method } from "../definition.ts"
import { Aborted, type CallError, type Outcome, Overloaded, Timeout } from "../errors.ts"
import { type Platform, uint32 } from "../platform.ts"
import type { Cell, Mail, Reply } from "../processes/cell.ts"

/** One call of this node, at the same time the message in the mailbox when the process is here. */
export class Call implements Mail, Reply {
  method: Method | undefined
  readonly args: ReadonlyArray<unknown>
  next: Mail | undefined = undefined
  readonly process: string
  readonly name: string
  readonly timeoutMillis: number
  /** Set while the call may be answered by another node. */
  id = 0
  /** The process here that has it in its mailbox. */
  cell: Cell | undefined = undefined
  /** The node it was sent to. */
  node: string | undefined = undefined
  /** Platform time at which it fails with Timeout; 0 while no timeout runs. */
  deadline = 0
  /** How often it was sent again after it had met a process that had just gone. */
  retries = 0
  /** Its neighbours among the calls with the same timeout. */
  earlier: Call | undefined = undefined
  later: Call | undefined = undefined
  /** Stops listening to the caller's signal. */
  unlisten: (() => void) | undefined = undefined
  /** Cleared when the call is over. */
  calls: Calls | undefined
  readonly #resolve: (value: unknown) => void
  readonly #reject: (error: unknown) => void

  constructor(
    calls: Calls,
    process: string,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    resolve: (value: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.calls = calls
    this.process = process
    this.method = method
    this.name = method.name
    this.args = args
    this.timeoutMillis = timeoutMillis
    this.#resolve = resolve
    this.#reject = reject
  }

  get reply(): Reply {
    return this
  }

  succeed(value: unknown): void {
    const { calls } = this
    if (calls === undefined) return
    let mine: unknown
    try {
      mine = typeof value === "object" || typeof value === "function" ? calls.copy(value) : value
    } catch (error) {
      return this.fail(calls.notData(this.process, error))
    }
    calls.over(this)
    this.#resolve(mine)
  }

  /** A reply from the wire: nobody else has it, so it needs no copy. */
  receive(value: unknown): void {
    if (this.calls === undefined) return
    this.calls.over(this)
    this.#resolve(value)
  }

  fail(error: unknown): void {
    if (this.calls === undefined) return
    this.calls.over(this)
    this.#reject(error)
  }
}

/** What the calls need from the node. */
export interface Codec {
  /** A deep copy of plain data; throws when it isn't. */
  readonly copy: (value: unknown) => unknown
  /** The error for a reply that isn't plain data. */
  readonly notData: (process: string, error: unknown) => CallError
  /** Takes a call back from the mailbox; false when its handler has begun. */
  readonly cancel: (cell: Cell, mail: Mail) => boolean
}

interface List {
  first: Call | undefined
  last: Call | undefined
}

/** Numbers of this size take four bytes on the wire. */
const FIRST_MAX = 2 ** 27

/** Calls that may have been answered by the time they are looked at. */
const FRESH_MAX = 4096

/** The calls under way from one node: at most `max`, one more is Overloaded. */
export class Calls {
  readonly #platform: Platform
  readonly #codec: Codec
  readonly #max: number
  #count = 0
  /** From somewhere: an answer to an earlier node of this name must not be taken for one of ours. */
  #lastId: number
  readonly #byId = new Map<number, Call>()
  readonly #lists = new Map<number, List>()
  #fresh: Array<Call> = []
  #sweeping = false
  #timerAt = Number.POSITIVE_INFINITY
  #cancelTimer: () => void = () => {}

  constructor(platform: Platform, codec: Codec, max: number) {
    this.#platform = platform
    this.#codec = codec
    this.#max = max
    this.#lastId = uint32(platform) % FIRST_MAX
  }

  /** How many are under way. */
  get count(): number {
    return this.#count
  }

  /** See {@link Codec}. */
  copy(value: unknown): unknown {
    return this.#codec.copy(value)
  }

  /** See {@link Codec}. */
  notData(process: string, error: unknown): CallError {
    return this.#codec.notData(process, error)
  }

  /**
   * A new call, counted, with its timeout running; `place` hands it over. Rejects with what the call
   * fails with, Overloaded and Aborted at once.
   */
  make(
    process: string,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
    place: (call: Call) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#count >= this.#max) return reject(new Overloaded(process, "pendingMax", this.#max))
      if (signal?.aborted) return reject(new Aborted(process, method.name, "not-executed"))
      const call = new Call(this, process, method, args, timeoutMillis, resolve, reject)
      this.#count++
      if (signal !== undefined) this.#listen(call, signal)
      this.#fresh.push(call)
      if (this.#fresh.length >= FRESH_MAX) this.#sweep()
      else if (!this.#sweeping) {
        this.#sweeping = true
        this.#platform.defer(() => {
          this.#sweeping = false
          this.#sweep()
        })
      }
      place(call)
    })
  }

  /** Gives the call a number under which another node can answer it. */
  number(call: Call): number {
    if (call.id === 0) {
      call.id = ++this.#lastId
      this.#byId.set(call.id, call)
    }
    return call.id
  }

  /** The call that has this number; undefined once it is over. */
  get(id: number): Call | undefined {
    return this.#byId.get(id)
  }

  /** Calls that were sent to a node and not answered yet. */
  sentTo(node: string): Array<Call> {
    return [...this.#byId.values()].filter((call) => call.node === node)
  }

  /** Forgets a call that is over. */
  over(call: Call): void {
    call.calls = undefined
    this.#count--
    if (call.id !== 0) this.#byId.delete(call.id)
    if (call.deadline !== 0) this.#unlink(call)
    if (call.unlisten !== undefined) call.unlisten()
  }

  /** Ends every call: the node is stopping. */
  close(error: (call: Call) => unknown): void {
    this.#cancelTimer()
    for (const call of this.#fresh) call.fail(error(call))
    for (const { first } of [...this.#lists.values()]) {
      for (let call = first; call !== undefined; ) {
        const { later } = call
        call.fail(error(call))
        call = later
      }
    }
    this.#cancelTimer()
  }

  #listen(call: Call, signal: AbortSignal): void {
    const aborted = (): void => call.fail(new Aborted(call.process, call.name, this.#outcome(call)))
    signal.addEventListener("abort", aborted, { once: true })
    call.unlisten = () => signal.removeEventListener("abort", aborted)
  }

  /** What is known of a call that its caller gives up; one that hasn't begun is taken back. */
  #outcome(call: Call): Outcome {
    if (call.node !== undefined) return "unknown"
    if (call.cell === undefined) return "not-executed"
    return this.#codec.cancel(call.cell, call) ? "not-executed" : "unknown"
  }

  /** Starts the timeouts of calls that weren't answered at once. */
  #sweep(): void {
    const fresh = this.#fresh
    this.#fresh = []
    const now = this.#platform.now()
    for (const call of fresh) {
      if (call.calls === undefined || call.timeoutMillis === Number.POSITIVE_INFINITY) continue
      call.deadline = now + call.timeoutMillis
      this.#link(call)
    }
    this.#arm()
  }

  #link(call: Call): void {
    let list = this.#lists.get(call.timeoutMillis)
    if (list === undefined) {
      list = { first: undefined, last: undefined }
      this.#lists.set(call.timeoutMillis, list)
    }
    call.earlier = list.last
    if (list.last === undefined) list.first = call
    else list.last.later = call
    list.last = call
  }

  #unlink(call: Call): void {
    const list = this.#lists.get(call.timeoutMillis)
    if (list === undefined) return
    if (call.earlier === undefined) list.first = call.later
    else call.earlier.later = call.later
    if (call.later === undefined) list.last = call.earlier
    else call.later.earlier = call.earlier
    if (list.first === undefined) this.#lists.delete(call.timeoutMillis)
  }

  #arm(): void {
    let at = Number.POSITIVE_INFINITY
    for (const { first } of this.#lists.values()) {
      if (first !== undefined && first.deadline < at) at = first.deadline
    }
    // A timer that fires too early only looks again; so it is never moved back.
    if (at >= this.#timerAt) return
    this.#cancelTimer()
    this.#timerAt = at
    this.#cancelTimer = this.#platform.timer(at - this.#platform.now(), () => {
      this.#timerAt = Number.POSITIVE_INFINITY
      this.#expire()
      this.#arm()
    })
  }

  #expire(): void {
    const now = this.#platform.now()
    for (const list of [...this.#lists.values()]) {
      for (let call = list.first; call !== undefined && call.deadline <= now; call = list.first) {
        call.fail(new Timeout(call.process, call.name, call.timeoutMillis, this.#outcome(call)))
      }
    }
  }
}
