import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Chance from "../../src/testing/world/chance.ts"
import { Host, LATE_MICROS_MAX } from "../../src/testing/world/host.ts"
import { difference, type Happening, Trace, toLines } from "../../src/testing/world/trace.ts"
import { type Job, World } from "../../src/testing/world/world.ts"

function made(keep = false): World {
  return new World({ name: "test", seed: 1, keep })
}

describe("the queue of a world", () => {
  test("lets things happen by time, and of one time in the order they were asked for", () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 }), { maxLength: 200 }), (times) => {
        const world = made()
        const happened: Array<readonly [at: number, i: number]> = []
        times.forEach((at, i) => {
          world.at(at, () => happened.push([world.now, i]))
        })
        world.run(100)
        const sorted = times.map((at, i) => [at, i] as const).sort(([a], [b]) => a - b)
        assert.deepEqual(happened, sorted)
      }),
    )
  })

  test("does so as well when things ask for more and take others back", () => {
    const plan = fc.array(
      fc.record({ after: fc.nat({ max: 9 }), more: fc.nat({ max: 9 }), take: fc.nat() }),
      { minLength: 1, maxLength: 100 },
    )
    fc.assert(
      fc.property(plan, (all) => {
        const world = made()
        const jobs: Array<Job> = []
        const happened: Array<Job> = []
        const ask = (micros: number, run: () => void): void => {
          const job = world.later(micros, () => {
            happened.push(job)
            assert.equal(world.now, job.at)
            run()
          })
          jobs.push(job)
        }
        const taken = new Set<Job>()
        for (const { after, more, take } of all) {
          ask(after, () => {
            ask(more, () => {})
            const victim = jobs[take % jobs.length] as Job
            if (!happened.includes(victim)) taken.add(victim)
            victim.run = undefined
          })
        }
        while (world.step());
        const wanted = jobs.filter((job) => !taken.has(job))
        wanted.sort((a, b) => a.at - b.at || a.order - b.order)
        assert.deepEqual(happened, wanted)
      }),
    )
  })

  test("tells when the next thing happens that was not taken back", () => {
    const world = made()
    assert.equal(world.next(), undefined)
    const first = world.at(5, () => {})
    world.at(7, () => {})
    assert.equal(world.next(), 5)
    first.run = undefined
    assert.equal(world.next(), 7)
    assert.equal(world.now, 0)
    assert.equal(world.step(), true)
    assert.equal(world.next(), undefined)
    assert.equal(world.step(), false)
  })

  test("does nothing that is due later than until when it may", () => {
    const world = made()
    const happened: Array<number> = []
    for (const at of [10, 20, 30]) world.at(at, () => happened.push(at))
    assert.equal(world.step(9), false)
    assert.equal(world.now, 0)
    assert.equal(world.step(10), true)
    world.run(25)
    assert.deepEqual(happened, [10, 20])
    assert.equal(world.now, 25)
    world.run(3)
    assert.equal(world.now, 25)
  })

  test("does at once, and last, what was due already, and counts whole microseconds", () => {
    const world = made()
    world.run(100)
    const happened: Array<string> = []
    world.later(0, () => happened.push("first"))
    world.at(50, () => happened.push("late"))
    world.later(-7, () => happened.push("negative"))
    world.later(0.2, () => happened.push(String(world.now)))
    world.run(200)
    assert.deepEqual(happened, ["first", "late", "negative", "101"])
  })
})

describe("causes", () => {
  test("are the event in whose course something was asked for", () => {
    const world = made(true)
    const note = (name: string): Happening => ({ kind: "phase", what: name })
    world.record(() => note("zero"))
    world.later(10, () => {
      world.record(() => note("one"))
      world.later(10, () => void world.record(() => note("two")))
      world.record(() => note("three"))
    })
    world.later(5, () => void world.record(() => note("four")))
    world.run(100)
    const told = world.trace.events.map(({ at, by, ...event }) => [
      at,
      by,
      event.kind === "phase" && event.what,
    ])
    assert.deepEqual(told, [
      [0, undefined, "zero"],
      [5, 0, "four"],
      [10, 0, "one"],
      [10, 2, "three"],
      [20, 2, "two"],
    ])
  })
})

