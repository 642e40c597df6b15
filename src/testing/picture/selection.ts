/**
 * Which events of a run its picture shows. Most of a run is pings, acknowledgements and timers that
 * led to nothing; what is worth a look is chosen by how much it has to do with the failure.
 *
 * @module
 */

import type { Trace, TraceEvent } from "../world/trace.ts"
import { type EventOf, note, type Packet, tone } from "./caption.ts"
import { type Fault, faultsOf } from "./outage.ts"

/** What to show of a run. */
export interface Selection {
  readonly trace: Trace
  /** In the order in which they happened. */
  readonly shown: ReadonlyArray<TraceEvent>
  /** Events that aren't shown: probes, handshakes and timers that led to nothing. */
  readonly quiet: number
  /** Events that aren't shown: less telling ones. */
  readonly over: number
  /**
   * What led to the failure: the check, the event before it, and so on; and in the same way what
   * its nodes were asked for or said last.
   */
  readonly past: ReadonlySet<number>
  readonly packets: ReadonlyMap<number, Packet>
  /** In the order in which they began. */
  readonly faults: ReadonlyArray<Fault>
  /** The nodes, neighbours where a partition left them together. */
  readonly columns: ReadonlyArray<number>
  /** For every event the last shown one that led to it. */
  readonly causes: ReadonlyArray<number | undefined>
}

/** So much of the failure's past is shown whole; what is older, without its probes and timers. */
export const PAST_WHOLE: number = 30

/** So short a run is shown whole. */
const WHOLE = 120
/** What merely fills the picture does so up to this number of events. */
const PLENTY = 300
/** What is said once more so soon is no news. */
const AGAIN_MICROS = 1_000_000

const PLUMBING: ReadonlySet<string> = new Set([
  ...["ping", "ack", "pingrequest", "pingreply", "pong", "heartbeat"],
  ...["hello", "challenge", "proof", "welcome"],
])

/**
 * Chooses at most `eventsMax` events: the violated checks and what led to them, then faults and the
 * lives of nodes, then what nodes said and operations, then packets, each from the end of the run
 * backwards.
 */
export function select(trace: Trace, eventsMax: number): Selection {
  const choice = new Choice(trace, eventsMax)
  const { events } = choice
  const checks = events.filter((event) => event.kind === "check")
  for (const check of checks.toReversed()) choice.take(check)
  const past = new Set(checks.flatMap(({ i }) => [i, ...choice.past(i)]))
  choice.lead(past)
  choice.all(({ kind }) => kind === "fault" || kind === "life" || kind === "phase")
  const witnesses = checks.flatMap((check) => choice.witnesses(check))
  const seen = new Set(witnesses.flatMap((i) => [i, ...choice.past(i)]))
  choice.lead(seen)
  choice.all((event) => event.kind === "note" && alarming(event) && choice.news(event))
  choice.all(({ kind }) => kind === "operation")
  choice.fill(events.length <= WHOLE)
  const shown = events.filter(({ i }) => choice.taken.has(i))
  const quiet = events.filter((event) => !choice.taken.has(event.i) && choice.quiet(event)).length
  const faults = faultsOf(trace)
  return {
    trace,
    shown,
    quiet,
    over: trace.count - shown.length - quiet,
    past: new Set([...past, ...seen]),
    packets: choice.packets,
    faults,
    columns: columnsOf(trace, faults),
    causes: choice.shownCauses(),
  }
}

/** Whether a packet only asks whether somebody is there, or answers that. */
export function probing(what: string): boolean {
  const words = what.toLowerCase().match(/[a-z]+/g) ?? []
  return words.length > 0 && words.every((word) => PLUMBING.has(word))
}

class Choice {
  readonly events: ReadonlyArray<TraceEvent>
  readonly taken: Set<number> = new Set()
  readonly packets: Map<number, { -readonly [K in keyof Packet]: Packet[K] }> = new Map()
  /** The numbers of the events of each packet, operation and fault. */
  readonly #units = { packet: new Units(), operation: new Units(), fault: new Units() }
  /** Events that say what was said before. */
  readonly #again = new Set<number>()
  readonly #nodes: number
  #max: number

