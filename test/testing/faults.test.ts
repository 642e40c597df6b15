/** Faults of what is between nodes; those of nodes themselves are in fault-nodes.test.ts. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Trouble } from "../../src/testing/faults/fault.ts"
import type { SimNode } from "../../src/testing/nodes/node.ts"
import { simulate } from "../../src/testing/simulate.ts"
import { near, Station, type Stations, seen, stations, ways } from "./stations.ts"

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
