/**
 * What lets simulated time pass while somebody awaits something: one thing happens, then everything that
 * it set going in promises and fibers runs to its end, then the next thing happens.
 *
 * @module
 */

import { real } from "../nodes/guard.ts"
import type { World } from "../world/world.ts"
import type { Complaint } from "./check.ts"

/** Events within one simulated millisecond from which nothing but a loop is to be expected. */
const EVENTS_PER_MILLI_MAX = 100_000

/** How a pump is made. */
export interface PumpOptions {
  readonly world: World
  /** Microseconds that may pass without the test asking or being answered anything. */
  readonly patienceMicros: number
  /** Looked at after everything that happens. */
  readonly look: () => Complaint | undefined
  /** What the test waits for, in words. */
  readonly waiting: () => string
  /** Nothing of the world is done in promises: those of the test are waited for when it may go on. */
  readonly synchronous?: boolean
  /** Called with true before anything of the simulation runs, with false after it. */
  readonly inside: (inside: boolean) => void
}

/** Drives one world. */
export class Pump {
  /** Until when there is no reason to be impatient. */
  patientUntil: number
  readonly #options: PumpOptions
  /** The test may have something to do. */
  #woken = true

  constructor(options: PumpOptions) {
    this.#options = options
    this.patientUntil = options.world.now + options.patienceMicros
  }

  /** The test has asked or been answered something, or asked for time to pass until then. */
  touch(until: number = this.#options.world.now): void {
    this.patientUntil = Math.max(this.patientUntil, until + this.#options.patienceMicros)
  }

  /** Resolves when so much time has passed: the test goes on then, ahead of anything else. */
  sleep(micros: number): Promise<void> {
    const { world } = this.#options
    this.touch(world.now + micros)
    return new Promise((resolve) => {
      world.later(micros, () => {
        this.#woken = true
        resolve()
      })
    })
  }

  /** Lets time pass until the body is done, or a check complains. */
  async drive<A>(
    body: () => A | Promise<A>,
  ): Promise<
    { readonly value: A } | { readonly complaint: Complaint } | { readonly error: unknown }
  > {
    let outcome: { readonly value: A } | { readonly error: unknown } | undefined
    const { world, look, inside, synchronous = false } = this.#options
    inside(true)
    world.current = undefined
    void (async () => body())().then(
      (value) => {
        outcome = { value }
      },
      (error: unknown) => {
        outcome = { error }
      },
    )
    let millis = -1
    let events = 0
    for (;;) {
      if (this.#woken || !synchronous) {
        this.#woken = false
        await drained()
      }
      const complaint = look()
      inside(false)
      // What the test threw says more than a check; that it is done doesn't excuse one.
      if (outcome !== undefined && "error" in outcome) return outcome
      if (complaint !== undefined) return { complaint }
      if (outcome !== undefined) return outcome
      const now = Math.floor(world.now / 1_000)
      events = now === millis ? events + 1 : 0
      millis = now
      const hopeless = this.#hopeless(events)
      if (hopeless !== undefined) return { complaint: hopeless }
      inside(true)
      world.step()
    }
  }

  #hopeless(events: number): Complaint | undefined {
    const { world, waiting, patienceMicros } = this.#options
    const next = world.next()
    if (next === undefined)
      return { check: "deadlock", message: `nothing will ever happen again. ${waiting()}` }
    if (events > EVENTS_PER_MILLI_MAX)
      return { check: "livelock", message: `${events} events within one millisecond` }
    if (next <= this.patientUntil) return undefined
    const message = `no answer for ${patienceMicros / 1e6} simulated seconds. ${waiting()}`
    return { check: "stuck", message }
  }
}

/** Resolves when all microtasks have run. */
function drained(): Promise<void> {
  return new Promise((resolve) => real.macrotask(resolve))
}
