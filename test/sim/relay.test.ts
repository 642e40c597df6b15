/** Nodes that can't reach each other are connected through those between them. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Topic } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

const Log = Process.define("Log", {
  state: (): { readonly all: Array<number> } => ({ all: [] }),
  calls: {
    all: (self) => self.state.all,
    add: (self, n: number) => self.state.all.push(n),
    large: (_self, text: string) => text.length,
  },
  casts: { put: (self, n: number) => void self.state.all.push(n) },
})
const News = Topic.define<{ readonly n: number }>("News")

/** Two nodes stop to reach each other; the result ends that. */
function cut(sim: Sim, one: SimNode, other: SimNode): () => void {
  const ongoing = [sim.oneWay(one, other), sim.oneWay(other, one)]
  return () => {
    for (const { end } of ongoing) end()
  }
}

/** Everybody begins anew, and reaches only who is next to it. */
async function chain(sim: Sim): Promise<void> {
  for (const node of sim.nodes) node.crash()
  await sim.advance("1 second")
  for (const one of sim.nodes)
    for (const other of sim.nodes) if (other.index > one.index + 1) cut(sim, one, other)
  await Promise.all(sim.nodes.map((node) => node.restart()))
}

/** The kinds of packets between two nodes from now on. */
function watch(sim: Sim, one: SimNode, other: SimNode): Set<string> {
  const names = [one.name, other.name]
  const kinds = new Set<string>()
  sim.rule(({ from, to, what }) => {
    if (names.includes(from) && names.includes(to))
      for (const word of what.split(" ")) kinds.add(word)
    return "pass"
  })
  return kinds
}

/** A server, and leaves that know only it. */
const star = {
  nodes: 4,
  processes: [Log],
  options: (i: number) => (i === 0 ? { connect: [] } : { connect: ["a"], leaf: true }),
}

describe("leaves behind one server", () => {
  test("are members, are given no processes, and have the role", async () => {
    await simulate({ ...star, seed: 1 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      for (const node of sim.nodes) {
        const roles = node.members().map(({ name, roles, weight }) => [name, weight, ...roles])
        assert.deepEqual(roles, [["a", 1], ...["b", "c", "d"].map((name) => [name, 0, "leaf"])])
      }
      for (let i = 0; i < 20; i++) await b.start(Log, `${i}`)
      for (let i = 0; i < 20; i++) assert.deepEqual(sim.owners(Log, `${i}`), ["a"])
      await a.settled()
    })
  })

  test("host processes when they are told to, and hand them over", async () => {
    const options = (i: number) => ({ ...star.options(i), host: true })
    await simulate({ ...star, options, seed: 1 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const logs = await Promise.all(Array.from({ length: 40 }, (_, i) => a.start(Log, `${i}`)))
      for (const [i, log] of logs.entries()) await log.add(i)
      assert.ok(logs.some((_, i) => sim.owners(Log, `${i}`)[0] === "b"))
      await b.leave()
      for (const [i, log] of logs.entries()) assert.deepEqual(await log.all(), [i])
    })
  })

  test("call each other, share groups, names and topics", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...star, seed }, async (sim) => {
        const [, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        const log = await c.spawn(Log)
        await c.group("logs", Log).join(log)
        const seen: Array<number> = []
        await d.subscribe(News, ({ n }) => {
          seen.push(n)
        })
        await sim.converged()
        const { replies } = await b.group("logs", Log).all.add(2)
        assert.equal(replies.length, 1)
        for (let n = 0; n < 100; n++) await b.publish(News, { n })
        await sim.until("all news came", () => seen.length === 100)
        assert.deepEqual(
          seen,
          seen.map((_, n) => n),
        )
      })
  })

  test("that fall silent are removed, and one that comes back is a member again", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...star, seed }, async (sim) => {
        const [, , c] = sim.nodes as [SimNode, SimNode, SimNode]
        c.crash({ machine: seed % 2 === 0 })
        await sim.until(
          "all know",
          () => sim.events.filter(({ event }) => event._tag === "MemberDown").length === 3,
          "10 seconds",
        )
        await c.restart()
        await sim.converged("15 seconds")
      })
  })

  test("find another way when the one they had is gone", async () => {
    const options = (i: number) =>
      i < 2 ? { connect: ["a", "b"] } : { connect: ["a", "b"], leaf: true }
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...star, options, seed }, async (sim) => {
        const [a, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        const log = await c.spawn(Log)
        await c.group("logs", Log).join(log)
        await sim.converged()
        ;(seed % 2 === 0 ? a : b).crash()
        await sim.converged("30 seconds")
        const { replies } = await d.group("logs", Log).all.add(seed)
        assert.equal(replies.length, 1)
      })
  })
})

describe("two nodes that are cut off from each other, with a third between", () => {
  const three = { nodes: 3, processes: [Log] }

  test("stay members, and reach each other's processes", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const logs = await Promise.all(Array.from({ length: 30 }, (_, i) => a.start(Log, `${i}`)))
        const there = logs.filter((_, i) => sim.owners(Log, `${i}`)[0] === "b")
        assert.ok(there.length > 0)
        cut(sim, a, b)
        await sim.advance("15 seconds")
        for (const log of there) assert.equal(await log.add(1), 1)
        assert.equal(await there[0]?.large("x".repeat(300_000)), 300_000)
        const downs = sim.events.filter(({ event }) => event._tag === "MemberDown")
        assert.deepEqual(downs, [])
        assert.ok(b.members().every(({ status }) => status === "up"))
      })
  })

  test("are connected directly again as soon as they can, and lose nothing by that", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const log = await b.spawn(Log)
        await b.group("logs", Log).join(log)
        await sim.converged()
        const far = a.group("logs", Log).members()[0]?.ref
        assert.ok(far !== undefined)
        const end = cut(sim, a, b)
        await sim.advance("15 seconds")
        await far.add(-1)
        end()
        const before = (await log.all()).length
        const kinds = watch(sim, a, b)
        // One every 10 ms, all the time, over the one and over the other.
        for (let n = 0; n < 2_000; n++) {
          far.cast.put(n)
          await sim.advance(10)
        }
        assert.ok(kinds.has("Cast"), "they are connected directly")
        assert.ok(kinds.has("Ping"))
        const all = (await far.all()).slice(before)
        assert.deepEqual(
          all,
          all.map((_, n) => n),
        )
        assert.equal(all.length, 2_000)
      })
  })
})

describe("nodes that reach only their neighbours in a row", () => {
  test("are all connected, over up to three nodes between them", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ nodes: 5, processes: [Log], formed: false, seed }, async (sim) => {
        await chain(sim)
        await sim.converged("60 seconds")
        const [a, , , , e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
        const log = await e.spawn(Log)
        await e.group("logs", Log).join(log)
        await sim.converged()
        const { replies } = await a.group("logs", Log).all.large("x".repeat(200_000))
        assert.equal(replies.length, 1)
        const ways = a.members().map(({ via }) => via)
        assert.deepEqual(ways, [[], [], ["b"], ["b", "c"], ["b", "c", "d"]])
      })
  })

  test("are members all the same when they are further apart", async () => {
    await simulate({ nodes: 7, processes: [Log], formed: false, seed: 1 }, async (sim) => {
      await chain(sim)
      await sim.advance("60 seconds")
      const [a] = sim.nodes as [SimNode]
      const connected = a.members().filter(({ via }) => via !== undefined)
      assert.deepEqual(
        connected.map(({ name }) => name),
        ["a", "b", "c", "d", "e"],
      )
      assert.deepEqual(
        a.members().map(({ status }) => status),
        sim.nodes.map(() => "up"),
      )
    })
  })
})
