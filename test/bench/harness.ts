/**
 * What the benchmarks share: the shape of a benchmark and of its results, timing, and the two ways to
 * print them. A benchmark is a file of this directory that exports `bench`, one or several; run.mjs
 * finds it by its name, or by the part of its name before the first hyphen.
 *
 * @module
 */
import { fileURLToPath } from "node:url"

/** A named set of measurements that are made together. Takes under 60 s. */
export interface Bench {
  readonly name: string
  /** What the reader of the table should know about each case, by its name. */
  readonly cases: Readonly<Record<string, Case>>
  run(context: Context): Promise<ReadonlyArray<Result>>
}

/** What to hold a case's median against. Figures are in the unit of the case. */
export interface Case {
  /** Whether smaller or greater figures are better. */
  readonly better: "less" | "more"
  readonly goal?: number
  readonly target?: number
  /** What other systems reach, each measured on a machine of the same kind. */
  readonly peers?: Readonly<Record<string, number>>
}

/** Where a benchmark runs. */
export interface Context {
  readonly runtime: "bun" | "deno" | "node"
  /** The runtime with its version, such as "bun 1.4.5". */
  readonly label: string
  /** Tells the person who waits what is going on (on standard error). */
  note(text: string): void
}

/** One case's measurement, as it is printed. */
export interface Result {
  readonly case: string
  readonly unit: string
  readonly median: number
  /** In the order in which they were made. */
  readonly runs: ReadonlyArray<number>
  readonly baseline?: Baseline
  /** The median divided by the baseline's. */
  readonly ratio?: number
  readonly p50Micros?: number
  readonly p99Micros?: number
}

/** What the same run measured of something simple, to tell a slow machine from slow code. */
export interface Baseline {
  readonly name: string
  readonly median: number
  readonly p50Micros?: number
}

/** What can be said of a case beyond its runs. */
export interface Extra {
  readonly baseline?: Baseline
  readonly p50Micros?: number
  readonly p99Micros?: number
}

/** The result of a case from its runs (at least one). */
export function result(
  name: string,
  unit: string,
  runs: ReadonlyArray<number>,
  extra: Extra = {},
): Result {
  const middle = median(runs)
  const ratio = extra.baseline === undefined ? {} : { ratio: middle / extra.baseline.median }
  return { case: name, unit, median: middle, runs, ...extra, ...ratio }
}

/** Runs `once` without counting it, then `count` times, and returns what those answered. */
export async function repeat(
  count: number,
  once: () => number | Promise<number>,
): Promise<ReadonlyArray<number>> {
  await once()
  const runs: Array<number> = []
  for (let i = 0; i < count; i++) runs.push(await once())
  return runs
}

/**
 * Calls `body(operations)`, a loop of that many operations, as {@link repeat} does, and returns the
 * nanoseconds per operation. What the body returns is kept, so that its work can't be optimized away.
 */
export function nanos(
  count: number,
  operations: number,
  body: (operations: number) => number,
): Promise<ReadonlyArray<number>> {
  return repeat(count, () => {
    const start = performance.now()
    kept[0]! += body(operations)
    return ((performance.now() - start) * 1e6) / operations
  })
}

const kept = new Float64Array(1)

