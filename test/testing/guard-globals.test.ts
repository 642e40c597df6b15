/** What the guard replaces, and what it leaves behind: nothing. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type * as Guard from "../../src/testing/nodes/guard.ts"
import {
  clocks,
  globals,
  having,
  network,
  type Owner,
  Simulation,
  simulated,
  sources,
  temporal,
} from "./guarded.ts"

// Node defines some of its globals anew when they are first read, which is no doing of a guard.
for (const [owner, key] of network) void (owner as Owner)[key]

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
