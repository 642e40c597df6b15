/** Where a leak is said to be, on every engine. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Effect from "effect/Effect"
import { globals, having, here, lineOf, own, simulated } from "./guarded.ts"

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
      assert.doesNotMatch(String(leak.stack), /testing\/nodes\/guard\.[jt]s/)
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
