/**
 * What the tests of suites and of single runs have in common: a suite that is done fast, and what runs in it.
 *
 * @module
 */
import * as Process from "../../src/runtime/process.ts"
import type { Specification } from "../../src/testing/runs/specification.ts"

/** In microseconds. */
export const SECOND = 1_000_000

interface Count {
  n: number
}
type Self = Process.Self<Count>

const calls = {
  add: (self: Self, by: number): number => (self.state.n += by),
  fail: (): void => {
    throw new Error("mine")
  },
  chance: (self: Self): number => (self.state.n += Math.random()),
  time: (): number => Date.now(),
}

/** It counts, and does what a process should not. */
export const Counter: Process.Definition<"Counter", Count, undefined, typeof calls, object> =
  Process.define("Counter", {
    state: (): Count => ({ n: 0 }),
    calls,
    handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
  })

type Adding = Pick<typeof calls, "add">

/** It loses its state when it moves. */
export const Leaky: Process.Definition<"Leaky", Count, undefined, Adding, object> = Process.define(
  "Leaky",
  {
    state: (): Count => ({ n: 0 }),
    calls: { add: calls.add },
    handoff: { capture: () => ({ n: 0 }) },
  },
)

/** What a run has added. */
export interface Model {
  added: number
}

/** A suite that is done fast. */
export const short: Specification<Model> = {
  name: "short",
  nodes: 3,
  horizon: "5 seconds",
  faultsMax: 5,
  stepsMax: 6,
  model: () => ({ added: 0 }),
  processes: [Counter, Leaky],
}

/** The operation that adds, for {@link short}. */
export const add: NonNullable<typeof short.operations> = {
  add: async ({ node, model, n }) => {
    const counter = await node.start(Counter, `${n % 2}`)
    await counter.add(1)
    model.added++
  },
}
