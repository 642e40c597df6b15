import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process } from "../../mod.ts"
import { cluster, until } from "./cluster.ts"

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
  calls: {
    get: (self) => self.state.n,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    where: (self) => self.node,
    remind: (self, millis: number) => void self.after(millis, "ring"),
  },
  casts: {
    ring: (self) => {
      self.state.n += 100
    },
  },
})

const Log = Process.define("Log", {
  state: () => ({ seen: [] as Array<number> }),
  calls: { all: (self) => self.state.seen, add: (self, n: number) => void self.state.seen.push(n) },
  casts: { push: (self, n: number) => void self.state.seen.push(n) },
})

const definitions = [Counter, Log]
const keys = (count: number): Array<string> => Array.from({ length: count }, (_, i) => `k${i}`)

/** Waits until each of these names has an owner among `owners`, in every node's view. */
async function owned(
  nodes: ReadonlyArray<Node>,
  names: ReadonlyArray<string>,
  owners: ReadonlyArray<string>,
): Promise<void> {
  for (const node of nodes) {
    await until(node, () =>
      names.every((key) => owners.includes(node.whereis(Counter, key)?.node ?? "")),
    )
  }
}

describe("joining and leaving", () => {
  test("a join moves its share of the names, with their state, and nothing else", async () => {
    await using some = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const names = keys(200)
    await Promise.all(names.map((key, i) => a.start(Counter, key, { start: i })))
    const before = new Map(names.map((key) => [key, a.whereis(Counter, key)?.node]))
    const d = await some.join("d")
    const moving = names.filter((key) => a.nodeFor(Counter, key) === "d")
    await owned([a, b, c, d], moving, ["d"])
    assert.ok(moving.length > 25 && moving.length < 80, `${moving.length} moved`)
    for (const [i, key] of names.entries()) {
      assert.equal(await b.ref(Counter, key).get(), i)
      const home = c.whereis(Counter, key)?.node
      assert.equal(home, moving.includes(key) ? "d" : before.get(key))
    }
  })

  test("leaving hands everything over with its state, and no call fails", async () => {
    await using some = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const names = keys(100)
    await Promise.all(names.map((key) => a.start(Counter, key)))
    const expected = new Map(names.map((key) => [key, 0]))
    let going = true
    const client = async (node: Node, step: number): Promise<void> => {
      for (let i = step; going; i += step) {
        const key = names[i % names.length] as string
        await node.ref(Counter, key).add(1)
        expected.set(key, (expected.get(key) ?? 0) + 1)
      }
    }
    const clients = [client(a, 1), client(b, 3), client(a, 7), client(b, 11)]
    await c.leave()
    going = false
    await Promise.all(clients)
    await owned([a, b], names, ["a", "b"])
    for (const key of names) assert.equal(await a.ref(Counter, key).get(), expected.get(key), key)
  })

  test("messages of one sender stay in order while their process moves", async () => {
    await using some = await cluster(["a", "b"], definitions)
    const [a, b] = some.nodes as [Node, Node]
    const names = keys(40)
    const logs = await Promise.all(names.map((key) => a.start(Log, key)))
    let going = true
    const sent = names.map(() => 0)
    const next = (i: number): number => {
      const n = sent[i] as number
      sent[i] = n + 1
      return n
    }
    const sender = (async () => {
      while (going) {
        logs.forEach((log, i) => {
          for (let n = 0; n < 3; n++) log.cast.push(next(i))
        })
        await Promise.all(logs.map((log, i) => log.add(next(i))))
      }
    })()
    const c = await some.join("c")
    const moving = names.filter((key) => a.nodeFor(Log, key) === "c")
    await until(a, () => moving.every((key) => a.whereis(Log, key)?.node === "c"))
    await b.leave()
    going = false
    await sender
    for (const [i, log] of logs.entries()) {
      assert.deepEqual(
        await log.all(),
        Array.from({ length: sent[i] as number }, (_, n) => n),
        names[i],
      )
    }
    assert.equal(c.whereis(Log, names[0] as string)?.node, a.whereis(Log, names[0] as string)?.node)
  })

  test("timers move with their process", async () => {
    await using some = await cluster(["a"], definitions)
    const [a] = some.nodes as [Node]
    const names = keys(20)
    for (const key of names) await (await a.start(Counter, key)).remind(300)
    const b = await some.join("b")
    const moving = names.filter((key) => a.nodeFor(Counter, key) === "b")
    await owned([a, b], moving, ["b"])
    const key = moving[0] as string
    while ((await b.ref(Counter, key).get()) === 0) await new Promise(setImmediate)
    assert.equal(await b.ref(Counter, key).get(), 100)
  })

  test("handoff kinds: restart starts anew, ignore stays, capture and restore translate", async () => {
    const Restarting = Process.define("Restarting", {
      state: (n: number) => ({ n }),
      calls: { add: (self) => ++self.state.n, where: (self) => self.node },
      handoff: { kind: "restart" },
    })
    const Staying = Process.define("Staying", {
      state: () => ({ n: 0 }),
      calls: { add: (self) => ++self.state.n, where: (self) => self.node },
      handoff: { kind: "ignore" },
    })
    const Translated = Process.define("Translated", {
      state: () => new Set<string>(["first"]),
      calls: {
        has: (self, text: string) => self.state.has(text),
        add: (self, text: string) => void self.state.add(text),
      },
      handoff: {
        capture: (state) => [...state].join(","),
        restore: (data: string) => new Set(data.split(",")),
      },
    })
    await using some = await cluster(["a"], [Restarting, Staying, Translated])
    const [a] = some.nodes as [Node]
    const names = keys(12)
    for (const key of names) {
      const restarting = await a.start(Restarting, key, 5)
      await restarting.add()
      await (await a.start(Staying, key)).add()
      await (await a.start(Translated, key)).add(key)
    }
    const b = await some.join("b")
    for (const definition of [Restarting, Translated]) {
      const moving = names.filter((key) => a.nodeFor(definition, key) === "b")
      await until(a, () => moving.every((key) => a.whereis(definition, key)?.node === "b"))
      assert.ok(moving.length > 0)
    }
    for (const key of names) {
      const moved = a.nodeFor(Restarting, key) === "b"
      assert.equal(await b.ref(Restarting, key).add(), moved ? 6 : 7)
      assert.equal(await b.ref(Staying, key).where(), "a")
      assert.equal(await b.ref(Staying, key).add(), 2)
      assert.equal(await b.ref(Translated, key).has(key), true)
    }
  })

  test("rebalance passive moves nothing on a join and everything on a leave", async () => {
    await using some = await cluster(["a"], definitions, { rebalance: "passive" })
    const [a] = some.nodes as [Node]
    const names = keys(20)
    for (const [i, key] of names.entries()) await a.start(Counter, key, { start: i })
    const b = await some.join("b")
    for (const key of names) assert.equal(await b.ref(Counter, key).where(), "a")
    await a.leave()
    for (const [i, key] of names.entries()) {
      assert.equal(await b.ref(Counter, key).where(), "b")
      assert.equal(await b.ref(Counter, key).get(), i)
    }
  })
})
