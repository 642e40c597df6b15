/** Monitors on nodes of a simulated cluster. Those on a registry alone are in monitor-registry.test.ts. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import type { Location } from "../../src/runtime/names/location.ts"
import type { Down } from "../../src/runtime/names/monitors.ts"
import { chances, keyAt, tagOf } from "../sim/shared.ts"

const handlers = {
  stop: (self: { stop(reason: string): void }, reason: string) => self.stop(reason),
  crash: (): void => {
    throw new Error("on purpose")
  },
}
const Room = Process.define("Room", { state: () => ({}), calls: handlers })
const Once = Process.define("Once", { state: () => ({}), calls: handlers, restart: "temporary" })

type Room = Ref<typeof Room>

/** Two nodes, and a process at the first that both of them, and one of them by a name, monitor. */
async function watched(
  body: (watch: {
    readonly sim: Sim
    readonly nodes: readonly [SimNode, SimNode]
    readonly room: Room
    /** The notices so far, each with its node's name in front. */
    readonly told: ReadonlyArray<string>
    readonly seen: ReadonlyArray<Down>
  }) => Promise<void>,
  definition: typeof Room | typeof Once = Room,
): Promise<void> {
  await simulate({ nodes: 2, processes: [Room, Once] }, async (sim) => {
    const nodes = sim.nodes as [SimNode, SimNode]
    const [a, b] = nodes
    const room = (await a.start(definition as typeof Room, keyAt(a, definition, a.name))) as Room
    await a.register("lobby", room)
    await sim.converged()
    const told: Array<string> = []
    const seen: Array<Down> = []
    const tell = (node: SimNode, what: string) => (down: Down) => {
      told.push(`${node.name} ${what}: ${down.reason}${down.detail && ` (${down.detail})`}`)
      seen.push(down)
      assert.equal(down._tag, "Down")
      assert.equal(down.process, room.name)
      assert.equal(down.node, "a")
    }
    for (const node of nodes) node.monitor(room, tell(node, "process"))
    b.monitor(b.whereis("lobby") as Location, tell(b, "name"))
    await body({ sim, nodes, room, told, seen })
  })
}

describe("a monitor tells once", () => {
  test("of a process that stops, with its reason", () =>
    watched(async ({ sim, nodes, room, told, seen }) => {
      const ids = [nodes[0].whereis(Room, room.key)?.id, nodes[0].whereis("lobby")?.id]
      await room.stop("done")
      await sim.converged()
      const whole = ["a process: stopped (done)", "b process: stopped (done)"]
      assert.deepEqual([...told].sort(), [...whole, "b name: stopped (done)"].sort())
      assert.deepEqual(new Set(seen.map(({ id }) => id)), new Set(ids))
    }))

  test("of a process that is stopped from outside", () =>
    watched(async ({ sim, nodes, room, told }) => {
      await nodes[1].stopProcess(room, "enough")
      await sim.converged()
      assert.equal(told.filter((text) => text.endsWith(": stopped (enough)")).length, 3)
      assert.equal(told.length, 3)
    }))

  test("of a process that crashes for good, and its names with it", () =>
    watched(async ({ sim, room, told }) => {
      assert.equal(await tagOf(room.crash()), "HandlerCrashed")
      await sim.converged()
      assert.equal(told.filter((text) => text.endsWith(": crashed (on purpose)")).length, 3)
      assert.equal(told.length, 3)
    }, Once))

  test("of a process that crashes and begins anew; its names go on", () =>
    watched(async ({ sim, nodes, room, told }) => {
      assert.equal(await tagOf(room.crash()), "HandlerCrashed")
      await sim.converged()
      assert.deepEqual([...told].sort(), ["a process: crashed", "b process: crashed"])
      // The next life isn't theirs.
      assert.equal(await tagOf(room.crash()), "HandlerCrashed")
      await sim.converged()
      assert.equal(told.length, 2)
      await nodes[0].stopProcess(room)
      await sim.converged()
      assert.equal(told.length, 3)
      assert.match(told[2] as string, /^b name: stopped/)
    }))

  test("of a process that moves away, and its names with it", () =>
    watched(async ({ sim, nodes, room, told }) => {
      await nodes[0].leave()
      await sim.until("it moved", () => nodes[1].whereis(Room, room.key)?.node === "b")
      await sim.advance("1 second")
      // The node that left has no time left to tell, or has: both are right.
      assert.deepEqual(told.filter((text) => text.startsWith("b")).sort(), [
        "b name: moved",
        "b process: moved",
      ])
      assert.ok(told.length <= 3)
    }))

  test("of a node that dies, however long the way there", () =>
    watched(async ({ sim, nodes, told }) => {
      nodes[0].crash({ machine: true })
      await sim.until("it is known", () => told.length > 0)
      await sim.advance("10 seconds")
      assert.deepEqual([...told].sort(), ["b name: node down", "b process: node down"])
    }))

  test("of a name that is taken back", () =>
    watched(async ({ sim, nodes, room, told }) => {
      await nodes[0].unregister("lobby")
      await nodes[0].register("lobby", room)
      await sim.converged()
      assert.deepEqual(told, ["b name: unregistered"])
    }))

  test("of nobody, and of a life that is over, soon, but not at once", () =>
    watched(async ({ sim, nodes, room, told }) => {
      const [a, b] = nodes
      const old = b.whereis("lobby") as Location
      await a.unregister("lobby")
      await a.register("lobby", room)
      await sim.converged()
      const downs: Array<Down> = []
      b.monitor(b.ref(Room, "nobody"), (down) => downs.push(down))
      b.monitor(old, (down) => downs.push(down))
      b.monitor(JSON.parse(JSON.stringify(old)), (down) => downs.push(down))
      assert.deepEqual(downs, [])
      await sim.advance(1)
      const none = { _tag: "Down", node: "", reason: "no process", detail: "" }
      assert.deepEqual(downs, [
        { ...none, process: "Room/nobody", id: "" },
        { ...none, process: "/lobby", id: old.id },
        { ...none, process: "/lobby", id: old.id },
      ])
      assert.equal(told.length, 1)
    }))

  test("of the end of the node that others have taken for dead, but that node itself nothing", () =>
    watched(async ({ sim, nodes, room, told }) => {
      const cut = sim.isolate(nodes[0])
      await sim.until("it is known", () => told.length > 0)
      cut.end()
      await sim.converged()
      // It lives on at one of them; the other one has learned of a conflict.
      assert.ok(told.includes("b process: node down"))
      assert.ok(told.includes("b name: node down"))
      const own = told.filter((text) => text.startsWith("a"))
      const home = nodes[1].whereis(Room, room.key)?.node
      assert.equal(own.length, home === "a" ? 0 : 1, told.join())
      assert.equal(told.length, 2 + own.length)
    }))
})

