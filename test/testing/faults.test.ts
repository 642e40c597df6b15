import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Process from "../../src/runtime/process.ts"
import type { Trouble } from "../../src/testing/faults/fault.ts"
import type { Ongoing } from "../../src/testing/faults/faults.ts"
import type { SimNode } from "../../src/testing/nodes/node.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { simulate } from "../../src/testing/simulate.ts"
import { keyOn, Station, Stations, ways } from "./stations.ts"

/** Runs a body on nodes a, b, c …, each with a process. */
async function stations(
  count: number,
  body: (sim: Sim, stations: Stations, nodes: ReadonlyArray<SimNode>) => Promise<void>,
): Promise<void> {
  await simulate({ nodes: count, processes: [Station], directory: false }, async (sim) => {
    await body(sim, await Stations.start(sim), sim.nodes)
  })
}

/** What one node sees of the others: `"b suspect c up"`. */
function seen(node: SimNode | undefined): string {
  const others = (node?.members() ?? []).filter(({ self }) => !self)
  return others.map(({ name, status }) => `${name} ${status}`).join(" ")
}

/** Between two seconds of the run, whose code of the simulator makes timers up to a millisecond late. */
function near(actual: number, wanted: number, tolerance = 5): void {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${actual} instead of ${wanted}`)
}

describe("faults that cut", () => {
  const cuts: ReadonlyArray<readonly [Trouble, string, ReadonlyArray<string>]> = [
    [{ kind: "partition", groups: [[0, 1]] }, "abc", ["a>c", "b>c", "c>a", "c>b"]],
    [{ kind: "partition", groups: [[0], [1]] }, "abc", ways("abc")],
    [{ kind: "isolate", node: 1 }, "abc", ["a>b", "c>b", "b>a", "b>c"]],
    [{ kind: "oneway", from: 0, to: 1 }, "abc", ["a>b"]],
    [{ kind: "clog", link: [0, 2] }, "abc", ["a>c", "c>a"]],
    [{ kind: "ring" }, "abcd", ["a>c", "c>a", "b>d", "d>b"]],
    [{ kind: "bridge", node: 1 }, "abcd", ["a>d", "d>a", "c>d", "d>c"]],
  ]
  for (const [fault, names, cut] of cuts)
    test(`${JSON.stringify(fault)} lets nothing through on these ways, until it ends`, async () => {
      await stations(names.length, async (sim, stations) => {
        assert.deepEqual(await stations.reached(), ways(names))
        const ongoing = sim.fault(fault)
        assert.deepEqual(await stations.reached(), ways(names, ...cut))
        ongoing.end()
        await sim.advance("1 second")
        assert.deepEqual(await stations.reached(), ways(names))
      })
    })

  test("a partition that lasts makes its sides take each other for down, and ends in one cluster", async () => {
    await stations(5, async (sim, _, [a, , c]) => {
      const ongoing = sim.fault({ kind: "partition", groups: [[0, 1]] })
      await sim.advance("30 seconds")
      assert.equal(seen(a), "b up c down d down e down")
      assert.equal(seen(c), "a down b down d up e up")
      ongoing.end()
      await sim.converged()
      assert.equal(seen(a), "b up c up d up e up")
    })
  })

  test("an isolated node is down for the others, and they for it", async () => {
    await stations(3, async (sim, _, [a, b]) => {
      const ongoing = sim.fault({ kind: "isolate", node: 0 })
      await sim.advance("30 seconds")
      assert.deepEqual([seen(a), seen(b)], ["b down c down", "a down c up"])
      ongoing.end()
      await sim.converged()
    })
  })

  test("a node that joins behind a partition is with those who are in none of its groups", async () => {
    await stations(3, async (sim, _, [a, b]) => {
      const ongoing = sim.fault({ kind: "partition", groups: [[0]] })
      const d = await sim.join()
      await sim.advance("30 seconds")
      assert.deepEqual(
        [seen(a), seen(b), seen(d)],
        ["b down c down", "a down c up d up", "a down b up c up"],
      )
      ongoing.end()
      await sim.converged()
      assert.equal(seen(a), "b up c up d up")
    })
  })

  test("what a clog held comes in a burst when it ends", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      const ongoing = sim.fault({ kind: "clog", link: [1, 0] })
      const calls = [1, 2, 3].map((by) => stations.ref(a!, b!).add(by))
      await sim.advance("1 second")
      ongoing.end()
      const { now } = sim
      assert.deepEqual(await Promise.all(calls), [1, 3, 6])
      near(sim.now, now)
    })
  })

  test("a swizzle clogs one node after the other, and frees them the other way round", async () => {
    await stations(4, async (sim, stations) => {
      const ongoing = sim.fault({ kind: "swizzle", nodes: [2, 0, 6] })
      const alone = (name: string): ReadonlyArray<string> =>
        ways("abcd").filter((way) => way.includes(name))
      assert.deepEqual(await stations.reached(95), ways("abcd", ...alone("c")))
      await sim.advance(10)
      assert.deepEqual(await stations.reached(95), ways("abcd", ...alone("c"), ...alone("a")))
      await sim.advance(1_000)
      ongoing.end()
      // The answers of what was held first.
      await sim.advance(5)
      assert.deepEqual(await stations.reached(90), ways("abcd", ...alone("c")))
      await sim.advance(10)
      assert.deepEqual(await stations.reached(), ways("abcd"))
    })
  })
})

describe("faults of packets", () => {
  /** The longest of so many trips one after the other. */
  async function longest(stations: Stations, from: SimNode, to: SimNode): Promise<number> {
    let max = 0
    for (let i = 0; i < 40; i++) max = Math.max(max, await stations.trip(from, to))
    return max
  }

  test("loss makes some late on its link, and loses none; without a link, on all", async () => {
    await stations(3, async (sim, stations, [a, b, c]) => {
      for (const link of [[3, 1] as const, undefined]) {
        const ongoing = sim.fault({ kind: "loss", link, ppm: 100_000 })
        assert.ok((await longest(stations, a!, b!)) >= 200)
        const other = await longest(stations, a!, c!)
        assert.ok(link === undefined ? other >= 200 : other < 5, `${other}`)
        ongoing.end()
        // Until nothing is late any more that was sent before.
        await sim.advance("15 seconds")
        assert.ok((await longest(stations, a!, b!)) < 5)
      }
    })
  })

  test("drop loses for good, and no more once it ends", async () => {
    await stations(3, async (sim, stations) => {
      const ongoing = sim.fault({ kind: "drop", link: [0, 1], ppm: 1_000_000 })
      assert.deepEqual(await stations.reached(), ways("abc", "a>b", "b>a"))
      ongoing.end()
      assert.deepEqual(await stations.reached(1_000), ways("abc"))
    })
  })

  test("duplicate brings packets twice, and once again when it ends", async () => {
    await stations(2, async (sim, stations) => {
      const ongoing = sim.fault({ kind: "duplicate", ppm: 1_000_000 })
      assert.deepEqual(await stations.reached(), ["a>b", "a>b", "b>a", "b>a"])
      ongoing.end()
      assert.deepEqual(await stations.reached(), ["a>b", "b>a"])
    })
  })

  test("corrupt garbles packets until it ends, and connections are made anew then", async () => {
    await stations(3, async (sim, stations) => {
      const ongoing = sim.fault({ kind: "corrupt", link: [0, 1], ppm: 1_000_000 })
      assert.deepEqual(await stations.reached(), ways("abc", "a>b", "b>a"))
      await sim.advance("10 seconds")
      ongoing.end()
      await sim.advance("20 seconds")
      assert.deepEqual(await stations.reached(), ways("abc"))
    })
  })

  test("delay makes packets later by so much, in both directions, on its link", async () => {
    await stations(3, async (sim, stations, [a, b, c]) => {
      const ongoing = sim.fault({ kind: "delay", link: [0, 1], micros: 300_000 })
      near(await stations.trip(a!, b!), 600)
      near(await stations.trip(b!, a!), 600)
      near(await stations.trip(a!, c!), 0)
      ongoing.end()
      await sim.advance("1 second")
      near(await stations.trip(a!, b!), 0)
    })
  })

  test("slow makes what a node sends and gets take so many times as long, and its timers late", async () => {
    await stations(3, async (sim, stations, [a, b, c]) => {
      const ongoing = sim.fault({ kind: "slow", node: 1, factor: 100 })
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        const trip = await stations.trip(from!, to!)
        assert.ok(trip > 40 && trip < 160, `${trip}`)
      }
      near(await stations.trip(a!, c!), 0)
      const sleeps: Array<number> = []
      for (let i = 0; i < 10; i++) {
        const { now } = sim
        await stations.ref(b!, b!).sleep(1_000)
        sleeps.push(sim.now - now - 1_000)
      }
      assert.ok(Math.min(...sleeps) >= 0 && Math.max(...sleeps) < 101)
      assert.ok(Math.max(...sleeps) > 20)
      ongoing.end()
      near(await stations.trip(a!, b!), 0)
    })
  })

  test("mtu cuts what is written into chunks of so many bytes, without harm", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      const sizes = { during: 0, later: 0 }
      let phase: keyof typeof sizes = "during"
      sim.rule(({ bytes }) => {
        sizes[phase] = Math.max(sizes[phase], bytes)
        return "pass"
      })
      const ongoing = sim.fault({ kind: "mtu", bytes: 7 })
      assert.deepEqual(await stations.reached(), ways("ab"))
      assert.equal(await stations.ref(a!, b!).add(2), 2)
      assert.equal(sizes.during, 7)
      ongoing.end()
      phase = "later"
      await stations.trip(a!, b!)
      assert.ok(sizes.later > 7)
    })
  })

  test("queue makes senders wait from so many bytes on, without harm", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      let packets = 0
      sim.rule(({ what }) => {
        if (what === "Call") packets++
        return "pass"
      })
      const burst = async (): Promise<number> => {
        packets = 0
        const calls: Array<Promise<number>> = []
        for (let i = 0; i < 30; i++) {
          calls.push(stations.ref(a!, b!).add(1))
          await sim.advance(0.05)
        }
        await Promise.all(calls)
        return packets
      }
      const free = await burst()
      const ongoing = sim.fault({ kind: "queue", bytes: 1 })
      const held = await burst()
      // Who waits writes more at a time.
      assert.ok(held < free / 2, `${held} of ${free}`)
      ongoing.end()
      assert.equal(await burst(), free)
      assert.equal(await stations.ref(a!, b!).add(0), 90)
    })
  })
})

describe("faults of connections", () => {
  test("reset loses what is under way, and new connections are made", async () => {
    await stations(3, async (sim, stations, [a, b, c]) => {
      const calls = [stations.ref(a!, b!), stations.ref(a!, c!)].map((ref) => ref.try.sleep(1_000))
      await sim.advance(100)
      sim.fault({ kind: "reset", link: [1, 0] }).end()
      const [lost, kept] = await Promise.all(calls)
      assert.equal(!lost?.ok && lost?.error._tag, "NodeDown")
      assert.ok(kept?.ok)
      await sim.advance("2 seconds")
      assert.deepEqual(await stations.reached(), ways("abc"))
      assert.equal(seen(a), "b up c up")
    })
  })

  test("halfOpen lets them carry nothing, and tells nobody; new ones work", async () => {
    await stations(2, async (sim, stations, [a, b]) => {
      sim.fault({ kind: "halfOpen", link: [0, 1] }).end()
      const call = stations.ref(a!, b!).with({ timeout: 500 }).try.node()
      assert.deepEqual(await stations.reached(1_000), [])
      const answer = await call
      assert.equal(!answer.ok && answer.error._tag, "Timeout")
      assert.equal(seen(a), "b up")
      // They find out by themselves, and connect again.
      await sim.advance("30 seconds")
      assert.deepEqual(await stations.reached(), ways("ab"))
    })
  })

  test("strand refuses what a node dials, until it ends; others can dial it", async () => {
    const options = { nodes: 2, formed: false, processes: [Station], directory: false as const }
    for (const stranded of [[0], [1], [0, 1]])
      await simulate(options, async (sim) => {
        const ongoing = stranded.map((node) => sim.fault({ kind: "strand", node }))
        await sim.advance("20 seconds")
        assert.equal(sim.calm() === undefined, stranded.length === 1)
        for (const { end } of ongoing) end()
        await sim.advance("20 seconds")
        assert.equal(sim.calm(), undefined)
      })
  })
})

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
