/**
 * The port to discovery: how a node learns where others may be, with no address configured. A strategy
 * gives addresses, now and whenever they change; whether anybody is there, and who, the node finds out by
 * dialling them.
 *
 * Write your own by implementing {@link Discovery}. Where others can be asked for, `seeds` of
 * `src/discovery/static.ts` with a function is all it takes; where they come by themselves:
 *
 * @example
 * ```ts
 * import type { Discovery } from "skein"
 *
 * declare function subscribe(topic: string, told: (peers: string[]) => void): () => void
 *
 * const registry: Discovery = {
 *   kind: "registry",
 *   start: ({ cluster, found, signal }) => {
 *     const unsubscribe = subscribe(cluster, found)
 *     signal.addEventListener("abort", unsubscribe)
 *   },
 * }
 * ```
 *
 * @module
 */

/** A way to find other nodes. One value may serve many nodes: what belongs to a node is in its context. */
export interface Discovery {
  /** What it is, for people: `"dns"`, `"multicast"`. Events and counts carry it. */
  readonly kind: string
  /**
   * Begins to look; returns or resolves once it has begun. It goes on until the context's signal aborts,
   * and then lets go of all it has. Failures on the way go to `context.failed`, and the strategy tries
   * again by itself. If `start` throws or rejects instead, the user is told, the signal aborts, and the
   * node starts the strategy again later, with a new context.
   */
  start(context: Context): void | Promise<void>
}

/**
 * What a strategy knows of the node it looks for, and whom it tells. The functions may be taken out of
 * the context. Once `signal` has aborted none of them does anything, so that a late answer needs no care.
 */
export interface Context {
  /** The cluster's name: nodes of others are not looked for. */
  readonly cluster: string
  /** The node's name. */
  readonly node: string
  /** Where others can dial the node. */
  readonly address: string
  /** The cluster's secret; undefined where the transport stays in this program. */
  readonly cookie: string | undefined
  /** Aborts when the node leaves or stops: from then on it doesn't look, and doesn't show itself. */
  readonly signal: AbortSignal
  /**
   * All addresses that are known now, in place of those given before. The order doesn't matter, nor do
   * repetitions, nor the node's own address among them. Up to 1,024 are used.
   */
  readonly found: (addresses: ReadonlyArray<string>) => void
  /** Something went wrong that the user should know of. What was found before stays. */
  readonly failed: (error: unknown) => void
  /** Something was not for us: a stranger's packet, say. Counted by reason: a word or two from a fixed set. */
  readonly ignored: (reason: string) => void
  /** Monotonic milliseconds. This and the next three may be simulated: use no other clock. */
  readonly now: () => number
  /** Unix milliseconds, as this machine believes. */
  readonly wall: () => number
  /** Calls `run` once after at least so long, unless the result is called before. */
  readonly timer: (millis: number, run: () => void) => () => void
  /** A number from 0 to below 1, uniform. Not for secrets. */
  readonly random: () => number
}
