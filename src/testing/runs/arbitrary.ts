/**
 * Random plans, through fast-check: swarm style, so that each plan has some kinds of faults only, and lots of
 * those. They shrink as plans do: see `candidates` in `shrink.ts`.
 *
 * @module
 */
import fc from "fast-check"
import { mix32 } from "../../core/hash.ts"
import type { Fault, Kind, Trouble } from "../faults/fault.ts"
import { micros } from "../nodes/node.ts"
import { type Noise, quiet } from "../world/network.ts"
import type { Plan, Step } from "./plan.ts"
import { candidates } from "./shrink.ts"
import type { Chaos } from "./specification.ts"

/** What plans can be made up for. */
export interface Planned extends Chaos {
  readonly operations: ReadonlyArray<string>
}

/** The kinds that can befall nodes which talk over streams. */
export const defaults: ReadonlyArray<Kind> = [
  ...(["partition", "isolate", "ring", "bridge", "oneway"] as const),
  ...(["loss", "delay", "slow", "clog", "swizzle", "reset", "halfOpen", "mtu", "queue"] as const),
  ...(["crash", "stop", "leave", "flap", "restart", "pause", "suspend", "throttle"] as const),
  ...(["skew", "drift", "step", "freeze", "join", "strand"] as const),
]

/** How many nodes there may be. */
export function sizes({ nodes = { min: 3, max: 5 } }: Chaos): { min: number; max: number } {
  return typeof nodes === "number" ? { min: nodes, max: nodes } : nodes
}

/** Plans for a simulation, for properties of your own. They shrink to smaller plans. */
export function arbitrary(simulation: Planned): fc.Arbitrary<Plan> {
  return new Plans(made(simulation), sizes(simulation).min)
}

/** The plans of a suite, by the number of the run. */
export function plans(simulation: Planned, seed: number): (run: number) => Plan {
  const inner = made(simulation)
  return (run) => {
    // Not signed: fast-check takes any int32, and the seed of a plan is a uint32.
    const [plan] = fc.sample(inner, { seed: mix32(seed >>> 0, run) | 0, numRuns: 1 })
    return plan as Plan
  }
}

class Plans extends fc.Arbitrary<Plan> {
  readonly #inner: fc.Arbitrary<Plan>
  readonly #sizeMin: number

  constructor(inner: fc.Arbitrary<Plan>, sizeMin: number) {
    super()
    this.#inner = inner
    this.#sizeMin = sizeMin
  }

