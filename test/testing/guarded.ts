/**
 * Code under the guard, for its tests: a simulation in a nutshell, what that can call, and where it did.
 *
 * @module
 */
import assert from "node:assert/strict"
import * as Guard from "../../src/testing/nodes/guard.ts"

/** Whatever has the properties that are replaced. */
export type Owner = Record<string, unknown>

/** A simulation in a nutshell: what `inside` calls counts as code of its node. */
export class Simulation {
  running = 0
  readonly leaks: Array<Guard.NondeterminismLeak> = []
  readonly #name: string
  constructor(name = "a") {
    this.#name = name
  }

  /** Watches its code until what is returned is called. */
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

  /** Runs `f` as code of the node. */
  readonly inside: <A>(f: () => A) => A = (f) => {
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
export function simulated<A>(mode: Guard.Mode, f: (simulation: Simulation) => A): A {
  const simulation = new Simulation()
  const uninstall = simulation.install(mode)
  try {
    return f(simulation)
  } finally {
    uninstall()
  }
}

/** Runs `f` while a property has another value. */
export function having<A>(owner: object, key: string, value: unknown, f: () => A): A {
  const before = Object.getOwnPropertyDescriptor(owner, key)
  Object.defineProperty(owner, key, { value, writable: true, configurable: true })
  try {
    return f()
  } finally {
    if (before === undefined) delete (owner as Owner)[key]
    else Object.defineProperty(owner, key, before)
  }
}

/** The globals of the host. */
export const globals: Owner = globalThis as unknown as Owner

type Functions = { readonly [K in string]: () => unknown }
/** What not every host has. */
export const temporal: { readonly Now: Functions } | undefined = globals.Temporal as
  | { readonly Now: Functions }
  | undefined

/** Stands in for what makes connections. */
export class Socket {
  readonly args: ReadonlyArray<unknown>
  constructor(...args: ReadonlyArray<unknown>) {
    this.args = args
  }
}

/** Something that the guard replaces, what it is called, and a call of it. */
export type Example = readonly [owner: object, key: string, what: string, call: () => unknown]

/** Everything that tells or takes time. */
export const clocks: ReadonlyArray<Example> = [
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
/** Everything that is random. */
export const sources: ReadonlyArray<Example> = [
  [Math, "random", "Math.random()", () => Math.random()],
  [crypto, "getRandomValues", "crypto.getRandomValues()", () => crypto.getRandomValues(bytes)],
  [crypto, "randomUUID", "crypto.randomUUID()", () => crypto.randomUUID()],
]
const sockets = ["WebSocket", "EventSource", "XMLHttpRequest", "BroadcastChannel"]
/** Everything that reaches beyond the host; see {@link networked}. */
export const network: ReadonlyArray<Example> = [
  [globals, "fetch", "fetch()", () => fetch("http://localhost")],
  ...sockets.map((key): Example => {
    return [globals, key, `new ${key}()`, () => new (globals[key] as typeof Socket)("a", 1)]
  }),
]

/** Calls `f` while every host has everything of `network`. */
export function networked<A>(f: () => A): A {
  return sockets.reduce<() => A>((inner, key) => () => having(globals, key, Socket, inner), f)()
}

/** The line of a test that it is called from. */
export function here(): number {
  const frames = String(new Error().stack).split("\n")
  return lineOf(frames.filter((frame) => own.test(frame))[1] ?? "")
}

/** A place in these tests, at the end of a line of a stack. */
export const own: RegExp = /test\/testing\/[\w.-]+\.[jt]s:(\d+):\d+\)?$/

/** The number of a place's line. */
export function lineOf(place: string): number {
  return Number(own.exec(place)?.[1])
}
