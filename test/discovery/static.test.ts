import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { seeds } from "../../src/discovery/static.ts"
import { keep, machine } from "./fake.ts"

const SECOND = 1_000

describe("a fixed list", () => {
  test("is given at once, and nothing happens after that", () => {
    const { platform, timers } = machine()
    const context = keep(platform)
    seeds(["b:1", "c:1"], { periodMillis: 5 }).start(context)
    assert.deepEqual(context.lists, [["b:1", "c:1"]])
    assert.equal(timers(), 0)
  })
})

describe("a function that gives the list", () => {
  test("is asked once if no period is given", async () => {
    const { platform, advance, timers } = machine()
    const context = keep(platform)
    seeds(() => Promise.resolve(["b:1"])).start(context)
    await advance(0)
    assert.equal(timers(), 0, "nothing waits for it any more")
    await advance(1_000 * SECOND)
    assert.deepEqual(context.lists, [["b:1"]])
    assert.equal(timers(), 0)
  })

  test("is asked again about every period, never two nodes in step", async () => {
    const { platform, advance } = machine()
    const context = keep(platform)
    const asked: Array<number> = []
    const ask = (): ReadonlyArray<string> => {
      asked.push(platform.now())
      return [`b:${asked.length}`]
    }
    seeds(ask, { periodMillis: 8 * SECOND }).start(context)
    await advance(80 * SECOND)
    const gaps = asked.slice(1).map((at, i) => at - (asked[i] ?? 0))
    assert.ok(gaps.length >= 8)
    for (const gap of gaps) assert.ok(gap >= 6 * SECOND && gap <= 10 * SECOND, `${gap}`)
    assert.ok(new Set(gaps).size > gaps.length / 2)
    assert.deepEqual(
      context.lists,
      asked.map((_, i) => [`b:${i + 1}`]),
    )
  })

  test("that fails is reported each time and asked again, later and later; what it gave stays", async () => {
    const { platform, advance } = machine()
    const context = keep(platform)
    const asked: Array<number> = []
    let down = false
    const ask = (): ReadonlyArray<string> => {
      asked.push(platform.now())
      if (down) throw new Error("not now")
      return ["b:1"]
    }
    seeds(ask, { periodMillis: 60 * SECOND }).start(context)
    await advance(0)
    down = true
    await advance(400 * SECOND)
    assert.deepEqual(context.lists, [["b:1"]])
    assert.equal(context.failures.length, asked.length - 1)
    const gaps = asked.slice(2).map((at, i) => at - (asked[i + 1] ?? 0))
    const [first = 0, second = 0] = gaps
    assert.ok(first <= 1.25 * SECOND && second >= 1.5 * SECOND, gaps.join(" "))
    for (const gap of gaps.slice(6)) assert.ok(gap >= 22.5 * SECOND && gap <= 37.5 * SECOND)
    down = false
    await advance(40 * SECOND)
    assert.deepEqual(context.lists, [["b:1"], ["b:1"]])
  })

  test("that failed at first is asked until it has answered once", async () => {
    const { platform, advance, timers } = machine()
    const context = keep(platform)
    let left = 3
    const ask = async (): Promise<ReadonlyArray<string>> => {
      if (left-- > 0) throw new Error("not yet")
      return ["b:1"]
    }
    seeds(ask).start(context)
    await advance(60 * SECOND)
    assert.deepEqual(context.failures, ["not yet", "not yet", "not yet"])
    assert.deepEqual(context.lists, [["b:1"]])
    assert.equal(timers(), 0)
  })

  test("that never answers is given up, and asked again", async () => {
    const { platform, advance } = machine()
    const context = keep(platform)
    let asked = 0
    const ask = (): Promise<ReadonlyArray<string>> =>
      asked++ === 0 ? new Promise(() => {}) : Promise.resolve(["b:1"])
    seeds(ask).start(context)
    await advance(40 * SECOND)
    assert.deepEqual(context.failures, ["no answer within 30000 ms"])
    assert.deepEqual(context.lists, [["b:1"]])
  })

  test("is asked no more, and not heard, once the signal has aborted", async () => {
    const { platform, advance, timers } = machine()
    const context = keep(platform)
    let asked = 0
    let answer: (addresses: ReadonlyArray<string>) => void = () => {}
    const ask = (): Promise<ReadonlyArray<string>> => {
      asked++
      return new Promise((resolve) => {
        answer = resolve
      })
    }
    seeds(ask, { periodMillis: SECOND }).start(context)
    context.abort()
    answer(["b:1"])
    await advance(100 * SECOND)
    assert.equal(asked, 1)
    assert.deepEqual(context.lists, [])
    assert.equal(timers(), 0)
  })

  test("is refused a period that isn't one", () => {
    for (const periodMillis of [0, -1, Number.NaN]) {
      assert.throws(() => seeds(() => [], { periodMillis }), /^RangeError: periodMillis/)
    }
  })
})
