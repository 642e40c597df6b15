/**
 * Registrations that a quorum must agree to: at most one succeeds, whatever befalls the network and the nodes.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Sim, type SimNode, simulate } from "skein/testing"
import type { RegisterOptions } from "../../src/runtime/names/registrations.ts"
import { Room, resident, three, two } from "./rooms.ts"
import { chances, tagOf } from "./shared.ts"

describe("a registration with a quorum", () => {
  test("S17. is refused when there are fewer members than it takes, and no node shows it", async () => {
    await simulate(two, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const room = await resident(a)
      const quorum = { mode: "quorum", quorum: 3 } as const
      let shown = 0
      sim.always("it is counted who shows it", () => {
        shown += sim.nodes.filter((node) => node.whereis("x") !== undefined).length
      })
      await assert.rejects(a.register("x", room, quorum), {
        _tag: "NoQuorum",
        outcome: "not-executed",
        process: "x",
        needed: 3,
        got: 2,
      })
      await assert.rejects(b.register("x", room, quorum), { _tag: "NoQuorum", needed: 3, got: 2 })
      await sim.converged()
      assert.equal(shown, 0)
      // Nothing is kept for a registration that didn't come about.
      await b.register("x", await resident(b), { mode: "quorum", quorum: 2 })
      await sim.converged()
      for (const node of sim.nodes) assert.equal(node.whereis("x")?.node, "b")
    })
  })

  test("S17. with a timeout of 0 fails with Timeout, and doesn't hang", async () => {
    await simulate(two, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const room = await resident(a)
      const before = sim.now
      for (const mode of ["quorum", "serialized"] as const)
        for (const node of [a, b])
          await assert.rejects(node.register("x", room, { mode, timeout: 0 }), {
            _tag: "Timeout",
            outcome: "not-executed",
            timeoutMillis: 0,
          })
      assert.equal(sim.now, before)
      assert.equal(a.whereis("x"), undefined)
    })
  })

  test("takes a majority of the members that are known, be they down, unless they have left", async () => {
    await simulate({ nodes: 5, processes: [Room] }, async (sim) => {
      const [a, b, c, d, e] = sim.nodes as [SimNode, SimNode, SimNode, SimNode, SimNode]
      const room = await resident(a)
      const attempt = (name: string) => tagOf(a.register(name, room, { mode: "quorum" }))
      e.crash()
      d.crash()
      await sim.settle()
      const begun = sim.now
      assert.equal(await attempt("three of five"), "none")
      assert.ok(sim.now - begun < 20, "three round trips, and no wait")
      c.crash()
      await sim.settle()
      await assert.rejects(a.register("two of five", room, { mode: "quorum" }), {
        _tag: "NoQuorum",
        needed: 3,
        got: 2,
      })
      await c.restart()
      await d.restart()
      await sim.settle()
      await c.leave()
      await d.leave()
      await sim.settle()
      assert.equal(await attempt("two of three"), "none")
      await b.stop()
      await sim.settle()
      assert.equal(await attempt("one of three"), "NoQuorum")
    })
  })

  test("that succeeds is known to a quorum: it outlives the node's word for it, and nobody else succeeds", async () => {
    // b's votes come, but what it enters doesn't reach the others.
    await simulate({ nodes: 3, processes: [Room] }, async (sim) => {
      const [, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const rooms = [await resident(b), await resident(c)] as const
      await sim.converged()
      const end = sim.rule(({ from, what }) =>
        from === "b" && what.includes("Ops") ? "drop" : "pass",
      )
      await assert.rejects(b.register("x", rooms[0], { mode: "quorum" }), {
        _tag: "NoQuorum",
        needed: 2,
        got: 1,
      })
      assert.equal(b.whereis("x"), undefined)
      end()
      await sim.advance("6 seconds")
      await c.register("x", rooms[1], { mode: "quorum" })
      await sim.converged()
      for (const node of sim.nodes) assert.equal(node.whereis("x")?.node, "c")
    })
  })

  test("that succeeds is what a quorum has, also when somebody registers the name without asking", async () => {
    const outcomes = new Set<string>()
    for (let seed = 0; seed < 40; seed++)
      await simulate({ ...three, seed, options: { conflict: "newest" } }, async (sim) => {
        const [, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const rooms = await bound(sim)
        const registered = tagOf(b.register("x", rooms[1] as Room, { mode: "quorum" })).then(
          (tag) => {
            outcomes.add(tag)
            const having = sim.nodes.filter((node) => node.whereis("x")?.node === "b")
            if (tag === "none") assert.ok(having.length >= 2, `only ${having.length} have it`)
          },
        )
        await sim.advance(seed / 20)
        await tagOf(c.register("x", rooms[2] as Room, { mode: "local" }))
        await registered
      })
    assert.deepEqual([...outcomes].sort(), ["AlreadyRegistered", "NoQuorum", "none"])
  })

  for (const stand of ["suspend", "pause"] as const)
    test(`of a node that stood still meanwhile (${stand}) doesn't come late into another one's way`, async () => {
      for (let seed = 0; seed < 8; seed++)
        await simulate({ ...three, seed, options: { conflict: "newest" } }, async (sim) => {
          const [, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
          const rooms = await bound(sim)
          const late = tagOf(b.register("x", rooms[1] as Room, { mode: "quorum", timeout: 60_000 }))
          await sim.advance(seed / 5)
          b[stand]()
          await sim.advance("10 seconds")
          await c.register("x", rooms[2] as Room, { mode: "quorum", quorum: 2 })
          await sim.advance(100)
          b.resume()
          await sim.converged()
          assert.notEqual(await late, "none")
          await sim.converged()
          for (const node of sim.nodes) assert.equal(node.whereis("x")?.node, "c")
          const lost = sim.events.filter(({ event }) => event._tag === "ConflictLost")
          assert.ok(lost.every(({ node }) => node === "b"))
        })
    })

  test("never succeeds twice at the same time, and at most on one side of a cut", async () => {
    let won = 0
    for (let seed = 0; seed < 8; seed++)
      await simulate({ nodes: 5, processes: [Room], seed }, async (sim) => {
        const rooms = await bound(sim)
        const random = chances(seed)
        for (let round = 0; round < 3; round++) {
          const tries = ["one", "two", "three"].map((text) => `${text} ${round}`)
          const outcomes = sim.nodes.map((node) =>
            later(sim, random(40), () =>
              Promise.all(
                tries.map((name) => attempt(node, name, rooms[node.index] as Room, random)),
              ),
            ),
          )
          await sim.advance(random(40))
          cut(sim, random)
          const results = await Promise.all(outcomes)
          for (const [i, name] of tries.entries()) {
            const winners = results.flatMap((tags, at) => (tags[i] === "none" ? [at] : []))
            assert.ok(winners.length <= 1, `${name} of ${winners.join(" and ")}`)
            won += winners.length
          }
          sim.heal()
          await sim.converged()
          for (const [i, name] of tries.entries()) {
            const winner = results.findIndex((tags) => tags[i] === "none")
            const owner = sim.nodes[winner]?.name
            for (const node of sim.nodes) assert.equal(node.whereis(name)?.node, owner, name)
          }
        }
      })
    assert.ok(won > 24, `only ${won} of 72 names were registered`)
  })

  test("in a lasting cut succeeds with the majority only, and everybody has that one afterwards", async () => {
    for (let seed = 0; seed < 6; seed++)
      await simulate({ nodes: 5, processes: [Room], seed }, async (sim) => {
        const rooms = await bound(sim)
        const side = sim.nodes.filter(({ index }) => (index + seed) % 5 < 2)
        const rest = sim.nodes.filter((node) => !side.includes(node))
        sim.partition(side, rest)
        const names = ["x", "y", "z"]
        const got = new Map<string, string>()
        for (let round = 0; round < 8; round++) {
          await Promise.all(
            sim.nodes.flatMap((node) =>
              names.map(async (name) => {
                const tag = await attempt(node, name, rooms[node.index] as Room, () => 0)
                if (tag !== "none") return
                assert.ok(!side.includes(node), "the minority has none")
                assert.ok(!got.has(name), "one only")
                got.set(name, node.name)
              }),
            ),
          )
          await sim.advance("1 second")
        }
        assert.deepEqual([...got.keys()].sort(), names)
        sim.heal()
        await sim.converged()
        for (const node of sim.nodes)
          for (const name of names) assert.equal(node.whereis(name)?.node, got.get(name))
      })
  })

  test("S7. a concurrent storm converges, and at no time two have the name", async () => {
    for (const mode of ["serialized", "quorum"] as const)
      for (let seed = 0; seed < 2; seed++)
        await simulate({ nodes: 4, seed, processes: [Room] }, async (sim) => {
          sim.always("no two have the name", () => {
            const having = sim.nodes.filter(
              ({ name, whereis }) => whereis("concurrent")?.node === name,
            )
            return having.length <= 1
          })
          const rounds = await Promise.all(sim.nodes.map((node) => storm(sim, node, { mode })))
          const held = rounds.reduce((sum, count) => sum + count, 0)
          assert.ok(held > 50, `only ${held} of 400 rounds got the name`)
          await sim.converged()
          const [first, ...others] = sim.nodes.map((node) => node.whereis("concurrent"))
          for (const other of others) assert.equal(other?.id, first?.id)
          if (first === undefined) return
          const key = first.process.slice("Room/".length)
          assert.deepEqual(sim.owners(Room, key), [first.node])
        })
  })

  test("S40. of registrations with a quorum at the same time at most one succeeds", async () => {
    for (let seed = 0; seed < 6; seed++)
      await simulate({ nodes: 4, processes: [Room], seed }, async (sim) => {
        const rooms = await bound(sim)
        for (let i = 0; i < 8; i++) {
          const name = `name ${i}`
          const tags = await Promise.all(
            sim.nodes.map((node) => attempt(node, name, rooms[node.index] as Room, () => 0)),
          )
          assert.equal(tags.filter((tag) => tag === "none").length, 1)
          await sim.converged()
          const winner = sim.nodes[tags.indexOf("none")]?.name
          for (const node of sim.nodes) assert.equal(node.whereis(name)?.node, winner)
        }
      })
  })
})

/** Rounds of taking one name, over and over; how many got it. */
async function storm(sim: Sim, node: SimNode, options: RegisterOptions): Promise<number> {
  const random = chances(sim.seed * 4 + node.index)
  let held = 0
  for (let round = 0; round < 100; round++) {
    const room = await resident(node, 100 * round)
    let tag = await tagOf(node.register("concurrent", room, options))
    if (tag === "AlreadyRegistered") {
      await tagOf(node.unregister("concurrent"))
      tag = await tagOf(node.register("concurrent", room, options))
    }
    if (tag === "none") held++
    if (random(10) === 0) await node.stopProcess(room)
    await sim.advance(1 + random(30))
  }
  return held
}

