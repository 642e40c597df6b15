/**
 * The simulator: how much faster than the real world it is, with whole nodes and with cores alone.
 *
 * @module
 */
import { type Definition, Process, type Self } from "../../mod.ts"
import { Cores } from "../../src/testing/cores/cores.ts"
import * as Arbitrary from "../../src/testing/runs/arbitrary.ts"
import * as Plan from "../../src/testing/runs/plan.ts"
import { run, type Subject } from "../../src/testing/runs/run.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import { type Bench, type Context, heapBytes, type Result, repeat, result } from "./harness.ts"

interface Count {
  readonly n: number
}

type Calls = { readonly add: (self: Self<Count>, by: number) => number }

const Counter: Definition<"Counter", Count, undefined, Calls, object> = Process.define("Counter", {
  state: (): Count => ({ n: 0 }),
  calls: {
    add: (self: Self<Count>, by: number) => {
      self.state = { n: self.state.n + by }
      return self.state.n
    },
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
})

/** What is measured of each case, once it is warm. */
const RUNS = 3

/** As they were published, each on a machine and with a load of its own. */
const peers = { moonpool: 3_750, TigerBeetle: 700, FoundationDB: 10 }

export const bench: Bench = {
  name: "sim",
  cases: {
    "machine-events": { better: "more", goal: 400_000, peers: { moonpool: 703_000 } },
    "machine-5": { better: "more", goal: 2_000, peers },
    "machine-50": { better: "more", goal: 200 },
    "machine-500": { better: "more", goal: 10 },
    "machine-500-memory": { better: "less", goal: 512 },
    "machine-schedules": { better: "more", goal: 3_000 },
    "node-events": { better: "more", goal: 100_000 },
    "node-5": { better: "more", goal: 500, peers },
    "node-50": { better: "more", goal: 50 },
    schedules: { better: "more", goal: 800 },
  },
  async run(context: Context): Promise<ReadonlyArray<Result>> {
    context.note("5, 50 and 500 cores that hold names, and nothing happens to them")
    const [five, fifty, many] = [machines(5, 200), machines(50, 20), machines(500, 1)]
    context.note("5 and 50 whole nodes, each of which calls a process every second")
    const few = await nodes(5, 60)
    const more = await nodes(50, 2)
    context.note("schedules: 30 s of faults and calls for 5 nodes, then peace")
    return [
      result("machine-events", "events/s", fifty.events),
      result("machine-5", "simulated s/s", five.seconds),
      result("machine-50", "simulated s/s", fifty.seconds),
      result("machine-500", "simulated s/s", many.seconds),
      result("machine-500-memory", "MB", [many.megabytes]),
      result("machine-schedules", "per minute", await schedules(context, cores, 100)),
      result("node-events", "events/s", few.events),
      result("node-5", "simulated s/s", few.seconds),
      result("node-50", "simulated s/s", more.seconds),
      result("schedules", "per minute", await schedules(context, counters, 30)),
    ]
  },
}

// --- the pace of a cluster to which nothing happens ----------------------------------------------

/** One for each slice of simulated time, without the first. */
interface Pace {
  /** Events in a second. */
  readonly events: ReadonlyArray<number>
  /** Simulated seconds in a second. */
  readonly seconds: ReadonlyArray<number>
}

/** The real time, and how far the simulation was then. */
interface Mark {
  readonly real: number
  readonly micros: number
  readonly events: number
}

// Taken while no simulation guards it.
const clock: () => number = performance.now.bind(performance)

function mark({ world }: Pick<Subject, "world">): Mark {
  return { real: clock(), micros: world.now, events: world.trace.count }
}

function between(marks: ReadonlyArray<Mark>): Pace {
  const parts = marks.slice(1).map((end, i) => {
    const start = marks[i] as Mark
    const elapsed = (end.real - start.real) / 1_000
    return {
      events: (end.events - start.events) / elapsed,
      seconds: (end.micros - start.micros) / 1e6 / elapsed,
    }
  })
  return {
    events: parts.slice(1).map(({ events }) => events),
    seconds: parts.slice(1).map(({ seconds }) => seconds),
  }
}

/** Cores alone, with a name each. */
function machines(size: number, seconds: number): Pace & { readonly megabytes: number } {
  const before = heapBytes()
  const world = new Cores({ seed: 1, membersMax: 1_024 })
  const all = size > 50 ? world.grown(size) : world.formed(size)
  for (const [i, core] of all.entries()) core.shell.want(`count/${i}`)
  const marks = [mark(world)]
  for (let i = 0; i <= RUNS; i++) {
    world.run(seconds * 1_000)
    marks.push(mark(world))
  }
  const megabytes = (heapBytes() - before) / 2 ** 20
  if (world.running.length !== size) throw new Error("BUG: a core is gone")
  return { ...between(marks), megabytes }
}

/** Whole nodes. */
async function nodes(size: number, seconds: number): Promise<Pace> {
  const marks: Array<Mark> = []
  const horizon = (RUNS + 1) * seconds
  const plan = { ...Plan.calm(1, size, horizon * 1_000_000 + 1), steps: calls(size, horizon) }
  for (let i = 0; i <= RUNS + 1; i++)
    plan.steps.push({ at: i * seconds * 1_000_000, node: 0, operation: "mark", n: 0 })
  const { complaint } = await counters.with(plan, false, (subject) => {
    const operate: Subject["operate"] = (step) =>
      step.operation === "mark" ? void marks.push(mark(subject)) : subject.operate(step)
    return run(plan, { ...subject, operate }, counters.bounds)
  })
  if (complaint !== undefined) throw new Error(`${complaint.check}: ${complaint.message}`)
  return between(marks)
}

/** Each node calls once in each second, one after the other. */
function calls(size: number, seconds: number): Array<Plan.Step> {
  return Array.from({ length: size * seconds }, (_, i) => ({
    at: Math.floor((i * 1_000_000) / size),
    node: i % size,
    operation: "add",
    n: (i * 7) % 1_000,
  }))
}

// --- schedules -----------------------------------------------------------------------------------

/** Runs so many random plans, several times; how many that makes in a minute. */
async function schedules(
  context: Context,
  simulation: Simulation.Simulation,
  count: number,
): Promise<ReadonlyArray<number>> {
  const plans = Arbitrary.plans(simulation, 1)
  let next = 0
  let failed = 0
  const rates = await repeat(RUNS, async () => {
    const start = clock()
    for (let i = 0; i < count; i++) {
      const { complaint } = await Simulation.run(simulation, plans(next++))
      if (complaint !== undefined) failed++
    }
    return (count / (clock() - start)) * 60_000
  })
  // They take long: what should come true is waited for until the end.
  if (failed > 0) context.note(`${simulation.name}: ${failed} of ${next} failed, and count`)
  return rates
}

const counters: Simulation.Simulation = Simulation.make({
  name: "bench-nodes",
  processes: [Counter],
  nodes: 5,
  horizon: "30 seconds",
  options: { limits: { membersMax: 64 } },
  operations: {
    add: async ({ node, n }) => {
      const counter = await node.start(Counter, `k${n % 50}`)
      await counter.add(1)
    },
  },
})

/** Cores under the same kinds of plans. */
const cores: Simulation.Simulation = {
  name: "bench-cores",
  nodes: 5,
  horizon: "30 seconds",
  operations: ["count"],
  sometimes: [],
  bounds: Simulation.boundsOf({}),
  with: (plan, _keep, body) => body(subjectOf(plan)),
}

function subjectOf({ seed, nodes: size }: Plan.Plan): Subject {
  const world = new Cores({ seed, lax: true })
  return {
    world: world.world,
    stage: world,
    faults: world.faults,
    synchronous: true,
    form: async (pump) => {
      world.cluster(size)
      while (!world.calm()) await pump.sleep(10_000)
    },
    operate: ({ node, n }) => {
      const name = `count/k${n % 50}`
      const { full } = world
      world.want(name, full[node % Math.max(1, full.length)])
      world.bump(name)
    },
    look: () => world.complaint,
    eventually: new Map([["converged", () => world.unrest()]]),
    excuse: () => undefined,
    reached: () => new Map(),
    waiting: () => "",
    inside: () => {},
  }
}
