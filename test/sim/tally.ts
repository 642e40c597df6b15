/**
 * What a long run of suites has seen so far, and how it is told in one line and in a table.
 *
 * @module
 */
import type { Outcome } from "../../src/testing/runs/run.ts"
import type { Simulation } from "../../src/testing/simulation.ts"

/** From so many runs on a suite must have seen each of its `sometimes`. */
const SOMETIMES_RUNS_MIN = 100
/** More of a suite's runs than this must not fail with an excuse. */
const EXCUSED_MAX = 0.01

/** The figures of one suite. */
export class Tally {
  readonly name: string
  runs = 0
  failed = 0
  excused = 0
  events = 0
  micros = 0
  /** How often each of the `sometimes` was so. */
  readonly reached: Map<string, number>

  constructor({ name, sometimes }: Pick<Simulation, "name" | "sometimes">) {
    this.name = name
    this.reached = new Map(sometimes.map((what) => [what, 0]))
  }

  count({ trace, at, reached, excuse }: Outcome): void {
    this.runs++
    this.events += trace.count
    this.micros += at
    if (excuse !== undefined) this.excused++
    for (const [what, was] of reached)
      if (was) this.reached.set(what, (this.reached.get(what) ?? 0) + 1)
  }

  /** Why the suite shows less than it says. */
  vacuous(): ReadonlyArray<string> {
    const wrong: Array<string> = []
    if (this.excused > Math.max(1, this.runs * EXCUSED_MAX))
      wrong.push(`${this.name}: ${this.excused} of ${this.runs} runs were excused`)
    if (this.runs < SOMETIMES_RUNS_MIN) return wrong
    for (const [what, count] of this.reached)
      if (count === 0)
        wrong.push(`${this.name}: in ${this.runs} runs it never was so that: ${what}`)
    return wrong
  }
}

/** Everything so far in one line. `millis` are real ones. */
export function line(tallies: ReadonlyArray<Tally>, wanted: number, millis: number): string {
  const sum = (f: (tally: Tally) => number): number =>
    tallies.reduce((total, tally) => total + f(tally), 0)
  const runs = sum((tally) => tally.runs)
  const seconds = Math.max(millis, 1) / 1_000
  const hit = sum((tally) => [...tally.reached.values()].filter((count) => count > 0).length)
  const parts = [
    `${grouped(runs)} of ${Number.isFinite(wanted) ? grouped(wanted) : "∞"} runs, ` +
      `${grouped(sum((tally) => tally.failed))} failed`,
    `${grouped((runs / seconds) * 60)}/min`,
    `${grouped(sum((tally) => tally.micros) / 1e6 / seconds)} simulated s/s`,
    `${grouped(sum((tally) => tally.events))} events`,
    `sometimes ${hit} of ${sum((tally) => tally.reached.size)}`,
  ]
  return parts.join(" · ")
}

/** A table of the suites, and how often each of their `sometimes` was so. */
export function table(tallies: ReadonlyArray<Tally>): string {
  const width = Math.max(...tallies.map(({ name }) => name.length))
  return tallies
    .flatMap((tally) => [
      `${tally.name.padEnd(width)}  ${grouped(tally.runs)} runs, ${tally.failed} failed, ` +
        `${tally.excused} excused, ${grouped(tally.micros / 1e6)} simulated s`,
      ...[...tally.reached].map(
        ([what, count]) => `${"".padEnd(width)}  ${grouped(count)} × ${what}`,
      ),
    ])
    .join("\n")
}

function grouped(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",")
}
