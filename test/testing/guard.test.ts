import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Effect from "effect/Effect"
import fc from "fast-check"
import * as Guard from "../../src/testing/nodes/guard.ts"

type Owner = Record<string, unknown>

/** A simulation in a nutshell: what `inside` calls counts as code of its node. */
class Simulation {
  running = 0
  readonly leaks: Array<Guard.NondeterminismLeak> = []
  readonly #name: string
  constructor(name = "a") {
    this.#name = name
  }

  install(mode: Guard.Mode, warn?: Guard.GuardOptions["warn"]): () => void {
    const guarded: Guard.Guarded = {
      where: `node "${this.#name}"`,
      now: () => 1,
      wall: () => 2,
      timer: () => () => {},
      uint32: () => 2 ** 31,
    }
    const current = (): Guard.Guarded | undefined => (this.running > 0 ? guarded : undefined)
    return Guard.install({ mode, current, warn: warn ?? ((leak) => void this.leaks.push(leak)) })
  }

  readonly inside = <A>(f: () => A): A => {
    this.running++
    try {
      return f()
    } finally {
      this.running--
    }
  }

  /** The leak that `f` causes as code of the node. */
  caught(f: () => unknown): Guard.NondeterminismLeak {
    try {
      this.inside(f)
    } catch (error) {
      if (error instanceof Guard.NondeterminismLeak) return error
      throw error
    }
    return assert.fail(`${f} leaked nothing`)
  }
}

/** Runs `f` in a simulation of this mode. */
function simulated<A>(mode: Guard.Mode, f: (simulation: Simulation) => A): A {
  const simulation = new Simulation()
  const uninstall = simulation.install(mode)
  try {
    return f(simulation)
  } finally {
    uninstall()
  }
}

/** Runs `f` while a property has another value. */
function having<A>(owner: object, key: string, value: unknown, f: () => A): A {
  const before = Object.getOwnPropertyDescriptor(owner, key)
  Object.defineProperty(owner, key, { value, writable: true, configurable: true })
  try {
    return f()
  } finally {
    if (before === undefined) delete (owner as Owner)[key]
    else Object.defineProperty(owner, key, before)
  }
}

const globals = globalThis as unknown as Owner
type Functions = { readonly [K in string]: () => unknown }
const temporal = globals.Temporal as { readonly Now: Functions } | undefined

class Socket {
  readonly args: ReadonlyArray<unknown>
  constructor(...args: ReadonlyArray<unknown>) {
    this.args = args
  }
}

type Example = readonly [owner: object, key: string, what: string, call: () => unknown]

/** A call of everything that every host has. */
const clocks: ReadonlyArray<Example> = [
  [Date, "now", "Date.now()", () => Date.now()],
  [globals, "Date", "new Date()", () => new Date()],
  [globals, "Date", "Date()", () => Date()],
  [performance, "now", "performance.now()", () => performance.now()],
  [process, "hrtime", "process.hrtime()", () => process.hrtime()],
  [process.hrtime, "bigint", "process.hrtime.bigint()", () => process.hrtime.bigint()],
  [globals, "setTimeout", "setTimeout()", () => setTimeout(() => {}, 1)],
  [globals, "setInterval", "setInterval()", () => setInterval(() => {}, 1)],
  [globals, "setImmediate", "setImmediate()", () => setImmediate(() => {})],
  [AbortSignal, "timeout", "AbortSignal.timeout()", () => AbortSignal.timeout(1)],
  ...Object.keys(Object.getOwnPropertyDescriptors(temporal?.Now ?? {}))
    .filter((key) => typeof temporal?.Now[key] === "function" && key !== "timeZoneId")
    .map((key): Example => {
      const { Now } = temporal!
      return [Now, key, `Temporal.Now.${key}()`, () => Now[key]!()]
    }),
]
const bytes = new Uint8Array(1)
const sources: ReadonlyArray<Example> = [
  [Math, "random", "Math.random()", () => Math.random()],
  [crypto, "getRandomValues", "crypto.getRandomValues()", () => crypto.getRandomValues(bytes)],
  [crypto, "randomUUID", "crypto.randomUUID()", () => crypto.randomUUID()],
]
const sockets = ["WebSocket", "EventSource", "XMLHttpRequest", "BroadcastChannel"]
const network: ReadonlyArray<Example> = [
  [globals, "fetch", "fetch()", () => fetch("http://localhost")],
  ...sockets.map((key): Example => {
    return [globals, key, `new ${key}()`, () => new (globals[key] as typeof Socket)("a", 1)]
  }),
]
const enders = ["clearTimeout", "clearInterval", "clearImmediate"]

