/** The promises of publishing and subscribing, with whole nodes under faults. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Key, Process, SubscriberOverloaded, Topic } from "skein"
import { type Sim, type SimNode, type SimulateOptions, simulate } from "skein/testing"

const Ticks = Topic.define<number>("ticks")
const Rooms = Topic.family<string, [room: number]>("rooms")

/** What came, as text, in order; each log moves with its process. */
const Log = Process.define("Log", {
  state: () => ({ entries: [] as Array<string> }),
  calls: { entries: (self) => self.state.entries },
  casts: {
    tick: (self, n: number, { from, topic }: { from: string; topic: unknown }) => {
      self.state.entries.push(`${from} ${String(topic)} ${n}`)
    },
    note: (self, n: number) => {
      self.state.entries.push(`${n}`)
    },
  },
})

const SEEDS = [0, 1, 2]

/** The same with several seeds, on nodes a, b, c …. */
async function each(
  options: Partial<SimulateOptions> & Pick<SimulateOptions, "nodes">,
  body: (sim: Sim, ...nodes: Array<SimNode>) => Promise<void>,
): Promise<void> {
  for (const seed of SEEDS)
    await simulate({ processes: [Log], seed, ...options }, (sim) => body(sim, ...sim.nodes))
}

/** Subscribes to ticks at each node; what comes is in the list at the node's index. */
async function everywhere(sim: Sim): Promise<ReadonlyArray<Array<number>>> {
  const got = sim.nodes.map(() => [] as Array<number>)
  const all = sim.nodes.map((node, i) => node.subscribe(Ticks, (n) => got[i]?.push(n)))
  await Promise.all(all.map(({ ready }) => ready))
  return got
}

/** Somebody who wants messages, and what it got. */
interface Wanting {
  readonly node: string
  readonly matches: (text: string) => boolean
  readonly got: Array<number>
  readonly expected: Array<number>
  readonly off: () => void
}

/** Subscribes to the topic of this key, or to all that begin with it. */
function want(node: SimNode, key: Key.Key, exactly: boolean): Wanting {
  const got: Array<number> = []
  const topic = exactly ? Topic.define<number>(key) : Topic.prefix<number>(key)
  const off = node.subscribe(topic, (n) => got.push(n))
  return {
    node: node.name,
    matches: exactly ? (text) => text === topic.text : Key.startsWith(key),
    got,
    expected: [],
    off: () => off.unsubscribe(),
  }
}

/** Integers from 0 to `below` - 1, the same for the same seed. */
function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** From how many to how many, exclusive. */
function range(from: number, to: number): ReadonlyArray<number> {
  return Array.from({ length: to - from }, (_, i) => from + i)
}

