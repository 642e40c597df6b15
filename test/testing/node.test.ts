import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Effect from "effect/Effect"
import { NodeStopped } from "../../src/runtime/errors.ts"
import type { NodeEvent } from "../../src/runtime/events.ts"
import * as Process from "../../src/runtime/process.ts"
import { InvalidOption } from "../../src/runtime/rejections.ts"
import type { SimNode } from "../../src/testing/nodes/node.ts"
import type { Sim } from "../../src/testing/nodes/sim.ts"
import { type Simulated, type SimulateOptions, simulate } from "../../src/testing/simulate.ts"
import { keyOn, Station } from "./stations.ts"

/** Runs it on nodes with stations. */
function stations<A>(
  nodes: number,
  body: (sim: Sim, nodes: ReadonlyArray<SimNode>) => Promise<A>,
  options: Partial<SimulateOptions> = {},
): Promise<Simulated<A>> {
  const all = { nodes, processes: [Station], directory: false as const, ...options }
  return simulate(all, (sim) => body(sim, sim.nodes))
}

/** What a promise is rejected with, and its outcome. */
async function error(promise: Promise<unknown>): Promise<Error & { readonly outcome?: string }> {
  return promise.then(
    () => assert.fail("it wasn't rejected"),
    (error: Error) => error,
  )
}

describe("a node that crashes", () => {
  test("fails what waits for it, with an outcome that nobody knows", async () => {
    await stations(2, async (sim, [a, b]) => {
      const ref = await a!.start(Station, keyOn(sim, b!))
      const { now } = sim
      const calls = [a!.settled(), ref.sleep(60_000), a!.start(Station, "other")].map(error)
      sim.crash(a!)
      for (const failed of await Promise.all(calls)) {
        assert.ok(failed instanceof NodeStopped)
        assert.equal(failed.outcome, "unknown")
      }
      assert.equal(sim.now, now)
      assert.equal(a!.running, false)
      assert.deepEqual(sim.waiting, [])
    })
  })

  test("leaves alone what waits for others", async () => {
    await stations(2, async (sim, [a, b]) => {
      const ref = await b!.start(Station, keyOn(sim, b!))
      const call = ref.sleep(1_000)
      a!.crash()
      assert.equal(await call, "b")
    })
  })

  test("with its machine is missed later than one that only crashes", async () => {
    for (const machine of [false, true])
      await stations(3, async (sim, [a, b]) => {
        sim.crash(a!, { machine })
        await sim.advance(100)
        const [status] = b!.members().map(({ status }) => status)
        assert.equal(status === "up", machine)
      })
  })

  test("does nothing of what is asked of it later, and says so", async () => {
    await stations(2, async (_, [a]) => {
      const ref = a!.ref(Station, "x")
      a!.crash()
      a!.crash()
      const later = [ref.node(), a!.start(Station, "x"), a!.settled(), a!.connect("b")]
      for (const failed of await Promise.all(later.map(error))) {
        assert.ok(failed instanceof NodeStopped)
        assert.equal(failed.outcome, "not-executed")
      }
      for (const ask of [() => a!.members(), () => a!.count(), () => ref.cast.mark("x")])
        assert.throws(ask, NodeStopped)
      // That it ends is what was asked for.
      await a!.stop()
      await a!.leave()
    })
  })

  /** What the processes of a tell while it ends in this way. */
  async function told(end: (sim: Sim, a: SimNode) => unknown): Promise<ReadonlyArray<string>> {
    const log: Array<string> = []
    const Told = Process.define("Told", {
      state: () => 0,
      calls: {
        rest: () =>
          Effect.ensuring(
            Effect.never,
            Effect.sync(() => log.push("finalizer")),
          ),
        promise: async (self) => {
          await new Promise((resolve) => self.signal.addEventListener("abort", resolve))
          log.push("aborted")
        },
      },
      // The others may have had it, and hand it back.
      stopping: ({ node }) => node === "a" && log.push("stopping"),
    })
    await simulate({ nodes: 2, processes: [Told], directory: false }, async (sim) => {
      const [a] = sim.nodes
      const keys = Array.from({ length: 20 }, (_, i) => `${i}`)
      const mine = keys.filter((key) => a!.nodeFor(Told, key) === "a")
      const refs = await Promise.all(mine.slice(0, 3).map((key) => a!.start(Told, key)))
      for (const call of [refs[0]!.try.rest(), refs[1]!.try.promise()]) void call
      await sim.advance(100)
      await end(sim, a!)
      await sim.advance("20 seconds")
    })
    return log.toSorted()
  }

  test("runs no finalizers and no hooks, where one that stops or leaves does", async () => {
    assert.deepEqual(await told((_, a) => a.crash()), [])
    assert.deepEqual(await told((_, a) => a.crash({ machine: true })), [])
    assert.deepEqual(await told((_, a) => a.restart()), [])
    assert.deepEqual(await told((_, a) => a.stop()), ["aborted", "finalizer"])
    assert.ok((await told((_, a) => a.leave())).includes("stopping"))
  })

  test("ends what reads its events, once these are read", async () => {
    for (const how of ["crash", "stop"] as const)
      await stations(2, async (sim, [a, b]) => {
        const events: Array<NodeEvent["_tag"]> = []
        const stream = a!.events()
        b!.crash()
        await sim.advance("10 seconds")
        void a![how]()
        for await (const event of stream) events.push(event._tag)
        assert.ok(events.includes("MemberDown"))
        assert.equal(events.includes("Stopped"), how === "stop")
      })
  })
})

