/**
 * The promise that what a user lists to be connected is connected whenever that is possible, for as long
 * as the node runs, and that who was parted with stays so, with whole nodes.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Sim, type SimNode, simulate } from "skein/testing"

/** Two nodes that form a cluster; those that join later know nobody. */
const two = { nodes: 2, options: (i: number) => (i < 2 ? {} : { connect: [] }) }
/** Nodes that know nobody. */
const strangers = { nodes: 2, formed: false, options: { connect: [] } }

describe("an address that is listed", () => {
  test("S44. is told of while nobody is there, and connected without a new call when somebody is", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...two, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        await assert.rejects(a.connect("c", { timeout: 2_000 }), {
          _tag: "ConnectFailed",
          failures: [{ address: "c", reason: "refused" }],
        })
        assert.deepEqual(stood(a), ["b b connected", "c ? waiting"])
        await sim.advance(`${10 * seed} minutes`)
        const attempts = failures(sim, "a", "c").map(({ attempts }) => attempts)
        assert.ok(attempts.length >= 5)
        assert.deepEqual(
          attempts,
          attempts.map((_, i) => i + 1),
        )
        const c = await sim.join()
        await sim.converged("15 seconds")
        assert.deepEqual(stood(a), ["b b connected", "c c connected"])
        for (const node of [a, b, c]) assert.deepEqual(up(node), ["a", "b", "c"])
      })
  })

  test("is tried at most once per step of a wait that doubles up to 5 seconds", async () => {
    await simulate({ ...two, seed: 1 }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await assert.rejects(a.connect("c", { timeout: 0 }), { _tag: "ConnectFailed" })
      await sim.advance("10 minutes")
      const times = failures(sim, "a", "c").map(({ at }) => at)
      const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
      for (const [i, gap] of gaps.entries()) {
        const wait = Math.min(50 * 2 ** i, 5_000)
        assert.ok(gap >= 0.75 * wait, `${gap} ms after attempt ${i + 1}`)
        // Those who are many leave some attempts to each other, two don't.
        assert.ok(gap <= 1.25 * wait + 10, `${gap} ms after attempt ${i + 1}`)
      }
    })
  })

  test("is connected again after hours, however its node went", async () => {
    for (const how of ["crash", "machine", "stop", "leave"] as const)
      await simulate({ ...strangers, seed: 2 }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        await a.connect("b")
        if (how === "stop" || how === "leave") await b[how]()
        else b.crash({ machine: how === "machine" })
        await sim.advance("5 hours")
        assert.deepEqual([up(a), stood(a)], [["a"], ["b ? waiting"]])
        await b.restart()
        await sim.converged("15 seconds")
        assert.deepEqual([up(a), stood(a)], [["a", "b"], ["b b connected"]])
      })
  })

  test("is forgotten when the call is aborted before anybody is there", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...strangers, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const controller = new AbortController()
        const failed = assert.rejects(
          a.connect(["b", "c"], { signal: controller.signal, timeout: 60_000 }),
          { _tag: "Aborted" },
        )
        await sim.advance(10_000 + 700 * seed)
        controller.abort()
        await failed
        const before = failures(sim, "a", "c").length
        const c = await sim.join()
        await sim.advance("10 minutes")
        assert.ok(failures(sim, "a", "c").length <= before + 1)
        for (const node of [a, b]) assert.deepEqual(up(node), ["a", "b"])
        assert.deepEqual([up(c), stood(a)], [["c"], ["b b connected"]])
        await a.connect("c")
        await sim.converged()
      })
  })

  test("fails the call in its time, or when the node stops, and not before", async () => {
    await simulate({ ...strangers, seed: 3 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const cut = sim.partition([a], [b])
      const at = sim.now
      await assert.rejects(a.connect("b"), { _tag: "ConnectFailed", address: "b" })
      assert.ok(sim.now - at >= 5_000 && sim.now - at < 5_005, `${sim.now - at} ms`)
      cut.end()
      await sim.converged()
      await assert.rejects(a.connect("b"), { _tag: "DuplicateAddress", reason: "connected" })
      const failed = assert.rejects(a.connect("c", { timeout: 3_600_000 }), { _tag: "NodeStopped" })
      await sim.advance("1 minute")
      await a.stop()
      await failed
    })
  })

  test("is joined once there is a link, be it through others, which gives way to one of its own", async () => {
    await simulate({ ...strangers, seed: 4 }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await a.connect("b")
      assert.deepEqual(up(a), ["a", "b"])
    })
    const options = (i: number) => ({ connect: i === 2 ? [] : ["c"] })
    await simulate({ nodes: 3, formed: false, options, seed: 5 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode, SimNode]
      sim.oneWay(a, b)
      sim.oneWay(b, a)
      const via = (): unknown => a.members().find(({ name }) => name === "b")?.via
      await sim.until("a has b through c", () => sim.serves(a) && via() !== undefined)
      assert.deepEqual([up(a), via()], [["a", "b", "c"], ["c"]])
      await assert.rejects(a.connect("b"), { _tag: "DuplicateAddress", reason: "connected" })
      const at = sim.events.length
      sim.heal()
      await sim.until("a has b itself", () => (via() as []).length === 0, "30 seconds")
      const since = sim.events.slice(at).filter(({ event }) => event._tag.startsWith("Member"))
      assert.deepEqual(since, [])
    })
  })
})