describe("a trace", () => {
  const header = { name: "test", seed: 1, nodes: ["a"] }
  const phase = (what: string) => (): Happening => ({ kind: "phase", what })

  test("has one hash for the same numbers, whether events are kept or not", () => {
    const numbers = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat({ max: 2 ** 53 - 1 })))
    fc.assert(
      fc.property(numbers, fc.string(), fc.uint8Array(), (all, text, bytes) => {
        const traces = [new Trace(header, true), new Trace(header, false)]
        for (const trace of traces) {
          for (const three of all) trace.mix(...three)
          trace.mixText(text)
          trace.mixBytes(bytes)
          trace.add(1, undefined, phase("x"))
        }
        assert.equal(traces[0]?.hash, traces[1]?.hash)
        assert.match(traces[0]?.hash ?? "", /^[0-9a-f]{16}$/)
        assert.deepEqual(
          traces.map(({ count, events }) => [count, events.length]),
          [
            [1, 1],
            [1, 0],
          ],
        )
      }),
    )
  })

  test("has another hash when any of them differs, or their order", () => {
    const numbers = fc.array(fc.tuple(fc.nat(), fc.nat(), fc.nat()), { minLength: 1 })
    fc.assert(
      fc.property(numbers, fc.nat(), fc.nat({ max: 2 }), fc.nat({ max: 31 }), (all, i, j, bit) => {
        const hashOf = (some: ReadonlyArray<ReadonlyArray<number>>): string => {
          const trace = new Trace(header, false)
          for (const [a = 0, b = 0, c = 0] of some) trace.mix(a, b, c)
          return trace.hash
        }
        const at = i % all.length
        const one = all[at] as [number, number, number]
        const other = all.with(at, one.with(j, (one[j]! ^ (1 << bit)) >>> 0) as typeof one)
        assert.notEqual(hashOf(other), hashOf(all))
        assert.notEqual(
          hashOf([...all, [1, 2, 3], [4, 5, 6]]),
          hashOf([...all, [4, 5, 6], [1, 2, 3]]),
        )
        assert.notEqual(hashOf(all), hashOf(all.slice(1)))
      }),
    )
  })

  test("hashes texts and bytes by all that is in them", () => {
    const of = (f: (trace: Trace) => void): string => {
      const trace = new Trace(header, false)
      f(trace)
      return trace.hash
    }
    const bytes = (...all: Array<number>) => of((trace) => trace.mixBytes(Uint8Array.from(all)))
    const hashes = [
      bytes(),
      bytes(0),
      bytes(0, 0),
      bytes(1, 2),
      bytes(2, 1),
      of((trace) => trace.mixText("")),
      of((trace) => trace.mixText("ab")),
      of((trace) => trace.mixText("ba")),
    ]
    assert.equal(new Set(hashes).size, hashes.length)
  })

  test("prints a header, its events and its hash, one JSON a line", () => {
    const trace = new Trace(header, true)
    trace.add(5, undefined, phase("chaos"))
    trace.add(7, 0, phase("peace"))
    const lines = toLines(trace).trimEnd().split("\n")
    assert.deepEqual(
      lines.map((line) => JSON.parse(line)),
      [
        { v: 1, kind: "header", ...header },
        { i: 0, at: 5, kind: "phase", what: "chaos" },
        { i: 1, at: 7, by: 0, kind: "phase", what: "peace" },
        { kind: "end", events: 2, hash: trace.hash },
      ],
    )
  })

  test("tells where two runs part", () => {
    const [one, other] = [new Trace(header, true), new Trace(header, true)]
    for (const trace of [one, other]) trace.add(1, undefined, phase("same"))
    assert.equal(difference(one, other), undefined)
    other.mix(1, 2, 3)
    assert.match(difference(one, other) ?? "", /^the same events, but \w{16} and then \w{16}$/)
    one.add(2, undefined, phase("more"))
    assert.equal(
      difference(one, other),
      'event 1: {"i":1,"at":2,"kind":"phase","what":"more"} and then the end',
    )
    other.add(3, undefined, phase("more"))
    assert.match(difference(one, other) ?? "", /^event 1: .*"at":2.* and then .*"at":3/)
  })
})

