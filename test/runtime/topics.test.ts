import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { type Node, Process, type Ref, Topic } from "../../mod.ts"
import * as Key from "../../src/core/key.ts"
import { Prefixes } from "../../src/runtime/topics/prefixes.ts"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Value from "../../src/wire/value.ts"
import { type FakeNode, net, turns } from "./topics.ts"

const Ticks = Topic.define<number>("ticks")

describe("a topic", () => {
  test("has the text of its key; a family's topics have arrays for keys", () => {
    assert.deepEqual(Ticks, { _tag: "Topic", key: "ticks", text: "ticks" })
    assert.equal(Topic.define(7n).text, "~7n")
    const Rooms = Topic.family<string, [room: number, part: string]>("rooms")
    assert.deepEqual(Rooms.at(42, "a"), {
      _tag: "Topic",
      key: ["rooms", 42, "a"],
      text: '~["rooms",42,"a"]',
    })
    assert.deepEqual(Rooms.all, { _tag: "Pattern", prefix: ["rooms"], text: '~["rooms"]' })
    assert.deepEqual(Topic.prefix(""), { _tag: "Pattern", prefix: "", text: "" })
  })

  test("can't be what is no key", () => {
    assert.throws(() => Topic.define(""), TypeError)
    assert.throws(() => Topic.define("x".repeat(513)), TypeError)
    assert.throws(() => Topic.prefix([Number.NaN]), TypeError)
    assert.throws(() => Topic.family("x".repeat(600)), TypeError)
  })
})

describe("prefixes", () => {
  const part = fc.oneof(fc.constantFrom("", "a", "b", "ab", "~", "~a", '"', "\uffff"), fc.nat(3))
  const key: fc.Arbitrary<Key.Key> = fc.oneof(
    part,
    fc.constantFrom(true, 3n),
    fc.array(part, { maxLength: 3 }),
    fc.string({ unit: fc.constantFrom("a", "b", "~", "\x7f", "\uffff"), maxLength: 4 }),
  )

  test("are found by the texts that begin with them, and only those that are in", () => {
    const step = fc.record({ add: fc.boolean(), prefix: key })
    const property = fc.property(fc.array(step), fc.array(key), (steps, keys) => {
      const prefixes = new Prefixes()
      const model = new Map<string, Key.Key>()
      for (const { add, prefix } of steps) {
        const { text } = Topic.prefix(prefix)
        if (add) prefixes.add(text)
        else prefixes.delete(text)
        if (add) model.set(text, prefix)
        else model.delete(text)
      }
      for (const one of keys.filter((each) => each !== "")) {
        const text = Key.text(one)
        const expected = [...model].filter(([, prefix]) => Key.startsWith(prefix)(text))
        assert.deepEqual([...prefixes.of(text)].sort(), expected.map(([each]) => each).sort())
      }
    })
    fc.assert(property, { numRuns: 300 })
  })

  test("that aren't the text of any key match nothing", () => {
    const prefixes = new Prefixes()
    for (const text of ["~", "~[", "~01", "x".repeat(600)]) prefixes.add(text)
    assert.deepEqual(prefixes.of("~[1]"), [])
    prefixes.delete("~")
  })
})

