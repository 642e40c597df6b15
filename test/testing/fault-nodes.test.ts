/** Faults of nodes and of their clocks. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Process from "../../src/runtime/process.ts"
import type { Trouble } from "../../src/testing/faults/fault.ts"
import type { Ongoing } from "../../src/testing/faults/faults.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { simulate } from "../../src/testing/simulate.ts"
import { keyOn, near, Station, type Stations, seen, stations } from "./stations.ts"

describe("faults of nodes", () => {
  /** The lives of one node's process as it tells them. */
  function told(): { log: Array<string>; Told: typeof Station } {
    const log: Array<string> = []
    const Told = Process.define("Station", {
      ...Station.spec,
      handoff: {},
      started: ({ node, state }) => void log.push(`started ${node} ${state.n}`),
      stopping: ({ node }, reason) => void log.push(`stopping ${node} ${reason}`),
    }) as typeof Station
    return { log, Told }
  }

  /** What its process tells while b ends in some way, and is back ten seconds later. */
  async function ended(
    fault: Trouble,
    during: (sim: Sim, log: ReadonlyArray<string>) => Promise<void>,
  ) {
    const { log, Told } = told()
    await simulate({ nodes: 3, processes: [Told], directory: false }, async (sim) => {
      const [a, b] = sim.nodes
      const ref = await a!.start(Told, keyOn(sim, b!))
      await ref.add(7)
      await sim.advance("1 second")
      log.length = 0
      const ongoing = sim.fault(fault)
      await during(sim, log)
      await sim.advance("10 seconds")
      assert.equal(b!.running, false)
      ongoing.end()
      await sim.converged()
      assert.equal(b!.running, true)
      assert.equal(seen(a), "b up c up")
      assert.equal(b!.whereis(Station, ref.key)?.node, "b")
    })
  }

  test("crash ends a node without a word, and its connections at once; it starts again", async () => {
    await ended({ kind: "crash", node: 1 }, async (sim, log) => {
      const { now } = sim
      await sim.until("a sees it", () => seen(sim.nodes[0]) !== "b up c up")
      near(sim.now, now, 20)
      await sim.advance("10 seconds")
      assert.equal(seen(sim.nodes[0]), "b down c up")
      // With the state of a new one.
      assert.ok(log.length === 1 && /^started [ac] 0$/.test(log[0] ?? ""), log.join())
    })
  })

  test("crash with the machine leaves connections as they are: others have to find out", async () => {
    await ended({ kind: "crash", node: 4, machine: true }, async (sim, log) => {
      const call = sim.nodes[0]!.ref(Station, keyOn(sim, sim.nodes[1]!)).try.node()
      await sim.advance(200)
      assert.equal(seen(sim.nodes[0]), "b up c up")
      assert.equal((await call).ok, false)
      await sim.advance("20 seconds")
      assert.equal(seen(sim.nodes[0]), "b down c up")
      assert.ok(log.length === 1 && /^started [ac] 0$/.test(log[0] ?? ""), log.join())
    })
  })

  test("stop ends a node in order, without handing over; it starts again", async () => {
    await ended({ kind: "stop", node: 1 }, async (sim, log) => {
      await sim.advance("10 seconds")
      assert.ok(sim.events.some(({ node, event }) => node === "b" && event._tag === "Stopped"))
      assert.match(log[0] ?? "", /^started [ac] 0$/)
    })
  })

  test("leave hands over, with the state, and then ends a node; it starts again", async () => {
    await ended({ kind: "leave", node: 1 }, async (sim, log) => {
      await sim.advance("10 seconds")
      assert.equal(seen(sim.nodes[0]), "b left c up")
      assert.match(log[0] ?? "", /^stopping b /)
      assert.ok(
        log.some((line) => /^started [ac] 7$/.test(line)),
        log.join(),
      )
    })
  })

  test("restart replaces a node at once, and its state is lost", async () => {
    for (const stale of [false, true]) {
      const { log, Told } = told()
      await simulate({ nodes: 3, processes: [Told], directory: false }, async (sim) => {
        const [a, b] = sim.nodes
        const ref = await a!.start(Told, keyOn(sim, b!))
        await ref.add(7)
        log.length = 0
        sim.fault({ kind: "restart", node: 1, stale }).end()
        assert.equal(b!.running, true)
        await sim.converged()
        await sim.until("it runs", () => sim.owners(Told, ref.key).length === 1)
        assert.equal(
          log.some((line) => line.startsWith("stopping b")),
          false,
        )
        assert.equal(await ref.add(0), 0)
      })
    }
  })

  test("flap crashes a node so many times, half a second up and half a second down", async () => {
    await simulate({ nodes: 3, processes: [Station], directory: false }, async (sim) => {
      const b = sim.nodes[1]!
      const ups: Array<boolean> = []
      const watch = async (): Promise<void> => {
        await sim.advance(250)
        for (let i = 0; i < 8; i++) {
          ups.push(b.running)
          await sim.advance(500)
        }
      }
      const ongoing = sim.fault({ kind: "flap", node: 1, times: 3 })
      await watch()
      assert.deepEqual(ups, [false, true, false, true, false, true, true, true])
      ongoing.end()
      await sim.converged()
      // Ended in the middle of it, it is up and stays so.
      const other = sim.fault({ kind: "flap", node: 1, times: 30 })
      await sim.advance(1_100)
      assert.equal(b.running, false)
      other.end()
      assert.equal(b.running, true)
      await sim.advance("5 seconds")
      assert.equal(b.running, true)
      await sim.converged()
    })
  })

  test("pause lets a node stand still: what comes waits, others take it for down; it goes on", async () => {
    await stations(3, async (sim, stations, [a, b]) => {
      const ongoing = sim.fault({ kind: "pause", node: 1 })
      const call = stations.ref(a!, b!).with({ timeout: 60_000 }).try.node()
      assert.equal(b!.paused, true)
      await sim.advance("20 seconds")
      assert.equal(seen(a), "b down c up")
      assert.equal(sim.events.filter(({ node, at }) => node === "b" && at > 2_000).length, 0)
      ongoing.end()
      assert.deepEqual([b!.paused, b!.running], [false, true])
      await sim.converged()
      assert.equal((await call).ok, false)
      assert.ok(sim.events.some(({ node, event }) => node === "b" && event._tag === "Slept"))
    })
  })

  test("join adds a node, which leaves when it ends", async () => {
    await stations(2, async (sim, _, [a]) => {
      const ongoing = sim.fault({ kind: "join" })
      await sim.converged()
      assert.deepEqual([sim.nodes.length, seen(a)], [3, "b up c up"])
      ongoing.end()
      await sim.until("it has left", () => sim.nodes[2]?.running === false)
      await sim.converged()
      assert.equal(seen(a), "b up c left")
    })
  })
})

