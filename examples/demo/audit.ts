/**
 * What the counters must hold, what they hold, and which calls had a right to fail.
 *
 * @module
 */
import type { Failure, Tally } from "./client.ts"
import { keys, type Reading } from "./counter.ts"
import type { Fleet } from "./fleet.ts"
import type { View } from "./node.ts"
import type { Program } from "./program.ts"

/** A time in which a node didn't answer, and when each other node knew. */
export interface Outage {
  readonly victim: string
  /** Date.now() */
  readonly since: number
  readonly knownAt: ReadonlyMap<string, number>
}

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

/** The failures that nothing excuses: not made to a node before it was known not to answer. */
export function unexcused(
  tallies: ReadonlyMap<string, Tally>,
  outages: ReadonlyArray<Outage>,
): ReadonlyArray<Failure & { readonly by: string }> {
  return [...tallies].flatMap(([by, { failures }]) =>
    failures
      .filter(
        ({ owner, startedAt }) => !outages.some((outage) => excuses(outage, by, owner, startedAt)),
      )
      .map((failure) => ({ ...failure, by })),
  )
}

function excuses(
  outage: Outage,
  by: string,
  owner: string | undefined,
  startedAt: number,
): boolean {
  const knownAt = outage.knownAt.get(by) ?? Number.NEGATIVE_INFINITY
  return owner === outage.victim && startedAt >= outage.since && startedAt <= knownAt
}

/**
 * Whether these nodes, and no others, are members of each other, and every counter runs on one of
 * them: its owner, where the ring puts it. Each has its share, so the ring has all of them.
 */
export function settled(views: ReadonlyArray<View>, names: ReadonlyArray<string>): boolean {
  const [first] = views
  if (first === undefined || views.length !== names.length) return false
  const complete = views.every(({ members, owners, astray }) => {
    const up = Object.keys(members).filter((name) => members[name] === "up")
    const same = up.length === names.length && names.every((name) => up.includes(name))
    return same && astray === 0 && owners.every((owner, i) => owner === first.owners[i])
  })
  const shared = names.every((name) => first.owners.includes(name))
  const served = views.reduce((count, { serving }) => count + serving.length, 0)
  return complete && shared && served === keys.length && ownersMax(views) === 1
}

/** The largest number of nodes that run the same counter. */
export function ownersMax(views: ReadonlyArray<View>): number {
  return Math.max(...keys.map((key) => views.filter(({ serving }) => serving.includes(key)).length))
}

function acknowledged(tallies: ReadonlyArray<Tally>, key: string, life: string): number {
  return sum(tallies, (tally) => tally.acknowledged[key]?.[life])
}

function sum<T>(items: ReadonlyArray<T>, of: (item: T) => number | undefined): number {
  return items.reduce((all, item) => all + (of(item) ?? 0), 0)
}
