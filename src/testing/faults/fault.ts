/**
 * Faults: what can go wrong in a simulation, as plain data, and how each begins and ends.
 *
 * A fault says all about itself: when, for how long, to whom. Nodes are indices, taken modulo the number of
 * nodes, so that any subset of a plan's faults, on any smaller cluster, is a plan too. Times are microseconds.
 *
 * @module
 */

/** When a fault begins, and how long it lasts. What happens at one moment needs no duration. */
export interface Span {
  readonly at: number
  readonly for: number
}

/** Two nodes, in both directions. */
type Pair = readonly [a: number, b: number]

/** What goes wrong. `ppm`: parts per million of the packets. Without a `link`: on all links. */
export type Trouble =
  /** Nodes of different groups don't reach each other; who isn't listed is in a group with the others. */
  | { readonly kind: "partition"; readonly groups: ReadonlyArray<ReadonlyArray<number>> }
  /** Nobody reaches this node, and it nobody. */
  | { readonly kind: "isolate"; readonly node: number }
  /** Each node reaches its two neighbours only. */
  | { readonly kind: "ring" }
  /** Two halves that don't reach each other, and one node that reaches both. */
  | { readonly kind: "bridge"; readonly node: number }
  /** Nothing gets from one to the other; the way back works. */
  | { readonly kind: "oneway"; readonly from: number; readonly to: number }
  /** Packets are lost and sent again by the stream: late by 200 ms, 600 ms, 1.4 s … */
  | { readonly kind: "loss"; readonly link?: Pair | undefined; readonly ppm: number }
  /** Packets are lost for good, as no stream loses them. */
  | { readonly kind: "drop"; readonly link?: Pair | undefined; readonly ppm: number }
  | { readonly kind: "duplicate"; readonly link?: Pair | undefined; readonly ppm: number }
  /** Bits are flipped on the way. */
  | { readonly kind: "corrupt"; readonly link?: Pair | undefined; readonly ppm: number }
  | { readonly kind: "delay"; readonly link?: Pair | undefined; readonly micros: number }
  /** What the node sends and gets takes so many times as long, and its timers are so many times as late. */
  | { readonly kind: "slow"; readonly node: number; readonly factor: number }
  /** What is sent queues up, and comes in a burst. */
  | { readonly kind: "clog"; readonly link: Pair }
  /** All links of these nodes clog, one node after the other, and are freed in another order. */
  | { readonly kind: "swizzle"; readonly nodes: ReadonlyArray<number> }
  /** Connections are lost, and what was on its way with them. */
  | { readonly kind: "reset"; readonly link: Pair }
  /** Connections carry nothing any more, and nobody is told. New ones work. */
  | { readonly kind: "halfOpen"; readonly link: Pair }
  /** The longest chunk that arrives in one piece. */
  | { readonly kind: "mtu"; readonly bytes: number }
  /** Bytes on their way in one direction from which a sender has to wait. */
  | { readonly kind: "queue"; readonly bytes: number }
  /** The node dies, with its machine or without, and is started again when this is over. */
  | { readonly kind: "crash"; readonly node: number; readonly machine?: boolean | undefined }
  /** The node stops without handing over, and is started again when this is over. */
  | { readonly kind: "stop"; readonly node: number }
  /** The node hands over and leaves, and is started again when this is over. */
  | { readonly kind: "leave"; readonly node: number }
  /** The node crashes and starts again so many times. */
  | { readonly kind: "flap"; readonly node: number; readonly times: number }
  /** The node dies and starts again at once; `stale`: its clock was set back, so it seems older than it was. */
  | { readonly kind: "restart"; readonly node: number; readonly stale?: boolean | undefined }
  /** The node stands still: no code runs; its machine goes on. */
  | { readonly kind: "pause"; readonly node: number }
  /** The machine sleeps: as pause, and its monotonic clock stands still, too. */
  | { readonly kind: "suspend"; readonly node: number }
  /** Timers fire at multiples of this only, as in a hidden browser tab. */
  | { readonly kind: "throttle"; readonly node: number; readonly micros: number }
  /** The wall clock is off by this. */
  | { readonly kind: "skew"; readonly node: number; readonly micros: number }
  /** Both clocks run faster, or slower when negative, by so many parts per million. */
  | { readonly kind: "drift"; readonly node: number; readonly ppm: number }
  /** The wall clock is set by so much, and stays so. */
  | { readonly kind: "step"; readonly node: number; readonly micros: number }
  /** The wall clock stands still. */
  | { readonly kind: "freeze"; readonly node: number }
  /** One more node joins, and leaves when this is over. */
  | { readonly kind: "join" }
  /** The node's list of seeds is out of date: whatever it dials refuses it. Others can dial it. */
  | { readonly kind: "strand"; readonly node: number }

