/** Seals: what comes through is what was said, from its beginning and in its order, and nothing else does. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Mac from "../../src/wire/mac.ts"
import * as Seal from "../../src/wire/seal.ts"
import { SipHash } from "../../src/wire/siphash.ts"

const key = Uint8Array.from({ length: 16 }, (_, i) => i)
const writes = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 8 })
/** Where a stream is cut: any places of it, the same one several times as well. */
const cuts = fc.array(fc.nat(2_000), { maxLength: 20 })

describe("SipHash", () => {
  test("gives the hashes that its authors published", () => {
    const vectors: ReadonlyArray<readonly [length: number, hash: string]> = [
      [8, "6224939a79f5f593"],
      [9, "b0e4a90bdf82009e"],
      [15, "e545be4961ca29a1"],
      [16, "db9bc2577fcc2a3f"],
      [63, "724506eb4c328a95"],
    ]
    for (const [length, hash] of vectors) {
      const message = Uint8Array.from({ length }, (_, i) => i)
      const sip = new SipHash(key)
      // The first eight bytes of the message are the number.
      sip.hash(0x0706050403020100, message, 8, length)
      assert.equal(hex(sip.low) + hex(sip.high), hash)
    }
  })

  test("depends on every bit of its key, number and message, and on where the message ends alone", () => {
    const message = fc.uint8Array({ minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(message, fc.nat(2 ** 40), fc.nat(), fc.nat(7), (bytes, number, at, pad) => {
        const before = hashOf(key, number, bytes)
        const flipped = (given: Uint8Array): Uint8Array =>
          given.map((byte, i) => (i === (at >> 3) % given.length ? byte ^ (1 << (at & 7)) : byte))
        assert.notEqual(hashOf(flipped(key), number, bytes), before)
        assert.notEqual(hashOf(key, number, flipped(bytes)), before)
        assert.notEqual(hashOf(key, number + 2 ** (at % 50), bytes), before)
        assert.notEqual(hashOf(key, number, bytes.subarray(1)), before)
        assert.notEqual(hashOf(key, number, Uint8Array.of(...bytes, 0)), before)
        const padded = new Uint8Array(pad + bytes.length + pad).fill(0xff)
        padded.set(bytes, pad)
        const sip = new SipHash(key)
        sip.hash(number, padded, pad, pad + bytes.length)
        assert.equal(hex(sip.low) + hex(sip.high), before)
      }),
    )
  })
})

for (const algorithm of Mac.fast() ? (["siphash", "gmac"] as const) : (["siphash"] as const))
  describe(`seals with ${algorithm}`, () => {
    const keys: Seal.Keys = { algorithm, out: key, in: key }
    const overhead = 4 + Mac.make(algorithm, key).bytes

    test("what was sealed comes through, however the connection cuts it", () => {
      fc.assert(
        fc.property(writes, cuts, (said, places) => {
          const { push, heard } = unsealer(keys)
          for (const chunk of cut(sealed(said, keys), places)) assert.ok(push(chunk))
          assert.deepEqual(heard(), joined(said))
        }),
      )
    })

    test("a long write takes several records, and is the same afterwards", () => {
      for (const length of [1, -1, 0].map((more) => 2 * Seal.RECORD_BYTES_MAX + more)) {
        const { push, heard } = unsealer(keys)
        const said = Uint8Array.from({ length }, (_, i) => i * 31)
        const bytes = new Seal.Sealer(keys).seal(said)
        assert.equal(bytes.length, length + overhead * Math.ceil(length / Seal.RECORD_BYTES_MAX))
        assert.ok(push(bytes))
        assert.deepEqual(heard(), said)
      }
    })

    test("of a stream that was changed only whole records before the change come through", () => {
      const change = fc.record({ at: fc.nat(), bit: fc.nat(7) })
      fc.assert(
        fc.property(writes, cuts, change, (said, places, { at, bit }) => {
          const stream = sealed(said, keys)
          fc.pre(stream.length > 0)
          const where = at % stream.length
          const changed = stream.map((byte, i) => (i === where ? byte ^ (1 << bit) : byte))
          const { push, heard } = unsealer(keys)
          const answers = cut(changed, places).map(push)
          // A length that became larger is still waited for: then nothing came through that was changed either.
          const intact = heard()
          assert.ok(intact.length <= before(said, where, overhead))
          assert.deepEqual(intact, joined(said).subarray(0, intact.length))
          const broken = answers.indexOf(false)
          if (broken >= 0) {
            assert.ok(answers.slice(broken).every((answer) => !answer))
            assert.equal(push(sealed(said, keys)), false)
            assert.equal(heard().length, intact.length)
          }
        }),
      )
    })

    test("records that are repeated, left out or in another order break the seal, and so does another key", () => {
      const sealer = new Seal.Sealer(keys)
      const [one, two, three] = ["one", "two", "three"].map((text) => sealer.seal(bytesOf(text)))
      const orders: ReadonlyArray<readonly [ReadonlyArray<Uint8Array | undefined>, string]> = [
        [[one, one], "one"],
        [[one, three], "one"],
        [[two, one], ""],
        [[one, two, two], "onetwo"],
        [[one, two, one], "onetwo"],
      ]
      for (const [order, text] of orders) {
        const { push, heard } = unsealer(keys)
        for (const bytes of order) push(bytes as Uint8Array)
        assert.equal(push(new Uint8Array()), false)
        assert.equal(new TextDecoder().decode(heard()), text)
      }
      const other = unsealer({ ...keys, in: key.map((byte) => byte ^ 1) })
      assert.equal(other.push(one as Uint8Array), false)
    })

    test("records that are empty, or longer than any, are refused before they come", () => {
      for (const length of [0, overhead - 4, Seal.RECORD_BYTES_MAX + overhead - 3, 0xffffffff]) {
        const { push } = unsealer(keys)
        const header = new Uint8Array(Math.min(4 + length, overhead))
        new DataView(header.buffer).setUint32(0, length, true)
        assert.equal(push(header), false, `${length}`)
      }
    })

    test("an empty record is refused though its seal is whole, as it costs its reader more than its writer", () => {
      const code = Mac.make(algorithm, key).compute(0, new Uint8Array(), 0, 0)
      const record = new Uint8Array(overhead)
      record[0] = code.length
      record.set(code, 4)
      assert.equal(unsealer(keys).push(record), false)
    })

    test("a number is told from another that is 2^32 higher", () => {
      const mac = Mac.make(algorithm, key)
      const codes = [1, 1 + 2 ** 32, 1].map((n) => mac.compute(n, new Uint8Array(9), 0, 9).join())
      assert.notEqual(codes[0], codes[1])
      assert.equal(codes[0], codes[2])
    })
  })

function hashOf(key: Uint8Array, number: number, bytes: Uint8Array): string {
  const sip = new SipHash(key)
  sip.hash(number, bytes, 0, bytes.length)
  return hex(sip.low) + hex(sip.high)
}

/** The bytes of an int32, the lowest first. */
function hex(half: number): string {
  return [0, 8, 16, 24].map((by) => ((half >>> by) & 0xff).toString(16).padStart(2, "0")).join("")
}

function sealed(said: ReadonlyArray<Uint8Array>, keys: Seal.Keys): Uint8Array {
  const sealer = new Seal.Sealer(keys)
  return joined(said.map((bytes) => sealer.seal(bytes)))
}

/** How many bytes were said in the records before the one to which the byte at `where` belongs. */
function before(said: ReadonlyArray<Uint8Array>, where: number, overhead: number): number {
  let end = 0
  let bytes = 0
  for (const { length } of said) {
    end += overhead + length
    if (where < end) break
    bytes += length
  }
  return bytes
}

function unsealer(keys: Seal.Keys): {
  readonly push: (chunk: Uint8Array) => boolean
  readonly heard: () => Uint8Array
} {
  const parts: Array<Uint8Array> = []
  const inner = new Seal.Unsealer(keys, (bytes) => parts.push(bytes.slice()))
  return { push: (chunk) => inner.push(chunk), heard: () => joined(parts) }
}

function joined(parts: ReadonlyArray<Uint8Array>): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

function cut(stream: Uint8Array, places: ReadonlyArray<number>): Array<Uint8Array> {
  const at = [...places.map((place) => Math.min(place, stream.length)), stream.length]
  at.sort((a, b) => a - b)
  return at.map((end, i) => stream.slice(at[i - 1] ?? 0, end))
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
