/**
 * Topics: what messages are published to, and what their subscribers get to know.
 *
 * A message goes once to each node that has a subscriber, and no further. It is delivered at most once, and
 * to each subscriber in the order in which its publisher published; nothing is stored for later subscribers.
 *
 * @module
 */
import * as Keys from "../../core/key.ts"

/** A topic whose messages are plain data of type `M`. */
export interface Definition<M, K extends Keys.Key = Keys.Key> {
  readonly _tag: "Topic"
  readonly key: K
  /** The text of the key, the same in the whole cluster. */
  readonly text: string
  /** Types only. */
  readonly types?: {
    readonly message: M
    readonly key: K
    readonly accepts: (message: M) => void
  }
}

/** All topics whose keys begin with a prefix. That their messages are of type `M` nobody checks. */
export interface Pattern<M, K extends Keys.Key = Keys.Key> {
  readonly _tag: "Pattern"
  readonly prefix: Keys.Key
  /** The text of the prefix. */
  readonly text: string
  /** Types only. */
  readonly types?: { readonly message: M; readonly key: K }
}

/** Topics of one kind, told apart by what follows the family's key in theirs. */
export interface Family<M, Rest extends ReadonlyArray<Keys.Key> = ReadonlyArray<Keys.Key>> {
  /** One of them: its key is the array of the family's key and these. */
  at(...rest: Rest): Definition<M, readonly [Keys.Key, ...Rest]>
  /** All of them. */
  readonly all: Pattern<M, readonly [Keys.Key, ...Rest]>
}

/** Any topic. */
export type AnyDefinition = Pick<Definition<unknown>, "_tag" | "key" | "text">

/** What can be subscribed to: a topic, or all topics of a pattern. */
export type Source = AnyDefinition | Pick<Pattern<unknown>, "_tag" | "prefix" | "text">

/** The messages of a topic or a pattern. */
export type Message<T> = T extends { readonly types?: { readonly message: infer M } } ? M : never

/** The keys of a topic or a pattern. */
export type KeyOf<T> = T extends { readonly types?: { readonly key: infer K } } ? K : never

/** Where a message comes from. Shared by all who get it: don't change it. */
export interface Info<T = Definition<unknown>> {
  /** The name of the node that published it. */
  readonly from: string
  /** The key of the topic that it was published to. */
  readonly topic: KeyOf<T>
}

/** A message with where it comes from. */
export interface Received<T = Definition<unknown>> extends Info<T> {
  readonly message: Message<T>
}

/**
 * What a subscriber is called with. It may return a promise or an Effect, which runs with the node's
 * services: it gets its next message when that is over.
 */
export type Callback<T = Definition<unknown>> = (message: Message<T>, info: Info<T>) => unknown

/** The casts that take the messages of a topic, alone or with where they come from. */
export type Casts<T, C> = {
  [N in keyof C]: C[N] extends (message: Message<T>, info: Info<T>) => unknown ? N : never
}[keyof C]

/**
 * What becomes of messages that a subscriber has no room for. `drop-oldest`: the one that waits longest
 * gives way. `drop-newest`: what comes is dropped. `error`: the subscription ends, once what waits for it has
 * been handled, with SubscriberOverloaded.
 */
export type Overflow = "drop-oldest" | "drop-newest" | "error"

/** How to subscribe. */
export interface SubscribeOptions {
  /** Messages that may wait for this subscriber while it is busy: at least 1. Default 1,000. */
  readonly bufferMax?: number
  /** What becomes of one more. Default `drop-oldest`. All that is dropped is counted. */
  readonly overflow?: Overflow
  /** Unsubscribes when it fires. */
  readonly signal?: AbortSignal
}

/** Whom to publish to. */
export interface PublishOptions {
  /** The subscribers of all nodes, of this node, or of one node. Default `all`. */
  readonly to?: "all" | "local" | { readonly node: string }
}

/** A subscription of this node, until it is unsubscribed or the node ends. */
export interface Subscription<T = Source> extends Disposable {
  /** What is subscribed to. */
  readonly topic: T
  /** How many messages were lost because this subscriber had no room for them. */
  readonly dropped: number
  /**
   * Resolves once all nodes that are connected know of it: what they publish from then on comes here.
   * Publishers of this node know at once. Rejects with NodeStopped.
   */
  readonly ready: Promise<void>
  /** Resolves when it takes no more messages. Rejects with SubscriberOverloaded. */
  readonly closed: Promise<void>
  /** Takes no more messages, and drops those that wait. What it is busy with isn't interrupted. */
  unsubscribe(): void
  /** Publishes to all subscribers of the topic but this one: as `node.publish`. Of patterns, a TypeError. */
  publish(
    message: T extends { readonly _tag: "Topic" } ? Message<T> : never,
    options?: PublishOptions,
  ): number
}

/**
 * The messages of a topic or a pattern from now on, until the loop is left or the node ends. Throws
 * SubscriberOverloaded.
 */
export interface Messages<T = Source>
  extends Subscription<T>,
    AsyncIterableIterator<Received<T>, undefined> {
  [Symbol.asyncIterator](): Messages<T>
}

/**
 * A topic for messages of type `M`.
 *
 * @throws TypeError when the key is none, or too long
 *
 * @example
 * ```ts
 * import { type Node, Topic } from "skein"
 *
 * const Ticks = Topic.define<{ price: number }>("ticks")
 *
 * function watch(node: Node): void {
 *   node.subscribe(Ticks, ({ price }, { from }) => console.log(`${price}, says ${from}`))
 *   node.publish(Ticks, { price: 42 })
 * }
 * ```
 */
export function define<M>(key: Keys.Key): Definition<M> {
  return { _tag: "Topic", key, text: Keys.text(key) }
}

/**
 * All topics whose keys begin with `prefix`: strings by their characters, arrays by their elements. The empty
 * string begins all strings, the empty array all arrays.
 *
 * @throws TypeError when the prefix is no key, or too long
 */
export function prefix<M>(prefix: Keys.Key): Pattern<M> {
  return { _tag: "Pattern", prefix, text: prefix === "" ? "" : Keys.text(prefix) }
}

/**
 * Topics for messages of type `M`, told apart by `Rest`.
 *
 * @throws TypeError when the key is none, or too long
 *
 * @example
 * ```ts
 * import { Topic } from "skein"
 *
 * const Rooms = Topic.family<string, [room: number]>("rooms")
 * const room = Rooms.at(42) // the topic ["rooms", 42]
 * ```
 */
export function family<M, Rest extends ReadonlyArray<Keys.Key> = ReadonlyArray<Keys.Key>>(
  key: Keys.Key,
): Family<M, Rest> {
  return {
    at: (...rest) => {
      const whole = [key, ...rest] as const
      return { _tag: "Topic", key: whole, text: Keys.text(whole) }
    },
    all: prefix([key]) as Pattern<M, readonly [Keys.Key, ...Rest]>,
  }
}
