/**
 * Runs of whole nodes: what a specification says, as a run wants it.
 *
 * @module
 */
import { Checks, complain } from "../runs/check.ts"
import type { Plan, Step } from "../runs/plan.ts"
import type { Pump } from "../runs/pump.ts"
import type { Subject } from "../runs/run.ts"
import type { Look, Scene, Specification } from "../runs/specification.ts"
import { nameOf } from "../world/host.ts"
import { World } from "../world/world.ts"
import type { SimNode } from "./node.ts"
import { Nodes } from "./nodes.ts"
import * as Owners from "./owners.ts"
import { Sim } from "./sim.ts"
import type { Watch } from "./watch.ts"

/** Nodes for one run of a plan, under a guard. */
export function subject<M>(
  spec: Specification<M>,
  plan: Plan,
  keep: boolean,
  watch: Watch,
): Subject {
  const { knobs } = plan
  const world = new World({ name: spec.name, seed: plan.seed, keep })
  const nodes = new Nodes(world, (index) => {
    const { options } = spec
    const more = typeof options === "function" ? options(index, knobs) : options
    return { processes: spec.processes ?? [], ...more }
  })
  let pumping: Pump | undefined
  const sim = new Sim(nodes, () => pumping as Pump)
  const model = (spec.model ?? (() => undefined))() as M
  const scene: Scene<M> = { sim, model, knobs }
  const checks = checksOf(spec, scene)
  const owners = Owners.watch(nodes)
  const looks = Object.entries(spec.eventually ?? {})
  return {
    world,
    stage: nodes,
    faults: sim.faults,
    synchronous: false,
    form: async (pump) => {
      pumping = pump
      nodes.open(Array.from({ length: plan.nodes }, (_, i) => nameOf(i)))
      await Promise.all(nodes.network.hosts.map((host) => nodes.programs.get(host)?.ready))
      await sim.converged()
    },
    operate: (step) => operate(spec, scene, step, plan.nodes),
    look: () =>
      watch.leaked() ??
      checks.look() ??
      sim.checks.look() ??
      (spec.checks === false ? undefined : owners()),
    eventually: new Map([
      ["converged", () => sim.calm()],
      ...looks.map(([name, look]) => [name, () => look(scene)] as const),
    ]),
    excuse: () => spec.excuse?.(scene),
    reached: () => checks.reached,
    waiting: () => sim.waiting.join("; "),
    inside: (inside) => watch.inside(inside ? nodes : undefined),
  }
}

function checksOf<M>(spec: Specification<M>, scene: Scene<M>): Checks {
  const checks = new Checks()
  const say = (look: Look<M>) => () => complain(look(scene))
  for (const [name, look] of Object.entries(spec.always ?? {})) checks.always(name, say(look))
  for (const [name, look] of Object.entries(spec.sometimes ?? {})) checks.sometimes(name, say(look))
  return checks
}

async function operate<M>(
  spec: Specification<M>,
  scene: Scene<M>,
  step: Step,
  size: number,
): Promise<void> {
  const operation = spec.operations?.[step.operation]
  if (operation === undefined) return
  // Modulo the nodes of the plan: whether one more has joined must not change whom the step is about.
  const node = scene.sim.nodes[step.node % size] as SimNode
  try {
    await operation({ ...scene, node, n: step.n })
  } catch (error) {
    if (!expected(error)) throw error
  }
}

/** Errors of calls and starts say what is known of their outcome: such is life under faults. */
function expected(error: unknown): boolean {
  const { _tag, outcome } = (error ?? {}) as { readonly _tag?: unknown; readonly outcome?: unknown }
  return typeof _tag === "string" && typeof outcome === "string"
}