describe("a message", () => {
  test("S14. gets to each subscriber exactly once, and publish tells to how many nodes", () =>
    each({ nodes: 3 }, async (sim) => {
      const got = await everywhere(sim)
      for (const [i, node] of sim.nodes.entries()) {
        assert.equal(node.publish(Ticks, i), 3)
        await sim.advance("100 millis")
      }
      for (const list of got) assert.deepEqual(list.splice(0), [0, 1, 2])
      // Only to this node.
      assert.equal(sim.nodes[1]?.publish(Ticks, 7, { to: "local" }), 1)
      await sim.advance("100 millis")
      assert.deepEqual(got, [[], [7], []])
    }))

  test("gets to one node when it is meant for that", () =>
    each({ nodes: 3 }, async (sim, a, b) => {
      const got = await everywhere(sim)
      assert.equal(a?.publish(Ticks, 1, { to: { node: "b" } }), 1)
      assert.equal(a?.publish(Ticks, 2, { to: { node: "a" } }), 1)
      assert.equal(a?.publish(Ticks, 3, { to: { node: "nobody" } }), 0)
      assert.equal(b?.publish(Topic.define("else"), 3, { to: { node: "a" } }), 0)
      await sim.advance("100 millis")
      assert.deepEqual(got, [[2], [1], []])
    }))

  test("goes only to nodes that have a subscriber, once to each, and not when the last one has left", () =>
    each({ nodes: 4 }, async (sim, a, b, c) => {
      let frames: Array<string> = []
      sim.rule(({ to, what }) => {
        if (/\bPublish\b/.test(what)) frames.push(to)
        return "pass"
      })
      const got: Array<string> = []
      const offs = [
        ...range(0, 10).map((i) => b?.subscribe(Ticks, (n) => got.push(`b${i} ${n}`))),
        c?.subscribe(Topic.prefix<number>("t"), (n) => got.push(`c ${n}`)),
        c?.subscribe(Ticks, (n) => got.push(`c exactly ${n}`)),
      ]
      await Promise.all(offs.map((off) => off?.ready))
      assert.equal(a?.publish(Ticks, 1), 2)
      assert.equal(a?.publish(Topic.define("other"), 1), 0)
      await sim.advance("100 millis")
      assert.deepEqual(frames.sort(), ["b", "c"])
      assert.equal(got.length, 12)
      frames = []
      got.length = 0
      for (const off of offs.slice(1, -1)) off?.unsubscribe()
      await sim.advance("100 millis")
      assert.equal(a?.publish(Ticks, 2), 2)
      offs[0]?.unsubscribe()
      offs.at(-1)?.unsubscribe()
      await sim.advance("100 millis")
      assert.equal(a?.publish(Ticks, 3), 0)
      await sim.advance("100 millis")
      assert.deepEqual(frames.sort(), ["b", "c"])
      assert.deepEqual(got, [])
    }))

  test("of a topic with a structured key gets to whoever wants that one, or all of its kind", () =>
    each({ nodes: 2 }, async (sim, a, b) => {
      const got: Array<unknown> = []
      const offs = [
        b?.subscribe(Rooms.at(4), (text, { topic }) => got.push(["4", text, topic])),
        b?.subscribe(Rooms.all, (text, { topic }) => got.push(["all", text, topic])),
        b?.subscribe(Topic.prefix<string>(""), (text, { topic }) => got.push(["", text, topic])),
      ]
      await Promise.all(offs.map((off) => off?.ready))
      a?.publish(Rooms.at(4), "four")
      a?.publish(Rooms.at(42), "others")
      a?.publish(Topic.define<string>("rooms"), "plain")
      await sim.advance("100 millis")
      assert.deepEqual(got, [
        ["4", "four", ["rooms", 4]],
        ["all", "four", ["rooms", 4]],
        ["all", "others", ["rooms", 42]],
        ["", "plain", "rooms"],
      ])
    }))
})

describe("the order", () => {
  test("of each publisher holds for each subscriber, whatever it subscribed to and whatever the network does", () =>
    each({ nodes: 3 }, async (sim, a, b, c) => {
      const log = await c?.start(Log, "log")
      assert.ok(log !== undefined)
      const seen: Array<readonly [string, number]> = []
      const note = (n: number, { from }: { from: string }): void => {
        seen.push([from, n])
      }
      const loop = c?.messages(Topic.prefix<number>("x"))
      const offs = [
        c?.subscribe(Topic.define<number>("x1"), note),
        c?.subscribe(Topic.prefix<number>("x"), note),
        c?.subscribe(Topic.prefix<number>("x"), log, "tick"),
        loop,
      ]
      await Promise.all(offs.map((off) => off?.ready))
      for (const [from, to] of [
        [a, c],
        [b, c],
      ])
        if (from && to) sim.link(from, to, { loss: 0.05, delay: "20 millis" })
      for (let n = 0; n < 200; n++) {
        for (const node of [a, b, c]) node?.publish(Topic.define<number>(`x${n % 3}`), n)
        if (n % 10 === 0) await sim.advance("3 millis")
      }
      await sim.advance("20 seconds")
      const read: Array<readonly [string, number]> = []
      for (let n = 0; n < 600; n++) {
        const { value } = (await loop?.next()) ?? {}
        if (value !== undefined) read.push([value.from, value.message])
      }
      const logged = (await log.entries()).map((entry) => entry.split(" "))
      for (const from of ["a", "b", "c"]) {
        const all = range(0, 200)
        const twice = all.flatMap((n) => (n % 3 === 1 ? [n, n] : [n]))
        const of = (list: ReadonlyArray<readonly [string, number]>) =>
          list.filter(([who]) => who === from).map(([, n]) => n)
        assert.deepEqual(of(seen), twice)
        assert.deepEqual(of(read), all)
        assert.deepEqual(of(logged.map(([who, , n]) => [who ?? "", Number(n)])), all)
      }
    }))
})

