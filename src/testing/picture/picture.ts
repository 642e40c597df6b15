/**
 * A run as SVG: what was selected of it, drawn where the layout puts it. Everything that is shown
 * is one group with the event's number, so that it can be found, linked to and highlighted.
 *
 * @module
 */

import type { TraceEvent } from "../world/trace.ts"
import { clean, clip, type EventOf, seconds, sentence, span, tone } from "./caption.ts"
import { Flights } from "./flight.ts"
import { type Layout, LEFT, LINE, layout, messageOf, type Place, ROW } from "./layout.ts"
import { type Absence, absencesOf, type Fault, groupOf, tinted } from "./outage.ts"
import { probing, type Selection } from "./selection.ts"
import { bars, cross, diamond, dot, ring, round, safe, wedge } from "./shape.ts"

/** Draws a run: the names of its nodes, to stand above, and the run to stand below them. */
export function picture(selection: Selection): { readonly names: string; readonly run: string } {
  const painter = new Painter(selection)
  return { names: painter.names(), run: painter.run() }
}

class Painter {
  readonly #selection: Selection
  readonly #layout: Layout
  readonly #absences: ReadonlyArray<Absence>
  readonly #flights: Flights
  /** Operations under way: where they were called. */
  readonly #calls = new Map<number, Place>()

  constructor(selection: Selection) {
    this.#selection = selection
    this.#layout = layout(selection)
    this.#absences = absencesOf(selection.trace)
    this.#flights = new Flights(selection, this.#layout, this.#absences)
  }

