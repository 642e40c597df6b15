/**
 * What the tests of supervisors have in common: children, and clusters full of them.
 *
 * @module
 */
import { type AnyDefinition, type Node, Process, Supervisor } from "../../mod.ts"

type Self = Process.Self<{ n: number }>

const calls = {
  add: (self: Self, by: number): number => (self.state.n += by),
  where: (self: Self): string => self.node,
  crash: (): void => {
    throw new Error("on purpose")
  },
}

const casts = {
  set: (self: Self, n: number): void => {
    self.state.n = n
  },
}

/** A child that begins with `n`, 0 if that isn't given. */
export const Job: Process.Definition<
  "Job",
  { n: number },
  { n?: number } | undefined,
  typeof calls,
  typeof casts
> = Process.define("Job", { state: (init) => ({ n: init?.n ?? 0 }), calls, casts })

/** What is to become of a start. */
type How = "runs" | "ignores" | "throws"

/** A child that starts, or doesn't. */
export const Other: Process.Definition<"Other", { how: How }, How, { get: () => string }, object> =
  Process.define("Other", {
    state: (how: How) => {
      if (how === "throws") throw new Error("no state")
      return how === "ignores" ? Process.ignore : { how }
    },
    calls: { get: () => "other" },
  })

/** None of the supervisor's. */
export const Stranger: Process.Definition<"Stranger", object, undefined, object, object> =
  Process.define("Stranger", { state: () => ({}) })

/** A supervisor of the first two. */
export const Jobs: Supervisor.Definition<typeof Job | typeof Other> = Supervisor.define("jobs", {
  processes: [Job, Other],
})

/** Nodes of a cluster of three. */
export type Three = readonly [Node, Node, Node]

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
