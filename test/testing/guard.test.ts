/** What the guard does with code that differs from run to run, and with everybody else's. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Guard from "../../src/testing/nodes/guard.ts"
import {
  clocks,
  globals,
  having,
  lineOf,
  network,
  networked,
  type Owner,
  own,
  Simulation,
  Socket,
  simulated,
  sources,
} from "./guarded.ts"

const enders = ["clearTimeout", "clearInterval", "clearImmediate"]

describe("simulated code that is not to see what differs from run to run", () => {
  const cases = [
    [clocks, /use self\.after or Effect's Clock, or simulate with guard: "virtual"$/],
    [sources, /use Effect's Random, or simulate with guard: "virtual"$/],
    [network, /a simulated node has no network; give it a stand-in for what it talks to$/],
  ] as const
  for (const [examples, remedy] of cases) {
    for (const [, , what, call] of examples) {
      test(`fails where it calls ${what}, and is told why and what to do`, () => {
        const leak = networked(() => simulated("throw", (simulation) => simulation.caught(call)))
        assert.equal(leak._tag, "NondeterminismLeak")
        assert.equal(leak.what, what)
        assert.equal(leak.where, 'node "a"')
        assert.match(leak.line, own)
        assert.ok(leak.message.startsWith(`node "a" called ${what} at ${leak.line}, so `))
        assert.match(leak.message, remedy)
      })
    }
  }

  test("still makes, reads and extends dates of a given time", () => {
    simulated("throw", (simulation) => {
      simulation.inside(() => {
        class Day extends Date {
          get day(): number {
            return this.getTime() / 86_400_000
          }
        }
        assert.equal(new Date(5).getTime(), 5)
        assert.ok(Number.isNaN(new Date(undefined as unknown as number).getTime()))
        assert.equal(new Date(2000, 0, 1, 12).getFullYear(), 2000)
        assert.equal(Date.UTC(1970, 0, 2), 86_400_000)
        assert.equal(Date.parse("1970-01-02T00:00:00Z"), 86_400_000)
        assert.equal(new Day(86_400_000).day, 1)
        assert.ok(new Day(5) instanceof Date && new Day(5) instanceof Day)
        assert.equal(new Date(5).constructor, Date)
        assert.equal(Date.name, "Date")
        assert.equal(Date.length, 7)
      })
      assert.equal(simulation.caught(() => new (class extends Date {})()).what, "new Date()")
      const again = (): unknown => Reflect.construct(new Date(5).constructor, [])
      assert.equal(simulation.caught(again).what, "new Date()")
    })
  })

  test("may use microtasks, promises and digests", async () => {
    const promises = simulated("throw", (simulation) =>
      simulation.inside(() => [
        new Promise<void>((resolve) => queueMicrotask(resolve)),
        Promise.resolve().then(() => {}),
        crypto.subtle.digest("SHA-256", new Uint8Array(1)),
      ]),
    )
    assert.equal((await Promise.all(promises)).length, 3)
  })

  test("ends real timers as ever", () => {
    for (const key of enders) {
      const ended: Array<unknown> = []
      const real = (timer: unknown): void => void ended.push(timer)
      having(globals, key, real, () =>
        simulated("throw", ({ inside }) => inside(() => (globals[key] as typeof real)(7))),
      )
      assert.deepEqual(ended, [7], key)
    }
  })
})

describe("code that isn't the simulation's", () => {
  test("gets the real things, with everything it passes", () => {
    for (const [owner, key, what] of [...clocks, ...sources, ...network]) {
      if (key === "Date") continue
      const seen: Array<unknown> = []
      function real(this: unknown, ...args: ReadonlyArray<unknown>): unknown {
        seen.push(new.target === undefined ? this : "new", ...args)
        return { real: true }
      }
      const result = having(owner, key, real, () =>
        simulated("throw", () => {
          const replaced = (owner as Owner)[key] as typeof Socket & ((a: 1, b: 2) => unknown)
          if (what.startsWith("new ")) return new replaced(1, 2)
          return Reflect.apply(replaced, owner, [1, 2])
        }),
      )
      assert.deepEqual(result, { real: true }, what)
      assert.equal(seen[0], what.startsWith("new ") ? "new" : owner, what)
      assert.deepEqual(seen.slice(1), [1, 2], what)
    }
    class Past extends Date {
      constructor() {
        super(5)
      }
    }
    const past = having(globals, "Date", Past, () => simulated("throw", () => new Date()))
    assert.equal(past.getTime(), 5)
  })

  test("has its timers fire, and can end them", async () => {
    const simulation = new Simulation()
    const uninstall = simulation.install("throw")
    const fired: Array<string> = []
    clearTimeout(setTimeout(() => fired.push("ended"), 1))
    await new Promise<void>((resolve) => {
      setTimeout((name: string) => resolve(void fired.push(name)), 1, "timeout")
    })
    uninstall()
    assert.deepEqual(fired, ["timeout"])
  })
})

describe("the simulator", () => {
  test("keeps the real clocks and timers, whoever's code runs", async () => {
    const { real } = Guard
    const order: Array<string> = []
    await new Promise<void>((resolve) =>
      simulated("throw", ({ inside }) => {
        inside(() => {
          assert.ok(real.now() > 0)
          assert.ok(real.wall() > 1.7e12)
          real.clearTimeout(real.setTimeout(() => order.push("ended"), 0))
          real.setTimeout(() => {
            order.push("timeout")
            real.setImmediate?.(resolve)
          }, 0)
        })
      }),
    )
    assert.deepEqual(order, ["timeout"])
  })

  test("can wait until the microtasks are done", async () => {
    assert.deepEqual(await macrotask(Guard.real), ["microtask", "its microtask", "1", "2"])
  })

  test("can wait until then where there is no setImmediate", async () => {
    // As in browsers: some hosts deliver between microtasks.
    class Channel {
      readonly port1 = { onmessage: (): void => {} }
      readonly port2 = { postMessage: () => setTimeout(() => this.port1.onmessage(), 1) }
    }
    const real = having(globals, "setImmediate", undefined, () =>
      having(globals, "MessageChannel", Channel, Guard.takeReal),
    )
    assert.equal(real.setImmediate, undefined)
    assert.deepEqual(await macrotask(real), ["microtask", "its microtask", "1", "2"])
  })
})

/** The order in which things happen that are asked for at once. */
async function macrotask(real: Guard.Real): Promise<ReadonlyArray<string>> {
  const order: Array<string> = []
  await new Promise<void>((resolve) => {
    real.macrotask(() => order.push("1"))
    real.macrotask(() => resolve(void order.push("2")))
    queueMicrotask(() => {
      order.push("microtask")
      queueMicrotask(() => order.push("its microtask"))
    })
  })
  return order
}

