import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Fault } from "../../src/testing/faults/fault.ts"
import * as Arbitrary from "../../src/testing/runs/arbitrary.ts"
import type { Complaint } from "../../src/testing/runs/check.ts"
import { calm, type Plan } from "../../src/testing/runs/plan.ts"
import type { Outcome } from "../../src/testing/runs/run.ts"
import {
  candidates,
  type Shrinker,
  type Shrunk,
  shrink,
  signature,
} from "../../src/testing/runs/shrink.ts"
import { type Override, quiet } from "../../src/testing/world/network.ts"
import { Trace } from "../../src/testing/world/trace.ts"

const SECOND = 1_000_000
const names = ["a", "b", "c", "d", "e"]

type Verdict = string | undefined | { readonly excuse: string }

/** What came of a run that is said to end so. */
function outcome(plan: Plan, verdict: Verdict): Outcome {
  const trace = new Trace({ name: "test", seed: plan.seed, nodes: names }, false)
  for (let i = 0; i < plan.faults.length; i++) trace.tick()
  const excuse = typeof verdict === "object" ? verdict.excuse : undefined
  const message = typeof verdict === "object" ? "planted" : verdict
  const complaint: Complaint | undefined =
    message === undefined ? undefined : { check: "check", message }
  return { plan, complaint, excuse, at: 0, hash: "", trace, reached: new Map() }
}

/** Shrinks a plan that fails as `fails` says. */
async function shrunk(
  plan: Plan,
  fails: (plan: Plan) => Verdict,
  options: Partial<Shrinker> = {},
): Promise<Shrunk & { readonly tried: ReadonlyArray<Plan> }> {
  const tried: Array<Plan> = []
  const found = await shrink(outcome(plan, fails(plan)), {
    names,
    run: async (smaller) => {
      tried.push(smaller)
      return outcome(smaller, fails(smaller))
    },
    decided: async () => [],
    sizeMin: 3,
    knobs: {},
    budget: { seconds: 10, runs: 2_000 },
    now: () => 0,
    ...options,
  })
  return { ...found, tried }
}

/** A plan with many faults of some kinds. */
function large(seed: number, options: Partial<Arbitrary.Planned> = {}): Plan {
  return Arbitrary.plans({ operations: ["add"], losses: true, ...options }, seed)(0)
}