  constructor({ events, header }: Trace, max: number) {
    this.events = events
    this.#nodes = header.nodes.length
    this.#max = max
    const said = new Map<string, { readonly what: string; readonly at: number }>()
    for (const event of events) {
      this.#enter(event)
      const [who, what] = this.#message(event)
      const last = said.get(who)
      if (who === "") continue
      if (last?.what === what && event.at - last.at < AGAIN_MICROS) this.#again.add(event.i)
      said.set(who, { what, at: event.at })
    }
  }

  #enter(event: TraceEvent): void {
    if (event.kind === "operation") this.#units.operation.add(event.operation, event.i)
    if (event.kind === "fault") this.#units.fault.add(event.fault, event.i)
    if (!("packet" in event)) return
    this.#units.packet.add(event.packet, event.i)
    const packet = this.packets.get(event.packet) ?? {
      ...{ send: undefined, hold: undefined, settled: false },
    }
    this.packets.set(event.packet, packet)
    if (event.kind === "send") packet.send = event
    else if (event.kind === "hold") packet.hold = event
    else packet.settled = true
  }

  /**
   * What is news only when it differs from the last time: a node's words, the fate of a link's
   * packets.
   */
  #message(event: TraceEvent): readonly [who: string, what: string] {
    if (event.kind === "note") return [`${event.node} ${event.name}`, note(event)]
    const send = "packet" in event ? this.packets.get(event.packet)?.send : undefined
    if (event.kind === "send" || send === undefined || probing(send.what)) return ["", ""]
    return [`${send.from} to ${send.to}`, event.kind === "receive" ? "came" : "stopped"]
  }

  /** Whether it isn't what was said the last time. */
  news(event: TraceEvent): boolean {
    return !this.#again.has(event.i)
  }

  /** Events that say little of themselves. */
  quiet(event: TraceEvent): boolean {
    if (event.kind === "timer") return true
    if (!("packet" in event)) return false
    const send = this.packets.get(event.packet)?.send
    return send !== undefined && probing(send.what)
  }

  /** What led to an event, the last first. */
  past(i: number): ReadonlyArray<number> {
    const past: Array<number> = []
    for (let at = this.#parent(i); at !== undefined; at = this.#parent(at)) past.push(at)
    return past
  }

  /** For every event the last taken one in its past. */
  shownCauses(): ReadonlyArray<number | undefined> {
    const causes: Array<number | undefined> = []
    for (const { i } of this.events) {
      const parent = this.#parent(i)
      causes.push(parent === undefined || this.taken.has(parent) ? parent : causes[parent])
    }
    return causes
  }

  #parent(i: number): number | undefined {
    const event = this.events[i]
    if (event === undefined) return undefined
    const send = "packet" in event ? this.packets.get(event.packet)?.send?.i : undefined
    const parent = event.by ?? send
    return parent !== undefined && parent < i && this.events[parent] ? parent : undefined
  }

  // --- what is taken -----------------------------------------------------------------------------

  /** Takes an event and what makes sense only with it, if there is room for all of that. */
  take(event: TraceEvent): void {
    const missing = this.#unit(event).filter((i) => !this.taken.has(i))
    if (this.taken.size + missing.length > this.#max) return
    for (const i of missing) this.taken.add(i)
  }

  #unit(event: TraceEvent): ReadonlyArray<number> {
    if (event.kind === "operation") return this.#units.operation.get(event.operation)
    if (event.kind === "fault") return this.#units.fault.get(event.fault)
    return "packet" in event ? this.#units.packet.get(event.packet) : [event.i]
  }

  /** Takes these events, which led to the failure; the last ones first. */
  lead(past: ReadonlySet<number>): void {
    const events = [...past]
      .sort((a, b) => b - a)
      .map((i) => this.events[i] as TraceEvent)
      .filter((event, n) => n < PAST_WHOLE || !this.quiet(event))
    // Each for itself before any with the rest of its packet: the past comes before all the others.
    for (const { i } of events) if (this.taken.size < this.#max) this.taken.add(i)
    for (const event of events) this.take(event)
  }

  /** Takes all events that fulfil this, the last first. */
  all(test: (event: TraceEvent) => boolean): void {
    for (let i = this.events.length - 1; i >= 0 && this.taken.size < this.#max; i--) {
      const event = this.events[i] as TraceEvent
      if (test(event)) this.take(event)
    }
  }

  /** The last that the nodes of a check said or were asked for before it. */
  witnesses(check: EventOf<"check">): ReadonlyArray<number> {
    // A check of all nodes points at nobody.
    if (check.nodes.length > 2 && check.nodes.length === this.#nodes) return []
    return check.nodes.flatMap((node) => {
      const last = this.events.findLast(
        (event) =>
          event.i < check.i &&
          (event.kind === "note" || event.kind === "operation") &&
          event.node === node,
      )
      return last === undefined ? [] : [last.i]
    })
  }

  /**
   * Takes what isn't needed but makes the picture fuller, until there is plenty; or `all` there
   * is.
   */
  fill(all: boolean): void {
    this.#max = Math.min(this.#max, PLENTY)
    if (all) this.all(() => true)
    // Before anything was broken nothing remarkable happened.
    const from = this.events.find(disturbing)?.i ?? 0
    const tells = (event: TraceEvent): boolean =>
      event.i >= from && !this.quiet(event) && this.news(event)
    this.all((event) => (event.kind === "drop" || event.kind === "hold") && tells(event))
    this.all((event) => event.kind === "note" && tells(event))
    this.#explain(from)
    this.all(tells)
    this.#explain(from)
  }

  /**
   * Takes what led to what is taken by now, and first to what is bad: back to a timer or a probe.
   */
  #explain(from: number): void {
    const late = [...this.taken]
      .filter((i) => i >= from && !this.quiet(this.events[i] as TraceEvent))
      .sort((a, b) => b - a)
    const bad = late.filter((i) => alarming(this.events[i] as TraceEvent))
    for (const taken of new Set([...bad, ...late])) {
      for (let i = this.#parent(taken); i !== undefined; i = this.#parent(i)) {
        const cause = this.events[i] as TraceEvent
        if (cause.kind === "timer" || this.taken.has(i)) break
        this.take(cause)
      }
    }
  }
}

