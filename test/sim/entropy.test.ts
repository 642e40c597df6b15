/**
 * How registrations get to every node, whatever becomes of messages: the scenarios of the anti-entropy
 * family, with whole nodes.
 *
 * Each node writes its own table, a log of operations without gaps, and everybody applies it in order. So
 * the family is read as it applies to such tables. S34's second half (what is sent contains only replicas
 * that the receiver knows) is S11 here, as tables of strangers aren't stored. S37's values are
 * registrations; a name that is known to be taken can't be added, so an add and a remove are concurrent
 * only where the other one's add and remove come together. S35 and S36 are about the contexts of a CRDT,
 * which don't exist here. Not yet: S38 (updates of metadata, of which names have none).
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

/** A process that stays where it was started and ends with its node: so do its additional names. */
const User = Process.define("User", {
  state: () => ({}),
  restart: "temporary",
  handoff: { kind: "ignore" },
})

type User = Ref<typeof User>

describe("S32. a netsplit", () => {
  test("S32. who is down is out of the list, no old news brings him back, and with his node he is back untransferred", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        await named(a, "alice")
        await named(b, "bob")
        await sim.converged()
        // a and b part, in the eyes of the cluster; c, which has b's table, comes to see it a little later.
        sim.partition([a, c], [b])
        await sim.until("a marks b down", () => a.whereis("bob") === undefined)
        sim.always("bob stays away", () => sim.now > healed || a.whereis("bob") === undefined)
        let healed = Number.POSITIVE_INFINITY
        await sim.until("c, too", () => c.whereis("bob") === undefined)
        await sim.until("b marks a down", () => b.whereis("alice") === undefined)
        assert.equal(a.whereis("alice")?.node, "a")
        await sim.advance("10 seconds")
        await sim.settle()
        // What nodes wrote in the meantime is exchanged first, lest what they gave up came back; no table is.
        let snapshots = 0
        sim.rule(({ what }) => {
          if (what.includes("Snapshot")) snapshots++
          return "pass"
        })
        healed = sim.now
        sim.heal()
        const back = (): boolean =>
          a.whereis("bob")?.node === "b" &&
          c.whereis("bob")?.node === "b" &&
          b.whereis("alice")?.node === "a"
        await sim.until("they are back", back)
        const up = sim.events.find(({ at, event }) => at > healed && event._tag === "MemberUp")
        assert.ok(up !== undefined && sim.now - up.at < 900)
        await sim.converged()
        assert.ok(back())
        assert.equal(snapshots, 0)
      })
  })

  test("S32. what he did meanwhile is all that is transferred", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...two, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const bob = await named(b, "bob")
        for (let i = 0; i < 500; i++) void b.register(`old ${i}`, bob, { mode: "local" })
        await sim.converged()
        sim.partition([a], [b])
        await sim.until("a marks b down", () => a.whereis("bob") === undefined)
        await sim.settle()
        await b.register("new", bob, { mode: "local" })
        await b.unregister("old 0")
        let bytes = 0
        sim.rule((packet) => {
          if (packet.to === "a" && packet.what.includes("Ops")) bytes += packet.bytes
          return "pass"
        })
        sim.heal()
        await sim.converged()
        assert.equal(a.whereis("new")?.node, "b")
        assert.equal(a.whereis("old 0"), undefined)
        assert.equal(a.whereis("old 499")?.node, "b")
        assert.ok(bytes > 0 && bytes < 1_000, `${bytes} bytes`)
      })
  })
})

describe("S33. third parties", () => {
  test("S33. who is cut off from a node learns through a third what that one adds and removes, each once", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const user = await a.start(User, keyAt(a))
        await sim.converged()
        // a and c don't reach each other; b reaches both.
        cut(sim, a, c)
        const turns = watch(sim, c, "bob")
        await a.register("bob", user)
        await sim.until("c has bob", () => c.whereis("bob") !== undefined, "10 seconds")
        await sim.advance("10 seconds")
        assert.equal(await a.unregister("bob"), true)
        await sim.until("c has bob no more", () => c.whereis("bob") === undefined, "10 seconds")
        await sim.advance("10 seconds")
        assert.deepEqual(turns, ["a", undefined])
        assert.equal(b.whereis("bob"), undefined)
        assert.ok(!sim.events.some(({ event }) => event._tag === "MemberDown"))
      })
  })
})

