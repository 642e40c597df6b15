/** Two streams on a medium that carries when it is told to, so that every interleaving can be had. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { type Segment, Stream } from "../../src/stream.ts"
import type { CloseReason, Handlers } from "../../src/transport.ts"

const WINDOW = 1024 * 1024
const MOST = 16 * 1024 * 1024
/** More than one step in which credit is given. */
const LARGE = 400_000

/** One end, with what was sent from it and hasn't been carried, and what its handlers were told. */
class End {
  readonly stream: Stream
  readonly sent: Array<Segment> = []
  readonly got: Array<Uint8Array> = []
  readonly closes: Array<CloseReason> = []
  drains = 0
  overs = 0
  /** What write said last, unless a drain came after it. */
  room = true
  readonly #tasks: Array<() => void> = []
  #inside = false

  constructor() {
    this.stream = new Stream({
      remote: "there",
      send: (segment) => this.sent.push(segment),
      over: () => {
        this.overs++
      },
      defer: (task) => this.#tasks.push(task),
    })
  }

  /** Calls a method of the stream, in which no handler may be called. */
  in<A>(method: (stream: Stream) => A): A {
    this.#inside = true
    try {
      return method(this.stream)
    } finally {
      this.#inside = false
    }
  }

  write(bytes: Uint8Array): boolean {
    this.room = this.in((stream) => stream.write(bytes))
    return this.room
  }

