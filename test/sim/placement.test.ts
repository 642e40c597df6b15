/**
 * Where processes run, and what becomes of them when nodes come and go: the scenarios of the placement
 * family, with whole nodes.
 *
 * Read as it applies here: there are no groups, so S23 counts names alone; a state function can't decline
 * with `ignore`, and there are no nested supervisors, so S31's cases about those are left out (what exceeds
 * its restart limit is gone for good). States that were copied before a crash (takeover with state) don't
 * exist yet, so S26 counts processes, not what was in them.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type AnyDefinition, Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
  calls: { get: (self) => self.state.n, add: (self, by: number) => (self.state.n += by) },
  handoff: { merge: (mine, theirs) => ({ n: mine.n + theirs.n }) },
})

describe("splits", () => {
  test("S23. each half of a split hosts every name; healed, each has one process again", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ nodes: 2, seed, processes: [Counter] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        await fill(sim, Counter, 10)
        const before = shares(sim, 10)
        assert.ok(before.every((share) => share < 10))
        sim.partition([a], [b])
        await sim.until("both see it", () => a.count() === 10 && b.count() === 10 && apart(sim))
        await sim.settle()
        assert.deepEqual(shares(sim, 10), [10, 10])
        sim.heal()
        await sim.converged()
        assert.deepEqual(shares(sim, 10), before)
        once(sim, Counter, 10)
        assert.deepEqual([a.count(), b.count()], [10, 10])
      })
  })

  test("S24. processes that restart instead of moving differ on both sides of a split, and agree after it", async () => {
    for (let seed = 0; seed < 10; seed++) {
      let born = 0
      const Worker = Process.define("Worker", {
        state: () => ({ id: ++born }),
        calls: { id: (self) => self.state.id },
        handoff: { kind: "restart" },
      })
      await simulate({ nodes: 2, seed, processes: [Worker] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const ids = (node: SimNode): Promise<ReadonlyArray<number>> =>
          Promise.all(keys(2).map((key) => node.ref(Worker, key).id()))
        await fill(sim, Worker, 2)
        assert.deepEqual(await ids(a), await ids(b))
        sim.partition([a], [b])
        await sim.until("both see it", () => apart(sim))
        await sim.settle()
        const [here, there] = [await ids(a), await ids(b)]
        for (const [i, id] of here.entries()) assert.notEqual(id, there[i])
        sim.heal()
        await sim.converged()
        assert.deepEqual(await ids(a), await ids(b))
        once(sim, Worker, 2)
      })
    }
  })

  test("S29. a name started by both before they join is one process after it, also when one stops at once", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...strangers, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        await sim.advance("4 seconds")
        for (const key of keys(3)) for (const node of [a, b]) await node.start(Counter, key)
        for (const key of keys(3)) assert.equal(sim.owners(Counter, key).length, 2)
        await a.connect("b")
        if (seed % 2 === 0) await sim.converged()
        else {
          await sim.advance(10 * seed)
          await b.stop()
          await sim.converged()
        }
        once(sim, Counter, 3)
        assert.equal(a.count(), 3)
        for (const key of keys(3)) assert.equal(await a.ref(Counter, key).get(), 0)
      })
  })

  test("S29. names started on both sides of a split are one process each after it, the other one is told", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ nodes: 4, seed, processes: [Counter] }, async (sim) => {
        const [a, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        sim.partition([a, b], [c, d])
        await sim.until("both see it", () => apart(sim))
        await sim.settle()
        for (const node of [a, d])
          for (const key of keys(10)) await (await node.start(Counter, key)).add(1)
        for (const key of keys(10)) assert.equal(sim.owners(Counter, key).length, 2)
        sim.heal()
        await sim.converged()
        once(sim, Counter, 10)
        const told = [...losers(sim)]
        assert.deepEqual(
          told.sort(),
          keys(10)
            .map((key) => `Counter/${key}`)
            .sort(),
        )
        for (const key of keys(10)) assert.equal(await b.ref(Counter, key).get(), 2)
      })
  })

  test("S29. at scale: 1,000 names on 4 nodes, split 2/2 and healed, are 1,000 processes again", async () => {
    await simulate({ nodes: 4, seed: 7, processes: [Counter] }, async (sim) => {
      const [a, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
      await fill(sim, Counter, 1_000)
      sim.partition([a, b], [c, d])
      await sim.until("both see it", () => apart(sim))
      await sim.settle()
      const [inA = 0, inB = 0, inC = 0, inD = 0] = shares(sim, 1_000)
      assert.deepEqual([inA + inB, inC + inD], [1_000, 1_000])
      sim.heal()
      await sim.converged()
      once(sim, Counter, 1_000)
      for (const node of sim.nodes) assert.equal(node.count(), 1_000)
      assert.equal(losers(sim).length, 1_000)
    })
  })
})

describe("nodes that come and go", () => {
  test("who hears of a start elsewhere can have the process stopped at once", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 3, seed, processes: [Counter] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        for (const key of keys(20)) {
          await b.start(Counter, key)
          assert.equal(await a.stopProcess(Counter, key, "done"), true)
          assert.equal(await a.stopProcess(Counter, key, "done"), false)
        }
      })
  })

  test("S25. a name bound to an existing process never moves, and vanishes with the process or its host", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 2, seed, processes: [Anchor] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const anchors = await Promise.all(keys(6).map((key) => a.start(Anchor, key)))
        const bases = anchors.map(({ key }) => a.whereis(Anchor, key)?.node)
        for (const [i, anchor] of anchors.entries())
          await sim.nodes.find(({ name }) => name === bases[i])?.register(`name ${i}`, anchor)
        await sim.join()
        await sim.join()
        await sim.converged()
        for (const node of sim.nodes)
          for (const [i, home] of bases.entries())
            assert.equal(node.whereis(`name ${i}`)?.node, home)
        const mine = bases.indexOf("a")
        assert.ok(mine >= 0 && bases.includes("b"))
        assert.equal(await b.stopProcess(Anchor, `k${mine}`), true)
        await sim.converged()
        for (const node of sim.nodes) assert.equal(node.whereis(`name ${mine}`), undefined)
        b.crash({ machine: seed % 2 === 0 })
        await sim.converged()
        for (const node of [a, ...sim.nodes.slice(2)])
          for (const [i, home] of bases.entries())
            assert.equal(
              node.whereis(`name ${i}`)?.node,
              home === "b" || i === mine ? undefined : home,
            )
      })
  })

  for (const [what, machine, within] of [
    ["is killed", false, 2_000],
    ["loses its machine", true, 5_000],
  ] as const)
    test(`S26. when a node ${what} the count comes back: never more than 200, and 200 within ${within / 1_000} s`, async () => {
      for (const nodes of [2, 3])
        await simulate({ nodes, seed: nodes, processes: [Counter] }, async (sim) => {
          await fill(sim, Counter, 200)
          const running = (): number => homes(sim, Counter, 200).flat().length
          assert.equal(running(), 200)
          // Whoever takes a name over says so: what two took over is there twice then.
          sim.always("never more than 200", () => {
            if (sim.events.at(-1)?.event._tag === "TakenOver") return running() <= 200
            const counts = sim.nodes.filter((node) => node.running).map((node) => node.count())
            return Math.max(...counts) <= 200
          })
          const [a, ...rest] = sim.nodes as [SimNode, ...Array<SimNode>]
          const left = 200 - (shares(sim, 200)[0] ?? 0)
          a.crash({ machine })
          assert.equal(running(), left)
          const at = sim.now
          while (running() < 200) await sim.advance("20 millis")
          assert.ok(sim.now - at <= within, `after ${sim.now - at} ms`)
          await sim.converged()
          assert.equal(running(), 200)
          for (const node of rest) assert.equal(node.count(), 200)
        })
    })

  test("S28. active: on a join exactly the processes whose owner changed move, are told so, and run there", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const ends = new Map<string, string>()
      const Child = Process.define("Child", {
        state: () => ({}),
        stopping: (self, reason) => void ends.set(self.key, `${self.node}: ${reason}`),
      })
      await simulate({ nodes: 3, seed, processes: [Child] }, async (sim) => {
        await fill(sim, Child, 60)
        const before = new Map(keys(60).map((key) => [key, sim.owners(Child, key)[0]]))
        const joiner = await sim.join()
        await sim.converged()
        const moved = keys(60).filter((key) => joiner.nodeFor(Child, key) === joiner.name)
        assert.ok(moved.length > 0 && moved.length < 40, `${moved.length} moved`)
        assert.deepEqual([...ends.keys()].sort(), [...moved].sort())
        for (const key of keys(60)) {
          const home = moved.includes(key) ? joiner.name : before.get(key)
          assert.deepEqual(sim.owners(Child, key), [home])
          if (moved.includes(key)) assert.equal(ends.get(key), `${before.get(key)}: moved`)
        }
      })
    }
  })

  test("S28. passive: on a join nothing moves; when a node leaves the others take all it had", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate(
        { nodes: 2, seed, processes: [Counter], options: { rebalance: "passive" } },
        async (sim) => {
          const [a, b] = sim.nodes as [SimNode, SimNode]
          await fill(sim, Counter, 40)
          const before = homes(sim, Counter, 40)
          await sim.join()
          await sim.converged()
          await sim.advance("10 seconds")
          assert.deepEqual(homes(sim, Counter, 40), before)
          await a.leave()
          await sim.converged()
          for (const [i, key] of keys(40).entries()) {
            const home = before[i]?.[0] === "a" ? b.nodeFor(Counter, key) : "b"
            assert.deepEqual(sim.owners(Counter, key), [home])
            assert.equal(await b.ref(Counter, key).get(), i)
          }
          assert.ok(!sim.events.some(({ event }) => event._tag === "TakenOver"))
        },
      )
  })
})

describe("S31. restart semantics", () => {
  const kinds = ["temporary", "transient", "permanent"] as const
  const after = {
    temporary: { quit: "gone", crash: "gone", node: "gone" },
    transient: { quit: "gone", crash: "anew", node: "anew" },
    permanent: { quit: "anew", crash: "anew", node: "anew" },
  } as const

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

/** A process that stays where it was started until its node leaves. */
const Anchor = Process.define("Anchor", {
  state: () => ({}),
  restart: "temporary",
  handoff: { kind: "ignore" },
})

