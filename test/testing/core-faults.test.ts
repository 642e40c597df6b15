/** What each fault does to cores, and that they get over it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Core, Cores } from "../../src/testing/cores/cores.ts"
import type { Trouble } from "../../src/testing/faults/fault.ts"
import { count, saw } from "./cores.ts"

interface Case {
  readonly fault: Trouble
  readonly millis: number
  /** Whether it has had its effect by then. */
  readonly effect: (seen: Seen) => boolean
}

interface Seen {
  readonly cores: Cores
  readonly a: Core
  readonly rest: ReadonlyArray<Core>
  /** Requests for help, as when acknowledgements are late: none in a quiet cluster. */
  readonly requests: number
  /** How many times as many pings came as in a quiet cluster. */
  readonly pings: number
  readonly dials: number
}

const helped = ({ requests }: Seen): boolean => requests > 0
const down = ({ rest }: Seen): boolean => rest.every((node) => saw(node, "Down", "a"))
const dialled = ({ dials }: Seen): boolean => dials > 0
const off = ({ a, rest }: Seen, clock: "now" | "wall"): number =>
  Math.abs(a[clock] - (rest[0] as Core)[clock])

const cases: ReadonlyArray<Case> = [
  { fault: { kind: "partition", groups: [[0]] }, millis: 8_000, effect: down },
  { fault: { kind: "isolate", node: 0 }, millis: 8_000, effect: down },
  { fault: { kind: "ring" }, millis: 4_000, effect: helped },
  { fault: { kind: "bridge", node: 2 }, millis: 4_000, effect: helped },
  { fault: { kind: "oneway", from: 0, to: 1 }, millis: 4_000, effect: helped },
  { fault: { kind: "loss", ppm: 200_000 }, millis: 4_000, effect: helped },
  { fault: { kind: "drop", ppm: 200_000 }, millis: 4_000, effect: helped },
  {
    fault: { kind: "duplicate", ppm: 1_000_000 },
    millis: 4_000,
    effect: ({ pings }) => pings > 1.8,
  },
  { fault: { kind: "corrupt", ppm: 100_000 }, millis: 4_000, effect: dialled },
  { fault: { kind: "delay", link: [0, 1], micros: 300_000 }, millis: 4_000, effect: helped },
  { fault: { kind: "slow", node: 0, factor: 500 }, millis: 4_000, effect: helped },
  { fault: { kind: "clog", link: [0, 1] }, millis: 4_000, effect: helped },
  { fault: { kind: "swizzle", nodes: [0, 1] }, millis: 2_000, effect: helped },
  { fault: { kind: "reset", link: [0, 1] }, millis: 100, effect: dialled },
  { fault: { kind: "halfOpen", link: [0, 1] }, millis: 4_000, effect: helped },
  { fault: { kind: "crash", node: 0 }, millis: 1_000, effect: down },
  { fault: { kind: "crash", node: 0, machine: true }, millis: 5_500, effect: down },
  { fault: { kind: "stop", node: 0 }, millis: 1_000, effect: down },
  {
    fault: { kind: "leave", node: 0 },
    millis: 1_000,
    effect: ({ rest }) => rest.every((node) => saw(node, "Left", "a")),
  },
  {
    fault: { kind: "flap", node: 0, times: 3 },
    millis: 5_000,
    effect: ({ cores }) => cores.nodes.length === 8,
  },
  {
    fault: { kind: "restart", node: 0 },
    millis: 1_000,
    effect: ({ rest }) => rest.every((node) => saw(node, "Superseded", "a")),
  },
  { fault: { kind: "pause", node: 0 }, millis: 8_000, effect: down },
  { fault: { kind: "suspend", node: 0 }, millis: 8_000, effect: down },
  {
    fault: { kind: "throttle", node: 0, micros: 60_000_000 },
    millis: 100,
    effect: ({ cores, a }) => {
      let rang = false
      a.host.timer(1_000_000, () => {
        rang = true
      })
      cores.run(2_000)
      return !rang
    },
  },
  {
    fault: { kind: "skew", node: 0, micros: 5_000_000 },
    millis: 100,
    effect: (seen) => off(seen, "wall") > 4_999 && off(seen, "now") < 1,
  },
  {
    fault: { kind: "step", node: 0, micros: -5_000_000 },
    millis: 100,
    effect: (seen) => off(seen, "wall") > 4_999 && off(seen, "now") < 1,
  },
  {
    fault: { kind: "drift", node: 0, ppm: 50_000 },
    millis: 10_000,
    effect: (seen) => off(seen, "now") > 499,
  },
  {
    fault: { kind: "freeze", node: 0 },
    millis: 1_000,
    effect: (seen) => off(seen, "wall") > 999 && off(seen, "now") < 1,
  },
  { fault: { kind: "join" }, millis: 1_000, effect: ({ cores }) => cores.full.length === 6 },
  {
    fault: { kind: "strand", node: 0 },
    millis: 1,
    // Of two who dial each other the lower name's connection stays, if there is one.
    effect: ({ cores, a, rest }) => {
      cores.reset(a, rest[0] as Core)
      cores.run(500)
      return a.links.get("b")?.initiator === "them"
    },
  },
]

describe("faults", () => {
  for (const { fault, millis, effect } of cases) {
    const more = "machine" in fault ? " with its machine" : ""
    test(`${fault.kind}${more}: it has its effect, and afterwards the cluster is as before`, () => {
      const quiet = observe(undefined, millis)
      assert.equal(effect({ ...quiet, pings: 1 }), false, "it is so without the fault")
      const seen = observe(fault, millis)
      assert.ok(effect({ ...seen, pings: seen.pings / quiet.pings }), `${seen.cores}`)
      const { cores } = seen
      cores.faults.end()
      // A node that leaves, or has still to notice that it slept, isn't over at once.
      cores.run(5_000)
      cores.until("as before", () => cores.unrest() ?? cores.full.length === 5, 60_000)
      const ends = count(cores, ["PingRequest"])
      cores.run(3_000)
      if (fault.kind !== "halfOpen") assert.equal(ends(), 0)
    })
  }
})

function observe(fault: Trouble | undefined, millis: number): Seen {
  const cores = new Cores({ seed: 11, lax: true })
  const nodes = cores.formed(5)
  cores.run(2_000)
  const [requests, pings] = [count(cores, ["PingRequest"]), count(cores, ["Ping"])]
  const before = dials(cores)
  if (fault !== undefined) cores.faults.begin(fault)
  cores.run(millis)
  const [a, ...rest] = nodes as [Core, ...Array<Core>]
  return { cores, a, rest, requests: requests(), pings: pings(), dials: dials(cores) - before }
}

function dials(cores: Cores): number {
  return cores.nodes.reduce((sum, node) => sum + node.dials, 0)
}