  names(): string {
    const { width, half, x } = this.#layout
    const names = this.#selection.columns.map((node) => {
      const name = this.#name(node)
      const short = safe(clip(name, Math.floor((2 * half) / 9)))
      return `<text x="${round(x(node))}" y="20"><title>${safe(name)}</title>${short}</text>`
    })
    const size = `width="${width}" height="30"`
    return `<svg class="names" ${size} aria-hidden="true">${names.join("")}</svg>`
  }

  run(): string {
    const { width, height } = this.#layout
    const { shown, columns, faults } = this.#selection
    // Packets below, what is said of nodes above them.
    const packets = shown.filter((event) => "packet" in event)
    const others = shown.filter((event) => !("packet" in event))
    const parts = [
      `<svg id="run" width="${width}" height="${height}" role="img" aria-label="The run">`,
      HATCH,
      ...faults.map((fault) => this.#band(fault)),
      ...this.#axis(),
      ...columns.map((node) => this.#line(node)),
      ...this.#absences.map((absence) => this.#bar(absence)),
      ...faults.map((fault) => this.#walls(fault)),
      ...[...packets, ...others].map((event) => this.#event(event)),
      "</svg>",
    ]
    return parts.filter((part) => part !== "").join("\n")
  }

  #name(node: number): string {
    return clean(this.#selection.trace.header.nodes[node] ?? `node ${node}`)
  }

  // --- what is behind the events -----------------------------------------------------------------

  #axis(): ReadonlyArray<string> {
    let last = ""
    return this.#layout.rows.map(({ at, y, silence }) => {
      const time = seconds(at)
      const here = `x="${LEFT - 20}"`
      const text = time === last ? "" : `<text class="time" ${here} y="${y + 4}">${time}</text>`
      last = time
      if (silence === undefined) return text
      return `<text class="silence" ${here} y="${y - 16}">⋮ ${span(silence)}</text>${text}`
    })
  }

  #line(node: number): string {
    return `<path class="line" d="M${round(this.#layout.x(node))} 4V${this.#layout.height - 14}"/>`
  }

  #bar({ node, state, begin, end }: Absence): string {
    const { x, y, height } = this.#layout
    const top = begin === undefined ? 4 : y(begin)
    const bottom = end === undefined ? height - 14 : y(end)
    const extent = `y="${top}" width="20" height="${Math.max(4, bottom - top)}"`
    const box = (name: string): string =>
      `<rect class="${name}" x="${round(x(node) - 10)}" ${extent}/>`
    return state === "paused" ? box("paused") + box("hatch") : box("down")
  }

  #band(fault: Fault): string {
    const { x, half } = this.#layout
    const nodes = tinted(fault)
    const cut = fault.groups.length > 1
    const reach = !cut && nodes.size === 1 ? 26 : half
    const [top, bottom] = this.#extent(fault)
    // What befalls the whole network would tint everything.
    if (!cut && nodes.size > 1 && nodes.size === this.#selection.columns.length)
      return `<path class="band all" d="M${LEFT - 8} ${top}h6V${bottom}h-6z"/>`
    const strips = this.#selection.columns
      .filter((node) => nodes.has(node))
      .map((node) => `M${round(x(node) - reach)} ${top}h${2 * reach}V${bottom}h${-2 * reach}z`)
    if (strips.length === 0) return ""
    return `<path class="band ${cut ? "cut" : "ill"}" d="${strips.join("")}"/>`
  }

  /** The walls of a partition: between neighbours of different sides. */
  #walls({ groups, ...fault }: Fault): string {
    const { columns } = this.#selection
    const { x, half } = this.#layout
    const [top, bottom] = this.#extent(fault)
    const walls = columns
      .filter((node, k) => k > 0 && groupOf(groups, node) !== groupOf(groups, columns[k - 1] ?? 0))
      .map((node) => `M${round(x(node) - half)} ${top}V${bottom}`)
    return walls.length === 0 ? "" : `<path class="wall" d="${walls.join("")}"/>`
  }

  #extent({ begin, end }: Pick<Fault, "begin" | "end">): readonly [number, number] {
    const top = this.#layout.y(begin) - ROW / 2
    const bottom = end === undefined ? this.#layout.height - 14 : this.#layout.y(end)
    return [top, Math.max(top + 4, bottom)]
  }

  // --- events ------------------------------------------------------------------------------------

  #event(event: TraceEvent): string {
    const { past, causes, packets } = this.#selection
    const place = this.#layout.places.get(event.i)
    if (place === undefined) return ""
    const packet = "packet" in event ? packets.get(event.packet) : undefined
    const faint = event.kind === "timer" || probing(packet?.send?.what ?? "")
    const classes = [event.kind, tone(event), faint ? "faint" : "", past.has(event.i) ? "led" : ""]
    const by = causes[event.i]
    const words = sentence(event, (node) => this.#name(node), packet)
    return [
      `<g id="e${event.i}" class="${classes.filter((name) => name !== "").join(" ")}"`,
      ` data-i="${event.i}"${by === undefined ? "" : ` data-by="${by}"`}>`,
      `<title>#${event.i} ${seconds(event.at)} ${safe(clip(words, 400))}</title>`,
      `${this.#shape(event, place)}${label(event, place)}</g>`,
    ].join("")
  }

  #shape(event: TraceEvent, place: Place): string {
    switch (event.kind) {
      case "timer":
        return ring(place, 7)
      case "note":
        return dot(place, 4.5)
      case "life":
        return lifeMark(event.what, place)
      case "fault":
        return ""
      case "operation":
        return this.#operation(event, place)
      case "phase":
        return this.#phase(event, place)
      case "check":
        return this.#check(event, place)
      default:
        return this.#flights.draw(event, place)
    }
  }

  #operation(event: EventOf<"operation">, place: Place): string {
    if (event.phase === "call") {
      this.#calls.set(event.operation, place)
      return diamond(place, "hollow")
    }
    const called = this.#calls.get(event.operation)
    const way =
      called === undefined
        ? ""
        : `<path class="stroke" d="M${round(place.x - 5)} ${called.y}V${place.y}"/>`
    return `${way}${diamond(place, "fill")}`
  }

  #phase(event: EventOf<"phase">, { y }: Place): string {
    const { width } = this.#layout
    const text = `<text x="${width - 12}" y="${y - 4}" text-anchor="end">`
    const words = safe(clip(clean(event.what), 60))
    return `<path class="stroke" d="M${LEFT - 14} ${y}H${width - 8}"/>${text}${words}</text>`
  }

  #check(event: EventOf<"check">, { y }: Place): string {
    const { width, x } = this.#layout
    const lines = messageOf(event, width)
    const size = `width="${width - LEFT + 6}" height="${LINE * lines.length + 10}"`
    const words = lines.map((text, k) => {
      const top = y + LINE * (k + 1) + 1
      return `<text x="${LEFT}" y="${top}">${k === 0 ? "✗ " : ""}${safe(text)}</text>`
    })
    const dots = event.nodes.map((node) => dot({ x: x(node), y }, 7))
    const box = `<rect class="fill" x="${LEFT - 14}" y="${y}" ${size} rx="3"/>`
    return `${box}${words.join("")}<g class="who">${dots.join("")}</g>`
  }
}

/** The words of an event: a packet's above the beginning of its way, others beside their mark. */
function label(event: TraceEvent, { y, label }: Place): string {
  if (label === undefined) return ""
  const { text, x, anchor } = label
  const side = anchor === "end" ? ' text-anchor="end"' : ""
  const top = event.kind === "send" ? y - 4 : y + 4
  return `<text x="${round(x)}" y="${top}"${side}>${safe(text)}</text>`
}

function lifeMark(what: string, place: Place): string {
  if (/^(?:join|restart|resume|start|wake)/i.test(what)) return wedge(place)
  return /^(?:pause|suspend)/i.test(what) ? bars(place) : cross(place, 6)
}

const HATCH = [
  '<defs><pattern id="hatching" width="6" height="6" patternUnits="userSpaceOnUse">',
  '<path class="hatching" d="M0 6L6 0"/></pattern></defs>',
].join("")
