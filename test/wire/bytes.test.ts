import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Reader, Writer } from "../../src/wire/bytes.ts"

const uint = fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER))
const int = fc.oneof(
  fc.integer({ min: -100, max: 100 }),
  fc.maxSafeInteger(),
  fc.constantFrom(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
)
/** Any sequence of code units, so with lone surrogates as well. */
const units = fc
  .array(fc.oneof(fc.nat(0x7f), fc.nat(0xffff), fc.integer({ min: 0xd7ff, max: 0xe000 })), {
    maxLength: 60,
  })
  .map((codes) => String.fromCharCode(...codes))
const text = fc.oneof(units, fc.string({ unit: "binary", maxLength: 90 }), fc.string())
const raw = fc.uint8Array({ maxLength: 100 })

/** A kind of field: how a value of it is written and read. */
const fields = [
  field(fc.nat(0xff), "u8"),
  field(fc.nat(0xffff), "u16"),
  field(fc.nat(0xffffffff), "u32"),
  field(fc.double(), "f64"),
  field(uint, "uint"),
  field(int, "int"),
  field(fc.boolean(), "bool"),
  field(text, "string"),
  field(raw, "bytes"),
]

describe("Reader", () => {
  test("reads back any sequence of fields that Writer wrote", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...fields)), fc.nat(40), (sequence, initial) => {
        const writer = new Writer(initial)
        for (const { write } of sequence) write(writer)
        const reader = new Reader(writer.view())
        for (const { read, value } of sequence) assert.deepEqual(read(reader), value)
        assert.ok(reader.done())
      }),
    )
  })

  test("fails at whatever is cut off, and stays failed", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...fields), { minLength: 1 }), fc.nat(), (sequence, cut) => {
        const writer = new Writer()
        for (const { write } of sequence) write(writer)
        const bytes = writer.take()
        const reader = new Reader(bytes, 0, cut % bytes.length)
        for (const { read } of sequence) read(reader)
        assert.ok(reader.failed)
        assert.deepEqual(
          [reader.u8(), reader.u16(), reader.u32(), reader.uint(), reader.int(), reader.f64()],
          [0, 0, 0, 0, 0, 0],
        )
        assert.deepEqual(
          [reader.bool(), reader.string(), reader.word(), reader.bytes()],
          [false, "", "", new Uint8Array(0)],
        )
        assert.ok(reader.failed && !reader.done())
      }),
    )
  })

  test("reads any bytes as anything without a throw, and never beyond the end", () => {
    const kinds = fc.array(
      fc.constantFrom("u8", "u16", "u32", "f64", "uint", "int", "bool", "string", "word", "bytes"),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), kinds, fc.nat(), (bytes, plan, cut) => {
        const end = cut % (bytes.length + 1)
        const reader = new Reader(bytes, 0, end)
        for (const kind of plan) reader[kind]()
        assert.ok(reader.position <= end)
      }),
    )
  })

  test("takes a length that promises more than there is as malformed", () => {
    for (const length of [1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      const writer = new Writer()
      writer.uint(length)
      for (const kind of ["string", "word", "bytes"] as const) {
        const reader = new Reader(writer.view())
        assert.equal(reader[kind]().length, 0)
        assert.ok(reader.failed)
      }
    }
  })

  test("accepts one encoding of each integer only, and none beyond 2^53 - 1", () => {
    const wrong = [
      [0x80, 0x00],
      [0xff, 0x80, 0x00],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f],
      [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ]
    for (const bytes of wrong) {
      for (const kind of ["uint", "int"] as const) {
        const reader = new Reader(new Uint8Array(bytes))
        assert.equal(reader[kind](), 0, `${kind} ${bytes}`)
        assert.ok(reader.failed)
      }
    }
    assert.equal(new Reader(of("ff ff ff ff ff ff ff 0f")).uint(), Number.MAX_SAFE_INTEGER)
  })

  test("accepts no boolean but 0 and 1", () => {
    const reader = new Reader(of("02"))
    assert.equal(reader.bool(), false)
    assert.ok(reader.failed)
  })

  test("gives bytes that are its own, whatever the buffer is", () => {
    const buffer = Buffer.from([2, 7, 8, 9])
    const bytes = new Reader(buffer).bytes()
    buffer.fill(0)
    assert.deepEqual(bytes, new Uint8Array([7, 8]))
    assert.equal(bytes.buffer.byteLength, 2)
  })

  test("starts anew with reset, in the middle of a buffer", () => {
    const reader = new Reader(of("01"))
    reader.u32()
    assert.ok(reader.failed)
    reader.reset(of("ff 05 61 ff"), 1, 3)
    assert.deepEqual([reader.failed, reader.u8(), reader.u8(), reader.done()], [false, 5, 97, true])
  })
})