describe("publishing", () => {
  test("sends one frame to each node that has a subscriber, and none to the others", async () => {
    const { nodes, flow } = net(["a", "b", "c", "d"])
    const { a, b, c } = nodes as Record<string, FakeNode> & {
      a: FakeNode
      b: FakeNode
      c: FakeNode
    }
    const got: Array<string> = []
    for (let n = 0; n < 3; n++) b.topics.subscribe(Ticks, (m: never) => got.push(`b${n} ${m}`))
    c.topics.subscribe(Topic.prefix("ti"), (m: never) => got.push(`c ${m}`))
    c.topics.subscribe(Ticks, (m: never) => got.push(`c exactly ${m}`))
    assert.equal(a.topics.publish(Ticks, 1), 2)
    assert.deepEqual(sent(a), ["b 1", "c 1", "d 0"])
    flow()
    assert.deepEqual(got, ["b0 1", "b1 1", "b2 1", "c exactly 1", "c 1"])
    assert.equal(a.topics.publish(Topic.define("tock"), 1), 0)
    assert.equal(a.topics.publish(Topic.define("tin"), 1), 1)
  })

  test("encodes a message once, however many nodes get it, and copies it once for its own node", () => {
    const { nodes } = net(["a", "b", "c", "d"])
    let reads = 0
    const message = {
      get x() {
        reads++
        return 1
      },
    }
    for (const name of ["b", "c", "d"]) nodes[name]?.topics.subscribe(Ticks, () => {})
    assert.equal(nodes.a?.topics.publish(Ticks, message), 3)
    assert.equal(reads, 1)
    for (let n = 0; n < 3; n++) nodes.a?.topics.subscribe(Ticks, () => {})
    assert.equal(nodes.a?.topics.publish(Ticks, message), 4)
    assert.equal(reads, 3)
  })

  test("all subscribers of a node share one message, and not with its publisher", async () => {
    const { nodes, flow } = net(["a", "b"])
    for (const name of ["a", "b"]) {
      const got: Array<unknown> = []
      for (let n = 0; n < 2; n++) nodes[name]?.topics.subscribe(Ticks, (m) => got.push(m))
      const message = { items: [1] }
      nodes.a?.topics.publish(Ticks, message)
      message.items.push(2)
      flow()
      await turns()
      assert.deepEqual(got, [{ items: [1] }, { items: [1] }])
      assert.equal(got[0], got[1])
    }
  })

  test("nobody waits for a node that doesn't keep up: that is an event, and counted", () => {
    const { nodes } = net(["a", "b", "c"])
    const a = nodes.a as FakeNode
    for (const name of ["b", "c"]) nodes[name]?.topics.subscribe(Ticks, () => {})
    const [b, c] = [a.links.get("b"), a.links.get("c")]
    assert.ok(b !== undefined && c !== undefined)
    b.full = true
    for (let n = 0; n < 3; n++) assert.equal(a.topics.publish(Ticks, n), 1)
    assert.deepEqual(sent(a), ["b 0", "c 3"])
    const dropped = { _tag: "Dropped", process: "ticks", limit: "queueBytesMax" }
    assert.deepEqual(a.events, [dropped])
    b.full = false
    assert.equal(a.topics.publish(Ticks, 3), 2)
    b.full = true
    for (let n = 0; n < 3; n++) a.topics.publish(Ticks, n)
    assert.deepEqual(a.events, [dropped, dropped])
    assert.deepEqual(a.topics.dropped, [{ node: "b", count: 6 }])
    const expected = { _tag: "Overloaded", process: "ticks", limit: "queueBytesMax" }
    assert.throws(() => a.topics.publish(Ticks, 1, { to: { node: "b" } }), expected)
    a.topics.linkDown("b")
    assert.deepEqual(a.topics.dropped, [])
  })

  test("who wants a topic is looked up once, and again only when that changes", () => {
    const { nodes } = net(["a", "b"])
    const a = nodes.a as FakeNode
    const b = nodes.b as FakeNode
    const looks = (): number => {
      const before = a.looks
      a.topics.publish(Ticks, 1)
      return a.looks - before
    }
    const first = looks()
    assert.ok(first > 0)
    assert.equal(looks(), 0)
    const off = b.topics.subscribe(Ticks, () => {})
    assert.ok(looks() > 0)
    assert.equal(looks(), 0)
    b.topics.subscribe(Topic.define("tocks"), () => {})
    assert.equal(looks(), 0)
    off.unsubscribe()
    b.topics.subscribe(Topic.prefix("t"), () => {}).unsubscribe()
    // Nothing is left of the pattern.
    assert.equal(looks(), first)
    // There is a bound to what is remembered.
    for (let n = 0; n < 20_000; n++) a.topics.publish(Topic.define(n), 1)
    assert.ok(looks() > 0)
  })

  test("throws at once what is wrong, and then nobody gets it", async () => {
    const { nodes, flow } = net(["a", "b"], { frameBytesMax: 1_000, pendingMax: 5 })
    const a = nodes.a as FakeNode
    const got: Array<unknown> = []
    nodes.b?.topics.subscribe(Ticks, (m) => got.push(m))
    const about = { process: "ticks", outcome: "not-executed" }
    assert.throws(() => a.topics.publish(Ticks, () => 1), { _tag: "NotData", ...about })
    const long = { _tag: "TooLarge", bytesMax: 1_000, ...about }
    assert.throws(() => a.topics.publish(Ticks, "x".repeat(1_000)), long)
    a.topics.subscribe(Ticks, (m) => got.push(m))
    assert.throws(() => a.topics.publish(Ticks, () => 1), { _tag: "NotData", ...about })
    assert.throws(() => a.topics.publish(Ticks, "x".repeat(1_000)), long)
    for (let n = 0; n < 5; n++) a.topics.publish(Ticks, n, { to: "local" })
    const full = { _tag: "Overloaded", limit: "pendingMax", max: 5, ...about }
    assert.throws(() => a.topics.publish(Ticks, 5), full)
    await turns()
    flow()
    assert.deepEqual(got, [0, 1, 2, 3, 4])
    a.stopped = true
    const stopped = { _tag: "NodeStopped", node: "a", ...about }
    assert.throws(() => a.topics.publish(Ticks, 1), stopped)
    assert.throws(() => a.topics.subscribe(Ticks, () => {}), stopped)
    assert.throws(() => a.topics.messages(Ticks), stopped)
  })
})

describe("subscribing", () => {
  test("to more topics and patterns than namesMax is Overloaded; to one of them once more isn't", () => {
    const { topics } = net(["a"], { namesMax: 2 }).nodes.a as FakeNode
    const off = topics.subscribe(Ticks, () => {})
    topics.subscribe(Topic.prefix("t"), () => {})
    topics.messages(Ticks)
    const full = { _tag: "Overloaded", process: "tocks", limit: "namesMax", max: 2 }
    const more = (): unknown => topics.subscribe(Topic.define("tocks"), () => {})
    assert.throws(more, full)
    off.unsubscribe()
    assert.throws(more, full)
    assert.equal(topics.publish(Topic.define("tocks"), 1), 1)
  })
})

