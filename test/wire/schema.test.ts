import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import type { Codec, Type } from "../../src/wire/schema.ts"
import * as Schema from "../../src/wire/schema.ts"

const { array, bool, bytes, f64, oneOf, optional, string, struct, u8, u32, uint, union } = Schema

const item = struct({ name: string(20), kind: oneOf("a", "b", "c"), weight: u8 })
const message = union({
  Numbers: struct({ u8, u32, uint, f64, bool }),
  Items: struct({ items: array(item, 8), note: optional(string(10)), blob: bytes(16) }),
  Nested: struct({ table: array(array(uint, 4), 4), maybe: optional(item) }),
  Empty: struct({}),
})

type Message = Type<typeof message>

const plain = { noNullPrototype: true }
const items = fc.record(
  {
    name: fc.string({ maxLength: 20 }),
    kind: fc.constantFrom("a" as const, "b" as const, "c" as const),
    weight: fc.nat(255),
  },
  plain,
)
const messages: fc.Arbitrary<Message> = fc.oneof(
  fc.record(
    {
      _tag: fc.constant("Numbers" as const),
      u8: fc.nat(255),
      u32: fc.nat(0xffffffff),
      uint: fc.maxSafeNat(),
      f64: fc.double(),
      bool: fc.boolean(),
    },
    plain,
  ),
  fc.record(
    {
      _tag: fc.constant("Items" as const),
      items: fc.array(items, { maxLength: 8 }),
      note: fc.option(fc.string({ maxLength: 10 }), { nil: undefined }),
      blob: fc.uint8Array({ maxLength: 16 }),
    },
    plain,
  ),
  fc.record(
    {
      _tag: fc.constant("Nested" as const),
      table: fc.array(fc.array(fc.maxSafeNat(), { maxLength: 4 }), { maxLength: 4 }),
      maybe: fc.option(items, { nil: undefined }),
    },
    plain,
  ),
  fc.constant({ _tag: "Empty" as const }),
)

describe("codecs", () => {
  test("decode what they encoded, and nothing that is longer or shorter", () => {
    fc.assert(
      fc.property(messages, fc.nat(255), (value, more) => {
        const encoded = Schema.encode(message, value)
        assert.deepEqual(Schema.decode(message, encoded), value)
        assert.equal(Schema.decode(message, new Uint8Array([...encoded, more])), undefined)
        assert.equal(Schema.decode(message, encoded.slice(0, -1)), undefined)
      }),
    )
  })

  test("take any bytes without a throw, and what they accept can be written again", () => {
    const broken = fc.tuple(messages, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
      const encoded = Schema.encode(message, value)
      encoded[at % encoded.length] = byte
      return encoded
    })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), broken), (encoded) => {
        const value = Schema.decode(message, encoded)
        if (value === undefined) return
        // Not the same bytes: there are many NaNs.
        const again = Schema.encode(message, value)
        assert.equal(again.length, encoded.length)
        assert.deepEqual(Schema.decode(message, again), value)
      }),
      { numRuns: 1000 },
    )
  })

  test("write fields in the order given, and nothing but their values", () => {
    const encoded = Schema.encode(message, {
      _tag: "Items",
      items: [{ weight: 5, kind: "c", name: "x" }],
      note: undefined,
      blob: new Uint8Array([9]),
    })
    assert.deepEqual([...encoded], [1, 1, 1, 120, 2, 5, 0, 1, 9])
  })

  test("give objects whose keys are in the order of the fields, after the tag", () => {
    const value = Schema.decode(message, new Uint8Array([1, 0, 0, 0]))
    assert.deepEqual(Object.keys(value ?? {}), ["_tag", "items", "note", "blob"])
  })

  test("infer types that tell variants apart by tag", () => {
    const value: Message = { _tag: "Items", items: [], note: undefined, blob: new Uint8Array(0) }
    const weights: ReadonlyArray<number> = value.items.map(({ weight }) => weight)
    assert.deepEqual(weights, [])
    // @ts-expect-error: there is no such kind
    assert.throws(() => Schema.encode(item, { name: "", kind: "d", weight: 1 }), /BUG/)
    // @ts-expect-error: a field is missing
    const short: Message = { _tag: "Items", items: [], blob: new Uint8Array(0) }
    assert.ok(short)
  })
})