describe("a failing plan", () => {
  test("of forty faults is shrunk to the two that it takes", async () => {
    const one: Fault = { kind: "clog", link: [0, 1], at: 3 * SECOND, for: SECOND }
    const other: Fault = { kind: "stop", node: 2, at: 9 * SECOND, for: 2 * SECOND }
    const has = ({ faults }: Plan, { kind }: Fault): boolean =>
      faults.some((fault) => fault.kind === kind)
    for (let seed = 0; seed < 20; seed++) {
      const plan = large(seed, { faults: ["partition", "pause", "loss"], faultsMax: 60 })
      const rest = Array.from(
        { length: 38 },
        (_, i) => plan.faults[i] ?? { ...one, kind: "reset" as const },
      )
      const faults: Array<Fault> = [...rest]
      faults.splice((seed * 17) % 30, 0, one)
      faults.splice((seed * 29) % 39, 0, other)
      const found = await shrunk({ ...plan, faults }, (plan) =>
        has(plan, one) && has(plan, other) ? "two" : undefined,
      )
      assert.deepEqual(
        found.plan.faults.map(({ kind }) => kind).toSorted(),
        ["clog", "stop"],
        `seed ${seed}`,
      )
      assert.equal(found.exhausted, false)
      assert.ok(found.runs < 500, `${found.runs} runs for seed ${seed}`)
      assert.deepEqual([found.faultsBefore, found.eventsBefore, found.events], [40, 40, 2])
    }
  })

  test("loses all that has nothing to do with it", async () => {
    const plan: Plan = {
      ...large(3, { nodes: 5 }),
      noise: { latencyMicros: [100, 150_000], lossPpm: 10_000, dropPpm: 0, duplicatePpm: 0 },
      knobs: { size: 3, other: 1 },
      survivors: [0, 1, 2],
      overrides: [{ from: 0, to: 1, n: 1, fate: "drop" }],
    }
    const found = await shrunk(plan, () => "always", { knobs: { size: [1, 2, 3] } })
    assert.deepEqual(found.plan, {
      ...calm(plan.seed, 3, SECOND),
      knobs: { size: 1, other: 1 },
      survivors: undefined,
    })
  })

  test("keeps the nodes, operations, knobs and latency that it takes", async () => {
    const plan: Plan = {
      ...large(3, { nodes: 5, stepsMax: 40 }),
      noise: { ...quiet, latencyMicros: [100, 150_000] },
      knobs: { size: 3 },
    }
    const step = plan.steps.at(-1)
    assert.ok(step !== undefined && plan.steps.length > 5)
    const found = await shrunk(
      plan,
      ({ nodes, steps, knobs, noise }) =>
        nodes >= 4 &&
        steps.some(({ n }) => n === step.n) &&
        knobs.size === 3 &&
        noise.latencyMicros[1] > 800
          ? "four"
          : undefined,
      { knobs: { size: [1, 2, 3] } },
    )
    assert.equal(found.plan.nodes, 4)
    assert.deepEqual(found.plan.steps, [{ ...step, at: 0 }])
    assert.deepEqual(found.plan.knobs, { size: 3 })
    assert.deepEqual(found.plan.noise.latencyMicros, [100, 150_000])
  })

  test("has simple faults in the end, early, not longer than needed, and a near end", async () => {
    const faults: ReadonlyArray<Fault> = [
      {
        kind: "partition",
        groups: [
          [1, 2, 3],
          [4, 0],
        ],
        at: 10 * SECOND,
        for: 17_350_000,
      },
      { kind: "crash", node: 1, machine: true, at: 12 * SECOND, for: 3 * SECOND },
      { kind: "flap", node: 1, times: 5, at: 12 * SECOND, for: 3 * SECOND },
      { kind: "restart", node: 1, stale: true, at: 12 * SECOND, for: 3 * SECOND },
    ]
    const plan: Plan = { ...calm(1, 3, 60 * SECOND), faults }
    const found = await shrunk(plan, ({ faults: [first, ...others] }) =>
      first?.kind === "partition" && first.for >= 3.2 * SECOND && others.length === 3
        ? "cut"
        : undefined,
    )
    const [partition, crash, flap, restart] = found.plan.faults
    assert.deepEqual(partition, { kind: "partition", groups: [[1], [4]], at: 0, for: 4 * SECOND })
    assert.deepEqual(crash, { kind: "crash", node: 1, machine: false, at: 2 * SECOND, for: 0 })
    assert.deepEqual(flap, { kind: "flap", node: 1, times: 1, at: 2 * SECOND, for: 0 })
    assert.deepEqual(restart, { kind: "restart", node: 1, stale: false, at: 2 * SECOND, for: 0 })
    assert.equal(found.plan.horizon, 5 * SECOND)
  })

  test("counts as smaller only if it fails in the same way; other ways are told", async () => {
    const faults: ReadonlyArray<Fault> = ["a", "b", "c"].map((_, node) => ({
      kind: "pause",
      node,
      at: node * SECOND,
      for: SECOND,
    }))
    const found = await shrunk({ ...calm(1, 3, 9 * SECOND), faults }, ({ faults }) =>
      faults.length >= 2
        ? `b lost ${faults.length}`
        : faults.length === 1
          ? "d is gone"
          : undefined,
    )
    assert.equal(found.plan.faults.length, 2)
    assert.equal(found.complaint.message, "b lost 2")
    assert.deepEqual([...found.others], ["check: * is gone"])
  })

  test("isn't shrunk to one whose failure is excused", async () => {
    const faults: ReadonlyArray<Fault> = [0, 1].map((node) => ({
      kind: "pause",
      node,
      at: 0,
      for: 0,
    }))
    const found = await shrunk({ ...calm(1, 3, 9 * SECOND), faults }, ({ faults }) =>
      faults.length === 2 ? "planted" : { excuse: "too few" },
    )
    assert.equal(found.plan.faults.length, 2)
  })

  test("is shrunk as far as the budget of runs or of seconds allows", async () => {
    const plan = { ...large(1, { faultsMax: 60 }) }
    const stubborn = (plan: Plan): Verdict => (plan.faults.length > 3 ? "many" : undefined)
    const free = await shrunk(plan, stubborn)
    assert.equal(free.exhausted, false)
    assert.equal(free.tried.length, free.runs)
    const short = await shrunk(plan, stubborn, { budget: { seconds: 10, runs: 7 } })
    assert.deepEqual([short.runs, short.tried.length, short.exhausted], [7, 7, true])
    let millis = 0
    const late = await shrunk(plan, stubborn, {
      budget: { seconds: 2, runs: 1_000 },
      now: () => (millis += 100),
    })
    assert.ok(late.exhausted && late.runs < 20, `${late.runs}`)
    assert.ok(late.seconds >= 2)
    const none = await shrunk(plan, stubborn, { budget: { seconds: 10, runs: 0 } })
    assert.deepEqual([none.plan, none.runs], [plan, 0])
  })
})

