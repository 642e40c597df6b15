/** Additional names, locations and metadata, on nodes of a simulated cluster without faults. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { AlreadyRegistered, Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import type { Key } from "../../src/core/key.ts"
import type { Location } from "../../src/runtime/names/location.ts"
import type { RegisterOptions } from "../../src/runtime/names/registrations.ts"

const Room = Process.define("Room", {
  state: () => ({ n: 0, kept: undefined as unknown }),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    keep: (self, value: unknown): void => {
      self.state.kept = value
    },
    kept: (self) => self.state.kept,
    crash: (): void => {
      throw new Error("on purpose")
    },
  },
})

type Room = Ref<typeof Room>

const three = { nodes: 3, processes: [Room] }

/** A settled cluster of three, each with a room of its own. */
async function rooms(
  body: (sim: Sim, nodes: [SimNode, SimNode, SimNode], rooms: [Room, Room, Room]) => Promise<void>,
  options: object = {},
): Promise<void> {
  await simulate({ ...three, options }, async (sim) => {
    const nodes = sim.nodes as [SimNode, SimNode, SimNode]
    const made = await Promise.all(nodes.map((node) => resident(node)))
    await sim.converged()
    await body(sim, nodes, made as [Room, Room, Room])
  })
}

/** A process that the ring gives to this node. */
async function resident(node: SimNode): Promise<Room> {
  for (let i = 0; ; i++)
    if (node.nodeFor(Room, `${node.name}${i}`) === node.name)
      return await node.start(Room, `${node.name}${i}`)
}

function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: { readonly _tag?: string; readonly name: string }) => error._tag ?? error.name,
  )
}

describe("a location", () => {
  test("is the same from every node, and tells of the process behind an additional name", () =>
    rooms(async (sim, nodes, [, room]) => {
      const [a, b] = nodes
      await b.register("lobby", room, { meta: { seats: 4 } })
      await sim.converged()
      const id = a.whereis("lobby")?.id as string
      assert.match(id, /^b@[0-9a-z]+\/[0-9a-z]+\.[0-9a-z]+$/)
      const process = room.name
      for (const node of nodes) {
        const location = node.whereis("lobby") as Location
        const { name, generation, meta } = location
        assert.deepEqual(
          {
            id: location.id,
            name,
            process: location.process,
            node: location.node,
            generation,
            meta,
          },
          { id, name: "/lobby", process, node: "b", generation: 1, meta: { seats: 4 } },
        )
        const own = node.whereis(Room, room.key) as Location
        assert.equal(own.name, process)
        assert.equal(own.process, process)
        assert.equal(own.meta, undefined)
        assert.notEqual(own.id, id)
      }
    }))

  test("can be sent with a call and written as JSON, and still be used", () =>
    rooms(async (sim, [a, b, c], [room, other]) => {
      await a.register("lobby", room, { meta: { seats: 4 } })
      await sim.converged()
      const location = b.whereis("lobby") as Location
      const written = JSON.parse(JSON.stringify(location)) as Location
      await other.keep(location)
      const sent = (await c.ref(Room, other.key).kept()) as Location
      for (const copy of [written, sent]) {
        assert.deepEqual(copy, {
          id: location.id,
          name: "/lobby",
          process: room.name,
          node: "a",
          registeredAt: location.registeredAt,
          generation: 1,
          meta: { seats: 4 },
        })
        assert.equal(
          await c.update(copy, (meta: unknown) => meta).then(JSON.stringify),
          '{"seats":4}',
        )
        await c.register("also", copy)
        assert.equal(c.whereis("also")?.process, room.name)
        assert.equal(await c.unregister("also"), true)
      }
      const reference = JSON.parse(JSON.stringify(room)) as Room
      await c.register("also", reference)
      assert.equal(c.whereis("also")?.process, room.name)
      assert.equal(await c.update(reference, "of the room"), "of the room")
      assert.equal(c.whereis(Room, room.key)?.meta, "of the room")
    }))

  test("is of another life once the process began anew, moved, or the name was registered anew", () =>
    rooms(async (sim, [a, b], [room]) => {
      const ids = (): [string, string] => [
        b.whereis(Room, room.key)?.id ?? "",
        b.whereis("lobby")?.id ?? "",
      ]
      await a.register("lobby", room)
      await sim.converged()
      const first = ids()
      await a.update(room, 1)
      await a.update("lobby", 2)
      await room.add(1)
      await sim.converged()
      assert.deepEqual(ids(), first, "metadata is no life")
      assert.equal(await tagOf(room.crash()), "HandlerCrashed")
      await sim.converged()
      const second = ids()
      assert.notEqual(second[0], first[0])
      assert.equal(second[1], first[1], "the name is still the process's")
      await a.unregister("lobby")
      await a.register("lobby", room)
      await sim.converged()
      const third = ids()
      assert.equal(third[0], second[0])
      assert.notEqual(third[1], second[1])
      await a.leave()
      await sim.until("it has moved", () => b.whereis(Room, room.key) !== undefined)
      assert.notEqual(ids()[0], third[0])
    }))
})