describe("a process that subscribes", () => {
  test("is cast each message, in order, also while it moves and wherever it is", () =>
    each({ nodes: 3 }, async (sim, a, b, c) => {
      const keys = range(0, 100).map((n) => `log${n}`)
      const key = keys.find((each) => a?.nodeFor(Log, each) === "c")
      const log = await a?.start(Log, key ?? "")
      assert.ok(log !== undefined && b !== undefined)
      const off = b.subscribe(Ticks, log, "note")
      await off.ready
      for (let n = 0; n < 100; n++) {
        a?.publish(Ticks, n)
        if (n === 30) void c?.leave()
        await sim.advance("10 millis")
      }
      await sim.converged()
      assert.notEqual(a?.whereis(Log, key ?? "")?.node, "c")
      assert.deepEqual(await log.entries(), range(0, 100).map(String))
      off.unsubscribe()
      assert.equal(off.dropped, 0)
    }))
})

describe("a subscription", () => {
  test("that is ready misses nothing that other nodes publish from then on", () =>
    each({ nodes: 4 }, async (sim, a, b, c, d) => {
      for (const node of [b, c, d])
        if (a && node) sim.link(a, node, { loss: 0.05, delay: "50 millis" })
      const got: Array<string> = []
      for (let n = 0; n < 20; n++) {
        const topic = Topic.define<string>(["t", n])
        const off = a?.subscribe(topic, (text) => got.push(text))
        if (n % 2 === 0) await off?.ready
        else await Promise.all([off?.ready, off?.ready])
        for (const node of [b, c, d]) assert.equal(node?.publish(topic, `${n}`), 1)
      }
      await sim.advance("20 seconds")
      assert.equal(got.length, 60)
    }))

  test("is ready only when they know, also when that was lost on the way; never once its node has stopped", () =>
    each({ nodes: 3 }, async (sim, a, b, c) => {
      assert.ok(a && b && c)
      let lost = 0
      const end = sim.rule(({ from, to, what }) => {
        if (from !== "a" || to !== "b" || !/\bOps\b/.test(what)) return "pass"
        lost++
        return "drop"
      })
      const off = a.subscribe(Ticks, () => {})
      await sim.advance("200 millis")
      assert.ok(lost > 0)
      assert.deepEqual([b.publish(Ticks, 1), c.publish(Ticks, 1)], [0, 1])
      end()
      await off.ready
      assert.deepEqual([b.publish(Ticks, 2), c.publish(Ticks, 2)], [1, 1])
      // A node that can't answer is waited for until it is given up.
      b.pause()
      const late = a.subscribe(Topic.define<number>("late"), () => {})
      await late.ready
      assert.ok(a.members().some(({ name, status }) => name === "b" && status === "down"))
      const stopped = a.subscribe(Topic.define<number>("stopped"), () => {}).ready
      await Promise.all([a.stop(), assert.rejects(stopped, { _tag: "NodeStopped" })])
    }))

  test("is known to nodes that join later, before they serve", () =>
    each({ nodes: 2 }, async (sim, a) => {
      const got: Array<number> = []
      a?.subscribe(Ticks, (n) => got.push(n))
      a?.subscribe(Topic.prefix<number>("t"), (n) => got.push(n))
      const late = await sim.join()
      assert.equal(late.publish(Ticks, 1), 1)
      await sim.advance("100 millis")
      assert.deepEqual(got, [1, 1])
    }))

  test("works on both sides of a cut, and again between them after it heals", () =>
    each({ nodes: 4 }, async (sim, a, b, c, d) => {
      assert.ok(a && b && c && d)
      const got = await everywhere(sim)
      const pattern: Array<number> = []
      d.subscribe(Topic.prefix<number>("t"), (n) => pattern.push(n))
      sim.partition([a, b], [c, d])
      await sim.settle()
      await sim.advance("10 seconds")
      assert.equal(a.publish(Ticks, 1), 2)
      assert.equal(d.publish(Ticks, 2), 2)
      // One who comes and one who goes while the others can't know.
      const late: Array<number> = []
      c.subscribe(Topic.define<number>("late"), (n) => late.push(n))
      sim.heal()
      await sim.converged()
      assert.deepEqual(got, [[1], [1], [2], [2]])
      assert.equal(a.publish(Ticks, 3), 4)
      assert.equal(b.publish(Topic.define<number>("late"), 4), 1)
      await sim.advance("1 second")
      assert.deepEqual(got, [
        [1, 3],
        [1, 3],
        [2, 3],
        [2, 3],
      ])
      assert.deepEqual(pattern, [2, 3])
      assert.deepEqual(late, [4])
    }))

  test("ends with its node: one that dies, is started again, or leaves gets nothing", () =>
    each({ nodes: 3 }, async (sim, a, b, c) => {
      assert.ok(a && b && c)
      const got = await everywhere(sim)
      b.crash()
      await sim.until("b is down", () => a.members().some(({ status }) => status === "down"))
      assert.equal(a.publish(Ticks, 1), 2)
      await b.restart()
      await sim.converged()
      assert.equal(a.publish(Ticks, 2), 2)
      const again: Array<number> = []
      await b.subscribe(Ticks, (n) => again.push(n)).ready
      assert.equal(a.publish(Ticks, 3), 3)
      const closed = c.subscribe(Ticks, () => {}).closed
      await c.leave()
      await closed
      await sim.converged()
      assert.equal(a.publish(Ticks, 4), 2)
      assert.throws(() => c.publish(Ticks, 5), { _tag: "NodeStopped" })
      await sim.advance("1 second")
      assert.deepEqual(got, [[1, 2, 3, 4], [], [1, 2, 3]])
      assert.deepEqual(again, [3, 4])
    }))

  test("can publish to all others", () =>
    each({ nodes: 2 }, async (sim, a, b) => {
      const got: Array<string> = []
      const mine = a?.subscribe(Ticks, (n) => got.push(`mine ${n}`))
      a?.subscribe(Ticks, (n) => got.push(`also a ${n}`))
      await b?.subscribe(Ticks, (n) => got.push(`b ${n}`)).ready
      assert.equal(mine?.publish(1), 2)
      await sim.advance("100 millis")
      assert.deepEqual(got, ["also a 1", "b 1"])
    }))
})

