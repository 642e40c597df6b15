/**
 * Property-style simulations: many random plans, each run and checked; the first that fails is shrunk to
 * what matters, written down, and drawn.
 *
 * @module
 */

import { real } from "./nodes/guard.ts"
import { micros } from "./nodes/node.ts"
import * as Watch from "./nodes/watch.ts"
import * as Whole from "./nodes/whole.ts"
import * as Arbitrary from "./runs/arbitrary.ts"
import type { Complaint } from "./runs/check.ts"
import * as Files from "./runs/files.ts"
import type { Plan } from "./runs/plan.ts"
import * as Plans from "./runs/plan.ts"
import * as Report from "./runs/report.ts"
import { type Bounds, run as drive, type Outcome, type Subject } from "./runs/run.ts"
import * as Shrink from "./runs/shrink.ts"
import type { Chaos, Specification } from "./runs/specification.ts"
import { difference } from "./world/trace.ts"

/** A simulation that can be run by plan. */
export interface Simulation extends Chaos {
  readonly name: string
  readonly bounds: Bounds
  /** The names of its operations. */
  readonly operations: ReadonlyArray<string>
  /** What a whole suite must have seen. */
  readonly sometimes: ReadonlyArray<string>
  /** Runs `body` with a fresh cluster for this plan; `keep`: with all events. */
  readonly with: <A>(
    plan: Plan,
    keep: boolean,
    body: (subject: Subject) => Promise<A>,
  ) => Promise<A>
}

/** A simulation of whole nodes. */
export function make<M = undefined>(spec: Specification<M>): Simulation {
  return {
    ...spec,
    bounds: boundsOf(spec),
    operations: Object.keys(spec.operations ?? {}),
    sometimes: Object.keys(spec.sometimes ?? {}),
    with: async (plan, keep, body) => {
      const watch = Watch.begin(spec.guard ?? "throw")
      try {
        return await body(Whole.subject(spec, plan, keep, watch))
      } finally {
        watch.end()
      }
    },
  }
}

/** The bounds of a specification, with their defaults. */
export function boundsOf({
  within,
  stable,
}: Pick<Specification<never>, "within" | "stable">): Bounds {
  return { within: micros(within ?? "60 seconds"), stable: micros(stable ?? "2 seconds") }
}

/** Runs one plan. `keep`: with all events in the trace. */
export function run(simulation: Simulation, plan: Plan, keep: boolean = false): Promise<Outcome> {
  return simulation.with(plan, keep, (subject) => drive(plan, subject, simulation.bounds))
}

/** How a suite is run. */
export interface CheckOptions {
  /** How many plans. Default 100. */
  readonly runs?: number
  /** What the plans are drawn from: the same seed gives the same plans. Default 1. */
  readonly seed?: number
  /** The share of runs that is done twice, to see that they are the same. Default 0.02. */
  readonly verify?: number
  /** Seconds and runs that shrinking may take. Default 10 and 2,000. */
  readonly shrink?: Partial<Shrink.Budget>
  /** Where failing plans and diagrams are written; false for nowhere. Default `.sim`. */
  readonly directory?: string | false
  /** Told after each run, for progress. */
  readonly progress?: (done: number, outcome: Outcome) => void
}

/** What a suite has seen. */
export interface Checked {
  readonly runs: number
  /** Runs that failed with an excuse. */
  readonly excused: number
  /** How often each of the `sometimes` was so. */
  readonly reached: ReadonlyMap<string, number>
  readonly events: number
  /** Simulated seconds, all runs together. */
  readonly seconds: number
}

/** A run that failed: what went wrong, and how to see it again. */
export class RunFailed extends Error {
  readonly _tag: "RunFailed" = "RunFailed"
  readonly check: string
  /** The smallest plan that fails in the same way. */
  readonly plan: Plan
  /** Where it is written; undefined when it isn't. */
  readonly file: string | undefined
  constructor(message: string, check: string, plan: Plan, file: string | undefined) {
    super(message)
    this.name = "RunFailed"
    this.check = check
    this.plan = plan
    this.file = file
  }
}

/** More of the runs than this may fail with an excuse: then the suite shows too little. */
const EXCUSED_MAX = 0.01
/** Suites of so many runs must have seen each of their `sometimes`. */
const SOMETIMES_RUNS_MIN = 100

/**
 * Runs many random plans. Rejects with RunFailed at the first that fails, its plan shrunk; with an Error
 * when the suite shows nothing: a `sometimes` was never so, or too many runs were excused, or one run
 * wasn't the same when it was done again.
 *
 * With the environment variable `SKEIN_REPLAY` set to a plan's file, that plan alone is run; with
 * `SKEIN_RUNS` and `SKEIN_SEED` set, so many runs from that seed.
 */