describe("registering", () => {
  const keys: ReadonlyArray<Key> = [
    "lobby",
    "~x",
    "a/b",
    42,
    7n,
    true,
    ["room", 42, [7n, false]],
    [],
  ]

  test("takes any key, and every node finds the process under it", () =>
    rooms(async (sim, nodes, made) => {
      for (const [i, key] of keys.entries())
        await (nodes[i % 3] as SimNode).register(key, made[i % 3] as Room)
      await sim.converged()
      for (const node of nodes) {
        for (const [i, key] of keys.entries())
          assert.equal(node.whereis(key)?.process, made[i % 3]?.name)
        for (const key of ["42", "7n", "true", "[]", -42, 7, ["room", 42, [7n]]])
          assert.equal(node.whereis(key), undefined)
        assert.equal(node.count(), keys.length + 3)
        assert.equal(node.count({ node: "a" }), 1 + Math.ceil(keys.length / 3))
        assert.equal(node.count({ node: "nobody" }), 0)
      }
    }))

  test("is done by the node of the process, whoever asks, in every mode", () =>
    rooms(async (sim, [a, b, c], [room]) => {
      for (const mode of ["serialized", "local", "quorum"] as const) {
        await c.register(`by ref ${mode}`, room, { mode, meta: mode })
        assert.equal(c.whereis(`by ref ${mode}`)?.node, "a", "its own node has it at once")
        const location = b.whereis(Room, room.key) as Location
        await b.register(`by location ${mode}`, location, { mode })
        assert.equal(b.whereis(`by location ${mode}`)?.process, room.name)
        assert.equal(a.whereis(`by ref ${mode}`)?.meta, mode)
        assert.equal(await tagOf(b.register(`by ref ${mode}`, room, { mode })), "AlreadyRegistered")
      }
      assert.equal(await tagOf(c.register("x", c.ref(Room, "nobody"))), "NoProcess")
      await sim.converged()
    }))

  test("fails with who has the name, and where", () =>
    rooms(async (sim, nodes, made) => {
      const [a] = nodes
      await a.register("lobby", made[0])
      await sim.converged()
      for (const [i, node] of nodes.entries()) {
        for (const mode of ["serialized", "local", "quorum"] as const) {
          const error = await node.register("lobby", made[i] as Room, { mode }).catch((e) => e)
          assert.ok(error instanceof AlreadyRegistered)
          assert.equal(error.process, "lobby")
          assert.equal(error.node, "a")
          assert.equal(error.outcome, "not-executed")
          assert.equal(error.location?.id, a.whereis("lobby")?.id)
        }
      }
      const far = await nodes[1].register("lobby", made[2]).catch((error) => error)
      assert.equal(far.location?.process, made[0].name, "also when another node was asked")
    }))

  test("of several at the same time on one node, one succeeds", () =>
    rooms(async (sim, [a], [room]) => {
      const other = await a.start(Room, keyFor(a, "other"))
      for (const mode of ["serialized", "local", "quorum"] as const)
        for (let i = 0; i < 5; i++) {
          const name = `${mode} ${i}`
          const outcomes = await Promise.all(
            [room, other, room].map((one) => tagOf(a.register(name, one, { mode }))),
          )
          const failed = outcomes.filter((tag) => tag !== "none")
          assert.deepEqual(failed, ["AlreadyRegistered", "AlreadyRegistered"])
          const winner = outcomes.indexOf("none") === 1 ? other : room
          await sim.converged()
          assert.equal(a.whereis(name)?.process, winner.name)
        }
    }))

  test("of one that is under way on the node itself is told at once, and gives way to a local one", () =>
    rooms(async (sim, [a], [room]) => {
      for (const mode of ["serialized", "quorum"] as const) {
        // Who keeps the name is another node.
        const names = Array.from({ length: 8 }, (_, i) => `${mode} ${i}`)
        const first = names.map((name) => tagOf(a.register(name, room, { mode })))
        const begun = sim.now
        for (const name of names) {
          const second = await tagOf(a.register(name, room, { mode }))
          assert.equal(second, "AlreadyRegistered")
        }
        assert.equal(sim.now, begun)
        assert.deepEqual(new Set(await Promise.all(first)), new Set(["none"]))
        const other = await a.start(Room, keyFor(a, `other ${mode}`))
        const later = names.map((name) => tagOf(a.register(`later ${name}`, room, { mode })))
        for (const name of names) await a.register(`later ${name}`, other, { mode: "local" })
        const outcomes = await Promise.all(later)
        assert.ok(outcomes.includes("AlreadyRegistered"), outcomes.join())
        for (const [i, name] of names.entries()) {
          const holder = outcomes[i] === "none" ? room : other
          assert.equal(a.whereis(`later ${name}`)?.process, holder.name)
        }
      }
    }))

  test("refuses what can't be meant, with a TypeError", () =>
    rooms(async (_, [a], [room]) => {
      const wrong: ReadonlyArray<readonly [unknown, unknown, object?]> = [
        ["", room],
        [Number.NaN, room],
        ["x".repeat(600), room],
        ["x", "Room/a0"],
        ["x", {}],
        ["x", null],
        ["x", room, { mode: "fast" }],
        ["x", room, { mode: "quorum", quorum: 0 }],
        ["x", room, { mode: "quorum", quorum: 0.5 }],
        ["x", room, { mode: "quorum", quorum: "3" }],
        ["x", room, { onConflict: "kill" }],
        ["x", room, { timeout: Number.NaN }],
      ]
      for (const [name, ref, options] of wrong)
        assert.equal(
          await tagOf(a.register(name as string, ref as Room, options as RegisterOptions)),
          "TypeError",
          JSON.stringify([name, options]),
        )
      assert.equal(await tagOf(a.register("x", room, { meta: () => {} })), "NotData")
      assert.equal(a.count({ node: "a" }), 1)
    }))

  test("is bounded by namesMax, and by the life of the node", () =>
    rooms(
      async (sim, [a, b], [room, other]) => {
        await a.register("one", room)
        for (const mode of ["serialized", "quorum"] as const)
          for (let i = 0; i < 5; i++) {
            const name = `${mode} ${i}`
            assert.equal(await tagOf(a.register(name, room, { mode })), "Overloaded")
            await sim.advance(5)
            // Nothing is kept for a registration that didn't come about.
            assert.equal(await tagOf(b.register(name, other, { mode })), "none")
            await sim.advance(5)
            await b.unregister(name)
          }
        void a.unregister("one")
        assert.equal(a.whereis("one"), undefined, "at once, where it was")
        await a.register("two", room)
        const register = a.register("three", room)
        a.crash()
        assert.equal(await tagOf(register), "NodeStopped")
      },
      { limits: { namesMax: 2 } },
    ))
})