/** What breaks the peace of a run's beginning. */
function disturbing(event: TraceEvent): boolean {
  return event.kind === "fault" || (event.kind === "life" && !/^(?:join|start)/.test(event.what))
}

function alarming(event: TraceEvent): boolean {
  return tone(event) === "bad" || tone(event) === "warn"
}

/** Lists of numbers under numbers. */
class Units {
  readonly #lists = new Map<number, Array<number>>()

  add(key: number, i: number): void {
    const list = this.#lists.get(key)
    if (list === undefined) this.#lists.set(key, [i])
    else list.push(i)
  }

  get(key: number): ReadonlyArray<number> {
    return this.#lists.get(key) ?? []
  }
}

/** All nodes; those that the partitions put into the same groups stand side by side. */
function columnsOf(trace: Trace, faults: ReadonlyArray<Fault>): ReadonlyArray<number> {
  const partitions = faults.filter(({ groups }) => groups.length > 1)
  const places = trace.header.nodes.map((_, node) =>
    partitions.map(({ groups }) => {
      const place = groups.findIndex((group) => group.has(node))
      return place < 0 ? groups.length : place
    }),
  )
  return trace.header.nodes
    .map((_, node) => node)
    .sort((a, b) => {
      const k = partitions.findIndex((_, k) => places[a]?.[k] !== places[b]?.[k])
      return k < 0 ? a - b : (places[a]?.[k] ?? 0) - (places[b]?.[k] ?? 0)
    })
}
