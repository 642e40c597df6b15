import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Writer } from "../../src/wire/bytes.ts"
import * as Frame from "../../src/wire/frame.ts"

const bodies = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 12 })
/** Where a stream is cut: any places of it, the same one several times as well. */
const cuts = fc.array(fc.nat(1000), { maxLength: 40 })

describe("Deframer", () => {
  test("finds the same frames however the stream is cut", () => {
    fc.assert(
      fc.property(bodies, cuts, (frames, places) => {
        const { deframer, received } = collect(60)
        for (const chunk of cut(stream(frames), places)) {
          assert.equal(deframer.push(chunk), undefined)
        }
        assert.deepEqual(received, frames)
        assert.deepEqual(deframer.rest(), new Uint8Array(0))
      }),
    )
  })

  test("finds every frame of a stream that comes byte by byte", () => {
    const frames = [body(0), body(1), body(300), body(3), body(5000), body(0)]
    const { deframer, received } = collect(5000)
    for (const byte of stream(frames)) deframer.push(new Uint8Array([byte]))
    assert.deepEqual(received, frames)
  })

  test("delivers frames that lie in one chunk without a copy", () => {
    const seen: Array<Uint8Array> = []
    const deframer = new Frame.Deframer(100, (buffer) => seen.push(buffer))
    const chunk = stream([body(3), body(4), body(5)])
    const front = chunk.subarray(0, 15)
    deframer.push(front)
    deframer.push(chunk.subarray(15))
    assert.ok(seen[0] === front && seen[1] === front)
    assert.equal(seen.length, 3)
  })

  test("refuses a frame that is too long before its body comes, and all that follows", () => {
    fc.assert(
      fc.property(
        bodies,
        cuts,
        fc.integer({ min: 61, max: 0xffffffff }),
        (frames, places, bytes) => {
          const writer = new Writer()
          writer.raw(stream(frames))
          writer.u32(bytes)
          const { deframer, received } = collect(60)
          const error = new Frame.FrameTooLarge(bytes, 60)
          const results = cut(writer.take(), places).map((chunk) => deframer.push(chunk))
          assert.deepEqual(results.at(-1), error)
          assert.deepEqual(received, frames)
          assert.deepEqual(deframer.push(stream([body(1)])), error)
          assert.deepEqual(received, frames)
        },
      ),
    )
  })

  test("allows what the limit was raised to, from the next frame on", () => {
    const frames: Array<number> = []
    const deframer = new Frame.Deframer(10, (_, start, end) => {
      frames.push(end - start)
      deframer.limit(1000)
    })
    assert.equal(deframer.push(stream([body(10), body(1000)])), undefined)
    assert.deepEqual(deframer.push(stream([body(1001)])), new Frame.FrameTooLarge(1001, 1000))
    assert.deepEqual(frames, [10, 1000])
  })

  test("keeps what wasn't delivered after it was stopped, in order", () => {
    fc.assert(
      fc.property(bodies, cuts, fc.nat(12), (frames, places, count) => {
        const received: Array<Uint8Array> = []
        let rest: Uint8Array | undefined
        const deframer = new Frame.Deframer(60, (buffer, start, end) => {
          received.push(buffer.slice(start, end))
          if (received.length <= count) return
          deframer.stop()
          rest = deframer.rest()
        })
        for (const chunk of cut(stream(frames), places)) deframer.push(chunk)
        const left = frames.slice(count + 1)
        assert.deepEqual(received, frames.slice(0, count + 1))
        assert.deepEqual(deframer.rest(), stream(left))
        if (rest === undefined) return
        // Asked from within, it is what had come by then.
        assert.deepEqual(rest, stream(left).slice(0, rest.length))
      }),
    )
  })

  test("hands over the beginning of a frame", () => {
    const { deframer } = collect(60)
    const bytes = stream([body(20)])
    deframer.push(bytes.slice(0, 2))
    deframer.push(bytes.slice(2, 15))
    assert.deepEqual(deframer.rest(), bytes.slice(0, 15))
  })
})

describe("begin and end", () => {
  test("write frames one after the other, and a frame can be taken back", () => {
    const writer = new Writer()
    const first = Frame.begin(writer)
    writer.u8(7)
    Frame.end(writer, first)
    const dropped = Frame.begin(writer)
    writer.string("dropped")
    writer.truncate(dropped)
    Frame.end(writer, Frame.begin(writer))
    assert.deepEqual(writer.take(), new Uint8Array([1, 0, 0, 0, 7, 0, 0, 0, 0]))
  })
})

function collect(frameBytesMax: number): {
  readonly deframer: Frame.Deframer
  readonly received: ReadonlyArray<Uint8Array>
} {
  const received: Array<Uint8Array> = []
  const deframer = new Frame.Deframer(frameBytesMax, (buffer, start, end) => {
    received.push(buffer.slice(start, end))
  })
  return { deframer, received }
}

function stream(frames: ReadonlyArray<Uint8Array>): Uint8Array {
  const writer = new Writer()
  for (const frame of frames) {
    const at = Frame.begin(writer)
    writer.raw(frame)
    Frame.end(writer, at)
  }
  return writer.take()
}

function body(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => i)
}

function cut(bytes: Uint8Array, places: ReadonlyArray<number>): ReadonlyArray<Uint8Array> {
  const ends = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
  let start = 0
  return [...ends, bytes.length].map((end) => {
    const chunk = bytes.slice(start, end)
    start = end
    return chunk
  })
}
