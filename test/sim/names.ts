/**
 * Names under every fault there is: whoever starts, stops and finds processes may be wrong for a while, but in
 * the end everybody knows the same, it is the truth, and nothing that everybody knew is gone.
 */
import { Process } from "skein"
import { Simulation } from "skein/testing"

const Named = Process.define("Named", {
  state: (init?: number) => ({ n: init ?? 0 }),
  calls: {
    add: (self) => ++self.state.n,
    fail: (_self): void => {
      throw new Error("planned")
    },
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
  // Crashes that the test plans must not use up the restarts.
  intensity: { max: 1_000, withinMillis: 1_000 },
})

interface Model {
  readonly started: Set<string>
  /** What every full member has heard of, at some time. */
  readonly known: Set<string>
  checkedAt: number
}

const KEYS = 12
/** The last ones are stopped now and then: nobody can say whether they are there in the end. */
const STOPPED = 9

const keyOf = (n: number): string => `k${n % KEYS}`
const stopped = (key: string): boolean => Number(key.slice(1)) >= STOPPED

export const names: Simulation.Simulation = Simulation.make<Model>({
  name: "names",
  processes: [Named],
  knobs: { passive: [0, 1], newest: [0, 1] },
  options: (_, { passive, newest }) => ({
    rebalance: passive === 1 ? "passive" : "active",
    conflict: newest === 1 ? "newest" : "oldest",
  }),
  model: () => ({ started: new Set(), known: new Set(), checkedAt: 0 }),
  operations: {
    start: async ({ node, n, model }) => {
      await node.start(Named, keyOf(n), n)
      model.started.add(keyOf(n))
    },
    exclusive: async ({ node, n, model }) => {
      await node.start(Named, keyOf(n), n, { exclusive: true })
      model.started.add(keyOf(n))
    },
    add: ({ node, n }) => node.ref(Named, keyOf(n)).add(),
    fail: ({ node, n }) => node.ref(Named, keyOf(n)).fail(),
    stop: async ({ node, n }) => {
      if (stopped(keyOf(n))) await node.stopProcess(Named, keyOf(n))
    },
  },
  always: {
    "what everybody has heard of is noted": ({ sim, model }) => {
      if (sim.now - model.checkedAt < 20) return
      model.checkedAt = sim.now
      const nodes = sim.nodes.filter((node) => sim.serves(node))
      for (const key of model.started) {
        if (model.known.has(key) || stopped(key)) continue
        const heard = nodes.every((node) => node.whereis(Named, key))
        if (heard && nodes.length > 1) model.known.add(key)
      }
    },
  },
  eventually: {
    "everybody knows where every process is": ({ sim }) => {
      for (let i = 0; i < KEYS; i++) {
        const key = keyOf(i)
        const owners = sim.owners(Named, key)
        if (owners.length > 1) return `${key} lives at ${owners.join(" and ")}`
        for (const node of sim.nodes.filter((one) => sim.serves(one))) {
          const home = node.whereis(Named, key)?.node
          if (home !== owners[0])
            return `${node.name} has ${key} at ${home ?? "nobody's"}, it is at ${owners[0] ?? "nobody's"}`
        }
      }
      return undefined
    },
    "what everybody knew is there": ({ sim, model }) => {
      for (const key of model.known)
        if (sim.owners(Named, key).length === 0) return `${key} is gone`
      return undefined
    },
  },
  sometimes: {
    "two nodes had one name": ({ sim, model }) =>
      [...model.started].some((key) => sim.owners(Named, key).length > 1),
    "a name was taken over": ({ sim }) => sim.events.at(-1)?.event._tag === "TakenOver",
    "a name was lost in a conflict": ({ sim }) => sim.events.at(-1)?.event._tag === "ConflictLost",
    "a node slept": ({ sim }) => sim.events.at(-1)?.event._tag === "Slept",
    "a name moved": ({ sim }) => sim.events.at(-1)?.event._tag === "ProcessesArrived",
  },
})
