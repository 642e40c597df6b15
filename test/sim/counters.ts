/**
 * A suite of whole nodes that hold counters: they are started, added to, read and stopped from anywhere,
 * under every fault that nodes which talk over streams can meet.
 *
 * @module
 */
import { type Definition, Process, type Self } from "../../mod.ts"
import type { NodeEvent } from "../../src/runtime/events.ts"
import type { SimNode } from "../../src/testing/nodes/node.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import type { Scene, Turn } from "../../src/testing/runs/specification.ts"
import * as Simulation from "../../src/testing/simulation.ts"

interface Count {
  readonly n: number
}

type Calls = {
  readonly get: (self: Self<Count>) => number
  readonly add: (self: Self<Count>, by: number) => number
}

const Counter: Definition<"Counter", Count, undefined, Calls, object> = Process.define("Counter", {
  state: (): Count => ({ n: 0 }),
  calls: {
    get: ({ state }: Self<Count>) => state.n,
    add: (self: Self<Count>, by: number) => {
      self.state = { n: self.state.n + by }
      return self.state.n
    },
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
})

/** These are never stopped, */
const lasting: ReadonlyArray<string> = Array.from({ length: 5 }, (_, i) => `k${i}`)
/** and these are. */
const passing: ReadonlyArray<string> = Array.from({ length: 3 }, (_, i) => `p${i}`)
const keys: ReadonlyArray<string> = [...lasting, ...passing]

/** What a counter answered while one process alone, in one life, held its name. */
interface Bound {
  readonly n: number
  readonly life: number
}

/** What a run keeps account with. */
class Model {
  /** Names that every node knew: no crash of less than all can lose them. */
  readonly kept: Set<string> = new Set()
  readonly bounds: Map<string, Bound> = new Map()
  /** Kinds of events that there were, and what the operations saw. */
  readonly seen: Set<string> = new Set()
  /** How many lives the processes of each name have had. */
  readonly #lives = new Map<string, number>()
  #read = 0

  /** Reads the events since the last time. */
  follow({ events }: Sim): this {
    for (; this.#read < events.length; this.#read++) {
      const event = events[this.#read]?.event as NodeEvent
      this.seen.add(event._tag)
      if (event._tag === "ProcessesArrived" && event.resumed > 0) this.seen.add("moved")
      for (const name of ended(event)) this.#lives.set(name, this.life(name) + 1)
    }
    return this
  }

  life(name: string): number {
    return this.#lives.get(name) ?? 0
  }
}

/** The names of which a process began, ended, or got another state by this. */
function ended(event: NodeEvent): ReadonlyArray<string> {
  switch (event._tag) {
    case "ProcessStarted":
    case "ProcessStopped":
    case "ProcessCrashed":
    case "ConflictLost":
      return [event.process]
    case "TakenOver":
    case "HandoffFailed":
      return event.processes
    case "ProcessesArrived":
      return event.resumed < event.processes.length ? event.processes : []
    default:
      return []
  }
}

/** The suite. */
export const counters: Simulation.Simulation = Simulation.make<Model>({
  name: "counters",
  processes: [Counter],
  nodes: { min: 3, max: 5 },
  stepsMax: 60,
  losses: true,
  knobs: { passive: [0, 1], newest: [0, 1] },
  options: (_, { passive, newest }) => ({
    rebalance: passive === 1 ? "passive" : "active",
    conflict: newest === 1 ? "newest" : "oldest",
  }),
  model: () => new Model(),
  operations: {
    start: async ({ sim, node, n, model }) => {
      const key = pick(keys, n)
      await node.start(Counter, key)
      await sim.advance("1 second")
      const known = serving(sim).every((each) => each.whereis(Counter, key) !== undefined)
      if (known && lasting.includes(key)) model.kept.add(key)
    },
    add: async (turn) => {
      await ask(turn, (node, key) => node.ref(Counter, key).add(1 + (turn.n % 7)))
    },
    get: async (turn) => {
      await ask(turn, (node, key) => node.ref(Counter, key).get())
    },
    stop: async ({ node, n, model }) => {
      if (await node.stopProcess(Counter, pick(passing, n))) model.seen.add("stopped")
    },
  },
  eventually: {
    "every name has one owner": ({ sim, model }) => {
      for (const key of keys) {
        const owners = sim.owners(Counter, key)
        if (owners.length > 1) return `${key} is at ${owners.join(" and ")}`
        if (owners.length === 0 && model.kept.has(key)) return `${key} is lost`
      }
    },
    "every node knows where names are": ({ sim }) => {
      for (const key of keys) {
        const owner = sim.owners(Counter, key)[0]
        const wrong = serving(sim).find((node) => node.whereis(Counter, key)?.node !== owner)
        if (wrong === undefined) continue
        const believed = wrong.whereis(Counter, key)?.node ?? "nowhere"
        return `${wrong.name} says that ${key} is ${believed}, and it is ${owner ?? "nowhere"}`
      }
    },
  },
  sometimes: {
    "a name moved": saw("moved"),
    "a name was taken over": saw("TakenOver"),
    "a conflict was merged": saw("ConflictLost"),
    "a name was stopped from anywhere": saw("stopped"),
    "an answer was held against an earlier one": saw("compared"),
  },
})

/** Asks a counter, and sees to it that it forgot nothing of what it had answered in the same life. */
async function ask(
  { sim, node, n, model }: Turn<Model>,
  f: (node: SimNode, key: string) => Promise<number>,
): Promise<void> {
  const key = pick(keys, n)
  const name = `Counter/${key}`
  const bound = alone(sim, key) ? model.bounds.get(name) : undefined
  const found = await f(node, key)
  const life = model.follow(sim).life(name)
  // Another life, or a second process, may know less.
  if (!alone(sim, key)) return
  if (bound?.life === life) {
    model.seen.add("compared")
    if (found < bound.n) throw new Error(`${key} was ${bound.n}, and is ${found}`)
  }
  const known = model.bounds.get(name)
  if (known?.life !== life || known.n < found) model.bounds.set(name, { n: found, life })
}

function alone(sim: Sim, key: string): boolean {
  return sim.owners(Counter, key).length === 1
}

function saw(what: string): (scene: Scene<Model>) => boolean {
  return ({ sim, model }) => model.follow(sim).seen.has(what)
}

function serving(sim: Sim): ReadonlyArray<SimNode> {
  return sim.nodes.filter((node) => {
    if (!node.running || node.paused) return false
    try {
      return node.count() >= 0
    } catch {
      // It is starting.
      return false
    }
  })
}

function pick<A>(list: ReadonlyArray<A>, n: number): A {
  return list[n % list.length] as A
}
