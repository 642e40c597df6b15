/**
 * Making a failing plan smaller: first what the plan has (nodes, faults, operations, knobs, times), then its
 * noise is frozen into single fates and these are taken out as well. A smaller plan counts only when it
 * fails in the same way.
 *
 * Lists are shrunk by delta debugging (A. Zeller, R. Hildebrandt: Simplifying and isolating failure-inducing
 * input, 2002): chunks are taken out, halves first, then smaller ones.
 *
 * @module
 */

import { type Fault, momentary } from "../faults/fault.ts"
import { type Override, quiet } from "../world/network.ts"
import type { Complaint } from "./check.ts"
import type { Plan } from "./plan.ts"
import type { Outcome } from "./run.ts"

/** How much shrinking may take. */
export interface Budget {
  readonly seconds: number
  readonly runs: number
}

/** The default budget. */
export const budget: Budget = { seconds: 10, runs: 2_000 }

/** What shrinking needs. */
export interface Shrinker {
  readonly names: ReadonlyArray<string>
  readonly run: (plan: Plan) => Promise<Outcome>
  /** The fates that the plan's noise decides in a run. */
  readonly decided: (plan: Plan) => Promise<ReadonlyArray<Override>>
  readonly sizeMin: number
  readonly knobs: Readonly<Record<string, ReadonlyArray<number>>>
  readonly budget: Budget
  /** Real milliseconds. */
  readonly now: () => number
}

/** What came of shrinking. */
export interface Shrunk {
  readonly plan: Plan
  readonly complaint: Complaint
  readonly faultsBefore: number
  readonly eventsBefore: number
  readonly events: number
  readonly runs: number
  readonly seconds: number
  /** Whether the budget was used up before it was done. */
  readonly exhausted: boolean
  /** Other failures that were met on the way, by their signature. */
  readonly others: ReadonlySet<string>
}

/** The smallest plan found that fails as this one did. */
export async function shrink(failed: Outcome, shrinker: Shrinker): Promise<Shrunk> {
  const { names, sizeMin, knobs, now } = shrinker
  const wanted = signature(failed.complaint as Complaint, names)
  const start = now()
  const others = new Set<string>()
  let best = failed
  let runs = 0
  const spent = (): boolean =>
    runs >= shrinker.budget.runs || now() - start >= shrinker.budget.seconds * 1_000
  const fails = async (plan: Plan): Promise<boolean> => {
    runs++
    const outcome = await shrinker.run(plan)
    if (outcome.complaint === undefined || outcome.excuse !== undefined) return false
    const found = signature(outcome.complaint, names)
    if (found !== wanted) {
      others.add(found)
      return false
    }
    best = outcome
    return true
  }
  const descend = async (): Promise<void> => {
    let smaller = true
    while (smaller && !spent()) {
      smaller = false
      for (const plan of candidates(best.plan, { sizeMin, knobs })) {
        if (spent()) break
        if (!(await fails(plan))) continue
        smaller = true
        break
      }
    }
  }
  await descend()
  if (noisy(best.plan) && !spent()) {
    const overrides = [...best.plan.overrides, ...(await shrinker.decided(best.plan))]
    if (await fails({ ...best.plan, noise: { ...best.plan.noise, ...still }, overrides }))
      await descend()
  }
  return {
    plan: best.plan,
    complaint: best.complaint as Complaint,
    faultsBefore: failed.plan.faults.length,
    eventsBefore: failed.trace.count,
    events: best.trace.count,
    runs,
    seconds: (now() - start) / 1_000,
    exhausted: spent(),
    others,
  }
}