/** Calls `f` while every host has everything of `network`. */
function networked<A>(f: () => A): A {
  return sockets.reduce<() => A>((inner, key) => () => having(globals, key, Socket, inner), f)()
}

const owners: { readonly [K in string]: object | undefined } = {
  globalThis,
  Date,
  "Date.prototype": Date.prototype,
  Math,
  performance,
  Performance: Object.getPrototypeOf(performance),
  crypto,
  Crypto: Object.getPrototypeOf(crypto),
  AbortSignal,
  process,
  "process.hrtime": process.hrtime,
  "Temporal.Now": temporal?.Now,
}

type Snapshot = ReadonlyMap<string, PropertyDescriptor>

function snapshot(): Snapshot {
  const entries = Object.entries(owners).flatMap(([name, owner]) =>
    Object.entries(Object.getOwnPropertyDescriptors(owner ?? {})).map(
      ([key, descriptor]) => [`${name}.${key}`, descriptor] as const,
    ),
  )
  return new Map(entries)
}

/** The properties that aren't what they were. */
function changes(before: Snapshot): ReadonlyArray<string> {
  const after = snapshot()
  const parts = ["value", "get", "set", "writable", "enumerable", "configurable"] as const
  return [...new Set([...before.keys(), ...after.keys()])].filter((name) => {
    const [one, other] = [before.get(name), after.get(name)]
    if (one === undefined || other === undefined) return true
    return parts.some((part) => !Object.is(one[part], other[part]))
  })
}

/** The line of this file that it is called from. */
function here(): number {
  const frames = String(new Error().stack).split("\n")
  return lineOf(frames.filter((frame) => own.test(frame))[1] ?? "")
}

const own = /guard\.test\.[jt]s:(\d+):\d+\)?$/
function lineOf(place: string): number {
  return Number(own.exec(place)?.[1])
}

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

