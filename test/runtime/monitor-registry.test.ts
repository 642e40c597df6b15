/** Monitors on a registry that is no whole node, and hears of another one's names. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Registry from "../../src/core/registry.ts"
import { NodeStopped } from "../../src/runtime/errors.ts"
import { Events } from "../../src/runtime/events.ts"
import type { Location } from "../../src/runtime/names/location.ts"
import { idOf, locate } from "../../src/runtime/names/lookup.ts"
import { type Down, Monitors } from "../../src/runtime/names/monitors.ts"
import type { Parts } from "../../src/runtime/parts.ts"
import { tagOf } from "../sim/shared.ts"

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