  generate(random: fc.Random, bias: number | undefined): fc.Value<Plan> {
    return new fc.Value(this.#inner.generate(random, bias).value, undefined)
  }

  canShrinkWithoutContext(value: unknown): value is Plan {
    return (value as Partial<Plan> | undefined)?.v === 1
  }

  shrink(plan: Plan): fc.Stream<fc.Value<Plan>> {
    const smaller = [...candidates(plan, { sizeMin: this.#sizeMin, knobs: {} })]
    return fc.stream(smaller.map((value) => new fc.Value(value, undefined))[Symbol.iterator]())
  }
}

/** Times are multiples of this, so that they can be read. */
const UNIT_MICROS = 50_000

function made(simulation: Planned): fc.Arbitrary<Plan> {
  const { faults = defaults, faultsMax = 12, stepsMax = 30, operations, knobs = {} } = simulation
  const { min, max } = sizes(simulation)
  const horizon = micros(simulation.horizon ?? "30 seconds")
  const lengths = lengthsTo(micros(simulation.lengthMax ?? "20 seconds"))
  const kinds = fc.subarray([...faults], { minLength: Math.min(1, faults.length) })
  const chosen = Object.entries(knobs).map(([name, values]) => [
    name,
    fc.constantFrom(...(values.length > 0 ? values : [0])),
  ])
  return fc
    .record({
      seed: fc.nat({ max: 0xffff_ffff }),
      nodes: fc.integer({ min, max }),
      noise: noises,
      knobs: fc.record(Object.fromEntries(chosen) as Record<string, fc.Arbitrary<number>>),
      faults: kinds.chain((some) =>
        list(
          some.map((kind) => fault(kind, horizon, lengths)),
          faultsMax,
        ),
      ),
      steps: steps(operations, horizon, stepsMax),
      lost: fc.nat({ max: 0xffff }),
    })
    .map(({ lost, ...rest }) => {
      const downMax = simulation.downMax ?? Math.floor((rest.nodes - 1) / 2)
      const plan: Plan = {
        v: 1,
        horizon,
        overrides: [],
        ...rest,
        faults: bearable(rest.faults, rest.nodes, downMax),
      }
      return simulation.losses ? bereft(plan, lost) : plan
    })
}

function list<A>(
  from: ReadonlyArray<fc.Arbitrary<A>>,
  maxLength: number,
): fc.Arbitrary<ReadonlyArray<A>> {
  return from.length === 0
    ? fc.constant([])
    : fc.array(fc.oneof(...from), { maxLength, size: "max" })
}

function steps(
  operations: ReadonlyArray<string>,
  horizon: number,
  maxLength: number,
): fc.Arbitrary<ReadonlyArray<Step>> {
  if (operations.length === 0) return fc.constant([])
  const step = fc.record({
    at: moment(horizon),
    node: fc.nat({ max: 99 }),
    operation: fc.constantFrom(...operations),
    n: fc.nat({ max: 999 }),
  })
  return fc.array(step, { maxLength, size: "max" })
}

const noises: fc.Arbitrary<Noise> = fc.record({
  latencyMicros: fc.constantFrom<Noise["latencyMicros"]>(
    quiet.latencyMicros,
    [1_000, 20_000],
    [100, 150_000],
  ),
  lossPpm: fc.constantFrom(0, 0, 10_000, 100_000),
  dropPpm: fc.constant(0),
  duplicatePpm: fc.constant(0),
})

function moment(horizon: number): fc.Arbitrary<number> {
  return fc.nat({ max: Math.floor(horizon / UNIT_MICROS) }).map((units) => units * UNIT_MICROS)
}

/** Short and long: shorter than detection, about as long, and much longer. */
function lengthsTo(max: number): fc.Arbitrary<number> {
  const units = [1_000_000, 6_000_000, max].map((most) => Math.min(most, max) / UNIT_MICROS)
  return fc
    .oneof(...units.map((most) => fc.nat({ max: Math.floor(most) })))
    .map((length) => length * UNIT_MICROS)
}

function fault(kind: Kind, horizon: number, lengths: fc.Arbitrary<number>): fc.Arbitrary<Fault> {
  return fc
    .record({ at: moment(horizon), for: lengths, trouble: trouble(kind) })
    .map(({ at, for: length, trouble }) => ({ at, for: length, ...trouble }))
}

const node: fc.Arbitrary<number> = fc.nat({ max: 99 })
const pair: fc.Arbitrary<readonly [number, number]> = fc.tuple(node, fc.nat({ max: 97 })).map(
  // Never the same node twice, whatever the size is.
  ([a, b]) => [a, a + 1 + b] as const,
)

function trouble(kind: Kind): fc.Arbitrary<Trouble> {
  switch (kind) {
    case "partition":
      return fc
        .array(node, { minLength: 1, maxLength: 4 })
        .map((group) => ({ kind, groups: [group] }))
    case "ring":
    case "join":
      return fc.constant({ kind })
    case "oneway":
      return pair.map(([from, to]) => ({ kind, from, to }))
    case "loss":
    case "drop":
    case "duplicate":
    case "corrupt":
      return fc
        .record({
          link: fc.option(pair, { nil: undefined }),
          ppm: fc.constantFrom(10_000, 100_000, 300_000),
        })
        .map((rest) => ({ kind, ...rest }))
    case "delay":
      return fc
        .record({
          link: fc.option(pair, { nil: undefined }),
          micros: fc.constantFrom(50_000, 300_000, 1_500_000),
        })
        .map((rest) => ({ kind, ...rest }))
    case "clog":
    case "reset":
    case "halfOpen":
      return pair.map((link) => ({ kind, link }))
    case "swizzle":
      return fc.array(node, { minLength: 1, maxLength: 4 }).map((nodes) => ({ kind, nodes }))
    case "mtu":
      return fc.constantFrom(1, 7, 64, 536).map((bytes) => ({ kind, bytes }))
    case "queue":
      return fc.constantFrom(1, 256, 4_096).map((bytes) => ({ kind, bytes }))
    default:
      return ofNode(kind)
  }
}

/** The faults that are about one node. */
type OfNode = Extract<Trouble, { readonly node: number }>

function ofNode(kind: OfNode["kind"]): fc.Arbitrary<Trouble> {
  switch (kind) {
    case "crash":
      return fc.record({ node, machine: fc.boolean() }).map((rest) => ({ kind, ...rest }))
    case "restart":
      return fc
        .record({ node, stale: fc.constantFrom(false, false, false, true) })
        .map((rest) => ({ kind, ...rest }))
    case "flap":
      return fc.record({ node, times: fc.integer({ min: 1, max: 5 }) }).map((rest) => ({
        kind,
        ...rest,
      }))
    case "slow":
      return fc.record({ node, factor: fc.constantFrom(2, 10, 100) }).map((rest) => ({
        kind,
        ...rest,
      }))
    case "throttle":
      return timed(kind, [1_000_000, 60_000_000])
    case "skew":
    case "step":
      return timed(kind, [-3_600_000_000, -1_000_000, 1_000_000, 3_600_000_000])
    case "drift":
      return fc
        .record({ node, ppm: fc.constantFrom(-50_000, -500, 500, 50_000) })
        .map((rest) => ({ kind, ...rest }))
    default:
      return node.map((node) => ({ kind, node }))
  }
}

function timed(
  kind: "throttle" | "skew" | "step",
  lengths: ReadonlyArray<number>,
): fc.Arbitrary<Trouble> {
  return fc.record({ node, micros: fc.constantFrom(...lengths) }).map((rest) => ({ kind, ...rest }))
}

// --- what a plan may ask for ---------------------------------------------------------------------

const downs: ReadonlySet<Kind> = new Set<Kind>(["crash", "stop", "leave", "flap", "restart"])
/** A node that was down is no full member again at once. */
const RECOVERY_MICROS = 10_000_000

/** Leaves out what would have more nodes down at a time than is bearable. */
function bearable(
  faults: ReadonlyArray<Fault>,
  size: number,
  downMax: number,
): ReadonlyArray<Fault> {
  const sorted = [...faults].sort((a, b) => a.at - b.at)
  const down: Array<{ readonly node: number; readonly until: number }> = []
  return sorted.filter((fault) => {
    if (!downs.has(fault.kind) || !("node" in fault)) return true
    const node = fault.node % size
    const others = new Set(
      down.filter((other) => other.until > fault.at && other.node !== node).map((o) => o.node),
    )
    if (others.size >= downMax) return false
    down.push({ node, until: fault.at + fault.for + RECOVERY_MICROS })
    return true
  })
}

/**
 * In one plan of four, less than half of the nodes are gone for ever in the end; not where others have just
 * been down: what both hands held is gone when both are.
 */
function bereft(plan: Plan, lot: number): Plan {
  const lostMax = Math.floor((plan.nodes - 1) / 2)
  const down = ({ kind, at, for: length }: Fault): boolean =>
    downs.has(kind) && at + length + RECOVERY_MICROS > plan.horizon
  if (lot % 4 !== 0 || lostMax < 1 || plan.faults.some(down)) return plan
  const lost = 1 + ((lot >> 2) % lostMax)
  const first = (lot >> 6) % plan.nodes
  const all = Array.from({ length: plan.nodes }, (_, i) => i)
  const survivors = all.filter((i) => (i - first + plan.nodes) % plan.nodes >= lost)
  return { ...plan, survivors }
}
