/**
 * What a node tells its user: typed events, as callbacks and as streams with bounded buffers.
 *
 * @module
 */
import { reasonOf } from "./errors.ts"
import { Feed } from "./feed.ts"

/**
 * Something that happened. Each event is told once, on the node where it is said to be told; what happens to
 * a process is told where the process is.
 */
export type NodeEvent =
  // --- members: on every node but the one that it is about
  /** A node is a member from now on; `MemberReady` follows, at once if it serves already. */
  | { readonly _tag: "MemberUp"; readonly node: string; readonly address: string }
  /** A member serves: it has caught up with the others. */
  | { readonly _tag: "MemberReady"; readonly node: string }
  /** A member doesn't answer; either `MemberTrusted` or `MemberDown` follows. */
  | { readonly _tag: "MemberSuspect"; readonly node: string }
  | { readonly _tag: "MemberTrusted"; readonly node: string }
  /** A member hands its processes over; `MemberLeft` follows, or `MemberDown` when it dies first. */
  | { readonly _tag: "MemberLeaving"; readonly node: string }
  | { readonly _tag: "MemberLeft"; readonly node: string }
  /** A member died, can't be reached any more, or was started again, and that before it had left. */
  | { readonly _tag: "MemberDown"; readonly node: string; readonly reason: string }
  // --- the ring: on every node
  /** The nodes that processes are placed on, for this node, from now on. */
  | { readonly _tag: "RingChanged"; readonly nodes: ReadonlyArray<string> }
  /** Every member computes with this node's ring: after each change of it, once. */
  | { readonly _tag: "RingSettled" }
  // --- processes: on the node that they run on
  /** A process runs here: started, or begun anew elsewhere than it was, but not resumed. */
  | { readonly _tag: "ProcessStarted"; readonly process: string }
  /** A process ended for good, or could not begin anew. Not told of those that move away or lose a conflict. */
  | { readonly _tag: "ProcessStopped"; readonly process: string; readonly reason: string }
  /** A process crashed, and began anew (`restarted`) or will be `ProcessStopped`. */
  | {
      readonly _tag: "ProcessCrashed"
      readonly process: string
      readonly reason: string
      readonly restarted: boolean
    }
  // --- moves: on the node that they move from
  | {
      readonly _tag: "HandoffStarted"
      readonly to: string
      readonly processes: ReadonlyArray<string>
    }
  /** They are there; of those of `HandoffStarted` that aren't listed each has stayed. */
  | {
      readonly _tag: "HandoffEnded"
      readonly to: string
      readonly processes: ReadonlyArray<string>
    }
  /** States that could not be sent, restored or merged. */
  | { readonly _tag: "HandoffFailed"; readonly processes: ReadonlyArray<string> }
  // --- moves and takeovers: on the node that they come to
  /** Processes moved here, with their state (`resumed` of them) or to start anew. */
  | {
      readonly _tag: "ProcessesArrived"
      readonly from: string
      readonly processes: ReadonlyArray<string>
      readonly resumed: number
    }
  /** Processes of a dead node are started again here; their state is lost. */
  | { readonly _tag: "TakenOver"; readonly from: string; readonly processes: ReadonlyArray<string> }
  // --- conflicts
  /** On the node that had it: a process or name lost against a better claim of `winner`. */
  | { readonly _tag: "ConflictLost"; readonly process: string; readonly winner: string }
  /** On the node that has it: a claim of `loser` was given up because of the one here. */
  | { readonly _tag: "ConflictWon"; readonly process: string; readonly loser: string }
  /** Another live node has this node's name: this one stops. */
  | { readonly _tag: "NameConflict"; readonly node: string }
  // --- connections: on the node that dialled, or was dialled
  | {
      readonly _tag: "ConnectionRefused"
      readonly address: string
      readonly reason: string
      readonly by: "us" | "them"
    }
  /** An address that is listed to be connected couldn't be: one event per attempt, which come ever rarer. */
  | {
      readonly _tag: "ConnectionFailed"
      readonly address: string
      /** `refused`, `unreachable`, `timeout`, or why the handshake was refused. */
      readonly reason: string
      /** Failed attempts in a row. */
      readonly attempts: number
    }
  /** A discovery strategy failed; it goes on trying. */
  | { readonly _tag: "DiscoveryFailed"; readonly discovery: string; readonly reason: string }
  // --- what nobody waits for
  /** What another node asked without waiting for an answer came to nothing here. */
  | { readonly _tag: "CastFailed"; readonly process: string; readonly reason: string }
  /** What a subscriber did with a message failed, or it was overloaded and had asked for an error. */
  | { readonly _tag: "SubscriberFailed"; readonly topic: string; readonly reason: string }
  /** A limit was reached, and something was dropped that had no caller to tell. */
  | { readonly _tag: "Dropped"; readonly process: string; readonly limit: string }
  // --- this node
  /** It didn't run for this long: it announced itself anew before it served. */
  | { readonly _tag: "Slept"; readonly millis: number }
  /** A callback given to `on` threw. */
  | { readonly _tag: "ListenerFailed"; readonly event: string; readonly reason: string }
  /** In streams only: this one was read too slowly, and lost so many events. */
  | { readonly _tag: "EventsLost"; readonly count: number }
  /** The last one. */
  | { readonly _tag: "Stopped" }

/** The event of this tag. */
export type EventOf<T extends NodeEvent["_tag"]> = Extract<NodeEvent, { readonly _tag: T }>

/** Callbacks by the tag of the event they are for. */
export type Listeners = {
  readonly [T in NodeEvent["_tag"]]?: (event: EventOf<T>) => void
}

/** Everybody who listens to one node. */
export class Events {
  readonly #feeds = new Set<Feed<NodeEvent>>()
  readonly #watchers = new Set<(event: NodeEvent) => void>()
  #closed = false

  /** Tells all listeners. Costs nothing when there are none. */
  emit(event: NodeEvent): void {
    for (const watcher of this.#watchers) watcher(event)
    for (const feed of this.#feeds) feed.push(event)
  }

  /** Tells `watcher` of every event as it happens, until the result is called. It must not throw. */
  watch(watcher: (event: NodeEvent) => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** Calls the listener of each event, until the result is called. One that throws is told of. */
  on(listeners: Listeners): () => void {
    return this.watch((event) => {
      const listener = listeners[event._tag] as ((event: NodeEvent) => void) | undefined
      if (listener === undefined) return
      try {
        listener(event)
      } catch (thrown) {
        if (event._tag === "ListenerFailed") return
        this.emit({ _tag: "ListenerFailed", event: event._tag, reason: reasonOf(thrown) })
      }
    })
  }

  /** Whether anybody listens: what is costly to tell needn't be put together otherwise. */
  get heard(): boolean {
    return this.#feeds.size + this.#watchers.size > 0
  }

  /** The events from now on, until the node stops or the loop is left. */
  stream(): AsyncIterableIterator<NodeEvent> {
    const lost = (count: number): NodeEvent => ({ _tag: "EventsLost", count })
    const feed: Feed<NodeEvent> = new Feed(lost, () => this.#feeds.delete(feed))
    if (this.#closed) feed.close()
    else this.#feeds.add(feed)
    return feed
  }

  /** Ends all streams, once their buffers are read. */
  close(): void {
    this.#closed = true
    for (const feed of [...this.#feeds]) feed.close()
    this.#watchers.clear()
  }
}