describe("a frame", () => {
  test("is malformed when it is cut short, goes on, or names no topic", () => {
    const { nodes } = net(["a", "b"])
    const b = nodes.b as FakeNode
    const got: Array<unknown> = []
    b.topics.subscribe(Topic.prefix([]), (m) => got.push(m))
    const frame = (text: string): Uint8Array => {
      const writer = new Writer()
      writer.string(text)
      Value.write(writer, { a: [1, "two"] })
      return writer.take()
    }
    const good = frame("~[7]")
    for (let end = 0; end < good.length; end++)
      assert.equal(b.topics.receive("a", new Reader(good, 0, end)), false)
    assert.equal(b.topics.receive("a", new Reader(Uint8Array.of(...good, 0))), false)
    for (const text of ["", "~", "~[", "~[07]", "x".repeat(513), "x".repeat(100_000)])
      assert.equal(b.topics.receive("a", new Reader(frame(text))), false)
    assert.deepEqual(got, [])
    assert.equal(b.topics.receive("a", new Reader(good)), true)
    assert.equal(b.topics.receive("a", new Reader(frame("nobody's"))), true)
    assert.deepEqual(got, [{ a: [1, "two"] }])
  })
})

// --- help ------------------------------------------------------------------------------------------

/** How many frames wait for each node. */
function sent({ links }: FakeNode): ReadonlyArray<string> {
  return Array.from(links, ([name, { frames }]) => `${name} ${frames.length}`)
}

// --- what the compiler must accept and refuse: compiled, never run -----------------------------------

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A, B>(_equal: Equal<A, B>): void => {}

interface Tick {
  readonly price: number
}

const Prices = Topic.define<Tick>("prices")
const Rooms = Topic.family<string, [room: number, part: string]>("rooms")
const Trader = Process.define("Trader", {
  state: () => 0,
  casts: {
    tick: (_self, _tick: Tick, _info: { readonly from: string; readonly topic: Key.Key }) => {},
    note: (_self, _tick: { readonly price: number | string }) => {},
    stop: () => {},
    other: (_self, _text: string) => {},
    more: (_self, _tick: Tick, _info: unknown, _more: number) => {},
  },
})

async function accepted(node: Node, trader: Ref<typeof Trader>): Promise<void> {
  const off = node.subscribe(Prices, (tick, info) => {
    is<typeof tick, Tick>(true)
    is<typeof info.topic, Key.Key>(true)
    is<typeof info.from, string>(true)
  })
  is<typeof off, Topic.Subscription<Topic.Definition<Tick>>>(true)
  off.publish({ price: 1 }, { to: "local" })
  const all = node.subscribe(Rooms.all, async (text, { topic: [, room, part] }) => {
    is<typeof text, string>(true)
    is<typeof room, number>(true)
    is<typeof part, string>(true)
  })
  await all.ready
  for (const method of ["tick", "note", "stop"] as const) node.subscribe(Prices, trader, method)
  node.subscribe(Topic.prefix<Tick>("pri"), trader, "tick", { signal: AbortSignal.abort() })
  for await (const { message, from, topic } of node.messages(Rooms.at(1, "a"), { bufferMax: 1 })) {
    is<typeof message, string>(true)
    is<typeof from, string>(true)
    is<(typeof topic)[1], number>(true)
  }
  const count = node.publish(Prices, { price: 1 }, { to: { node: "b" } })
  is<typeof count, number>(true)
  node.publish(Rooms.at(1, "a"), "hello")
}

function refused(node: Node, trader: Ref<typeof Trader>): void {
  // @ts-expect-error the wrong message
  node.publish(Prices, { price: "1" })
  // @ts-expect-error no message
  node.publish(Prices)
  // @ts-expect-error nothing can be published to a pattern
  node.publish(Rooms.all, "hello")
  // @ts-expect-error nor by its subscription
  node.subscribe(Rooms.all, () => {}).publish("hello")
  // @ts-expect-error the wrong message of a subscription
  node.subscribe(Prices, () => {}).publish("hello")
  // @ts-expect-error the callback wants something else
  node.subscribe(Prices, (text: string) => text)
  // @ts-expect-error the cast wants something else
  node.subscribe(Prices, trader, "other")
  // @ts-expect-error the cast wants more
  node.subscribe(Prices, trader, "more")
  // @ts-expect-error there is no such cast
  node.subscribe(Prices, trader, "none")
  // @ts-expect-error a process has its own mailbox
  node.subscribe(Prices, trader, "tick", { bufferMax: 1 })
  // @ts-expect-error an unknown policy
  node.messages(Prices, { overflow: "drop" })
  // @ts-expect-error a room is a number
  Rooms.at("1", "a")
  // @ts-expect-error a topic is no string
  node.subscribe("prices", () => {})
  // @ts-expect-error a topic of numbers isn't one of ticks
  const other: Topic.Definition<number> = Prices
  // @ts-expect-error one whose messages may be more can't be published to as if they were less
  const wide: Topic.Definition<Tick | string> = Prices
  void [other, wide]
}

void [accepted, refused]
