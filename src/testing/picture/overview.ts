/**
 * The whole run on one strip, to scale: a row for each node, with its faults, its absences, what it
 * said and when the check was violated.
 *
 * @module
 */

import type { TraceEvent } from "../world/trace.ts"
import { clean, clip, note, seconds, tone } from "./caption.ts"
import { type Absence, absencesOf, type Fault, tinted } from "./outage.ts"
import type { Selection } from "./selection.ts"
import { round, safe } from "./shape.ts"

const WIDTH = 1180
const LEFT = 92
const TOP = 32
/** The height of the strip's rows together, at most. */
const HEIGHT = 280

/** Draws the strip. */
export function overview(selection: Selection): string {
  const strip = new Strip(selection)
  const { faults, columns, shown, trace } = selection
  const height = TOP + strip.row * columns.length + 22
  const size = `width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}"`
  const parts = [
    `<svg class="overview" ${size} role="img" aria-label="The whole run, to scale">`,
    ...faults.map((fault) => strip.band(fault)),
    ...columns.map((node) => strip.line(node)),
    ...absencesOf(trace).map((absence) => strip.bar(absence)),
    ...strip.ticks(),
    ...shown.map((event) => strip.mark(event)),
    "</svg>",
  ]
  return parts.filter((part) => part !== "").join("\n")
}

class Strip {
  readonly row: number
  readonly #selection: Selection
  readonly #order: ReadonlyMap<number, number>
  readonly #end: number

  constructor(selection: Selection) {
    const { columns, trace } = selection
    this.#selection = selection
    this.#order = new Map(columns.map((node, k) => [node, k]))
    this.row = Math.max(3, Math.min(16, Math.floor(HEIGHT / Math.max(1, columns.length))))
    this.#end = Math.max(1, trace.events.at(-1)?.at ?? 1)
  }

  #x(at: number): number {
    return round(LEFT + (at / this.#end) * (WIDTH - LEFT - 24))
  }

  #y(node: number): number {
    return round(TOP + (this.#order.get(node) ?? 0) * this.row + this.row / 2)
  }

  get #bottom(): number {
    return TOP + this.row * this.#order.size
  }

  line(node: number): string {
    const y = this.#y(node)
    const name = safe(clip(clean(this.#selection.trace.header.nodes[node] ?? ""), 10))
    const text =
      this.row < 9 ? "" : `<text class="name" x="${LEFT - 12}" y="${y + 4}">${name}</text>`
    return `<path class="line" d="M${LEFT} ${y}H${WIDTH - 24}"/>${text}`
  }

  band(fault: Fault): string {
    const [from, to] = [this.#x(fault.begin.at), this.#x(fault.end?.at ?? this.#end)]
    const nodes = tinted(fault)
    const cut = fault.groups.length > 1
    const box = (y: number, height: number): string =>
      `<rect x="${from}" y="${y}" width="${round(Math.max(2, to - from))}" height="${height}"/>`
    // What befalls the whole network would tint everything.
    const all = !cut && nodes.size > 1 && nodes.size === this.#order.size
    const boxes = all
      ? [box(TOP - 4, 4)]
      : [...nodes].map((node) => box(round(this.#y(node) - this.row / 2), this.row))
    const name = all ? "all" : cut ? "cut" : "ill"
    const title = `<title>${safe(clip(clean(fault.what), 200))}</title>`
    const link = `<a href="#e${fault.begin.i}">${title}${boxes.join("")}</a>`
    return boxes.length === 0 ? "" : `<g class="band ${name}">${link}</g>`
  }

  bar({ node, state, begin, end }: Absence): string {
    const [from, to] = [this.#x(begin?.at ?? 0), this.#x(end?.at ?? this.#end)]
    const thick = round(Math.min(9, this.row * 0.6))
    const y = round(this.#y(node) - thick / 2)
    const size = `width="${round(to - from)}" height="${thick}"`
    return `<rect class="${state}" x="${from}" y="${y}" ${size}/>`
  }

  ticks(): ReadonlyArray<string> {
    const step = stepOf(this.#end)
    const ticks: Array<string> = []
    for (let at = 0; at <= this.#end; at += step) {
      const x = this.#x(at)
      const here = `x="${x}" y="${this.#bottom + 16}"`
      const label = `<text class="tick" ${here}>${round(at / 1e6)} s</text>`
      ticks.push(`<path class="grid" d="M${x} ${TOP}V${this.#bottom + 3}"/>${label}`)
    }
    return ticks
  }

  mark(event: TraceEvent): string {
    const x = this.#x(event.at)
    if (event.kind === "check" || event.kind === "phase") {
      const flag = event.kind === "check" ? "✗ " : ""
      const text = safe(
        `${flag}${clip(clean(event.kind === "check" ? event.name : event.what), 30)}`,
      )
      // Each on a line of its own: a check often fails where a phase begins.
      const [y, top] = event.kind === "check" ? [TOP - 20, 2] : [TOP - 6, TOP - 14]
      const label = `<text x="${x - 5}" y="${y}" text-anchor="end">${text}</text>`
      const path = `<path class="stroke" d="M${x} ${top}V${this.#bottom}"/>`
      return `<a class="${event.kind}" href="#e${event.i}">${path}${label}</a>`
    }
    if (event.kind !== "note" && event.kind !== "operation") return ""
    const words = event.kind === "note" ? note(event) : clean(`${event.what} ${event.phase}`)
    const title = `<title>${seconds(event.at)} ${safe(clip(words, 200))}</title>`
    const radius = round(Math.min(3.5, this.row / 3))
    const circle = `<circle class="fill" cx="${x}" cy="${this.#y(event.node)}" r="${radius}"/>`
    return `<a class="${tone(event)}" href="#e${event.i}">${title}${circle}</a>`
  }
}

/** A round number of microseconds that so long a run has room for ten or fewer of. */
function stepOf(end: number): number {
  let step = 100_000
  for (let k = 0; end / step > 10; k++) step *= k % 3 === 1 ? 2.5 : 2
  return step
}
