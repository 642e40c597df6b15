/** What holds on a bus, where whatever one node says reaches all of them: tabs of a browser, say. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: { add: (self, by: number) => (self.state.n += by) },
})

const bus = { nodes: 5, options: { bus: true }, processes: [Counter] }

function counters(node: SimNode) {
  return Promise.all(Array.from({ length: 20 }, (_, i) => node.start(Counter, `${i}`)))
}

/** Counts what nodes tell each other from now on, by kind; a node's words of one instant are one. */
function count(sim: Sim): { readonly turns: Map<string, number>; readonly stop: () => void } {
  const turns = new Map<string, number>()
  const last = new Map<string, number>()
  const stop = sim.rule(({ from, what }) => {
    for (const word of what.split(" ")) {
      const key = `${from} ${word}`
      if (last.get(key) === sim.now) continue
      last.set(key, sim.now)
      turns.set(word, (turns.get(word) ?? 0) + 1)
    }
    return "pass"
  })
  return { turns, stop }
}

function up(node: SimNode): ReadonlyArray<string> {
  return node
    .members()
    .filter(({ status }) => status !== "down")
    .map(({ name }) => name)
}

function told(sim: Sim, tag: string): ReadonlyArray<number> {
  return sim.events.filter(({ event }) => event._tag === tag).map(({ at }) => at)
}

describe("on a bus", () => {
  test("one polls and everybody answers everybody, with nothing else in quiet times", async () => {
    for (const nodes of [2, 5, 12])
      await simulate({ ...bus, nodes, seed: nodes }, async (sim) => {
        await sim.advance("10 seconds")
        const { turns } = count(sim)
        await sim.advance("60 seconds")
        const polls = turns.get("Poll") ?? 0
        assert.ok(polls >= 55 && polls <= 61, `${polls} polls`)
        assert.deepEqual([...turns.keys()].sort(), ["Here", "Poll"])
        assert.ok(Math.abs((turns.get("Here") ?? 0) - polls * (nodes - 1)) < nodes)
      })
  })

  test("when who polls is gone another one does, and the crash is noticed", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...bus, seed }, async (sim) => {
        await sim.advance("5 seconds")
        const pollers = new Set<string>()
        const stop = sim.rule(({ from, what }) => {
          if (what.includes("Poll")) pollers.add(from)
          return "pass"
        })
        await sim.advance("3 seconds")
        stop()
        assert.equal(pollers.size, 1)
        const [poller] = sim.nodes.filter(({ name }) => pollers.has(name)) as [SimNode]
        const others = sim.nodes.filter((node) => node !== poller)
        const at = sim.now
        poller.crash({ machine: true })
        await sim.until(
          "the others know",
          () => others.every((node) => !up(node).includes(poller.name)),
          "7 seconds",
        )
        assert.ok(told(sim, "MemberDown").every((when) => when - at >= 3_000))
        await sim.converged()
      })
  })

  test("a node that falls silent is removed as soon as anywhere else", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...bus, seed }, async (sim) => {
        await sim.advance(`${5_000 + 50 * seed} millis`)
        const [, , , , e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
        const at = sim.now
        e.crash({ machine: true })
        await sim.until("e is down", () => told(sim, "MemberDown").length === 4, "6 seconds")
        for (const when of told(sim, "MemberDown"))
          assert.ok(when - at >= 3_500 && when - at <= 5_200, `after ${when - at} ms`)
      })
  })

  test("nodes whose timers fire once a minute stay members while one of them isn't hidden", async () => {
    await simulate({ ...bus, seed: 3 }, async (sim) => {
      const [a, b, c, d, e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
      for (const node of [a, b, c, d]) node.throttle("1 minute")
      await sim.advance("10 minutes")
      assert.deepEqual(told(sim, "MemberDown"), [])
      assert.deepEqual(told(sim, "MemberSuspect"), [])
      assert.deepEqual(told(sim, "Slept"), [])
      // Whoever is hidden still works: a process starts there, is called, and moves.
      const all = await counters(e)
      for (const counter of all) assert.equal(await counter.add(1), 1)
      await d.leave()
      for (const counter of all) assert.equal(await counter.add(1), 2)
    })
  })

  test("when all are hidden nobody is removed, and who has gone is missed once one is seen", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...bus, seed }, async (sim) => {
        const [a, , , , e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
        for (const node of sim.nodes) node.throttle("1 minute")
        await sim.advance("20 minutes")
        assert.deepEqual(told(sim, "MemberDown"), [])
        e.crash({ machine: true })
        a.throttle(0)
        await sim.until("e is down", () => !up(a).includes("e"), "70 seconds")
        assert.deepEqual(up(a), ["a", "b", "c", "d"])
      })
  })

  test("a laptop that was closed goes on with all its tabs as members", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...bus, seed }, async (sim) => {
        const all = await counters(sim.nodes[0] as SimNode)
        for (const node of sim.nodes) node.suspend()
        await sim.advance("8 hours")
        for (const node of sim.nodes) node.resume()
        await sim.converged("30 seconds")
        assert.deepEqual(told(sim, "MemberDown"), [])
        for (const counter of all) assert.equal(await counter.add(1), 1)
      })
  })

  test("a cluster may be mixed: some on a bus, some connected otherwise", async () => {
    const options = (i: number) => ({ bus: i < 3 })
    await simulate({ ...bus, options, seed: 1 }, async (sim) => {
      await sim.advance("60 seconds")
      const [a, , , , e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
      assert.deepEqual(told(sim, "MemberSuspect"), [])
      e.crash({ machine: true })
      await sim.until("e is down", () => !up(a).includes("e"), "6 seconds")
      a.crash({ machine: true })
      await sim.until("a is down", () => told(sim, "MemberDown").length === 4 + 3, "7 seconds")
      await sim.converged()
    })
  })
})