/** The middle of some figures, or the mean of the two middle ones. */
export function median(figures: ReadonlyArray<number>): number {
  const sorted = figures.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** The figure that a share (0.99, say) of all figures doesn't exceed. */
export function percentile(figures: ReadonlyArray<number> | Float64Array, share: number): number {
  const sorted = Float64Array.from(figures).sort()
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!
}

/**
 * The bytes that are reachable now, on the heap and in buffers outside of it, after collecting garbage.
 * Differences of some megabytes are exact to about one percent.
 */
export function heapBytes(): number {
  const { Bun, gc } = globalThis as { Bun?: { gc(force: boolean): void }; gc?: () => void }
  // Memory is sometimes released in the second round only.
  for (let i = 0; i < 3; i++) {
    if (Bun) Bun.gc(true)
    else if (gc) gc()
    else throw new Error("start the benchmark by run.mjs: garbage can't be collected here")
  }
  const { heapUsed, external } = process.memoryUsage()
  return Bun ? heapUsed : heapUsed + external // Bun counts buffers in both.
}

/**
 * The command line of another process on the same runtime, for node:child_process: the program is a
 * file of this directory, given without its ending ("echo" for echo.ts).
 */
export function command(file: string): readonly [string, ...ReadonlyArray<string>] {
  const path = fileURLToPath(program(file))
  const flags = here().runtime === "deno" ? ["run", "--allow-all", "--no-check"] : []
  return [process.execPath, ...flags, path]
}

/** A program of this directory, given without its ending. */
export function program(file: string): URL {
  const ending = import.meta.url.endsWith(".ts") ? "ts" : "js"
  return new URL(`./${file}.${ending}`, import.meta.url)
}

/** Runs a benchmark and prints it: a line of JSON, or a table for people. */
export async function main(bench: Bench, json: boolean): Promise<void> {
  const context = here()
  context.note(`${bench.name} on ${context.label}`)
  const results = await bench.run(context)
  const line = { bench: bench.name, runtime: context.label, results: results.map(rounded) }
  console.log(json ? JSON.stringify(line) : table(bench, context, results))
}

function here(): Context {
  const versions: { bun?: string; deno?: string; node: string } = process.versions
  const runtime = versions.bun ? "bun" : versions.deno ? "deno" : "node"
  const label = `${runtime} ${versions[runtime]}`
  return { runtime, label, note: (text) => console.error(`  ${text}`) }
}

/** Figures with six significant digits: more would be noise. */
function rounded(value: Result): Result {
  const round = (_key: string, each: unknown) =>
    typeof each === "number" ? Number(each.toPrecision(6)) : each
  return JSON.parse(JSON.stringify(value, round))
}

function table(bench: Bench, context: Context, results: ReadonlyArray<Result>): string {
  const rows = results.map((each) => row(each, bench.cases[each.case]))
  const head = ["case", "median", "runs", "baseline", "goal", "target"]
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((r) => r[i]!.length)))
  const line = (cells: ReadonlyArray<string>) =>
    cells.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")
  const lines = [`${bench.name}, ${context.label}`, "", line(head)]
  for (const [i, cells] of rows.entries()) {
    lines.push(line(cells))
    const peers = Object.entries(bench.cases[results[i]!.case]?.peers ?? {})
    if (peers.length === 0) continue
    lines.push(`    others: ${peers.map(([name, n]) => `${name} ${figure(n)}`).join(", ")}`)
  }
  return lines.map((each) => each.trimEnd()).join("\n")
}

function row(each: Result, about: Case | undefined): ReadonlyArray<string> {
  const { unit, median: middle, runs, baseline, ratio, p50Micros, p99Micros } = each
  const latency = [
    p50Micros === undefined ? "" : `, p50 ${figure(p50Micros)} µs`,
    p99Micros === undefined ? "" : `, p99 ${figure(p99Micros)} µs`,
  ]
  return [
    each.case,
    `${figure(middle)} ${unit}${latency.join("")}`,
    runs.length < 2 ? "" : `${figure(Math.min(...runs))} to ${figure(Math.max(...runs))}`,
    baseline === undefined
      ? ""
      : `${baseline.name}: ${figure(baseline.median)}, ratio ${figure(ratio!)}`,
    verdict(middle, about?.better, about?.goal),
    verdict(middle, about?.better, about?.target),
  ]
}

function verdict(
  middle: number,
  better: "less" | "more" | undefined,
  bound: number | undefined,
): string {
  if (better === undefined || bound === undefined) return ""
  const met = better === "less" ? middle <= bound : middle >= bound
  return `${better === "less" ? "≤" : "≥"} ${figure(bound)} ${met ? "met" : "MISSED"}`
}

/** Three or four significant digits, thousands and millions abbreviated. */
function figure(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)}M`
  if (size >= 1e4) return `${Math.round(value / 1e3)}k`
  return String(Number(value.toPrecision(size >= 1 && size < 10 ? 4 : 3)))
}
