/**
 * Where the events of a run stand in its picture: nodes are columns, time runs down by rank. Every
 * event begins a row, unless it happened at the very time of the row above and there is room for
 * its words.
 *
 * @module
 */

import type { TraceEvent } from "../world/trace.ts"
import { clean, clip, type EventOf, note, request, wrap } from "./caption.ts"
import type { Selection } from "./selection.ts"

/** Words in the picture: where they stand, and to which side they go on. */
export interface Label {
  readonly text: string
  readonly x: number
  readonly anchor: "end" | "start"
}

/** The place of one event. */
export interface Place {
  readonly x: number
  readonly y: number
  readonly label: Label | undefined
}

/** A row of events of one time. */
export interface Row {
  readonly at: number
  readonly y: number
  /** Microseconds since the row above, where that was remarkably long. */
  readonly silence: number | undefined
}

/** A picture's measures, all in pixels. */
export interface Layout {
  readonly width: number
  readonly height: number
  /** Half the distance of two columns. */
  readonly half: number
  /** The middle of a node's column. */
  readonly x: (node: number) => number
  /** Where time stands at an event, shown or not. */
  readonly y: (event: TraceEvent) => number
  readonly rows: ReadonlyArray<Row>
  readonly places: ReadonlyMap<number, Place>
}

/** The first column begins here: left of it are the times. */
export const LEFT = 92
/** The first row's place. */
const TOP = 26
/** The distance of two rows. */
export const ROW = 20
const SILENCE = 22
/** Room for the words of the last column. */
const RIGHT = 150
/** The width of one character of the picture's font. */
const CHARACTER = 6.4
/** The height of a line of a violated check's message, and how many characters it has room for. */
export const LINE = 17

/** Lays out what was selected. */
export function layout(selection: Selection): Layout {
  const { columns, shown } = selection
  const gap = Math.max(104, Math.min(250, Math.floor(1120 / Math.max(1, columns.length))))
  const positions = new Map(columns.map((node, k) => [node, LEFT + gap * (k + 0.5)]))
  const x = (node: number): number => positions.get(node) ?? LEFT
  const width = LEFT + gap * Math.max(3, columns.length) + RIGHT
  const rows = new Rows(selection, width, gap / 2, x)
  for (const event of shown) rows.add(event)
  const { places } = rows
  const y = (event: TraceEvent): number =>
    places.get(event.i)?.y ?? places.get(next(shown, event.i)?.i ?? -1)?.y ?? rows.bottom
  return { width, height: rows.bottom + 30, half: gap / 2, x, y, rows: rows.rows, places }
}

/** The lines of a violated check in a picture so wide. */
export function messageOf(
  event: { readonly name: string; readonly message: string },
  width: number,
): ReadonlyArray<string> {
  return wrap(`${event.name}: ${event.message}`, Math.floor((width - LEFT - 40) / 7.6)).slice(0, 8)
}

class Rows {
  readonly rows: Array<Row> = []
  readonly places: Map<number, Place> = new Map()
  bottom: number = TOP
  readonly #selection: Selection
  readonly #width: number
  readonly #half: number
  readonly #x: (node: number) => number
  readonly #silence: number
  /** What the words of the last row cover. */
  #covered: Array<{ readonly from: number; readonly to: number; readonly text: string }> = []
  /** The events of the last row. */
  #members: Array<TraceEvent> = []

  constructor(selection: Selection, width: number, half: number, x: (node: number) => number) {
    this.#selection = selection
    this.#width = width
    this.#half = half
    this.#x = x
    this.#silence = silenceOf(selection.shown)
  }

