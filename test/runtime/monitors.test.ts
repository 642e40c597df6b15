/** Monitors: on nodes of a simulated cluster, and on a registry that is no whole node. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import * as Registry from "../../src/core/registry.ts"
import { NodeStopped } from "../../src/runtime/errors.ts"
import { Events } from "../../src/runtime/events.ts"
import type { Location } from "../../src/runtime/names/location.ts"
import { idOf, locate } from "../../src/runtime/names/lookup.ts"
import { type Down, Monitors } from "../../src/runtime/names/monitors.ts"
import type { Parts } from "../../src/runtime/parts.ts"

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
    const room = (await a.start(definition as typeof Room, keyAt(a, definition))) as Room
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

function keyAt(node: SimNode, definition: typeof Room | typeof Once): string {
  for (let i = 0; ; i++)
    if (node.nodeFor(definition, `${node.name}${i}`) === node.name) return `${node.name}${i}`
}

function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: { readonly _tag: string }) => error._tag,
  )
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

/** Numbers below a bound, the same every time. */
function chances(seed: number): (below: number) => number {
  let state = seed + 1
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % below
  }
}

/** A registry of node a that hears of b's names too, and monitors that learn of each change a bit later. */
class Desk {
  readonly registry: Registry.State = Registry.init({ name: "a", epoch: 1 })
  readonly events: Events = new Events()
  readonly monitors: Monitors
  #late: Array<Extract<Registry.Output, { readonly _tag: "Changed" }>> = []
  #flushes: Array<() => void> = []
  #seq = 0
  #pid = 0
  #stopped: NodeStopped | undefined

  constructor() {
    const driver = { afterFlush: (f: () => void) => void this.#flushes.push(f) }
    const core = { registry: this.registry }
    const parts = { core, driver, events: this.events, stopped: () => this.#stopped }
    this.monitors = new Monitors(parts as unknown as Parts)
    this.member(true)
  }

  put(node: "a" | "b", name: string, generation: number): void {
    const rest = { name, generation, pid: ++this.#pid, meta: undefined, props: undefined }
    if (node === "a") this.#step({ _tag: "Put", wall: this.#pid, ...rest, sticky: false })
    else this.#hear({ _tag: "Put", time: this.#pid * 1024, ...rest, sticky: false })
  }

  delete(node: "a" | "b", name: string, reason: string): void {
    if (node === "a") this.#step({ _tag: "Delete", name, reason })
    else this.#hear({ _tag: "Delete", name, reason })
  }

  describe(name: string): void {
    this.#step({ _tag: "Describe", name, props: { version: 1, bytes: new Uint8Array(0) } })
  }

  member(up: boolean): void {
    this.#step({ _tag: up ? "MemberUp" : "MemberDown", now: 0, name: "b", epoch: 1 })
  }

  renew(): void {
    this.#step({ _tag: "Epoch", epoch: this.registry.self.epoch + 1 })
  }

  /** The node ends: nothing is flushed any more. */
  stop(): void {
    this.#stopped = new NodeStopped("", "a")
    this.monitors.close()
    this.#flushes = []
  }

  /** The monitors hear of what has happened, and whoever is to be told is told. */
  catchUp(): void {
    for (const { name, before, reason } of this.#late.splice(0))
      this.monitors.changed(name, before, reason)
    while (this.#flushes.length > 0) for (const flush of this.#flushes.splice(0)) flush()
  }

  #hear(op: Registry.Op): void {
    const message = { _tag: "Ops", owner: "b", epoch: 1, from: ++this.#seq, ops: [op] } as const
    this.#step({ _tag: "Message", now: 0, from: "b", message })
  }

  #step(input: Registry.Input): void {
    for (const output of Registry.step(this.registry, input).outputs)
      if (output._tag === "Changed") this.#late.push(output)
  }
}

/** One monitor of the model: the life it is for, and whether that has been seen to be over. */
interface Model {
  readonly name: string
  readonly id: string
  over: boolean
  readonly downs: Array<Down>
}

type Act = (desk: Desk, models: Array<Model>) => void

describe("the monitors", () => {
  const name = fc.constantFrom("/a", "/b", "Room/a")
  const node = fc.constantFrom("a" as const, "b" as const)
  const catchUp = told("catch up", (desk) => desk.catchUp())
  const act: fc.Arbitrary<Act> = fc.oneof(
    fc
      .tuple(node, name, fc.integer({ min: 1, max: 3 }))
      .map(([at, text, generation]) =>
        told(`put ${at} ${text} ${generation}`, (desk) => desk.put(at, text, generation)),
      ),
    fc
      .tuple(node, name, fc.constantFrom("stopped: x", "crashed: x", "moved", "unregistered"))
      .map(([at, text, reason]) =>
        told(`delete ${at} ${text} ${reason}`, (desk) => desk.delete(at, text, reason)),
      ),
    name.map((text) => told(`describe ${text}`, (desk) => desk.describe(text))),
    fc.boolean().map((up) => told(`b is ${up ? "up" : "down"}`, (desk) => desk.member(up))),
    fc.constant(told("renew", (desk) => desk.renew())),
    fc.constant(catchUp),
    fc.tuple(name, fc.boolean()).map(([text, byRef]) =>
      told(`monitor ${text} by ${byRef ? "reference" : "location"}`, (desk, models) => {
        const entry = Registry.lookup(desk.registry, text)
        if (entry === undefined) return
        const model: Model = { name: text, id: lifeOf(entry), over: false, downs: [] }
        const location = byRef ? ({ name: text } as Location) : locate(entry)
        desk.monitors.monitor(location, (down) => model.downs.push(down))
        models.push(model)
      }),
    ),
  )

  test("tell of the end of each life that they are for exactly once, whatever happens", () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60, size: "max" }), (acts) => {
        const desk = new Desk()
        const models: Array<Model> = []
        for (const one of [...acts, catchUp]) {
          one(desk, models)
          if (one !== catchUp) continue
          for (const model of models) {
            const entry = Registry.lookup(desk.registry, model.name)
            model.over ||= entry === undefined || lifeOf(entry) !== model.id
          }
        }
        for (const { over, downs } of models) {
          assert.equal(downs.length, over ? 1 : 0)
          assert.ok(downs.every(({ reason }) => reason !== undefined))
        }
        const open = new Set(models.filter(({ over }) => !over).map((model) => model.name))
        assert.equal(desk.monitors.count, open.size, "nothing is kept that is over")
      }),
      { numRuns: 2_000 },
    )
  })