describe("a node that is restarted", () => {
  test("serves when that resolves, and references work as before", async () => {
    await stations(3, async (sim, [a, b]) => {
      const ref = await a!.start(Station, keyOn(sim, b!))
      const other = await b!.start(Station, ref.key)
      await ref.add(5)
      await other.add(5)
      const before = b!
      b!.crash()
      await b!.restart()
      assert.equal(b!.running, true)
      assert.equal(sim.nodes[1], before)
      await sim.converged()
      assert.deepEqual([await ref.node(), await other.node()], ["b", "b"])
      // A running one crashes first.
      await b!.restart()
      await sim.converged()
      assert.equal(await other.node(), "b")
    })
  })

  test("is another instance, or, with its clock set back, seems to be an older one", async () => {
    await stations(3, async (sim, [, b]) => {
      await b!.restart()
      await sim.converged()
      const wall = b!.clock.now()
      assert.equal(wall, Date.UTC(2020) + sim.now)
      sim.events.length = 0
      await b!.restart({ stale: true })
      assert.ok(b!.clock.now() < wall)
      // The others know of a younger one: it has to become younger yet before they take it.
      await sim.converged()
      assert.ok(sim.events.some(({ event }) => event._tag === "MemberUp" && event.node === "b"))
    })
  })

  test("goes on if it stood still, for that was its old program", async () => {
    await stations(2, async (sim, [a]) => {
      a!.pause()
      await sim.advance("1 second")
      await a!.restart()
      assert.equal(a!.paused, false)
      await sim.converged()
    })
  })

  test("rejects with the reason if it can't start", async () => {
    let starts = 0
    const options = () => (++starts <= 2 ? {} : { weight: -1 })
    await stations(
      2,
      async (_, [a]) => {
        assert.ok((await error(a!.restart())) instanceof InvalidOption)
        assert.equal(a!.running, false)
      },
      { options },
    )
  })
})

