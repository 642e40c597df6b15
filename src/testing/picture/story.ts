/**
 * A run as text, for terminals and logs: a line for each event that matters, with a mark in the
 * column of its node and then words. It says what the page of `diagram.ts` shows.
 *
 * @module
 */

import type { Trace, TraceEvent } from "../world/trace.ts"
import {
  clean,
  clip,
  counted,
  type EventOf,
  type Packet,
  seconds,
  sentence,
  wrap,
} from "./caption.ts"
import { type Absence, absencesOf, barrier, cutAt } from "./outage.ts"
import { type Selection, select } from "./selection.ts"

/** How a text is made. */
export interface TextOptions {
  /** Events that are shown at most: by default 400. */
  readonly eventsMax?: number
  /** Characters on a line: by default 100, at least 40. */
  readonly columns?: number
}

/** Tells a trace in lines of plain text. The same trace and options give the same text. */
export function text(trace: Trace, options: TextOptions = {}): string {
  const selection = select(trace, options.eventsMax ?? 400)
  const teller = new Teller(selection, Math.max(40, options.columns ?? 100))
  const lines = [...teller.head(), ...selection.shown.flatMap((event) => teller.tell(event))]
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`
}

const LEGEND = [
  "o sent  > < received  x lost  = held up  . timer  ! said  ? called  + answered  - failed",
  "^ starts  X ends  : stands still  # the wall of a partition  * led to the failure",
]

/** The width of the times and the marks before them. */
const MARGIN = 13
/** The room that words have at least beside the nodes. */
const WORDS = 44

class Teller {
  readonly #selection: Selection
  readonly #absences: ReadonlyArray<Absence>
  readonly #columns: number
  /** The width of one node's column; 0 when there is no room for so many. */
  readonly #width: number
  readonly #order: ReadonlyMap<number, number>

  constructor(selection: Selection, columns: number) {
    this.#selection = selection
    this.#absences = absencesOf(selection.trace)
    this.#columns = columns
    this.#order = new Map(selection.columns.map((node, k) => [node, k]))
    const longest = Math.max(2, ...selection.columns.map((node) => this.#name(node).length))
    const room = Math.floor((columns - MARGIN - WORDS) / Math.max(1, selection.columns.length))
    this.#width = room < 2 ? 0 : Math.min(longest + 1, room)
  }

  head(): ReadonlyArray<string> {
    const { trace, columns, shown, quiet, over } = this.#selection
    const { name, nodes, seed } = trace.header
    const lines = [
      clean(name),
      `${counted(nodes.length, "node")}, ${counted(trace.count, "event")}, ` +
        `seed ${seed}, hash ${trace.hash}`,
      `${counted(shown.length, "event")} shown`,
    ]
    if (quiet > 0)
      lines.push(
        `${counted(quiet, "event")} not shown: probes, handshakes and timers that led to nothing`,
      )
    if (over > 0) lines.push(`${counted(over, "event")} not shown: less telling ones`)
    const names = columns.map((node) =>
      plain(this.#name(node), this.#width - 1).padEnd(this.#width),
    )
    const all = this.#width === 0 ? [] : [`${" ".repeat(MARGIN)}${names.join("")}`]
    return [...lines.flatMap((line) => wrap(line, this.#columns)), ...this.#legend(), "", ...all]
  }

  /** One line; a violated check may need more for its message. */
  tell(event: TraceEvent): ReadonlyArray<string> {
    const { past, packets } = this.#selection
    const led = past.has(event.i) ? "*" : " "
    const time = `${led}${seconds(event.at).padStart(MARGIN - 3)}  `
    if (event.kind === "check") return this.#check(event, time)
    const packet = "packet" in event ? packets.get(event.packet) : undefined
    const words = sentence(event, (node) => this.#name(node), packet)
    if (event.kind === "fault") return [this.#rule(time, words, "=")]
    if (event.kind === "phase") return [this.#rule(time, words, "-")]
    const line = `${time}${this.#nodes(event, packet)}`
    return [`${line}${plain(words, this.#columns - line.length)}`]
  }

  #name(node: number): string {
    return clean(this.#selection.trace.header.nodes[node] ?? `node ${node}`)
  }

  #legend(): ReadonlyArray<string> {
    return LEGEND.flatMap((line) =>
      line.length <= this.#columns ? [line] : wrap(line, this.#columns),
    )
  }

  #check(event: EventOf<"check">, time: string): ReadonlyArray<string> {
    const names = event.nodes.map((node) => this.#name(node)).join(" ")
    const where = names === "" ? "" : ` on ${names}`
    const said = `VIOLATED: ${event.name}${where}: ${event.message}`
    const lines = wrap(said, this.#columns - MARGIN - 4)
    return lines.map((line, k) => `${k === 0 ? time : " ".repeat(MARGIN)}### ${line}`)
  }

  /** A line from side to side. */
  #rule(time: string, words: string, stroke: string): string {
    const line = `${time}${stroke.repeat(3)} `
    const said = `${line}${plain(words, this.#columns - line.length - 4)} `
    return said.padEnd(this.#columns, stroke)
  }

  // --- the columns of the nodes ------------------------------------------------------------------

  #nodes(event: TraceEvent, packet: Packet | undefined): string {
    const { columns } = this.#selection
    const width = this.#width
    if (width === 0) return ""
    const cells = Array.from({ length: width * columns.length }, () => " ")
    columns.forEach((node, k) => {
      cells[k * width] = this.#state(node, event.i)
      const next = columns[k + 1]
      const fault =
        next === undefined ? undefined : cutAt(this.#selection.faults, event.i, node, next)
      if (fault !== undefined) cells[k * width + width - 1] = "#"
    })
    const at = this.#draw(cells, event, packet?.send)
    if (at !== undefined) cells[at.place] = at.mark
    return `${cells.join("")} `
  }

  #state(node: number, i: number): string {
    const absence = this.#absences.find(
      ({ begin, end, ...absence }) =>
        absence.node === node && (begin?.i ?? -1) < i && (end === undefined || i < end.i),
    )
    return absence === undefined ? "|" : absence.state === "down" ? " " : ":"
  }

  /** Draws a packet's way; where its mark or that of another event stands. */
  #draw(
    cells: Array<string>,
    event: TraceEvent,
    send: EventOf<"send"> | undefined,
  ): { readonly place: number; readonly mark: string } | undefined {
    const place = (node: number): number => (this.#order.get(node) ?? 0) * this.#width
    if (event.kind === "send") return { place: place(event.from), mark: "o" }
    if ("node" in event && event.kind !== "receive")
      return { place: place(event.node), mark: markOf(event) }
    if (!("packet" in event)) return undefined
    if (send === undefined)
      return "node" in event ? { place: place(event.node), mark: ">" } : undefined
    const [from, to] = [place(send.from), place(send.to)]
    const fault = cutAt(this.#selection.faults, event.i, send.from, send.to)
    const stop = (barrier(this.#selection.columns, send.from, send.to, fault) + 1) * this.#width - 1
    const end = event.kind === "receive" ? to : stop
    const [low, high] = [Math.min(from, end), Math.max(from, end)]
    for (let at = low; at <= high; at++) if (cells[at] !== "|" || at === from) cells[at] = "-"
    if (event.kind === "receive") return { place: end, mark: to < from ? "<" : ">" }
    return { place: end, mark: event.kind === "drop" ? "x" : "=" }
  }
}

/** The words in so much room, without characters that a terminal may lack. */
function plain(words: string, length: number): string {
  return clip(words.replaceAll("…", ".."), length, length < 8 ? "." : "..")
}

function markOf(event: EventOf<"life" | "note" | "operation" | "timer">): string {
  switch (event.kind) {
    case "timer":
      return "."
    case "note":
      return "!"
    case "operation":
      return event.phase === "call" ? "?" : event.phase === "ok" ? "+" : "-"
    case "life":
      if (/^(?:pause|suspend)/i.test(event.what)) return ":"
      return /^(?:join|restart|resume|start|wake)/i.test(event.what) ? "^" : "X"
  }
}