describe("a process", () => {
  test("has many names, which end with it; it outlives each of them", () =>
    rooms(async (sim, nodes, [room]) => {
      const [a, b, c] = nodes
      for (const name of ["one", "two", "three"]) await a.register(name, room)
      await sim.converged()
      assert.equal(await b.unregister("one"), true, "from any node")
      assert.equal(b.whereis("one"), undefined, "which knows it at once")
      assert.equal(await a.unregister("two"), true)
      assert.equal(await c.unregister("never"), false)
      assert.equal(await a.unregister("one"), false)
      assert.equal(await room.add(1), 1)
      await sim.converged()
      for (const node of nodes) {
        assert.equal(node.whereis("two"), undefined)
        assert.equal(node.whereis("three")?.process, room.name)
      }
      await b.register("one", room)
      await a.stopProcess(room)
      await sim.converged()
      for (const node of nodes) {
        for (const name of ["one", "two", "three"]) assert.equal(node.whereis(name), undefined)
        assert.equal(node.count(), 2)
      }
    }))

  test("that moves takes its names and their metadata along", () =>
    rooms(async (sim, [a, b], [room]) => {
      await a.update(room, { of: "room" })
      await a.register("lobby", room, { meta: { seats: 4 } })
      await sim.converged()
      await a.leave()
      await sim.until("it has moved", () => b.whereis("lobby") !== undefined)
      const location = b.whereis("lobby") as Location
      assert.notEqual(location.node, "a")
      assert.equal(location.process, room.name)
      assert.equal(location.generation, 2)
      assert.deepEqual(location.meta, { seats: 4 })
      assert.deepEqual(b.whereis(Room, room.key)?.meta, { of: "room" })
    }))
})

