/** The text of a failed run: every claim is read back from its lines. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as fc from "fast-check"
import { select } from "../../src/testing/picture/selection.ts"
import { text } from "../../src/testing/picture/story.ts"
import type { Trace } from "../../src/testing/world/trace.ts"
import { arbitraryTrace, hostile, long, Script, short } from "./traces.ts"

const TIME = /^[* ] {1,9}\d+\.\d{3} s {2}/

/** The lines that tell an event. */
function told(trace: Trace, options?: Parameters<typeof text>[1]): ReadonlyArray<string> {
  return text(trace, options)
    .split("\n")
    .filter((line) => TIME.test(line))
}

/** The only line that says this. */
function line(lines: ReadonlyArray<string>, words: string): string {
  const found = lines.filter((candidate) => candidate.endsWith(words))
  assert.equal(found.length, 1, `${words} is said once`)
  return found[0] as string
}

describe("the text of a run", () => {
  test("has one line for each event that is shown, with its time", () => {
    for (const trace of [short(), long()]) {
      const { shown } = select(trace, 400)
      const times = told(trace).map((each) => each.slice(1, 11).trim())
      const expected = shown.map(({ at }) => `${(at / 1e6).toFixed(3)} s`)
      assert.deepEqual(times, expected)
    }
  })

  test("names the violated check in its last lines, with its message and its nodes", () => {
    const last = told(short()).at(-1)
    assert.equal(
      last,
      '*   2.271 s  ### VIOLATED: one-owner on a c: two live owners of "leader": a, c',
    )
    const lines = text(long()).trimEnd().split("\n")
    const from = lines.findIndex((each) => each.includes("### VIOLATED: one-owner"))
    const message = lines
      .slice(from)
      .map((each) => each.slice(13))
      .join(" ")
      .replaceAll("### ", "")
    assert.ok(
      message.endsWith('two live owners of "cart-17": b (time 12.104 s) and f (time 12.098 s)'),
    )
  })

  test("fits 100 columns for nine nodes, and any other width", () => {
    for (const columns of [undefined, 60, 80, 140]) {
      const lines = text(long(), columns === undefined ? {} : { columns }).split("\n")
      const longest = Math.max(...lines.map((each) => each.length))
      assert.ok(longest <= (columns ?? 100), `${longest} of ${columns}`)
    }
  })

  test("marks an event in the column of its node", () => {
    const lines = told(short())
    assert.equal(line(lines, "  b Down a (silent)").slice(13, 21), "| #!  | ")
    assert.equal(line(lines, "  a ok: register leader").slice(13, 21), "+  |  | ")
    assert.equal(line(lines, "  c call: register leader").slice(13, 21), "| #|  ? ")
    assert.equal(line(lines, "  b -> a Ask received").slice(13, 21), "<---  | ")
    assert.equal(line(lines, "  a -> c Ops received").slice(13, 21), "---|--> ")
  })

  test("ends a packet that was cut off between the two columns, at the wall", () => {
    const lines = told(short())
    assert.equal(line(lines, "  b -> a Ping lost: wall").slice(13, 21), "| x-  | ")
    assert.equal(line(lines, "  a -> b Ping lost: wall").slice(13, 21), "--x|  | ")
    assert.equal(line(lines, "  a -> c Settle held: wall").slice(13, 21), "--=|  | ")
    assert.equal(line(lines, "  a -> c Settle received").slice(13, 21), "---|--> ")
  })

  test("a packet that merely got lost ends half-way", () => {
    const run = new Script("loss", ["a", "b", "c", "d"], 1)
    run.drop(2, run.send(1, "a", "d", "Ops"), "lost")
    run.drop(4, run.send(3, "d", "b", "Ops"), "lost")
    const lines = told(run.trace)
    assert.equal(line(lines, "a -> d Ops lost: lost").slice(13, 24), "---|-x|  | ")
    assert.equal(line(lines, "d -> b Ops lost: lost").slice(13, 24), "|  |  | x- ")
  })

  test("a node that is gone has no line, one that stands still a dotted one", () => {
    const run = new Script("lives", ["a", "b", "c"], 1)
    for (const node of ["a", "b", "c"]) run.life(0, node, "start")
    run.life(1, "b", "crash")
    run.life(1, "c", "pause")
    run.note(2, "a", "Alone", {})
    run.life(3, "b", "start")
    run.life(3, "c", "resume")
    run.note(4, "a", "Together", {})
    const lines = told(run.trace)
    assert.equal(line(lines, "b crash").slice(13, 21), "|  X  | ")
    assert.equal(line(lines, "a Alone").slice(13, 21), "!     : ")
    assert.equal(line(lines, "a Together").slice(13, 21), "!  |  | ")
  })

  test("faults and phases go from side to side", () => {
    const lines = told(short())
    const fault = lines.find((each) => each.includes("partition a | b c begins"))
    assert.match(fault ?? "", /^ {4}1\.000 s {2}=== partition a \| b c begins =+$/)
    assert.equal(fault?.length, 100)
    assert.ok(lines.some((each) => /^ {4}2\.200 s {2}--- settle -+$/.test(each)))
  })

  test("what led to the failure is marked, and nothing else", () => {
    const trace = short()
    const { shown, past } = select(trace, 400)
    const marked = told(trace).map((each) => each.startsWith("*"))
    assert.deepEqual(
      marked,
      shown.map(({ i }) => past.has(i)),
    )
    assert.ok(marked.includes(true) && marked.includes(false))
  })

  test("keeps to its limit and says how much is left out", () => {
    for (const eventsMax of [1, 10, 100]) {
      const said = text(long(), { eventsMax })
      const shown = told(long(), { eventsMax }).length
      assert.ok(shown <= eventsMax && shown > eventsMax / 2)
      assert.ok(said.includes(`${shown} event${shown === 1 ? "" : "s"} shown`))
      const [quiet, over] = [
        /([\d,]+) events not shown: probes/,
        /([\d,]+) events not shown: less/,
      ].map((pattern) => Number(pattern.exec(said)?.[1]?.replace(",", "")))
      assert.equal(shown + (quiet ?? 0) + (over ?? 0), 5_000)
    }
  })

  test("does without columns where there are too many nodes", () => {
    const names = Array.from({ length: 40 }, (_, k) => `node-${k}`)
    const run = new Script("many", names, 1)
    run.deliver(1, 2, "node-3", "node-30", "Ops")
    assert.deepEqual(told(run.trace), [
      "    0.001 s  node-3 -> node-30 Ops, 41 bytes",
      "    0.002 s  node-3 -> node-30 Ops received",
    ])
  })
})

describe("the text of any run", () => {
  test("has a line for each event within the limit and width, the same each time", () => {
    fc.assert(
      fc.property(
        arbitraryTrace,
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 40, max: 120 }),
        (trace, eventsMax, columns) => {
          const said = text(trace, { eventsMax, columns })
          assert.equal(text(trace, { eventsMax, columns }), said)
          const lines = told(trace, { eventsMax, columns })
          assert.equal(lines.length, select(trace, eventsMax).shown.length)
          for (const each of said.split("\n")) assert.ok(each.length <= columns, each)
          assert.doesNotMatch(said, /NaN|undefined/)
        },
      ),
    )
  })

  test("has nothing in it that a terminal acts upon", () => {
    fc.assert(
      fc.property(hostile, hostile, (one, two) => {
        const run = new Script(one, ["a", two], 1)
        run.drop(3, run.send(2, "a", "a", one), two)
        run.note(4, "a", one, { [two]: one })
        run.check(7, two, `${one}\n${two}`, "a")
        assert.doesNotMatch(text(run.trace).replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Cs}]/u)
      }),
    )
  })

  test("of a given trace is the same each time", () => {
    assert.equal(text(long()), text(long()))
  })
})
