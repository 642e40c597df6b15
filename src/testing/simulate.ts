/**
 * Hand-written simulations: a test's body drives nodes through virtual time and faults, from a seed.
 *
 * @module
 */
import type { AnyDefinition } from "../runtime/definition.ts"
import type { NodeEvent } from "../runtime/events.ts"
import type * as Guard from "./nodes/guard.ts"
import { micros, type Time } from "./nodes/node.ts"
import { Nodes, type SimulatedOptions } from "./nodes/nodes.ts"
import * as Owners from "./nodes/owners.ts"
import { Sim } from "./nodes/sim.ts"
import * as Watch from "./nodes/watch.ts"
import { SimulationFailed, seconds } from "./runs/check.ts"
import * as Files from "./runs/files.ts"
import { Pump } from "./runs/pump.ts"
import * as Report from "./runs/report.ts"
import { nameOf } from "./world/host.ts"
import { World } from "./world/world.ts"

/** How a simulation is made. */
export interface SimulateOptions {
  /** How many nodes there are in the beginning, or their names. Default names: a, b, c … */
  readonly nodes: number | ReadonlyArray<string>
  /** What everything random is drawn from: the same seed gives the same run. Default 1. */
  readonly seed?: number
  /** The definitions that all nodes host. */
  readonly processes?: ReadonlyArray<AnyDefinition>
  /** More options of the nodes: the same for all, or by their index. */
  readonly options?: SimulatedOptions | ((index: number) => SimulatedOptions)
  /** Whether the nodes form a cluster before the test begins. Default true. */
  readonly formed?: boolean
  /** What becomes of a node's, or the test's, use of real time, randomness or network. Default `throw`. */
  readonly guard?: Guard.Mode
  /** How long the test may wait for one answer before it is taken for stuck. Default 10 minutes. */
  readonly patience?: Time
  /** Whether the promise of one owner per name is checked all the time. Default true. */
  readonly checks?: boolean
  /** For messages and diagrams. Default `"simulation"`. */
  readonly name?: string
  /** Where the diagram of a failure is written; false for nowhere. Default `.sim`. */
  readonly directory?: string | false
}

/** What came of a simulation. */
export interface Simulated<A> {
  /** What the body returned. */
  readonly value: A
  readonly seed: number
  /** 16 hex digits of everything that happened: equal for equal runs, on every runtime. */
  readonly hash: string
  /** How many events there were. */
  readonly events: number
  /** Simulated milliseconds. */
  readonly millis: number
}

/**
 * Runs whole nodes under virtual time. While the body awaits anything, time passes; what it doesn't await
 * takes none. Rejects with what the body threw, or with SimulationFailed, and tells what had happened.
 */
export async function simulate<A>(
  options: SimulateOptions,
  body: (sim: Sim) => A | Promise<A>,
): Promise<Simulated<A>> {
  const { seed = 1, name = "simulation", guard = "throw", processes = [] } = options
  const world = new World({ name, seed, keep: true })
  const nodes = new Nodes(world, optionsOf(options.options, processes))
  const names =
    typeof options.nodes === "number"
      ? Array.from({ length: options.nodes }, (_, i) => nameOf(i))
      : options.nodes
  const watch = Watch.begin(guard)
  const sim: Sim = new Sim(nodes, () => pump)
  const owners = Owners.watch(nodes)
  const pump = new Pump({
    world,
    patienceMicros: micros(options.patience ?? "10 minutes"),
    look: () =>
      watch.leaked() ?? sim.checks.look() ?? (options.checks === false ? undefined : owners()),
    waiting: () => waiting(sim),
    inside: (inside) => watch.inside(inside ? nodes : undefined),
  })
  try {
    const outcome = await pump.drive(async () => {
      nodes.open(names)
      if (options.formed ?? true) {
        await Promise.all(nodes.network.hosts.map((host) => nodes.programs.get(host)?.ready))
        await sim.converged()
        world.record(() => ({ kind: "phase", what: "the test begins" }))
      }
      return body(sim)
    })
    const failure =
      "error" in outcome
        ? outcome.error
        : "complaint" in outcome
          ? new SimulationFailed(outcome.complaint, sim.now, sim.seed)
          : vacuous(sim)
    // Also when it is undefined that the test threw.
    if ("error" in outcome || failure !== undefined)
      throw told(failure, sim, world, options.directory ?? ".sim")
    const { hash, count: events } = world.trace
    const { value } = outcome as { readonly value: A }
    return { value, seed: sim.seed, hash, events, millis: sim.now }
  } finally {
    watch.end()
  }
}

/** The options of each node. */
function optionsOf(
  given: SimulateOptions["options"],
  processes: ReadonlyArray<AnyDefinition>,
): (index: number) => SimulatedOptions {
  return (index) => ({ processes, ...(typeof given === "function" ? given(index) : given) })
}

/** What the test says must have been so at some time, and never was. */
function vacuous(sim: Sim): SimulationFailed | undefined {
  const [never] = [...sim.checks.reached].filter(([, reached]) => !reached)
  if (never === undefined) return undefined
  const message = "it never was so: the test doesn't show what it is for"
  return new SimulationFailed({ check: never[0], message }, sim.now, sim.seed)
}

/** The failure, which tells what had happened, and its picture written. */
function told(failure: unknown, sim: Sim, world: World, directory: string | false): unknown {
  const { trace } = world
  const message = failure instanceof Error ? failure.message : String(failure)
  const check = failure instanceof SimulationFailed ? failure.check : "the test"
  const nodes = world.names.map((_, i) => i)
  world.record(() => ({ kind: "check", name: check, message, nodes }))
  const files = Files.write(directory, `${trace.header.name}-${trace.hash.slice(0, 8)}`, {
    html: () => Report.picture(trace, undefined, { check, message }, undefined),
    txt: () => Report.story(trace),
  })
  return Report.annotate(failure, {
    trace,
    atMillis: sim.now,
    waiting: sim.waiting,
    going: sim.faults.going,
    said: sim.events
      .slice(-100)
      .filter(({ event }) => !QUIET.has(event._tag))
      .map(({ at, node, event }) => `${seconds(at)} ${node} ${words(event)}`),
    diagram: files?.html,
  })
}

/** What is said so often that it would hide the rest. */
const QUIET: ReadonlySet<string> = new Set([
  "RingChanged",
  "RingSettled",
  "MemberTrusted",
  "ConnectionFailed",
])

function words({ _tag, ...data }: NodeEvent): string {
  return [_tag, ...Object.values(data).map((value) => String(value))].join(" ")
}

function waiting(sim: Sim): string {
  const asked = sim.waiting
  return asked.length === 0
    ? "The test awaits something that is none of the simulation's."
    : `The test waits for ${asked.join("; ")}.`
}