describe("a node that starts", () => {
  test("does what it is asked for once it serves", async () => {
    await stations(
      2,
      async (sim, [a]) => {
        const ref = a!.ref(Station, "x")
        const [started, settled] = [a!.start(Station, "x"), a!.settled()]
        assert.equal(sim.now, 0)
        await Promise.all([started, settled])
        assert.equal(typeof (await ref.node()), "string")
      },
      { formed: false },
    )
  })

  test("can be stopped before it serves", async () => {
    for (const how of ["stop", "leave"] as const)
      await stations(
        2,
        async (sim, [a, b]) => {
          await a![how]()
          assert.equal(a!.running, false)
          await sim.converged()
          assert.equal(b!.running, true)
        },
        { formed: false },
      )
  })

  test("can join later, and is one of the nodes then", async () => {
    await stations(2, async (sim, [a, b]) => {
      const c = await sim.join()
      assert.deepEqual([c.name, c.index, sim.nodes[2] === c], ["c", 2, true])
      assert.equal(c.members().length > 0, true, "it doesn't serve")
      await sim.converged()
      const ref = await a!.start(Station, keyOn(sim, c))
      assert.equal(await ref.node(), "c")
      const cut = sim.partition([c])
      await sim.advance("20 seconds")
      assert.deepEqual(
        b!.members().map(({ name, status }) => `${name} ${status}`),
        ["a up", "b up", "c down"],
      )
      cut.end()
      await sim.converged()
    })
  })
})

describe("a node that stands still", () => {
  test("runs no code, and does what came once it goes on", async () => {
    await stations(2, async (sim, [a]) => {
      const ref = await a!.start(Station, keyOn(sim, a!))
      a!.pause()
      a!.pause()
      assert.equal(a!.paused, true)
      let done = false
      const call = ref.add(3).then(() => {
        done = true
      })
      ref.cast.mark("x")
      await sim.advance("1 second")
      assert.equal(done, false)
      a!.resume()
      assert.equal(a!.paused, false)
      await call
      a!.resume()
    })
  })

  test("is not among those who have to agree", async () => {
    await stations(3, async (sim, [a]) => {
      a!.pause()
      await sim.advance("20 seconds")
      assert.equal(sim.calm(), undefined)
      a!.resume()
      assert.notEqual(sim.calm(), undefined)
      await sim.converged()
    })
  })

  test("stands still again after all faults were ended", async () => {
    await stations(2, async (sim, [a]) => {
      for (const how of ["pause", "suspend"] as const) {
        a![how]()
        sim.faults.end()
        assert.equal(a!.paused, false)
        a![how]()
        assert.equal(a!.paused, true)
        a!.resume()
        assert.equal(a!.paused, false)
      }
    })
  })

  test("stays so, and one that is down too, when the faults of the network are healed", async () => {
    await stations(4, async (sim, [a, b, c, d]) => {
      a!.pause()
      b!.suspend()
      sim.fault({ kind: "crash", node: 2 })
      d!.throttle("1 second")
      d!.clock.freeze()
      sim.isolate(d!)
      sim.link(a!, d!, { loss: 0.1, drop: 0.1, duplicate: 0.1, corrupt: 0.1, delay: 10 })
      assert.equal(sim.faults.going.length, 11)
      sim.heal()
      sim.heal()
      assert.deepEqual(sim.faults.going, ["pause a", "suspend b", "crash c"])
      assert.deepEqual([a!.paused, b!.paused, c!.running], [true, true, false])
    })
  })

  test("throttled, fires timers at multiples of a time until that is 0", async () => {
    await stations(1, async (sim, [a]) => {
      const ref = await a!.start(Station, "x")
      a!.throttle("1 minute")
      a!.throttle("1 second")
      await ref.sleep(10)
      assert.equal(sim.now, 1_000)
      a!.throttle(0)
      assert.deepEqual(sim.faults.going, [])
      await ref.sleep(10)
      assert.ok(sim.now < 1_012)
    })
  })
})

describe("the clocks of a node", () => {
  test("can be set, made to drift and frozen, each until that is ended", async () => {
    await stations(2, async (sim, [a, b]) => {
      const start = sim.now
      const { clock } = a!
      clock.step("1 hour")
      clock.step(-1_000)
      assert.equal(clock.now(), Date.UTC(2020) + sim.now + 3_599_000)
      assert.equal(clock.monotonic(), sim.now)
      const drift = clock.drift(10_000)
      await sim.advance("100 seconds")
      drift.end()
      const frozen = clock.freeze()
      await sim.advance("100 seconds")
      frozen.end()
      const off = [clock.monotonic() - sim.now, clock.now() - Date.UTC(2020) - sim.now]
      assert.deepEqual(off.map(Math.round), [1_000, 3_599_000 + 1_000 - 100_000])
      assert.equal(b!.clock.now(), Date.UTC(2020) + sim.now)
      assert.equal(sim.now, start + 200_000)
    })
  })
})

