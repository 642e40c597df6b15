import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { Ref } from "../../src/runtime/definition.ts"
import * as Process from "../../src/runtime/process.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { type Simulated, type SimulateOptions, simulate } from "../../src/testing/simulate.ts"

describe("handlers", () => {
  const log: Array<string> = []
  const Worker = Process.define("Worker", {
    state: () => ({ n: 0 }),
    calls: {
      effect: () =>
        Effect.gen(function* () {
          const start = yield* Clock.monotonicTimeNanos
          const before = yield* Clock.currentTimeMillis
          const child = yield* Effect.forkChild(Effect.as(Effect.sleep("2 seconds"), "child"))
          yield* Effect.sleep("1 second")
          const promised = yield* Effect.promise(() => Promise.resolve("promise"))
          const child2 = yield* Fiber.join(child)
          const late = yield* Effect.timeoutOption(Effect.never, "500 millis")
          const after = yield* Clock.currentTimeMillis
          const nanos = (yield* Clock.monotonicTimeNanos) - start
          return [
            child2,
            promised,
            late._tag,
            after - before,
            Math.floor(Number(nanos) / 1e6),
          ] as const
        }),
      random: () => Effect.all([Random.next, Random.nextInt, Random.nextIntBetween(1, 7)]),
      repeat: () =>
        Effect.map(
          Effect.timed(Effect.repeat(Effect.void, { schedule: Schedule.spaced(100), times: 5 })),
          ([duration]) => Duration.toMillis(duration),
        ),
      sleep: () => Effect.sleep(5),
      raced: () => Effect.asVoid(Effect.timeoutOption(Effect.sleep(5), "10 seconds")),
      spin: () => Effect.forever(Effect.yieldNow),
      promise: async (self, millis: number) => {
        await Promise.resolve()
        self.after(millis, "tick", "after")
        return self.node
      },
      gated: async (self) => {
        await new Promise<void>((resolve) => gates.push(resolve))
        self.after(100, "tick", "ghost")
      },
      count: (self) => self.state.n,
      cancel: (self) => {
        const cancel = self.after(1_000, "tick", "cancelled")
        self.after(500, "stop")
        stops.push(cancel)
      },
    },
    casts: {
      tick: (self, what: string) => {
        self.state.n++
        log.push(what)
      },
      stop: () => stops.pop()?.(),
    },
  })
  const stops: Array<() => void> = []
  const gates: Array<() => void> = []

  /** Runs it with a worker on another node than the one that asks. */
  function worked<A>(
    body: (sim: Sim, worker: Ref<typeof Worker>) => Promise<A>,
    options: Partial<SimulateOptions> = {},
  ): Promise<Simulated<A>> {
    log.length = 0
    const all = { nodes: 2, processes: [Worker], directory: false as const, ...options }
    return simulate(all, async (sim) => {
      const ref = await sim.nodes[0]!.start(Worker, "x")
      return body(sim, ref)
    })
  }

  test("that are Effects sleep, fork, time out and read clocks in simulated time", async () => {
    await worked(async (sim, worker) => {
      const { now } = sim
      const [child, promised, late, wall, mono] = await worker.effect()
      assert.deepEqual([child, promised, late], ["child", "promise", "None"])
      const took = sim.now - now
      assert.ok(took >= 2_500 && took < 2_510, `${took}`)
      for (const millis of [wall, mono]) assert.ok(Math.abs(millis - took) < 5, `${millis}`)
    })
  })

  test("that are Effects repeat by schedules in simulated time", async () => {
    await worked(async (_, worker) => {
      const millis = await worker.repeat()
      assert.ok(millis >= 500 && millis < 510, `${millis}`)
    })
  })

  test("that are Effects leave no timers behind of what was interrupted", async () => {
    const counts: Array<number> = []
    for (const method of ["sleep", "raced"] as const) {
      const { events } = await worked(
        async (sim, worker) => {
          await worker[method]()
          await sim.advance("20 seconds")
        },
        { nodes: 1 },
      )
      counts.push(events)
    }
    assert.equal(counts[1], counts[0])
  })

  test("draw random numbers from the seed, of their node's own", async () => {
    const draw = (seed: number): Promise<Simulated<ReadonlyArray<unknown>>> =>
      worked(async (_, worker) => [await worker.random(), await worker.random()], { seed })
    const [one, same, other] = [await draw(1), await draw(1), await draw(2)]
    assert.deepEqual(one.value, same.value)
    assert.notDeepEqual(one.value, other.value)
    assert.notDeepEqual(one.value[0], one.value[1])
    for (const [double, int, die] of one.value as ReadonlyArray<[number, number, number]>) {
      assert.ok(double >= 0 && double < 1)
      assert.ok(Number.isSafeInteger(int))
      assert.ok(Number.isInteger(die) && die >= 1 && die <= 7)
    }
  })

  test("that never rest are a livelock, and don't hang the program", async () => {
    await assert.rejects(
      worked((_, worker) => worker.spin()),
      /^SimulationFailed: livelock failed .* events within one millisecond/,
    )
  })

  test("that are promises go on by themselves, and self.after takes simulated time", async () => {
    await worked(async (sim, worker) => {
      const { now } = sim
      assert.equal(typeof (await worker.promise(60_000)), "string")
      assert.ok(sim.now - now < 5)
      await sim.advance(59_000)
      assert.equal(await worker.count(), 0)
      await sim.advance(1_010)
      assert.equal(await worker.count(), 1)
      await worker.cancel()
      await sim.advance("2 seconds")
      assert.deepEqual(log, ["after"])
    })
  })

  test("that a crash has left over do nothing to the program after it", async () => {
    await worked(
      async (sim, worker) => {
        const call = worker.try.gated()
        const [a] = sim.nodes
        a!.crash()
        assert.equal((await call).ok, false)
        await a!.restart()
        for (const open of gates.splice(0)) open()
        await sim.advance("1 second")
        assert.deepEqual(log, [])
      },
      { nodes: 1 },
    )
  })

  test("of a node that has crashed never go on", async () => {
    await worked(async (sim, worker) => {
      await worker.promise(1_000)
      for (const node of sim.nodes) node.crash()
      await assert.rejects(
        sim.until("never", () => false, "1 minute"),
        /never failed/,
      )
      assert.deepEqual(log, [])
    })
  })
})
