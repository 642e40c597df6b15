import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Context, Discovery } from "../../src/discovery/discovery.ts"
import { Discoveries } from "../../src/runtime/links/discoveries.ts"
import { machine } from "../discovery/fake.ts"

const SECOND = 1_000
const OWN = "a:1"

/** A strategy that does as the test says. */
interface Puppet extends Discovery {
  /** The context of every start, in order. */
  readonly contexts: ReadonlyArray<Context>
  /** The context of the last start. */
  readonly context: Context
}

function puppet(
  kind = "puppet",
  start: (context: Context) => void | Promise<void> = () => {},
): Puppet {
  const contexts: Array<Context> = []
  return {
    kind,
    contexts,
    get context() {
      const context = contexts.at(-1)
      if (context === undefined) throw new Error("it hasn't been started")
      return context
    },
    start: (context) => {
      contexts.push(context)
      return start(context)
    },
  }
}

/** The discoveries of a node whose address is {@link OWN}, and what they tell it, in order. */
function discoveries(...strategies: ReadonlyArray<Discovery>) {
  const { platform, advance, timers } = machine()
  const told: Array<string> = []
  const events: Array<string> = []
  const node = new Discoveries(
    { name: "a", platform },
    {
      strategies,
      cluster: "skein",
      cookie: "a secret",
      address: () => OWN,
      connect: (addresses) => told.push(`+ ${addresses.join(" ")}`),
      forget: (addresses) => told.push(`- ${addresses.join(" ")}`),
      event: ({ _tag, discovery, reason }) => events.push(`${_tag} ${discovery}: ${reason}`),
    },
  )
  return { node, told, events, platform, advance, timers }
}

describe("what strategies find", () => {
  test("is told once when it comes and once when it goes, in order, and never the node's own address", () => {
    const strategy = puppet()
    const { node, told } = discoveries(strategy)
    node.start()
    const { found } = strategy.context
    found(["c:1", "b:1", OWN, "b:1"])
    found(["b:1", "c:1"])
    found(["c:1", "d:1"])
    found([OWN])
    found(["c:1"])
    assert.deepEqual(told, ["+ b:1 c:1", "- b:1", "+ d:1", "- c:1 d:1", "+ c:1"])
  })

  test("is put together: an address goes when the last strategy that gave it does so no more", () => {
    const [one, two] = [puppet("one"), puppet("two")]
    const { node, told } = discoveries(one, two)
    node.start()
    one.context.found(["b:1", "c:1"])
    two.context.found(["c:1", "d:1"])
    one.context.found([])
    two.context.found([])
    assert.deepEqual(told, ["+ b:1 c:1", "+ d:1", "- b:1", "- c:1 d:1"])
  })

  test("leaves the node with exactly what is found now, whatever was found before", () => {
    const address = fc.constantFrom(OWN, "b:1", "c:1", "d:1")
    const step = fc.tuple(fc.nat({ max: 2 }), fc.array(address))
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const strategies = [puppet(), puppet(), puppet()]
        const { node, told } = discoveries(...strategies)
        node.start()
        const last: Array<ReadonlyArray<string>> = [[], [], []]
        for (const [i, addresses] of steps) {
          strategies[i]!.context.found(addresses)
          last[i] = addresses
        }
        const known = new Set<string>()
        for (const [sign, ...addresses] of told.map((line) => line.split(" "))) {
          for (const each of addresses) {
            // Nothing is told that the node knows already.
            assert.equal(known.has(each), sign === "-")
            if (sign === "+") known.add(each)
            else known.delete(each)
          }
        }
        const expected = new Set(last.flat())
        expected.delete(OWN)
        assert.deepEqual(known, expected)
      }),
    )
  })

  test("is used up to 1,024 addresses, and the user is told of the rest", () => {
    const strategy = puppet()
    const { node, told, events } = discoveries(strategy)
    node.start()
    strategy.context.found(Array.from({ length: 2_000 }, (_, i) => `n${i}:1`))
    assert.equal(told[0]?.split(" ").length, 1 + 1_024)
    assert.deepEqual(events, [
      "DiscoveryFailed puppet: 2000 addresses were found, 1024 of them are used",
    ])
  })
})