describe("bounds", () => {
  const cases: ReadonlyArray<
    readonly [name: string, narrow: Codec<unknown>, wide: Codec<unknown>, value: unknown]
  > = [
    ["a string", string(3), string(9), "four"],
    ["a string with few units of many bytes", string(3), string(9), "€€€€"],
    ["bytes", bytes(3), bytes(9), new Uint8Array(4)],
    ["an array", array(u8, 3), array(u8, 9), [1, 2, 3, 4]],
    ["a choice", oneOf("a", "b"), oneOf("a", "b", "c"), "c"],
    ["a tag", union({ A: struct({}) }), union({ A: struct({}), B: struct({}) }), { _tag: "B" }],
  ]

  test("are the same for writing, which throws, and for reading, which fails", () => {
    for (const [name, narrow, wide, value] of cases) {
      assert.throws(() => Schema.encode(narrow, value), /BUG/, name)
      const encoded = Schema.encode(wide, value)
      assert.deepEqual(Schema.decode(wide, encoded), value, name)
      assert.equal(Schema.decode(narrow, encoded), undefined, name)
    }
  })

  test("hold for numbers", () => {
    for (const value of [-1, 256, 0.5, Number.NaN]) {
      assert.throws(() => Schema.encode(u8, value), /BUG/)
    }
    for (const value of [-1, 2 ** 32, 0.5]) assert.throws(() => Schema.encode(u32, value), /BUG/)
  })

  test("keep a length that nothing follows from making anything", () => {
    const writer = new Writer()
    writer.uint(1_000_000)
    const reader = new Reader(writer.view())
    let reads = 0
    const counted: Codec<number> = {
      write: () => undefined,
      read: () => reads++,
    }
    array(counted, 1_000_000).read(reader)
    assert.ok(reader.failed)
    assert.equal(reads, 0)
  })

  test("refuse to write arrays of items that take no bytes, as they couldn't be read", () => {
    assert.throws(() => Schema.encode(array(struct({}), 5), [{}, {}]), /BUG/)
  })

  test("refuse unions and choices of nothing, of too much, and of the same twice", () => {
    assert.throws(() => oneOf(), /BUG/)
    assert.throws(() => oneOf("a", "a"), /BUG/)
    assert.throws(() => oneOf(...Array.from({ length: 257 }, (_, i) => `${i}`)), /BUG/)
    assert.throws(() => union({}), /BUG/)
  })
})

describe("extensible", () => {
  const old = struct({ body: Schema.extensible(struct({ a: uint })), next: uint })
  const young = struct({
    body: Schema.extensible(
      struct({ a: uint, b: Schema.trailing(string(9), "none"), c: Schema.trailing(uint, 7) }),
    ),
    next: uint,
  })

  test("lets an older reader skip fields that it doesn't know", () => {
    const encoded = Schema.encode(young, { body: { a: 1, b: "x", c: 2 }, next: 3 })
    assert.deepEqual(Schema.decode(young, encoded), { body: { a: 1, b: "x", c: 2 }, next: 3 })
    assert.deepEqual(Schema.decode(old, encoded), { body: { a: 1 }, next: 3 })
  })

  test("lets a younger reader assume fields that weren't sent", () => {
    const encoded = Schema.encode(old, { body: { a: 1 }, next: 3 })
    assert.deepEqual(Schema.decode(young, encoded), { body: { a: 1, b: "none", c: 7 }, next: 3 })
  })

  test("fails when a field goes beyond its end, or its end beyond that of the message", () => {
    assert.equal(Schema.decode(old, new Uint8Array([1, 0, 0, 0, 0x80, 1, 3])), undefined)
    assert.equal(Schema.decode(old, new Uint8Array([9, 0, 0, 0, 1, 3])), undefined)
    assert.equal(Schema.decode(old, new Uint8Array([0, 0, 0, 0, 3])), undefined)
  })
})
