/**
 * What happened in a simulation: a rolling hash of everything, always; the events themselves when asked
 * for, which is when a run has failed and is run once more.
 *
 * @module
 */
import { avalanche, hash32 } from "../../core/hash.ts"

/** What every event has. */
interface Stamp {
  /** Its number in the trace, from 0. */
  readonly i: number
  /** Microseconds since the simulation began. */
  readonly at: number
  /** The event that led to it; undefined for faults, the test itself and the beginning. */
  readonly by: number | undefined
}

/** One event of a run. Nodes are given by their index, packets by their number in the run. */
export type TraceEvent = Stamp &
  (
    | {
        readonly kind: "send"
        readonly packet: number
        readonly from: number
        readonly to: number
        /** What it says, for people: `"Ping"`, `"Ops Settle"`. */
        readonly what: string
        readonly bytes: number
      }
    | { readonly kind: "receive"; readonly packet: number; readonly node: number }
    /** A packet that is lost, or held up while the network is cut (`wall`) or its link clogged (`clog`). */
    | { readonly kind: "drop"; readonly packet: number; readonly why: string }
    | { readonly kind: "hold"; readonly packet: number; readonly why: string }
    | { readonly kind: "timer"; readonly node: number }
    /** Something a node said of itself, or a test of a node. */
    | {
        readonly kind: "note"
        readonly node: number
        readonly name: string
        readonly data: unknown
      }
    /** The life of a node: `start`, `crash`, `stop`, `pause`, `resume` … */
    | { readonly kind: "life"; readonly node: number; readonly what: string }
    | {
        readonly kind: "fault"
        readonly phase: "begin" | "end"
        /** Its index in the plan, or -1 - n for the n-th fault of a hand-written test. */
        readonly fault: number
        /** For people: `"partition a b | c d e"`. */
        readonly what: string
        readonly nodes: ReadonlyArray<number>
        /** Nodes that are cut off from each other; nothing for faults that cut nobody off. */
        readonly groups: ReadonlyArray<ReadonlyArray<number>>
        /** Whether it takes no time. */
        readonly momentary: boolean
      }
    /** An operation of the test: called, and what came of it. */
    | {
        readonly kind: "operation"
        readonly node: number
        readonly operation: number
        readonly phase: "call" | "ok" | "fail"
        readonly what: string
      }
    | { readonly kind: "phase"; readonly what: string }
    | {
        readonly kind: "check"
        readonly name: string
        readonly message: string
        readonly nodes: ReadonlyArray<number>
      }
  )

type Bare<A> = A extends unknown ? Omit<A, "i" | "at" | "by"> : never

/** An event without its number, time and cause. */
export type Happening = Bare<TraceEvent>

/** What a trace tells of its run besides its events. */
export interface Header {
  readonly name: string
  readonly nodes: ReadonlyArray<string>
  readonly seed: number
}

/** Events that are kept at most: what comes later is only counted. */
export const EVENTS_MAX: number = 2_000_000

/** The trace of one run. */
export class Trace {
  readonly header: Header
  /** The events, when they are kept. */
  readonly events: Array<TraceEvent> = []
  readonly #keep: boolean
  #count = 0
  #low = 0x9e3779b9 | 0
  #high = 0x85ebca6b | 0

  constructor(header: Header, keep: boolean) {
    this.header = header
    this.#keep = keep
  }

  /** How many events there were. */
  get count(): number {
    return this.#count
  }

  /** Whether events are kept, so that it pays to put together what only people read. */
  get keeps(): boolean {
    return this.#keep
  }

  /** 16 hex digits of everything so far: equal for equal runs, on every runtime. */
  get hash(): string {
    // Each step can be undone, so that no two states have one hash.
    const high = avalanche(this.#high ^ avalanche(this.#low))
    return hex(high) + hex(avalanche(this.#low ^ high))
  }

  /** Mixes three numbers into the hash, without making an event of them. */
  mix(a: number, b: number, c: number): void {
    this.#low = (Math.imul(this.#low ^ a ^ Math.imul(b, 0x27d4eb2f), 0x01000193) + c) | 0
    this.#high = Math.imul(this.#high ^ b ^ (a >>> 7), 0x5bd1e995) ^ (c + (this.#low >>> 11))
  }

  /** Mixes a text into the hash. */
  mixText(text: string): void {
    this.mix(hash32(text), text.length, 0x7f4a7c15)
  }

  /** Mixes bytes into the hash. */
  mixBytes(bytes: Uint8Array): void {
    let low = bytes.length
    for (let i = 0; i < bytes.length; i++) low = Math.imul(low ^ bytes[i]!, 0x01000193)
    this.mix(low, bytes.length, 0x165667b1)
  }

  /** Counts an event that isn't kept; its number. */
  tick(): number {
    return this.#count++
  }

  /** Counts an event, and keeps it if events are kept; its number. */
  add(at: number, by: number | undefined, event: () => Happening): number {
    const i = this.#count++
    if (this.#keep && this.events.length < EVENTS_MAX) {
      this.events.push({ i, at, by, ...event() } as TraceEvent)
    }
    return i
  }
}

/** The trace as JSON Lines: a header, the events, the hash. */
export function toLines(trace: Trace): string {
  const lines = [JSON.stringify({ v: 1, kind: "header", ...trace.header })]
  for (const event of trace.events) lines.push(JSON.stringify(event))
  lines.push(JSON.stringify({ kind: "end", events: trace.count, hash: trace.hash }))
  return `${lines.join("\n")}\n`
}

/** Where two traces part: the first event that differs; undefined when they are equal. */
export function difference(a: Trace, b: Trace): string | undefined {
  const length = Math.max(a.events.length, b.events.length)
  for (let i = 0; i < length; i++) {
    const [one, other] = [JSON.stringify(a.events[i]), JSON.stringify(b.events[i])]
    if (one !== other) return `event ${i}: ${one ?? "the end"} and then ${other ?? "the end"}`
  }
  return a.hash === b.hash ? undefined : `the same events, but ${a.hash} and then ${b.hash}`
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, "0")
}
