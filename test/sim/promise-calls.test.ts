/** What the README promises of calls: they end in time, and what is said of one that failed is true. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type CallError, Process } from "skein"
import { type Sim, type SimNode, Simulation, simulate } from "skein/testing"
import { ab, faults, SEEDS, witnessed } from "./promise.ts"
import { keyAt, tagOf } from "./shared.ts"

describe("a call never hangs past its timeout", () => {
  type Befall = (sim: Sim, a: SimNode, b: SimNode) => void
  /** What happens, how, and what some of the calls end with for that. */
  const troubles: ReadonlyArray<readonly [what: string, befall: Befall, ends: string]> = [
    ["its handler takes for ever", () => {}, "Timeout"],
    ["its node is cut off", (sim, _, b) => sim.isolate(b), "Timeout"],
    ["its node stands still", (_, __, b) => b.pause(), "Timeout"],
    ["its node sleeps", (_, __, b) => b.suspend(), "Timeout"],
    ["its node crashes", (_, __, b) => b.crash(), "NodeDown"],
    ["its machine is gone", (_, __, b) => b.crash({ machine: true }), "Timeout"],
    ["the connection is half open", (sim) => sim.fault({ kind: "halfOpen", link: ab }), "Timeout"],
    ["the link is clogged", (sim, a, b) => sim.clog(a, b), "Timeout"],
    ["nothing comes back", (sim, a, b) => sim.oneWay(b, a), "Timeout"],
    ["the link is reset", (sim) => sim.fault({ kind: "reset", link: ab }), "NodeDown"],
    ["its node leaves", (_, __, b) => void b.leave(), "Timeout"],
  ]

  for (const [what, befall, ends] of troubles)
    test(`not when ${what}`, async () => {
      for (const seed of SEEDS.slice(0, 4)) {
        const { Log } = witnessed()
        await simulate({ nodes: 3, seed, processes: [Log] }, async (sim) => {
          const [a, b] = sim.nodes as [SimNode, SimNode, SimNode]
          const log = await a.start(Log, keyAt(b, Log))
          await sim.converged()
          befall(sim, a, b)
          const waits = [1, 50, 1_000, 5_000, 20_000].flatMap((timeout) => [
            timely(sim, timeout, 5, log.with({ timeout }).push("x")),
            timely(sim, timeout, 5, log.with({ timeout }).never()),
            timely(sim, timeout, 120, a.start(Log, `new ${timeout}`, undefined, { timeout })),
          ])
          waits.push(timely(sim, 5_000, 120, a.stopProcess(Log, "none")))
          const answers = await Promise.all(waits)
          for (const answer of answers) assert.match(answer, known)
          assert.ok(answers.includes(ends), answers.join())
        })
      }
    })

  test("not when the caller itself stood still: then as soon as it goes on", async () => {
    for (const seed of SEEDS) {
      const { Log } = witnessed()
      await simulate({ nodes: 2, seed, processes: [Log] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const log = await a.start(Log, keyAt(b, Log))
        const call = tagOf(log.with({ timeout: 500 }).never())
        await sim.advance("100 millis")
        a.pause()
        await sim.advance("2 seconds")
        a.resume()
        const at = sim.now
        assert.equal(await call, "Timeout")
        assert.ok(sim.now - at <= 5)
      })
    }
  })
})

describe("the outcome of a call that failed", () => {
  test("tells the truth, whatever happens to the nodes: what wasn't executed never is, what was is once", async () => {
    const { reached } = await Simulation.check(outcomes, { runs: 20, seed: 11, verify: 0.05 })
    for (const [what, times] of reached) assert.ok(times > 0, `never: ${what}`)
  })
})

/** All that a call or a start may end with. */
const known =
  /^(none|Timeout|NodeDown|NodeStopped|NoProcess|NoNode|Unreachable|Overloaded|AlreadyRegistered)$/

/** The error's tag, when it comes in time. */
async function timely(
  sim: Sim,
  timeout: number,
  slack: number,
  call: Promise<unknown>,
): Promise<string> {
  const at = sim.now
  const tag = await tagOf(call)
  assert.ok(sim.now - at <= timeout + slack, `${tag} of ${timeout} ms after ${sim.now - at} ms`)
  return tag
}

/** How often the handler of each call began, in the run under way. */
let begun = new Map<number, number>()

const Doer = Process.define("Doer", {
  state: () => ({}),
  calls: {
    act: (_self, id: number, millis: number) => {
      begin(id)
      return millis === 0 ? id : Effect.as(Effect.sleep(millis), id)
    },
    crash: (_self, id: number): number => {
      begin(id)
      throw new Error("planned")
    },
  },
  // Crashes that the test plans must not use up the restarts.
  intensity: { max: 1_000, withinMillis: 1_000 },
})

function begin(id: number): void {
  begun.set(id, (begun.get(id) ?? 0) + 1)
}

interface Asked {
  /** What became of each call: what is known of it, or nothing yet. */
  readonly calls: Map<number, { readonly tag: string; readonly outcome: string } | undefined>
}

const outcomes = Simulation.make<Asked>({
  name: "promise-outcomes",
  processes: [Doer],
  faults,
  stepsMax: 60,
  model: () => {
    begun = new Map()
    return { calls: new Map() }
  },
  operations: {
    start: ({ node, n }) => node.start(Doer, `k${n % 3}`),
    act: async ({ node, n, model }) => {
      // Several at once, so that some wait in a mailbox or are on their way.
      await Promise.all([0, 0, 100, 0].map((millis, i) => ask(node, n + i, millis, model)))
    },
    crash: ({ node, n, model }) => ask(node, n, undefined, model),
  },
  eventually: {
    "every call is over": ({ model }) =>
      [...model.calls.values()].every((end) => end !== undefined),
    "what is said of it is so": ({ model }) => {
      for (const [id, end] of model.calls) {
        const times = begun.get(id) ?? 0
        const { tag, outcome } = end ?? { tag: "nothing", outcome: "unknown" }
        const right =
          outcome === "executed"
            ? times === 1
            : outcome === "not-executed"
              ? times === 0
              : times <= 1
        if (!right) return `call ${id} ran ${times} times, and ${tag} says ${outcome}`
      }
      return undefined
    },
  },
  sometimes: {
    executed: ends("executed"),
    "not executed": ends("not-executed"),
    "unknown, and it ran": ends("unknown", 1),
    "unknown, and it didn't": ends("unknown", 0),
  },
})

/** Calls, and keeps what came of it: a value says that it was executed. */
async function ask(
  node: SimNode,
  n: number,
  millis: number | undefined,
  { calls }: Asked,
): Promise<void> {
  const id = calls.size
  calls.set(id, undefined)
  const timeout = [50, 500, 5_000][n % 4] ?? 1_000
  const ref = node.ref(Doer, `k${n % 3}`).with({ timeout })
  try {
    await (millis === undefined ? ref.crash(id) : ref.act(id, millis))
    calls.set(id, { tag: "its value", outcome: "executed" })
  } catch (error) {
    const { _tag: tag, outcome } = error as CallError
    calls.set(id, { tag, outcome })
  }
}

function ends(outcome: string, times?: number): (scene: { readonly model: Asked }) => boolean {
  return ({ model }) =>
    [...model.calls].some(
      ([id, end]) =>
        end?.outcome === outcome && (times === undefined || (begun.get(id) ?? 0) === times),
    )
}
