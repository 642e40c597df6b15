import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { avalanche, hash32, mix32, splitmix } from "../../src/core/hash.ts"

const uint32: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffffffff })

describe("hash32", () => {
  // Computed once by another implementation in another language. They may never change.
  const golden: ReadonlyArray<readonly [string, number]> = [
    ["", 0],
    ["a", 2187226500],
    ["a\0", 3406810614],
    ["ab", 1519083289],
    ["ba", 3075132999],
    ["abc", 360576676],
    ["node-1", 2584920956],
    ["node-10", 2967967318],
    ["process/order-0000007919", 3180390220],
    ["Ω", 407117571],
    ["\u00e9", 1397823950],
    ["e\u0301", 1598405655],
    ["日本語", 1731522319],
    ["🦊", 3520154150],
    ["\ud83e", 2446446968],
    ["\udd8a\ud83e", 870504082],
    ["\uffff\uffff", 639390167],
    ["x".repeat(1000), 1523655098],
  ]

  test("gives the golden vectors on every runtime", () => {
    for (const [text, hash] of golden) assert.equal(hash32(text), hash, JSON.stringify(text))
  })

  test("hashes a text the same however the engine stores it", () => {
    const wide = `日${"node-1"}`.slice(1)
    const rope = ["no", "de", "-1"].reduce((text, part) => text + part, "")
    assert.equal(hash32(wide), hash32("node-1"))
    assert.equal(hash32(rope), hash32("node-1"))
  })

  test("is a uint32 that depends on every code unit", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), fc.nat(), uint32, (text, at, by) => {
        const index = at % text.length
        const unit = String.fromCharCode(text.charCodeAt(index) ^ (1 + (by % 65535)))
        const other = text.slice(0, index) + unit + text.slice(index + 1)
        const hash = hash32(text)
        assert.ok(Number.isInteger(hash) && hash >= 0 && hash <= 0xffffffff)
        assert.notEqual(hash, hash32(other))
      }),
    )
  })

  test("spreads names that differ little evenly over the slots, colliding as chance would", () => {
    const families: ReadonlyArray<(i: number) => string> = [
      (i) => `user:${i}`,
      (i) => `process/order-${String(i * 10).padStart(10, "0")}`,
      (i) => i.toString(2).replaceAll("0", "a").replaceAll("1", "b"),
      (i) => String.fromCharCode(0x4e00 + (i % 512), 0x4e00 + Math.floor(i / 512)),
      (i) => `${i % 443}/${Math.floor(i / 443)}`,
    ]
    const count = 196608
    for (const [family, name] of families.entries()) {
      const slots = new Uint32Array(131072)
      const seen = new Set<number>()
      for (let i = 0; i < count; i++) {
        const hash = hash32(name(i))
        seen.add(hash)
        slots[hash >>> 15]! += 1
      }
      const mean = count / slots.length
      const chi = slots.reduce((sum, load) => sum + (load - mean) ** 2 / mean, 0)
      const deviation = Math.sqrt(2 * slots.length)
      assert.ok(Math.abs(chi - slots.length) < 4 * deviation, `family ${family}: ${chi}`)
      // 4.5 colliding pairs are expected.
      assert.ok(count - seen.size <= 15, `family ${family}: ${count - seen.size} collisions`)
    }
  })
})

describe("mix32", () => {
  test("gives the golden vectors on every runtime", () => {
    const golden: ReadonlyArray<readonly [number, number, number]> = [
      [0, 0, 340428713],
      [0, 1, 598639744],
      [1, 0, 380648332],
      [0xffffffff, 0xffffffff, 1380568112],
      [1, 0xffffffff, 650185972],
      [0x9e3779b9, 0x61c88647, 2071199847],
      [12345, 67890, 472748288],
    ]
    for (const [a, b, hash] of golden) assert.equal(mix32(a, b), hash, `${a}, ${b}`)
  })

  test("never collides under a common argument, and is not symmetric", () => {
    fc.assert(
      fc.property(uint32, uint32, uint32, (common, a, b) => {
        fc.pre(a !== b)
        assert.notEqual(mix32(common, a), mix32(common, b))
        assert.notEqual(mix32(a, common), mix32(b, common))
      }),
    )
    assert.notEqual(mix32(1, 2), mix32(2, 1))
  })
})

describe("avalanche", () => {
  test("gives the golden vectors on every runtime", () => {
    const golden: ReadonlyArray<readonly [number, number]> = [
      [0, 0],
      [1, 2261973619],
      [2, 229111015],
      [0x80000000, 3770504306],
      [0xffffffff, 2578835075],
    ]
    for (const [value, hash] of golden) assert.equal(avalanche(value), hash, String(value))
  })

  test("flips every output bit with every input bit about half of the time", () => {
    const rounds = 4096
    for (let bit = 0; bit < 32; bit++) {
      const flips = new Uint32Array(32)
      for (let i = 0; i < rounds; i++) {
        const change = avalanche(i) ^ avalanche(i ^ (1 << bit))
        for (let out = 0; out < 32; out++) flips[out]! += (change >>> out) & 1
      }
      for (const [out, count] of flips.entries()) {
        assert.ok(Math.abs(count / rounds - 0.5) < 0.1, `bit ${bit} to ${out}: ${count / rounds}`)
      }
    }
  })
})

describe("splitmix", () => {
  test("gives the golden sequence on every runtime", () => {
    const golden = [1684164658, 3653269916, 2939563536, 2141751570, 3295091513]
    let seed = 0
    for (const value of golden) {
      seed = splitmix(seed)
      assert.equal(seed, value)
    }
  })

  test("steps a counter of full period, so that no seed starts a short cycle", () => {
    fc.assert(
      fc.property(uint32, fc.integer({ min: 1, max: 50 }), (counter, steps) => {
        let seed = avalanche(counter)
        for (let i = 1; i <= steps; i++) {
          seed = splitmix(seed)
          // An odd step visits all 2^32 counters, and the avalanche maps each to a value of its own.
          assert.equal(seed, avalanche((counter + i * 0x9e3779b9) % 2 ** 32))
        }
      }),
    )
  })
})