describe("what a simulation tells", () => {
  test("are the events of all nodes, in order, with their time", async () => {
    await stations(3, async (sim, [, b]) => {
      sim.crash(b!)
      await sim.advance("20 seconds")
      const downs = sim.events.filter(({ event }) => event._tag === "MemberDown")
      assert.deepEqual(downs.map(({ node }) => node).toSorted(), ["a", "c"])
      assert.ok(downs.every(({ at }) => at > 100 && at < 20_000))
      const times = sim.events.map(({ at }) => at)
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      )
    })
  })

  test("are the packets to its rules, which decide what becomes of them", async () => {
    await stations(2, async (sim, [a, b]) => {
      const ref = await a!.start(Station, keyOn(sim, b!))
      await sim.advance("1 second")
      const calls: Array<string> = []
      const end = sim.rule(({ from, to, bytes, what }) => {
        if (!/Call|Reply/.test(what)) return "pass"
        assert.ok(bytes > 0)
        calls.push(`${from}>${to} ${what}`)
        return from === "b" ? { delay: "2 seconds" } : "pass"
      })
      const { now } = sim
      await ref.node()
      assert.equal(Math.floor((sim.now - now) / 1_000), 2)
      assert.deepEqual(calls, ["a>b Call", "b>a Reply"])
      end()
      await ref.node()
      assert.equal(calls.length, 2)
    })
  })

  test("is who owns a name, not who somebody believes does", async () => {
    await stations(3, async (sim, [a, b]) => {
      const key = keyOn(sim, b!)
      assert.deepEqual(sim.owners(Station, key), [])
      await a!.start(Station, key)
      assert.deepEqual(sim.owners(Station, key), ["b"])
      sim.isolate(b!)
      await sim.advance("30 seconds")
      assert.equal(sim.owners(Station, key).length, 2)
      sim.crash(b!)
      const [owner, ...others] = sim.owners(Station, key)
      assert.ok(owner === "a" || owner === "c")
      assert.deepEqual(others, [])
    })
  })

  test("are its faults, in words, for which there are short ones", async () => {
    await stations(4, async (sim, [a, b, c, d]) => {
      const going = [
        sim.partition([a!, b!], [c!]),
        sim.isolate(d!),
        sim.oneWay(b!, a!),
        sim.clog(a!, c!),
        sim.link(a!, b!, { loss: 0.1, drop: 0.2, duplicate: 0.3, corrupt: 0.4, delay: "1 second" }),
      ]
      const words = [
        "partition a b | c | d",
        "isolate d",
        "nothing gets from b to a",
        "clog a–c",
        "loss a–b ppm 100000",
        "drop a–b ppm 200000",
        "duplicate a–b ppm 300000",
        "corrupt a–b ppm 400000",
        "delay a–b micros 1000000",
      ]
      assert.deepEqual(sim.faults.going, words)
      assert.deepEqual(
        going.map(({ what }) => what),
        [...words.slice(0, 4), words.slice(4).join(", ")],
      )
      for (const { end } of going) end()
      assert.deepEqual(sim.faults.going, [])
    })
  })

  test("is noisy or not as it was told, each part by itself", async () => {
    await stations(2, async (sim, [a, b]) => {
      const ref = await a!.start(Station, keyOn(sim, b!))
      sim.noise = { latencyMicros: [50_000, 50_000] }
      sim.noise = { lossPpm: 0 }
      const { now } = sim
      await ref.node()
      assert.equal(Math.round(sim.now - now), 100)
    })
  })

  test("is a mistake in the chances of a link", async () => {
    await stations(2, async (sim, [a, b]) => {
      for (const chance of [-0.1, 1.1, Number.NaN])
        assert.throws(() => sim.link(a!, b!, { loss: chance }), RangeError)
    })
  })
})
