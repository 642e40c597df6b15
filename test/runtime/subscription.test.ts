import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { Overloaded } from "../../src/runtime/errors.ts"
import * as Topic from "../../src/runtime/topics/topic.ts"
import { deferred } from "./cluster.ts"
import { type FakeNode, net, turns } from "./topics.ts"

const Ticks = Topic.define<number>("ticks")

describe("a subscriber", () => {
  test("is called in turn, and one that throws or fails is told of and disturbs nobody", async () => {
    const { a, publish } = await lone()
    const got: Array<string> = []
    const failing: ReadonlyArray<(m: number) => unknown> = [
      () => {
        throw new Error("thrown")
      },
      () => Promise.reject(new Error("rejected")),
      () => Effect.fail("failed"),
      () => Effect.die(new Error("died")),
    ]
    for (const callback of failing)
      a.topics.subscribe(Ticks, (m: number) => {
        got.push(`f${m}`)
        return callback(m)
      })
    a.topics.subscribe(Ticks, (m: number) => got.push(`ok ${m}`))
    await publish(1, 2)
    assert.equal(got.filter((each) => each === "f2").length, 4)
    assert.deepEqual(
      got.filter((each) => each.startsWith("ok")),
      ["ok 1", "ok 2"],
    )
    const reasons = a.events.map((event) =>
      event._tag === "SubscriberFailed" ? `${event.topic}: ${event.reason}` : event._tag,
    )
    const each = ["thrown", "rejected", "failed", "died"].map((reason) => `ticks: ${reason}`)
    assert.deepEqual(reasons.sort(), [...each, ...each].sort())
  })

  test("that returns a promise or an Effect is busy until that is over; the others aren't", async () => {
    const { a, publish } = await lone()
    for (const kind of ["promise", "effect"] as const) {
      const gates = [deferred<void>(), deferred<void>()]
      const got: Array<string> = []
      const slow = a.topics.subscribe(Ticks, (m: number) => {
        got.push(`slow ${m}`)
        const gate = gates[m]?.promise
        return kind === "promise" ? gate : gate && Effect.promise(() => gate)
      })
      const quick = a.topics.subscribe(Ticks, (m: number) => got.push(`quick ${m}`))
      await publish(0, 1, 2, 3)
      assert.deepEqual(got.splice(0), ["slow 0", "quick 0", "quick 1", "quick 2", "quick 3"])
      gates[0]?.resolve()
      await turns()
      assert.deepEqual(got.splice(0), ["slow 1"])
      gates[1]?.resolve()
      await turns()
      assert.deepEqual(got.splice(0), ["slow 2", "slow 3"])
      await publish(4)
      assert.deepEqual(got.splice(0), ["slow 4", "quick 4"])
      slow.unsubscribe()
      quick.unsubscribe()
    }
  })

  test("that has no room loses the oldest or the newest message, as it chose, and counts", async () => {
    for (const [overflow, expected] of [
      [undefined, [0, 3, 4]],
      ["drop-oldest", [0, 3, 4]],
      ["drop-newest", [0, 1, 2]],
    ] as const) {
      const { a, publish } = await lone()
      const gate = deferred<void>()
      const got: Array<number> = []
      const slowly = held(got, gate)
      const options = overflow === undefined ? { bufferMax: 2 } : { bufferMax: 2, overflow }
      const slow = a.topics.subscribe(Ticks, (m: number) => slowly(m), options)
      const loop = a.topics.messages(Ticks, options)
      await publish(0, 1, 2, 3, 4)
      assert.equal(slow.dropped, 2)
      assert.equal(loop.dropped, 3)
      gate.resolve()
      await turns()
      assert.deepEqual(got, expected)
      assert.deepEqual(await read(loop, 2), overflow === "drop-newest" ? [0, 1] : [3, 4])
      assert.deepEqual(a.events, [])
    }
  })

  test("that chose an error ends when it has no room: what waited comes first, then it is told", async () => {
    const { a, publish } = await lone()
    const gate = deferred<void>()
    const got: Array<number> = []
    const slowly = held(got, gate)
    const options = { bufferMax: 2, overflow: "error" } as const
    const slow = a.topics.subscribe(Ticks, (m: number) => slowly(m), options)
    const loop = a.topics.messages(Ticks, options)
    const expected = { _tag: "SubscriberOverloaded", topic: "ticks", bufferMax: 2 }
    const closed = assert.rejects(slow.closed, expected)
    await publish(0, 1, 2, 3, 4)
    await closed
    // It may be asked for later.
    await assert.rejects(loop.closed, expected)
    gate.resolve()
    await turns()
    assert.deepEqual(got, [0, 1, 2])
    assert.deepEqual(await read(loop, 2), [0, 1])
    await assert.rejects(loop.next(), expected)
    assert.deepEqual(await loop.next(), { value: undefined, done: true })
    assert.deepEqual([slow.dropped, loop.dropped], [1, 1])
    assert.deepEqual(
      a.events.map(({ _tag }) => _tag),
      ["SubscriberFailed", "SubscriberFailed"],
    )
    assert.equal(a.topics.publish(Ticks, 5), 0)
  })

  test("can't have no buffer, an unknown policy, or a cast that there isn't", () => {
    const { nodes } = net(["a"])
    const { topics } = nodes.a as FakeNode
    const off = (): void => {}
    for (const bufferMax of [0, -1, Number.NaN])
      assert.throws(() => topics.subscribe(Ticks, off, { bufferMax }), RangeError)
    assert.throws(() => topics.messages(Ticks, { overflow: "drop" as never }), TypeError)
    assert.throws(() => topics.subscribe(Ticks, { cast: {} }, "note"), TypeError)
    assert.equal(topics.publish(Ticks, 1), 0)
  })

  test("whose cast is refused as overloaded counts that, and any other failure is told of", async () => {
    const { a, publish } = await lone()
    const got: Array<unknown> = []
    const cast = {
      note: (m: number, info: unknown) => {
        if (m === 1) throw new Overloaded("Log/x", "mailboxMax", 10)
        if (m === 2) throw new Error("on purpose")
        got.push([m, info])
      },
    }
    const off = a.topics.subscribe(Ticks, { cast }, "note")
    await publish(0, 1, 2, 3)
    const info = { from: "a", topic: "ticks" }
    assert.deepEqual(got, [
      [0, info],
      [3, info],
    ])
    assert.equal(off.dropped, 1)
    assert.deepEqual(a.events, [{ _tag: "SubscriberFailed", topic: "ticks", reason: "on purpose" }])
  })
})

