/**
 * Children of named supervisors that end, crash or lose their node, with whole nodes.
 *
 * Read as it applies here: a supervisor has no process that could die when a child exceeds its limit, so of
 * S31's cases about that there is only that the others don't notice.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { Process, Supervisor } from "skein"
import { type SimNode, simulate } from "skein/testing"
import { after, Counter, fill, sum } from "./homes.ts"
import { keys } from "./shared.ts"

type Two = readonly [SimNode, SimNode]
type Three = readonly [SimNode, SimNode, SimNode]

describe("S31. restart semantics", () => {
  for (const restart of ["temporary", "transient", "permanent"] as const) {
    const { quit, crash, node } = after[restart]
    test(`S31. ${restart}: ${quit} after a normal exit, ${crash} after a crash, ${node} after its node's`, async () => {
      const Child = Process.define("Child", { ...Counter.spec, restart })
      for (const strategy of [Supervisor.ring, Supervisor.pinned("b")]) {
        const Children = Supervisor.define("s", { processes: [Child], strategy })
        await simulate({ nodes: 3, seed: 5, options: { supervisors: [Children] } }, async (sim) => {
          const [a, b] = sim.nodes as unknown as Three
          const children = a.supervisor(Children)
          const outcomes: Record<string, string> = {}
          for (const end of ["quit", "crash", "node"] as const) {
            const key = keys(99).find((k) => b.supervisor(Children).isMine(Child, `${end} ${k}`))
            const result = await children.start(Child, `${end} ${key}`, { start: 10 })
            assert.ok(result._tag === "Started" && result.node === "b")
            await result.ref.add(1)
            if (end === "node") b.crash()
            else await result.ref[end]().catch(() => {})
            await sim.converged()
            const tried = await result.ref.try.add(1)
            outcomes[end] = tried.ok ? (tried.value === 11 ? "anew" : `${tried.value}`) : "gone"
            if (tried.ok) continue
            assert.equal(tried.error._tag, "NoProcess")
            assert.equal(children.whois(result.ref), undefined)
          }
          assert.deepEqual(outcomes, { quit, crash, node })
        })
      }
    })
  }

  test("S31. 1,000 transient jobs started over 3 nodes run exactly once each, and stay gone when a node dies", async () => {
    for (const strategy of [Supervisor.ring, Supervisor.leastLoaded]) {
      const runs = new Map<string, number>()
      const Job = Process.define("Job", {
        state: () => ({}),
        casts: {
          run: (self) => {
            runs.set(self.key, (runs.get(self.key) ?? 0) + 1)
            self.stop("done")
          },
        },
        started: (self) => void self.after(1, "run"),
      })
      const Jobs = Supervisor.define("jobs", { processes: [Job], strategy })
      await simulate({ nodes: 3, seed: 2, options: { supervisors: [Jobs] } }, async (sim) => {
        const [a, b, c] = sim.nodes as unknown as Three
        const results = await Promise.all(
          keys(1_000).map((_, i) =>
            ([a, b, c][i % 3] as SimNode).supervisor(Jobs).start(Job, undefined),
          ),
        )
        assert.ok(results.every(({ _tag }) => _tag === "Started"))
        const counts = (): ReadonlyArray<number> =>
          [a, b].map((node) => node.supervisor(Jobs).counts().total)
        await sim.until("all are done", () => sum(counts()) === 0)
        c.crash()
        await sim.converged()
        await sim.advance("20 seconds")
        assert.equal(runs.size, 1_000)
        assert.deepEqual([...new Set(runs.values())], [1])
        assert.deepEqual(counts(), [0, 0])
      })
    }
  })

  test("S31. what crashes more often than the supervisor allows is gone, and the others don't notice", async () => {
    const Brittle = Supervisor.define("brittle", {
      processes: [Counter],
      intensity: { max: 2, withinMillis: 60_000 },
    })
    await simulate({ nodes: 2, seed: 1, options: { supervisors: [Brittle] } }, async (sim) => {
      const [a, b] = sim.nodes as unknown as Two
      await fill(sim, Brittle, 20)
      const brittle = a.supervisor(Brittle)
      const key = keys(20).find((each) => b.supervisor(Brittle).isMine(Counter, each)) ?? ""
      const ref = brittle.ref(Counter, key)
      for (let i = 0; i < 2; i++) await assert.rejects(ref.crash(), { _tag: "HandlerCrashed" })
      // It can't escape its limit by a move.
      await b.leave()
      assert.equal(await ref.add(1), keys(20).indexOf(key) + 1)
      await assert.rejects(ref.crash(), { _tag: "HandlerCrashed" })
      await assert.rejects(ref.add(1), { _tag: "NoProcess" })
      assert.equal(brittle.counts().total, 19)
      for (const [i, other] of keys(20).entries())
        if (other !== key) assert.equal(await brittle.call(Counter, other, "get"), i)
    })
  })

  test("S31. a child that is slow to start and fails all the time holds up nobody else's start", async () => {
    const Slow = Process.define("Slow", {
      state: (fails: boolean) =>
        Effect.andThen(Effect.sleep("200 millis"), fails ? Effect.fail("no") : Effect.succeed({})),
      calls: { ping: () => "pong" },
    })
    const Slows = Supervisor.define("slow", { processes: [Slow] })
    await simulate({ nodes: 1, seed: 1, options: { supervisors: [Slows] } }, async (sim) => {
      const slows = (sim.nodes[0] as SimNode).supervisor(Slows)
      let failures = 0
      let over = false
      const loop = (async () => {
        while (!over) if ((await slows.start(Slow, "bad", true))._tag === "Failed") failures++
      })()
      for (const key of keys(10)) {
        const at = sim.now
        const result = await slows.start(Slow, key, false)
        assert.ok(sim.now - at <= 205, `${sim.now - at} ms`)
        assert.ok(result._tag === "Started")
        assert.equal(await result.ref.ping(), "pong")
        assert.equal(slows.children().length, Number(key.slice(1)) + 1)
      }
      over = true
      await loop
      assert.ok(failures >= 9, `${failures}`)
      assert.equal(slows.counts().total, 10)
    })
  })
})