describe("S34. gaps", () => {
  test("S34. operations behind a gap wait until it is filled, and are applied in their order", async () => {
    for (let seed = 0; seed < 20; seed++)
      await simulate({ ...two, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const user = await a.start(User, keyAt(a))
        await sim.converged()
        // Some of what a tells b is lost, each time something else.
        let packets = 0
        let lost = 0
        sim.rule(({ from, what }) => {
          if (from !== "a" || !what.includes("Ops") || (packets++ + seed) % 3 === 0) return "pass"
          lost++
          return "drop"
        })
        sim.always("b has no number without those before it", () => {
          const has = numbers.map((name) => b.whereis(name) !== undefined)
          const first = has.indexOf(false)
          return first < 0 || !has.includes(true, first)
        })
        for (const name of numbers) {
          await a.register(name, user, { mode: "local" })
          await sim.advance("30 millis")
        }
        await sim.converged()
        assert.ok(lost > 3, `only ${lost} were lost`)
        for (const name of numbers) assert.equal(b.whereis(name)?.node, "a")
      })
  })

  test("S34. what comes twice or late changes nothing", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const user = await a.start(User, keyAt(a))
        await sim.converged()
        sim.rule(({ what }) => (what.includes("Ops") ? "duplicate" : "pass"))
        sim.link(a, c, { loss: 0.3 })
        const turns = [watch(sim, b, "bob"), watch(sim, c, "bob")]
        for (let i = 0; i < 3; i++) {
          await a.register("bob", user)
          await sim.converged()
          assert.equal(await a.unregister("bob"), true)
          await sim.converged()
        }
        const each = ["a", undefined, "a", undefined, "a", undefined]
        assert.deepEqual(turns, [each, each])
      })
  })

  test("S34. who missed more than is kept gets all of it, from whoever has it", async () => {
    await simulate(three, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const user = await named(a, "first")
      await sim.converged()
      // c hears nothing of a: neither from a nor, at first, from b.
      cut(sim, a, c)
      const deaf = sim.rule(({ to, what }) => (to === "c" && /Ops/.test(what) ? "drop" : "pass"))
      for (let i = 0; i < 9_000; i++) void a.register(`n${i}`, user, { mode: "local" })
      await a.unregister("first")
      await sim.until("b has it all", () => b.count() === 9_001)
      await sim.advance("500 millis")
      assert.equal(c.count(), 2)
      deaf()
      let snapshots = 0
      sim.rule(({ from, to, what }) => {
        if (from === "b" && to === "c" && what.includes("Snapshot")) snapshots++
        return "pass"
      })
      await sim.until("c has it all", () => c.count() === 9_001, "10 seconds")
      assert.ok(snapshots > 0)
      assert.equal(c.whereis("first"), undefined)
    })
  })
})

