/**
 * A plan: everything that a run of a simulation depends on, as one JSON value. The same plan and the same
 * code give the same run.
 *
 * @module
 */
import { hash32 } from "../../core/hash.ts"
import { describe, type Fault, momentary } from "../faults/fault.ts"
import { keyOf, type Noise, type Override, quiet } from "../world/network.ts"

/** One operation of the workload. */
export interface Step {
  /** When, in microseconds. */
  readonly at: number
  /** At which node: an index, modulo the number of nodes. */
  readonly node: number
  /** The name of the operation. */
  readonly operation: string
  /** What the operation may choose by. */
  readonly n: number
}

/** A run, before it is run. Times are microseconds. */
export interface Plan {
  readonly v: 1
  /** A uint32 that feeds the chances. */
  readonly seed: number
  readonly nodes: number
  /** How long faults and operations go on; after it everything is mended. */
  readonly horizon: number
  readonly noise: Noise
  /** Values that the simulation's options are chosen by. */
  readonly knobs: Readonly<Record<string, number>>
  readonly faults: ReadonlyArray<Fault>
  readonly steps: ReadonlyArray<Step>
  /** Fates of packets that noise had decided, once there is no noise any more. */
  readonly overrides: ReadonlyArray<Override>
  /** The nodes that are mended in the end; the others are gone for ever then. Default: all. */
  readonly survivors?: ReadonlyArray<number> | undefined
}

/** A plan in which nothing happens. */
export function calm(seed: number, nodes: number, horizon: number): Plan {
  return {
    v: 1,
    seed,
    nodes,
    horizon,
    noise: quiet,
    knobs: {},
    faults: [],
    steps: [],
    overrides: [],
  }
}

/** The plan as JSON, the same for equal plans. */
export function print(plan: Plan): string {
  return `${JSON.stringify(sorted(plan), null, 1)}\n`
}

/**
 * The plan that a text holds.
 *
 * @throws Error when it is none
 */
export function parse(text: string): Plan {
  const plan: unknown = JSON.parse(text)
  const wrong = problem(plan)
  if (wrong !== undefined) throw new Error(`not a plan: ${wrong}`)
  return plan as Plan
}

/** 8 hex digits of the plan. */
export function hash(plan: Plan): string {
  return hash32(print(plan)).toString(16).padStart(8, "0")
}

/** Overrides as networks want them. */
export function fates(plan: Plan): ReadonlyMap<string, Override["fate"]> {
  return new Map(plan.overrides.map((override) => [keyOf(override), override.fate]))
}

/** What happens in the plan, a line each. */
export function lines(plan: Plan, names: ReadonlyArray<string>): ReadonlyArray<string> {
  const seconds = (micros: number): string => `${(micros / 1e6).toFixed(3)} s`
  const list = plan.faults.map((fault) => {
    const span = momentary(fault.kind)
      ? seconds(fault.at)
      : `${seconds(fault.at)} .. ${seconds(fault.at + fault.for)}`
    return { at: fault.at, line: `${describe(fault, names).padEnd(40)} ${span}` }
  })
  for (const { at, node, operation, n } of plan.steps) {
    const name = names[node % names.length] ?? "?"
    list.push({ at, line: `${`${name}: ${operation}(${n})`.padEnd(40)} ${seconds(at)}` })
  }
  list.sort((a, b) => a.at - b.at)
  for (const { from, to, n, fate } of plan.overrides) {
    const late = typeof fate === "object" ? `late by ${fate.lateMicros / 1_000} ms` : fate
    list.push({ at: 0, line: `packet ${n} from ${names[from]} to ${names[to]}: ${late}` })
  }
  return list.map(({ line }) => line)
}

function problem(plan: unknown): string | undefined {
  if (typeof plan !== "object" || plan === null) return "it is no object"
  const { v, seed, nodes, horizon, noise, knobs, faults, steps, overrides } = plan as Partial<Plan>
  if (v !== 1) return `its version is ${String(v)}, this is 1`
  for (const [name, value] of Object.entries({ seed, nodes, horizon }))
    if (!Number.isInteger(value) || (value as number) < 0) return `${name} is ${String(value)}`
  if (nodes === 0) return "it has no nodes"
  for (const [name, value] of Object.entries({ noise, knobs }))
    if (typeof value !== "object" || value === null) return `it has no ${name}`
  for (const [name, list] of Object.entries({ faults, steps, overrides }))
    if (!Array.isArray(list)) return `${name} is no list`
  return undefined
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).filter(([, part]) => part !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, part]) => [key, sorted(part)]))
}
