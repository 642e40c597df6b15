/**
 * What the tests with whole nodes have in common: keys, what became of calls, who is up, and chances.
 *
 * @module
 */
import type { Process } from "skein"
import type { SimNode } from "skein/testing"

/** So many keys. */
export function keys(count: number): ReadonlyArray<string> {
  return Array.from({ length: count }, (_, i) => `k${i}`)
}

/** A key for which the ring places a process at this node: the prefix and a number, `from` at least. */
export function keyAt(
  node: SimNode,
  definition: Process.AnyDefinition,
  prefix = "k",
  from = 0,
): string {
  for (let i = from; ; i++)
    if (node.nodeFor(definition, `${prefix}${i}`) === node.name) return `${prefix}${i}`
}

/** The error's tag, "none" if there is no error. */
export function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error) => error._tag ?? String(error),
  )
}

/** The members that a node counts as living. */
export function up(node: SimNode): ReadonlyArray<string> {
  return node
    .members()
    .filter(({ status }) => status === "up" || status === "suspect")
    .map(({ name }) => name)
}

/** Numbers below a bound, the same every time. */
export function chances(seed: number): (below: number) => number {
  let state = seed + 1
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % below
  }
}
