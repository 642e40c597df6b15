import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Chance from "../../src/testing/world/chance.ts"

const uint32: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffff_ffff })
const LATENCY = Chance.purpose("latency")
const LOSS = Chance.purpose("loss")

type Key = readonly [seed: number, what: number, a: number, b: number, n: number]
const key: fc.Arbitrary<Key> = fc.tuple(uint32, uint32, uint32, uint32, uint32)

describe("draw", () => {
  test("gives the same numbers on every runtime", () => {
    // Whoever saved a seed relies on them.
    assert.equal(LATENCY, 2_416_074_988)
    assert.equal(Chance.draw(0, 0, 0, 0, 0), 1_931_486_264)
    assert.equal(Chance.draw(1, LATENCY, 0, 1, 1), 2_485_646_938)
    assert.equal(Chance.draw(0xffff_ffff, LOSS, 65_535, 3, 2 ** 31), 2_900_371_911)
  })

  test("depends on the seed, the purpose, both ends and the number, on each alone", () => {
    fc.assert(
      fc.property(key, fc.nat({ max: 4 }), uint32, (one, at, value) => {
        fc.pre(one[at] !== value)
        const other = one.with(at, value) as unknown as Key
        assert.notEqual(Chance.draw(...one), Chance.draw(...other))
      }),
    )
  })

  test("is a uint32 that depends on nothing that was drawn before", () => {
    fc.assert(
      fc.property(key, fc.array(key), (one, others) => {
        const drawn = Chance.draw(...one)
        for (const other of others) Chance.draw(...other)
        assert.equal(Chance.draw(...one), drawn)
        assert.ok(Number.isInteger(drawn) && drawn >= 0 && drawn <= 0xffff_ffff)
      }),
    )
  })
})

/** How many of so many numbered chances fulfil this. */
function count(of: number, f: (n: number) => boolean): number {
  let hits = 0
  for (let n = 0; n < of; n++) if (f(n)) hits++
  return hits
}

describe("below", () => {
  test("gives integers from 0 to below the bound, all alike often", () => {
    for (const bound of [2, 7, 601]) {
      const counts = new Array<number>(bound).fill(0)
      for (let n = 0; n < 200 * bound; n++) counts[Chance.below(5, LATENCY, 1, 2, n, bound)]!++
      assert.equal(
        counts.reduce((sum, many) => sum + many),
        200 * bound,
      )
      // Six standard deviations: a fair die of 601 sides stays within five.
      for (const many of counts) assert.ok(Math.abs(many - 200) < 85, `${many} of 200`)
    }
  })

  test("gives 0 where there is nothing to choose", () => {
    fc.assert(
      fc.property(key, fc.integer({ max: 1 }), (one, bound) => {
        assert.equal(Chance.below(...one, bound), 0)
      }),
    )
  })
})

describe("happens", () => {
  test("happens in so many of a million", () => {
    for (const ppm of [1_000, 100_000, 300_000, 999_000]) {
      const hits = count(100_000, (n) => Chance.happens(9, LOSS, 0, 1, n, ppm))
      assert.ok(Math.abs(hits - ppm / 10) < 6 * Math.sqrt(ppm / 10), `${hits} at ${ppm} ppm`)
    }
  })

  test("never happens at 0, and always at a million", () => {
    fc.assert(
      fc.property(key, (one) => {
        assert.equal(Chance.happens(...one, 0), false)
        assert.equal(Chance.happens(...one, -1), false)
        assert.equal(Chance.happens(...one, 1_000_000), true)
      }),
    )
  })

  test("happens also with a higher chance, if it does with a lower one", () => {
    fc.assert(
      fc.property(key, fc.nat({ max: 1_000_000 }), fc.nat({ max: 1_000_000 }), (one, ppm, more) => {
        if (Chance.happens(...one, ppm)) assert.ok(Chance.happens(...one, ppm + more))
      }),
    )
  })

  test("of two purposes, neighbours in number, or two links, one says nothing of the other", () => {
    const half = (what: number, a: number, n: number): boolean =>
      Chance.happens(3, what, a, 2, n, 500_000)
    const pairs: ReadonlyArray<(n: number) => boolean> = [
      (n) => half(LATENCY, 1, n) === half(LOSS, 1, n),
      (n) => half(LOSS, 1, n) === half(LOSS + 1, 1, n),
      (n) => half(LOSS, 1, n) === half(LOSS, 1, n + 1),
      (n) => half(LOSS, 1, n) === half(LOSS, 2, n),
    ]
    for (const alike of pairs) {
      const hits = count(10_000, alike)
      assert.ok(Math.abs(hits - 5_000) < 300, `alike ${hits} times of 10,000`)
    }
  })
})
