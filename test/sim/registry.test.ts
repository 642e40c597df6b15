/**
 * Names and their conflicts, with whole nodes: the scenarios of the registry family.
 *
 * Custom resolvers (S2) are in registrations.test.ts. Not here either: the halves of S5,
 * S10 and S11 that are about groups. Read as it applies here: there are no scopes, so S1 has one; a process
 * that loses an additional name lives on, only the name is its no more, so S1 and S7 end no process; what S8
 * calls an exit is the hook `stopping` and the event ConflictLost, and the registry has no listener of its
 * own; S40's plain inserts are registrations in mode `local`, which may differ for a moment, never for good.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { keyAt, Room, resident, three, two, twoClusters } from "./rooms.ts"
import { chances, tagOf } from "./shared.ts"

describe("two registrations of one name", () => {
  for (const policy of ["newest", "oldest"] as const) {
    const [winner, loser] = policy === "newest" ? ["c", "b"] : ["b", "c"]
    const which = policy === "newest" ? "later" : "earlier"
    test(`S1. the ${which} registration wins after a partial netsplit, everywhere`, async () => {
      for (let seed = 0; seed < 5; seed++)
        await simulate({ ...three, seed, options: { conflict: policy } }, async (sim) => {
          const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
          const rooms = [await resident(b), await resident(c)] as const
          await sim.converged()
          // b and c don't reach each other, a reaches both.
          sim.fault({ kind: "bridge", node: a.index })
          await b.register("x", rooms[0], { mode: "local" })
          await sim.advance("20 millis")
          assert.equal(a.whereis("x")?.node, "b")
          assert.equal(c.whereis("x"), undefined)
          await c.register("x", rooms[1], { mode: "local" })
          await sim.advance("20 millis")
          assert.equal(a.whereis("x")?.node, winner, "the one between sees it before the heal")
          await sim.advance("10 seconds")
          sim.heal()
          await sim.converged()
          for (const node of sim.nodes) {
            assert.equal(node.whereis("x")?.node, winner)
            assert.equal(node.count(), 3)
          }
          assert.deepEqual(lost(sim), [`${loser} lost /x to ${winner}`])
          for (const room of rooms) assert.equal(await a.ref(Room, room.key).add(1), 1)
          assert.ok(!sim.events.some(({ event }) => event._tag === "MemberDown"))
        })
    })
  }

  test("S7. a concurrent storm converges: all give the same answer, and that process is alive", async () => {
    for (const mode of ["local", "serialized"] as const)
      for (let seed = 0; seed < 3; seed++)
        await simulate({ nodes: 4, seed, processes: [Room] }, async (sim) => {
          if (mode === "local")
            sim.sometimes("two hold the name at a time", () => lost(sim).length > 0)
          const rounds = await Promise.all(sim.nodes.map((node) => storm(sim, node, mode)))
          await sim.converged()
          const held = rounds.reduce((sum, count) => sum + count, 0)
          assert.ok(held > 100, `only ${held} of 1,000 rounds got the name`)
          const answers = sim.nodes.map((node) => node.whereis("concurrent"))
          const [first] = answers
          for (const answer of answers) assert.deepEqual(seen(answer), seen(first))
          if (first === undefined) return
          const key = first.process.slice("Room/".length)
          assert.deepEqual(sim.owners(Room, key), [first.node])
        })
  })

  test("S8. when two clusters join, the loser of a conflict is told, and its other names live on with it", async () => {
    for (let seed = 0; seed < 5; seed++)
      await simulate({ ...twoClusters, seed }, async (sim) => {
        const [a, , c] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        await sim.advance("1 second")
        await sim.settle()
        const one = await resident(a)
        const other = await resident(c)
        for (const [node, room] of [
          [a, one],
          [c, other],
        ] as const) {
          await node.register("hello", room)
          await node.register(`only ${node.name}`, room)
          assert.equal(node.count(), 3)
          await sim.advance("1 second")
        }
        await a.connect("c")
        await sim.converged()
        assert.deepEqual(lost(sim), ["c lost /hello to a"])
        for (const node of sim.nodes) {
          assert.equal(node.whereis("hello")?.process, one.name)
          assert.equal(node.whereis("only a")?.process, one.name)
          assert.equal(node.whereis("only c")?.process, other.name)
          assert.equal(node.count(), 5)
        }
        assert.equal(await a.ref(Room, other.key).add(1), 1)
      })
  })

  test("S8. when the loser is a process it ends, is told why, and its other names end with it", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const ends: Array<string> = []
      const Desk = Process.define("Desk", {
        state: () => ({}),
        stopping: (self, reason) => void ends.push(`${self.node}: ${reason}`),
        handoff: { kind: "ignore" },
      })
      await simulate({ ...twoClusters, processes: [Desk], seed }, async (sim) => {
        await sim.advance("1 second")
        await sim.settle()
        // Each cluster has its own, with a name of its own.
        const homes: Array<SimNode> = []
        for (const node of [sim.nodes[0], sim.nodes[2]] as Array<SimNode>) {
          const desk = await node.start(Desk, "hello")
          const home = sim.nodes.find(({ name }) => name === node.whereis(Desk, "hello")?.node)
          await home?.register(`of ${home.name}`, desk)
          homes.push(home as SimNode)
        }
        await sim.nodes[0]?.connect("c")
        await sim.converged()
        const winner = sim.owners(Desk, "hello")
        assert.equal(winner.length, 1)
        const loser = homes.find(({ name }) => name !== winner[0])?.name
        assert.deepEqual(lost(sim), [`${loser} lost Desk/hello to ${winner[0]}`])
        assert.deepEqual(ends, [`${loser}: conflict`])
        for (const node of sim.nodes) {
          assert.equal(node.whereis(`of ${winner[0]}`)?.node, winner[0])
          assert.equal(node.whereis(`of ${loser}`), undefined)
        }
      })
    }
  })
})

describe("what others say", () => {
  test("S5. a snapshot is authoritative for its sender: what it doesn't hold is gone", async () => {
    for (let seed = 0; seed < 3; seed++)
      await simulate({ ...two, seed }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const room = await resident(b)
        await b.register("stale", room, { mode: "local" })
        await b.register("kept", room, { mode: "local" })
        await sim.converged()
        // All that b does from now on is lost, and is more than its log keeps.
        const end = sim.rule(({ from, what }) =>
          from === "b" && what.includes("Ops") ? "drop" : "pass",
        )
        await b.unregister("stale")
        await Promise.all(Array.from({ length: 4_500 }, (_, i) => churn(b, room, `${i}`)))
        await b.register("fresh", room, { mode: "local" })
        await sim.advance("50 millis")
        end()
        assert.equal(a.whereis("stale")?.node, "b")
        let snapshots = 0
        sim.rule(({ from, what }) => {
          if (from === "b" && what.includes("Snapshot")) snapshots++
          return "pass"
        })
        await sim.converged()
        assert.ok(snapshots > 0, "it came otherwise")
        assert.equal(a.whereis("stale"), undefined)
        assert.equal(a.whereis("kept")?.process, room.name)
        assert.equal(a.whereis("fresh")?.process, room.name)
        assert.equal(a.count(), 3)
      })
  })

  test("S9. the entries of a removed member disappear", async () => {
    await simulate({ ...two, processes: [Guest] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const guest = await a.start(Guest, keyAt(a, Guest))
      await a.register("key", guest)
      await sim.converged()
      assert.equal(b.whereis("key")?.node, "a")
      assert.equal(b.count(), 2)
      b.disconnect("a")
      await sim.settle()
      assert.equal(b.whereis("key"), undefined)
      assert.equal(b.count(), 0)
      assert.equal(a.whereis("key")?.node, "a")
    })
  })

  test("S11. what a stranger says is not stored", async () => {
    // c is of another cluster, and dials the others all the time.
    const options = (i: number) => ({ cluster: i === 2 ? "other" : "skein" })
    await simulate({ ...three, formed: false, options }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await sim.advance("5 seconds")
      await sim.settle()
      const room = await resident(c)
      await c.register("foreign", room)
      await a.start(Room, "own")
      await sim.advance("30 seconds")
      for (const node of [a, b]) {
        assert.equal(node.whereis("foreign"), undefined)
        assert.equal(node.whereis(Room, room.key), undefined)
        assert.equal(node.count(), 1)
        assert.deepEqual(
          node.members().map(({ name }) => name),
          ["a", "b"],
        )
      }
      assert.equal(c.count(), 2)
      assert.equal(c.whereis(Room, "own"), undefined)
      const refusals = sim.events.filter(({ event }) => event._tag === "ConnectionRefused")
      assert.ok(refusals.some(({ node }) => node === "c"))
    })
  })

  test("S11. what a member says that this node has parted with is not stored, whoever passes it on", async () => {
    await simulate(three, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const room = await resident(c)
      a.disconnect("c")
      await sim.advance("1 second")
      await c.register("foreign", room, { mode: "local" })
      await sim.advance("30 seconds")
      assert.equal(b.whereis("foreign")?.node, "c")
      assert.equal(a.whereis("foreign"), undefined)
      assert.equal(a.whereis(Room, room.key), undefined)
    })
  })
})

describe("registering", () => {
  test("S10. what has been registered is found by its caller at once", async () => {
    await simulate(three, async (sim) => {
      for (const node of sim.nodes) {
        const room = await resident(node)
        for (const mode of ["local", "serialized"] as const) {
          const name = `${mode} ${node.name}`
          await node.register(name, room, { mode })
          assert.deepEqual(seen(node.whereis(name)), `${room.name} at ${node.name}`)
          await assert.rejects(node.register(name, room, { mode }), {
            _tag: "AlreadyRegistered",
            node: node.name,
          })
          assert.equal(await node.unregister(name), true)
          assert.equal(node.whereis(name), undefined)
        }
      }
    })
  })

  test("S40. of serialized registrations at the same time one succeeds, and everybody has that one", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ nodes: 4, processes: [Room], seed }, async (sim) => {
        const rooms = await Promise.all(sim.nodes.map((node) => resident(node)))
        for (let i = 0; i < 12; i++) {
          // Not all: who keeps the name needs no round trip, and would win each time.
          const nodes = sim.nodes.filter(({ index }) => index !== i % 4)
          const outcomes = await together(nodes, rooms, `name ${i}`, "serialized")
          assert.deepEqual(
            outcomes.filter((tag) => tag !== "none"),
            ["AlreadyRegistered", "AlreadyRegistered"],
          )
          const winner = nodes[outcomes.indexOf("none")]?.name
          await sim.converged()
          for (const node of sim.nodes) assert.equal(node.whereis(`name ${i}`)?.node, winner)
        }
        assert.deepEqual(lost(sim), [])
      })
  })

  test("S40. of local registrations at the same time all succeed, and one is left everywhere", async () => {
    for (let seed = 0; seed < 10; seed++)
      await simulate({ ...three, seed }, async (sim) => {
        const rooms = await Promise.all(sim.nodes.map((node) => resident(node)))
        for (let i = 0; i < 10; i++) {
          const name = `name ${i}`
          const outcomes = await together(sim.nodes, rooms, name, "local")
          assert.deepEqual(outcomes, ["none", "none", "none"])
          const views = sim.nodes.map((node) => node.whereis(name)?.node)
          assert.deepEqual(views, ["a", "b", "c"], "each has its own, for a moment")
          await sim.converged()
          const winner = sim.nodes[0]?.whereis(name)?.node
          for (const node of sim.nodes) assert.equal(node.whereis(name)?.node, winner)
          assert.equal(lost(sim).length, 2 * (i + 1))
        }
      })
  })

  test("S40. a node cut from who keeps a name can't register it serialized, and says so", async () => {
    await simulate({ ...two, seed: 3 }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const room = await resident(a)
      sim.partition([a], [b])
      const outcomes = await Promise.all(
        Array.from({ length: 10 }, (_, i) => tagOf(a.register(`n${i}`, room, { timeout: 1_000 }))),
      )
      assert.deepEqual([...new Set(outcomes)].sort(), ["Timeout", "none"])
      await sim.settle()
      // Alone it decides alone.
      assert.equal(await tagOf(a.register("later", room)), "none")
    })
  })
})

/** A process whose name ends with its node. */
const Guest = Process.define("Guest", {
  state: () => ({}),
  restart: "temporary",
  handoff: { kind: "ignore" },
})

