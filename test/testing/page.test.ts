/** The page of a failed run: what it leaves out, what it never contains, and how it is read. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as fc from "fast-check"
import { html } from "../../src/testing/picture/diagram.ts"
import { PAST_WHOLE, select } from "../../src/testing/picture/selection.ts"
import type { TraceEvent } from "../../src/testing/world/trace.ts"
import { Page } from "./page.ts"
import { arbitraryTrace, hostile, long, Script, short } from "./traces.ts"

const TAGS = [
  ...["a", "body", "circle", "code", "defs", "details", "div", "g", "h1", "h2", "head", "header"],
  ...["html", "main", "meta", "p", "path", "pattern", "pre", "rect", "section", "span", "summary"],
  ...["svg", "table", "td", "text", "title", "tr"],
]
/** The tags of a page; anything else that looks like one came from outside. */
const TAG = new RegExp(`<!doctype html>|</?(?:${TAGS.join("|")})(?: [a-zA-Z-]+="[^"<>]*")*/?>`, "g")
const SCRIPT = /<script>\n\{\n {2}const run[\s\S]*?\n\}\n<\/script>/

describe("what is left out", () => {
  test("probes and timers that led to nothing are left out, and it is said how many", () => {
    const page = new Page(long())
    const probes = page.events("send").filter(({ what }) => what === "Ping" || what === "Ack")
    assert.ok(probes.length < 20 && page.groups.size > 150 && page.groups.size < 400)
    const quiet = Number(/([\d,]+) events not shown: probes/.exec(page.text)?.[1]?.replace(",", ""))
    const over = Number(/([\d,]+) events? not shown: less/.exec(page.text)?.[1]?.replace(",", ""))
    assert.equal(quiet + over + page.groups.size, 5_000)
    for (const kind of ["check", "fault", "life", "phase"] as const)
      assert.equal(
        page.events(kind).length,
        page.trace.events.filter((event) => event.kind === kind).length,
      )
  })

  test("no more than the limit is shown, and the failure always is", () => {
    const trace = long()
    for (const eventsMax of [1, 2, 3, 7, 20, 60, 150]) {
      const page = new Page(trace, { eventsMax })
      assert.ok(page.groups.size <= eventsMax && page.groups.size >= Math.min(eventsMax - 3, 3))
      assert.ok(page.groups.has(4_999))
      const { by } = trace.events[4_999] as TraceEvent
      if (eventsMax > 1) assert.ok(page.groups.has(by as number))
    }
  })

  test("what led to the failure is shown before anything else: its last part whole", () => {
    const run = new Script("chain", ["a", "b"], 1)
    let by: number | undefined = run.operation(1, "a", 1, "call", "begin")
    for (let k = 0; k < 80; k++) {
      by = run.timer(10 * k + 2, "a", by)
      by = run.deliver(10 * k + 3, 10 * k + 4, "a", "b", k % 10 === 0 ? "Ops" : "Ping", by)
      run.note(10 * k + 5, "b", `Aside${k}`, {})
    }
    run.check(1_000, "end", "reached", "", by)
    const { events } = run.trace
    const past: Array<number> = []
    for (let at = events.at(-1)?.by; at !== undefined; at = events[at]?.by) past.push(at)
    assert.equal(past.length, 80 * 3 + 1)
    const quiet = ({ kind, ...event }: TraceEvent): boolean =>
      kind === "timer" ||
      ("packet" in event &&
        run.trace.events.some(
          (e) => e.kind === "send" && e.packet === event.packet && e.what === "Ping",
        ))
    const wanted = [events.length - 1, ...past].filter(
      (i, n) => n < PAST_WHOLE || !quiet(events[i] as TraceEvent),
    )
    assert.ok(wanted.length > PAST_WHOLE + 10)
    const page = new Page(run.trace, { eventsMax: wanted.length })
    assert.deepEqual(
      [...page.groups.keys()].sort((a, b) => b - a),
      wanted,
    )
    for (const group of page.groups.values()) assert.ok(group.classes.includes("led"))
  })
})

describe("the witnesses of a failure", () => {
  test("what its nodes said last is shown before other words, and why they said it", () => {
    const run = new Script("witness", ["a", "b"], 1)
    const said = run.note(3, "a", "Owner", {}, run.deliver(1, 2, "b", "a", "Ping"))
    for (let k = 0; k < 200; k++) run.note(10 + k, "b", "Lost", { k })
    run.check(1_000, "end", "reached", "a")
    const page = new Page(run.trace, { eventsMax: 20 })
    for (const i of [said, said - 1, said - 2]) assert.ok(page.groups.has(i), `event ${i}`)
    assert.ok(page.groups.get(said)?.classes.includes("led"))
  })

  test("a check of all nodes points at nobody", () => {
    const run = new Script("witness", ["a", "b", "c"], 1)
    run.note(3, "a", "Owner", {})
    run.check(1_000, "end", "reached", "a b c")
    assert.deepEqual([...select(run.trace, 20).past], [1])
  })
})