describe("a host", () => {
  const SECOND = 1_000_000
  /** A host whose program runs, and when what was asked of it was done. */
  function started(): {
    world: World
    host: Host
    done: Array<string>
    log: (what: string) => void
  } {
    const world = made(true)
    const host = new Host(world, "a")
    host.start()
    const done: Array<string> = []
    return { world, host, done, log: (what) => void done.push(`${what} ${world.now / SECOND}`) }
  }

  test("fires timers at their time or up to a millisecond later, each its own", () => {
    const { world, host } = started()
    const late: Array<number> = []
    for (let i = 0; i < 200; i++) host.timer(i * SECOND, () => late.push(world.now - i * SECOND))
    world.run(300 * SECOND)
    assert.equal(late.length, 200)
    for (const micros of late) assert.ok(micros >= 0 && micros < LATE_MICROS_MAX)
    assert.ok(new Set(late).size > 100)
  })

  test("fires no timer that was cancelled, nor one twice", () => {
    const { world, host, done, log } = started()
    host.timer(SECOND, () => log("cancelled"))()
    const cancel = host.timer(SECOND, () => log("fired"))
    host.timer(SECOND + LATE_MICROS_MAX, () => cancel())
    world.run(5 * SECOND)
    assert.equal(done.length, 1)
    assert.match(done[0] ?? "", /^fired 1\.0/)
    const overdue = host.timer(SECOND, () => log("overdue"))
    host.pause()
    world.run(10 * SECOND)
    overdue()
    host.resume()
    world.run(20 * SECOND)
    assert.equal(done.length, 1)
  })

  test("does nothing any more of a program that ended, also when another runs", () => {
    const { world, host, done, log } = started()
    host.timer(SECOND, () => log("timer"))
    host.soon(SECOND, () => log("soon"))
    host.pause()
    host.io(() => log("held"))
    host.end("crash")
    host.io(() => log("dead"))
    host.start()
    host.resume()
    world.run(5 * SECOND)
    assert.equal(done.length, 0)
    host.io(() => log("alive"))
    assert.deepEqual(done, ["alive 5"])
    assert.equal(host.incarnation, 2)
  })

  test("holds what comes and what is due while it stands still, until the last pause is over", () => {
    const { world, host, done, log } = started()
    host.timer(SECOND, () => log("timer"))
    host.pause()
    host.pause()
    host.io(() => log("one"))
    host.io(() => log("two"))
    world.run(3 * SECOND)
    host.resume()
    assert.deepEqual([host.paused, host.awake, host.running], [true, false, true])
    world.run(4 * SECOND)
    assert.equal(done.length, 0)
    host.resume()
    world.run(5 * SECOND)
    assert.deepEqual(done.toSorted(), ["one 4", "timer 4", "two 4"])
    assert.ok(done.indexOf("one 4") < done.indexOf("two 4"))
    host.resume()
    assert.equal(host.paused, false)
    host.pause()
    assert.equal(host.paused, true)
    host.resume()
    world.run(6 * SECOND)
    assert.equal(done.length, 3)
  })

  test("does either the timers or what has come first after a pause, by chance", () => {
    const { world, host, done, log } = started()
    for (let i = 0; i < 40; i++) {
      host.timer(0, () => log("timer"))
      host.pause()
      host.io(() => log("io"))
      world.run(world.now + SECOND)
      host.resume()
      world.run(world.now + SECOND)
    }
    const timersFirst = done.filter((what, i) => i % 2 === 0 && what.startsWith("timer")).length
    assert.equal(done.length, 80)
    assert.equal(done.filter((what) => what.startsWith("timer")).length, 40)
    assert.ok(timersFirst > 10 && timersFirst < 30, `${timersFirst} of 40`)
  })

  test("sets timers by its own clock: they fire later on a slow one, sooner on a fast one", () => {
    const { world, host, done, log } = started()
    host.clock.drift(0, -500_000)
    host.timer(SECOND, () => log("slow"))
    world.run(10 * SECOND)
    assert.match(done[0] ?? "", /^slow 2\.00/)
    host.clock.drift(world.now, 1_500_000)
    host.timer(SECOND, () => log("fast"))
    world.run(20 * SECOND)
    assert.match(done[1] ?? "", /^fast 10\.50/)
  })

  test("fires no timer before its clock says that it is time, having slept or slowed down", () => {
    const { world, host, done, log } = started()
    host.timer(10 * SECOND, () => log(`at ${host.clock.mono(world.now) >= 10 * SECOND}`))
    world.run(4 * SECOND)
    host.pause("suspend")
    host.clock.suspend(world.now, true)
    world.run(104 * SECOND)
    host.clock.suspend(world.now, false)
    host.resume("wake")
    world.run(107 * SECOND)
    host.clock.drift(world.now, -500_000)
    world.run(109 * SECOND)
    assert.equal(done.length, 0)
    world.run(200 * SECOND)
    assert.match(done[0] ?? "", /^at true 113\.0/)
    assert.equal(done.length, 1)
  })

  test("throttled fires timers at multiples of a time only", () => {
    const { world, host, done, log } = started()
    host.throttleMicros = 60 * SECOND
    host.timer(SECOND, () => log("timer"))
    host.timer(61 * SECOND, () => log("timer"))
    host.soon(SECOND, () => log("soon"))
    world.run(300 * SECOND)
    assert.deepEqual(done, ["soon 1", "timer 60", "timer 120"])
  })

  test("says whose code runs", () => {
    const { world, host } = started()
    const seen: Array<string | undefined> = []
    host.soon(5, () => seen.push(world.current?.name))
    world.later(6, () => seen.push(world.current?.name))
    world.run(10)
    assert.deepEqual(seen, ["a", undefined])
  })

  test("tells the turns of its life", () => {
    const { world, host } = started()
    host.pause()
    host.pause("suspend")
    host.resume()
    host.resume("wake")
    host.end("crash")
    host.end("stop")
    host.pause()
    host.resume()
    host.start()
    const turns = world.trace.events.map((event) => (event.kind === "life" ? event.what : ""))
    assert.deepEqual(turns, ["start", "pause", "wake", "crash", "start"])
  })
})

describe("the chances of a world", () => {
  test("are those of its seed, a uint32", () => {
    const what = Chance.purpose("test")
    const world = new World({ name: "test", seed: -1 })
    assert.equal(world.seed, 0xffff_ffff)
    for (let n = 0; n < 100; n++) {
      assert.equal(world.below(what, 1, 2, n, 1000), Chance.below(0xffff_ffff, what, 1, 2, n, 1000))
      assert.equal(
        world.happens(what, 1, 2, n, 5e5),
        Chance.happens(0xffff_ffff, what, 1, 2, n, 5e5),
      )
    }
  })
})