describe("faults of clocks", () => {
  const HOUR = 3_600_000
  const micros = HOUR * 1_000
  /** How far off the wall and the monotonic clock of b are: its own, and those that its handlers see. */
  async function off(sim: Sim, stations: Stations): Promise<ReadonlyArray<number>> {
    const [a, b] = sim.nodes
    const epoch = Date.UTC(2020)
    const [wall, mono] = [b!.clock.now() - epoch - sim.now, b!.clock.monotonic() - sim.now]
    const times = await stations.ref(b!, b!).times()
    near(times[0] - sim.now, wall)
    near(times[1] - sim.now, mono)
    // Nobody else's.
    const others = await stations.ref(a!, a!).times()
    near(others[0], sim.now)
    near(others[1], sim.now)
    return [Math.round(wall) + 0, Math.round(mono) + 0]
  }

  const clocks: ReadonlyArray<
    readonly [Trouble, during: ReadonlyArray<number>, after: ReadonlyArray<number>]
  > = [
    [{ kind: "skew", node: 1, micros }, [HOUR, 0], [0, 0]],
    [{ kind: "skew", node: 3, micros: -micros }, [-HOUR, 0], [0, 0]],
    [{ kind: "step", node: 1, micros }, [HOUR, 0], [HOUR, 0]],
    [{ kind: "drift", node: 1, ppm: 50_000 }, [500, 500], [500, 500]],
    [{ kind: "drift", node: 1, ppm: -50_000 }, [-500, -500], [-500, -500]],
    [{ kind: "freeze", node: 1 }, [-10_000, 0], [-10_000, 0]],
  ]
  for (const [fault, during, after] of clocks)
    test(`${JSON.stringify(fault)} is seen by its node only, until it ends`, async () => {
      await stations(2, async (sim, stations) => {
        assert.deepEqual(await off(sim, stations), [0, 0])
        const ongoing: Ongoing = sim.fault(fault)
        await sim.advance("10 seconds")
        assert.deepEqual(await off(sim, stations), during)
        ongoing.end()
        await sim.advance("10 seconds")
        assert.deepEqual(await off(sim, stations), after)
        assert.equal(sim.calm(), undefined)
      })
    })

  test("suspend lets a node stand still and its monotonic clock too; the wall clock jumps", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      const call = stations.ref(b!, b!).with({ timeout: HOUR }).sleep(2_000)
      const ongoing = sim.fault({ kind: "suspend", node: 1 })
      await sim.advance(1_500)
      ongoing.end()
      const { now } = sim
      await call
      // Its timers go by the monotonic clock.
      near(sim.now - now, 2_000)
      assert.deepEqual(await off(sim, stations), [0, -1_500])
      const other = sim.fault({ kind: "suspend", node: 1 })
      await sim.advance("2 minutes")
      assert.equal(seen(a), "b down")
      other.end()
      near(b!.clock.monotonic() - sim.now, -121_500)
      near(b!.clock.now() - Date.UTC(2020), sim.now)
      await sim.converged()
    })
  })

  test("throttle lets the timers of a node fire at multiples of a time only", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      const ongoing = sim.fault({ kind: "throttle", node: 1, micros: 1_000_000 })
      await stations.ref(b!, b!).sleep(100)
      assert.equal(sim.now % 1_000, 0)
      const { now } = sim
      await stations.ref(b!, b!).sleep(1_001)
      assert.equal(sim.now - now, 2_000)
      await stations.ref(a!, a!).sleep(100)
      near(sim.now - now, 2_100)
      ongoing.end()
      await stations.ref(b!, b!).sleep(100)
      near(sim.now - now, 2_200)
    })
  })
})
