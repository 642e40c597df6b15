/**
 * The packets of a run in its picture: from the sender to the receiver, to the wall that stopped
 * them, or to the node that wasn't there any more.
 *
 * @module
 */
import { clean, clip, type EventOf, type Packet } from "./caption.ts"
import { type Layout, type Place, ROW } from "./layout.ts"
import { type Absence, barrier, cutAt, type Fault } from "./outage.ts"
import type { Selection } from "./selection.ts"
import { arrow, bars, cross, dot, line, type Point, ring, round, safe } from "./shape.ts"

/** An event of a packet. */
export type PacketEvent = EventOf<"drop" | "hold" | "receive" | "send">

/** A packet of which nothing is told was still under way when its receiver went so soon after. */
const LATE_MICROS = 100_000

/** Draws the packets of a run. */
export class Flights {
  readonly #selection: Selection
  readonly #layout: Layout
  readonly #absences: ReadonlyArray<Absence>

  constructor(selection: Selection, layout: Layout, absences: ReadonlyArray<Absence>) {
    this.#selection = selection
    this.#layout = layout
    this.#absences = absences
  }

  /** What one event adds to the way of its packet. */
  draw(event: PacketEvent, place: Place): string {
    const packet = this.#selection.packets.get(event.packet)
    switch (event.kind) {
      case "send":
        return `${dot(place, 2.5)}${this.#unsettled(event, packet, place)}`
      case "receive":
        return this.#receive(event, packet, place)
      case "hold": {
        const end = this.#held(event, place)
        const start = this.#start(event, packet)
        return `${start === undefined ? "" : line(start, end)}${bars(end)}`
      }
      case "drop":
        return this.#drop(event, packet, place)
    }
  }

  #receive(event: EventOf<"receive">, packet: Packet | undefined, place: Place): string {
    const start = this.#start(event, packet)
    const from = start?.x ?? place.x - 40
    const end = { x: place.x - 3 * Math.sign(place.x - from || 1), y: place.y }
    if (start === undefined) return arrow({ x: from, y: place.y - 6 }, end)
    if (packet?.send?.to === packet?.send?.from) return loop(start, place)
    const turn = { x: start.x, y: place.y - 0.7 * ROW }
    if (packet?.hold === undefined || packet.hold.i > event.i || turn.y <= start.y)
      return arrow(start, end)
    // It waited at the wall, and went on from there.
    const wait = `M${round(start.x)} ${round(start.y)}V${round(turn.y)}`
    return `<path class="stroke wait" d="${wait}"/>${arrow(turn, end)}`
  }

  #drop(event: EventOf<"drop">, packet: Packet | undefined, place: Place): string {
    const send = packet?.send
    const start = this.#start(event, packet)
    if (send === undefined || start === undefined) return cross(place)
    const goal = this.#goal(event.i, send)
    const end = this.#below(start, goal.x, send, place)
    const why = clip(clean(event.why), 18)
    const here = `x="${round(end.x)}" y="${round(end.y + 15)}"`
    const text = `<text class="why" ${here}>${safe(why)}</text>`
    return `${line(start, end)}${cross(end)}${goal.plain ? text : ""}`
  }

  /** A packet of which nothing more is told: lost with its receiver, or still under way. */
  #unsettled(send: EventOf<"send">, packet: Packet | undefined, place: Place): string {
    if (packet === undefined || packet.settled || packet.hold !== undefined) return ""
    const dead = this.#down(send.to, send.i, send.at + LATE_MICROS)
    const to = this.#layout.x(send.to)
    const way = Math.sign(to - place.x) || 1
    const end = { x: dead ? to - 13 * way : place.x + 0.4 * (to - place.x), y: place.y + ROW / 2 }
    const mark = dead ? cross(end) : ring(end, 3)
    return `<g class="${dead ? "bad" : "open"}">${line(place, end)}${mark}</g>`
  }

  // --- places ------------------------------------------------------------------------------------

  /** Where a packet came from: its sender, or where it was held up. */
  #start(event: PacketEvent, packet: Packet | undefined): Point | undefined {
    const { hold, send } = packet ?? {}
    const { places } = this.#layout
    const at = hold === undefined || hold.i >= event.i ? undefined : places.get(hold.i)
    if (hold !== undefined && at !== undefined) return this.#held(hold, at)
    return send === undefined ? undefined : places.get(send.i)
  }

  #held(event: EventOf<"hold">, place: Place): Point {
    const packet = this.#selection.packets.get(event.packet)
    const send = packet?.send
    if (send === undefined) return place
    // Before the wall, and side by side, where several wait.
    const way = Math.sign(this.#layout.x(send.to) - this.#layout.x(send.from))
    const x = this.#goal(event.i, send).x - way * (8 + (event.packet % 4) * 5)
    return this.#below(this.#layout.places.get(send.i) ?? place, x, send, place)
  }

  /** Lower than its start even in the same row: as far as it came on its way to the next one. */
  #below(start: Point, x: number, send: EventOf<"send">, place: Point): Point {
    if (place.y > start.y) return { x, y: place.y }
    const whole = Math.abs(this.#layout.x(send.to) - this.#layout.x(send.from)) || 1
    const part = Math.abs(x - this.#layout.x(send.from)) / whole
    return { x, y: start.y + Math.max(5, ROW * Math.min(1, part)) }
  }

  /** Where a packet stops; `plain` when there is nothing to be seen that stopped it. */
  #goal(i: number, send: EventOf<"send">): { readonly x: number; readonly plain: boolean } {
    const fault = cutAt(this.#selection.faults, i, send.from, send.to)
    if (fault !== undefined) return { x: this.#wall(send, fault), plain: false }
    const to = this.#layout.x(send.to)
    if (this.#down(send.to, i))
      return { x: to - 13 * Math.sign(to - this.#layout.x(send.from)), plain: false }
    return { x: this.#wall(send, undefined), plain: true }
  }

  /** Between the two columns: at the first wall of the fault, or half-way. */
  #wall({ from, to }: EventOf<"send">, fault: Fault | undefined): number {
    const { columns } = this.#selection
    const before = columns[barrier(columns, from, to, fault)] as number
    return this.#layout.x(before) + this.#layout.half
  }

  /** Whether a node wasn't there when something happened, or went until then. */
  #down(node: number, i: number, until: number = 0): boolean {
    return this.#absences.some(
      ({ begin, end, ...absence }) =>
        absence.node === node &&
        absence.state === "down" &&
        (begin === undefined || begin.i < i || begin.at <= until) &&
        (end === undefined || i < end.i),
    )
  }
}

/** From a node to itself. */
function loop(start: Point, end: Point): string {
  const x = round(start.x + 26)
  const turn = `M${round(start.x)} ${round(start.y)}C${x} ${round(start.y)} ${x} ${round(end.y)}`
  const [from, to] = [
    { x: end.x + 10, y: end.y - 1 },
    { x: end.x + 3, y: end.y },
  ]
  const path = `<path class="stroke" d="${turn} ${round(end.x + 8)} ${round(end.y - 1)}"/>`
  return `${path}${arrow(from, to)}`
}