/** One registration with a quorum; what came of it. */
function attempt(
  node: SimNode,
  name: string,
  room: Room,
  random: (below: number) => number,
): Promise<string> {
  const timeout = 500 + random(5_000)
  return tagOf(node.register(name, room, { mode: "quorum", timeout }))
}

/** Cuts the network somehow. */
function cut(sim: Sim, random: (below: number) => number): void {
  const at = (): SimNode => sim.nodes[random(sim.nodes.length)] as SimNode
  const side = sim.nodes.filter(() => random(2) === 0)
  const kinds: ReadonlyArray<() => unknown> = [
    () =>
      sim.partition(
        side,
        sim.nodes.filter((node) => !side.includes(node)),
      ),
    () => sim.isolate(at()),
    () => sim.fault({ kind: "bridge", node: at().index }),
    () => sim.nodes.filter((node) => node !== at()).map((node) => sim.oneWay(node, at())),
  ]
  kinds[random(kinds.length)]?.()
}

async function later<A>(sim: Sim, millis: number, f: () => Promise<A>): Promise<A> {
  await sim.advance(millis)
  return f()
}

/** A process of each node that belongs to it: nobody takes it over while the network is cut. */
async function bound(sim: Sim): Promise<ReadonlyArray<Room>> {
  const rooms = await Promise.all(sim.nodes.map((node) => node.spawn(Room)))
  await sim.converged()
  return rooms
}