describe("inside a callback", () => {
  test("unsubscribing itself and others, and subscribing, take effect with this and the next message", async () => {
    const { a, publish } = await lone()
    const got: Array<string> = []
    const first = a.topics.subscribe(Ticks, (m: number) => {
      got.push(`first ${m}`)
      first.unsubscribe()
      third.unsubscribe()
      if (m === 1) a.topics.subscribe(Ticks, (n: number) => got.push(`new ${n}`))
    })
    a.topics.subscribe(Ticks, (m: number) => got.push(`second ${m}`))
    const third = a.topics.subscribe(Ticks, (m: number) => got.push(`third ${m}`))
    await publish(1, 2)
    // The second message was published before there was a new subscriber.
    assert.deepEqual(got.splice(0), ["first 1", "second 1", "second 2"])
    await publish(3)
    assert.deepEqual(got, ["second 3", "new 3"])
  })

  test("publishing comes after the message in hand, without an end and without a stack", async () => {
    const { a, publish } = await lone()
    const got: Array<number> = []
    let deepest = 0
    let depth = 0
    a.topics.subscribe(Ticks, (m: number) => {
      deepest = Math.max(deepest, ++depth)
      if (m < 30_000) {
        a.topics.publish(Ticks, m + 1)
        a.topics.publish(Topic.define("other"), m)
      }
      depth--
    })
    for (let n = 0; n < 2; n++) a.topics.subscribe(Ticks, (m: number) => got.push(m))
    await publish(0)
    assert.equal(deepest, 1)
    assert.equal(got.length, 60_002)
    assert.ok(got.every((m, i) => m === i >> 1))
  })

  test("a callback that publishes for ever lets the event loop have its turns", async () => {
    const deferred: Array<() => void> = []
    const { nodes } = net(["a"], {}, (f) => deferred.push(f))
    const a = nodes.a as FakeNode
    let count = 0
    a.topics.subscribe(Ticks, () => {
      count++
      a.topics.publish(Ticks, 1)
    })
    a.topics.publish(Ticks, 1)
    await turns()
    assert.equal(deferred.length, 1)
    const before = count
    deferred.shift()?.()
    assert.ok(count > before)
    a.topics.close()
    deferred.shift()?.()
    await turns()
    assert.equal(deferred.length, 0)
  })
})

