/**
 * The process definitions of the benchmarks, the same in every OS process that takes part.
 *
 * @module
 */
import { Effect } from "effect"
import { Process } from "../../../mod.ts"

interface Counting {
  count: number
}

const calls = {
  echo: (_self: Process.Self<Counting>, text: string): string => text,
  effect: (_self: Process.Self<Counting>, text: string): Effect.Effect<string> =>
    Effect.sync(() => text),
  count: (self: Process.Self<Counting>): number => self.state.count,
}

const casts = {
  note: (self: Process.Self<Counting>, _text: string): void => {
    self.state.count++
  },
}

/** Returns what it gets, and counts its casts. */
export const Echo: Process.Definition<"Echo", Counting, undefined, typeof calls, typeof casts> =
  Process.define("Echo", { state: (_init: undefined) => ({ count: 0 }), calls, casts })

const none = {}

/** Does nothing and holds nothing. */
export const Idle: Process.Definition<"Idle", undefined, undefined, typeof none, typeof none> =
  Process.define("Idle", { state: (_init: undefined) => undefined })

interface Working {
  readonly text: string
  /** The calls it has had, wherever it was. */
  had: number
}

const work = {
  poke: (self: Process.Self<Working>): number => ++self.state.had,
}

/** The keys of the {@link Worker}s that live in this OS process. */
export const alive: Set<string> = new Set()

/** When the first and the last of them came to life since `began` was called. */
export const arrivals: { count: number; firstAt: number; lastAt: number } = {
  count: 0,
  firstAt: 0,
  lastAt: 0,
}

/** Counts the arrivals from now on. */
export function began(): void {
  arrivals.count = 0
}

/** Moves with a state of about 100 bytes. */
export const Worker: Process.Definition<"Worker", Working, undefined, typeof work, typeof none> =
  Process.define("Worker", {
    state: (_init: undefined): Working => ({ text: "x".repeat(80), had: 0 }),
    calls: work,
    started: (self) => {
      if (alive.has(self.key)) throw new Error(`BUG: ${self.key} is here twice`)
      alive.add(self.key)
      arrivals.lastAt = clock()
      if (arrivals.count++ === 0) arrivals.firstAt = arrivals.lastAt
    },
    stopping: (self) => {
      alive.delete(self.key)
    },
  })

/** Unix milliseconds with fractions: the clock that OS processes of one machine share. */
export function clock(): number {
  return performance.timeOrigin + performance.now()
}
