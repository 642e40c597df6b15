/**
 * A node, as its user sees it.
 *
 * @module
 */
import type { Key } from "../core/key.ts"
import type { Sent } from "./calls/ref.ts"
import type { AnyDefinition, InitArgs, Ref, Runnable } from "./definition.ts"
import type { Listeners, NodeEvent } from "./events.ts"
import type * as Remote from "./functions/remote.ts"
import type { Group } from "./groups/group.ts"
import type { ConnectOptions, Listed } from "./links/connections.ts"
import type { NamesOptions, Scalar } from "./names/indexes.ts"
import type { Location } from "./names/location.ts"
import type { Living, Named } from "./names/lookup.ts"
import type { Down } from "./names/monitors.ts"
import type { RegisterOptions } from "./names/registrations.ts"
import type { StartOptions } from "./processes/starts.ts"
import type * as Supervisor from "./supervisors/supervisor.ts"
import type * as Topic from "./topics/topic.ts"

/** A member of the cluster, as this node sees it. */
export interface Member {
  readonly name: string
  readonly address: string
  readonly status: "up" | "joining" | "suspect" | "leaving" | "down" | "left"
  readonly roles: ReadonlyArray<string>
  readonly weight: number
  /** Whether it is this node. */
  readonly self: boolean
  /**
   * The nodes that relay what is said to it, the nearest first: none when it is connected directly, and
   * undefined while it isn't connected.
   */
  readonly via: ReadonlyArray<string> | undefined
  /** Smoothed round trip, where measured. */
  readonly rttMillis: number | undefined
}

/** How a process of this node is started. */
export interface SpawnOptions extends Omit<StartOptions, "at" | "exclusive"> {
  /** Its key, unique in the cluster among the processes of the same definition that belong to nodes. */
  readonly key?: Key
}

/** A running node. */
export interface Node extends AsyncDisposable {
  readonly name: string
  /** The address that others can connect to. */
  readonly address: string
  /**
   * Starts a process with this key where the ring places it, and supervises it. When it is running
   * already, the result refers to that one, whatever `init` says; with `exclusive` that is an
   * AlreadyRegistered error. Fails with a StartError.
   */
  start<P extends AnyDefinition>(
    definition: P & Runnable<P>,
    key: Key,
    ...init: InitArgs<P, StartOptions>
  ): Promise<Ref<P>>
  /**
   * Starts a process that belongs to this node: it never moves, is restarted only here, and ends with the
   * node. It is found and called from everywhere, through its reference and the names it is given. The
   * definition needn't be among the node's `processes`. Fails with a StartError.
   */
  spawn<P extends AnyDefinition>(
    definition: P & Runnable<P>,
    ...init: InitArgs<P, SpawnOptions>
  ): Promise<Ref<P>>
  /**
   * A reference to the process with this key, whether it runs or not; or to the one that a location tells of,
   * or a reference meant before it was sent with a message. Costs nothing. Throws a TypeError.
   */
  ref<P extends AnyDefinition>(definition: P, of: Key | Sent | Location): Ref<P>

  // --- names -------------------------------------------------------------------------------------

  /** Where a process runs, or where an additional name points; undefined when nobody holds it. */
  whereis(name: Key): Location | undefined
  whereis(definition: AnyDefinition, key: Key): Location | undefined
  /**
   * Gives a process, wherever it runs, an additional name: it ends with the process, and moves with it.
   * Fails with AlreadyRegistered, which says who has it, NoQuorum, and as calls do.
   */
  register(name: Key, ref: Living, options?: RegisterOptions): Promise<void>
  /** Takes an additional name back, from wherever it is; the process lives on. False when nobody has it. */
  unregister(name: Key, options?: { readonly timeout?: number }): Promise<boolean>
  /**
   * Changes the metadata of a name, or of a reference's process: to a value, or to what a function makes of
   * a copy of what it is. Atomic: the function is called again when another change came first. Resolves to
   * the new metadata. Fails with NoProcess, Contended, and as calls do.
   */
  update(target: Named, change: unknown, options?: { readonly timeout?: number }): Promise<unknown>
  /** Names that anybody holds, sorted, from an index: 1,000 at a time unless told otherwise. */
  names(options?: NamesOptions): ReadonlyArray<Location>
  /**
   * Names whose metadata has this property with this value, or with an array or a Set that contains it.
   * From an index, which is made when it is first asked for.
   */
  find(property: string, value: Scalar): ReadonlyArray<Location>
  /** How many names live nodes hold, or one of them does, as this node knows. O(1). */
  count(of?: { readonly node?: string }): number
  /**
   * Calls `f` exactly once, when the life ends that the process has now, with the reason; soon, when there is
   * none. Not any more once the result was called, or this node has stopped.
   */
  monitor(target: Living, f: (down: Down) => void): () => void
  /** The same as a promise. Rejects with Aborted, and with NodeStopped when this node stops. */
  down(target: Living, options?: { readonly signal?: AbortSignal }): Promise<Down>