describe("Writer", () => {
  test("writes a fixed form", () => {
    const writer = new Writer()
    writer.u16(0x0102)
    writer.u32(0xfffefdfc)
    writer.f64(-1.5)
    for (const value of [0, 127, 128, 16_384, 2 ** 32, Number.MAX_SAFE_INTEGER]) writer.uint(value)
    for (const value of [0, -1, 1, -64, 64, Number.MIN_SAFE_INTEGER]) writer.int(value)
    writer.string("aß€😀\ud800")
    assert.equal(
      hex(writer.take()),
      [
        "02 01 fc fd fe ff 00 00 00 00 00 00 f8 bf",
        "00 7f 80 01 80 80 01 80 80 80 80 10 ff ff ff ff ff ff ff 0f",
        "00 01 02 7f 80 01 fd ff ff ff ff ff ff 1f",
        "0d 61 c3 9f e2 82 ac f0 9f 98 80 ed a0 80",
      ].join(" "),
    )
  })

  test("refuses numbers that uint and int can't keep", () => {
    for (const value of [0.5, -0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.throws(() => new Writer().uint(value), /BUG/)
      assert.throws(() => new Writer().int(value), /BUG/)
    }
    assert.throws(() => new Writer().uint(-1), /BUG/)
  })

  test("gives away what it took, and starts anew", () => {
    const writer = new Writer(16)
    writer.string("first")
    const first = writer.take()
    writer.string("other")
    assert.deepEqual(new Reader(first).string(), "first")
    assert.equal(writer.length, 6)
    writer.truncate(0)
    assert.deepEqual(writer.take(), new Uint8Array(0))
  })

  test("doesn't keep a large buffer after it was used", () => {
    const writer = new Writer(16)
    const large = new Uint8Array(3_000_000).fill(7)
    writer.raw(large)
    const taken = writer.take()
    assert.deepEqual(taken, large)
    assert.equal(writer.buffer.length, 16)
    writer.u8(1)
    assert.equal(taken[0], 7)
  })

  test("overwrites four bytes with patchU32", () => {
    const writer = new Writer()
    writer.u8(1)
    writer.u32(0)
    writer.u8(2)
    writer.patchU32(1, 0x89abcdef)
    assert.equal(hex(writer.view()), "01 ef cd ab 89 02")
  })
})

describe("strings", () => {
  const lengths = [0, 1, 6, 7, 30, 31, 32, 33, 42, 43, 63, 64, 127, 128, 5000, 20_000]

  test("of every length and script come back as they were", () => {
    for (const length of lengths) {
      for (const unit of ["a", "é", "€", "😀", "\ud800", "\udfff", "\ufeff", "\ufffd", "\0"]) {
        const exact = unit.repeat(length).slice(0, length)
        for (const value of [exact, `${exact}z`, `z${exact}`]) check(value)
      }
    }
    check("€".repeat(700_000))
  })

  test("that are cut out of longer ones end where they end, however often they are written", () => {
    const value = "😀".repeat(31).slice(0, 31)
    for (let i = 0; i < 3000; i++) check(value)
  })

  test("that aren't well-formed UTF-16 come back as they were", () => {
    fc.assert(
      fc.property(units, fc.nat(5000), (odd, padding) => {
        check(odd)
        check("x".repeat(padding) + odd)
        check(odd + "ß".repeat(padding))
      }),
    )
  })

  test("have one encoding only: all else is malformed", () => {
    const wrong = [
      "80", // a continuation without a start
      "c0 80", // an overlong 0
      "c1 bf",
      "e0 9f bf",
      "f0 8f bf bf",
      "c3", // cut off
      "e2 82",
      "f0 9f 98",
      "c3 28", // no continuation
      "e2 28 a1",
      "f4 90 80 80", // beyond U+10FFFF
      "f5 80 80 80",
      "ff",
      "ed a0 bd ed b8 80", // a pair of surrogates, each on its own
    ]
    for (const bytes of wrong) {
      for (const padding of ["", "61 62 63 64 65 66 67 68"]) {
        for (const body of [of(`${padding} ${bytes}`), of(`${bytes} ${padding}`)]) {
          const writer = new Writer()
          writer.bytes(body)
          const { length } = writer
          // What comes after the string's end, and could complete it, isn't looked at.
          writer.raw(of("bf bf bf"))
          for (const kind of ["string", "word"] as const) {
            const reader = new Reader(writer.view(), 0, length)
            assert.equal(reader[kind](), "", `${kind} ${hex(body)}`)
            assert.ok(reader.failed, hex(body))
          }
        }
      }
    }
  })

  test("have one encoding only, also where they are long", () => {
    for (let length = 4090; length < 4100; length++) {
      const writer = new Writer()
      writer.bytes(new Uint8Array([...new Uint8Array(length), ...of("ed a0 bd ed b8 80")]))
      const reader = new Reader(writer.view())
      assert.equal(reader.string(), "")
      assert.ok(reader.failed)
    }
  })

  test("that decode are those that were encoded: any accepted bytes are written again", () => {
    const byte = fc.oneof(fc.nat(0x7f), fc.nat(0xff), fc.constantFrom(0xed, 0xef, 0xa0, 0xbf, 0xb0))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), (bytes) => {
        const writer = new Writer()
        writer.bytes(new Uint8Array(bytes))
        const encoded = writer.take()
        const reader = new Reader(encoded)
        const value = reader.string()
        if (reader.failed) return
        writer.string(value)
        assert.deepEqual(writer.take(), encoded)
      }),
      { numRuns: 2000 },
    )
  })

  test("read as words are the same, though others with the same hash came before", () => {
    const words = Array.from({ length: 5000 }, (_, i) => `wörd ${i}`.slice(i % 3))
    const writer = new Writer()
    for (const word of words) writer.string(word)
    for (let round = 0; round < 2; round++) {
      const reader = new Reader(writer.view())
      for (const word of words) assert.equal(reader.word(), word)
      assert.ok(reader.done())
    }
  })

  function check(value: string): void {
    const writer = new Writer(16)
    writer.u8(9)
    writer.string(value)
    writer.u8(9)
    for (const kind of ["string", "word"] as const) {
      const reader = new Reader(writer.view())
      reader.u8()
      // Not assert.equal, which would print them.
      assert.ok(reader[kind]() === value, `${kind} of ${value.length} units`)
      assert.equal(reader.u8(), 9)
      assert.ok(reader.done())
    }
  }
})

interface Field {
  readonly value: unknown
  readonly write: (writer: Writer) => void
  readonly read: (reader: Reader) => unknown
}

function field<A>(
  values: fc.Arbitrary<A>,
  kind: "u8" | "u16" | "u32" | "f64" | "uint" | "int" | "bool" | "string" | "bytes",
): fc.Arbitrary<Field> {
  return values.map((value) => ({
    value: Object.is(value, -0) && kind !== "f64" ? 0 : value,
    write: (writer) => (writer[kind] as (value: A) => void).call(writer, value),
    read: (reader) => reader[kind](),
  }))
}

function of(text: string): Uint8Array {
  const digits = text.split(" ").filter((byte) => byte !== "")
  return new Uint8Array(digits.map((byte) => Number.parseInt(byte, 16)))
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ")
}
