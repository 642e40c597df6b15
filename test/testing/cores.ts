/**
 * What the tests of cores alone have in common: what a core said, and what messages came.
 *
 * @module
 */
import type { Core, Cores } from "../../src/testing/cores/cores.ts"

/** How many messages of these kinds have come since. */
export function count(cores: Cores, tags: ReadonlyArray<string>): () => number {
  let count = 0
  const before = cores.filter
  cores.filter = (to, from, letter) => {
    if (tags.includes(letter._tag)) count++
    return before?.(to, from, letter) ?? true
  }
  return () => count
}

/** Whether a core told of this, and of the node of this name if there is one. */
export function saw({ events }: Core, tag: string, name?: string): boolean {
  return events.some(
    ({ event }) =>
      event._tag === tag && (name === undefined || ("name" in event && event.name === name)),
  )
}