  // --- groups, topics, functions -----------------------------------------------------------------

  /**
   * The group of processes of this name, whether it has members or not. Costs nothing. The definition says
   * how its members are called; without it they may be of any, and are called by the names of methods.
   */
  group<P extends AnyDefinition, M = unknown>(name: Key, definition: P): Group<P, M>
  group<M = unknown>(name: Key): Group<AnyDefinition, M>
  /** The names of all groups that have members, in no particular order. O(number of groups). */
  groups(): ReadonlyArray<Key>
  /**
   * Calls a function with each message of a topic or a pattern, until the subscription or the node ends. One
   * that returns a promise or an Effect gets its next message when that is over; the message is shared by all
   * subscribers of the node: don't change it. Throws NodeStopped and Overloaded.
   */
  subscribe<T extends Topic.Source>(
    topic: T,
    callback: Topic.Callback<T>,
    options?: Topic.SubscribeOptions,
  ): Topic.Subscription<T>
  /**
   * Casts each message to a process, wherever it lives, with where it comes from. The subscription is this
   * node's: it doesn't end with the process.
   */
  subscribe<T extends Topic.Source, C extends object, N extends Topic.Casts<T, C>>(
    topic: T,
    process: { readonly cast: C },
    method: N,
    options?: Pick<Topic.SubscribeOptions, "signal">,
  ): Topic.Subscription<T>
  /** The messages of a topic or a pattern from now on, as a loop gets to them. */
  messages<T extends Topic.Source>(topic: T, options?: Topic.SubscribeOptions): Topic.Messages<T>
  /**
   * Sends a message to the subscribers of a topic, and waits for nothing; returns to how many nodes, this one
   * included when it has one. At most once, and in order. Throws what is known at once, and then nobody gets
   * it: NotData, TooLarge, NodeStopped, and Overloaded when too many messages wait here or for the one node
   * that it is for. Other nodes that don't keep up lose it: an event, `Dropped`.
   */
  publish<T extends Topic.AnyDefinition>(
    topic: T,
    message: Topic.Message<T>,
    options?: Topic.PublishOptions,
  ): number
  /**
   * Serves a remote function, from now on until the result is called; all nodes get to know. Throws
   * AlreadyRegistered when this node serves another one of its name, NodeStopped.
   */
  serve(definition: Remote.AnyDefinition): () => void
  /** Runs a remote function where you say: see `Remote`. Costs nothing. */
  remote<F>(definition: Remote.Definition<F>): Remote.Handle<F>
  /**
   * A supervisor, whether this node hosts it or not: see `Supervisor`. From the first time on a node that
   * doesn't list it keeps count of its children.
   */
  supervisor<P extends AnyDefinition>(
    definition: Supervisor.Definition<P>,
  ): Supervisor.SupervisorRef<P>
  /** Stops a process wherever it runs; false when there is none. */
  stopProcess(ref: Ref<AnyDefinition>, reason?: string): Promise<boolean>
  stopProcess(definition: AnyDefinition, key: Key, reason?: string): Promise<boolean>
  /** All known members, by name, this node included. */
  members(): ReadonlyArray<Member>
  /** The node that the ring gives a process to. */
  nodeFor(definition: AnyDefinition, key: Key): string | undefined
  /** Resolves when all members agree on who gets which process, and nothing is on the move here. */
  settled(): Promise<void>
  /**
   * Calls these functions when their events happen, until the result is called: at once, in order, before
   * anything that follows. One that throws is `ListenerFailed`, and nothing else.
   */
  on(listeners: Listeners): () => void
  /** What happens from now on. A listener too slow for its buffer is told what it lost. */
  events(): AsyncIterableIterator<NodeEvent>
  /**
   * Adds addresses to those that are dialled for as long as the node runs; resolves when all are members.
   * All or nothing: an address that is given twice, is this node's own, is connected or was given before
   * is a DuplicateAddress, and none of the list is dialled. Fails with ConnectFailed when some can't be
   * joined in time: those are tried again all the same, unless `signal` fires first (Aborted).
   */
  connect(address: string | ReadonlyArray<string>, options?: ConnectOptions): Promise<void>
  /**
   * Parts with members until `connect` is called again, here or there; resolves when they are down here
   * and the links have ended. All or nothing: a name of nobody who is connected or looked for is an
   * UnknownNode, and nobody is parted with.
   */
  disconnect(name: string | ReadonlyArray<string>): Promise<void>
  /** The addresses that are listed to be connected, by option, `connect` or discovery; how each stands. */
  connections(): ReadonlyArray<Listed>
  /** Hands all processes over, with their state and mailboxes, then stops. */
  leave(): Promise<void>
  /** Stops at once, without handing over. */
  stop(): Promise<void>
}
