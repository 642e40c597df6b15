import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Guard from "../../src/testing/nodes/guard.ts"

const WALL = 1e12 + 0.5

/** A simulation with a clock and random numbers of its own; `act` runs code of its node. */
class Simulation {
  now = 0.25
  running = false
  readonly #timers: Array<{ readonly at: number; readonly f: () => void }> = []

  install(draw: (n: number) => number): () => void {
    let drawn = 0
    const guarded: Guard.Guarded = {
      where: 'node "a"',
      now: () => this.now,
      wall: () => WALL + this.now,
      timer: (millis, f) => {
        const timer = { at: this.now + millis, f }
        this.#timers.push(timer)
        return () => {
          if (this.#timers.includes(timer)) this.#timers.splice(this.#timers.indexOf(timer), 1)
        }
      },
      uint32: () => draw(drawn++) >>> 0,
    }
    const current = (): Guard.Guarded | undefined => (this.running ? guarded : undefined)
    return Guard.install({ mode: "virtual", current, warn: () => assert.fail("a warning") })
  }

  act<A>(f: () => A): A {
    const before = this.running
    this.running = true
    try {
      return f()
    } finally {
      this.running = before
    }
  }

  /** Lets time pass, and what is due happen, in order. */
  pass(until: number): void {
    for (;;) {
      const [next] = this.#timers.sort((a, b) => a.at - b.at)
      if (next === undefined || next.at > until) break
      this.#timers.shift()
      this.now = next.at
      this.act(next.f)
    }
    this.now = until
  }
}

/** Runs `f` as code of a simulated node. */
function simulated<A>(f: (simulation: Simulation) => A, draw = mixed): A {
  const simulation = new Simulation()
  const uninstall = simulation.install(draw)
  try {
    return simulation.act(() => f(simulation))
  } finally {
    uninstall()
  }
}

function mixed(n: number): number {
  return Math.imul(n + 1, 0x9e3779b1)
}

describe("in mode virtual, clocks", () => {
  test("show the simulation's time", () => {
    simulated((simulation) => {
      simulation.now = 1_500.75
      const wall = 1_000_000_001_501
      assert.equal(Date.now(), wall)
      assert.equal(new Date().toISOString(), "2001-09-09T01:46:41.501Z")
      assert.equal(new (class extends Date {})().getTime(), wall)
      assert.equal(Date(), new Date(wall).toString())
      assert.equal(performance.now(), 1_500.75)
      assert.equal(process.hrtime.bigint(), 1_500_750_000n)
      assert.deepEqual(process.hrtime(), [1, 500_750_000])
      assert.deepEqual(process.hrtime([1, 500_000_000]), [0, 750_000])
      assert.deepEqual(process.hrtime([0, 600_000_000]), [0, 900_750_000])
    })
  })

  test("of given times, and their classes, are as ever", () => {
    simulated(() => {
      class Day extends Date {
        readonly day: number = this.getTime() / 86_400_000
      }
      assert.equal(new Date(5).getTime(), 5)
      assert.equal(new Day(86_400_000).day, 1)
      assert.ok(new Day() instanceof Day && new Day() instanceof Date)
      assert.equal(new Date().constructor, Date)
    })
  })

  test("of Temporal show it, too", () => {
    interface Now {
      readonly instant: () => { readonly epochMilliseconds: number }
      readonly timeZoneId: () => string
      readonly zonedDateTimeISO: (zone?: string) => object
      readonly plainDateTimeISO: (zone?: string) => object
      readonly plainDateISO: (zone?: string) => object
      readonly plainTimeISO: (zone?: string) => object
    }
    const now = (globalThis as { readonly Temporal?: { readonly Now: Now } }).Temporal?.Now
    // Not every host has it yet.
    if (now === undefined) return
    simulated((simulation) => {
      simulation.now = 1_500.75
      assert.equal(now.instant().epochMilliseconds, 1_000_000_001_501)
      const zoned = "2001-09-09T10:46:41.501+09:00[Asia/Tokyo]"
      assert.equal(String(now.zonedDateTimeISO("Asia/Tokyo")), zoned)
      assert.equal(String(now.plainDateTimeISO("Asia/Tokyo")), "2001-09-09T10:46:41.501")
      assert.equal(String(now.plainDateISO("Asia/Tokyo")), "2001-09-09")
      assert.equal(String(now.plainTimeISO("Asia/Tokyo")), "10:46:41.501")
      assert.equal(String(now.plainTimeISO()), String(now.plainTimeISO(now.timeZoneId())))
    })
  })
})

describe("in mode virtual, timers", () => {
  test("fire at the simulation's time, in order, with their arguments", () => {
    const seen: Array<unknown> = []
    simulated((simulation) => {
      const see = (...args: ReadonlyArray<unknown>): void => void seen.push(simulation.now, ...args)
      setTimeout(see, 20, "b", 2)
      setTimeout(see, 10, "a")
      setImmediate(see, "now")
      setTimeout(see, 31, "later")
      simulation.pass(30.25)
      assert.deepEqual(seen.splice(0), [0.25, "now", 10.25, "a", 20.25, "b", 2])
      simulation.pass(100)
      assert.deepEqual(seen, [31.25, "later"])
    })
  })

  test("of setInterval fire again and again, until they are ended", () => {
    simulated((simulation) => {
      const seen: Array<unknown> = []
      const timer = setInterval(
        (name: string) => {
          seen.push(name, simulation.now)
          if (seen.length === 6) clearInterval(timer)
        },
        10,
        "tick",
      )
      simulation.pass(100)
      assert.deepEqual(seen, ["tick", 10.25, "tick", 20.25, "tick", 30.25])
    })
  })

  test("of setInterval go on after a failure", () => {
    simulated((simulation) => {
      let fired = 0
      const timer = setInterval(() => {
        fired++
        throw new Error("on purpose")
      }, 10)
      assert.throws(() => simulation.pass(15), /on purpose/)
      assert.throws(() => simulation.pass(25), /on purpose/)
      assert.equal(fired, 2)
      clearInterval(timer)
    })
  })

  test("are ended by each of the functions for it, from wherever it is called", () => {
    type End = (timer: unknown) => void
    const starts = [
      () => setTimeout(() => assert.fail(), 5),
      () => setInterval(() => assert.fail(), 5),
      () => setImmediate(() => assert.fail()),
    ]
    simulated((simulation) => {
      for (const end of [clearTimeout, clearInterval, clearImmediate] as ReadonlyArray<End>) {
        for (const start of starts) {
          end(start())
          const other = start()
          simulation.running = false
          end(other)
          simulation.running = true
        }
      }
      simulation.pass(100)
    })
  })

  test("have what Node's have", () => {
    simulated((simulation) => {
      const seen: Array<number> = []
      const timer = setTimeout(() => seen.push(simulation.now), 10)
      assert.equal(timer.unref(), timer)
      assert.equal(timer.ref(), timer)
      assert.equal(timer.hasRef(), true)
      simulation.pass(5)
      assert.equal(timer.refresh(), timer)
      simulation.pass(20)
      timer.refresh()
      simulation.pass(40)
      assert.deepEqual(seen, [15, 30])
      clearTimeout(timer)
      timer.refresh()
      setTimeout(() => assert.fail(), 10)[Symbol.dispose]()
      simulation.pass(100)
      assert.deepEqual(seen, [15, 30])
    })
  })

  test("take at least 1 ms, so that loops of them let time pass, and too long ones take 1 ms", () => {
    const { NaN: nan, POSITIVE_INFINITY: endless } = Number
    const odd = fc.constantFrom(undefined, null, nan, endless, -1, 0.5, "x", 2 ** 31)
    const parts = fc.double({ min: 1, max: 2 ** 31 - 1, noNaN: true })
    const millis = fc.oneof(odd, parts, fc.double(), fc.nat(2 ** 31 - 1).map(String))
    fc.assert(
      fc.property(millis, fc.constantFrom("setTimeout", "setInterval"), (millis, name) => {
        simulated((simulation) => {
          let fired: number | undefined
          const timer = globalThis[name as "setTimeout"](() => {
            fired ??= simulation.now
            clearTimeout(timer)
          }, millis as number)
          simulation.pass(2 ** 32)
          const asked = Number(millis)
          const fits = asked >= 1 && asked < 2 ** 31
          assert.equal(fired, 0.25 + (fits ? Math.floor(asked) : 1))
        })
      }),
    )
  })

  test("refuse what is no function", () => {
    simulated((simulation) => {
      const text = "assert.fail()" as unknown as () => void
      assert.throws(
        () => setTimeout(text, 1),
        /^TypeError: setTimeout takes a function, not string/,
      )
      assert.throws(() => setInterval(text, 1), /setInterval takes/)
      assert.throws(() => setImmediate(text), /setImmediate takes/)
      simulation.pass(100)
    })
  })

  test("abort the signals of AbortSignal.timeout", () => {
    simulated((simulation) => {
      const signal = AbortSignal.timeout(10)
      simulation.pass(10)
      assert.equal(signal.aborted, false)
      simulation.pass(11)
      assert.equal(signal.aborted, true)
      assert.equal(signal.reason.name, "TimeoutError")
      for (const millis of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.throws(() => AbortSignal.timeout(millis), TypeError)
      }
    })
  })
})

describe("in mode virtual, random", () => {
  test("numbers fill 0 up to below 1", () => {
    assert.equal(
      simulated(
        () => Math.random(),
        () => 0,
      ),
      0,
    )
    assert.equal(
      simulated(
        () => Math.random(),
        () => -1,
      ),
      1 - 2 ** -53,
    )
    // The first draw counts most.
    assert.equal(
      simulated(
        () => Math.random(),
        (n) => (n === 0 ? 2 ** 31 : 0),
      ),
      0.5,
    )
  })

  test("bytes are the draws', however many and into whatever array", () => {
    const arrays = fc.constantFrom(Uint8Array, Int16Array, Uint32Array, BigUint64Array)
    fc.assert(
      fc.property(arrays, fc.nat(20), fc.nat(3), (Typed, length, skip) => {
        const start = skip * Typed.BYTES_PER_ELEMENT
        const buffer = new ArrayBuffer(start + length * Typed.BYTES_PER_ELEMENT + 8)
        const array = new Typed(buffer, start, length)
        assert.equal(
          simulated(() => crypto.getRandomValues(array)),
          array,
        )
        const expected = Array.from({ length: buffer.byteLength }, (_, i) => {
          const at = i - start
          const within = at >= 0 && at < array.byteLength
          return within ? (mixed(at >>> 2) >>> (8 * (at & 3))) & 0xff : 0
        })
        assert.deepEqual([...new Uint8Array(buffer)], expected)
      }),
    )
  })

  test("bytes are refused where the real ones are", () => {
    simulated(() => {
      const floats = new Float64Array(1) as unknown as Uint8Array<ArrayBuffer>
      assert.throws(() => crypto.getRandomValues(floats))
    })
  })

  test("UUIDs are of version 4, and the same for the same draws", () => {
    const uuid = (draw: (n: number) => number): string => simulated(() => crypto.randomUUID(), draw)
    assert.equal(
      uuid(() => 0),
      "00000000-0000-4000-8000-000000000000",
    )
    assert.equal(
      uuid(() => -1),
      "ffffffff-ffff-4fff-bfff-ffffffffffff",
    )
    assert.equal(
      uuid((n) => 0x03020100 + n * 0x04040404),
      "00010203-0405-4607-8809-0a0b0c0d0e0f",
    )
  })
})

describe("in mode virtual, the network", () => {
  test("fails: there is nothing that stands in for it", () => {
    simulated(() => {
      const leak = { _tag: "NondeterminismLeak", what: "fetch()", where: 'node "a"' }
      assert.throws(() => fetch("http://localhost"), leak)
      assert.throws(() => new BroadcastChannel("b"), { ...leak, what: "new BroadcastChannel()" })
    })
  })
})