describe("who is slow", () => {
  test("loses what it has no room for, and nobody else waits for it", () =>
    each({ nodes: 2 }, async (sim, a, b) => {
      assert.ok(a && b)
      const slow: Array<number> = []
      const quick: Array<number> = []
      const held: Array<() => void> = []
      const off = b.subscribe(
        Ticks,
        (n) => {
          slow.push(n)
          return new Promise<void>((resolve) => held.push(resolve))
        },
        { bufferMax: 10 },
      )
      const strict = b.messages(Ticks, { bufferMax: 10, overflow: "error" })
      await b.subscribe(Ticks, (n) => quick.push(n)).ready
      for (const n of range(0, 100)) {
        a.publish(Ticks, n)
        if (n % 10 === 0) await sim.advance("10 millis")
      }
      await sim.advance("1 second")
      assert.deepEqual(quick, range(0, 100))
      for (let n = 0; n < 11; n++) {
        held.shift()?.()
        await sim.advance("10 millis")
      }
      assert.deepEqual(slow, [0, ...range(90, 100)])
      assert.equal(off.dropped, 89)
      const read: Array<number> = []
      await assert.rejects(async () => {
        for await (const { message } of strict) read.push(message)
      }, SubscriberOverloaded)
      assert.deepEqual(read, range(0, 10))
      const events = sim.events.filter(({ event }) => event._tag === "SubscriberFailed")
      assert.deepEqual(
        events.map(({ node }) => node),
        ["b"],
      )
    }))

  test("be it a node, loses what its connection has no room for: an event; others get everything", () =>
    each({ nodes: 3, options: { limits: { queueBytesMax: 10_000 } } }, async (sim, a, b, c) => {
      assert.ok(a && b && c)
      const Texts = Topic.define<string>("texts")
      const got = { b: 0, c: 0 }
      await b.subscribe(Texts, () => void got.b++).ready
      await c.subscribe(Texts, () => void got.c++).ready
      b.pause()
      let both = 0
      // The connection itself holds a megabyte.
      for (let n = 0; n < 2_000; n++) {
        if (a.publish(Texts, "x".repeat(1_000)) === 2) both++
        await sim.advance("1 millis")
      }
      assert.ok(both > 0 && both < 2_000, `${both}`)
      const direct = (): number => a.publish(Texts, "x", { to: { node: "b" } })
      assert.throws(direct, { _tag: "Overloaded", limit: "queueBytesMax" })
      b.resume()
      await sim.converged()
      await sim.advance("1 second")
      assert.deepEqual(got, { b: both, c: 2_000 })
      const dropped = sim.events.filter(({ event }) => event._tag === "Dropped")
      assert.deepEqual(
        dropped.map(({ node, event }) => [node, event]),
        [["a", { _tag: "Dropped", process: "texts", limit: "queueBytesMax" }]],
      )
      assert.equal(a.publish(Texts, "x"), 2)
    }))
})

