/**
 * A node, as its user sees it.
 *
 * @module
 */
import type { AnyDefinition, Init, Ref, Services } from "./definition.ts"
import type { NodeEvent } from "./events.ts"
import type { StartOptions } from "./starts.ts"

/** A member of the cluster, as this node sees it. */
export interface Member {
  readonly name: string
  readonly address: string
  readonly status: "up" | "joining" | "suspect" | "leaving" | "down" | "left"
  readonly roles: ReadonlyArray<string>
  readonly weight: number
  /** Whether it is this node. */
  readonly self: boolean
  /** Smoothed round trip, where measured. */
  readonly rttMillis: number | undefined
}

/** Where a name lives. */
export interface Location {
  readonly node: string
  /** The registered process's definition and key. */
  readonly process: string
  /** Rises each time another node takes the name over. */
  readonly generation: number
}

/** How an additional name is registered. */
export interface RegisterOptions {
  /**
   * `serialized` (default): free in the whole connected cluster, one round trip. `local`: at once; a
   * conflict is found and resolved later.
   */
  readonly mode?: "serialized" | "local"
  /** Milliseconds. Default 5,000. */
  readonly timeout?: number
}

type InitArgs<P> =
  unknown extends Init<P>
    ? [init?: undefined, options?: StartOptions]
    : undefined extends Init<P>
      ? [init?: Init<P>, options?: StartOptions]
      : [init: Init<P>, options?: StartOptions]

type Handlers<P> = P extends {
  readonly types?: { readonly calls: infer A; readonly casts: infer B }
}
  ? A[keyof A] | B[keyof B]
  : never
type Returned<F> = F extends (...args: never) => infer R ? R : never

/** A definition all of whose handlers run without services; else what they need is the type error. */
export type Runnable<P> = [Services<Returned<Handlers<P>>>] extends [never]
  ? unknown
  : {
      "its handlers need Effect services, which startNode doesn't provide": Services<
        Returned<Handlers<P>>
      >
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
    key: string,
    ...init: InitArgs<P>
  ): Promise<Ref<P>>
  /** A reference to a process, whether it runs or not. Costs nothing. */
  ref<P extends AnyDefinition>(definition: P, key: string): Ref<P>
  /** Where a process runs, or where an additional name points; undefined when nobody holds it. */
  whereis(name: string): Location | undefined
  whereis(definition: AnyDefinition, key: string): Location | undefined
  /** Gives a process of this node an additional name, which ends with the process and never moves. */
  register(name: string, ref: Ref<AnyDefinition>, options?: RegisterOptions): Promise<void>
  /** Takes an additional name of this node back; false when it doesn't hold it. */
  unregister(name: string): boolean
  /** Stops a process wherever it runs; false when there is none. */
  stopProcess(ref: Ref<AnyDefinition>, reason?: string): Promise<boolean>
  stopProcess(definition: AnyDefinition, key: string, reason?: string): Promise<boolean>
  /** All known members, by name, this node included. */
  members(): ReadonlyArray<Member>
  /** The node that the ring gives a process to. */
  nodeFor(definition: AnyDefinition, key: string): string | undefined
  /** Resolves when all members agree on who gets which process, and nothing is on the move here. */
  settled(): Promise<void>
  /** How many names live nodes hold, as this node knows. */
  count(): number
  /** What happens from now on. A listener too slow for its buffer is told what it lost. */
  events(): AsyncIterableIterator<NodeEvent>
  /** Connects to more addresses; resolves when all are members. Fails with ConnectFailed. */
  connect(address: string | ReadonlyArray<string>, options?: { timeout?: number }): Promise<void>
  /** Parts with a member until `connect` is called again, here or there. */
  disconnect(name: string): void
  /** Hands all processes over, with their state and mailboxes, then stops. */
  leave(): Promise<void>
  /** Stops at once, without handing over. */
  stop(): Promise<void>
}
