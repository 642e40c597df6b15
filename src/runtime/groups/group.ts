/**
 * Groups, as their users see them: processes that are members of something, with metadata, told of by
 * events, and called by key, several at once, or all together.
 *
 * @module
 */
import type { Key } from "../../core/key.ts"
import type { AnyDefinition, CallOptions, Joining, Ref, Try } from "../definition.ts"
import type { AlreadyMember, CallError, Contended, NoMember, NotMember } from "../errors.ts"
import type { Missed, Reply } from "../functions/gather.ts"

/** A process as a member of a group. */
export interface GroupMember<P, M = unknown> {
  /** Calls it and casts to it, wherever it moves. */
  readonly ref: Ref<P>
  /** Its registered name. */
  readonly process: string
  /** The node it runs on. */
  readonly node: string
  /** Whether keys are routed to it. */
  readonly online: boolean
  /** What it joined with, or was given since: a copy. undefined when that was nothing. */
  readonly meta: M | undefined
  /** When it joined, or moved to its node, in Unix milliseconds of that node. */
  readonly joinedAt: number
}

/** What a member was before. */
export interface GroupStanding<M = unknown> {
  readonly node: string
  readonly online: boolean
  readonly meta: M | undefined
}

/**
 * What happened to a group. Every node tells of every change once, when it hears of it.
 *
 * A process is a member once. One that moves is `Updated`, with another node; or, when its end at the old
 * node is heard of first, `Left` for the reason `"moved"` and `Joined` again. What Dispatch's subscribers
 * get as a leave with the old state and a join with the new one, as for `enable`, is one `Updated`.
 */
export type GroupEvent<P, M = unknown> =
  | { readonly _tag: "Joined"; readonly group: Key; readonly member: GroupMember<P, M> }
  | {
      readonly _tag: "Left"
      readonly group: Key
      /** As it was last. */
      readonly member: GroupMember<P, M>
      readonly before: GroupStanding<M>
      /**
       * `"left"`, `"stopped: …"` and `"crashed: …"` with its process's reason, `"moved"`, `"conflict"`, or
       * `"node down"`.
       */
      readonly reason: string
    }
  | {
      readonly _tag: "Updated"
      readonly group: Key
      readonly member: GroupMember<P, M>
      readonly before: GroupStanding<M>
    }
  /** This reader of `events()` was too slow, and lost so many. */
  | { readonly _tag: "EventsLost"; readonly count: number }

/** What is called when something happens to a group. */
export interface GroupHandlers<P, M = unknown> {
  joined?(event: Extract<GroupEvent<P, M>, { readonly _tag: "Joined" }>): void
  left?(event: Extract<GroupEvent<P, M>, { readonly _tag: "Left" }>): void
  updated?(event: Extract<GroupEvent<P, M>, { readonly _tag: "Updated" }>): void
}

/** What one member answered. */
export interface Answer<A, M = unknown> extends Reply<A> {
  readonly process: string
  readonly meta: M | undefined
}

/** Why one member didn't answer. */
export interface Silence<E, M = unknown> extends Missed<E> {
  readonly process: string
  readonly meta: M | undefined
}

/** What all those who were asked answered: each is in one of the two, in the order of the members. */
export interface Answers<A, E, M = unknown> {
  readonly replies: ReadonlyArray<Answer<A, M>>
  readonly failures: ReadonlyArray<Silence<E, M>>
}

type Asks<P> = Ref<P>["try"]
type Casts<P> = Ref<P>["cast"]
type Arguments<F> = F extends (...args: infer A) => unknown ? A : never
type Value<F> = F extends (...args: never) => Promise<Try<infer A, infer _E>> ? A : never
type Failure<F> = F extends (...args: never) => Promise<Try<infer _A, infer E>> ? E : never

/**
 * A reference that picks its process at each call and cast. When nobody is online they fail with NoMember.
 * Of a group without a definition methods are called by their names.
 */
export type Picked<P> = [AnyDefinition] extends [P]
  ? {
      call(method: string, ...args: ReadonlyArray<unknown>): Promise<unknown>
      cast(method: string, ...args: ReadonlyArray<unknown>): void
      /** The same with other call options. */
      with(options: CallOptions): Picked<P>
    }
  : {
      readonly [K in keyof Asks<P>]: (...args: Arguments<Asks<P>[K]>) => Promise<Value<Asks<P>[K]>>
    } & {
      /** Sends without waiting for anything; throws what is known at once, NoMember too. */
      readonly cast: Casts<P>
      /** The same calls, with failures as values. */
      readonly try: {
        readonly [K in keyof Asks<P>]: (
          ...args: Arguments<Asks<P>[K]>
        ) => Promise<Try<Value<Asks<P>[K]>, Failure<Asks<P>[K]> | NoMember>>
      }
      /** The same reference with other call options. */
      readonly with: (options: CallOptions) => Picked<P>
    }

