import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Value from "../../src/wire/value.ts"
import { data, decoded, encoded, nested, sent } from "./sample.ts"

describe("Unserializable", () => {
  class Account {
    balance = 1
  }
  const cycle: { [key: string]: unknown } = { ok: 1 }
  cycle.self = { list: [0, cycle] }
  const map = new Map<unknown, unknown>([["a", 1]])
  map.set("b", map)
  const cases: ReadonlyArray<readonly [value: unknown, path: string, kind: string]> = [
    [() => 1, "value", "function"],
    [Symbol("s"), "value", "symbol"],
    [{ a: [1, { "b c": Account }] }, 'value.a[1]["b c"]', "function"],
    [{ account: new Account() }, "value.account", "Account"],
    [[new Promise(() => undefined)], "value[0]", "Promise"],
    [new Map([[1, /x/]]), "value[value 0]", "RegExp"],
    [new Map([[Symbol.iterator, 1]]), "value[key 0]", "symbol"],
    [new Set([1, new WeakMap()]), "value[1]", "WeakMap"],
    [Object.assign(new Error("x"), { f: () => 1 }), "value.f", "function"],
    [new (class Deep extends Map {})(), "value", "Deep"],
    [new (class List extends Array {})(), "value", "List"],
    [Object.create({ inherited: 1 }), "value", "Object"],
    [new SharedArrayBuffer(1), "value", "SharedArrayBuffer"],
    [cycle, "value.self.list[1]", "cycle"],
    [map, "value[value 1]", "cycle"],
    [[nested(100)], `value${"[0]".repeat(100)}`, "depth"],
    [2n ** BigInt(8 * 65_536), "value", "bigint"],
  ]

  test("says where in the value what was found, and nothing is written", () => {
    for (const [value, path, kind] of cases) {
      const writer = new Writer(16)
      writer.string("before")
      for (const attempt of [() => Value.write(writer, value), () => Value.copy(value)]) {
        assert.throws(attempt, (error) => {
          assert.ok(error instanceof Value.Unserializable)
          assert.deepEqual([error._tag, error.path, error.kind], ["Unserializable", path, kind])
          return true
        })
      }
      assert.equal(writer.length, 7)
    }
  })

  test("has a message that people understand", () => {
    assert.throws(() => Value.copy({ f: () => 1 }), {
      message: "value.f can't be sent: it is a function",
    })
    assert.throws(() => Value.copy(cycle), {
      message: "value.self.list[1] can't be sent: it contains itself",
    })
  })

  test("isn't thrown for what is as deep as is allowed", () => {
    assert.deepEqual(sent(nested(100)), nested(100))
    assert.deepEqual(Value.copy(nested(100)), nested(100))
  })

  test("is thrown for what changes while it is written", () => {
    const map = new Map<unknown, unknown>([["a", 1]])
    const grow = {
      get grow() {
        if (map.size < 4) map.set("c", 1)
        return 1
      },
    }
    map.set("b", grow)
    const writer = new Writer()
    assert.throws(() => Value.write(writer, map), Value.Unserializable)
    assert.equal(writer.length, 0)
  })

  test("leaves what getters throw as it is, and nothing is written", () => {
    const writer = new Writer()
    const value = {
      a: 1,
      get b() {
        throw new TypeError("mine")
      },
    }
    assert.throws(() => Value.write(writer, value), TypeError)
    assert.equal(writer.length, 0)
  })
})

describe("read", () => {
  test("takes any bytes without a throw, and makes no more than there are bytes", () => {
    const byte = fc.oneof(fc.nat(255), fc.integer({ min: 0xa0, max: 0xd0 }), fc.nat(3))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 200 }), (bytes) => {
        const reader = new Reader(new Uint8Array(bytes))
        assert.ok(size(Value.read(reader)) <= bytes.length + 1)
      }),
      { numRuns: 3000 },
    )
  })

  test("finds what was cut off, and takes flipped bits for another value or none", () => {
    fc.assert(
      fc.property(data, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
        const bytes = encoded(value)
        assert.equal(decoded(bytes.slice(0, at % bytes.length)), undefined)
        bytes[at % bytes.length]! ^= flip
        const reader = new Reader(bytes)
        const other = Value.read(reader)
        assert.ok(size(other) <= bytes.length + 1)
        if (reader.failed) return
        // Not the values, as equality of sets of objects isn't something to rely on.
        assert.deepEqual(encoded(sent(other)), encoded(other))
      }),
    )
  })

  test("makes nothing for lengths that promise more than there is", () => {
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]
    for (const tag of [0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xce, 0xcf]) {
      const reader = new Reader(new Uint8Array([tag, ...huge, 1, 1, 1]))
      assert.ok(size(Value.read(reader)) <= 1)
      assert.ok(reader.failed)
    }
    // Arrays in arrays that each promise as many items as there are bytes left.
    const levels = 60
    const nest = new Uint8Array(4 * levels + 100_000)
    for (let i = 0; i < levels; i++) {
      const left = nest.length - 4 * (i + 1)
      nest.set([0xc8, (left & 0x7f) | 0x80, ((left >> 7) & 0x7f) | 0x80, left >> 14], 4 * i)
    }
    const reader = new Reader(nest)
    assert.ok(size(Value.read(reader)) <= nest.length)
    assert.ok(reader.failed)
  })

  test("fails at what is deeper than could have been written", () => {
    const deep = new Uint8Array(1_000_000).fill(0xb1)
    const reader = new Reader(deep)
    Value.read(reader)
    assert.ok(reader.failed)
    assert.equal(decoded(new Uint8Array([...deep.slice(0, 101), 0])), undefined)
    assert.notEqual(decoded(new Uint8Array([...deep.slice(0, 100), 0])), undefined)
  })

  test("fails at unknown tags, views of unknown kinds or odd sizes, and too large bigints", () => {
    for (const bytes of [[0xd0], [0xdf], [0xcd, 0xff, 0x00], [0xcd, 12, 3, 1, 2, 3]]) {
      const reader = new Reader(new Uint8Array(bytes))
      Value.read(reader)
      assert.ok(reader.failed, `${bytes}`)
    }
    const bigint = new Writer()
    bigint.u8(0xce)
    bigint.bytes(new Uint8Array(65_537).fill(1))
    assert.equal(decoded(bigint.take()), undefined)
  })
})

/** How many things there are in a value, counting all that an array has room for. */
function size(value: unknown): number {
  if (typeof value === "string") return Math.max(1, value.length)
  if (typeof value !== "object" || value === null) return 1
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return 1 + value.byteLength
  const inner =
    value instanceof Map
      ? [...value].flat(1)
      : value instanceof Set
        ? [...value]
        : Object.entries(value).flat(1)
  const length = Array.isArray(value) ? value.length : 0
  let sum = 1
  for (const part of Array.isArray(value) ? value : inner) sum += size(part)
  return Math.max(sum, length)
}
