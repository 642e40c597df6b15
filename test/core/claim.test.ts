import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Claim, Phase, Rank } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"

describe("merge", () => {
  test("1. Merge of claims is commutative, associative and idempotent", () => {
    fc.assert(
      fc.property(claims, claims, claims, (a, b, c) => {
        const { merge } = Claims
        assert.deepEqual(merge(a, b), merge(b, a))
        assert.deepEqual(merge(merge(a, b), c), merge(a, merge(b, c)))
        assert.deepEqual(merge(a, { ...a }), a)
        assert.deepEqual(merge(merge(a, b), b), merge(a, b))
      }),
      { numRuns: 2_000 },
    )
  })

  test("1. Any order and any repetition of the same claims end the same", () => {
    const several = fc.array(claims, { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(several, fc.array(fc.nat(100), { maxLength: 30 }), (all, picks) => {
        const shuffled = [...picks.map((i) => all[i % all.length] as Claim), ...all].reverse()
        assert.deepEqual(shuffled.reduce(Claims.merge), all.reduce(Claims.merge))
      }),
    )
  })

  test("2. A merge is never less than what went into it, and is valid again", () => {
    fc.assert(
      fc.property(claims, claims, (a, b) => {
        const both = Claims.merge(a, b)
        for (const one of [a, b]) {
          const order = Claims.compareVersions(both, one)
          assert.ok(order > 0 || (order === 0 && both.rank >= one.rank))
          assert.ok(!Claims.adds(one, both))
        }
        assert.ok(Claims.valid(both))
      }),
    )
  })

  test("is the first claim itself when the second adds nothing", () => {
    const suspect = claim({ rank: Claims.SUSPECT, accusers: ["a", "b"], hard: ["b"] })
    for (const less of [
      claim({}),
      claim({ rank: Claims.SUSPECT, accusers: ["b"] }),
      claim({ epoch: 1, incarnation: 9, rank: Claims.DEAD }),
      { ...suspect },
    ]) {
      assert.equal(Claims.merge(suspect, less), suspect)
      assert.equal(Claims.adds(less, suspect), false)
    }
    assert.equal(Claims.adds(claim({ accusers: ["c"] }), suspect), true)
  })

  test("counts epoch before incarnation before rank, and unites accusers of equal versions", () => {
    const dead = claim({ rank: Claims.DEAD, accusers: ["a"] })
    const refuted = claim({ incarnation: 3 })
    assert.equal(Claims.merge(dead, refuted), refuted)
    assert.equal(Claims.merge(refuted, claim({ epoch: 1, incarnation: 99 })), refuted)
    const more = Claims.merge(dead, claim({ rank: Claims.SUSPECT, accusers: ["b"], hard: ["b"] }))
    assert.deepEqual(more, { ...dead, accusers: ["a", "b"], hard: ["b"] })
  })

  test("is final once the member has left, in its epoch", () => {
    const left = claim({ rank: Claims.LEFT, incarnation: Claims.GONE })
    const late = claim({ incarnation: Claims.INCARNATION_MAX })
    assert.equal(Claims.merge(late, left), left)
    assert.equal(Claims.merge(left, late), left)
    const again = claim({ epoch: 3 })
    assert.equal(Claims.merge(left, again), again)
  })

  test("keeps no more accusers than the limit, the same ones in any order", () => {
    const names = Array.from({ length: 50 }, (_, i) => `n${i}`)
    const accusations = names.map((name) => claim({ rank: Claims.SUSPECT, accusers: [name] }))
    const all = accusations.reduce(Claims.merge)
    assert.equal(all.accusers.length, Claims.ACCUSERS_MAX)
    assert.deepEqual(accusations.reverse().reduce(Claims.merge), all)
    assert.ok(Claims.valid(all))
  })
})

describe("valid", () => {
  test("refuses whatever no node would say", () => {
    assert.ok(Claims.valid(claim({})))
    const wrong: ReadonlyArray<Partial<Record<keyof Claim, unknown>>> = [
      ...[{ name: "" }, { name: "a b" }, { name: "x".repeat(65) }, { name: 7 }],
      ...[{ epoch: 0 }, { epoch: -1 }, { epoch: 1.5 }, { epoch: Number.NaN }, { epoch: 2 ** 53 }],
      ...[{ incarnation: -1 }, { incarnation: Claims.GONE }, { incarnation: Number.NaN }],
      ...[{ rank: 4 }, { rank: -1 }, { rank: "0" }, { rank: Claims.LEFT, incarnation: 3 }],
      ...[{ accusers: ["b", "a"] }, { accusers: ["a", "a"] }, { accusers: [""] }, { accusers: 1 }],
      ...[{ hard: Array.from({ length: 33 }, (_, i) => `n${i + 10}`) }, { hard: null }],
      ...[{ phase: "gone" }, { address: 5 }, { address: "x".repeat(513) }],
      ...[{ instance: -1 }, { instance: 2 ** 32 }, { weight: 65 }, { weight: 0.5 }],
      ...[{ hosts: [1] }, { hosts: null }, { hosts: Array.from({ length: 257 }, () => "h") }],
      ...[{ roles: [1] }, { roles: "web" }, { roles: Array.from({ length: 257 }, () => "r") }],
    ]
    for (const part of wrong) {
      assert.equal(Claims.valid({ ...claim({}), ...part } as Claim), false, JSON.stringify(part))
    }
    for (const none of [null, undefined, 1, "claim"]) {
      assert.equal(Claims.valid(none as unknown as Claim), false)
    }
  })
})

describe("hash", () => {
  test("tells names, epochs, incarnations, ranks and phases apart, and nothing else", () => {
    const base = claim({})
    const others: ReadonlyArray<Partial<Claim>> = [
      { name: "y" },
      { epoch: 3 },
      { epoch: 2 + 2 ** 32 },
      { incarnation: 3 },
      { incarnation: 2 + 2 ** 32 },
      { rank: Claims.SUSPECT },
      { phase: "leaving" },
    ]
    for (const part of others) assert.notEqual(Claims.hash({ ...base, ...part }), Claims.hash(base))
    assert.equal(
      Claims.hash({ ...base, accusers: ["a"], address: "b", roles: [], hosts: [] }),
      Claims.hash(base),
    )
    assert.equal(Claims.hash(base), 226_417_154)
  })
})

function claim(part: Partial<Claim>): Claim {
  return {
    name: "x",
    epoch: 2,
    incarnation: 2,
    rank: Claims.ALIVE,
    accusers: [],
    hard: [],
    phase: "up",
    address: "host:1",
    instance: 7,
    weight: 1,
    roles: ["web"],
    hosts: [""],
    ...part,
  }
}

const names = fc.constantFrom("a", "b", "c", "d", "e")
const accusers = fc.uniqueArray(names).map((some) => some.sort())
/** Of two names and few versions, so that they meet; payloads contradict each other. */
const claims: fc.Arbitrary<Claim> = fc
  .record(
    {
      name: fc.constantFrom("x", "y"),
      epoch: fc.integer({ min: 1, max: 2 }),
      incarnation: fc.integer({ min: 0, max: 1 }),
      rank: fc.constantFrom<Rank>(0, 1, 2, 3),
      accusers,
      hard: accusers,
      phase: fc.constantFrom<Phase>("joining", "up", "leaving"),
      address: fc.constantFrom("", "host:1"),
      instance: fc.integer({ min: 0, max: 1 }),
      weight: fc.integer({ min: 0, max: 1 }),
      roles: fc.array(fc.constantFrom("web", "db"), { maxLength: 2 }),
      hosts: fc.array(fc.constantFrom("", "db"), { maxLength: 2 }),
    },
    { noNullPrototype: true },
  )
  .map((one) => (one.rank === Claims.LEFT ? { ...one, incarnation: Claims.GONE } : one))