  attach(data: (bytes: Uint8Array) => void = () => {}): void {
    const outside = (): void => {
      assert.equal(this.#inside, false, "a handler was called within a method")
      assert.equal(this.closes.length, 0, "a handler was called after close")
    }
    const handlers: Handlers = {
      data: (bytes) => {
        outside()
        this.got.push(bytes)
        data(bytes)
      },
      drain: () => {
        outside()
        this.drains++
        this.room = true
      },
      close: (reason) => {
        outside()
        this.closes.push(reason)
      },
    }
    this.in((stream) => stream.receive(handlers))
  }

  detach(): void {
    this.in((stream) => stream.receive(undefined))
  }

  /** What was put off is done, what comes of it too. */
  run(): void {
    for (let task = this.#tasks.shift(); task !== undefined; task = this.#tasks.shift()) task()
  }

  take(segment: unknown): void {
    this.in((stream) => stream.take(segment as Segment))
  }
}

/** Both ends of a stream. */
class Pair {
  readonly ends: readonly [End, End] = [new End(), new End()]

  /** Brings up to so many segments from one end to the other. */
  carry(from: 0 | 1, count: number = Number.POSITIVE_INFINITY): void {
    const { sent } = this.ends[from]
    for (const segment of sent.splice(0, count)) this.ends[from === 0 ? 1 : 0].take(segment)
  }

  /** Everything that is on its way arrives. */
  settle(): void {
    const [one, other] = this.ends
    do {
      this.carry(0)
      this.carry(1)
      one.run()
      other.run()
    } while (one.sent.length + other.sent.length > 0)
  }
}

function bytesOf(chunks: ReadonlyArray<Uint8Array>): number {
  return chunks.reduce((sum, { length }) => sum + length, 0)
}

/** An end that is read, and one that reads when the test says so. */
function pair(): [here: End, there: End, both: Pair] {
  const both = new Pair()
  const [here, there] = both.ends
  here.attach()
  return [here, there, both]
}

const flows = fc.constantFrom("write", "write", "carry", "carry", "run", "attach", "detach")
const steps = (ends: ReadonlyArray<string>) =>
  fc.array(
    fc.record({
      side: fc.constantFrom<0 | 1>(0, 1),
      what: ends.length === 0 ? flows : fc.oneof({ weight: 30, arbitrary: flows }, end(ends)),
      size: fc.constantFrom(0, 1, 1_000, LARGE),
    }),
    { minLength: 1, maxLength: 120 },
  )
const end = (ends: ReadonlyArray<string>) => ({
  weight: 1,
  arbitrary: fc.constantFrom(...ends),
})

/** Does one step for writers that wait; what it wrote. */
function step(both: Pair, side: 0 | 1, what: string, size: number): Uint8Array | undefined {
  const own = both.ends[side]
  switch (what) {
    case "write": {
      if (!own.room) return undefined
      const bytes = new Uint8Array(size)
      const ended = own.overs > 0
      own.write(bytes)
      return ended || size === 0 ? undefined : bytes
    }
    case "carry":
      both.carry(side, 1 + (size % 7))
      return undefined
    case "run":
      own.run()
      return undefined
    case "attach":
      own.attach()
      return undefined
    case "detach":
      own.detach()
      return undefined
    case "lost":
      for (const each of both.ends) each.in((stream) => stream.lost())
      return undefined
    default:
      own.in((stream) => stream[what as "close" | "destroy"]())
      return undefined
  }
}

describe("a stream", () => {
  test("brings all bytes in order, whatever comes between, and no reader is far behind", () => {
    fc.assert(
      fc.property(steps([]), (all) => {
        const both = new Pair()
        const written: [Array<Uint8Array>, Array<Uint8Array>] = [[], []]
        for (const { side, what, size } of all) {
          const bytes = step(both, side, what, size)
          if (bytes !== undefined) written[side].push(bytes)
          for (const from of [0, 1] as const) {
            const { got } = both.ends[from === 0 ? 1 : 0]
            const behind = bytesOf(written[from]) - bytesOf(got)
            assert.ok(behind < WINDOW + LARGE, `${behind} bytes`)
          }
        }
        for (const each of both.ends) each.attach()
        both.settle()
        for (const from of [0, 1] as const) {
          const { got } = both.ends[from === 0 ? 1 : 0]
          assert.equal(got.length, written[from].length)
          assert.ok(got.every((bytes, i) => bytes === written[from][i]))
          assert.equal(both.ends[from].room, true, "who waits is told to go on")
          assert.deepEqual(both.ends[from].closes, [])
        }
      }),
      { numRuns: 300 },
    )
  })

  test("ends once on each side, after all that came before a close, however it ends", () => {
    fc.assert(
      fc.property(steps(["close", "destroy", "lost"]), (all) => {
        const both = new Pair()
        const written: [Array<Uint8Array>, Array<Uint8Array>] = [[], []]
        let first: { readonly side: 0 | 1; readonly what: string } | undefined
        let ends = 0
        for (const { side, what, size } of all) {
          if (["close", "destroy", "lost"].includes(what)) {
            ends++
            first ??= { side, what }
          }
          const bytes = step(both, side, what, size)
          if (bytes !== undefined) written[side].push(bytes)
        }
        for (const each of both.ends) each.attach()
        both.settle()
        for (const [i, { got, closes, overs }] of both.ends.entries()) {
          const from = written[i === 0 ? 1 : 0]
          assert.ok(got.every((bytes, at) => bytes === from[at]))
          assert.equal(closes.length, first === undefined ? 0 : 1)
          assert.equal(overs, first === undefined ? 0 : 1)
        }
        if (first === undefined || ends > 1) return
        const here = both.ends[first.side]
        const there = both.ends[first.side === 0 ? 1 : 0]
        const reasons = { close: "ended ended", destroy: "destroyed reset", lost: "reset reset" }
        const told = [...here.closes, ...there.closes].join(" ")
        assert.equal(told, reasons[first.what as keyof typeof reasons])
        if (first.what === "close") assert.equal(there.got.length, written[first.side].length)
      }),
      { numRuns: 1_000 },
    )
  })

  test("tells a writer that is a window ahead to wait, until half of it was read", () => {
    const [here] = pair()
    assert.equal(here.write(new Uint8Array(WINDOW - 1)), true)
    assert.equal(here.write(new Uint8Array(1)), false)
    assert.equal(here.write(new Uint8Array(0)), false)
    here.take({ _tag: "Credit", bytes: WINDOW / 2 - 1 })
    here.run()
    assert.equal(here.drains, 0)
    assert.equal(here.write(new Uint8Array(0)), false)
    here.take({ _tag: "Credit", bytes: 1 })
    here.run()
    here.take({ _tag: "Data", bytes: new Uint8Array(1) })
    here.run()
    assert.equal(here.drains, 1)
    assert.equal(here.write(new Uint8Array(WINDOW / 2 - 1)), true)
    assert.equal(here.write(new Uint8Array(1)), false)
  })

  test("keeps data, drain and close for handlers that come later", () => {
    const [here, there, both] = pair()
    here.detach()
    here.write(new Uint8Array(WINDOW))
    there.write(new Uint8Array(7))
    there.attach()
    both.settle()
    assert.deepEqual([here.got.length, here.drains], [0, 0])
    there.in((stream) => stream.close())
    both.settle()
    assert.deepEqual([here.got.length, here.drains, here.closes.length], [0, 0, 0])
    here.attach()
    both.settle()
    assert.deepEqual([here.got.length, here.drains, here.closes], [1, 1, ["ended"]])
  })

  test("says what was read in steps, and not after each message", () => {
    const [, there, both] = pair()
    there.attach()
    let credits = 0
    for (let i = 0; i < 1_000; i++) {
      both.ends[0].write(new Uint8Array(1_000))
      both.carry(0)
      there.run()
      credits += there.sent.length
      both.carry(1)
    }
    assert.ok(credits > 0 && credits < 10, `${credits}`)
  })

  test("a handler that closes or destroys is told nothing more but that", () => {
    for (const [method, reason] of [
      ["close", "ended"],
      ["destroy", "destroyed"],
    ] as const) {
      const [here, there, both] = pair()
      there.attach(() => there.stream[method]())
      for (let i = 0; i < 3; i++) here.write(new Uint8Array(1))
      both.settle()
      assert.deepEqual([there.got.length, there.closes], [1, [reason]])
    }
  })

  test("destroyed with bytes of an ended one still unread, it is told of as destroyed", () => {
    const [here, there, both] = pair()
    here.write(new Uint8Array(1))
    here.in((stream) => stream.close())
    both.settle()
    there.in((stream) => stream.destroy())
    there.attach()
    both.settle()
    assert.deepEqual([there.got.length, there.closes, there.overs], [0, ["destroyed"], 1])
  })

  test("a writer that never waits is cut off before it fills the reader's memory", () => {
    const [here, there, both] = pair()
    const chunk = new Uint8Array(LARGE)
    let taken = 0
    while (there.overs === 0) {
      assert.ok(taken <= MOST + LARGE, `${taken} bytes are kept`)
      here.write(chunk)
      both.carry(0)
      taken += LARGE
    }
    assert.ok(taken > MOST)
    there.attach()
    both.settle()
    assert.deepEqual([there.got.length, there.closes, here.closes], [0, ["reset"], ["reset"]])
  })

  test("one write may be of any size", () => {
    const [here, there, both] = pair()
    const huge = new Uint8Array(3 * MOST)
    assert.equal(here.write(huge), false)
    both.carry(0)
    there.attach()
    both.settle()
    assert.deepEqual([there.got[0]?.length, here.drains, here.closes], [huge.length, 1, []])
  })

  test("what can't be right is ignored, and counts for nothing", () => {
    const junk = fc.anything({ withBigInt: true, withTypedArray: true, withDate: true })
    const amounts = fc.oneof(
      fc.constantFrom<unknown>(0, -1, Number.NaN, Number.NEGATIVE_INFINITY, 5n, "5", [5], null),
      junk.filter((value) => typeof value !== "number"),
    )
    const segments = fc.oneof(
      junk,
      fc.record({ _tag: fc.constantFrom("Open", "data", "__proto__", "", 1), bytes: junk }),
      fc.record({ _tag: fc.constant("Credit"), bytes: amounts }),
      fc.record({
        _tag: fc.constant("Data"),
        bytes: junk.filter((value) => !(value instanceof Uint8Array)),
      }),
    )
    fc.assert(
      fc.property(fc.array(segments, { minLength: 1, maxLength: 20 }), (all) => {
        const [here] = pair()
        assert.equal(here.write(new Uint8Array(WINDOW - 1)), true)
        for (const segment of all) here.take(segment)
        assert.equal(here.write(new Uint8Array(1)), false)
        for (const segment of all) here.take(segment)
        here.run()
        assert.deepEqual([here.got, here.drains, here.closes], [[], 0, []])
        here.take({ _tag: "Credit", bytes: WINDOW })
        here.run()
        assert.equal(here.drains, 1)
      }),
      { numRuns: 300 },
    )
  })

  test("more credit than was written isn't kept for later, and what follows an end is nothing", () => {
    for (const bytes of [Number.MAX_VALUE, Number.POSITIVE_INFINITY, 2 * WINDOW]) {
      const [here] = pair()
      here.write(new Uint8Array(10))
      here.take({ _tag: "Credit", bytes })
      assert.equal(here.write(new Uint8Array(WINDOW - 1)), true)
      assert.equal(here.write(new Uint8Array(1)), false)
      here.take({ _tag: "End" })
      for (const _tag of ["Data", "End", "Reset", "Credit"])
        here.take({ _tag, bytes: new Uint8Array(1) })
      here.run()
      assert.deepEqual([here.got, here.drains, here.closes, here.overs], [[], 0, ["ended"], 1])
    }
  })
})