const strangers = {
  nodes: 2,
  processes: [Counter],
  formed: false,
  options: { connect: [] },
}

function keys(count: number): ReadonlyArray<string> {
  return Array.from({ length: count }, (_, i) => `k${i}`)
}

function keyAt(node: SimNode, definition: AnyDefinition, prefix = "k"): string {
  for (let i = 0; ; i++)
    if (node.nodeFor(definition, `${prefix}${i}`) === node.name) return `${prefix}${i}`
}

/** Starts so many processes, from all nodes in turn. */
async function fill(sim: Sim, definition: AnyDefinition, count: number): Promise<void> {
  await Promise.all(
    keys(count).map((key, i) =>
      (sim.nodes[i % sim.nodes.length] as SimNode).start(definition as typeof Counter, key, {
        start: i,
      }),
    ),
  )
  await sim.converged()
}

/** Where each of these processes lives. */
function homes(
  sim: Sim,
  definition: AnyDefinition,
  count: number,
): ReadonlyArray<ReadonlyArray<string>> {
  return keys(count).map((key) => sim.owners(definition, key))
}

/** How many of these counters live on each node. */
function shares(sim: Sim, count: number): ReadonlyArray<number> {
  const all = homes(sim, Counter, count).flat()
  return sim.nodes.map(({ name }) => all.filter((home) => home === name).length)
}

/** The names whose process was told that it lost them. */
function losers(sim: Sim): ReadonlyArray<string> {
  return sim.events.flatMap(({ event }) => (event._tag === "ConflictLost" ? [event.process] : []))
}

/** Whether nobody sees those that it is cut from any more. */
function apart(sim: Sim): boolean {
  return sim.nodes.every((node) => {
    const up = node.members().filter(({ status }) => status !== "down" && status !== "left")
    return up.length === sim.nodes.length / 2
  })
}

/** Every process has one owner: where the ring says, and where everybody finds it. */
function once(sim: Sim, definition: AnyDefinition, count: number): void {
  for (const key of keys(count)) {
    const running = sim.nodes.filter((node) => node.running)
    const home = running[0]?.nodeFor(definition, key)
    assert.deepEqual(sim.owners(definition, key), [home])
    for (const node of running) assert.equal(node.whereis(definition, key)?.node, home)
  }
}

function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: { readonly _tag: string }) => error._tag,
  )
}
