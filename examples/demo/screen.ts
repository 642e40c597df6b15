/**
 * What a person sees: a timeline that grows and, on a terminal, a live table below it.
 *
 * @module
 */
import process from "node:process"
import type { WriteStream } from "node:tty"
import { lines, type Row, WIDTH } from "./table.ts"

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
/** Characters to a line of the timeline. */
const WIDTH_MAX = 100
const INDENT = 11
const REDRAW_MILLIS = 200
/** Nodes that see the same within this time share a line. */
const CHORUS_MILLIS = 250

/** Writes to a stream: with colours and the table when it is a terminal, else a plain log. */
export class Screen {
  readonly #out: WriteStream
  readonly #colours: boolean
  #live: boolean
  readonly #rows: () => ReadonlyArray<Row>
  readonly #start: number = Date.now()
  readonly #timer: ReturnType<typeof setInterval> | undefined
  /** What was seen but isn't written yet: by whom, and when first. */
  readonly #seen = new Map<string, { readonly by: Array<string>; readonly at: number }>()
  /** Lines of the table that stand below the timeline. */
  #drawn = 0

  constructor(out: WriteStream, rows: () => ReadonlyArray<Row>) {
    this.#out = out
    this.#rows = rows
    const terminal = out.isTTY === true && process.env.TERM !== "dumb"
    this.#colours = terminal && !process.env.NO_COLOR
    this.#live = terminal && out.columns > WIDTH
    if (this.#live) this.#timer = setInterval(() => this.#draw(""), REDRAW_MILLIS)
  }

  /** A line without a time. */
  line(text = "", tone: Tone = "plain"): void {
    this.#flush()
    this.#draw(`${this.#paint(text, tone)}\n`)
  }

  /** The title of what happens next. */
  chapter(title: string): void {
    this.line()
    this.line(title, "bold")
  }

  /** Something that has just happened. */
  note(text: string, tone: Tone = "plain"): void {
    this.#flush()
    this.#write(text, tone, Date.now())
  }

  /** Something that a node saw, at a time (Date.now); `what` goes on after "alder and birch see". */
  see(by: string, what: string, at: number): void {
    const seen = this.#seen.get(what)
    if (seen !== undefined) seen.by.push(by)
    else {
      this.#seen.set(what, { by: [by], at })
      setTimeout(() => this.#flush(), CHORUS_MILLIS).unref()
    }
  }

  #flush(): void {
    const seen = [...this.#seen]
    this.#seen.clear()
    for (const [what, { by, at }] of seen) {
      const who = [by.slice(0, -1).join(", "), by.at(-1)].filter((part) => part).join(" and ")
      this.#write(`${who} ${by.length === 1 ? "sees" : "see"} ${what}`, "dim", at)
    }
  }

  #write(text: string, tone: Tone, at: number): void {
    const width = this.#live ? Math.min(this.#out.columns, WIDTH_MAX) : Number.POSITIVE_INFINITY
    const seconds = ((at - this.#start) / 1000).toFixed(2).padStart(6)
    const indent = `\n${" ".repeat(INDENT)}`
    const painted = wrapped(text, width - INDENT - 1).map((part) => this.#paint(part, tone))
    this.#draw(`${this.#paint(`+${seconds} s`, "dim")}  ${painted.join(indent)}\n`)
  }

  /** Lets the table stand as it is: what comes next goes below it. */
  freeze(): void {
    this.#flush()
    this.#draw("")
    clearInterval(this.#timer)
    this.#drawn = 0
    this.#live = false
  }

  #draw(above: string): void {
    const erase = this.#erase()
    const table = this.#live ? lines(this.#rows(), (text, tone) => this.#paint(text, tone)) : []
    this.#drawn = table.length
    this.#out.write(`${erase}${above}${table.map((line) => `${line}\n`).join("")}`)
  }

  #erase(): string {
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A\x1b[J`
    this.#drawn = 0
    return up
  }

  #paint(text: string, tone: Tone): string {
    const code = CODES[tone]
    return this.#colours && code !== "" ? `\x1b[${code}m${text}\x1b[0m` : text
  }
}

/** A text as lines of at most so many characters. */
function wrapped(text: string, width: number): ReadonlyArray<string> {
  const parts: Array<string> = []
  for (const word of text.split(" ")) {
    const last = parts.at(-1)
    if (last === undefined || last.length + 1 + word.length > width) parts.push(word)
    else parts[parts.length - 1] = `${last} ${word}`
  }
  return parts
}
