/**
 * A process on each node of a simulation, for tests of what gets from where to where, and how fast.
 *
 * @module
 */
import assert from "node:assert/strict"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Definition, Ref, Self } from "../../src/runtime/definition.ts"
import * as Process from "../../src/runtime/process.ts"
import type { SimNode } from "../../src/testing/nodes/node.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { simulate } from "../../src/testing/simulate.ts"

const marks: Array<string> = []

interface State {
  n: number
}
type Calls = {
  readonly node: (self: Self<State>) => string
  readonly add: (self: Self<State>, by: number) => number
  /** Where it is, after so many milliseconds. */
  readonly sleep: (self: Self<State>, millis: number) => Effect.Effect<string>
  /** What time it is, in milliseconds since 2020 and since the start. */
  readonly times: () => Effect.Effect<readonly [wall: number, mono: number]>
}
type Casts = { readonly mark: (self: Self<State>, from: string) => void }

/** What runs on each node. */
export const Station: Definition<"Station", State, unknown, Calls, Casts> = Process.define(
  "Station",
  {
    state: () => ({ n: 0 }),
    calls: {
      node: (self) => self.node,
      add: (self, by: number) => (self.state.n += by),
      sleep: (self, millis: number) => Effect.as(Effect.sleep(millis), self.node),
      times: () =>
        Effect.map(
          Effect.all([Clock.currentTimeMillis, Clock.monotonicTimeNanos]),
          ([wall, nanos]) => [wall - Date.UTC(2020), Number(nanos) / 1e6] as const,
        ),
    },
    casts: {
      mark: (self, from: string) => void marks.push(`${from}>${self.node}`),
    },
  },
)

/** A key of a process that the ring gives to this node, or an error. */
export function keyOn(sim: Sim, node: SimNode): string {
  for (let i = 0; i < 1_000; i++)
    if (sim.nodes[0]?.nodeFor(Station, `${i}`) === node.name) return `${i}`
  throw new Error(`no key is for ${node.name}`)
}

/** The stations of some nodes. */
export class Stations {
  readonly #sim: Sim
  readonly #keys = new Map<SimNode, string>()

  private constructor(sim: Sim) {
    this.#sim = sim
  }

  /** Starts a process on each node that there is now. */
  static async start(sim: Sim): Promise<Stations> {
    const stations = new Stations(sim)
    for (const node of sim.nodes) {
      const key = keyOn(sim, node)
      stations.#keys.set(node, key)
      await node.start(Station, key)
    }
    // Until everybody knows where they are.
    await sim.advance("1 second")
    return stations
  }

  /** The process on one node, for callers on another. */
  ref(from: SimNode, to: SimNode): Ref<typeof Station> {
    return from.ref(Station, this.#keys.get(to) as string)
  }

  /** Milliseconds that a call and its answer take. */
  async trip(from: SimNode, to: SimNode): Promise<number> {
    const { now } = this.#sim
    await this.ref(from, to).node()
    return this.#sim.now - now
  }

  /** What gets from where to where within so many milliseconds: `"a>b"`, as often as it does. */
  async reached(millis: number = 100): Promise<ReadonlyArray<string>> {
    marks.length = 0
    for (const from of this.#keys.keys())
      for (const to of this.#keys.keys())
        if (from !== to && from.running) this.ref(from, to).cast.mark(from.name)
    await this.#sim.advance(millis)
    return [...marks].sort()
  }
}

/** Runs a body on nodes a, b, c …, each with a process. */
export async function stations(
  count: number,
  body: (sim: Sim, stations: Stations, nodes: ReadonlyArray<SimNode>) => Promise<void>,
): Promise<void> {
  await simulate({ nodes: count, processes: [Station], directory: false }, async (sim) => {
    await body(sim, await Stations.start(sim), sim.nodes)
  })
}

/** All ways between these nodes but some. */
export function ways(names: string, ...without: ReadonlyArray<string>): ReadonlyArray<string> {
  const all = [...names].flatMap((from) =>
    [...names].flatMap((to) => (from === to ? [] : [`${from}>${to}`])),
  )
  return all.filter((way) => !without.includes(way))
}

/** What one node sees of the others: `"b suspect c up"`. */
export function seen(node: SimNode | undefined): string {
  const others = (node?.members() ?? []).filter(({ self }) => !self)
  return others.map(({ name, status }) => `${name} ${status}`).join(" ")
}

/** Between two seconds of the run, whose code of the simulator makes timers up to a millisecond late. */
export function near(actual: number, wanted: number, tolerance = 5): void {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual} instead of ${wanted}`)
}