describe("metadata", () => {
  test("is changed from any node, to a value or by a function of the one that is there", () =>
    rooms(async (sim, nodes, [room]) => {
      const [a, b, c] = nodes
      await a.register("lobby", room, { meta: { seats: 4 } })
      await sim.converged()
      assert.deepEqual(await b.update("lobby", { seats: 5 }), { seats: 5 })
      assert.deepEqual(b.whereis("lobby")?.meta, { seats: 5 }, "at once, where it was changed")
      const more = (before: unknown) => ({ seats: (before as { seats: number }).seats + 1 })
      assert.deepEqual(await c.update("lobby", more), { seats: 6 })
      assert.deepEqual(await a.update("lobby", more), { seats: 7 })
      assert.equal(await a.update(room, (before: unknown) => before), undefined)
      assert.equal(await b.update(room, "of the process"), "of the process")
      assert.equal(await c.update("lobby", undefined), undefined)
      await sim.converged()
      for (const node of nodes) {
        assert.equal(node.whereis("lobby")?.meta, undefined)
        assert.equal(node.whereis(Room, room.key)?.meta, "of the process")
      }
    }))

  test("of nobody is NoProcess, and what is no data isn't taken", () =>
    rooms(async (_, [a], [room]) => {
      assert.equal(await tagOf(a.update("nobody", 1)), "NoProcess")
      assert.equal(await tagOf(a.update(a.ref(Room, "nobody"), 1)), "NoProcess")
      assert.equal(await tagOf(a.update(room, () => () => {})), "NotData")
      assert.equal(await tagOf(a.update(room, "x".repeat(100_000))), "NotData")
      assert.equal(await tagOf(a.update({} as Location, 1)), "TypeError")
      const thrown = new Error("of the function")
      const throws = a.update(room, () => {
        throw thrown
      })
      await assert.rejects(throws, thrown)
      assert.equal(a.whereis(Room, room.key)?.meta, undefined)
    }))

  test("loses no change of many at the same time", () =>
    rooms(async (sim, nodes, [room]) => {
      const [a] = nodes
      await a.register("counter", room, { meta: 0 })
      await sim.converged()
      const add = (before: unknown): number => (before as number) + 1
      const changes = nodes.flatMap((node) =>
        Array.from({ length: 40 }, () => node.update("counter", add)),
      )
      const seen = (await Promise.all(changes)) as Array<number>
      assert.deepEqual(
        seen.sort((x, y) => x - y),
        Array.from({ length: 120 }, (_, i) => i + 1),
      )
    }))

  test("is that of the name as it is registered now, not of one before", () =>
    rooms(async (sim, [a, b], [room]) => {
      await a.register("name", room, { meta: "first" })
      await sim.converged()
      const bases: Array<unknown> = []
      const changed = await b.update("name", (before: unknown) => {
        bases.push(before)
        if (bases.length > 1) return `${before} changed`
        void a.unregister("name")
        void a.register("name", room, { mode: "local", meta: "second" })
        return "of the first"
      })
      assert.deepEqual(bases, ["first", "second"])
      assert.equal(changed, "second changed")
    }))

  test("that others change each time is Contended in the end", () =>
    rooms(async (sim, [a, b], [room]) => {
      await a.register("busy", room, { meta: 0 })
      await sim.converged()
      let others = 0
      const update = b.update("busy", (before: unknown) => {
        void a.update("busy", ++others)
        return before
      })
      await assert.rejects(update, { _tag: "Contended", process: "busy", attempts: 64 })
      assert.equal(others, 64)
      assert.equal(a.whereis("busy")?.meta, 64)
    }))

  test("finds names from every node, as it is now", () =>
    rooms(async (sim, nodes, made) => {
      const found = (property: string, value: string): ReadonlyArray<ReadonlyArray<string>> =>
        nodes.map((node) => node.find(property, value).map(({ name }) => name))
      for (const [i, node] of nodes.entries()) {
        await node.register(["service", i], made[i] as Room, { meta: { role: "db" } })
        await node.update(made[i] as Room, { role: `role ${i}` })
      }
      await sim.converged()
      const all = ['/~["service",0]', '/~["service",1]', '/~["service",2]']
      assert.deepEqual(found("role", "db"), [all, all, all])
      assert.deepEqual(found("role", "role 1"), [[made[1].name], [made[1].name], [made[1].name]])
      await nodes[2].update(["service", 0], { role: "web" })
      await nodes[2].unregister(["service", 1])
      await sim.converged()
      const rest = all.slice(2)
      assert.deepEqual(found("role", "db"), [rest, rest, rest])
      for (const node of nodes)
        assert.deepEqual(
          node.names({ prefix: ["service"], node: "a" }).map(({ meta }) => meta),
          [{ role: "web" }],
        )
    }))
})

/** A key that the ring gives to this node. */
function keyFor(node: SimNode, of: string): string {
  for (let i = 0; ; i++) if (node.nodeFor(Room, `${of}${i}`) === node.name) return `${of}${i}`
}