describe("the line of a leak", () => {
  const clock = Effect.clockWith(({ currentTimeMillis }) => currentTimeMillis)
  const lines: ReadonlyArray<readonly [kind: string, line: number, read: () => unknown]> = [
    ["a call", here(), () => Date.now() + 1],
    ["a call that a function ends with", here(), () => Date.now()],
    ["a call with new", here(), () => new Date()],
    ["a global function", here(), () => setTimeout(() => {}, 1)],
    ["a callback", here(), () => [0].map(() => Math.random())],
    ["a function that the host calls", here(), () => [0].map(Math.random)],
    ["an Effect", here(), () => Effect.runSync(Effect.sync(() => Math.random()))],
    ["Effect's own clock", here(), () => `${Effect.runSync(clock)}`],
  ]
  for (const [kind, line, read] of lines) {
    test(`is that of ${kind}`, () => {
      const leak = simulated("throw", (simulation) => simulation.caught(() => read()))
      assert.equal(lineOf(leak.line), line)
      // The stack begins there, too.
      assert.doesNotMatch(String(leak.stack), /testing\/guard\.[jt]s/)
    })

    test(`is that of ${kind} on engines that can't cut a stack`, () => {
      const leak = having(Error, "captureStackTrace", undefined, () =>
        simulated("throw", (simulation) => simulation.caught(() => read())),
      )
      assert.equal(lineOf(leak.line), line)
    })
  }

  test("is that of the call, not that where the function was taken", () => {
    simulated("throw", (simulation) => {
      const taken = simulation.inside(() => Date.now)
      const [line, leak] = [here(), simulation.caught(() => taken() + 1)]
      assert.equal(lineOf(leak.line), line)
    })
  })

  test("is found below more frames than an engine keeps by itself, and its limit stays", () => {
    const limits = Error as { stackTraceLimit?: number }
    having(Error, "stackTraceLimit", 1, () => {
      const call = (): unknown => [0].map(Math.random)
      const leak = simulated("throw", (simulation) => simulation.caught(call))
      assert.match(leak.line, own)
      assert.equal(limits.stackTraceLimit, 1)
    })
  })

  // Bars stand for the ends of lines.
  const stacks: ReadonlyArray<readonly [engine: string, stack: string, line: string]> = [
    ["V8", "Error|    at f (file:///a/b.ts:1:2)|    at file:///a/c.ts:3:4", "/a/b.ts:1:2"],
    ["V8, async", "Error|    at async file:///a/b.ts:1:2", "/a/b.ts:1:2"],
    ["V8, a method", "Error|    at new A [as b] (http://h/a.js:1:2)", "http://h/a.js:1:2"],
    ["V8, evaluated", "    at eval (eval at f (/a.js:1:2), <anonymous>:3:4)", "/a.js:1:2"],
    ["V8, Windows", "Error|    at f (file:///C:/a/b.ts:1:2)", "C:/a/b.ts:1:2"],
    ["V8, built in", "Error|    at Array.map (<anonymous>)|    at /a.ts:1:2", "/a.ts:1:2"],
    ["Node's own", "Error|    at x (node:internal/a:1:2)|    at /a.ts:3:4", "/a.ts:3:4"],
    ["Deno's own", "Error|    at x (ext:core/01.js:1:2)|    at y (/a.ts:3:4)", "/a.ts:3:4"],
    ["Bun's own", "Error|    at unknown|    at map (native:1:11)|    at /a.ts:1:2", "/a.ts:1:2"],
    ["Bun, odd names", "Error|    at f (/a (b)/c d.ts:1:2)", "/a (b)/c d.ts:1:2"],
    ["Bun, a scope", "Error|    at /node_modules/@a/b.js:1:2", "/node_modules/@a/b.js:1:2"],
    ["Firefox", "f/<@http://h/a.js:1:2|@http://h/b.js:3:4|", "http://h/a.js:1:2"],
    ["Firefox, nameless", "@http://h/@a/b.js:3:4|", "http://h/@a/b.js:3:4"],
    ["Safari", "map@[native code]|http://h/@a/b.js:1:2", "http://h/@a/b.js:1:2"],
    ["Effect", "    at f (/p/node_modules/effect/dist/a.js:1:2)|    at /b.ts:3:4", "/b.ts:3:4"],
    ["Effect, Windows", "    at C:\\node_modules\\effect\\a.js:1:2|    at C:\\b:3:4", "C:\\b:3:4"],
    ["Effect, Deno", "    at f (file:///npm/host/effect/4.1.0/a.js:1:2)|    at /b:3:4", "/b:3:4"],
    [
      "Effect, a CDN",
      "f@https://h/effect@4.1.0/a.js:1:2|g@https://h/b.js:3:4",
      "https://h/b.js:3:4",
    ],
    ["not Effect", "Error|    at f (/own/effect/a.ts:1:2)", "/own/effect/a.ts:1:2"],
  ]
  for (const [engine, stack, line] of stacks) {
    test(`is read from the stacks of engines: ${engine}`, () => {
      const capture = (target: { stack: string }): void => {
        target.stack = stack.replaceAll("|", "\n")
      }
      const leak = having(Error, "captureStackTrace", capture, () =>
        simulated("throw", (simulation) => simulation.caught(() => new Date())),
      )
      assert.equal(leak.line, line)
    })
  }

  test("is left out where the engine tells nothing", () => {
    const stack = "Error\n    at <anonymous>\n    at Promise.all (index 0)"
    function Stackless(): object {
      return { stack }
    }
    const leak = having(Error, "captureStackTrace", undefined, () =>
      having(globals, "Error", Stackless, () =>
        simulated("throw", (simulation) => simulation.caught(() => new Date())),
      ),
    )
    assert.equal(leak.line, "")
    assert.ok(leak.message.startsWith('node "a" called new Date(), so '))
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

describe("the globals", () => {
  test("are exactly what they were once the last guard is gone", () => {
    const before = snapshot()
    const uninstalls = [new Simulation(), new Simulation()].map((each) => each.install("throw"))
    const changed = changes(before)
    assert.deepEqual(Object.keys(Date), [])
    // Tools that replace it for a test want a plain property.
    assert.equal(typeof Object.getOwnPropertyDescriptor(globals, "fetch")?.value, "function")
    for (const uninstall of uninstalls) {
      assert.deepEqual(changes(before), changed)
      uninstall()
      uninstall()
    }
    assert.deepEqual(changes(before), [])
    for (const name of ["globalThis.Date", "Date.now", "crypto.randomUUID", "Math.random"]) {
      assert.ok(changed.includes(name), name)
    }
  })

  test("are guarded while there is a guard that is not off, in whatever order they go", () => {
    const before = snapshot()
    const mode = fc.constantFrom<Guard.Mode>("throw", "warn", "virtual", "off")
    const step = fc.oneof(mode, fc.nat(5))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const installed: Array<{ readonly mode: Guard.Mode; readonly end: () => void }> = []
        const check = (): void => {
          const wanted = installed.some((each) => each.mode !== "off")
          assert.equal(Math.random !== before.get("Math.random")?.value, wanted)
        }
        for (const each of steps) {
          if (typeof each === "string") {
            installed.push({ mode: each, end: new Simulation().install(each) })
          } else installed.splice(each, 1)[0]?.end()
          check()
        }
        for (const each of installed.splice(0)) each.end()
        assert.deepEqual(changes(before), [])
      }),
    )
  })

  test("that somebody else replaces meanwhile are left to them", () => {
    const before = snapshot()
    const mine = (): number => 4
    simulated("throw", (simulation) => {
      for (const owner of [globals, Math] as ReadonlyArray<Owner>) {
        owner[owner === globals ? "fetch" : "random"] = mine
      }
      assert.equal(simulation.inside(Math.random), 4)
    })
    assert.deepEqual(changes(before), ["globalThis.fetch", "Math.random"])
    assert.equal(globals.fetch, mine)
    Object.defineProperty(globals, "fetch", before.get("globalThis.fetch")!)
    Object.defineProperty(Math, "random", before.get("Math.random")!)
  })

  test("that somebody else replaces and puts back are restored", () => {
    const before = snapshot()
    simulated("throw", (simulation) => {
      for (const [owner, key] of [...clocks, ...sources, ...network]) {
        const guarded = (owner as Owner)[key]
        if (guarded === undefined) continue
        Object.assign(owner, { [key]: () => 4 })
        Object.assign(owner, { [key]: guarded })
      }
      assert.equal(simulation.caught(() => Math.random()).what, "Math.random()")
    })
    assert.deepEqual(changes(before), [])
  })

  test("that a host lacks stay away, and those that can't be changed stay", () => {
    const fixed = Object.freeze({ randomUUID: () => "fixed" })
    const fetch = Object.getOwnPropertyDescriptor(globals, "fetch")!
    delete globals.fetch
    try {
      having(globals, "crypto", fixed, () =>
        simulated("throw", (simulation) => {
          assert.ok(!("fetch" in globals))
          assert.equal(simulation.inside(fixed.randomUUID), "fixed")
          assert.equal(crypto, fixed)
          assert.equal(simulation.caught(() => Math.random()).what, "Math.random()")
        }),
      )
      assert.ok(!("fetch" in globals))
    } finally {
      Object.defineProperty(globals, "fetch", fetch)
    }
  })

  test("that were taken from a guard are the real ones after it", () => {
    const taken = simulated("throw", () => Math.random)
    const simulation = new Simulation()
    assert.equal(typeof simulation.inside(taken), "number")
  })
})
