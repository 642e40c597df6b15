/** One run of one plan: operations, faults and noise in its time, then peace, and what must hold. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Fault } from "../../src/testing/faults/fault.ts"
import type { Nodes } from "../../src/testing/nodes/nodes.ts"
import { calm, type Plan } from "../../src/testing/runs/plan.ts"
import { type Outcome, run } from "../../src/testing/runs/run.ts"
import type { Specification } from "../../src/testing/runs/specification.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import { keyOf, type Override, quiet } from "../../src/testing/world/network.ts"
import { add, Counter, type Model, SECOND, short } from "./suite.ts"

/** One run of one plan in which nothing happens but this. */
function outcome(spec: Specification<Model>, plan: Partial<Plan> = {}): Promise<Outcome> {
  return Simulation.run(Simulation.make(spec), { ...calm(1, 3, SECOND), ...plan }, true)
}

describe("a run", () => {
  test("does the operations at their time and node, with the model and the knobs", async () => {
    const done: Array<unknown> = []
    const spec: Specification<Model> = {
      ...short,
      options: (index, { weight = 1 }) => ({ weight: index === 0 ? weight : 1 }),
      operations: {
        look: ({ sim, node, n, model, knobs }) => {
          model.added += n
          const weight = sim.nodes[1]?.members()[0]?.weight
          done.push([Math.floor(sim.now / 100), node.name, model.added, knobs, weight])
        },
      },
    }
    const look = (at: number, node: number, n: number) => ({ at, node, operation: "look", n })
    const steps = [look(0, 4, 1), look(500_000, 2, 2), look(SECOND, 3, 4), look(SECOND + 1, 0, 9)]
    const knobs = { weight: 7 }
    const { complaint } = await outcome(spec, { steps, knobs })
    assert.equal(complaint, undefined)
    assert.deepEqual(done, [
      [1, "b", 1, knobs, 7],
      [6, "c", 3, knobs, 7],
      [11, "a", 7, knobs, 7],
    ])
  })

  test("doesn't mind errors of calls, but anything else that operations throw", async () => {
    const steps = [{ at: 0, node: 0, operation: "it", n: 0 }]
    const it = (operation: NonNullable<typeof short.operations>[string]): Promise<Outcome> =>
      outcome({ ...short, operations: { it: operation } }, { steps })
    const crashed = await it(async ({ node }) => (await node.start(Counter, "x")).fail())
    assert.equal(crashed.complaint, undefined)
    const asked = crashed.trace.events.flatMap((event) =>
      event.kind === "operation" ? [`${event.operation} ${event.phase} ${event.what}`] : [],
    )
    assert.deepEqual(asked, [
      '1 call a: start(Counter, "x")',
      '1 ok a: start(Counter, "x")',
      "2 call a: Counter/x.fail()",
      "2 fail a: Counter/x.fail()",
    ])
    const broken = await it(() => {
      throw new RangeError("one is two")
    })
    assert.deepEqual([broken.complaint?.check, broken.complaint?.message], ["it", "one is two"])
    const rejected = await it(() => Promise.reject("text"))
    assert.deepEqual(rejected.complaint, { check: "it", message: "text" })
    const unknown = await outcome(short, { steps })
    assert.equal(unknown.complaint, undefined)
  })

  test("has faults and noise until its horizon, and peace after that", async () => {
    const phases: Array<string> = []
    const spec: Specification<Model> = {
      ...short,
      stable: "5 seconds",
      always: {
        watch: ({ sim }) => {
          const { going } = sim.faults
          if (going.join() !== phases.at(-1)) phases.push(going.join())
        },
      },
    }
    const faults: ReadonlyArray<Fault> = [
      { kind: "isolate", node: 3, at: 0, for: 9 * SECOND },
      { kind: "pause", node: 1, at: 500_000, for: 100_000 },
      { kind: "crash", node: 2, at: 700_000, for: 60 * SECOND },
      { kind: "ring", at: SECOND + 1, for: 60 * SECOND },
    ]
    const noise = { ...quiet, lossPpm: 300_000 }
    const { complaint, trace } = await outcome(spec, { faults, noise })
    assert.equal(complaint, undefined)
    assert.deepEqual(phases, [
      "",
      "isolate a",
      "isolate a,pause b",
      "isolate a",
      "isolate a,crash c",
      "",
    ])
    const marks = trace.events.flatMap((event) => (event.kind === "phase" ? [event] : []))
    assert.deepEqual(
      marks.map(({ what }) => what),
      ["chaos", "peace"],
    )
    assert.equal(marks[1]!.at - marks[0]!.at, SECOND)
  })

  test("drops, doubles and delays what its noise or its plan says, until its horizon", async () => {
    const overrides = Array.from(
      { length: 500 },
      (_, n) => ({ from: 0, to: 1, n, fate: "drop" }) as const,
    )
    for (const plan of [{ overrides }, { noise: { ...quiet, dropPpm: 300_000 } }]) {
      const { trace } = await outcome(
        { ...short, stable: "20 seconds" },
        { ...plan, horizon: 5 * SECOND },
      )
      const peace = trace.events.find((event) => event.kind === "phase" && event.what === "peace")
      const lost = trace.events.filter((event) => event.kind === "drop" && event.why === "lost")
      assert.ok(lost.length > 3, `${lost.length}`)
      assert.ok(lost.every(({ at }) => at < peace!.at))
    }
  })

  test("starts nodes again that its operations have ended, and checks that all agree", async () => {
    const spec: Specification<Model> = {
      ...short,
      within: "20 seconds",
      operations: {
        crash: ({ node }) => node.crash(),
        part: ({ node }) => node.disconnect("c"),
      },
      eventually: { up: ({ sim }) => sim.nodes.every(({ running }) => running) },
    }
    const step = (operation: string) => [{ at: 0, node: 1, operation, n: 0 }]
    assert.equal((await outcome(spec, { steps: step("crash") })).complaint, undefined)
    assert.equal((await outcome(spec, { steps: step("part") })).complaint?.check, "converged")
  })

  test("checks that names have one owner, unless it is told not to", async () => {
    for (const checks of [true, false]) {
      const plan: Plan = {
        ...calm(1, 3, SECOND),
        faults: [{ kind: "restart", node: 0, at: 0, for: 0 }],
      }
      const { complaint } = await Simulation.make({ ...short, checks }).with(
        plan,
        false,
        (subject) => {
          ;(subject.stage as Nodes).served = () => ["x"]
          return run(plan, subject, { within: 60 * SECOND, stable: 0 })
        },
      )
      assert.equal(complaint?.check, checks ? "one-owner" : undefined)
    }
  })

  test("ends when all that must become true is so, and has been for a while", async () => {
    let looks = 0
    const late: Specification<Model> = {
      ...short,
      stable: "2 seconds",
      within: "10 seconds",
      eventually: {
        soon: ({ sim }) => {
          looks++
          // True, false again, and then true for good.
          return sim.now > 2_500 && (sim.now < 3_500 || sim.now > 5_000) ? undefined : "not yet"
        },
      },
    }
    const { complaint, at } = await outcome(late)
    assert.equal(complaint, undefined)
    assert.ok(at >= 7 * SECOND && at < 7.2 * SECOND, `${at}`)
    assert.ok(looks > 40)
    const never = await outcome({ ...late, eventually: { soon: () => "not yet" } })
    assert.deepEqual(never.complaint, {
      check: "soon",
      message: "not within 10.000 s of peace: not yet",
    })
  })

  test("has nodes that are gone for ever in the end, if its plan says so", async () => {
    const faults: ReadonlyArray<Fault> = [{ kind: "crash", node: 1, at: 0, for: 60 * SECOND }]
    const alive: Array<string> = []
    const spec: Specification<Model> = {
      ...short,
      eventually: {
        look: ({ sim }) => {
          alive.splice(0, 9, ...sim.nodes.filter(({ running }) => running).map(({ name }) => name))
        },
      },
    }
    await outcome(spec, { ...calm(1, 5, SECOND), faults, survivors: [5, 2, 3] })
    assert.deepEqual(alive, ["a", "c", "d"])
    await outcome(spec, { ...calm(1, 5, SECOND), faults })
    assert.deepEqual(alive, ["a", "b", "c", "d", "e"])
  })

  test("fails in its own words when the cluster doesn't even form", async () => {
    const { complaint } = await outcome({ ...short, options: { connect: [] } })
    assert.equal(complaint?.check, "converged")
  })

  test("leaves the fates of other packets as they are when a fault is taken out", async () => {
    const noise = { ...quiet, lossPpm: 150_000 }
    const faults: ReadonlyArray<Fault> = [
      { kind: "loss", link: [0, 1], ppm: 200_000, at: 0, for: 19 * SECOND },
      { kind: "clog", link: [0, 2], at: SECOND, for: SECOND },
    ]
    /** The fates that the noise decided, and how many packets there were from whom to whom. */
    const fates = async (
      plan: Plan,
    ): Promise<readonly [Map<string, Override>, Map<string, number>]> =>
      Simulation.make({ ...short, operations: add }).with(plan, true, async (subject) => {
        const decided: Array<Override> = []
        Object.assign(subject.stage.network, { decided })
        await run(plan, subject, { within: 60 * SECOND, stable: 0 })
        const sent = new Map<string, number>()
        for (const event of subject.world.trace.events)
          if (event.kind === "send") {
            const way = `${event.from},${event.to}`
            sent.set(way, (sent.get(way) ?? 0) + 1)
          }
        return [new Map(decided.map((one) => [keyOf(one), one])), sent] as const
      })
    const plan: Plan = { ...calm(7, 3, 20 * SECOND), noise, faults }
    const [all, sent] = await fates(plan)
    const [fewer, counts] = await fates({ ...plan, faults: faults.slice(0, 1) })
    let common = 0
    for (const [key, one] of all) {
      if (one.n > (counts.get(`${one.from},${one.to}`) ?? 0)) continue
      // Every packet that both runs had got the same fate in both.
      assert.deepEqual(fewer.get(key), one)
      common++
    }
    for (const [key, one] of fewer)
      if (one.n <= (sent.get(`${one.from},${one.to}`) ?? 0)) assert.deepEqual(all.get(key), one)
    assert.ok(common > 10, `${common}`)
  })
})