describe("a monitor doesn't tell", () => {
  test("of other metadata", () =>
    watched(async ({ sim, nodes, room, told }) => {
      await nodes[1].update(room, { n: 1 })
      await nodes[0].update("lobby", { n: 1 })
      await sim.converged()
      assert.deepEqual(told, [])
    }))

  test("once it was taken away, also when the end had come before", () =>
    watched(async ({ sim, nodes, room, told }) => {
      const [a] = nodes
      let more = 0
      const ends = [a.monitor(room, () => more++), a.monitor(a.ref(Room, "nobody"), () => more++)]
      for (const end of ends) end()
      for (const end of ends) end()
      const late: () => void = a.monitor(room, () => more++)
      a.monitor(room, () => late())
      await a.stopProcess(room)
      await sim.converged()
      assert.ok(more <= 1)
      assert.equal(told.length, 3)
    }))
})

describe("the promise of an end", () => {
  test("is kept, or given up by its signal", () =>
    watched(async ({ sim, nodes, room }) => {
      const [a, b] = nodes
      const controller = new AbortController()
      const { signal } = controller
      const downs = [b.down(room), b.down(b.whereis("lobby") as Location, { signal })]
      const given = tagOf(b.down(room, { signal: AbortSignal.abort() }))
      assert.equal(await given, "Aborted")
      const up = tagOf(b.down(room, { signal }))
      controller.abort()
      assert.equal(await up, "Aborted")
      assert.equal(await tagOf(downs[1] as Promise<Down>), "Aborted")
      await a.stopProcess(room, "over")
      const down = await downs[0]
      assert.deepEqual([down?.reason, down?.detail, down?.node], ["stopped", "over", "a"])
      await sim.converged()
      assert.equal((await b.down(room)).reason, "no process")
    }))
})

describe("monitors of many lives", () => {
  test("tell of each end exactly once, at every node, while nodes die, come, leave and are cut off", async () => {
    for (let seed = 0; seed < 8; seed++)
      await simulate({ nodes: 4, processes: [Mover], seed }, async (sim) => {
        const random = chances(seed)
        const movers = await Promise.all(
          Array.from({ length: 16 }, (_, i) => (sim.nodes[i % 4] as SimNode).start(Mover, `${i}`)),
        )
        for (const [i, mover] of movers.entries())
          await (sim.nodes[i % 4] as SimNode).register(`name ${i}`, mover)
        await sim.converged()
        // Of nodes that stay: what waits at one that dies is told nothing.
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const monitors: Array<Monitored> = []
        const set = (): void => {
          for (const node of [a, b])
            for (const location of node.names()) monitors.push(monitored(node, location))
        }
        set()
        const [, , c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        const acts: ReadonlyArray<() => unknown> = [
          () => c.running && c.crash({ machine: random(2) === 0 }),
          () => c.running || c.restart(),
          () => d.running && d.leave(),
          () => d.running || d.restart(),
          () => a.stopProcess(Mover, `${random(16)}`),
          () => tagOf(b.ref(Mover, `${random(16)}`).crash()),
          () => a.start(Mover, `${random(16)}`),
          () => sim.oneWay(c, a),
          () => sim.heal(),
        ]
        for (let i = 0; i < 12; i++) {
          const act = acts[random(acts.length)] as () => unknown
          void Promise.resolve(act()).catch(() => {})
          await sim.advance(random(3_000))
          if (i % 4 === 3) set()
        }
        sim.heal()
        if (!c.running) await c.restart()
        if (!d.running) await d.restart()
        await sim.converged()
        await sim.advance("1 second")
        for (const { node, location, downs } of monitors) {
          const { name, id } = location
          const now = node.names({ limit: 10_000 }).find((one) => one.name === name)?.id
          if (now === id) assert.ok(downs.length <= 1, `${name}: ${downs.join()}`)
          else
            assert.equal(downs.length, 1, `${node.name} was told ${downs.length} times of ${name}`)
          if (downs.length === 1) assert.equal(downs[0]?.id, id)
        }
        assert.ok(monitors.some(({ downs }) => downs.length === 1))
      })
  })
})

/** A process that moves. */
const Mover = Process.define("Mover", { state: () => ({}), calls: { crash: handlers.crash } })

interface Monitored {
  readonly node: SimNode
  readonly location: Location
  readonly downs: Array<Down>
}

function monitored(node: SimNode, location: Location): Monitored {
  const downs: Array<Down> = []
  node.monitor(location, (down) => downs.push(down))
  return { node, location, downs }
}