/**
 * Several members at once, picked at each call and cast. A call asks all of them at the same time, never
 * rejects, and ends when all have answered or its one timeout is over. A cast returns to how many it was
 * sent: not to those who are known to be overloaded. It throws NotData and NodeStopped only.
 */
export type Several<P, M = unknown> = [AnyDefinition] extends [P]
  ? {
      call(method: string, ...args: ReadonlyArray<unknown>): Promise<Answers<unknown, unknown, M>>
      cast(method: string, ...args: ReadonlyArray<unknown>): number
      /** The same with other call options. */
      with(options: CallOptions): Several<P, M>
    }
  : {
      readonly [K in keyof Asks<P>]: (
        ...args: Arguments<Asks<P>[K]>
      ) => Promise<Answers<Value<Asks<P>[K]>, Failure<Asks<P>[K]>, M>>
    } & {
      /** Sends to each of them once. */
      readonly cast: {
        readonly [K in keyof Casts<P>]: (...args: Arguments<Casts<P>[K]>) => number
      }
      /** The same with other call options. */
      readonly with: (options: CallOptions) => Several<P, M>
    }

/**
 * A group of processes. What it tells is what this node knows: at once of what was done from here, a moment
 * later of what was done elsewhere.
 *
 * A membership belongs to its process, ends with it, and moves with it. It survives a crash after which the
 * process is started again at the same node; not the end of that node: a process that should be a member
 * always joins in its `started`.
 *
 * `P` is the definition of the members. One of another definition has the calls and casts that are named
 * alike; what it doesn't have fails with NoMethod. `M` is the type of the metadata, which isn't checked.
 */
export interface Group<P extends AnyDefinition, M = unknown> {
  readonly name: Key
  /**
   * Makes a process a member, wherever it runs; resolves when it is one here. Fails with AlreadyMember when
   * it is one with other metadata or another state, with NoProcess, and as calls do.
   */
  join(ref: Ref<P>, options?: Joining<M> & CallOptions): Promise<void>
  /** Ends a membership; false when there is none. Fails as calls do. */
  leave(ref: Ref<P>, options?: CallOptions): Promise<boolean>
  /** Routes keys to a member again. Fails with NotMember, and as calls do. */
  enable(ref: Ref<P>, options?: CallOptions): Promise<void>
  /** Routes no keys to a member any more: it stays a member. Fails with NotMember, and as calls do. */
  disable(ref: Ref<P>, options?: CallOptions): Promise<void>
  /**
   * Replaces a member's metadata, and returns what is new. A function gets a copy of what it was; it is
   * called again when somebody else was faster, up to 1,000 times and until the timeout, and nothing is ever
   * overwritten unseen. Fails with NotMember, Contended, what the function throws, and as calls do.
   */
  update(
    ref: Ref<P>,
    change: (meta: M | undefined) => M | undefined,
    options?: CallOptions,
  ): Promise<M | undefined>
  update(ref: Ref<P>, meta: M | undefined, options?: CallOptions): Promise<M | undefined>
  /** All of them, by the time they joined. */
  members(): ReadonlyArray<GroupMember<P, M>>
  /** Those to whom keys are routed. */
  online(): ReadonlyArray<GroupMember<P, M>>
  /** Those of this node, whether they are online or not. */
  local(): ReadonlyArray<GroupMember<P, M>>
  /** The names of the nodes that have members, sorted. */
  nodes(): ReadonlyArray<string>
  /** How many there are, whether they are online or not. */
  readonly count: number
  /**
   * One who is online, at random: of this node if there is one, since that is nearest, else of any;
   * undefined when nobody is online.
   */
  any(): Ref<P> | undefined
  /** The member that a key is routed to; undefined when nobody is online. */
  find(key: Key): GroupMember<P, M> | undefined
  /** The first `n` members for a key, distinct; all who are online when they are fewer. */
  findN(key: Key, n: number): ReadonlyArray<GroupMember<P, M>>
  /**
   * Whoever a key is routed to, at each call. Keys are spread evenly; a key changes its member only when
   * that goes, or one comes that ranks higher for it.
   */
  byKey(key: Key): Picked<P>
  /** The first `n` members for a key, distinct; all who are online when they are fewer. */
  nByKey(key: Key, n: number): Several<P, M>
  /** All who are online. */
  readonly all: Several<P, M>
  /** All of this node who are online. */
  readonly here: Several<P, M>
  /**
   * Calls these when something happens to the group, until the result is called or the node ends. Of one
   * that throws the node tells by its event ListenerFailed.
   */
  on(handlers: GroupHandlers<P, M>): () => void
  /** What happens from now on, until the node stops or the loop is left. */
  events(): AsyncIterableIterator<GroupEvent<P, M>>
}

/** What changing a membership can fail with. */
export type MembershipError = CallError | AlreadyMember | NotMember | Contended
