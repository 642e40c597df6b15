/**
 * What time it is for one node: a monotonic and a wall clock that may be off, drift, step, stand still
 * or be suspended. Between two changes both are linear in the world's time.
 *
 * @module
 */

/** When simulations begin, in Unix milliseconds: 2020-01-01T00:00:00Z. Never 0. */
export const EPOCH_MILLIS = 1_577_836_800_000

/** The clocks of one node. All arguments and results are microseconds. */
export class Clock {
  /** The world's time at the last change, and what the clocks said then. */
  #at = 0
  #mono = 0
  #wall = 0
  #driftPpm = 0
  #frozen = 0
  #suspended = 0

  /** Microseconds that passed for programs since the simulation began, at the world's time `now`. */
  mono(now: number): number {
    return this.#suspended > 0 ? this.#mono : this.#mono + this.#elapsed(now)
  }

  /** Microseconds since {@link EPOCH_MILLIS}, as the host believes. */
  wall(now: number): number {
    if (this.#frozen > 0) return this.#wall
    // A suspended machine's wall clock goes on: that is what tells it, when it wakes, that it slept.
    return this.#wall + this.#elapsed(now)
  }

  /** How long something takes in the world that takes `micros` on this clock, from now on. */
  stretch(micros: number): number {
    const drift = this.#drift
    return Math.ceil(micros - (micros * drift) / (1_000_000 + drift))
  }

  /** Sets the wall clock by so much; back with the negative. */
  step(now: number, micros: number): void {
    this.#rebase(now)
    this.#wall += micros
  }

  /** Runs faster (positive) or slower by so many parts per million, on top of what it does already. */
  drift(now: number, ppm: number): void {
    this.#rebase(now)
    this.#driftPpm += ppm
  }

  /** Lets the wall clock stand still, or lets it go on from where it stands. */
  freeze(now: number, frozen: boolean): void {
    this.#rebase(now)
    this.#frozen += frozen ? 1 : -1
  }

  /** Lets the monotonic clock stand still while the machine sleeps, or go on. */
  suspend(now: number, suspended: boolean): void {
    this.#rebase(now)
    this.#suspended += suspended ? 1 : -1
  }

  #elapsed(now: number): number {
    const passed = now - this.#at
    // The products of whole times would be too large for whole numbers after hours.
    return passed + Math.floor((passed * this.#drift) / 1_000_000)
  }

  /** No clock goes backwards by itself, or stands still for ever. */
  get #drift(): number {
    return Math.max(-999_999, this.#driftPpm)
  }

  #rebase(now: number): void {
    const [mono, wall] = [this.mono(now), this.wall(now)]
    this.#at = now
    this.#mono = mono
    this.#wall = wall
  }
}