describe("a node that is disconnected", () => {
  test("stays so through cuts, restarts and gossip, until somebody connects again", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ nodes: 3, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        await a.disconnect("b")
        assert.deepEqual([up(a), stood(a)[0]], [["a", "c"], "b b disconnected"])
        await sim.advance("10 seconds")
        const at = sim.events.length
        sim.partition([a, b], [c])
        await sim.advance("30 seconds")
        sim.heal()
        await sim.advance("30 seconds")
        await c.restart()
        await sim.advance("30 seconds")
        await (seed % 2 === 0 ? b : c).restart()
        await sim.advance("5 minutes")
        const ups = sim.events
          .slice(at)
          .flatMap(({ node, event }) =>
            event._tag === "MemberUp" ? [`${node} ${event.node}`] : [],
          )
        assert.deepEqual(
          [up(a), up(b), up(c)],
          [
            ["a", "c"],
            ["b", "c"],
            ["a", "b", "c"],
          ],
        )
        assert.ok(!ups.includes("a b"), ups.join())
        if (seed % 3 === 0) await b.connect("a")
        else await a.connect("b")
        await sim.converged()
        for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
      })
  })

  test("is down when the promise resolves, though it can't be told", async () => {
    await simulate({ nodes: 2, seed: 4 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      sim.partition([a], [b])
      const at = sim.now
      await a.disconnect("b")
      assert.ok(sim.now - at <= 1_005, `${sim.now - at} ms`)
      assert.deepEqual([up(a), stood(a)], [["a"], ["b b disconnected"]])
      sim.heal()
      await sim.advance("2 minutes")
      assert.deepEqual([up(a), up(b)], [["a"], ["b"]])
    })
  })
})

describe("a node that has gone", () => {
  test("dials nobody any more", async () => {
    for (const how of ["stop", "leave"] as const)
      await simulate({ ...two, seed: 5 }, async (sim) => {
        const [a] = sim.nodes as [SimNode]
        await assert.rejects(a.connect("c", { timeout: 0 }), { _tag: "ConnectFailed" })
        await sim.advance("1 minute")
        await a[how]()
        const c = await sim.join()
        let sent = 0
        sim.rule(({ from }) => {
          if (from === "a") sent++
          return "pass"
        })
        await sim.advance("10 minutes")
        assert.deepEqual([sent, up(c)], [0, ["c"]])
      })
  })
})

/** The members that a node counts as living. */
function up(node: SimNode): ReadonlyArray<string> {
  return node
    .members()
    .filter(({ status }) => status === "up" || status === "suspect")
    .map(({ name }) => name)
}

/** What is listed at a node and how it stands: `b b connected`. */
function stood(node: SimNode): ReadonlyArray<string> {
  return node.connections().map((one) => `${one.address} ${one.node ?? "?"} ${one.state}`)
}

/** The failed attempts of a node at an address that were told so far. */
function failures(
  sim: Sim,
  from: string,
  address: string,
): ReadonlyArray<{ readonly at: number; readonly attempts: number }> {
  return sim.events.flatMap(({ at, node, event }) =>
    event._tag === "ConnectionFailed" && node === from && event.address === address
      ? [{ at, attempts: event.attempts }]
      : [],
  )
}
