/**
 * Processes that end, crash or lose their node, or can't be started, with whole nodes.
 *
 * Read as it applies here: a state function can't decline with `ignore`, and there are no nested supervisors,
 * so S31's cases about those are left out (what exceeds its restart limit is gone for good).
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { Process } from "skein"
import { type SimNode, simulate } from "skein/testing"
import { after, Counter } from "./homes.ts"
import { keyAt, keys, tagOf } from "./shared.ts"

describe("S31. restart semantics", () => {
  const kinds = ["temporary", "transient", "permanent"] as const

  for (const restart of kinds) {
    const { quit, crash, node } = after[restart]
    test(`S31. ${restart}: ${quit} after a normal exit, ${crash} after a crash, ${node} after its node's`, async () => {
      const Child = Process.define("Child", { ...child, restart })
      await simulate({ nodes: 3, seed: 5, processes: [Child] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const outcomes: Record<string, string> = {}
        for (const end of ["quit", "crash", "node"] as const) {
          const key = keyAt(b, Child, end)
          const ref = await a.start(Child, key, 10)
          await ref.add(1)
          if (end === "node") b.crash()
          else await ref[end]().catch(() => {})
          await sim.converged()
          const tried = await ref.try.add(1)
          outcomes[end] = tried.ok ? (tried.value === 11 ? "anew" : `${tried.value}`) : "gone"
          if (tried.ok) continue
          assert.equal(tried.error._tag, "NoProcess")
          for (const other of sim.nodes)
            if (other.running) assert.equal(other.whereis(Child, key), undefined)
        }
        assert.deepEqual(outcomes, { quit, crash, node })
      })
    })
  }

  test("S31. 1,000 transient jobs started over 3 nodes run exactly once each", async () => {
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
    await simulate({ nodes: 3, seed: 2, processes: [Job] }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const nodes = [a, b, c]
      await Promise.all(keys(1_000).map((key, i) => (nodes[i % 3] as SimNode).start(Job, key)))
      await sim.until("all are done", () => nodes.every((node) => node.count() === 0))
      await sim.advance("20 seconds")
      assert.equal(runs.size, 1_000)
      assert.deepEqual([...new Set(runs.values())], [1])
    })
  })

  test("S31. a name that is taken gives the existing process, or says where it is", async () => {
    await simulate({ nodes: 3, seed: 1, processes: [Counter] }, async (sim) => {
      for (const [i, node] of sim.nodes.entries()) {
        await sim.nodes[0]?.start(Counter, `k${i}`, { start: 5 })
        const [home] = sim.owners(Counter, `k${i}`)
        const again = await node.start(Counter, `k${i}`, { start: 7 })
        assert.equal(await again.get(), 5)
        await assert.rejects(node.start(Counter, `k${i}`, undefined, { exclusive: true }), {
          _tag: "AlreadyRegistered",
          node: home,
        })
      }
      // Of many at once one starts it.
      const starts = await Promise.all(
        sim.nodes.flatMap((node) =>
          keys(20).map((key) =>
            tagOf(node.start(Counter, `x${key}`, undefined, { exclusive: true })),
          ),
        ),
      )
      assert.equal(starts.filter((tag) => tag === "none").length, 20)
      assert.equal(starts.filter((tag) => tag === "AlreadyRegistered").length, 40)
    })
  })

  test("S31. what can't be started is an error of its caller, nothing is listed, and no node minds", async () => {
    const Failing = Process.define("Failing", {
      state: (how?: string) => {
        if (how === "throws") throw new Error("no state")
        return how === "rejects" ? Promise.reject(new Error("no state")) : {}
      },
    })
    const Unknown = Process.define("Unknown", { state: () => ({}) })
    await simulate({ nodes: 2, seed: 1, processes: [Failing] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      for (const node of [a, b])
        for (const key of keys(4)) {
          for (const how of ["throws", "rejects"])
            assert.equal(await tagOf(node.start(Failing, key, how)), "StartFailed")
          const notData = (() => 1) as unknown as string
          assert.equal(await tagOf(node.start(Failing, key, notData)), "NotData")
          assert.equal(await tagOf(node.start(Unknown, key)), "UnknownDefinition")
          assert.deepEqual(sim.owners(Failing, key), [])
        }
      await sim.converged()
      for (const node of [a, b]) assert.equal(node.count(), 0)
      assert.equal(await tagOf(a.start(Failing, "k0")), "none")
    })
  })

  test("S31. what crashes more often than its limit is gone for good, and may be started again", async () => {
    const Fragile = Process.define("Fragile", {
      ...child,
      intensity: { max: 3, withinMillis: 5_000 },
    })
    await simulate({ nodes: 2, seed: 1, processes: [Fragile] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const ref = await a.start(Fragile, keyAt(b, Fragile), 1)
      // Slowly enough it may go on for ever.
      for (let i = 0; i < 10; i++) {
        assert.equal(await tagOf(ref.crash()), "HandlerCrashed")
        await sim.advance("2 seconds")
      }
      await sim.advance("5 seconds")
      for (let i = 0; i < 4; i++) assert.equal(await tagOf(ref.crash()), "HandlerCrashed")
      await sim.converged()
      assert.equal(await tagOf(ref.add(1)), "NoProcess")
      assert.equal(a.whereis(Fragile, ref.key), undefined)
      await a.start(Fragile, ref.key, 1)
      assert.equal(await ref.add(1), 2)
    })
  })

  test("S31. restarts are counted on across a move: a crash loop can't escape its limit", async () => {
    const Fragile = Process.define("Fragile", {
      ...child,
      intensity: { max: 3, withinMillis: 60_000 },
    })
    await simulate({ nodes: 2, seed: 1, processes: [Fragile] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const ref = await a.start(Fragile, keyAt(b, Fragile), 1)
      for (let i = 0; i < 3; i++) await tagOf(ref.crash())
      await b.leave()
      assert.equal(await ref.add(1), 2)
      assert.equal(await tagOf(ref.crash()), "HandlerCrashed")
      assert.equal(await tagOf(ref.add(1)), "NoProcess")
    })
  })

  test("S31. a slow start that keeps failing holds up nobody else's", async () => {
    const Slow = Process.define("Slow", {
      state: (fails: boolean) =>
        Effect.andThen(Effect.sleep("200 millis"), fails ? Effect.fail("no") : Effect.succeed({})),
      calls: { ping: () => "pong" },
    })
    await simulate({ nodes: 1, seed: 1, processes: [Slow] }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      let failures = 0
      let over = false
      const loop = (async () => {
        while (!over) if ((await tagOf(a.start(Slow, "bad", true))) === "StartFailed") failures++
      })()
      for (const key of keys(10)) {
        const at = sim.now
        const slow = await a.start(Slow, key, false)
        assert.ok(sim.now - at <= 205, `${sim.now - at} ms`)
        assert.equal(await slow.ping(), "pong")
        assert.equal(a.whereis(Slow, "bad"), undefined)
      }
      over = true
      await loop
      assert.ok(failures >= 9, `${failures}`)
      assert.equal(a.count(), 10)
    })
  })
})

const child = {
  state: (start: number) => ({ n: start }),
  calls: {
    add: (self: { state: { n: number } }, by: number) => (self.state.n += by),
    quit: (self: { stop(): void }) => self.stop(),
    crash: (): void => {
      throw new Error("on purpose")
    },
  },
}