  test("may be a hundred thousand, of one life or of as many, and leave nothing", () => {
    const desk = new Desk()
    const count = 100_000
    desk.put("a", "/one", 1)
    for (let i = 0; i < count; i++) desk.put("b", `/n${i}`, 1)
    desk.catchUp()
    let told = 0
    for (let i = 0; i < count; i++) {
      desk.monitors.monitor({ name: "/one" } as Location, () => told++)
      desk.monitors.monitor({ name: `/n${i}` } as Location, () => told++)
    }
    const ends = Array.from({ length: count }, (_, i) =>
      desk.monitors.monitor({ name: i % 2 === 0 ? "/one" : `/n${i}` } as Location, () => told++),
    )
    assert.equal(desk.monitors.count, count + 1)
    for (const end of ends) end()
    assert.equal(desk.monitors.count, count + 1)
    desk.monitors.monitor({ name: "/two" } as Location, () => told++)()
    desk.put("a", "/two", 1)
    desk.catchUp()
    const end = desk.monitors.monitor({ name: "/two" } as Location, () => told++)
    assert.equal(desk.monitors.count, count + 2)
    end()
    assert.equal(desk.monitors.count, count + 1)
    desk.member(false)
    desk.delete("a", "/one", "stopped")
    desk.catchUp()
    assert.equal(told, 2 * count)
    assert.equal(desk.monitors.count, 0)
  })

  test("of which one throws tell the others all the same, and the node", () => {
    const desk = new Desk()
    desk.put("a", "/one", 1)
    desk.catchUp()
    const heard: Array<string> = []
    desk.events.watch((event) => heard.push(JSON.stringify(event)))
    const one = { name: "/one" } as Location
    desk.monitors.monitor(one, () => {
      throw new Error("on purpose")
    })
    desk.monitors.monitor(one, ({ reason }) => heard.push(reason))
    desk.delete("a", "/one", "unregistered")
    desk.catchUp()
    const failed = { _tag: "ListenerFailed", event: "Down", reason: "on purpose" }
    assert.deepEqual(heard, [JSON.stringify(failed), "unregistered"])
  })

  test("are over with their node: what waits for them rejects, and nobody is told", async () => {
    const desk = new Desk()
    desk.put("a", "/one", 1)
    desk.catchUp()
    const one = { name: "/one" } as Location
    let told = 0
    desk.monitors.monitor(one, () => told++)
    desk.monitors.monitor({ name: "/nobody" } as Location, () => told++)
    const down = tagOf(desk.monitors.down(one))
    desk.stop()
    desk.delete("a", "/one", "stopped")
    desk.catchUp()
    assert.equal(await down, "NodeStopped")
    assert.equal(told, 0)
    assert.equal(desk.monitors.count, 0)
    assert.throws(() => desk.monitors.monitor(one, () => {}), { _tag: "NodeStopped" })
    assert.equal(await tagOf(desk.monitors.down(one)), "NodeStopped")
  })

  test("say of what only a snapshot has told what it most likely was", () => {
    const reasons = (name: string, reason: string): string | undefined => {
      const desk = new Desk()
      desk.put("a", name, 1)
      desk.catchUp()
      let told: string | undefined
      desk.monitors.monitor({ name } as Location, (down) => {
        told = down.reason
      })
      desk.delete("a", name, reason)
      desk.catchUp()
      return told
    }
    assert.equal(reasons("/one", "unknown"), "unregistered")
    assert.equal(reasons("Room/one", "unknown"), "stopped")
    assert.equal(reasons("/one", "crashed"), "unregistered")
    assert.equal(reasons("Room/one", "crashed"), "crashed")
  })
})

/** An act that counterexamples show in words. */
function told(words: string, f: Act): Act {
  return Object.assign((desk: Desk, models: Array<Model>) => f(desk, models), {
    [fc.toStringMethod]: () => words,
  })
}

/** A life, by its identity but for the epoch of the registry's own node. */
function lifeOf(entry: Registry.Entry): string {
  return entry.table.owner === "a" ? `a ${entry.pid} ${entry.time}` : idOf(entry)
}
