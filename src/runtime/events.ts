/**
 * What a node tells its user: typed events, to any number of listeners, each with a bounded buffer.
 *
 * @module
 */

/** Something that happened, as this node saw it. */
export type NodeEvent =
  | { readonly _tag: "MemberUp"; readonly node: string; readonly address: string }
  | { readonly _tag: "MemberSuspect"; readonly node: string }
  | { readonly _tag: "MemberTrusted"; readonly node: string }
  | { readonly _tag: "MemberLeaving"; readonly node: string }
  | { readonly _tag: "MemberLeft"; readonly node: string }
  | { readonly _tag: "MemberDown"; readonly node: string; readonly reason: string }
  /** The nodes that names are placed on. */
  | { readonly _tag: "RingChanged"; readonly nodes: ReadonlyArray<string> }
  /** Every member computes with this node's ring. */
  | { readonly _tag: "RingSettled" }
  | { readonly _tag: "ProcessStarted"; readonly process: string }
  | { readonly _tag: "ProcessStopped"; readonly process: string; readonly reason: string }
  | {
      readonly _tag: "ProcessCrashed"
      readonly process: string
      readonly reason: string
      readonly restarted: boolean
    }
  | {
      readonly _tag: "HandoffStarted"
      readonly to: string
      readonly processes: ReadonlyArray<string>
    }
  | {
      readonly _tag: "HandoffEnded"
      readonly to: string
      readonly processes: ReadonlyArray<string>
    }
  | { readonly _tag: "HandoffFailed"; readonly processes: ReadonlyArray<string> }
  /** Processes moved to this node, with their state (`resumed`) or started anew. */
  | {
      readonly _tag: "ProcessesArrived"
      readonly from: string
      readonly processes: ReadonlyArray<string>
      readonly resumed: number
    }
  /** Processes of a dead node are started again here; their state is lost. */
  | { readonly _tag: "TakenOver"; readonly from: string; readonly processes: ReadonlyArray<string> }
  /** This node's process lost its name to a better claim elsewhere, and stopped. */
  | { readonly _tag: "ConflictLost"; readonly process: string; readonly winner: string }
  | {
      readonly _tag: "ConnectionRefused"
      readonly address: string
      readonly reason: string
      readonly by: "us" | "them"
    }
  /** A limit was reached, and something was dropped that had no caller to tell. */
  | { readonly _tag: "Dropped"; readonly process: string; readonly limit: string }
  /** This node didn't run for this long: it announced itself anew before it served. */
  | { readonly _tag: "Slept"; readonly millis: number }
  | { readonly _tag: "NameConflict"; readonly node: string }
  /** This listener was too slow, and lost so many events. */
  | { readonly _tag: "EventsLost"; readonly count: number }
  | { readonly _tag: "Stopped" }

/** Events that wait for one listener at most; the oldest give way. */
export const EVENTS_MAX: number = 1024

/** Everybody who listens to one node. */
export class Events {
  readonly #listeners = new Set<Listener>()
  readonly #watchers = new Set<(event: NodeEvent) => void>()
  #closed = false

  /** Tells all listeners. Costs nothing when there are none. */
  emit(event: NodeEvent): void {
    for (const watcher of this.#watchers) watcher(event)
    for (const listener of this.#listeners) listener.push(event)
  }

  /** Tells `watcher` of every event as it happens, until the result is called. It must not throw. */
  watch(watcher: (event: NodeEvent) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** Whether anybody listens: what is costly to tell needn't be put together otherwise. */
  get heard(): boolean {
    return this.#listeners.size + this.#watchers.size > 0
  }

  /** The events from now on, until the node stops or the loop is left. */
  stream(): AsyncIterableIterator<NodeEvent> {
    const listener = new Listener(() => this.#listeners.delete(listener))
    if (this.#closed) listener.close()
    else this.#listeners.add(listener)
    return listener
  }

  /** Ends all streams, once their buffers are read. */
  close(): void {
    this.#closed = true
    for (const listener of [...this.#listeners]) listener.close()
  }
}

class Listener implements AsyncIterableIterator<NodeEvent> {
  readonly #leave: () => void
  #buffer: Array<NodeEvent> = []
  #lost = 0
  #closed = false
  #waiting: Array<(result: IteratorResult<NodeEvent>) => void> = []

  constructor(leave: () => void) {
    this.#leave = leave
  }

  push(event: NodeEvent): void {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) return waiting({ value: event, done: false })
    this.#buffer.push(event)
    if (this.#buffer.length > EVENTS_MAX) {
      this.#buffer.shift()
      this.#lost++
    }
  }

  close(): void {
    this.#closed = true
    this.#leave()
    for (const waiting of this.#waiting) waiting({ value: undefined, done: true })
    this.#waiting = []
  }

  next(): Promise<IteratorResult<NodeEvent>> {
    if (this.#lost > 0) {
      const count = this.#lost
      this.#lost = 0
      return Promise.resolve({ value: { _tag: "EventsLost", count }, done: false })
    }
    const event = this.#buffer.shift()
    if (event !== undefined) return Promise.resolve({ value: event, done: false })
    if (this.#closed) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(): Promise<IteratorResult<NodeEvent>> {
    this.#buffer = []
    this.close()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<NodeEvent> {
    return this
  }
}