/** A fault of a plan. */
export type Fault = Span & Trouble

/** The names of all kinds of faults. */
export type Kind = Trouble["kind"]

/** Whether a kind of fault happens at one moment, so that its duration means nothing. */
export function momentary(kind: Kind): boolean {
  return kind === "reset" || kind === "halfOpen" || kind === "step" || kind === "restart"
}

/** The nodes that a fault is about, among so many; all of them when it is about the network. */
export function nodesOf(fault: Trouble, size: number): ReadonlyArray<number> {
  const all = Array.from({ length: size }, (_, i) => i)
  const named =
    "node" in fault
      ? [fault.node]
      : "nodes" in fault
        ? fault.nodes
        : "link" in fault && fault.link !== undefined
          ? fault.link
          : fault.kind === "oneway"
            ? [fault.from, fault.to]
            : all
  return [...new Set(named.map((node) => node % size))]
}

/** A fault in a few words: `partition a b | c d e`. */
export function describe(fault: Trouble, names: ReadonlyArray<string>): string {
  const name = (node: number): string => names[node % names.length] ?? "?"
  switch (fault.kind) {
    case "partition": {
      const sides = groupsOf(fault.groups, names.length).map((side) => side.map(name).join(" "))
      return `partition ${sides.join(" | ")}`
    }
    case "oneway":
      return `nothing gets from ${name(fault.from)} to ${name(fault.to)}`
    case "swizzle":
      return `swizzle ${[...new Set(fault.nodes.map(name))].join(" ")}`
    case "crash":
      return `crash ${name(fault.node)}${fault.machine ? " with its machine" : ""}`
    case "restart":
      return `restart ${name(fault.node)}${fault.stale ? " with an older incarnation" : ""}`
    default: {
      const { kind, at: _at, for: _for, ...rest } = fault as Fault
      const words = Object.entries(rest).map(([key, value]) => {
        if (key === "node") return name(value as number)
        if (key === "link") return Array.isArray(value) ? value.map(name).join("–") : "all links"
        return `${key} ${String(value)}`
      })
      return [kind, ...words].join(" ")
    }
  }
}

/** Groups of nodes, among so many, that a fault cuts off from each other; none when it cuts nobody off. */
export function apart(fault: Trouble, size: number): ReadonlyArray<ReadonlyArray<number>> {
  if (fault.kind !== "partition" && fault.kind !== "isolate") return []
  const groups = groupsOf(fault.kind === "partition" ? fault.groups : [[fault.node]], size)
  return groups.length > 1 ? groups : []
}

/** Groups without duplicates, with those that are in none as the last one; empty ones left out. */
export function groupsOf(
  groups: ReadonlyArray<ReadonlyArray<number>>,
  size: number,
): ReadonlyArray<ReadonlyArray<number>> {
  const seen = new Set<number>()
  const sides = groups.map((group) =>
    [...new Set(group.map((node) => node % size))].filter((node) => {
      if (seen.has(node)) return false
      seen.add(node)
      return true
    }),
  )
  sides.push(Array.from({ length: size }, (_, i) => i).filter((node) => !seen.has(node)))
  return sides.filter((side) => side.length > 0)
}