describe("any run", () => {
  test("is drawn within the limit, each event once, with causes that are shown and earlier", () => {
    fc.assert(
      fc.property(arbitraryTrace, fc.integer({ min: 1, max: 60 }), (trace, eventsMax) => {
        const page = new Page(trace, { eventsMax })
        assert.equal(page.groups.size, select(trace, eventsMax).shown.length)
        assert.ok(page.groups.size <= eventsMax)
        assert.doesNotMatch(page.text.replace(SCRIPT, ""), /NaN|undefined|Infinity/)
        for (const { i, by } of page.groups.values())
          if (by !== undefined) assert.ok(by < i && page.groups.has(by))
      }),
    )
  })

  test("is drawn the same each time", () => {
    assert.equal(html(long()), html(long()))
    fc.assert(
      fc.property(arbitraryTrace, (trace) => {
        const page = html(trace)
        assert.equal(html(trace), page)
      }),
      { numRuns: 20 },
    )
  })

  test("can't bring markup into the page", () => {
    fc.assert(
      fc.property(hostile, hostile, hostile, (one, two, three) => {
        const run = new Script(one, ["a", two], 1)
        run.fault(0, "begin", 0, `partition a | ${three}`, "a")
        run.add(1, undefined, { kind: "life", node: 1, what: three })
        run.drop(3, run.send(2, "a", "a", one), two)
        run.hold(3, run.send(2, "a", "a", three), one)
        run.note(4, "a", three, { [one]: two, reason: one, list: [three, { two }] })
        run.operation(5, "a", 1, "call", two)
        run.add(6, undefined, { kind: "phase", what: one })
        run.check(7, two, `${one}\n${three}`, "a")
        const page = html(run.trace, { title: three, replay: one, plan: two })
        const rest = page
          .replace(/<style>[^<]*<\/style>/, "")
          .replace(SCRIPT, "")
          .replace(TAG, "")
        assert.doesNotMatch(rest, /[<>]/)
        assert.doesNotMatch(rest, /&(?!#\d+;)/)
        assert.equal(page.match(/<script/g)?.length, 1)
      }),
    )
  })

  test("needs nothing from elsewhere", () => {
    const page = html(long(), { replay: "npm test", plan: "{}" })
    assert.doesNotMatch(page, /https?:|\bsrc=|@import|<link|\burl\((?!#)/)
    for (const [, id] of page.matchAll(/href="#([^"]*)"/g))
      assert.ok(page.includes(`id="${id}"`), `#${id}`)
  })
})

describe("the page", () => {
  test("has a dark value for each of its colours", () => {
    const page = html(short())
    const used = new Set([...page.matchAll(/var\((--[a-z-]+)\)/g)].map(([, name]) => name))
    const dark = page.slice(page.indexOf("prefers-color-scheme: dark"))
    for (const name of used) {
      assert.ok(page.includes(`${name}: `), `${name} is defined`)
      assert.ok(dark.includes(`${name}: `), `${name} is defined for dark`)
    }
  })

  test("pointing at an event highlights what led to it and what it led to", () => {
    const page = new Page(short())
    const marked = new Map([...page.groups.keys()].map((i) => [i, new Set<string>()]))
    const elements = [...page.groups.values()].map(({ i, by }) => ({
      dataset: { i: String(i), ...(by === undefined ? {} : { by: String(by) }) },
      classList: {
        add: (name: string) => marked.get(i)?.add(name),
        remove: (...names: ReadonlyArray<string>) => {
          for (const name of names) marked.get(i)?.delete(name)
        },
      },
    }))
    const listeners = new Map<string, (event: unknown) => void>()
    const run = {
      querySelectorAll: () => elements,
      classList: { toggle: () => {} },
      addEventListener: (name: string, listen: (event: unknown) => void) =>
        listeners.set(name, listen),
    }
    const script = /<script>([\s\S]*)<\/script>/.exec(page.text)?.[1] ?? ""
    new Function("document", script)({ getElementById: () => run })
    const down = page.events("note").find(({ name }) => name === "MemberDown") as TraceEvent
    const target = { closest: () => elements.find(({ dataset }) => dataset.i === String(down.i)) }
    listeners.get("mouseover")?.({ target })
    const having = (name: string): ReadonlyArray<number> =>
      [...marked].filter(([, names]) => names.has(name)).map(([i]) => i)
    const past: Array<number> = [down.i]
    for (let at = down.by; at !== undefined; at = page.trace.events[at]?.by) past.push(at)
    assert.deepEqual(
      having("past").toSorted((a, b) => b - a),
      past,
    )
    const future = new Set([down.i])
    for (const { i, by } of page.trace.events) if (by !== undefined && future.has(by)) future.add(i)
    future.delete(down.i)
    assert.ok(future.size > 5)
    assert.deepEqual(
      having("future").toSorted((a, b) => a - b),
      [...future],
    )
    listeners.get("mouseleave")?.({})
    assert.deepEqual([...having("past"), ...having("future")], [])
  })
})
