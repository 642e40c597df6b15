/** Requests between nodes, with two ends that are no whole nodes, and time that stands still. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { NoProcess } from "../../src/runtime/errors.ts"
import type { Serving } from "../../src/runtime/functions/services.ts"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Message from "../../src/wire/message.ts"
import { deferred } from "./cluster.ts"
import { pair } from "./pair.ts"

const MINUTE = { timeout: 60_000 }

describe("a request to another node and one to this node", () => {
  for (const to of ["b", "a"] as const) {
    test(`${to}: is answered with a value, a promise's or an Effect's`, async () => {
      const { a, at } = pair()
      at[to].serve("value", ({ from }, args) => ({ from, args }))
      at[to].serve("promise", (_, [n]) => Promise.resolve(Number(n) + 1))
      at[to].serve("effect", (_, [n]) => Effect.delay(Effect.succeed(Number(n) + 2), 1))
      at[to].serve("at once", (_, [n]) => Effect.succeed(Number(n) + 3))
      assert.deepEqual(await a.services.request(to, "value", [1, { x: "y" }], MINUTE), {
        from: "a",
        args: [1, { x: "y" }],
      })
      assert.equal(await a.services.request(to, "promise", [1], MINUTE), 2)
      assert.equal(await a.services.request(to, "effect", [1], MINUTE), 3)
      assert.equal(await a.services.request(to, "at once", [1], MINUTE), 4)
      assert.equal(at[to].count, 0)
      assert.equal(a.calls.count, 0)
    })

    test(`${to}: shares nothing with who asked`, async () => {
      const { a, at } = pair()
      const kept = { items: [1] }
      at[to].serve("swap", (_, [given]) => {
        ;(given as { items: Array<number> }).items.push(2)
        return kept
      })
      const given = { items: [1] }
      const answer = await a.services.request(to, "swap", [given], MINUTE)
      ;(answer as { items: Array<number> }).items.push(3)
      assert.deepEqual([given, kept], [{ items: [1] }, { items: [1] }])
    })

    test(`${to}: fails with what the handler declares or throws of ours as it is, else it crashed`, async () => {
      const { a, at } = pair()
      const failing: Record<string, Serving> = {
        declared: () => Effect.fail({ _tag: "OutOfStock", sku: "x" }),
        ours: () => {
          throw new NoProcess("Counter/x")
        },
        later: () => Promise.reject(new NoProcess("Counter/y")),
        thrown: () => {
          throw new TypeError("no")
        },
        rejected: () => Promise.reject(new Error("nor this")),
        died: () => Effect.die(new Error("nor that")),
        odd: () => () => "not data",
      }
      for (const [name, handler] of Object.entries(failing)) at[to].serve(name, handler)
      const ask = (name: string) => a.services.request(to, name, [], MINUTE)
      const crash = { _tag: "HandlerCrashed", outcome: "executed" }
      await assert.rejects(ask("declared"), { _tag: "OutOfStock", sku: "x" })
      await assert.rejects(ask("ours"), { _tag: "NoProcess", process: "Counter/x" })
      await assert.rejects(ask("later"), { _tag: "NoProcess", process: "Counter/y" })
      await assert.rejects(ask("thrown"), { ...crash, process: "thrown", reason: "no" })
      await assert.rejects(ask("rejected"), { ...crash, reason: "nor this" })
      await assert.rejects(ask("died"), { ...crash, reason: "nor that" })
      await assert.rejects(ask("odd"), { _tag: "NotData", outcome: "executed" })
      assert.equal(at[to].count, 0)
    })

    test(`${to}: fails, not executed, when nobody serves it or its arguments are no data`, async () => {
      const { a, at } = pair()
      const expected = { _tag: "NoService", outcome: "not-executed", process: "x", node: to }
      await assert.rejects(a.services.request(to, "x", [], MINUTE), expected)
      at[to].serve("x", () => 1)
      assert.equal(await a.services.request(to, "x", [], MINUTE), 1)
      await assert.rejects(a.services.request(to, "x", [() => 1], MINUTE), {
        _tag: "NotData",
        outcome: "not-executed",
      })
      at[to].unserve("x")
      await assert.rejects(a.services.request(to, "x", [], MINUTE), expected)
      assert.equal(a.calls.count, 0)
    })

    test(`${to}: that times out or is aborted lets the handler know, and isn't answered`, async () => {
      const { a, at, time, frames } = pair()
      const ends: Array<string> = []
      const late = deferred<string>()
      at[to].serve("promise", ({ signal }) => {
        signal.addEventListener("abort", () => ends.push("aborted"))
        return late.promise
      })
      at[to].serve("effect", () =>
        Effect.onInterrupt(Effect.never, () => said(ends, "interrupted")),
      )
      const gone = new AbortController()
      const asks = [
        a.services.request(to, "promise", [], { timeout: 1_000 }),
        a.services.request(to, "effect", [], { timeout: 1_000 }),
        a.services.request(to, "promise", [], { timeout: 5_000, signal: gone.signal }),
        a.services.request(to, "effect", [], { timeout: 5_000, signal: gone.signal }),
      ]
      await time.turns()
      assert.equal(at[to].count, 4)
      time.advance(999)
      gone.abort()
      const tags = await Promise.all(asks.slice(2).map(failure))
      assert.deepEqual(tags, ["Aborted unknown", "Aborted unknown"])
      await time.turns()
      assert.deepEqual(ends.splice(0), ["aborted", "interrupted"])
      time.advance(1)
      assert.deepEqual(await Promise.all(asks.slice(0, 2).map(failure)), [
        "Timeout unknown",
        "Timeout unknown",
      ])
      await time.turns()
      assert.deepEqual(ends, ["aborted", "interrupted"])
      // Handlers that don't listen are at work until they end.
      assert.equal(at[to].count, 2)
      late.resolve("too late")
      await time.turns()
      assert.equal(at[to].count, 0)
      assert.deepEqual(frames.filter(isAnswer), [])
    })

    test(`${to}: is Overloaded beyond servingMax, and handlers that answer at once don't count`, async () => {
      const { a, at, time } = pair({ servingMax: 2 })
      const gates = [deferred<number>(), deferred<number>(), deferred<number>()]
      at[to].serve("wait", (_, [n]) => gates[Number(n)]?.promise)
      at[to].serve("now", (_, [n]) => n)
      const many = Array.from({ length: 100 }, (_, n) => a.services.request(to, "now", [n], MINUTE))
      assert.equal((await Promise.all(many)).length, 100)
      const asks = [0, 1].map((n) => a.services.request(to, "wait", [n], MINUTE))
      await time.turns()
      await assert.rejects(a.services.request(to, "wait", [2], MINUTE), {
        _tag: "Overloaded",
        outcome: "not-executed",
        limit: "servingMax",
        max: 2,
      })
      gates[0]?.resolve(10)
      assert.equal(await asks[0], 10)
      const third = a.services.request(to, "wait", [2], MINUTE)
      gates[1]?.resolve(11)
      gates[2]?.resolve(12)
      assert.deepEqual([await asks[1], await third], [11, 12])
    })

    test(`${to}: without an answer comes, and what becomes nothing of it is an event there`, async () => {
      const { a, at, time, events } = pair({ servingMax: 1 })
      const seen: Array<unknown> = []
      const gate = deferred<void>()
      at[to].serve("note", (_, [x]) => void seen.push(x))
      at[to].serve("crash", () => Promise.reject(new Error("no")))
      at[to].serve("wait", () => gate.promise)
      const given = ["x"]
      a.services.cast(to, "note", [given])
      given.push("y")
      a.services.cast(to, "crash", [])
      a.services.cast(to, "nothing", [])
      await time.turns()
      a.services.cast(to, "wait", [])
      a.services.cast(to, "wait", [])
      await time.turns()
      assert.deepEqual(seen, [["x"]])
      assert.deepEqual(events[to], [
        { _tag: "CastFailed", process: "nothing", reason: `nothing: node ${to} doesn't serve it` },
        {
          _tag: "CastFailed",
          process: "crash",
          reason: `crash: the request to ${to} crashed: no`,
        },
        { _tag: "Dropped", process: "wait", limit: "servingMax" },
      ])
      assert.throws(() => a.services.cast(to, "note", [() => 1]), { _tag: "NotData" })
      gate.resolve()
    })

    test(`${to}: fails with NodeStopped once this node has ended, and handlers at work are told`, async () => {
      const { a, at, end, time, events } = pair()
      const ends: Array<string> = []
      at[to].serve("wait", ({ signal }) => {
        signal.addEventListener("abort", () => ends.push("aborted"))
        return Effect.onInterrupt(Effect.never, () => said(ends, "interrupted"))
      })
      const ask = a.services.request(to, "wait", [], MINUTE)
      await time.turns()
      a.services.cast("a", "note", [])
      end("a")
      assert.equal(await failure(ask), "NodeStopped unknown")
      if (to === "b") end("b")
      await time.turns()
      // What was to come that moment doesn't.
      assert.deepEqual(events.a, [])
      assert.deepEqual(ends, ["aborted", "interrupted"])
      await assert.rejects(a.services.request(to, "wait", [], MINUTE), { _tag: "NodeStopped" })
      assert.throws(() => a.services.cast(to, "wait", []), { _tag: "NodeStopped" })
      assert.equal(at[to].count, 0)
    })
  }
})

describe("a request to another node", () => {
  test("that isn't connected is Unreachable", async () => {
    const { a } = pair()
    const expected = { _tag: "Unreachable", outcome: "not-executed", node: "c" }
    await assert.rejects(a.services.request("c", "x", [], MINUTE), expected)
    assert.throws(() => a.services.cast("c", "x", []), expected)
  })

  test("that is larger than a frame is TooLarge, both ways", async () => {
    const { a, at } = pair({ frameBytesMax: 1_000 })
    at.b.serve("size", (_, [bytes]) => (bytes as Uint8Array).length)
    at.b.serve("large", () => new Uint8Array(1_000))
    const args = [new Uint8Array(1_000)]
    await assert.rejects(a.services.request("b", "size", args, MINUTE), {
      _tag: "TooLarge",
      outcome: "not-executed",
    })
    await assert.rejects(a.services.request("b", "large", [], MINUTE), {
      _tag: "TooLarge",
      outcome: "executed",
    })
    assert.throws(() => a.services.cast("b", "size", args), { _tag: "TooLarge" })
    assert.equal(await a.services.request("b", "size", [new Uint8Array(900)], MINUTE), 900)
  })

  test("for which too much waits already is Overloaded", async () => {
    const { a, at } = pair({ queueBytesMax: 1_000 })
    at.b.serve("size", (_, [bytes]) => (bytes as Uint8Array).length)
    const first = a.services.request("b", "size", [new Uint8Array(2_000)], MINUTE)
    const expected = { _tag: "Overloaded", limit: "queueBytesMax", max: 1_000 }
    await assert.rejects(a.services.request("b", "size", [], MINUTE), expected)
    assert.equal(await first, 2_000)
    assert.equal(await a.services.request("b", "size", [new Uint8Array(1)], MINUTE), 1)
  })

  test("whose connection breaks is NodeDown, lets the handler know, and is never answered", async () => {
    const { a, at, time, frames, reconnect } = pair()
    const gate = deferred<string>()
    const broken = deferred<string>()
    const ends: Array<string> = []
    at.b.serve("wait", ({ signal }) => {
      signal.addEventListener("abort", () => ends.push("aborted"))
      return gate.promise
    })
    at.b.serve("fail", () => broken.promise)
    const asks = ["wait", "fail"].map((name) => a.services.request("b", name, [], MINUTE))
    await time.turns()
    reconnect()
    assert.deepEqual(await Promise.all(asks.map(failure)), ["NodeDown unknown", "NodeDown unknown"])
    await time.turns()
    assert.deepEqual(ends, ["aborted"])
    // Its number would be that of a request of who comes after it.
    gate.resolve("late")
    broken.reject(new Error("late"))
    await time.turns()
    assert.deepEqual(frames.filter(isAnswer), [])
    assert.equal(at.b.count, 0)
  })

  test("given up in the turn in which it was made isn't executed, to this node; else nobody knows", async () => {
    const { a, at, time } = pair()
    let served = 0
    for (const to of ["a", "b"] as const) at[to].serve("count", () => ++served)
    const gone = new AbortController()
    const { signal } = gone
    const here = a.services.request("a", "count", [], { ...MINUTE, signal })
    const there = a.services.request("b", "count", [], { ...MINUTE, signal })
    gone.abort()
    assert.equal(await failure(here), "Aborted not-executed")
    assert.equal(await failure(there), "Aborted unknown")
    await time.turns()
    assert.equal(served, 1)
    const again = a.services.request("b", "count", [], { ...MINUTE, signal })
    assert.equal(await failure(again), "Aborted not-executed")
  })

  test("is one of those that pendingMax bounds", async () => {
    const { a, at, time } = pair({ pendingMax: 2 })
    at.b.serve("wait", () => deferred<void>().promise)
    const asks = [1, 2].map(() => a.services.request("b", "wait", [], { timeout: 10 }))
    await assert.rejects(a.services.request("b", "wait", [], MINUTE), { limit: "pendingMax" })
    await time.turns()
    time.advance(10)
    assert.deepEqual(await Promise.all(asks.map(failure)), ["Timeout unknown", "Timeout unknown"])
  })
})

describe("what a peer sends", () => {
  test("a frame that can't be read is malformed, and a request that comes twice is served once", async () => {
    const { a, at, link } = pair()
    let served = 0
    at.a.serve("count", () => {
      served++
      return deferred<void>().promise
    })
    const request = Uint8Array.of(7, 5, 0x63, 0x6f, 0x75, 0x6e, 0x74, 0)
    assert.equal(a.services.receive(link, new Reader(request)), true)
    assert.equal(a.services.receive(link, new Reader(request)), true)
    assert.equal(served, 1)
    for (let end = 0; end < request.length; end++) {
      assert.equal(a.services.receive(link, new Reader(request, 0, end)), false)
    }
    assert.equal(a.services.receive(link, new Reader(Uint8Array.of(...request, 0))), false)
    assert.equal(a.services.abandoned(link, new Reader(Uint8Array.of())), false)
    assert.equal(a.services.abandoned(link, new Reader(Uint8Array.of(7, 0))), false)
    // Once it is answered its number means nothing.
    at.a.serve("again", () => {
      served++
    })
    const again = Uint8Array.of(8, 5, 0x61, 0x67, 0x61, 0x69, 0x6e, 0)
    assert.equal(a.services.receive(link, new Reader(again)), true)
    assert.equal(a.services.receive(link, new Reader(again)), true)
    assert.equal(served, 3)
    const long = new Writer()
    long.uint(9)
    long.string("x".repeat(Message.NAME_MAX + 1))
    long.uint(0)
    assert.equal(a.services.receive(link, new Reader(long.take())), false)
    // Nothing of that number is under way: it was answered at the same time.
    assert.equal(a.services.abandoned(link, new Reader(Uint8Array.of(9))), true)
    assert.equal(at.a.count, 1)
  })
})

/** The tag and the outcome of what it fails with. */
function failure(ask: Promise<unknown>): Promise<string> {
  return ask.then(
    () => "no failure",
    (error) => `${error._tag} ${error.outcome}`,
  )
}

/** Whether a frame is a reply or a failure. */
function isAnswer(frame: string): boolean {
  return frame.startsWith(`${Message.KIND.reply} `) || frame.startsWith(`${Message.KIND.failure} `)
}

function said(list: Array<string>, what: string): Effect.Effect<void> {
  return Effect.sync(() => void list.push(what))
}
