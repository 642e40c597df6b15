/**
 * What the tests of supervisors have in common.
 *
 * @module
 */
import type { AnyDefinition, Node, Supervisor } from "../../mod.ts"

/** So many keys. */
export function keys(count: number): ReadonlyArray<string> {
  return Array.from({ length: count }, (_, i) => `k${i}`)
}

/**
 * Starts one process of a supervisor's first definition for each of these keys at the same time, from all
 * nodes in turn; where each runs.
 */
export async function fill(
  nodes: ReadonlyArray<Node>,
  supervisor: Supervisor.AnyDefinition,
  count: number,
): Promise<ReadonlyArray<string>> {
  const definition = supervisor.spec.processes[0] as AnyDefinition
  const results = await Promise.all(
    keys(count).map((key, i) =>
      (nodes[i % nodes.length] as Node)
        .supervisor(supervisor)
        .start(definition, key, undefined as never),
    ),
  )
  return results.map((result) => (result._tag === "Started" ? result.node : result._tag))
}

/** How often each occurs. */
export function tally(texts: ReadonlyArray<string>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}

/** Waits until all these nodes count so many children. */
export async function counted(
  nodes: ReadonlyArray<Node>,
  supervisor: Supervisor.AnyDefinition,
  total: number,
): Promise<void> {
  for (const node of nodes) {
    const handle = node.supervisor(supervisor)
    await eventually(() => handle.counts().total === total)
  }
}

/** Waits for what comes with the next frames. */
export async function eventually(met: () => boolean): Promise<void> {
  while (!met()) await new Promise((resolve) => setImmediate(resolve))
}
