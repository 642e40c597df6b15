/**
 * What a person sees: a timeline that grows and, on a terminal, a live table below it.
 *
 * @module
 */
import type { WriteStream } from "node:tty"

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

/** How a line is meant. */
export type Tone = "plain" | "dim" | "good" | "bad" | "warn" | "bold"

const CODES: Readonly<Record<Tone, string>> = {
  plain: "",
  dim: "2",
  good: "32",
  bad: "31",
  warn: "33",
  bold: "1",
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
/** Characters to a line of the table, and of the timeline at most. */
const WIDTH = 76
const WIDTH_MAX = 100
const BAR_MAX = 32
const REDRAW_MILLIS = 200

/** Writes to a stream: with colours and the table when it is a terminal, else a plain log. */
export class Screen {
  readonly #out: WriteStream
  readonly #colours: boolean
  readonly #live: boolean
  readonly #rows: () => ReadonlyArray<Row>
  readonly #start = Date.now()
  readonly #timer: ReturnType<typeof setInterval> | undefined
  /** Lines of the table that stand below the timeline. */
  #drawn = 0

  constructor(out: WriteStream, rows: () => ReadonlyArray<Row>) {
    this.#out = out
    this.#rows = rows
    const terminal = out.isTTY === true && process.env.TERM !== "dumb"
    this.#colours = terminal && !process.env.NO_COLOR
    this.#live = terminal && out.columns >= WIDTH
    if (this.#live) this.#timer = setInterval(() => this.#draw(""), REDRAW_MILLIS)
  }

  /** A line without a time. */
  line(text = "", tone: Tone = "plain"): void {
    this.#draw(`${this.#paint(text, tone)}\n`)
  }

  /** The title of what happens next. */
  chapter(title: string): void {
    this.line()
    this.line(title, "bold")
  }

  /** Something that happened now, or at a time (Date.now). */
  note(text: string, tone: Tone = "plain", at: number = Date.now()): void {
    const seconds = ((at - this.#start) / 1000).toFixed(2).padStart(6)
    const [first = "", ...more] = wrapped(text, this.#width - 12)
    this.#draw(`${this.#paint(`+${seconds} s`, "dim")}  ${this.#paint(first, tone)}\n`)
    for (const next of more) this.#draw(`${" ".repeat(11)}${this.#paint(next, tone)}\n`)
  }

  /** Characters to a line; a log has no limit. */
  get #width(): number {
    return this.#live ? Math.min(this.#out.columns, WIDTH_MAX) : Number.POSITIVE_INFINITY
  }

  /** Takes the live table off the screen, for good. */
  close(): void {
    clearInterval(this.#timer)
    this.#out.write(this.#erase())
  }

  #draw(above: string): void {
    const table = this.#live ? this.#table() : []
    const erase = this.#erase()
    this.#drawn = table.length
    this.#out.write(`${erase}${above}${table.map((line) => `${line}\n`).join("")}`)
  }

  #erase(): string {
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A\x1b[J`
    this.#drawn = 0
    return up
  }

  #table(): ReadonlyArray<string> {
    const rows = this.#rows()
    if (rows.length === 0) return []
    const head = ` ${cell("node", 8)}${cell("program", 10)}${cell("seen as", 10)}counters`
    return [
      "",
      this.#paint(`${head.padEnd(WIDTH - 8)}calls/s`, "dim"),
      ...rows.map((row) => this.#row(row)),
    ]
  }

  #row({ name, program, seen, counters, callsPerSecond }: Row): string {
    const bar = "█".repeat(Math.round((Math.min(counters, 160) * BAR_MAX) / 160))
    return [
      ` ${this.#paint(cell(name, 8), "bold")}`,
      this.#paint(cell(program, 10), TONES[program] ?? "plain"),
      this.#paint(cell(seen, 10), TONES[seen] ?? "plain"),
      `${String(counters).padStart(3)} ${cell(bar, BAR_MAX + 1)}`,
      String(Math.round(callsPerSecond)).padStart(WIDTH - BAR_MAX - 34),
    ].join("")
  }

  #paint(text: string, tone: Tone): string {
    const code = CODES[tone]
    return this.#colours && code !== "" ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}

function cell(text: string, width: number): string {
  return text.padEnd(width)
}

/** A text as lines of at most so many characters. */
function wrapped(text: string, width: number): ReadonlyArray<string> {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line]
}
