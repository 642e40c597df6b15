/**
 * Virtual time, chances, and the distances between places that messages travel. Chances are keyed by
 * what they are for, so that one more of one kind leaves the others alone.
 */
import { hash32, mix32 } from "../../src/core/hash.ts"

interface Job {
  readonly at: number
  readonly order: number
  readonly run: () => void
}

export class World {
  now: number = 0
  readonly #seed: number
  readonly #latencyMillis: number
  readonly #jobs: Array<Job> = []
  readonly #cuts = new Set<string>()
  readonly #counts = new Map<string, number>()
  #stuck: Array<() => void> = []
  #order = 0

  constructor(seed: number, latencyMillis: number) {
    this.#seed = seed
    this.#latencyMillis = latencyMillis
  }

  /** A uint below `bound`, by what it is for and how often that was asked. */
  chance(purpose: string, bound: number): number {
    const count = (this.#counts.get(purpose) ?? 0) + 1
    this.#counts.set(purpose, count)
    return mix32(mix32(hash32(purpose), this.#seed), count) % bound
  }

  /** Lets so much time pass. */
  run(millis: number): void {
    const end = this.now + millis
    for (let job = this.#jobs[0]; job !== undefined && job.at <= end; job = this.#jobs[0]) {
      this.#jobs.shift()
      this.now = Math.max(this.now, job.at)
      job.run()
    }
    this.now = end
  }

  /** Does it at that time, after what is to be done then already. */
  later(at: number, run: () => void): void {
    let low = 0
    let high = this.#jobs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#jobs[middle] as Job).at <= at) low = middle + 1
      else high = middle
    }
    this.#jobs.splice(low, 0, { at, order: ++this.#order, run })
  }

  /** When something sent now arrives: half to one and a half times the latency from now. */
  arrival(from: string, to: string): number {
    const part = this.chance(`latency ${from}>${to}`, 1_000)
    return this.now + (this.#latencyMillis * (500 + part)) / 1_000
  }

  /** Does it at the other place at that time; behind a cut, once that is mended. */
  travel(from: string, to: string, at: number, run: () => void): void {
    this.later(at, () => {
      if (this.#cuts.has(`${from}>${to}`)) this.#stuck.push(run)
      else run()
    })
  }

  /** Nothing gets from one to the other, silently, until it is mended. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  mend(): void {
    this.#cuts.clear()
    const stuck = this.#stuck
    this.#stuck = []
    for (const run of stuck) this.later(this.now, run)
  }
}