/** Rounds of taking the name, over and over; how many got it. */
async function storm(sim: Sim, node: SimNode, mode: "local" | "serialized"): Promise<number> {
  const random = chances(sim.seed * 4 + node.index)
  let held = 0
  for (let round = 0; round < 250; round++) {
    const room = await resident(node, 100 * round)
    let tag = await tagOf(node.register("concurrent", room, { mode }))
    if (tag === "AlreadyRegistered") {
      await node.unregister("concurrent")
      tag = await tagOf(node.register("concurrent", room, { mode }))
    }
    if (tag === "none") held++
    if (random(10) === 0) await node.stopProcess(room)
    await sim.advance(1 + random(30))
  }
  return held
}

/** These nodes register the name at the same moment, each for its room: what each got. */
function together(
  nodes: ReadonlyArray<SimNode>,
  rooms: ReadonlyArray<Room>,
  name: string,
  mode: "local" | "serialized",
): Promise<ReadonlyArray<string>> {
  return Promise.all(
    nodes.map((node) => tagOf(node.register(name, rooms[node.index] as Room, { mode }))),
  )
}

/** Two operations that leave nothing. */
async function churn(node: SimNode, room: Room, name: string): Promise<void> {
  await node.register(name, room, { mode: "local" })
  await node.unregister(name)
}

/** Who lost what to whom so far. */
function lost(sim: Sim): ReadonlyArray<string> {
  return sim.events.flatMap(({ node, event }) =>
    event._tag === "ConflictLost" ? [`${node} lost ${event.process} to ${event.winner}`] : [],
  )
}

function seen(location: ReturnType<SimNode["whereis"]>): string | undefined {
  return location && `${location.process} at ${location.node}`
}
