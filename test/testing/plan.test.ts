import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Kind } from "../../src/testing/faults/fault.ts"
import * as Arbitrary from "../../src/testing/runs/arbitrary.ts"
import { calm, fates, hash, lines, type Plan, parse, print } from "../../src/testing/runs/plan.ts"
import { type Override, quiet } from "../../src/testing/world/network.ts"

const override: fc.Arbitrary<Override> = fc.record({
  from: fc.nat({ max: 9 }),
  to: fc.nat({ max: 9 }),
  n: fc.nat(),
  fate: fc.oneof(
    fc.constantFrom("drop" as const, "duplicate" as const),
    fc.record({ lateMicros: fc.nat() }),
  ),
})

const bare: fc.Arbitrary<Plan> = Arbitrary.arbitrary({
  operations: ["add", "remove"],
  faults: [...Arbitrary.defaults, "drop", "duplicate", "corrupt"],
  knobs: { size: [1, 2, 3], other: [0] },
  losses: true,
})
const plan: fc.Arbitrary<Plan> = fc
  .tuple(bare, fc.array(override))
  .map(([plan, overrides]) => ({ ...plan, overrides }))

/** The same with the keys of all objects the other way round, and with members that are undefined. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).toReversed()
  return Object.fromEntries([
    ["no", undefined],
    ...entries.map(([key, part]) => [key, turned(part)]),
  ])
}

describe("a plan as a text", () => {
  test("says all of it", () => {
    fc.assert(
      fc.property(plan, (plan) => {
        assert.deepEqual(parse(print(plan)), JSON.parse(JSON.stringify(plan)))
      }),
    )
  })

  test("is the same for equal plans, whatever order they were put together in", () => {
    fc.assert(
      fc.property(plan, (plan) => {
        const text = print(plan)
        assert.equal(print(parse(text)), text)
        assert.equal(print(turned(plan) as Plan), text)
        assert.equal(hash(turned(plan) as Plan), hash(plan))
        assert.match(hash(plan), /^[0-9a-f]{8}$/)
        assert.ok(text.endsWith("}\n"))
      }),
    )
  })

  test("differs for plans that differ", () => {
    const one = calm(1, 3, 1_000)
    const others: ReadonlyArray<Plan> = [
      { ...one, seed: 2 },
      { ...one, nodes: 4 },
      { ...one, survivors: [0] },
      { ...one, knobs: { size: 1 } },
      { ...one, faults: [{ kind: "ring", at: 0, for: 1 }] },
    ]
    assert.equal(new Set([one, ...others].map(hash)).size, 6)
  })

  test("that is none is refused, with the reason", () => {
    const plan = calm(1, 3, 1_000)
    const wrong: ReadonlyArray<readonly [unknown, RegExp]> = [
      [null, /it is no object/],
      ["plan", /it is no object/],
      [{ ...plan, v: 2 }, /its version is 2, this is 1/],
      [{ ...plan, seed: "1" }, /seed is 1/],
      [{ ...plan, seed: -1 }, /seed is -1/],
      [{ ...plan, nodes: 0 }, /it has no nodes/],
      [{ ...plan, nodes: 1.5 }, /nodes is 1\.5/],
      [{ ...plan, horizon: undefined }, /horizon is undefined/],
      [{ ...plan, noise: undefined }, /it has no noise/],
      [{ ...plan, noise: null }, /it has no noise/],
      [{ ...plan, knobs: undefined }, /it has no knobs/],
      [{ ...plan, faults: {} }, /faults is no list/],
      [{ ...plan, steps: undefined }, /steps is no list/],
      [{ ...plan, overrides: null }, /overrides is no list/],
    ]
    for (const [value, reason] of wrong)
      assert.throws(
        () => parse(JSON.stringify(value)),
        new RegExp(`^Error: not a plan: .*${reason.source}`),
      )
    assert.throws(() => parse("{"), SyntaxError)
    assert.deepEqual(parse(JSON.stringify(plan)), plan)
  })
})

describe("a plan in words", () => {
  test("has a line for each thing that happens, by time, and the fates of packets at the end", () => {
    const plan: Plan = {
      ...calm(1, 3, 10_000_000),
      faults: [
        { kind: "partition", groups: [[0]], at: 2_000_000, for: 1_500_000 },
        { kind: "reset", link: [0, 4], at: 500_000, for: 9 },
      ],
      steps: [
        { at: 1_000_000, node: 5, operation: "add", n: 7 },
        { at: 2_000_000, node: 0, operation: "remove", n: 0 },
      ],
      overrides: [
        { from: 0, to: 1, n: 17, fate: "drop" },
        { from: 2, to: 0, n: 3, fate: { lateMicros: 200_000 } },
      ],
    }
    assert.deepEqual(lines(plan, ["a", "b", "c"]), [
      `${"reset a–b".padEnd(40)} 0.500 s`,
      `${"c: add(7)".padEnd(40)} 1.000 s`,
      `${"partition a | b c".padEnd(40)} 2.000 s .. 3.500 s`,
      `${"a: remove(0)".padEnd(40)} 2.000 s`,
      "packet 17 from a to b: drop",
      "packet 3 from c to a: late by 200 ms",
    ])
    assert.deepEqual(
      [...fates(plan)],
      [
        ["0,1,17", "drop"],
        ["2,0,3", { lateMicros: 200_000 }],
      ],
    )
  })
})

describe("random plans", () => {
  test("keep to what was asked for", () => {
    const faults: ReadonlyArray<Kind> = ["crash", "partition", "loss"]
    const options = {
      operations: ["add"],
      nodes: { min: 2, max: 4 },
      horizon: "10 seconds",
      faults,
      faultsMax: 5,
      stepsMax: 3,
      knobs: { size: [7, 9] },
    } as const
    const sizes = new Set<number>()
    const counts = new Set<number>()
    fc.assert(
      fc.property(Arbitrary.arbitrary(options), (plan) => {
        sizes.add(plan.nodes)
        counts.add(plan.faults.length)
        assert.equal(plan.horizon, 10_000_000)
        assert.ok(plan.faults.length <= 5 && plan.steps.length <= 3)
        for (const { kind, at, for: length } of plan.faults) {
          assert.ok(faults.includes(kind))
          assert.ok(at <= plan.horizon && at % 50_000 === 0 && length % 50_000 === 0)
        }
        for (const { operation, n } of plan.steps) assert.ok(operation === "add" && n < 1_000)
        assert.ok(plan.knobs.size === 7 || plan.knobs.size === 9)
        assert.equal(plan.survivors, undefined)
        assert.ok(Number.isInteger(plan.seed) && plan.seed >= 0 && plan.seed <= 0xffff_ffff)
      }),
    )
    assert.deepEqual([...sizes].toSorted(), [2, 3, 4])
    assert.ok(counts.size > 3)
    const empty = Arbitrary.plans({ operations: [], faults: [], nodes: 1 }, 1)(0)
    assert.deepEqual([empty.faults, empty.steps, empty.nodes], [[], [], 1])
  })

  test("have some kinds of faults only, but all kinds together", () => {
    const plans = Arbitrary.plans({ operations: [], faultsMax: 40 }, 1)
    const all = new Set<Kind>()
    let swarms = 0
    for (let run = 0; run < 200; run++) {
      const { faults } = plans(run)
      const kinds = new Set(faults.map(({ kind }) => kind))
      for (const kind of kinds) all.add(kind)
      if (faults.length > 30 && kinds.size < 6) swarms++
    }
    assert.deepEqual([...all].toSorted(), Arbitrary.defaults.toSorted())
    assert.ok(swarms > 5, `${swarms}`)
  })

  /** How many nodes are down at most at one time. */
  function down({ faults, nodes }: Plan): number {
    const kinds: ReadonlyArray<Kind> = ["crash", "stop", "leave", "flap", "restart"]
    const downs = faults.filter(({ kind }) => kinds.includes(kind))
    const counts = downs.map(({ at }) => {
      const now = downs.filter((other) => other.at <= at && at <= other.at + other.for)
      return new Set(now.map((other) => ("node" in other ? other.node % nodes : -1))).size
    })
    return Math.max(0, ...counts)
  }

  test("never have more nodes down at a time than is bearable", () => {
    const most = new Set<number>()
    const options = {
      operations: [],
      nodes: 5,
      faults: ["crash", "flap", "restart", "leave"],
    } as const
    fc.assert(fc.property(Arbitrary.arbitrary(options), (plan) => void most.add(down(plan))))
    assert.equal(Math.max(...most), 2)
    const long = Arbitrary.plans({ ...options, horizon: "10 minutes" }, 1)
    const crashed = Array.from({ length: 20 }, (_, run) => long(run).faults).map(
      (faults) => new Set(faults.map((fault) => "node" in fault && fault.node % 5)).size,
    )
    assert.equal(Math.max(...crashed), 5, "not even one after the other")
    const none = Arbitrary.arbitrary({ ...options, downMax: 0 })
    fc.assert(fc.property(none, ({ faults }) => assert.deepEqual(faults, [])))
  })

  test("lose less than half of the nodes for ever, in some plans, where that is wanted", () => {
    let lost = 0
    const plans = Arbitrary.arbitrary({ operations: [], nodes: { min: 1, max: 7 }, losses: true })
    fc.assert(
      fc.property(plans, ({ survivors, nodes }) => {
        if (survivors === undefined) return
        lost++
        assert.equal(new Set(survivors).size, survivors.length)
        assert.ok(survivors.length > nodes / 2 && survivors.length < nodes)
        for (const node of survivors) assert.ok(node >= 0 && node < nodes)
      }),
    )
    assert.ok(lost > 2 && lost < 60, `${lost} of 100`)
  })

  test("of a suite depend on its seed and their number, and on nothing else", () => {
    const options = { operations: ["add"] }
    const [one, same, other] = [1, 1, 2].map((seed) => Arbitrary.plans(options, seed))
    for (const run of [5, 0, 99]) {
      assert.deepEqual(one?.(run), same?.(run))
      assert.notDeepEqual(one?.(run), other?.(run))
      assert.notDeepEqual(one?.(run), one?.(run + 1))
    }
  })

  test("shrink to smaller plans in properties of one's own", () => {
    const plans = Arbitrary.arbitrary({ operations: ["add"], faultsMax: 30 })
    const result = fc.check(
      fc.property(plans, ({ faults }) => {
        assert.ok(!faults.some(({ kind }) => kind === "ring"))
      }),
      { seed: 1 },
    )
    assert.ok(result.failed)
    const [found] = result.counterexample ?? []
    assert.deepEqual(
      found?.faults.map(({ kind, at, for: length }) => [kind, at, length]),
      [["ring", 0, 0]],
    )
    assert.deepEqual([found?.steps, found?.nodes, found?.noise], [[], 3, quiet])
  })
})
