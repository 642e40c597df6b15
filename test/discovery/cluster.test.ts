/** Whole simulated nodes that know of each other through their discovery alone. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Effect from "effect/Effect"
import { type Discovery, Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { seeds } from "../../src/discovery/static.ts"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: { add: (self, by: number) => (self.state.n += by) },
  casts: { nap: () => Effect.sleep("10 seconds") },
})

/** A place where nodes are listed from when they start to look, and asked for every second. */
class Directory implements Discovery {
  readonly kind = "directory"
  readonly listed = new Set<string>()
  /** Who has asked, and how often. */
  readonly asked = new Map<string, number>()
  /** Whether it gives answers. */
  up = true

  start(context: Parameters<Discovery["start"]>[0]): void {
    const { node, address } = context
    this.listed.add(address)
    const ask = (): ReadonlyArray<string> => {
      this.asked.set(node, (this.asked.get(node) ?? 0) + 1)
      if (!this.up) throw new Error("the directory is down")
      return [...this.listed]
    }
    seeds(ask, { periodMillis: 1_000 }).start(context)
  }
}

const three = { nodes: ["a", "b", "c"], processes: [Counter], formed: false } as const
const alone: ReadonlyArray<string> = []

const up = (node: SimNode): ReadonlyArray<string> =>
  node
    .members()
    .filter(({ status }) => status === "up")
    .map(({ name }) => name)

/** Lets time pass until every node sees all three. */
function together(sim: Sim): Promise<void> {
  const complete = (): boolean =>
    sim.nodes.every((node) => sim.serves(node) && up(node).length === 3)
  return sim.until("all are up", complete)
}

/** The dials from now on, as "from to to". */
function dials(sim: Sim): ReadonlyArray<string> {
  const hellos: Array<string> = []
  sim.rule(({ from, to, what }) => {
    if (what === "Hello") hellos.push(`${from} to ${to}`)
    return "pass"
  })
  return hellos
}

describe("nodes with a discovery", () => {
  test("S44. find each other with no address configured, and dial nobody twice, nor themselves", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const discovery = new Directory()
      await simulate({ ...three, seed, options: { connect: alone, discovery } }, async (sim) => {
        const hellos = dials(sim)
        await together(sim)
        await sim.converged()
        await sim.advance("2 minutes")
        assert.ok(hellos.length >= 3 && new Set(hellos).size === hellos.length, hellos.join())
        for (const name of ["a", "b", "c"]) assert.ok(!hellos.includes(`${name} to ${name}`))
      })
    }
  })

  test("S44. go on when it fails: each failure is an event, and it is asked until it answers again", async () => {
    const discovery = new Directory()
    discovery.up = false
    await simulate({ ...three, options: { connect: alone, discovery } }, async (sim) => {
      await sim.advance("1 minute")
      const failed = sim.events.filter(({ event }) => event._tag === "DiscoveryFailed")
      for (const name of ["a", "b", "c"]) {
        const own = failed.filter(({ node }) => node === name)
        assert.ok(own.length >= 3)
        assert.equal(own.length, discovery.asked.get(name))
        assert.deepEqual(own[0]?.event, {
          _tag: "DiscoveryFailed",
          discovery: "directory",
          reason: "the directory is down",
        })
      }
      for (const node of sim.nodes) assert.deepEqual(up(node), [node.name])
      discovery.up = true
      await together(sim)
      discovery.up = false
      await sim.advance("1 minute")
      for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
    })
  })

  test("stay together when nobody is listed any more", async () => {
    const discovery = new Directory()
    await simulate({ ...three, options: { connect: alone, discovery } }, async (sim) => {
      await together(sim)
      discovery.listed.clear()
      await sim.advance("1 minute")
      for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
    })
  })

  test("S44. leave alone whom their user has parted with, however often it is found", async () => {
    const discovery = new Directory()
    await simulate({ ...three, options: { connect: alone, discovery } }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await together(sim)
      a.disconnect("c")
      await sim.until("they have parted", () => up(a).length === 2 && up(c).length === 2)
      for (let i = 0; i < 5; i++) {
        for (const name of ["a", "c"]) discovery.listed.delete(name)
        await sim.advance("10 seconds")
        for (const name of ["a", "c"]) discovery.listed.add(name)
        await sim.advance("10 seconds")
        assert.deepEqual([up(a), up(b), up(c)].map(String), ["a,b", "a,b,c", "b,c"])
      }
      await a.connect("c")
      await together(sim)
    })
  })

  test("heal after a cut", async () => {
    const discovery = new Directory()
    await simulate({ ...three, options: { connect: alone, discovery } }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await together(sim)
      sim.isolate(c)
      await sim.until("c is down", () => up(a).length === 2 && up(b).length === 2)
      sim.heal()
      await sim.converged()
      for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
    })
  })

  test("regression 5. that leave aren't taken back in by it, theirs or the others', and don't ask it again", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const discovery = new Directory()
      await simulate({ ...three, seed, options: { connect: alone, discovery } }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        await together(sim)
        for (let i = 0; i < 30; i++) await a.start(Counter, `k${i}`)
        // It is busy, so that it takes long to leave; and it is listed all the while.
        const busy = Array.from({ length: 30 }, (_, i) => `k${i}`).filter(
          (key) => c.nodeFor(Counter, key) === "c",
        )
        for (const key of busy) a.ref(Counter, key).cast.nap()
        await sim.advance(100)
        const asked = discovery.asked.get("c")
        const at = sim.now
        await c.leave()
        assert.ok(sim.now - at > 9_000)
        assert.equal(discovery.asked.get("c"), asked)
        await sim.advance("2 minutes")
        for (const node of [a, b]) {
          assert.deepEqual(up(node), ["a", "b"])
          const ups = sim.events.filter(
            ({ node: who, event }) =>
              who === node.name && event._tag === "MemberUp" && event.node === "c",
          )
          assert.equal(ups.length, 1, "it came once, before it left")
        }
        for (let i = 0; i < 30; i++) assert.equal(await a.ref(Counter, `k${i}`).add(1), 1)
      })
    }
  })
})
