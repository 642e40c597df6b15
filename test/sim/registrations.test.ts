/**
 * Additional names with whole nodes: their metadata, what is listed and found, and who is told of what, while
 * the cluster is cut, joined and killed. What only concerns conflicts of names as such is in registry.test.ts.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, type Resolver } from "skein"
import { type SimNode, simulate } from "skein/testing"
import type { Location } from "../../src/runtime/names/location.ts"
import { keyAt, Room, resident, three, two, twoClusters } from "./rooms.ts"
import { tagOf } from "./shared.ts"

describe("S2. a custom resolver", () => {
  const outcomes: ReadonlyArray<readonly [string, Resolver, string | undefined]> = [
    ["picks by metadata", (a, b) => [a, b].find(({ meta }) => meta === "keep this one"), "b"],
    ["picks neither", () => undefined, undefined],
    ["gives a third one", (a) => ({ ...a }), undefined],
    [
      "throws",
      () => {
        throw new Error("a resolver that doesn't know")
      },
      undefined,
    ],
  ]
  for (const [what, conflict, winner] of outcomes)
    test(`S2. that ${what} decides on all nodes, and both processes live`, async () => {
      for (let seed = 0; seed < 5; seed++)
        await simulate({ ...three, seed, options: { conflict } }, async (sim) => {
          const [, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
          const rooms = [await b.spawn(Room), await c.spawn(Room)] as const
          await sim.converged()
          sim.partition([b])
          const local = { mode: "local" } as const
          await b.register("x", rooms[0], { ...local, meta: "keep this one" })
          await c.register("x", rooms[1], { ...local, meta: "or this" })
          await sim.advance("10 seconds")
          sim.heal()
          await sim.converged()
          for (const node of sim.nodes) assert.equal(node.whereis("x")?.node, winner)
          for (const room of rooms) assert.equal(await b.ref(Room, room).add(1), 1)
          const told = sim.events.filter(({ event }) => event._tag === "ConflictLost")
          const losers = winner === undefined ? ["b", "c"] : ["c"]
          assert.deepEqual(told.map(({ node }) => node).sort(), losers)
        })
    })
})

describe("a conflict of additional names", () => {
  test("isn't made of a claim that its owner gave up while it was cut off", async () => {
    for (const conflict of ["oldest", "newest"] as const)
      for (let seed = 0; seed < 5; seed++)
        await simulate({ ...three, seed, options: { conflict } }, async (sim) => {
          const [, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
          const before = await b.spawn(Room)
          const after = await c.spawn(Room)
          await b.register("x", before)
          await sim.converged()
          const cut = sim.isolate(b)
          await sim.until("b is down", () => c.whereis("x") === undefined)
          await sim.settle()
          await b.unregister("x")
          await c.register("x", after)
          const told = watch(c, c.whereis("x") as Location)
          await sim.advance("1 second")
          cut.end()
          await sim.converged()
          for (const node of sim.nodes) assert.equal(node.whereis("x")?.process, after.name)
          assert.deepEqual(told, [])
          assert.deepEqual(
            sim.events.filter(({ event }) => event._tag.startsWith("Conflict")),
            [],
          )
        })
  })

  test("S1. the later registration wins after a partial netsplit, and so does its metadata; the loser is dead, and counted nowhere", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...three, seed, options: { conflict: "newest" } }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const rooms = [await resident(b), await resident(c)] as const
        await sim.converged()
        sim.fault({ kind: "bridge", node: a.index })
        const options = { mode: "local", onConflict: "stop" } as const
        await b.register("x", rooms[0], { ...options, meta: 1 })
        await sim.advance("20 millis")
        assert.equal(a.whereis("x")?.meta, 1)
        const told = watch(a, a.whereis("x") as Location)
        await c.register("x", rooms[1], { ...options, meta: 2 })
        await sim.advance("20 millis")
        assert.equal(a.whereis("x")?.meta, 2, "the one between sees it before the heal")
        assert.deepEqual(told, ["conflict"])
        await sim.advance("5 seconds")
        sim.heal()
        await sim.converged()
        for (const node of sim.nodes) {
          assert.equal(node.whereis("x")?.process, rooms[1].name)
          assert.equal(node.whereis("x")?.meta, 2)
          const count = (of?: string) => node.count(of === undefined ? {} : { node: of })
          assert.deepEqual([count(), count("a"), count("b"), count("c")], [2, 0, 0, 2])
          assert.deepEqual(
            node.names().map(({ name }) => name),
            ["/x", rooms[1].name],
          )
        }
        assert.equal(await tagOf(a.ref(Room, rooms[0].key).add(1)), "NoProcess")
        assert.equal(await a.ref(Room, rooms[1].key).add(1), 1)
        assert.deepEqual(told, ["conflict"], "and the one in between told once")
      })
  })

  test("S8. is told to the loser when two clusters join: who has its name, and by its end if so wished", async () => {
    for (let seed = 0; seed < 5; seed++)
      for (const onConflict of ["keep", "stop"] as const) {
        const ends: Array<string> = []
        const Desk = Process.define("Desk", {
          state: () => ({}),
          calls: { here: (self) => self.node },
          stopping: (self, reason) => void ends.push(`${self.node}: ${reason}`),
          handoff: { kind: "ignore" },
        })
        await simulate({ ...twoClusters, processes: [Desk], seed }, async (sim) => {
          const [a, , c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
          await sim.advance("1 second")
          await sim.settle()
          const desks = []
          for (const node of [a, c]) {
            const desk = await node.start(Desk, keyAt(node, Desk.name))
            // What a registration wished that was taken back isn't what the next one does.
            await node.register("hello", desk, { onConflict: "stop" })
            await node.unregister("hello")
            await node.register("hello", desk, { onConflict, meta: node.name })
            await node.register(`only ${node.name}`, desk)
            desks.push(desk)
            await sim.advance("1 second")
          }
          const told = watch(d, d.whereis("hello") as Location)
          const kept = watch(d, d.whereis("only c") as Location)
          await a.connect("c")
          await sim.converged()
          const lost = sim.events.filter(({ event }) => event._tag === "ConflictLost")
          assert.deepEqual(
            lost.map(({ node, event }) => [node, (event as { winner: string }).winner]),
            [["c", "a"]],
          )
          assert.deepEqual(told, ["conflict"])
          for (const node of sim.nodes) {
            assert.equal(node.whereis("hello")?.meta, "a")
            const other = node.whereis("only c")?.process
            assert.equal(other, onConflict === "keep" ? desks[1]?.name : undefined)
          }
          assert.deepEqual(ends, onConflict === "keep" ? [] : ["c: conflict: hello belongs to a"])
          assert.deepEqual(
            kept.map((text) => text.slice(0, 7)),
            onConflict === "keep" ? [] : ["stopped"],
          )
        })
      }
  })

  test("S9. the entries of a removed member disappear from every list and lookup", async () => {
    await simulate(two, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const room = await resident(a)
      await a.register(["key", 1], room, { meta: { role: "db" } })
      await sim.converged()
      const listed = () => [
        b.names({ prefix: ["key"] }).length,
        b.names({ node: "a" }).length,
        b.find("role", "db").length,
        b.count({ node: "a" }),
        b.count(),
      ]
      assert.deepEqual(listed(), [1, 2, 1, 2, 2])
      const told = watch(b, b.whereis(["key", 1]) as Location)
      b.disconnect("a")
      await sim.settle()
      assert.equal(b.whereis(["key", 1]), undefined)
      const back = b.count()
      assert.deepEqual(listed(), [0, 0, 0, 0, back])
      assert.deepEqual(told, ["node down"])
      assert.equal(a.whereis(["key", 1])?.node, "a")
    })
  })
})

describe("names that are bound to a process", () => {
  test("S25. never move when a node joins, and vanish when the process or its host dies", async () => {
    for (let seed = 0; seed < 3; seed++)
      await simulate({ ...three, seed, options: { rebalance: "active" } }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        c.crash()
        await sim.settle()
        const rooms: Array<Room> = []
        for (let i = 0; i < 20; i++) {
          const node = i % 2 === 0 ? a : b
          const room = await node.spawn(Room)
          await node.register(["bound", i], room, { meta: { n: i } })
          rooms.push(room)
        }
        const ids = (node: SimNode) => node.names({ prefix: ["bound"] }).map(({ id }) => id)
        await sim.until("both know all", () => ids(a).length + ids(b).length === 40)
        const before = ids(a)
        await c.restart()
        await sim.converged()
        for (const node of sim.nodes) {
          assert.deepEqual(ids(node), before)
          for (const [i, room] of rooms.entries())
            assert.equal(node.whereis(["bound", i])?.process, room.name)
        }
        assert.equal(await c.stopProcess(rooms[0] as Room), true)
        await sim.converged()
        assert.deepEqual(c.whereis(["bound", 0]), undefined)
        a.crash({ machine: true })
        await sim.until("it is known", () => b.count({ node: "a" }) === 0)
        await sim.settle()
        for (const node of [b, c]) {
          assert.equal(node.names({ prefix: ["bound"] }).length, 10)
          assert.ok(node.names().every((location) => location.node !== "a"))
          assert.equal(node.find("n", 2).length, 0)
          assert.equal(node.find("n", 3).length, 1)
        }
      })
  })
})

describe("a name that is registered while its process moves", () => {
  test("goes along, in every mode", async () => {
    for (let seed = 0; seed < 6; seed++)
      await simulate({ nodes: 3, processes: [Mover], seed }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const mover = await a.start(Mover, keyAt(c, Mover.name))
        await sim.converged()
        const registered: Array<string> = []
        const tags = new Set<string>()
        let left = false
        const take = async (node: SimNode, mode: "local" | "serialized" | "quorum") => {
          for (let i = 0; !left; i++) {
            const name = `${node.name} ${mode} ${i}`
            void tagOf(node.register(name, mover, { mode })).then((tag) => {
              tags.add(tag)
              if (tag === "none") registered.push(name)
            })
            await sim.advance(0.5)
          }
        }
        const taking = [take(b, "local"), take(b, "serialized"), take(a, "quorum")]
        await sim.advance(10)
        await c.leave()
        left = true
        await Promise.all(taking)
        await sim.advance("6 seconds")
        await sim.converged()
        assert.deepEqual([...tags], ["none"])
        for (const node of [a, b])
          for (const name of registered) assert.equal(node.whereis(name)?.process, mover.name, name)
      })
  })
})

describe("metadata", () => {
  test("S38. a change is of what was there before, a second registration and one of nobody are told, and neither is an end", async () => {
    await simulate(two, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const room = await resident(a)
      await a.register("x", room, { meta: { name: "first" } })
      await sim.converged()
      const told = watch(b, b.whereis("x") as Location)
      const { id } = b.whereis("x") as Location
      const before: Array<unknown> = []
      const next = await b.update("x", (meta: unknown) => {
        before.push(meta)
        return { name: "second" }
      })
      assert.deepEqual([before, next], [[{ name: "first" }], { name: "second" }])
      assert.equal(await tagOf(b.update("nobody", {})), "NoProcess")
      const again = tagOf(b.register("x", room, { meta: { name: "third" } }))
      assert.equal(await again, "AlreadyRegistered")
      assert.equal(await b.unregister("nobody"), false)
      await sim.converged()
      for (const node of sim.nodes) {
        assert.deepEqual(node.whereis("x")?.meta, { name: "second" })
        assert.equal(node.whereis("x")?.id, id)
      }
      assert.deepEqual(told, [])
    })
  })

  test("S40. serial changes leave one value everywhere and lose none, while nodes come and go", async () => {
    for (let seed = 0; seed < 4; seed++)
      await simulate({ nodes: 4, processes: [Mover], seed }, async (sim) => {
        const [a] = sim.nodes as [SimNode]
        const key = keyAt(sim.nodes[3] as SimNode, Mover.name)
        const mover = await a.start(Mover, key)
        await a.register("counter", mover, { meta: [] })
        await sim.converged()
        const done: Array<string> = []
        const rounds = sim.nodes.slice(0, 3).map(async (node) => {
          for (let i = 0; i < 30; i++) {
            const mine = `${node.name}${i}`
            const add = (meta: unknown) => [...(meta as Array<string>), mine]
            const tag = await tagOf(node.update("counter", add))
            if (tag === "none") done.push(mine)
            await sim.advance(5)
          }
        })
        await sim.advance(40)
        const leaving = sim.nodes[3]?.leave()
        await Promise.all(rounds)
        await leaving
        await sim.converged()
        const metas = sim.nodes.slice(0, 3).map((node) => node.whereis("counter")?.meta)
        for (const meta of metas) {
          const kept = meta as Array<string>
          assert.equal(new Set(kept).size, kept.length, "none twice")
          assert.ok(
            done.every((one) => kept.includes(one)),
            "none lost",
          )
        }
        assert.deepEqual(metas[1], metas[0])
        assert.equal(done.length, 90)
      })
  })
})

/** A process that moves. */
const Mover = Process.define("Mover", {
  state: () => ({}),
  calls: {
    crash: (): void => {
      throw new Error("on purpose")
    },
  },
})

/** What the monitor of a life at this node is told. */
function watch(node: SimNode, location: Location): Array<string> {
  const told: Array<string> = []
  node.monitor(location, ({ reason, detail }) => told.push(reason + (detail && `: ${detail}`)))
  return told
}
