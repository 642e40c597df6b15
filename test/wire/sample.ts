/** Users' values to send, and ways to send them. */
import assert from "node:assert/strict"
import fc from "fast-check"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Value from "../../src/wire/value.ts"

const key = fc.oneof(
  fc.constantFrom(
    "a",
    "name",
    "kind",
    "__proto__",
    "constructor",
    "toString",
    "",
    "7",
    "2000",
    "-1",
  ),
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 20 }),
)
/** All kinds of numbers. */
export const number: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: -200, max: 200 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc.constantFrom(
    -0,
    2 ** 31,
    -(2 ** 31),
    2 ** 31 - 1,
    -(2 ** 31) - 1,
    2 ** 53,
    127,
    128,
    -32,
    -33,
  ),
)
const primitive = fc.oneof(
  fc.constantFrom(undefined, null, true, false),
  number,
  fc.string({ maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.bigInt(),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
)
const leaf = fc.oneof(
  { arbitrary: primitive, weight: 7 },
  { arbitrary: fc.date({ noInvalidDate: false }), weight: 1 },
  { arbitrary: fc.uint8Array({ maxLength: 40 }), weight: 1 },
  { arbitrary: fc.int16Array({ maxLength: 9 }), weight: 1 },
  { arbitrary: fc.float64Array({ maxLength: 9 }), weight: 1 },
  { arbitrary: fc.bigUint64Array({ maxLength: 9 }), weight: 1 },
)
/**
 * Values that come back equal, without errors. Keys of maps and items of sets are primitive, as
 * assertions don't find the counterpart of an object there reliably.
 */
export const data: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => {
  const inner = tie("value")
  return {
    value: fc.oneof(
      { maxDepth: 4, depthIdentifier: "value", withCrossShrink: true },
      leaf,
      fc.array(inner, { maxLength: 20, depthIdentifier: "value" }),
      fc.array(fc.tuple(key, inner), { maxLength: 20, depthIdentifier: "value" }).map(object),
      fc.array(fc.tuple(primitive, inner), { maxLength: 6 }).map((entries) => new Map(entries)),
      fc.array(primitive, { maxLength: 6 }).map((values) => new Set(values)),
    ),
  }
}).value

/** The bytes of a value. */
export function encoded(value: unknown): Uint8Array {
  const writer = new Writer(16)
  Value.write(writer, value)
  return writer.take()
}

/** The value, or undefined when the bytes aren't one. */
export function decoded(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes)
  const value = Value.read(reader)
  return reader.done() ? value : undefined
}

/** What comes back of a value. */
export function sent(value: unknown): unknown {
  const reader = new Reader(encoded(value))
  const result = Value.read(reader)
  assert.ok(reader.done())
  return result
}

/** An object with own properties of any name, the last of each winning. */
export function object(entries: ReadonlyArray<readonly [string, unknown]>): object {
  const result = {}
  for (const [name, value] of entries) {
    const own = { configurable: true, enumerable: true, writable: true }
    Object.defineProperty(result, name, { ...own, value })
  }
  return result
}

/** An array in an array in …, `depth` levels in all. */
export function nested(depth: number): unknown {
  let value: unknown = []
  for (let i = 1; i < depth; i++) value = [value]
  return value
}

/** Bytes as people read them. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
}