describe("S37. adding and removing", () => {
  test("S37. a name added by one and removed by another at the same time is there", async () => {
    for (let seed = 0; seed < 20; seed++)
      for (const conflict of ["oldest", "newest"] as const)
        await simulate({ ...three, seed, options: { conflict } }, async (sim) => {
          const [a, b] = sim.nodes as [SimNode, SimNode]
          const users = [await a.start(User, keyAt(a)), await b.start(User, keyAt(b))] as const
          await sim.converged()
          // By its clock b would win, if what it added were there for a moment.
          b.clock.step(conflict === "newest" ? 1_000 : -1_000)
          const added = a.register("key", users[0], { mode: "local" })
          const replaced = b.register("key", users[1], { mode: "local" })
          assert.equal(await b.unregister("key"), true)
          await Promise.all([added, replaced])
          await sim.converged()
          for (const node of sim.nodes) assert.equal(node.whereis("key")?.node, "a")
        })
  })

  test("S37. what two have added and the one that keeps it removes is gone everywhere", async () => {
    for (let seed = 0; seed < 10; seed++)
      for (const conflict of ["oldest", "newest"] as const)
        await simulate({ ...two, seed, options: { conflict } }, async (sim) => {
          const [a, b] = sim.nodes as [SimNode, SimNode]
          const users = [await a.start(User, keyAt(a)), await b.start(User, keyAt(b))] as const
          await sim.converged()
          await Promise.all([
            a.register("key", users[0], { mode: "local" }),
            b.register("key", users[1], { mode: "local" }),
          ])
          await sim.converged()
          const keeper = sim.nodes.find(({ name }) => name === a.whereis("key")?.node) as SimNode
          assert.equal(await keeper.unregister("key"), true)
          await sim.converged()
          await sim.advance("5 seconds")
          for (const node of [a, b]) assert.equal(node.whereis("key"), undefined)
        })
  })

  test("S37. where only one direction works, one has both and the other its own", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...two, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const users = [await a.start(User, keyAt(a)), await b.start(User, keyAt(b))] as const
        await sim.converged()
        sim.oneWay(b, a)
        await a.register("of a", users[0], { mode: "local" })
        await b.register("of b", users[1], { mode: "local" })
        await sim.advance("1 second")
        assert.equal(b.whereis("of a")?.node, "a")
        assert.equal(b.whereis("of b")?.node, "b")
        assert.equal(a.whereis("of a")?.node, "a")
        assert.equal(a.whereis("of b"), undefined)
        sim.heal()
        await sim.converged()
        for (const node of [a, b]) assert.equal(node.count(), 4)
      })
  })

  test("S37. what is added and removed while cut off is so everywhere afterwards", async () => {
    for (let seed = 0; seed < 5; seed++)
      for (const length of ["2 seconds", "30 seconds"] as const)
        await simulate({ ...two, seed }, async (sim) => {
          const [a, b] = sim.nodes as [SimNode, SimNode]
          const user = await named(a, "k")
          await sim.converged()
          assert.equal(b.whereis("k")?.node, "a")
          sim.partition([a], [b])
          for (const name of ["x", "y"]) await a.register(name, user, { mode: "local" })
          await a.unregister("k")
          await sim.advance(length)
          assert.equal(b.whereis("x"), undefined)
          sim.heal()
          await sim.converged()
          for (const node of [a, b]) {
            assert.equal(node.whereis("x")?.node, "a")
            assert.equal(node.whereis("y")?.node, "a")
            assert.equal(node.whereis("k"), undefined)
          }
        })
  })
})

const two = { nodes: 2, processes: [User] }
const three = { nodes: 3, processes: [User] }
const numbers: ReadonlyArray<string> = Array.from({ length: 20 }, (_, i) => `number ${i}`)

/** A key that the ring gives to this node, the n-th of them. */
function keyAt(node: SimNode, nth = 0): string {
  for (let i = 0, left = nth; ; i++)
    if (node.nodeFor(User, `${node.name}${i}`) === node.name && left-- === 0)
      return `${node.name}${i}`
}

/** A process at this node, with an additional name. */
async function named(node: SimNode, name: string, nth = 0): Promise<User> {
  const user = await node.start(User, keyAt(node, nth))
  await node.register(name, user, { mode: "local" })
  return user
}

function cut(sim: Sim, a: SimNode, b: SimNode): void {
  sim.oneWay(a, b)
  sim.oneWay(b, a)
}

/** Where a node finds a name, each time that changes from now on. */
function watch(sim: Sim, node: SimNode, name: string): ReadonlyArray<string | undefined> {
  const turns: Array<string | undefined> = []
  let last = node.whereis(name)?.node
  sim.always(`watching ${name} at ${node.name}`, () => {
    const now = node.whereis(name)?.node
    if (now !== last) turns.push(now)
    last = now
  })
  return turns
}
