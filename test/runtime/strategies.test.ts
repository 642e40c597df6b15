/** Where supervisors place their children. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Supervisor } from "../../mod.ts"
import { cluster } from "./cluster.ts"
import { counted, fill, Job, keys, type Three, tally } from "./jobs.ts"

describe("strategies", () => {
  const define = (strategy: Supervisor.Strategy): Supervisor.Definition<typeof Job> =>
    Supervisor.define("s", { processes: [Job], strategy })
  const Ring = define(Supervisor.ring)

  test("ring: each goes where the ring says, and every node knows where", async () => {
    await using all = await cluster(["a", "b", "c"], [], { supervisors: [Ring] })
    const homes = await fill(all.nodes, Ring, 30)
    assert.deepEqual(Object.keys(tally(homes)).sort(), ["a", "b", "c"])
    for (const node of all.nodes)
      for (const [i, key] of keys(30).entries()) {
        assert.equal(node.supervisor(Ring).nodeFor(Job, key), homes[i])
        assert.equal(node.supervisor(Ring).isMine(Job, key), homes[i] === node.name)
      }
  })

  test("pinned: all go to the first node that is there, and stay; without any the ring decides", async () => {
    const Pinned = define(Supervisor.pinned("x", "c", "b"))
    await using all = await cluster(["a", "b"], [], { supervisors: [Pinned] })
    const [a] = all.nodes as unknown as Three
    const pinned = a.supervisor(Pinned)
    assert.equal(pinned.nodeFor(Job, "k0"), "b")
    assert.deepEqual(tally(await fill(all.nodes, Pinned, 9)), { b: 9 })
    await all.join("c")
    assert.equal(pinned.nodeFor(Job, "new"), "c")
    assert.equal(pinned.nodeFor(Job, "k0"), "b")
    const started = await pinned.start(Job, "new")
    assert.ok(started._tag === "Started" && started.node === "c")
    assert.deepEqual(
      pinned.counts().byNode,
      new Map([
        ["b", 9],
        ["c", 1],
      ]),
    )
    const Nowhere = define(Supervisor.pinned("z"))
    await using two = await cluster(["a", "b"], [], { supervisors: [Nowhere] })
    const homes = await fill(two.nodes, Nowhere, 20)
    assert.deepEqual(Object.keys(tally(homes)).sort(), ["a", "b"])
    const nowhere = two.nodes[0]?.supervisor(Nowhere)
    for (const [i, key] of keys(20).entries()) assert.equal(nowhere?.nodeFor(Job, key), homes[i])
  })

  test("leastLoaded: each goes where the fewest are, by the nodes' weights", async () => {
    const Least = define(Supervisor.leastLoaded)
    await using all = await cluster(["a", "b", "c"], [], { supervisors: [Least] })
    const least = all.nodes[0]?.supervisor(Least) as Supervisor.SupervisorRef<typeof Job>
    assert.equal(least.nodeFor(Job, "k0"), undefined)
    // One after the other, so that everybody knows of all.
    for (const [i, key] of keys(9).entries()) {
      await least.start(Job, key)
      await counted(all.nodes, Least, i + 1)
    }
    assert.deepEqual([...least.counts().byNode.values()], [3, 3, 3])
    assert.equal(least.nodeFor(Job, "k0"), least.whereis(Job, "k0")?.node)
    // Among equals the ring decides.
    for (const key of keys(20).map((key) => `more ${key}`)) {
      const owner = all.nodes[0]?.supervisor(Ring).nodeFor(Job, key)
      const result = await least.start(Job, key)
      assert.equal(result._tag === "Started" ? result.node : "?", owner)
      await least.terminate(Job, key)
      await counted(all.nodes, Least, 9)
    }
  })

  test("leastLoaded: what one node starts at the same time it counts before anybody has it", async () => {
    const Least = define(Supervisor.leastLoaded)
    await using two = await cluster(["a", "b"], [], { supervisors: [Least], weight: 2 })
    await two.join("c", { weight: 4 })
    const [, b] = two.nodes as unknown as Three
    const rightful = keys(400).filter((key) => b.supervisor(Ring).nodeFor(Job, key) === "a")
    const homes = await Promise.all(
      rightful.slice(0, 80).map(async (key) => {
        const result = await b.supervisor(Least).start(Job, key)
        return result._tag === "Started" ? result.node : result._tag
      }),
    )
    assert.deepEqual(tally(homes), { a: 20, b: 20, c: 40 })
  })

  test("random: every node gets some", async () => {
    const Random = define(Supervisor.random)
    await using all = await cluster(["a", "b", "c"], [], { supervisors: [Random] })
    const homes = tally(await fill(all.nodes, Random, 90))
    assert.deepEqual(Object.keys(homes).sort(), ["a", "b", "c"])
    for (const count of Object.values(homes)) assert.ok(count >= 10 && count <= 60)
  })

  test("spread: those of one group go apart, and then to who has the fewest", async () => {
    const Spread = define(Supervisor.spread((key) => (Array.isArray(key) ? key[0] : key)))
    await using all = await cluster(["a", "b", "c"], [], { supervisors: [Spread] })
    const spread = all.nodes[1]?.supervisor(Spread)
    for (const group of ["red", "blue", 3, true]) {
      const homes: Array<string> = []
      for (const i of [0, 1, 2, 3, 4, 5]) {
        const result = await spread?.start(Job, [group, i])
        homes.push(result?._tag === "Started" ? result.node : "?")
        await counted(all.nodes, Spread, spread?.counts().total ?? 0)
      }
      assert.deepEqual(tally(homes), { a: 2, b: 2, c: 2 })
    }
    for (const i of keys(9)) {
      await spread?.start(Job, i)
      await counted(all.nodes, Spread, spread?.counts().total ?? 0)
    }
    assert.deepEqual(tally([...(spread?.counts().byNode.values() ?? [])].map(String)), { 11: 3 })
    // Also to who has the most of all, if it has none of these.
    for (const i of keys(9)) await spread?.start(Job, ["at b", i], {}, { at: "b" })
    await counted(all.nodes, Spread, 42)
    const apart: Array<string> = []
    for (const i of [1, 2, 3]) {
      const result = await spread?.start(Job, ["green", i])
      apart.push(result?._tag === "Started" ? result.node : "?")
      await counted(all.nodes, Spread, 42 + i)
    }
    assert.deepEqual(tally(apart), { a: 1, b: 1, c: 1 })
    assert.equal(apart[2], "b")
  })

  test("of the user: who it names gets it; what it gets wrong is told, and the ring decides", async () => {
    const seen: Array<ReadonlyArray<Supervisor.Candidate>> = []
    let answer: () => string | undefined = () => "b"
    const Own = define({
      kind: "own",
      fixed: false,
      place: (candidates) => {
        seen.push(candidates)
        return answer()
      },
    })
    await using two = await cluster(["a", "b"], [], { supervisors: [Own] })
    const [a, b] = two.nodes as unknown as Three
    const own = a.supervisor(Own)
    for (const key of keys(5))
      assert.equal(((await own.start(Job, key, {})) as { node: string }).node, "b")
    const last = seen.at(-1)?.find(({ node }) => node === "b")
    assert.deepEqual(last, { node: "b", weight: 1, children: 4, alike: 0 })
    const failures: Array<string> = []
    for (const node of [a, b])
      node.on({ ListenerFailed: ({ event, reason }) => void failures.push(`${event}: ${reason}`) })
    for (const wrong of [() => undefined, () => "nobody", () => assert.fail("no idea")]) {
      answer = wrong
      const key = `by ${failures.length} ${wrong}`.slice(0, 40)
      const result = await own.start(Job, key)
      assert.ok(result._tag === "Started")
      assert.equal(result.node, own.nodeFor(Job, key))
    }
    assert.deepEqual(failures, ["the strategy of s: no idea"])
  })

  test("of several nodes that of the one decides to which the ring gives the start", async () => {
    const here = define(Supervisor.pinned("b"))
    const there = define(Supervisor.pinned("a"))
    await using two = await cluster(["a"], [], { supervisors: [here] })
    await two.join("b", { supervisors: [there] })
    const [a] = two.nodes as unknown as Three
    const expected = keys(30).map((key) =>
      a.supervisor(Ring).nodeFor(Job, key) === "a" ? "b" : "a",
    )
    assert.equal(new Set(expected).size, 2)
    assert.deepEqual(await fill([a], here, 30), expected)
  })
})
