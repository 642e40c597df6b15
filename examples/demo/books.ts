/**
 * The clients' books: what the counters must hold, and what they do hold.
 *
 * @module
 */
import type { Tally } from "./client.ts"
import { keys, type Reading } from "./counter.ts"
import type { Fleet } from "./fleet.ts"
import type { Program } from "./program.ts"

/** What was found out about all counters at one time. */
export interface Audit {
  readonly readings: ReadonlyMap<string, Reading>
  /** Keys of counters that hold less or more than their clients' books allow. */
  readonly wrong: ReadonlyArray<string>
  /** Acknowledged additions to lives that no counter knows of. */
  readonly lost: number
}

/** The books of all clients, those that are gone included. */
export class Books {
  readonly #fleet: Fleet
  readonly #closed: Map<string, Tally> = new Map()

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  /** Stops a node's client once all of its calls are answered, and keeps its books. */
  async close(program: Program): Promise<void> {
    this.#closed.set(program.name, await program.ask("quiet"))
  }

  /** Has a node's client go on. */
  async reopen(program: Program, perSecond: number): Promise<void> {
    await program.ask("load", perSecond)
    this.#closed.delete(program.name)
  }

  /** The books as they are now, by the names of the nodes. */
  async tallies(): Promise<ReadonlyMap<string, Tally>> {
    const tallies = new Map(this.#closed)
    const open = this.#fleet.running.filter(({ name }) => !this.#closed.has(name))
    await Promise.all(open.map(async (one) => tallies.set(one.name, await one.ask("tally"))))
    return tallies
  }

  /**
   * Reads all counters, and compares them with the books. Clients may go on meanwhile: a counter
   * holds at least what was acknowledged before it was read, and at most what may have been added
   * until after.
   */
  async audit(reader: Program): Promise<Audit> {
    const before = [...(await this.tallies()).values()]
    const values = await reader.ask("read", keys)
    const after = [...(await this.tallies()).values()]
    const readings = new Map(keys.map((key, i) => [key, values[i] as Reading]))
    const wrong: Array<string> = []
    let lost = 0
    for (const [key, { lives }] of readings) {
      const unsure = sum(after, (tally) => tally.unsure[key])
      const fits = ([life, n]: readonly [string, number]): boolean =>
        n >= acknowledged(before, key, life) && n <= acknowledged(after, key, life) + unsure
      if (!Object.entries(lives).every(fits)) wrong.push(key)
      const known = new Set(after.flatMap((tally) => Object.keys(tally.acknowledged[key] ?? {})))
      for (const life of Object.keys(lives)) known.delete(life)
      lost += sum([...known], (life) => acknowledged(after, key, life))
    }
    return { readings, wrong, lost }
  }
}

/** Those of these counters that hold all that they held before, or more. */
export function resumed(
  before: Audit,
  after: Audit,
  moved: ReadonlyArray<string>,
): ReadonlyArray<string> {
  return moved.filter((key) => {
    const [old, now] = [before.readings.get(key)?.lives ?? {}, after.readings.get(key)?.lives ?? {}]
    const more = Object.keys(old).every((life) => (now[life] ?? -1) >= (old[life] ?? 0))
    return more && !after.wrong.includes(key)
  })
}

/** The keys of the counters that lost what they held before, and began anew. */
export function renewed(before: Audit, after: Audit): ReadonlyArray<string> {
  return keys.filter((key) => {
    const life = before.readings.get(key)?.life
    return life !== undefined && after.readings.get(key)?.lives[life] === undefined
  })
}

function acknowledged(tallies: ReadonlyArray<Tally>, key: string, life: string): number {
  return sum(tallies, (tally) => tally.acknowledged[key]?.[life])
}

function sum<T>(items: ReadonlyArray<T>, of: (item: T) => number | undefined): number {
  return items.reduce((all, item) => all + (of(item) ?? 0), 0)
}
