import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Clock, EPOCH_MILLIS } from "../../src/testing/world/clock.ts"

const SECOND = 1_000_000

describe("a clock", () => {
  test("goes as the world does when nothing is wrong with it", () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 50 }), (now) => {
        const clock = new Clock()
        assert.equal(clock.mono(now), now)
        assert.equal(clock.wall(now), now)
        assert.equal(clock.stretch(now), now)
      }),
    )
  })

  test("begins at a date in this century", () => {
    assert.equal(new Date(EPOCH_MILLIS).toISOString(), "2020-01-01T00:00:00.000Z")
  })

  test("has its wall clock set, forward and back, and its monotonic one left alone", () => {
    const clock = new Clock()
    clock.step(3 * SECOND, 60 * SECOND)
    assert.equal(clock.wall(4 * SECOND), 64 * SECOND)
    clock.step(5 * SECOND, -90 * SECOND)
    assert.equal(clock.wall(5 * SECOND), -25 * SECOND)
    assert.equal(clock.mono(5 * SECOND), 5 * SECOND)
  })

  test("drifts: both clocks run faster or slower, from then on and until it is taken back", () => {
    for (const ppm of [50_000, -50_000]) {
      const clock = new Clock()
      clock.drift(10 * SECOND, ppm)
      assert.equal(clock.mono(20 * SECOND), 20 * SECOND + 10 * ppm)
      assert.equal(clock.wall(20 * SECOND), 20 * SECOND + 10 * ppm)
      clock.drift(20 * SECOND, -ppm)
      assert.equal(clock.mono(30 * SECOND), 30 * SECOND + 10 * ppm)
    }
  })

  test("adds drifts up", () => {
    const clock = new Clock()
    clock.drift(0, 1_000)
    clock.drift(0, -300)
    assert.equal(clock.mono(10 * SECOND), 10 * SECOND + 7_000)
  })

  test("never goes backwards by itself, however slow", () => {
    const clock = new Clock()
    clock.drift(0, -3_000_000)
    assert.equal(clock.mono(1_000_000 * SECOND), SECOND)
    assert.equal(clock.stretch(SECOND), 1_000_000 * SECOND)
    clock.drift(1_000_000 * SECOND, 3_000_000)
    assert.equal(clock.mono(1_000_001 * SECOND), 2 * SECOND)
  })

  test("stretches what takes so long by itself to what that takes in the world", () => {
    const ppm = fc.integer({ min: -900_000, max: 1_000_000 })
    fc.assert(
      fc.property(ppm, fc.nat({ max: 3600 * SECOND }), fc.nat(), (drift, micros, since) => {
        const clock = new Clock()
        clock.drift(since, drift)
        const passed = clock.mono(since + clock.stretch(micros)) - clock.mono(since)
        // In whole microseconds of the world, of which a fast clock makes two.
        assert.ok(passed >= micros - 1 && passed <= micros + 2, `${passed} for ${micros}`)
      }),
    )
  })

  test("freezes its wall clock, which goes on from where it stood", () => {
    const clock = new Clock()
    clock.freeze(5 * SECOND, true)
    assert.equal(clock.wall(9 * SECOND), 5 * SECOND)
    assert.equal(clock.mono(9 * SECOND), 9 * SECOND)
    clock.freeze(9 * SECOND, false)
    assert.equal(clock.wall(10 * SECOND), 6 * SECOND)
  })

  test("stays frozen until the last of several freezes is over, and can be set meanwhile", () => {
    const clock = new Clock()
    clock.freeze(1 * SECOND, true)
    clock.freeze(2 * SECOND, true)
    clock.freeze(3 * SECOND, false)
    clock.step(4 * SECOND, 10 * SECOND)
    assert.equal(clock.wall(5 * SECOND), 11 * SECOND)
    clock.freeze(5 * SECOND, false)
    assert.equal(clock.wall(6 * SECOND), 12 * SECOND)
  })

  test("of a machine that sleeps: the monotonic one stands still, the wall clock goes on", () => {
    const clock = new Clock()
    clock.suspend(2 * SECOND, true)
    assert.equal(clock.mono(3602 * SECOND), 2 * SECOND)
    assert.equal(clock.wall(3602 * SECOND), 3602 * SECOND)
    clock.suspend(3602 * SECOND, false)
    assert.equal(clock.mono(3603 * SECOND), 3 * SECOND)
  })
})

type Change =
  | { readonly kind: "step" | "drift"; readonly by: number }
  | { readonly kind: "freeze" | "suspend"; readonly on: boolean }

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("step" as const, "drift" as const),
    by: fc.integer({ min: -100_000, max: 100_000 }),
  }),
  fc.record({ kind: fc.constantFrom("freeze" as const, "suspend" as const), on: fc.boolean() }),
)

describe("clocks to which anything happens", () => {
  const run = fc.array(fc.tuple(fc.nat({ max: 10 * SECOND }), change), { maxLength: 30 })

  test("show the sum of what passed between the changes", () => {
    fc.assert(
      fc.property(run, (changes) => {
        const clock = new Clock()
        let now = 0
        let [mono, wall, drift, frozen, suspended] = [0, 0, 0, 0, 0]
        for (const [after, { kind, ...how }] of changes) {
          const passed = (after * (1_000_000 + drift)) / 1_000_000
          now += after
          if (frozen === 0) wall += passed
          if (suspended === 0) mono += passed
          const near = (a: number, b: number): boolean => Math.abs(a - b) <= changes.length
          assert.ok(near(clock.mono(now), mono), `${clock.mono(now)} and not ${mono}`)
          assert.ok(near(clock.wall(now), wall), `${clock.wall(now)} and not ${wall}`)
          if ("by" in how && kind === "step") wall += how.by
          if ("by" in how && kind === "drift") drift += how.by
          // No more ends than beginnings.
          if ("on" in how && kind === "freeze" && (how.on || frozen > 0)) frozen += how.on ? 1 : -1
          else if ("on" in how && kind === "suspend" && (how.on || suspended > 0))
            suspended += how.on ? 1 : -1
          else if ("on" in how) continue
          if ("on" in how) clock[kind as "freeze"](now, how.on)
          else clock[kind as "step"](now, how.by)
        }
      }),
    )
  })

  test("have a monotonic clock that never goes back, in whole microseconds", () => {
    fc.assert(
      fc.property(run, (changes) => {
        const clock = new Clock()
        let [now, last] = [0, 0]
        for (const [after, { kind, ...how }] of changes) {
          now += after
          assert.ok(Number.isInteger(clock.mono(now)) && Number.isInteger(clock.wall(now)))
          assert.ok(clock.mono(now) >= last)
          last = clock.mono(now)
          if ("on" in how) clock[kind as "freeze"](now, true)
          else clock[kind as "step"](now, how.by)
          assert.equal(clock.mono(now), last)
        }
      }),
    )
  })
})
