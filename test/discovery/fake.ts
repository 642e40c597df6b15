/**
 * A machine with virtual time, and a strategy's context on it that keeps what it is told.
 *
 * @module
 */
import type { Context } from "../../src/discovery/discovery.ts"
import { type Platform, uint32 } from "../../src/runtime/platform.ts"

/** A platform whose time stands still until {@link Machine.advance} is called. */
export interface Machine {
  readonly platform: Platform
  /** Lets so many milliseconds pass: what is due runs in order, and all promises settle in between. */
  advance(millis: number): Promise<void>
  /** How many timers wait. */
  timers(): number
}

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** When virtual time begins, in Unix milliseconds. */
export const EPOCH_MILLIS = 1_700_000_000_000

/** A machine whose random bytes come from a fixed sequence, another one for each seed of 1 and more. */
export function machine(seed = 1): Machine {
  let now = 0
  let drawn = seed
  const timers = new Set<Timer>()
  const platform: Platform = {
    now: () => now,
    wall: () => EPOCH_MILLIS + now,
    timer: (millis, run) => {
      const timer = { at: now + Math.max(0, millis), run }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    defer: (run) => void setImmediate(run),
    // The multiplicative generator of Park and Miller: any sequence does, so that it is the same.
    randomBytes: (count) =>
      Uint8Array.from({ length: count }, () => {
        drawn = (drawn * 48_271) % 0x7fff_ffff
        return drawn >>> 8
      }),
  }
  const advance = async (millis: number): Promise<void> => {
    const until = now + millis
    for (;;) {
      await settle()
      const due = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      timers.delete(due)
      now = Math.max(now, due.at)
      due.run()
    }
    now = until
  }
  return { platform, advance, timers: () => timers.size }
}

/** Lets all promises settle that wait for nothing but each other. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A context, and what a strategy has said to it. */
export interface Kept extends Context {
  /** Every list that was found, in order. */
  readonly lists: ReadonlyArray<ReadonlyArray<string>>
  /** The messages of all failures, in order. */
  readonly failures: ReadonlyArray<string>
  /** All reasons, in order. */
  readonly reasons: ReadonlyArray<string>
  /** Ends it. */
  abort(): void
  /** Resolves once `met` holds, looking again whenever the strategy says something. */
  until(met: (kept: Kept) => boolean): Promise<void>
}

/** The context of a node on this platform. */
export function keep(platform: Platform, given: Partial<Context> = {}): Kept {
  const controller = new AbortController()
  const { signal } = controller
  const lists: Array<ReadonlyArray<string>> = []
  const failures: Array<string> = []
  const reasons: Array<string> = []
  const watchers = new Set<() => void>()
  const say = <A>(list: Array<A>, value: A): void => {
    if (signal.aborted) return
    list.push(value)
    for (const look of watchers) look()
  }
  const ends = new Set<() => void>()
  signal.addEventListener("abort", () => {
    for (const end of ends) end()
  })
  const kept: Kept = {
    cluster: "skein",
    node: "a",
    address: "10.0.0.1:7001",
    cookie: "a secret",
    signal,
    found: (addresses) => say(lists, addresses),
    failed: (error) => say(failures, error instanceof Error ? error.message : String(error)),
    ignored: (reason) => say(reasons, reason),
    now: platform.now,
    wall: platform.wall,
    timer: (millis, run) => {
      if (signal.aborted) return () => {}
      const end = platform.timer(millis, run)
      ends.add(end)
      return end
    },
    random: () => uint32(platform) / 2 ** 32,
    ...given,
    lists,
    failures,
    reasons,
    abort: () => controller.abort(),
    until: (met) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!met(kept)) return
          watchers.delete(look)
          resolve()
        }
        watchers.add(look)
        look()
      }),
  }
  return kept
}

/** What was found last. */
export function last({ lists }: Kept): ReadonlyArray<string> | undefined {
  return lists.at(-1)
}
