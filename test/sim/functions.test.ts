/** Remote functions in time: nodes that die, networks that are cut, callers that give up. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { Process, Remote } from "skein"
import { type SimNode, simulate } from "skein/testing"

/** Who has run what, and whose signal fired, in the order in which it happened. */
let log: Array<string> = []

const Wait = Remote.define("wait", ({ node, signal }, millis: number) => {
  signal.addEventListener("abort", () => log.push(`${node} aborted`))
  log.push(`${node} began`)
  return Effect.onExit(Effect.as(Effect.sleep(millis), "done"), (exit) =>
    Effect.sync(() => void log.push(`${node} ${exit._tag}`)),
  )
})

/** Never ends by itself, whatever its signal says. */
const Deaf = Remote.define("deaf", ({ node, signal }) => {
  signal.addEventListener("abort", () => log.push(`${node} aborted`))
  return new Promise<void>(() => {})
})

const functions = [Wait, Deaf]
const three = { nodes: 3, options: { functions } }

describe("a call of a remote function", () => {
  test("waits 5 seconds unless told otherwise; then it is a Timeout, and the function is told", async () => {
    await simulate(three, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      for (const [timeout, at] of [
        [undefined, 5_000],
        [750, 750],
      ] as const) {
        for (const node of [a, b]) {
          log = []
          const wait = a.remote(Wait)
          const handle = timeout === undefined ? wait : wait.with({ timeout })
          const began = sim.now
          await assert.rejects(handle.on(node.name)(60_000), {
            _tag: "Timeout",
            outcome: "unknown",
          })
          assert.ok(Math.abs(sim.now - began - at) < 50, `after ${sim.now - began} ms`)
          await sim.advance("500 millis")
          assert.deepEqual(log, [
            `${node.name} began`,
            `${node.name} aborted`,
            `${node.name} Failure`,
          ])
        }
      }
      log = []
      assert.equal(await a.remote(Wait).on("b")(4_500), "done")
      assert.deepEqual(log, ["b began", "b Success"])
    })
  })

  test("that is aborted is over at once, and the function is told", async () => {
    await simulate(three, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const controller = new AbortController()
      log = []
      const ask = a.remote(Wait).with({ signal: controller.signal }).on("b")(60_000)
      const failed = assert.rejects(ask, { _tag: "Aborted", outcome: "unknown" })
      await sim.advance("1 second")
      const at = sim.now
      controller.abort()
      await failed
      assert.equal(sim.now, at)
      assert.deepEqual(log, ["b began"])
      await sim.advance("500 millis")
      assert.deepEqual(log, ["b began", "b aborted", "b Failure"])
    })
  })

  test("to a node that dies is NodeDown, whether its machine tells or not", async () => {
    for (const machine of [false, true])
      await simulate({ ...three, seed: machine ? 1 : 2 }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const ask = a.remote(Wait).with({ timeout: 120_000 }).on("b")(100_000)
        const failed = assert.rejects(ask, { _tag: "NodeDown", outcome: "unknown", node: "b" })
        await sim.advance("1 second")
        b.crash({ machine })
        const at = sim.now
        await failed
        assert.ok(sim.now - at < 20_000, `after ${sim.now - at} ms`)
        await assert.rejects(a.remote(Wait).on("b")(1), { _tag: "Unreachable" })
        assert.equal(await a.remote(Wait).any()(1), "done")
      })
  })

  test("of a node that dies is given up where it runs", async () => {
    for (const machine of [false, true])
      await simulate({ ...three, seed: machine ? 1 : 2 }, async (sim) => {
        const [a] = sim.nodes as [SimNode]
        log = []
        const asks = [a.remote(Wait).on("b")(100_000), a.remote(Deaf).on("c")()].map((ask) =>
          assert.rejects(ask, { _tag: "NodeStopped" }),
        )
        await sim.advance("1 second")
        a.crash({ machine })
        await Promise.all(asks)
        await sim.until("they are told", () => log.length === 4, "20 seconds")
        assert.deepEqual(log.sort(), ["b Failure", "b aborted", "b began", "c aborted"])
      })
  })

  test("of a node that is back under its name isn't answered with what its last life asked for", async () => {
    let gate: (value: string) => void = () => {}
    const Gate = Remote.define("gate", () => {
      return new Promise<string>((resolve) => {
        const before = gate
        gate = (value) => {
          before(value)
          resolve(value)
        }
      })
    })
    await simulate({ nodes: 2, options: { functions: [Gate, Wait] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const before = assert.rejects(a.remote(Gate).on("b")(), { _tag: "NodeStopped" })
      await sim.advance("1 second")
      await a.restart()
      await before
      await sim.converged()
      // It has the number that the one before had.
      const again = a.remote(Wait).on("b")(1_000)
      await sim.advance("100 millis")
      gate("late")
      assert.equal(await again, "done")
    })
  })

  test("across a cut fails, and the function is told; after it all is as before", async () => {
    await simulate(three, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      log = []
      const asks = [
        a.remote(Wait).with({ timeout: 60_000 }).on("b")(50_000),
        b.remote(Wait).with({ timeout: 60_000 }).on("a")(50_000),
      ].map((ask) => assert.rejects(ask, { _tag: "NodeDown", outcome: "unknown" }))
      await sim.advance("1 second")
      sim.partition([a], [b, c])
      await Promise.all(asks)
      await sim.settle()
      assert.deepEqual(log.sort(), [
        ...["a Failure", "a aborted", "a began"],
        ...["b Failure", "b aborted", "b began"],
      ])
      // Each side has what it can reach.
      for (const [node, served] of [
        [a, ["a"]],
        [b, ["b", "c"]],
        [c, ["b", "c"]],
      ] as const) {
        for (let i = 0; i < 4; i++) assert.equal(await node.remote(Wait).any()(1), "done")
        const { replies, failures } = await node.remote(Wait).all()(1)
        assert.deepEqual(replies.map((reply) => reply.node).sort(), served)
        assert.deepEqual(failures, [])
      }
      sim.heal()
      await sim.converged()
      // They know of each other before the last connection stands.
      await sim.advance("1 second")
      for (const node of sim.nodes) {
        const { replies } = await node.remote(Wait).all()(1)
        assert.equal(replies.length, 3)
      }
    })
  })

  test("to any node isn't sent to one that can't be reached, nor to one that leaves", async () => {
    const Busy = Process.define("Busy", {
      state: () => ({}),
      calls: { work: () => Effect.sleep(500) },
    })
    await simulate({ ...three, processes: [Busy] }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      log = []
      b.crash()
      await sim.advance("20 millis")
      const status = (name: string) => a.members().find((one) => one.name === name)?.status
      assert.notEqual(status("b"), "down")
      for (let i = 0; i < 6; i++) a.remote(Wait).cast.any()(1)
      for (let i = 0; i < 6; i++) await a.remote(Wait).any()(1)
      await b.restart()
      await sim.converged()
      // Only once this is done can it leave.
      const key = Array.from({ length: 50 }, (_, i) => `k${i}`).find(
        (each) => a.nodeFor(Busy, each) === "c",
      ) as string
      const work = (await a.start(Busy, key)).work()
      await sim.advance("20 millis")
      const left = c.leave()
      await sim.until("it leaves", () => status("c") === "leaving", "1 second")
      log = []
      for (let i = 0; i < 6; i++) assert.equal(await a.remote(Wait).any()(0), "done")
      assert.equal(status("c"), "leaving")
      assert.ok(!log.includes("c began"))
      await Promise.all([left, work])
    })
  })

  test("to any node begins somewhere else from each node", async () => {
    const Where = Remote.define("where", ({ node }) => node)
    await simulate({ nodes: 6, options: { functions: [Where] } }, async (sim) => {
      const first = await Promise.all(sim.nodes.map((node) => node.remote(Where).any()()))
      assert.ok(new Set(first).size > 2, `all went to ${[...new Set(first)]}`)
    })
  })

  test("to any node has one deadline, however many are asked", async () => {
    const begun: Array<number> = []
    await simulate({ nodes: 3 }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      const Slow = Remote.define("slow", () => {
        begun.push(sim.now)
        return Effect.sleep(60_000)
      })
      b.serve(Slow)
      const stop = c.serve(Slow)
      await sim.advance("1 second")
      sim.link(a, c, { delay: "100 millis" })
      stop()
      const at = sim.now
      // One of them goes to c first, which doesn't serve it any more.
      const slow = a.remote(Slow).with({ timeout: 300 })
      const asks = [slow.any()(), slow.any()()].map((ask) =>
        assert.rejects(ask, { _tag: "Timeout" }),
      )
      await Promise.all(asks)
      assert.ok(sim.now - at < 400, `after ${sim.now - at} ms`)
      assert.equal(begun.length, 2)
      const later = (begun[1] ?? 0) - (begun[0] ?? 0)
      assert.ok(later > 150, `asked in turn after ${later} ms`)
    })
  })

  test("to all has one deadline, and a slow one is the only one that fails", async () => {
    const Uneven = Remote.define("uneven", ({ node }) =>
      Effect.as(Effect.sleep(node === "b" ? 200 : 1), node),
    )
    await simulate({ nodes: 3, options: { functions: [Uneven] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const at = sim.now
      const { replies, failures } = await a.remote(Uneven).with({ timeout: 100 }).all()()
      assert.ok(sim.now - at < 150)
      assert.deepEqual(replies.map(({ value }) => value).sort(), ["a", "c"])
      assert.deepEqual(
        failures.map(({ node, error }) => `${node} ${error._tag}`),
        ["b Timeout"],
      )
    })
  })

  test("where a process lives follows it when that moves", async () => {
    const Home = Process.define("Home", { state: () => ({}) })
    const Where = Remote.define("where", ({ node }) => node)
    const options = { functions: [Where] }
    await simulate({ nodes: 2, processes: [Home], options }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
      const homes = await Promise.all(keys.map((key) => a.start(Home, key)))
      await sim.join()
      await sim.converged()
      const there = await Promise.all(homes.map((home) => a.remote(Where).at(home)()))
      assert.deepEqual(
        there,
        keys.map((key) => sim.owners(Home, key)[0]),
      )
      assert.ok(there.includes("c"))
    })
  })
})

