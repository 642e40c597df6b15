/**
 * Where processes and the children of supervisors live: what the tests of placement and of supervisors have in
 * common.
 *
 * @module
 */
import assert from "node:assert/strict"
import { type AnyDefinition, Process, type Supervisor } from "skein"
import type { Sim, SimNode } from "skein/testing"
import { keys } from "./shared.ts"

type Self = Process.Self<{ n: number }>

const calls = {
  get: (self: Self): number => self.state.n,
  add: (self: Self, by: number): number => (self.state.n += by),
  quit: (self: Self): void => self.stop(),
  crash: (): void => {
    throw new Error("on purpose")
  },
}

/** It begins with `start`, 0 if that isn't given. What two of them have is added up when they become one. */
export const Counter: Process.Definition<
  "Counter",
  { n: number },
  { start?: number } | undefined,
  typeof calls,
  Record<never, never>
> = Process.define("Counter", {
  state: (init) => ({ n: init?.start ?? 0 }),
  calls,
  handoff: { merge: (mine, theirs) => ({ n: mine.n + theirs.n }) },
})

/** What becomes of a process of each type: after a normal exit, a crash, and the end of its node. */
export const after = {
  temporary: { quit: "gone", crash: "gone", node: "gone" },
  transient: { quit: "gone", crash: "anew", node: "anew" },
  permanent: { quit: "anew", crash: "anew", node: "anew" },
} as const

/** Whether each node counts none as living but those on its side of a cut into so many equal sides. */
export function apart(sim: Sim, sides = 2): boolean {
  return sim.nodes.every((node) => {
    const up = node.members().filter(({ status }) => status !== "down" && status !== "left")
    return up.length === sim.nodes.length / sides
  })
}

/** The sum of all. */
export function sum(numbers: ReadonlyArray<number>): number {
  return numbers.reduce((a, b) => a + b, 0)
}

/** Starts so many of a supervisor's first definition, from all nodes in turn. */
export async function fill(
  sim: Sim,
  supervisor: Supervisor.AnyDefinition,
  count: number,
): Promise<void> {
  const definition = supervisor.spec.processes[0] as typeof Counter
  await Promise.all(
    keys(count).map(async (key, i) => {
      const node = sim.nodes[i % sim.nodes.length] as SimNode
      const result = await node.supervisor(supervisor).start(definition, key, { start: i })
      assert.equal(result._tag, "Started")
    }),
  )
  await sim.converged()
}

/** The running nodes where this child lives, as it is and not as anybody believes. */
export function owners(
  sim: Sim,
  supervisor: Supervisor.AnyDefinition,
  key: string,
): ReadonlyArray<string> {
  const definition = supervisor.spec.processes[0] as AnyDefinition
  // What is asked for by its definition's name and its key lies under just these.
  return sim.owners({ ...definition, name: `${supervisor.name}:${definition.name}` }, key)
}

/** How many children each node says that it has. */
export function shares(sim: Sim, supervisor: Supervisor.AnyDefinition): ReadonlyArray<number> {
  return sim.nodes.map((node) => (node.running ? node.supervisor(supervisor).counts().local : 0))
}

/** Every child has one owner, where everybody finds it, and is listed and counted once by everybody. */
export function once(sim: Sim, supervisor: Supervisor.AnyDefinition, count: number): void {
  const definition = supervisor.spec.processes[0] as AnyDefinition
  const handles = sim.nodes
    .filter((node) => node.running)
    .map((node) => node.supervisor(supervisor))
  for (const key of keys(count)) {
    const home = handles[0]?.nodeFor(definition, key)
    assert.deepEqual(owners(sim, supervisor, key), [home])
    for (const handle of handles) assert.equal(handle.whereis(definition, key)?.node, home)
  }
  for (const handle of handles) {
    assert.equal(handle.counts().total, count)
    assert.equal(sum([...handle.counts().byNode.values()]), count)
    assert.equal(handle.children().length, count)
  }
}
