/**
 * What a simulated node takes from its machine in place of the real one: time, timers and randomness of
 * its host, for our runtime, for Effects and for their fibers.
 *
 * @module
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import { Platform } from "../../runtime/platform.ts"
import * as Chance from "../world/chance.ts"
import { EPOCH_MILLIS } from "../world/clock.ts"
import type { Host } from "../world/host.ts"

const BYTES = Chance.purpose("bytes")
const RANDOM = Chance.purpose("random")

/** The platform of the program that starts on a host now. */
export interface Simulated extends Platform {
  /** A uint32 for users' code, apart from those of the runtime. */
  readonly uint32: () => number
}

/** The platform of the program that has just started on a host. */
export function platform(host: Host): Simulated {
  const { world, index, clock, incarnation } = host
  let drawn = 0
  let random = 0
  // What is left of a dead program must not act for the one after it.
  const alive = (): boolean => host.running && host.incarnation === incarnation
  return {
    now: () => clock.mono(world.now) / 1_000,
    wall: () => EPOCH_MILLIS + clock.wall(world.now) / 1_000,
    timer: (millis, run) =>
      alive() ? host.timer(Math.min(millis, MILLIS_MAX) * 1_000, run) : () => {},
    defer: (run) => {
      if (alive()) host.soon(0, run)
    },
    randomBytes: (count) => {
      const bytes = new Uint8Array(count)
      for (let i = 0; i < count; i++)
        bytes[i] = Chance.draw(world.seed, BYTES, index, incarnation, drawn++) & 0xff
      return bytes
    },
    uint32: () => Chance.draw(world.seed, RANDOM, index, incarnation, random++),
  }
}

/** Timers are as long as the hosts' longest, 24.8 days; infinite ones too. */
const MILLIS_MAX = 0x7fff_ffff

/** The context that a node and the Effects of its handlers run with. */
export function context(simulated: Simulated): Context.Context<never> {
  // As with setImmediate on a real host: a fiber that never rests doesn't keep time from passing.
  const scheduler = new Scheduler.MixedScheduler("async", (run) => {
    let live = true
    simulated.defer(() => {
      if (live) run()
    })
    return () => {
      live = false
    }
  })
  return Context.empty().pipe(
    Context.add(Platform, simulated),
    Context.add(Scheduler.Scheduler, scheduler),
    Context.add(Clock.Clock, clockOf(simulated)),
    Context.add(Random.Random, randomOf(simulated)),
  ) as Context.Context<never>
}

function clockOf({ now, wall, timer }: Simulated): Clock.Clock {
  const nanos = (millis: number): bigint => BigInt(Math.floor(millis * 1_000)) * 1_000n
  return {
    currentTimeMillisUnsafe: () => Math.floor(wall()),
    currentTimeMillis: Effect.sync(() => Math.floor(wall())),
    currentTimeNanosUnsafe: () => nanos(wall()),
    currentTimeNanos: Effect.sync(() => nanos(wall())),
    monotonicTimeNanosUnsafe: () => nanos(now()),
    monotonicTimeNanos: Effect.sync(() => nanos(now())),
    sleep: (duration) => {
      const millis = Duration.toMillis(duration)
      if (millis <= 0) return Effect.yieldNow
      if (!Number.isFinite(millis)) return Effect.never
      return Effect.callback<void>((resume) => {
        const cancel = timer(millis, () => resume(Effect.void))
        return Effect.sync(cancel)
      })
    },
  }
}

function randomOf({ uint32 }: Simulated): { nextIntUnsafe(): number; nextDoubleUnsafe(): number } {
  // 53 bits of two draws, as a double in [0, 1).
  const double = (): number => ((uint32() >>> 5) * 0x400_0000 + (uint32() >>> 6)) / 2 ** 53
  return {
    nextDoubleUnsafe: double,
    nextIntUnsafe: () => {
      const span = Number.MAX_SAFE_INTEGER - Number.MIN_SAFE_INTEGER + 1
      return Math.floor(double() * span) + Number.MIN_SAFE_INTEGER
    },
  }
}