describe("noise that matters", () => {
  const drops: ReadonlyArray<Override> = Array.from({ length: 30 }, (_, n) => ({
    from: n % 3,
    to: 3,
    n,
    fate: n % 2 === 0 ? "drop" : { lateMicros: 200_000 },
  }))
  const noisy: Plan = {
    ...calm(1, 4, SECOND),
    noise: { ...quiet, latencyMicros: [5, 9], lossPpm: 10_000, dropPpm: 10_000 },
  }
  const lost = ({ overrides }: Plan, n: number): boolean => overrides.some((one) => one.n === n)

  test("is frozen into fates, of which those are kept that it takes", async () => {
    const found = await shrunk(
      noisy,
      (plan) => (plan.noise.dropPpm > 0 || (lost(plan, 7) && lost(plan, 20)) ? "lost" : undefined),
      { decided: async () => drops },
    )
    assert.deepEqual(found.plan.overrides, [drops[7], drops[20]])
    assert.deepEqual(found.plan.noise, quiet)
  })

  test("stays if the run with the fates alone doesn't fail", async () => {
    const found = await shrunk(noisy, ({ noise }) => (noise.lossPpm > 0 ? "noise" : undefined), {
      decided: async () => drops,
    })
    assert.deepEqual(found.plan.overrides, [])
    assert.equal(found.plan.noise.lossPpm, 10_000)
  })

  test("is frozen besides the fates that the plan had already", async () => {
    const before: Override = { from: 0, to: 1, n: 99, fate: "duplicate" }
    const found = await shrunk(
      { ...noisy, overrides: [before] },
      (plan) => (lost(plan, 99) && (plan.noise.dropPpm > 0 || lost(plan, 4)) ? "lost" : undefined),
      { decided: async () => drops },
    )
    assert.deepEqual(found.plan.overrides, [before, drops[4]])
  })

  test("that doesn't matter is not asked for", async () => {
    let asked = 0
    await shrunk(noisy, () => "always", {
      decided: async () => {
        asked++
        return drops
      },
    })
    assert.equal(asked, 0)
  })
})

describe("candidates", () => {
  const smallest = { sizeMin: 2, knobs: { size: [1] } }
  const plans = Arbitrary.arbitrary({ operations: ["add"], losses: true, knobs: { size: [1, 2] } })

  test("are plans with less in them, never the same again, and come to an end", () => {
    fc.assert(
      fc.property(plans, fc.nat(), (plan, lot) => {
        let current = plan
        // Whichever is taken.
        for (let i = 0; i < 1_000; i++) {
          const all = [...candidates(current, smallest)]
          for (const smaller of all) {
            assert.notDeepEqual(smaller, current)
            assert.ok(smaller.faults.length <= current.faults.length)
            assert.ok(smaller.steps.length <= current.steps.length)
            assert.ok(smaller.nodes <= current.nodes && smaller.nodes >= Math.min(2, plan.nodes))
            assert.ok(smaller.horizon <= current.horizon && smaller.horizon > 0)
            for (const { at, for: length } of smaller.faults) assert.ok(at >= 0 && length >= 0)
          }
          if (all.length === 0) return
          current = all[(lot + i * 7) % all.length] as Plan
        }
        assert.fail("there is always one more")
      }),
      { numRuns: 20 },
    )
  })
})

describe("the signature of a failure", () => {
  const of = (check: string, message: string, all: ReadonlyArray<string> = names): string =>
    signature({ check, message }, all)

  test("is the check and its message, without numbers and names of nodes", () => {
    assert.equal(of("owner", "a and b: 2 of 3.5 s, at n1"), "owner: * and *: # of # s, at n#")
    assert.equal(of("x", "a, b"), of("x", "c, e"))
    assert.notEqual(of("x", "a, b"), of("y", "a, b"))
    assert.notEqual(of("x", "a, b"), of("x", "a"))
    assert.equal(of("x", "Counter/a-1 abc"), "x: Counter/a-# abc")
  })

  test("is the same for nodes of all kinds of names", () => {
    const many = [...names, "n26", "n27"]
    assert.equal(of("x", "n26, b", many), of("x", "a, n27", many))
  })
})
