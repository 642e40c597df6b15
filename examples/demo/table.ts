/**
 * The live table: a line for every program.
 *
 * @module
 */
import type { Tone } from "./screen.ts"

/** A line of the table. */
export interface Row {
  readonly name: string
  /** What is true of the program. */
  readonly program: string
  /** How the other nodes see it. */
  readonly seen: string
  readonly counters: number
  readonly callsPerSecond: number
}

const TONES: Readonly<Record<string, Tone>> = {
  running: "good",
  up: "good",
  starting: "dim",
  joining: "dim",
  gone: "dim",
  left: "dim",
  leaving: "warn",
  suspect: "warn",
  frozen: "warn",
  killed: "bad",
  down: "bad",
}
/** Characters to a line. */
export const WIDTH: number = 76
const NAME = 8
const STATUS = 10
const BAR = 32
const COUNTERS_MAX = 160

/** The lines of the table. `paint` colours a text. */
export function lines(
  rows: ReadonlyArray<Row>,
  paint: (text: string, tone: Tone) => string,
): ReadonlyArray<string> {
  if (rows.length === 0) return []
  const head = ` ${"node".padEnd(NAME)}${"program".padEnd(STATUS)}${"seen as".padEnd(STATUS)}counters`
  return [
    "",
    paint(`${head.padEnd(WIDTH - 7)}calls/s`, "dim"),
    ...rows.map((row) => line(row, paint)),
  ]
}

function line(row: Row, paint: (text: string, tone: Tone) => string): string {
  const { name, program, seen, counters, callsPerSecond } = row
  const bar = "█".repeat(Math.round((Math.min(counters, COUNTERS_MAX) * BAR) / COUNTERS_MAX))
  return [
    ` ${paint(name.padEnd(NAME), "bold")}`,
    paint(program.padEnd(STATUS), TONES[program] ?? "plain"),
    paint(seen.padEnd(STATUS), TONES[seen] ?? "plain"),
    `${String(counters).padStart(3)} ${bar.padEnd(BAR)}`,
    String(Math.round(callsPerSecond)).padStart(WIDTH - NAME - 2 * STATUS - BAR - 5),
  ].join("")
}