/** What makes two failures the same: the check, and its message without numbers and names of nodes. */
export function signature({ check, message }: Complaint, names: ReadonlyArray<string>): string {
  const blurred = (text: string): string => text.replaceAll(/\d+(\.\d+)?/g, "#")
  const nodes = new Set(names.map(blurred))
  const words = blurred(message).split(/([\w#-]+)/)
  return `${check}: ${words.map((word) => (nodes.has(word) ? "*" : word)).join("")}`
}

/** What plans may be shrunk to. */
export interface Smallest {
  readonly sizeMin: number
  readonly knobs: Readonly<Record<string, ReadonlyArray<number>>>
}

const still = { lossPpm: 0, dropPpm: 0, duplicatePpm: 0 } as const

function noisy({ noise }: Plan): boolean {
  return noise.lossPpm + noise.dropPpm + noise.duplicatePpm > 0
}

/** Plans that are smaller in one respect, the boldest first. */
export function* candidates(plan: Plan, smallest: Smallest): Generator<Plan> {
  if (noisy(plan)) yield { ...plan, noise: { ...plan.noise, ...still } }
  for (const faults of fewer(plan.faults)) yield { ...plan, faults }
  for (const steps of fewer(plan.steps)) yield { ...plan, steps }
  for (const overrides of fewer(plan.overrides)) yield { ...plan, overrides }
  if (plan.survivors !== undefined) yield { ...plan, survivors: undefined }
  for (let nodes = smallest.sizeMin; nodes < plan.nodes; nodes++) yield { ...plan, nodes }
  if (plan.noise.latencyMicros !== quiet.latencyMicros && changed(plan))
    yield { ...plan, noise: { ...plan.noise, latencyMicros: quiet.latencyMicros } }
  for (const [name, [first]] of Object.entries(smallest.knobs))
    if (first !== undefined && plan.knobs[name] !== undefined && plan.knobs[name] !== first)
      yield { ...plan, knobs: { ...plan.knobs, [name]: first } }
  yield* simpler(plan)
  yield* sooner(plan)
}

function changed({ noise }: Plan): boolean {
  return noise.latencyMicros.join() !== quiet.latencyMicros.join()
}

/** The list without some of its members: without all, halves, quarters … single ones. */
function* fewer<A>(list: ReadonlyArray<A>): Generator<ReadonlyArray<A>> {
  for (let size = list.length; size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < list.length; at += size) {
      yield [...list.slice(0, at), ...list.slice(at + size)]
    }
  }
}

/** Faults with less to them: shorter, with round times, without their extras. */
function* simpler(plan: Plan): Generator<Plan> {
  const replaced = (i: number, fault: Fault): Plan => ({
    ...plan,
    faults: plan.faults.with(i, fault),
  })
  for (const [i, fault] of plan.faults.entries()) {
    if (momentary(fault.kind) && fault.for > 0) yield replaced(i, { ...fault, for: 0 })
    if (fault.kind === "partition" && fault.groups.some((group) => group.length > 1)) {
      const groups = fault.groups.map((group) => group.slice(0, 1))
      yield replaced(i, { ...fault, groups })
    }
    if (fault.kind === "flap" && fault.times > 1) yield replaced(i, { ...fault, times: 1 })
    if (fault.kind === "restart" && fault.stale) yield replaced(i, { ...fault, stale: false })
    if (fault.kind === "crash" && fault.machine) yield replaced(i, { ...fault, machine: false })
    const round = Math.round(fault.for / 1_000_000) * 1_000_000
    if (!momentary(fault.kind) && round < fault.for) yield replaced(i, { ...fault, for: round })
    const half = Math.floor(fault.for / 2 / 50_000) * 50_000
    if (!momentary(fault.kind) && half < fault.for) yield replaced(i, { ...fault, for: half })
  }
}

/** Everything earlier, and the end soon after the last thing that happens. */
function* sooner(plan: Plan): Generator<Plan> {
  const times = [...plan.faults, ...plan.steps].map(({ at }) => at)
  const first = Math.min(...times)
  if (Number.isFinite(first) && first > 0) {
    yield {
      ...plan,
      horizon: Math.max(50_000, plan.horizon - first),
      faults: plan.faults.map((fault) => ({ ...fault, at: fault.at - first })),
      steps: plan.steps.map((step) => ({ ...step, at: step.at - first })),
    }
  }
  const ends = [
    ...plan.faults.map((fault) => fault.at + (momentary(fault.kind) ? 0 : fault.for)),
    ...plan.steps.map(({ at }) => at),
  ]
  const last = Math.max(0, ...ends)
  for (const horizon of [last + 1_000_000, last + 10_000_000])
    if (horizon < plan.horizon) yield { ...plan, horizon }
}
