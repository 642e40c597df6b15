/** What a node leaves that is about to be gone: its heirs go on with it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Node, Process } from "../../mod.ts"
import { type Launched, launch } from "../../src/runtime/launch.ts"
import type { Parts } from "../../src/runtime/parts.ts"
import { Wills } from "../../src/runtime/processes/wills.ts"
import type { MovingProcess } from "../../src/wire/message.ts"
import { deferred, event, settled, until } from "./cluster.ts"
import { network } from "./network.ts"

const keys: ReadonlyArray<string> = Array.from({ length: 60 }, (_, i) => `k${i}`)

const busy = deferred<void>()

const Counter = Process.define("Counter", {
  state: (n: number) => ({ n, rung: 0, secret: undefined as (() => void) | undefined }),
  calls: {
    get: (self) => self.state.n,
    rung: (self) => self.state.rung,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    wait: async (self) => {
      self.state.n = -1
      await busy.promise
      self.state.n = -2
    },
    ring: (self, millis: number) => void self.after(millis, "rings"),
    join: (self) => self.join("fans"),
    hide: (self) => {
      self.state.secret = () => {}
    },
  },
  casts: {
    rings: (self) => {
      self.state.rung++
    },
  },
})

/** Three nodes, the first of which ends as a tab does. */
async function three(): Promise<{
  readonly dying: Launched
  readonly others: readonly [Node, Node]
  readonly make: (name: string, connect: string) => Promise<Launched>
}> {
  const net = network()
  const make = (name: string, connect: string): Promise<Launched> =>
    Effect.runPromise(
      launch({
        name,
        ...net.at(name),
        processes: [Counter],
        timing: "local",
        connect: name === connect ? [] : [connect],
      }),
    )
  const [dying, b, c] = [await make("a", "a"), await make("b", "a"), await make("c", "a")]
  await settled([dying.node, b.node, c.node])
  await Promise.all(keys.map((key) => dying.node.start(Counter, key, 100)))
  return { dying, others: [b.node, c.node], make }
}

describe("a node that is about to be gone", () => {
  test("leaves its processes with their states, timers, names and groups to those who take them over", async () => {
    const { dying, others } = await three()
    const [b, c] = others
    const mine = keys.filter((key) => dying.node.whereis(Counter, key)?.node === "a")
    assert.ok(mine.length > 5)
    const [first = ""] = mine
    for (const [i, key] of mine.entries()) await dying.node.ref(Counter, key).add(i)
    await dying.node.ref(Counter, first).ring(300)
    await dying.node.ref(Counter, first).join()
    await dying.node.register("the first", dying.node.ref(Counter, first))
    await until(b, () => b.whereis("the first") !== undefined)
    const taken = [event(b, "TakenOver"), event(c, "TakenOver")]
    dying.engine.wills.write()
    await dying.node.stop()
    await Promise.all(taken)
    for (const [i, key] of mine.entries()) {
      assert.equal(await b.ref(Counter, key).get(), 100 + i)
      assert.equal(await c.ref(Counter, key).add(1), 101 + i)
    }
    await until(b, () => b.group("fans").members().length === 1)
    assert.equal(b.whereis("the first")?.node, b.whereis(Counter, first)?.node)
    while ((await b.ref(Counter, first).rung()) === 0)
      await new Promise((resolve) => setImmediate(resolve))
    await Promise.all(others.map((node) => node.stop()))
  })

  test("leaves nothing of what is in between, or can't be sent: that starts anew", async () => {
    const { dying, others } = await three()
    const [b, c] = others
    const [one = "", two = "", three_ = ""] = keys.filter(
      (key) => dying.node.whereis(Counter, key)?.node === "a",
    )
    for (const key of [one, two, three_]) await dying.node.ref(Counter, key).add(1)
    void dying.node
      .ref(Counter, one)
      .wait()
      .catch(() => {})
    await dying.node.ref(Counter, two).hide()
    const taken = [event(b, "TakenOver"), event(c, "TakenOver")]
    dying.engine.wills.write()
    busy.resolve()
    await dying.node.stop()
    await Promise.all(taken)
    assert.equal(await b.ref(Counter, one).get(), 100)
    assert.equal(await b.ref(Counter, two).get(), 100)
    assert.equal(await b.ref(Counter, three_).get(), 101)
    await Promise.all(others.map((node) => node.stop()))
  })

  test("and isn't: what it had left is out of date once others serve it", async () => {
    const { dying, others, make } = await three()
    const [b, c] = others
    const mine = keys.filter((key) => dying.node.whereis(Counter, key)?.node === "a")
    for (const key of mine) await b.ref(Counter, key).add(5)
    dying.engine.wills.write()
    await dying.node.leave()
    const at = (name: string): Array<string> =>
      mine.filter((key) => b.whereis(Counter, key)?.node === name)
    const before = at("b")
    for (const key of mine) assert.equal(await b.ref(Counter, key).get(), 105)
    // From b to d, and back when that dies without a word.
    const d = (await make("d", "b")).node
    await settled([b, c, d])
    await until(b, () =>
      mine.every((key) => b.whereis(Counter, key)?.node === d.nodeFor(Counter, key)),
    )
    const moved = at("d").filter((key) => before.includes(key))
    assert.ok(moved.length > 0)
    const down = event(b, "TakenOver")
    await d.stop()
    await down
    for (const key of moved) assert.equal(await b.ref(Counter, key).get(), 100)
    await Promise.all(others.map((node) => node.stop()))
  })
})

test("wills of somebody out of its mind fill no memory", () => {
  const swept: Array<() => void> = []
  let now = 0
  const timer = (_: number, run: () => void): (() => void) => {
    swept.push(run)
    return () => {}
  }
  const parts = { platform: { now: () => now, timer } } as unknown as Parts
  const wills = new Wills(parts, () => undefined)
  const state = new Uint8Array(1024 * 1024)
  const kept = (): number =>
    Array.from({ length: 200 }, (_, i) => wills.take(`n${i}`)).filter((one) => one).length
  const all = Array.from({ length: 200 }, (_, i) => ({ name: `n${i}`, state }) as MovingProcess)
  wills.receive("x", { _tag: "Will", processes: all })
  assert.equal(kept(), 64)
  // What was taken makes room, as does what is out of date, once more said or too old.
  wills.receive("x", { _tag: "Will", processes: all })
  for (let i = 0; i < 10; i++) wills.served(`n${i}`, "y")
  wills.receive("x", { _tag: "Will", processes: all.slice(100) })
  wills.receive("x", { _tag: "Will", processes: all.slice(100, 110) })
  assert.equal(kept(), 64)
  wills.receive("x", { _tag: "Will", processes: all })
  now = 40_000
  for (const run of swept.splice(0)) run()
  assert.equal(kept(), 0)
})
