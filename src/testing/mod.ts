/**
 * Test your own distributed code: whole nodes of Skein under virtual time, with partitions, crashes, slow links
 * and bad clocks, from a seed. The same run takes milliseconds, and is the same every time and everywhere.
 *
 * @example
 * ```ts
 * import { Process } from "skein"
 * import { simulate } from "skein/testing"
 *
 * const Counter = Process.define("Counter", {
 *   state: () => ({ n: 0 }),
 *   calls: { add: (self, by: number) => (self.state.n += by) },
 *   handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
 * })
 *
 * await simulate({ nodes: 5, seed: 42, processes: [Counter] }, async (sim) => {
 *   const [a, b] = sim.nodes
 *   const counter = await a!.start(Counter, "x")
 *   await sim.advance("1 second")
 *   sim.partition([a!, b!]) // from the other three
 *   await counter.add(1)
 *   await sim.advance("30 seconds")
 *   sim.heal()
 *   await sim.converged()
 *   if (sim.owners(Counter, "x").length !== 1) throw new Error("two owners")
 * })
 * ```
 *
 * @module
 */

export type { Runner } from "./conformance/runner.ts"
export type { Maker, Subject } from "./conformance/side.ts"
export { conformance } from "./conformance/suite.ts"
export { type Core, Cores, type CoresOptions } from "./cores/cores.ts"
export { type Machine, Machines, type MachinesOptions, membership } from "./cores/machine.ts"
export type { Fault, Kind, Span, Trouble } from "./faults/fault.ts"
export type { Ongoing } from "./faults/faults.ts"
export { type Mode as GuardMode, NondeterminismLeak } from "./nodes/guard.ts"
export type { SimClock, SimNode, Time } from "./nodes/node.ts"
export type { SimulatedOptions } from "./nodes/nodes.ts"
export type {
  LinkOptions,
  Sim,
  SimEvent,
  SimPacket,
  SimVerdict,
  State,
} from "./nodes/sim.ts"
export * as Plan from "./plans.ts"
export { type Claim, SimulationFailed } from "./runs/check.ts"
export type { Look, Operation, Scene, Specification, Turn } from "./runs/specification.ts"
export { type Simulated, type SimulateOptions, simulate } from "./simulate.ts"
export * as Simulation from "./simulation.ts"
