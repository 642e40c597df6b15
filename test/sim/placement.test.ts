/**
 * Where processes run, and what becomes of them when nodes come and go: the scenarios of the placement
 * family, with whole nodes. Those about starts and restarts (S31) are in placement-restarts.test.ts.
 *
 * Read as it applies here: there are no groups, so S23 counts names alone. States that were copied before a
 * crash (takeover with state) don't exist yet, so S26 counts processes, not what was in them.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type AnyDefinition, Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { apart, Counter } from "./homes.ts"
import { keys } from "./shared.ts"

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

/** Every process has one owner: where the ring says, and where everybody finds it. */
function once(sim: Sim, definition: AnyDefinition, count: number): void {
  for (const key of keys(count)) {
    const running = sim.nodes.filter((node) => node.running)
    const home = running[0]?.nodeFor(definition, key)
    assert.deepEqual(sim.owners(definition, key), [home])
    for (const node of running) assert.equal(node.whereis(definition, key)?.node, home)
  }
}