describe("calls while nodes come and go", () => {
  test("end each with one outcome that is true", async () => {
    for (let seed = 1; seed <= 4; seed++) {
      /** How often each call was executed. */
      const executed = new Map<number, number>()
      const Once = Remote.define("once", (_context, token: number) => {
        executed.set(token, (executed.get(token) ?? 0) + 1)
        return Effect.as(Effect.sleep(token % 7), token)
      })
      const outcomes = new Map<number, string>()
      const options = { functions: [Once] }
      await simulate({ nodes: 4, seed, options }, async (sim) => {
        const asks: Array<Promise<void>> = []
        let token = 0
        const round = async (): Promise<void> => {
          for (const node of sim.nodes) {
            if (!sim.serves(node)) continue
            const once = node.remote(Once)
            for (const ask of [once.any(), once.on("b"), once.on("c")]) {
              const mine = ++token
              asks.push(
                ask(mine).then(
                  (value) => {
                    assert.equal(value, mine)
                    outcomes.set(mine, "executed")
                  },
                  ({ outcome }) => void outcomes.set(mine, outcome),
                ),
              )
            }
          }
          await sim.advance("20 millis")
        }
        const [, b, c, d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
        for (const fault of [
          () => b.crash(),
          () => sim.partition([c], [sim.nodes[0] as SimNode, d]),
          () => b.restart(),
          () => sim.heal(),
          () => d.leave(),
          () => sim.isolate(c),
          () => sim.heal(),
        ]) {
          for (let i = 0; i < 10; i++) await round()
          const done = fault()
          for (let i = 0; i < 40; i++) await round()
          await done
        }
        await Promise.all(asks)
        assert.equal(outcomes.size, token)
        await sim.advance("10 seconds")
        for (const [mine, outcome] of outcomes) {
          const times = executed.get(mine) ?? 0
          if (outcome === "executed") assert.equal(times, 1, `call ${mine}`)
          else if (outcome === "not-executed") assert.equal(times, 0, `call ${mine}`)
          else assert.ok(times <= 1, `call ${mine}`)
        }
        for (const outcome of ["executed", "not-executed", "unknown"]) {
          sim.sometimes(outcome, [...outcomes.values()].includes(outcome))
        }
        await sim.converged()
        await sim.advance("1 second")
        const { replies } = await (sim.nodes[0] as SimNode).remote(Once).all()(++token)
        assert.deepEqual(replies.map(({ node }) => node).sort(), ["a", "b", "c"])
      })
    }
  })
})
