/**
 * The faults of a run and the lives of its nodes as spans of time, for pictures: what was broken
 * from which event to which, and when a node wasn't there.
 *
 * @module
 */
import type { Trace, TraceEvent } from "../world/trace.ts"

/** One fault of a run. */
export interface Fault {
  readonly what: string
  readonly nodes: ReadonlyArray<number>
  /** The event that it begins with. */
  readonly begin: TraceEvent
  /** Undefined when it never ended; what it began with, when it took no time. */
  readonly end: TraceEvent | undefined
  /** Nodes that were cut from each other; nothing for faults that cut nobody off. */
  readonly groups: ReadonlyArray<ReadonlySet<number>>
}

/** A time in which a node wasn't there or stood still. */
export interface Absence {
  readonly node: number
  readonly state: "down" | "paused"
  /** Undefined from the beginning on. */
  readonly begin: TraceEvent | undefined
  /** Undefined to the end. */
  readonly end: TraceEvent | undefined
}

const DOWN = /^(?:crash|crashed|dead|exit|kill|killed|leave|left|lost|stop|stopped)\b/i
const PAUSED = /^(?:pause|paused|suspend|suspended)\b/i
const UP = /^(?:join|joined|restart|resume|resumed|start|started|wake)\b/i

/** The faults, in the order in which they began. */
export function faultsOf(trace: Trace): ReadonlyArray<Fault> {
  const faults: Array<Fault> = []
  const open = new Map<number, number>()
  for (const event of trace.events) {
    if (event.kind !== "fault") continue
    const { what, nodes } = event
    const at = open.get(event.fault)
    const fault = at === undefined ? undefined : faults[at]
    if (event.phase === "begin") {
      open.set(event.fault, faults.length)
      const groups = event.groups.map((group) => new Set(group))
      const end = event.momentary ? event : undefined
      faults.push({ what, nodes, begin: event, end, groups })
    } else if (at !== undefined && fault !== undefined) {
      open.delete(event.fault)
      faults[at] = { ...fault, end: event }
    }
  }
  return faults
}

/**
 * The nodes that a picture tints for a fault: all of them; of those it cuts, all but the largest
 * side.
 */
export function tinted({ groups, nodes }: Fault): ReadonlySet<number> {
  const sizes = groups.map(({ size }) => size)
  const largest = sizes.lastIndexOf(Math.max(...sizes))
  if (groups.length < 2) return new Set(nodes)
  return new Set(groups.flatMap((group, k) => (k === largest ? [] : [...group])))
}

/** When nodes weren't there or stood still, in the order in which that ended. */
export function absencesOf(trace: Trace): ReadonlyArray<Absence> {
  const absences: Array<Absence> = []
  const open = new Map<number, Absence>()
  const seen = new Set<number>()
  const close = (node: number, end: TraceEvent | undefined): void => {
    const absence = open.get(node)
    open.delete(node)
    if (absence !== undefined) absences.push({ ...absence, end })
  }
  for (const event of trace.events) {
    if (event.kind !== "life") continue
    const { node } = event
    const state = stateAfter(event.what)
    if (state === undefined) continue
    // Before its first start it wasn't there.
    if (state === "up" && !seen.has(node) && event.at > 0)
      open.set(node, { node, state: "down", begin: undefined, end: undefined })
    seen.add(node)
    close(node, event)
    if (state !== "up") open.set(node, { node, state, begin: event, end: undefined })
  }
  for (const node of [...open.keys()]) close(node, undefined)
  return absences
}

function stateAfter(what: string): "down" | "paused" | "up" | undefined {
  if (UP.test(what)) return "up"
  if (PAUSED.test(what)) return "paused"
  return DOWN.test(what) ? "down" : undefined
}

/** Whether two nodes were cut from each other when event `i` happened. */
export function cutAt(
  faults: ReadonlyArray<Fault>,
  i: number,
  a: number,
  b: number,
): Fault | undefined {
  return faults.find(
    ({ groups, begin, end }) =>
      begin.i <= i && (end === undefined || i < end.i) && groupOf(groups, a) !== groupOf(groups, b),
  )
}

/** The group of a node; all that are in none are together. */
export function groupOf(groups: ReadonlyArray<ReadonlySet<number>>, node: number): number {
  return groups.findIndex((group) => group.has(node))
}

/**
 * Where between their columns a packet from one node to another was stopped: at the fault's first
 * wall on its way, else half-way. The place of the column left of there.
 */
export function barrier(
  columns: ReadonlyArray<number>,
  from: number,
  to: number,
  fault: Fault | undefined,
): number {
  const [a, b] = [columns.indexOf(from), columns.indexOf(to)]
  if (a === b) return a
  const way = b < a ? -1 : 1
  const side = (k: number): number => groupOf(fault?.groups ?? [], columns[k] as number)
  let k = a
  if (fault === undefined) k += way * Math.max(0, Math.ceil(Math.abs(b - a) / 2) - 1)
  else while (k + way !== b && side(k + way) === side(a)) k += way
  return way > 0 ? k : k - 1
}