  add(event: TraceEvent): void {
    const label = this.#label(event)
    const full = event.kind === "phase" || event.kind === "check"
    const [from, to] = this.#cover(event, label)
    const text = label?.text ?? ""
    const free = this.#covered.every((span) => span.to <= from || to <= span.from)
    const said = this.#covered.some((span) => span.from === from && span.text === text)
    if (full || !(free || said) || !this.#joins(event)) this.#begin(event)
    this.#members.push(event)
    if (to > from) this.#covered.push({ from, to, text })
    const row = this.rows.at(-1) as Row
    const x = "node" in event ? this.#x(event.node) : this.#sender(event)
    this.places.set(event.i, { x, y: row.y, label: said ? undefined : label })
    if (event.kind !== "check") return
    this.bottom += LINE * messageOf(event, this.#width).length + 12
  }

  /** From where to where nothing else can be written into its row. */
  #cover(event: TraceEvent, label: Label | undefined): readonly [number, number] {
    if (event.kind === "phase" || event.kind === "check") return [0, this.#width]
    if (label !== undefined) return [start(label), start(label) + length(label)]
    if (event.kind !== "receive") return [0, 0]
    const [x, from] = [this.#x(event.node), this.#sender(event)]
    return from < x ? [x - 60, x - 2] : [x + 2, x + 60]
  }

  /** Whether it can be told in the last row that this happened too. */
  #joins(event: TraceEvent): boolean {
    const row = this.rows.at(-1)
    if (row === undefined || row.at !== event.at) return false
    const owner = event.kind === "send" ? event.from : marks(event) ? nodeOf(event) : undefined
    return !this.#members.some(
      (other) =>
        other.kind === "check" ||
        other.kind === "phase" ||
        // A packet goes down, even when it takes no time.
        (event.kind === "receive" && other.kind === "send" && other.packet === event.packet) ||
        // Two marks of one node would hide each other; what it sends then begins below its mark.
        // (A timer is a ring around what it led to.)
        (owner !== undefined &&
          nodeOf(other) === owner &&
          marks(other) &&
          (other.kind !== "timer" || event.kind === "timer")),
    )
  }

  #begin(event: TraceEvent): void {
    const last = this.rows.at(-1)
    const passed = last === undefined ? 0 : event.at - last.at
    const silence = passed > this.#silence ? passed : undefined
    const y = this.bottom + (silence === undefined ? 0 : SILENCE)
    this.rows.push({ at: event.at, y, silence })
    this.bottom = y + ROW
    this.#covered = []
    this.#members = []
  }

  #sender(event: TraceEvent): number {
    const send = "packet" in event ? this.#selection.packets.get(event.packet)?.send : undefined
    return send === undefined ? 0 : this.#x(send.from)
  }

  #label(event: TraceEvent): Label | undefined {
    switch (event.kind) {
      case "send": {
        const way = this.#x(event.to) < this.#x(event.from) ? -1 : 1
        const text = clip(clean(event.what), 22)
        const x = this.#x(event.from) + 9 * way
        return { text, x, anchor: way < 0 ? "end" : "start" }
      }
      case "note":
        return this.#beside(event.node, note(event), 10)
      case "life":
        return this.#told(event) ? undefined : this.#beside(event.node, clean(event.what), 16)
      case "operation": {
        const name = this.#selection.trace.header.nodes[event.node] ?? ""
        return this.#beside(event.node, `${OUTCOME[event.phase]}${request(event, name)}`, 10)
      }
      case "fault": {
        const what = clean(event.what)
        const text = clip(event.phase === "begin" ? what : `${what.split(" ")[0]} ends`, 60)
        const first = Math.min(...event.nodes.map((node) => this.#x(node)))
        const alone = event.nodes.length === 1 ? first - 22 - text.length * CHARACTER : LEFT
        const x = Math.max(LEFT + 6, alone, event.nodes.length === 1 ? 0 : first - this.#half + 6)
        return { text, x: Number.isFinite(x) ? x : LEFT + 6, anchor: "start" }
      }
      default:
        return undefined
    }
  }

  /** Whether a fault that began with this says the same. */
  #told({ at, node, what }: EventOf<"life">): boolean {
    return this.#selection.faults.some(
      ({ begin, nodes, what: fault }) =>
        begin.at === at && nodes.length === 1 && nodes[0] === node && fault.startsWith(what),
    )
  }

  #beside(node: number, text: string, distance: number): Label {
    return { text: clip(text, 30), x: this.#x(node) + distance, anchor: "start" }
  }
}

const OUTCOME = { call: "", ok: "✓ ", fail: "✗ " } as const

function nodeOf(event: TraceEvent): number | undefined {
  return "node" in event ? event.node : undefined
}

function marks(event: TraceEvent): boolean {
  return event.kind !== "send" && event.kind !== "receive"
}

function length({ text }: Label): number {
  return Array.from(text).length * CHARACTER + 8
}

function start(label: Label): number {
  return label.anchor === "start" ? label.x : label.x - length(label)
}

/** From which wait on nothing is said to have happened: much more than most waits. */
function silenceOf(shown: ReadonlyArray<TraceEvent>): number {
  const waits = shown.map((event, k) => event.at - (shown[k - 1]?.at ?? event.at))
  const some = waits.filter((wait) => wait > 0).sort((a, b) => a - b)
  return Math.max(1_000, 8 * (some[some.length >> 1] ?? 0))
}

/** The first shown event from number `i` on. */
function next(shown: ReadonlyArray<TraceEvent>, i: number): TraceEvent | undefined {
  let [low, high] = [0, shown.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((shown[middle] as TraceEvent).i < i) low = middle + 1
    else high = middle
  }
  return shown[low]
}
