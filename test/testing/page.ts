/**
 * The page of a run, read back from its markup.
 *
 * @module
 */
import assert from "node:assert/strict"
import { html } from "../../src/testing/picture/diagram.ts"
import type { Trace, TraceEvent } from "../../src/testing/world/trace.ts"

interface Group {
  readonly i: number
  readonly classes: ReadonlyArray<string>
  readonly by: number | undefined
  readonly body: string
}

/** Events of one kind. */
export type Of<K extends TraceEvent["kind"]> = Extract<TraceEvent, { readonly kind: K }>

/** A page, and the places of its nodes and events. */
export class Page {
  readonly text: string
  readonly trace: Trace
  /** What is drawn, by the numbers of the events. */
  readonly groups: Map<number, Group> = new Map()

  constructor(trace: Trace, options: Parameters<typeof html>[1] = {}) {
    this.trace = trace
    this.text = html(trace, options)
    const pattern =
      /^<g id="e(\d+)" class="([^"]*)" data-i="(\d+)"(?: data-by="(\d+)")?>(.*)<\/g>$/gm
    for (const [, id, classes = "", i, by, body = ""] of this.text.matchAll(pattern)) {
      assert.equal(id, i)
      assert.ok(!this.groups.has(Number(i)), `event ${i} is drawn once`)
      const cause = by === undefined ? undefined : Number(by)
      this.groups.set(Number(i), { i: Number(i), classes: classes.split(" "), by: cause, body })
    }
  }

  /** The events of a kind that are drawn. */
  events<K extends TraceEvent["kind"]>(kind: K): ReadonlyArray<Of<K>> {
    return this.trace.events.filter(
      (event): event is Of<K> => event.kind === kind && this.groups.has(event.i),
    )
  }

  /** The markup of an event. */
  body(event: TraceEvent): string {
    return this.groups.get(event.i)?.body ?? ""
  }

  /** What sent a packet. */
  send(packet: number): Of<"send"> {
    return this.trace.events.find(
      (event): event is Of<"send"> => event.kind === "send" && event.packet === packet,
    ) as Of<"send">
  }

  /** The middle of a node's column. */
  x(node: number): number {
    const names = /<svg class="names".*<\/svg>/.exec(this.text)?.[0] ?? ""
    const name = this.trace.header.nodes[node]
    const found = [...names.matchAll(/<text x="([\d.]+)"[^>]*><title>([^<]*)</g)]
    return Number(found.find(([, , title]) => title === name)?.[1])
  }

  /** The numbers of a shape: of its path, or its place. */
  numbers(event: TraceEvent, name: string): ReadonlyArray<number> {
    const shape = new RegExp(`<(?:path|circle|rect) class="${name}"([^>]*)>`).exec(this.body(event))
    return numbers((shape?.[1] ?? "").replace(/ r="[\d.]+"/, ""))
  }
}

/** The numbers in a text, in order. */
export function numbers(text: string): ReadonlyArray<number> {
  return (text.match(/-?\d+(\.\d+)?/g) ?? []).map(Number)
}
