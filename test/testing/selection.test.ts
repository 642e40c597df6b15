/** Which events of a run are worth showing. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { select } from "../../src/testing/picture/selection.ts"
import type { Trace } from "../../src/testing/world/trace.ts"
import { Script } from "./traces.ts"

/** A run that is too long to be shown whole: pings at its beginning. */
function busy(): Script {
  const run = new Script("busy", ["a", "b", "c"], 1)
  for (const node of ["a", "b", "c"]) run.life(0, node, "start")
  for (let k = 0; k < 100; k++) run.deliver(k + 1, k + 1.5, "a", "b", "Ping")
  return run
}

function shows(trace: Trace, eventsMax: number = 2_000): ReadonlySet<number> {
  return new Set(select(trace, eventsMax).shown.map(({ i }) => i))
}

describe("what is worth showing", () => {
  test("a short run is shown whole, with all its probes", () => {
    const run = new Script("short", ["a", "b"], 1)
    for (let k = 0; k < 60; k++) run.deliver(k, k + 0.5, "a", "b", "Ping")
    assert.equal(shows(run.trace).size, 120)
    run.timer(100, "a")
    assert.equal(shows(run.trace).size, 0)
  })

  test("what is bad comes before what is not, however early it was", () => {
    const run = busy()
    run.fault(200, "begin", 0, "partition a | b c", "a b c")
    const bad = run.note(201, "a", "MemberDown", { node: "b" })
    for (let k = 0; k < 50; k++) run.note(300 + k, "b", "Fine", { k })
    assert.ok(shows(run.trace, 10).has(bad))
  })

  test("what was said within the last second isn't said again", () => {
    const run = busy()
    const said = run.note(200, "a", "MemberDown", { node: "b" })
    const again = run.note(300, "a", "MemberDown", { node: "b" })
    const other = run.note(400, "a", "MemberDown", { node: "c" })
    const later = run.note(2_000, "a", "MemberDown", { node: "c" })
    const shown = shows(run.trace)
    assert.deepEqual(
      [said, again, other, later].map((i) => shown.has(i)),
      [true, false, true, true],
    )
  })

  test("ordinary traffic fills a picture only so far, what matters up to its limit", () => {
    const run = busy()
    for (let k = 0; k < 600; k++) run.deliver(200 + k, 200.5 + k, "a", "b", "Ops")
    assert.equal(shows(run.trace).size, 3 + 297 - 1)
    for (let k = 0; k < 400; k++) run.operation(900 + k, "a", k, "call", "a: go")
    assert.equal(shows(run.trace).size, 403)
  })

  test("ordinary traffic before anything was broken is left out", () => {
    const run = busy()
    const early = run.deliver(200, 201, "a", "b", "Ops")
    const peace = run.note(250, "a", "Fine", {})
    run.life(300, "c", "crash")
    const late = run.deliver(400, 401, "a", "b", "Ops")
    const war = run.note(450, "a", "Good", {})
    const shown = shows(run.trace)
    assert.deepEqual(
      [early, peace, late, war].map((i) => shown.has(i)),
      [false, false, true, true],
    )
  })

  test("why something was said is shown, back to the first probe or timer", () => {
    const run = busy()
    const timer = run.timer(200, "a")
    const first = run.deliver(201, 202, "a", "b", "Ping", timer)
    const ack = run.deliver(202, 203, "b", "a", "Ack", first)
    run.note(203, "a", "MemberTrusted", { node: "b" }, ack)
    const due = run.timer(300, "c")
    const cause = run.timer(400, "c", due)
    run.note(400, "c", "MemberSuspect", { node: "b" }, cause)
    const shown = shows(run.trace)
    assert.deepEqual(
      [ack, ack - 1].map((i) => shown.has(i)),
      [true, true],
    )
    assert.deepEqual(
      [timer, first, due, cause].map((i) => shown.has(i)),
      [false, false, false, false],
    )
  })

  test("handshakes and probes are quiet only when they carry nothing else", () => {
    const run = busy()
    const hello = run.deliver(200, 201, "a", "b", "Hello")
    const both = run.deliver(202, 203, "a", "b", "Ping PingRequest Ack")
    const more = run.deliver(204, 205, "a", "b", "Ping Claims")
    const shown = shows(run.trace)
    assert.deepEqual(
      [hello, both, more].map((i) => shown.has(i)),
      [false, false, true],
    )
  })
})