describe("in mode warn", () => {
  test("each line is told once, and gets the real thing", () => {
    const quarter = (): number => 0.25
    having(Math, "random", quarter, () =>
      simulated("warn", ({ inside, leaks }) => {
        inside(() => {
          for (let i = 0; i < 3; i++) assert.equal(Math.random(), 0.25)
          assert.equal(leaks.length, 1)
          assert.equal(Math.random(), 0.25)
        })
        assert.equal(leaks.length, 2)
        assert.equal(leaks[1]?.what, "Math.random()")
        assert.equal(lineOf(leaks[1].line), lineOf(leaks[0]!.line) + 2)
      }),
    )
  })

  test("each simulation is told", () => {
    const read = (): unknown => Date.now()
    for (let i = 0; i < 2; i++) {
      const leaks = simulated("warn", ({ inside, leaks }) => {
        inside(read)
        return leaks
      })
      assert.equal(leaks.length, 1)
    }
  })

  test("constructors make the real thing", () => {
    networked(() =>
      simulated("warn", ({ inside, leaks }) => {
        const socket = inside(() => new (globals.WebSocket as typeof Socket)("a", 1))
        assert.ok(socket instanceof Socket)
        assert.deepEqual(socket.args, ["a", 1])
        assert.equal(leaks.length, 1)
      }),
    )
  })

  test("it is told before the real thing is called, and neither is watched itself", () => {
    const order: Array<string> = []
    const fetch = (): void => void order.push("fetch", typeof performance.now())
    having(globals, "fetch", fetch, () => {
      const simulation = new Simulation()
      const uninstall = simulation.install("warn", ({ what }) => {
        order.push(`warn ${what}`, typeof Date.now())
      })
      simulation.inside(() => globalThis.fetch(""))
      uninstall()
    })
    assert.deepEqual(order, ["warn fetch()", "number", "fetch", "number"])
  })
})

describe("of several guards", () => {
  test("the one whose simulation runs code decides, and of those the last", () => {
    const [a, b, c] = [new Simulation("a"), new Simulation("b"), new Simulation("c")]
    const uninstalls = [a.install("throw"), b.install("throw"), c.install("off")]
    const read = (): number => Date.now()
    assert.equal(a.caught(read).where, 'node "a"')
    assert.equal(b.caught(read).where, 'node "b"')
    assert.equal(b.inside(() => a.caught(read)).where, 'node "b"')
    assert.equal(typeof a.inside(() => c.inside(read)), "number")
    uninstalls[1]?.()
    assert.equal(b.inside(() => a.caught(read)).where, 'node "a"')
    for (const uninstall of uninstalls) uninstall()
  })
})
