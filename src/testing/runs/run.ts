/**
 * One run of a plan: chaos with checks after everything that happens, then peace, in which what must
 * become true has to become true in time and stay so.
 *
 * @module
 */

import type { Faults } from "../faults/faults.ts"
import type { Stage } from "../faults/stage.ts"
import { type Noise, quiet } from "../world/network.ts"
import type { Trace } from "../world/trace.ts"
import type { World } from "../world/world.ts"
import { type Complaint, complain, seconds } from "./check.ts"
import * as Plan from "./plan.ts"
import { Pump } from "./pump.ts"

/** The cluster that a run drives: whole nodes, or cores alone. */
export interface Subject {
  readonly world: World
  readonly stage: Stage & { readonly network: Noisy }
  readonly faults: Faults
  /** Whether nothing of it is done in promises. */
  readonly synchronous: boolean
  /** Lets the cluster form; the pump makes time pass. */
  form(pump: Pump): Promise<void>
  /** Carries an operation out; a rejection of it is a complaint of the run. */
  operate(step: Plan.Step): void | Promise<void>
  /** Looks at what must always hold. */
  look(): Complaint | undefined
  /** What must hold in the end, by its name. */
  readonly eventually: ReadonlyMap<string, () => unknown>
  /** Why a failure in this run is none: what was asked for was impossible. */
  excuse(): string | undefined
  /** Which of the suite's `sometimes` were so. */
  reached(): ReadonlyMap<string, boolean>
  /** What is awaited, in words. */
  waiting(): string
  /** See {@link Pump}. */
  inside(inside: boolean): void
}

interface Noisy {
  noise: Noise
  overrides: ReturnType<typeof Plan.fates>
}

/** How long the end may take. Microseconds. */
export interface Bounds {
  readonly within: number
  readonly stable: number
}

/** What came of a run. */
export interface Outcome {
  readonly plan: Plan.Plan
  /** What went wrong; undefined when nothing did. */
  readonly complaint: Complaint | undefined
  /** Why that doesn't count. */
  readonly excuse: string | undefined
  /** When it went wrong or was over, in microseconds. */
  readonly at: number
  readonly hash: string
  readonly trace: Trace
  readonly reached: ReadonlyMap<string, boolean>
}

const PATIENCE_MICROS = 600_000_000
const LOOK_MICROS = 50_000

/** Runs a plan with a subject made for it. */
export async function run(plan: Plan.Plan, subject: Subject, bounds: Bounds): Promise<Outcome> {
  const { world, stage, synchronous } = subject
  let broken: Complaint | undefined
  const pump = new Pump({
    world,
    patienceMicros: PATIENCE_MICROS,
    synchronous,
    look: () => broken ?? subject.look(),
    waiting: () => subject.waiting(),
    inside: (inside) => subject.inside(inside),
  })
  const outcome = await pump.drive(async () => {
    await subject.form(pump)
    const start = world.now
    stage.network.noise = plan.noise
    stage.network.overrides = Plan.fates(plan)
    mark(world, "chaos")
    // Nothing of a plan happens once its time is over: that would break the peace.
    const { horizon } = plan
    plan.faults.forEach((fault, i) => {
      if (fault.at > horizon) return
      subject.faults.plan({ ...fault, at: start + fault.at }, i, plan.nodes)
    })
    for (const step of plan.steps)
      if (step.at <= horizon) schedule(subject, start, step, (error) => (broken ??= error))
    await pump.sleep(horizon)
    mark(world, "peace")
    settle(plan, subject)
    return await becomes(subject, pump, bounds)
  })
  const complaint =
    "complaint" in outcome
      ? outcome.complaint
      : "error" in outcome
        ? thrown("run", outcome.error)
        : outcome.value
  const { now: at, trace } = world
  if (complaint !== undefined) tell(world, complaint)
  return {
    plan,
    complaint,
    excuse: complaint === undefined ? undefined : subject.excuse(),
    at,
    hash: trace.hash,
    trace,
    reached: subject.reached(),
  }
}

function schedule(
  subject: Subject,
  start: number,
  step: Plan.Step,
  fail: (complaint: Complaint) => void,
): void {
  const { world } = subject
  world.at(start + step.at, () => {
    world.cause = undefined
    const failed = (error: unknown): void => fail(thrown(step.operation, error))
    try {
      subject.operate(step)?.catch(failed)
    } catch (error) {
      failed(error)
    }
  })
}

/** Everything is mended, but for those who don't survive: they are gone for good. */
function settle(plan: Plan.Plan, { stage, faults }: Subject): void {
  const { network } = stage
  network.noise = quiet
  network.overrides = new Map()
  const { survivors } = plan
  if (survivors !== undefined)
    for (const host of network.hosts)
      if (!survivors.some((node) => node % plan.nodes === host.index)) stage.down(host, "machine")
  faults.end()
  for (const host of network.hosts) {
    const gone = survivors !== undefined && !survivors.some((n) => n % plan.nodes === host.index)
    if (gone) stage.down(host, "machine")
    else if (!host.running && host.index < plan.nodes) stage.up(host, false)
  }
}

/** Waits until all that must come true is true, and stays so for a while. */
async function becomes(
  subject: Subject,
  pump: Pump,
  { within, stable }: Bounds,
): Promise<Complaint | undefined> {
  const { world } = subject
  const deadline = world.now + within
  let since: number | undefined
  for (;;) {
    const missing = first(subject.eventually)
    if (missing === undefined) {
      since ??= world.now
      if (world.now - since >= stable) return undefined
    } else {
      since = undefined
      if (world.now >= deadline) {
        const message = `not within ${seconds(within / 1_000)} of peace: ${missing.message}`
        return { check: missing.check, message }
      }
    }
    pump.touch()
    await pump.sleep(LOOK_MICROS)
  }
}

function first(claims: ReadonlyMap<string, () => unknown>): Complaint | undefined {
  for (const [check, claim] of claims) {
    const message = complain(claim())
    if (message !== undefined) return { check, message }
  }
  return undefined
}

function mark(world: World, what: string): void {
  world.cause = undefined
  world.trace.mixText(what)
  world.record(() => ({ kind: "phase", what }))
}

function tell(world: World, { check: name, message }: Complaint): void {
  const nodes = world.names.flatMap((host, i) =>
    new RegExp(`(^|[^\\w])${host}($|[^\\w])`).test(message) ? [i] : [],
  )
  world.record(() => ({ kind: "check", name, message, nodes }))
}

function thrown(check: string, error: unknown): Complaint {
  const own = error as { readonly check?: unknown; readonly message?: unknown }
  const message = error instanceof Error ? error.message : String(error)
  return { check: typeof own.check === "string" ? own.check : check, message }
}
