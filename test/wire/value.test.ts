import assert from "node:assert/strict"
import { describe, test } from "node:test"
import vm from "node:vm"
import fc from "fast-check"
import * as Value from "../../src/wire/value.ts"
import { data, decoded, encoded, hex, number, object, sent } from "./sample.ts"

describe("write and read", () => {
  test("give back an equal value, and nothing is left", () => {
    fc.assert(fc.property(data, (value) => assert.deepEqual(sent(value), value)))
  })

  test("keep numbers exactly", () => {
    fc.assert(fc.property(number, (value) => assert.ok(Object.is(sent(value), value))))
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0]) {
      assert.ok(Object.is(sent(value), value))
    }
  })

  test("keep strings exactly, alone, as keys and after the same word", () => {
    const text = fc
      .array(fc.oneof(fc.nat(0x7f), fc.integer({ min: 0xd700, max: 0xe0ff })), { maxLength: 50 })
      .map((units) => String.fromCharCode(...units))
    fc.assert(
      fc.property(fc.array(text), (texts) => {
        const value = { texts, word: texts.map((word) => object([[word, word]])) }
        assert.deepEqual(sent(value), value)
        for (const after of texts) assert.deepEqual(sent({ after }), { after })
      }),
    )
  })

  test("keep all kinds of typed arrays, and only the part that they show", () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => i * 7)
    const views = [
      bytes.subarray(3, 9),
      new Uint8Array(0),
      bytes.buffer.slice(0, 5),
      new DataView(bytes.buffer, 2, 5),
      new Int8Array(bytes.buffer, 1, 2),
      new Uint8ClampedArray(bytes.buffer, 1, 2),
      new Int16Array(bytes.buffer, 2, 2),
      new Uint16Array(bytes.buffer, 2, 2),
      new Int32Array(bytes.buffer, 4, 2),
      new Uint32Array(bytes.buffer, 4, 2),
      new Float32Array(bytes.buffer, 4, 2),
      new Float64Array(bytes.buffer, 8, 2),
      new BigInt64Array(bytes.buffer, 8, 2),
      new BigUint64Array(bytes.buffer, 8, 2),
    ]
    for (const view of views) {
      for (const result of [sent([1, view]), Value.copy([1, view])]) {
        const again = (result as ReadonlyArray<unknown>)[1] as typeof view
        assert.equal(Object.prototype.toString.call(again), Object.prototype.toString.call(view))
        assert.deepEqual(again, view)
        assert.equal(raw(again).buffer.byteLength, view.byteLength)
        if (view.byteLength === 0) continue
        raw(again)[0]! ^= 0xff
        assert.notDeepEqual(again, view, "the original is another")
      }
    }
  })

  test("turn Buffers into Uint8Arrays", () => {
    for (const result of [sent(Buffer.from("abc")), Value.copy(Buffer.from("abc"))]) {
      assert.deepEqual(result, new Uint8Array([97, 98, 99]))
    }
  })

  test("keep bigints up to the limit", () => {
    const largest = 2n ** BigInt(8 * 65_536) - 1n
    for (const value of [0n, 255n, 256n, -1n, 2n ** 64n, -(2n ** 63n), largest, -largest]) {
      assert.ok(sent(value) === value)
    }
  })

  test("keep the name, the message and the own properties of errors", () => {
    class Declared extends Error {
      readonly _tag = "Declared"
      override readonly name = "Declared"
      readonly detail = { left: 3 }
    }
    const named = new Error("m")
    named.name = "Named"
    const open = new Error("open")
    Object.defineProperty(open, "stack", { value: "value.test", enumerable: true })
    for (const error of [new Declared("why"), named, open, new Error("plain"), new Error("")]) {
      for (const result of [sent(error), Value.copy(error)]) {
        assert.ok(result instanceof Error)
        assert.equal(result.name, error.name)
        assert.equal(result.message, error.message)
        const rest = { ...error } as { [key: string]: unknown }
        delete rest.name
        delete rest.stack
        assert.deepEqual({ ...result }, rest)
        assert.ok(!/value\.test/.test(result.stack ?? ""), "the stack stays where it was made")
      }
    }
  })

  test("give errors of the language's own classes back as such", () => {
    for (const error of [new TypeError("a"), new RangeError("b"), new SyntaxError("c")]) {
      for (const result of [sent(error), Value.copy(error)]) {
        assert.ok(result instanceof error.constructor)
        assert.equal(String(result), String(error))
      }
    }
  })

  test("take holes as undefined, getters for what they return, and objects twice as two", () => {
    // biome-ignore lint/suspicious/noSparseArray: it is what is tested
    assert.deepEqual(sent([1, , 3]), [1, undefined, 3])
    const twice = { a: 1 }
    const value = {
      get double() {
        return [twice, twice]
      },
      [Symbol("ignored")]: 1,
    }
    for (const result of [sent(value), Value.copy(value)] as ReadonlyArray<typeof value>) {
      assert.deepEqual(Object.getOwnPropertyDescriptor(result, "double"), {
        ...{ configurable: true, enumerable: true, writable: true },
        value: [{ a: 1 }, { a: 1 }],
      })
      assert.notEqual(result.double[0], result.double[1])
      assert.deepEqual(Object.getOwnPropertySymbols(result), [])
    }
  })

  test("give objects without a prototype, and those of other realms, the usual one", () => {
    const bare: object = Object.assign(Object.create(null), { a: 1 })
    const foreign: unknown = vm.runInNewContext("({ a: [1, { b: 2 }], c: new Int8Array(2) })")
    const heir: object = Object.assign(Object.create(bare), { b: 2 })
    for (const pass of [sent, Value.copy]) {
      assert.deepEqual(pass(bare), { a: 1 })
      assert.deepEqual(pass(heir), { b: 2 })
      assert.deepEqual(pass(foreign), { a: [1, { b: 2 }], c: new Int8Array(2) })
    }
  })

  test("keep properties named like those of Object.prototype as data, and pollute nothing", () => {
    const text =
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":2}'
    const value: unknown = JSON.parse(text)
    for (const result of [sent(value), Value.copy(value)]) {
      assert.deepEqual(result, value)
      assert.equal(Object.getPrototypeOf(result), Object.prototype)
      assert.deepEqual(Object.keys(result as object), ["__proto__", "constructor", "toString"])
      assert.equal(({} as { polluted?: unknown }).polluted, undefined)
    }
    const error = Object.assign(new Error("x"), { constructor: 1 })
    Object.defineProperty(error, "__proto__", { value: { evil: 1 }, enumerable: true })
    for (const result of [sent(error), Value.copy(error)]) {
      assert.ok(result instanceof Error)
      assert.deepEqual(Object.keys(result), ["constructor", "__proto__"])
    }
  })

  test("keep objects keyed by numbers, near and far", () => {
    for (const keys of [[0, 1, 2], [1000], [5, 1000, 4_294_967_294, 2 ** 40], [31, 33, 99_999]]) {
      const value = object(keys.map((at) => [String(at), at]))
      const result = sent(value) as { [key: string]: number }
      assert.deepEqual(result, value)
      for (const at of keys) result[at] = -1
      assert.deepEqual(
        Object.values(result),
        keys.map(() => -1),
        "they can be changed",
      )
    }
  })

  test("are the same whatever was read before", () => {
    const first = encoded([
      { kind: "open", name: "a" },
      { kind: "shut", size: 1 },
    ])
    const second = encoded([
      { kind: "shut", name: "ä" },
      { kind: "open", size: "open" },
    ])
    const k = "01 6b"
    for (let i = 0; i < 4; i++) {
      assert.deepEqual(decoded(first), [
        { kind: "open", name: "a" },
        { kind: "shut", size: 1 },
      ])
      assert.deepEqual(decoded(second), [
        { kind: "shut", name: "ä" },
        { kind: "open", size: "open" },
      ])
      // A byte that is the code of the letter that came last time, but isn't its encoding.
      assert.deepEqual(decoded(of(`a1 ${k} a1 02 c3 a4 00`)), { k: { ä: 0 } })
      assert.equal(decoded(of(`a1 ${k} a1 01 e4 00`)), undefined)
      assert.deepEqual(decoded(of(`a1 ${k} 82 c3 a4`)), { k: "ä" })
      assert.equal(decoded(of(`a1 ${k} 81 e4`)), undefined)
    }
  })

  test("have a fixed form", () => {
    const value = [0, 127, -32, 128, -0, "ab", { k: null }, undefined, true, false, 5n, -5n]
    const form = "bc 00 7f e0 c4 80 02 c5 00 00 00 00 00 00 00 80 82 61 62 a1 01 6b c1 c0 c3 c2"
    assert.equal(hex(encoded(value)), `${form} ce 01 05 cf 01 05`)
    const containers = [new Map([[1, 2]]), new Set([3]), new Date(0), new Error("e"), raw([7, 8])]
    assert.equal(
      hex(encoded(containers)),
      "b5 c9 01 01 02 ca 01 03 cb 00 00 00 00 00 00 00 00 cc 05 45 72 72 6f 72 01 65 00 cd 00 02 07 08",
    )
    const sixteen = Array.from({ length: 16 }, () => 1)
    assert.equal(hex(encoded([sixteen, "x".repeat(32)])).slice(0, 11), "b2 c8 10 01")
    assert.equal(hex(encoded("x".repeat(32))).slice(0, 8), "c6 20 78")
    assert.equal(hex(encoded(object(sixteen.map((_, i) => [`${i}`, 0])))).slice(0, 8), "c7 10 01")
  })
})

describe("copy", () => {
  test("is what reading what was written would give", () => {
    fc.assert(fc.property(data, (value) => assert.deepEqual(Value.copy(value), sent(value))))
  })

  test("shares nothing that could change", () => {
    const value = { a: [{ b: new Map([["k", { c: 1 }]]) }], d: new Date(5), s: new Set([[1]]) }
    const before = sent(value)
    const copy = Value.copy(value) as typeof value
    copy.a[0]!.b.get("k")!.c = 2
    copy.d.setTime(6)
    for (const item of copy.s) item.push(2)
    copy.a.push(copy.a[0]!)
    assert.deepEqual(value, before)
  })
})

function raw(view: ArrayBufferView | ArrayBuffer | ReadonlyArray<number>): Uint8Array {
  if (!ArrayBuffer.isView(view)) return new Uint8Array(view)
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function of(text: string): Uint8Array {
  return new Uint8Array(text.split(" ").map((byte) => Number.parseInt(byte, 16)))
}