describe("anything that happens", () => {
  test("brings each message to exactly those who want it", () =>
    each({ nodes: 3 }, async (sim) => {
      const draw = random(sim.seed + 1)
      const keys: ReadonlyArray<Key.Key> = [
        "a",
        "ab",
        "abc",
        "b",
        ["a"],
        ["a", 1],
        ["a", 1, "b"],
        1,
      ]
      const wants: Array<Wanting> = []
      let published = 0
      for (let step = 0; step < 300; step++) {
        const node = sim.nodes[draw(3)] as SimNode
        const key = keys[draw(keys.length)] as Key.Key
        const what = draw(9)
        if (what < 3) wants.push(want(node, key, what === 0))
        else if (what < 5 && wants.length > 0) wants.splice(draw(wants.length), 1)[0]?.off()
        await sim.advance("20 millis")
        const text = Key.text(key)
        const who = wants.filter(({ matches }) => matches(text))
        for (const { expected } of who) expected.push(step)
        const count = node.publish(Topic.define<number>(key), step)
        assert.equal(count, new Set(who.map((each) => each.node)).size)
        published += count
        await sim.advance("20 millis")
        for (const { got, expected } of wants) assert.deepEqual(got, expected)
      }
      assert.ok(published > 300)
    }))
})

describe("many", () => {
  test("topics and subscribers are as good as few", async () => {
    await simulate({ nodes: 3, seed: 1 }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const got = new Map<string, number>()
      for (let n = 0; n < 10_000; n++) {
        const topic = Topic.define<number>(`t${n}`)
        const node = n % 2 === 0 ? b : c
        node.subscribe(topic, (m) => {
          if (m === n) got.set(`t${n}`, (got.get(`t${n}`) ?? 0) + 1)
        })
      }
      let crowd = 0
      for (let n = 0; n < 1_000; n++) c.subscribe(Ticks, () => void crowd++)
      await sim.converged()
      for (let n = 0; n < 10_000; n++) assert.equal(a.publish(Topic.define<number>(`t${n}`), n), 1)
      a.publish(Ticks, 1)
      await sim.advance("1 second")
      assert.equal(got.size, 10_000)
      assert.ok([...got.values()].every((count) => count === 1))
      assert.equal(crowd, 1_000)
    })
  })
})