describe("a subscription", () => {
  test("ends when it is unsubscribed, disposed of or aborted, once; then it gets nothing more", async () => {
    const { a, publish } = await lone()
    const got: Array<number> = []
    const controller = new AbortController()
    const { signal } = controller
    const note = (m: number): number => got.push(m)
    const ways: ReadonlyArray<() => void> = [
      (() => {
        const off = a.topics.subscribe(Ticks, note)
        return () => off.unsubscribe()
      })(),
      (() => {
        const off = a.topics.subscribe(Topic.prefix("t"), note)
        return () => off[Symbol.dispose]()
      })(),
      (() => {
        a.topics.subscribe(Ticks, note, { signal })
        return () => controller.abort()
      })(),
    ]
    for (const [i, end] of ways.entries()) {
      await publish(i)
      assert.equal(got.splice(0).length, ways.length - i)
      end()
      end()
    }
    assert.equal(a.topics.publish(Ticks, 1), 0)
    const late = a.topics.subscribe(Ticks, note, { signal })
    await late.closed
    assert.equal(a.topics.publish(Ticks, 1), 0)
    assert.deepEqual(got, [])
  })

  test("doesn't listen to its signal any more when it has ended", () => {
    const { topics } = net(["a"]).nodes.a as FakeNode
    const { signal } = new AbortController()
    let listening = 0
    signal.addEventListener = () => void listening++
    signal.removeEventListener = () => void listening--
    const off = topics.subscribe(Ticks, () => {}, { signal })
    topics.messages(Ticks, { signal })
    assert.equal(listening, 2)
    off.unsubscribe()
    assert.equal(listening, 1)
    topics.close()
    assert.equal(listening, 0)
  })

  test("drops what waits when it is unsubscribed", async () => {
    const { a, publish } = await lone()
    const gate = deferred<void>()
    const got: Array<number> = []
    const slowly = held(got, gate)
    const slow = a.topics.subscribe(Ticks, (m: number) => slowly(m))
    await publish(0, 1, 2)
    slow.unsubscribe()
    gate.resolve()
    await turns()
    await slow.closed
    assert.deepEqual(got, [0])
  })

  test("publishes to all others; of a pattern nothing can be published", async () => {
    const { nodes, flow } = net(["a", "b"])
    const got: Array<string> = []
    const { a, b } = nodes as { a: FakeNode; b: FakeNode }
    const mine = a.topics.subscribe(Ticks, (m: number) => got.push(`mine ${m}`))
    assert.equal(mine.publish(0 as never), 0)
    b.topics.subscribe(Ticks, (m: number) => got.push(`b ${m}`))
    assert.equal(mine.publish(1 as never), 1)
    const all = a.topics.subscribe(Topic.prefix<number>("t"), (m: number) => got.push(`all ${m}`))
    assert.equal(mine.publish(2 as never), 2)
    assert.equal(mine.publish(3 as never, { to: "local" }), 1)
    assert.throws(() => all.publish(4 as never), TypeError)
    await turns()
    flow()
    assert.deepEqual(got, ["all 2", "all 3", "b 1", "b 2"])
  })
})

describe("a loop over messages", () => {
  test("gets those since it was made, says where they come from, and ends when it is left", async () => {
    const { a, publish } = await lone()
    const loop = a.topics.messages(Topic.prefix<number>("t"))
    await publish(1)
    const got: Array<unknown> = []
    const next = publish(2, 3, 4)
    for await (const received of loop) {
      got.push(received)
      if (received.message === 3) break
    }
    await next
    const about = { from: "a", topic: "ticks" }
    const expected = [1, 2, 3].map((message) => ({ message, ...about }))
    assert.deepEqual(got, expected)
    assert.equal(a.topics.publish(Ticks, 5), 0)
    assert.deepEqual(await loop.next(), { value: undefined, done: true })
    await loop.closed
  })

  test("may be read ahead, and ends with the node, when what waits is read", async () => {
    const { a, publish } = await lone()
    const ahead = a.topics.messages(Ticks)
    const reads = [ahead.next(), ahead.next(), ahead.next()]
    const behind = a.topics.messages(Ticks)
    await publish(1, 2)
    a.topics.close()
    const results = await Promise.all(reads)
    assert.deepEqual(
      results.map(({ value, done }) => [value?.message, done]),
      [
        [1, false],
        [2, false],
        [undefined, true],
      ],
    )
    assert.deepEqual(await read(behind, 2), [1, 2])
    assert.equal((await behind.next()).done, true)
  })
})

// --- help ------------------------------------------------------------------------------------------

/** A node by itself, and how it publishes ticks and lets them come. */
async function lone(): Promise<{
  readonly a: FakeNode
  readonly publish: (...ticks: ReadonlyArray<number>) => Promise<void>
}> {
  const a = net(["a"]).nodes.a as FakeNode
  return {
    a,
    publish: async (...ticks) => {
      for (const tick of ticks) a.topics.publish(Ticks, tick)
      await turns()
    },
  }
}

/** A callback that notes a message, and is busy with it until the gate opens. */
function held(
  got: Array<number>,
  gate: { readonly promise: Promise<void> },
): (message: number) => Promise<void> {
  return (message) => {
    got.push(message)
    return gate.promise
  }
}

async function read(loop: Topic.Messages<unknown>, count: number): Promise<ReadonlyArray<unknown>> {
  const got: Array<unknown> = []
  for (let n = 0; n < count; n++) got.push((await loop.next()).value?.message)
  return got
}