describe("a strategy", () => {
  test("is told who the node is", () => {
    const strategy = puppet()
    const { node, platform } = discoveries(strategy)
    node.start()
    const { cluster, node: name, address, cookie, signal, now, wall, random } = strategy.context
    assert.deepEqual([cluster, name, address, cookie], ["skein", "a", OWN, "a secret"])
    assert.equal(signal.aborted, false)
    assert.equal(now, platform.now)
    assert.equal(wall, platform.wall)
    const drawn = Array.from({ length: 100 }, random)
    assert.ok(drawn.every((each) => each >= 0 && each < 1))
    assert.ok(new Set(drawn).size > 90)
  })

  test("may fail: that is an event each time, and what it found stays", () => {
    const strategy = puppet()
    const { node, told, events } = discoveries(strategy)
    node.start()
    const { found, failed } = strategy.context
    found(["b:1"])
    failed(new Error("no answer"))
    failed("no answer again")
    assert.deepEqual(told, ["+ b:1"])
    assert.deepEqual(events, [
      "DiscoveryFailed puppet: no answer",
      "DiscoveryFailed puppet: no answer again",
    ])
  })

  for (const [how, fail] of [
    [
      "throws",
      () => {
        throw new Error("not yet")
      },
    ],
    ["rejects", () => Promise.reject(new Error("not yet"))],
  ] as const) {
    test(`that ${how} when it starts is reported, and started again, later each time`, async () => {
      const at: Array<number> = []
      const { node, events, advance, platform, timers, told } = discoveries(
        puppet("late", ({ found }) => {
          at.push(platform.now())
          if (at.length < 8) return fail()
          found(["b:1"])
        }),
      )
      node.start()
      await advance(200 * SECOND)
      assert.equal(at.length, 8)
      assert.deepEqual(
        events,
        Array.from({ length: 7 }, () => "DiscoveryFailed late: not yet"),
      )
      assert.deepEqual(told, ["+ b:1"])
      assert.equal(timers(), 0)
      const gaps = at.slice(1).map((each, i) => each - (at[i] ?? 0))
      const bounds = [1, 2, 4, 8, 16, 30, 30].map((seconds) => seconds * SECOND)
      for (const [i, bound] of bounds.entries()) {
        assert.ok((gaps[i] ?? 0) >= 0.75 * bound && (gaps[i] ?? 0) <= 1.25 * bound, gaps.join(" "))
      }
    })
  }

  test("that failed to start can't act any more, and the others go on", async () => {
    const late = puppet("late", (context) => {
      context.timer(10, () => context.found(["never:1"]))
      return Promise.reject(new Error("not yet"))
    })
    const other = puppet("other")
    const { node, told, advance } = discoveries(late, other)
    node.start()
    await advance(0)
    const [first] = late.contexts
    assert.equal(first?.signal.aborted, true)
    first?.found(["never:1"])
    other.context.found(["b:1"])
    await advance(10 * SECOND)
    assert.ok(late.contexts.length > 1)
    assert.deepEqual(told, ["+ b:1"])
  })

  test("has what it ignores counted, by reason", () => {
    const [one, two] = [puppet("one"), puppet("two")]
    const { node } = discoveries(one, two)
    node.start()
    one.context.ignored("forged")
    one.context.ignored("cluster")
    one.context.ignored("forged")
    two.context.ignored("forged")
    assert.deepEqual(node.ignored, [
      { discovery: "one", reason: "forged", count: 2 },
      { discovery: "one", reason: "cluster", count: 1 },
      { discovery: "two", reason: "forged", count: 1 },
    ])
  })

  test("that invents reasons fills no memory with them", () => {
    const strategy = puppet()
    const { node } = discoveries(strategy)
    node.start()
    for (let i = 0; i < 1_000; i++) strategy.context.ignored(`reason ${i}`)
    assert.equal(node.ignored.length, 257)
    assert.deepEqual(node.ignored.at(-1), { discovery: "puppet", reason: "other", count: 744 })
  })

  test("has timers that can be taken back", async () => {
    const strategy = puppet()
    const { node, advance, timers } = discoveries(strategy)
    node.start()
    const fired: Array<string> = []
    strategy.context.timer(5, () => fired.push("one"))
    strategy.context.timer(5, () => fired.push("two"))()
    await advance(10)
    assert.deepEqual(fired, ["one"])
    assert.equal(timers(), 0)
  })
})

/** Everything that a strategy may do, which must come to nothing. */
async function comesToNothing(
  strategy: Puppet,
  { node, told, events, advance, timers }: ReturnType<typeof discoveries>,
): Promise<void> {
  const before = [told.length, events.length, node.ignored.length]
  const { signal, found, failed, ignored, timer } = strategy.context
  assert.equal(signal.aborted, true)
  found(["b:1", "z:1"])
  failed("too late")
  ignored("too late")
  timer(1, () => assert.fail("a timer of what has ended"))
  await advance(100 * SECOND)
  assert.deepEqual([told.length, events.length, node.ignored.length], before)
  assert.equal(timers(), 0)
}

describe("a node", () => {
  test("that leaves forgets whom it found, and its discovery neither finds nor shows anything more", async () => {
    let shown = 0
    const strategy = puppet("showing", ({ timer }) => {
      const show = (): void => {
        shown++
        timer(SECOND, show)
      }
      show()
    })
    const late = puppet("late", () => Promise.reject(new Error("not yet")))
    const scene = discoveries(strategy, late)
    scene.node.start()
    strategy.context.found(["b:1", "c:1"])
    await scene.advance(10 * SECOND)
    const before = [shown, late.contexts.length]
    assert.ok(shown > 5)
    scene.node.leave()
    assert.deepEqual(scene.told, ["+ b:1 c:1", "- b:1 c:1"])
    await comesToNothing(strategy, scene)
    assert.deepEqual([shown, late.contexts.length], before)
    scene.node.close()
    assert.equal(scene.told.length, 2)
  })

  test("that stops ends its strategies and is told nothing more", async () => {
    const strategy = puppet()
    const scene = discoveries(strategy)
    scene.node.start()
    strategy.context.found(["b:1"])
    strategy.context.timer(1, () => assert.fail("a timer survived"))
    scene.node.close()
    assert.deepEqual(scene.told, ["+ b:1"])
    await comesToNothing(strategy, scene)
  })

  test("that has stopped starts no strategy", () => {
    const [one, two] = [puppet("one", () => node.close()), puppet("two")]
    const { node } = discoveries(one, two)
    node.start()
    assert.deepEqual([one.contexts.length, two.contexts.length], [1, 0])
  })

  test("that stops while a strategy starts doesn't start it again", async () => {
    let refuse: (error: Error) => void = () => {}
    const strategy = puppet(
      "slow",
      () =>
        new Promise((_, reject) => {
          refuse = reject
        }),
    )
    const { node, events, advance } = discoveries(strategy)
    node.start()
    node.close()
    refuse(new Error("not yet"))
    await advance(100 * SECOND)
    assert.equal(strategy.contexts.length, 1)
    assert.deepEqual(events, [])
  })
})