export async function check(simulation: Simulation, options: CheckOptions = {}): Promise<Checked> {
  const replayed = Files.environment("SKEIN_REPLAY")
  if (replayed?.includes(`${simulation.name}-`)) return await again(simulation, replayed, options)
  const runs = Number(Files.environment("SKEIN_RUNS") || (options.runs ?? 100))
  const seed = Number(Files.environment("SKEIN_SEED") || (options.seed ?? 1))
  if (!(runs >= 1)) throw new RangeError(`${simulation.name}: ${runs} runs show nothing`)
  if (!Number.isInteger(seed)) throw new RangeError(`${simulation.name}: ${seed} is no seed`)
  const plans = Arbitrary.plans(simulation, seed)
  const reached = new Map(simulation.sometimes.map((name) => [name, 0]))
  const total = { excused: 0, events: 0, micros: 0 }
  const twice = Math.ceil(1 / Math.max(options.verify ?? 0.02, 1e-9))
  for (let i = 0; i < runs; i++) {
    const plan = plans(i)
    const outcome = await run(simulation, plan)
    total.events += outcome.trace.count
    total.micros += outcome.at
    for (const [name, was] of outcome.reached)
      if (was) reached.set(name, (reached.get(name) ?? 0) + 1)
    if (outcome.excuse !== undefined) total.excused++
    else if (outcome.complaint !== undefined)
      throw await failed(simulation, outcome, { number: i + 1, runs, seed }, options)
    if (i % twice === 0) await same(simulation, outcome)
    options.progress?.(i + 1, outcome)
  }
  const wrong = vacuous(runs, total.excused, reached)
  if (wrong !== undefined) throw new Error(`${simulation.name}: ${wrong}`)
  const { excused, events } = total
  return { runs, excused, reached, events, seconds: total.micros / 1e6 }
}

function vacuous(
  runs: number,
  excused: number,
  reached: ReadonlyMap<string, number>,
): string | undefined {
  if (excused > Math.max(1, runs * EXCUSED_MAX))
    return `${excused} of ${runs} runs were excused: the suite shows too little`
  const never = [...reached].filter(([, count]) => count === 0).map(([name]) => name)
  if (runs < SOMETIMES_RUNS_MIN || never.length === 0) return undefined
  return `in ${runs} runs it never was so that: ${never.join(", ")}`
}

/** Runs a plan that is known, a regression perhaps. Rejects with RunFailed when it fails. */
export async function replay(
  simulation: Simulation,
  plan: Plan | string,
  options: Pick<CheckOptions, "directory"> = {},
): Promise<Outcome> {
  const parsed = typeof plan === "string" ? Plans.parse(plan) : plan
  const outcome = await run(simulation, parsed)
  if (outcome.complaint === undefined || outcome.excuse !== undefined) return outcome
  throw await told(simulation, outcome.plan, outcome.complaint, {}, options)
}

async function again(
  simulation: Simulation,
  file: string,
  options: CheckOptions,
): Promise<Checked> {
  const outcome = await replay(simulation, Files.read(file), options)
  const reached = new Map([...outcome.reached].map(([name, was]) => [name, was ? 1 : 0]))
  const { count: events } = outcome.trace
  return { runs: 1, excused: 0, reached, events, seconds: outcome.at / 1e6 }
}

/** Runs it once more, event by event the same. */
async function same(simulation: Simulation, { plan, hash }: Outcome): Promise<void> {
  const other = await run(simulation, plan)
  if (other.hash === hash) return
  const [one, two] = [await run(simulation, plan, true), await run(simulation, plan, true)]
  const where = difference(one.trace, two.trace) ?? `${hash} and then ${other.hash}`
  throw new Error(`${simulation.name}: the same plan gave two different runs. ${where}`)
}

interface Which {
  readonly number?: number
  readonly runs?: number
  readonly seed?: number
}

/** Shrinks a plan that failed, and tells of it. */
async function failed(
  simulation: Simulation,
  outcome: Outcome,
  which: Which,
  options: CheckOptions,
): Promise<RunFailed> {
  const shrunk = await Shrink.shrink(outcome, {
    names: outcome.trace.header.nodes,
    run: (plan) => run(simulation, plan),
    decided: (plan) =>
      simulation.with(plan, false, async (subject) => {
        const decided: Array<Plan["overrides"][number]> = []
        Object.assign(subject.stage.network, { decided })
        await drive(plan, subject, simulation.bounds)
        return decided
      }),
    sizeMin: Arbitrary.sizes(simulation).min,
    knobs: simulation.knobs ?? {},
    budget: { ...Shrink.budget, ...options.shrink },
    now: real.now,
  })
  return await told(simulation, shrunk.plan, shrunk.complaint, { ...which, shrunk }, options)
}

/** Runs it with all events, writes plan and picture, and puts the message together. */
async function told(
  simulation: Simulation,
  plan: Plan,
  complaint: Complaint,
  about: Which & { readonly shrunk?: Shrink.Shrunk },
  options: Pick<CheckOptions, "directory">,
): Promise<RunFailed> {
  const { trace, at } = await run(simulation, plan, true)
  const files = Files.write(options.directory ?? ".sim", `${simulation.name}-${Plans.hash(plan)}`, {
    json: () => Plans.print(plan),
    html: (replay) => Report.picture(trace, plan, complaint, replay),
    txt: () => Report.story(trace),
  })
  const message = Report.message({ complaint, at, plan, trace, files, ...about })
  return new RunFailed(message, complaint.check, plan, files?.json)
}
