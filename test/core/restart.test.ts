import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Restart from "../../src/core/restart.ts"

const limit: Restart.Intensity = { max: 3, withinMillis: 1_000 }

describe("what becomes of a process that ended", () => {
  test("S31. temporary ends, transient is restarted after a crash only, permanent always", () => {
    const fates = (["temporary", "transient", "permanent"] as const).map((type) =>
      [false, true].map((crashed) => Restart.decide(type, crashed, [], 5, limit)._tag),
    )
    assert.deepEqual(fates, [
      ["Ended", "Ended"],
      ["Ended", "Again"],
      ["Again", "Again"],
    ])
  })

  test("a restart is noted in the history, and those out of the window are forgotten", () => {
    const decision = Restart.decide("permanent", true, [0, 500, 900], 1_400, limit)
    assert.deepEqual(decision, { _tag: "Again", history: [500, 900, 1_400] })
  })

  test("one restart more than the limit within its window ends it for good", () => {
    const decision = Restart.decide("permanent", false, [0, 100, 200], 999, limit)
    assert.deepEqual(decision, { _tag: "Exceeded", restarts: 3 })
    assert.equal(Restart.decide("permanent", false, [0, 100, 200], 1_000, limit)._tag, "Again")
  })

  test("a limit of none ends it at its first restart", () => {
    const none = { max: 0, withinMillis: 1_000 }
    assert.deepEqual(Restart.decide("transient", true, [], 0, none), {
      _tag: "Exceeded",
      restarts: 0,
    })
    assert.equal(Restart.decide("transient", false, [], 0, none)._tag, "Ended")
  })

  test("without a limit of its own it is five in ten seconds", () => {
    const history = [0, 1, 2, 3, 4]
    assert.equal(Restart.decide("permanent", true, history, 9_999)._tag, "Exceeded")
    assert.equal(Restart.decide("permanent", true, history.slice(1), 9_999)._tag, "Again")
  })
})

test("37. a crash loop ends at its limit, wherever it goes with its history", () => {
  const gaps = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(gaps, fc.integer({ min: 0, max: 4 }), (list, max) => {
      let now = 0
      let history: ReadonlyArray<number> = []
      const restarts: Array<number> = []
      for (const gap of list) {
        now += gap
        const decision = Restart.decide("permanent", true, history, now, { ...limit, max })
        const recent = restarts.filter((at) => now - at < limit.withinMillis).length
        // Never more than `max` in any window, and never less than what is allowed.
        assert.equal(decision._tag, recent < max ? "Again" : "Exceeded")
        if (decision._tag !== "Again") break
        restarts.push(now)
        // It moves: only the ages travel, and the other node has another clock.
        const ages = decision.history.map((at) => now - at)
        assert.ok(ages.length <= max)
        history = ages.map((age) => now - age)
      }
    }),
  )
})
