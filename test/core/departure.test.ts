import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Registry from "../../src/core/registry.ts"
import * as Ring from "../../src/core/ring.ts"
import * as Supervision from "../../src/core/supervision.ts"
import { Bench, committed, mover, offered, receive, slotOf } from "./bench.ts"

describe("moves", () => {
  test("at most MOVES_MAX slots are under way at once, and the others follow", () => {
    const bench = new Bench("a")
    bench.ring(["a"])
    const ring = Ring.make(["a", "b"].map((id) => ({ id, weight: 1 })))
    const names = new Map<number, string>()
    const count = 2 * Supervision.MOVES_MAX
    for (let i = 0; names.size < count; i++)
      if (Ring.owner(ring, `count/${i}`) === "b") names.set(Ring.slot(`count/${i}`), `count/${i}`)
    for (const [slot, name] of names) {
      bench.ask(slot)
      bench.name(name)
      bench.step({ _tag: "Started", slot })
    }
    bench.ring(["a", "b"])
    assert.equal(bench.state.outgoing.size, Supervision.MOVES_MAX)
    const moved = new Set<number>()
    while (bench.state.outgoing.size > 0) {
      for (const [slot, { generation }] of [...bench.state.outgoing]) {
        bench.hear("b", { _tag: "Accept", slot, generation })
        bench.step({ _tag: "Captured", slot, names: [names.get(slot) ?? ""] })
        bench.hear("b", { _tag: "Installed", slot, generation })
        assert.equal(bench.outputs.filter(({ _tag }) => _tag === "Depart").length, 1)
        bench.hear("b", { _tag: "Done", slot, generation })
        moved.add(slot)
        assert.ok(bench.state.outgoing.size <= Supervision.MOVES_MAX)
      }
    }
    assert.equal(moved.size, count)
    assert.equal(Registry.count(bench.registry), 0)
  })

  test("a slot with a start under way moves when that is over", () => {
    const bench = new Bench("a")
    bench.ring(["a"])
    const name = mover(["a"], ["a", "b"])
    const slot = Ring.slot(name)
    bench.ask(slot)
    bench.ring(["a", "b"])
    assert.equal(bench.state.outgoing.size, 0)
    bench.name(name)
    bench.step({ _tag: "Started", slot })
    assert.deepEqual(bench.sent(), [["b", "Offer"]])
  })

  test("an empty slot is only released", () => {
    const bench = new Bench("a")
    bench.ring(["a"])
    const slot = slotOf("b", ["a", "b"])
    bench.ask(slot)
    bench.step({ _tag: "Started", slot })
    bench.ring(["a", "b"])
    assert.equal(Registry.grant(bench.registry, slot), undefined)
    assert.equal(bench.state.outgoing.size, 0)
  })

  test("a refused or failed move is off: the slot is served on, and offered again later", () => {
    for (const end of ["Refuse", "CaptureFailed", "LinkDown", "Down", "overdue"] as const) {
      const { bench, slot, generation } = offered()
      bench.hear("b", { _tag: "Accept", slot, generation })
      assert.deepEqual(bench.tags(), ["Freeze"])
      if (end === "Refuse") bench.hear("b", { _tag: "Refuse", slot, generation })
      else if (end === "CaptureFailed") bench.step({ _tag: end, slot })
      else if (end !== "overdue") bench.step({ _tag: end, peer: "b" })
      else {
        bench.now += Supervision.timing.moveMaxMillis
        bench.step({ _tag: "Tick" })
      }
      assert.ok(bench.tags().includes("Thaw"), end)
      assert.equal(Registry.grant(bench.registry, slot)?.table.owner, "a")
      bench.now += Supervision.timing.retryMillis
      bench.step({ _tag: "Tick" })
      assert.ok(
        bench.sent().some(([to, tag]) => to === "b" && tag === "Offer"),
        end,
      )
    }
  })

  test("from the commit on only an end of the new owner, or its refusal, brings the name back", () => {
    const { bench, slot, generation } = committed()
    bench.step({ _tag: "LinkDown", peer: "b" })
    assert.deepEqual(bench.tags(), [])
    bench.step({ _tag: "LinkUp", peer: "b" })
    assert.deepEqual(
      bench.sent().map(([, tag]) => tag),
      ["Commit", "Drained"],
    )
    bench.hear("b", { _tag: "Refuse", slot, generation })
    assert.deepEqual(bench.tags(), ["Revive"])
    assert.equal(Registry.grant(bench.registry, slot)?.generation, generation + 1)
  })

  test("the end of a new owner that had served brings nothing back: that is a takeover", () => {
    for (const served of [true, false]) {
      const { bench, slot, generation } = committed()
      if (served) bench.theirs("b", [{ _tag: "Grant", slot, generation }])
      Registry.step(bench.registry, { _tag: "MemberDown", now: 0, name: "b", epoch: 1 })
      bench.step({ _tag: "Down", peer: "b" })
      assert.deepEqual(bench.tags(), [served ? "Forget" : "Revive"])
    }
  })

  test("a new owner says Done to an old commit, although the slot has gone on since", () => {
    const bench = new Bench("b")
    bench.ring(["a", "b"])
    const slot = slotOf("b", ["a", "b"])
    receive(bench, "a", slot, 2)
    bench.hear("a", { _tag: "Drained", slot, generation: 2 })
    assert.deepEqual(bench.sent(), [["a", "Done"]])
    Registry.step(bench.registry, { _tag: "Release", slot })
    bench.theirs("a", [{ _tag: "Grant", slot, generation: 3 }])
    bench.hear("a", { _tag: "Commit", slot, generation: 2 })
    assert.deepEqual(bench.sent(), [["a", "Done"]])
    bench.hear("a", { _tag: "Commit", slot, generation: 4 })
    assert.deepEqual(bench.sent(), [["a", "Refuse"]])
  })

  test("an offer is refused by who isn't the owner, is leaving, or has another one under way", () => {
    const ids = ["a", "b", "c"]
    const bench = new Bench("b")
    bench.ring(ids)
    const answer = (from: string, slot: number, generation: number): unknown => {
      bench.hear(from, { _tag: "Offer", slot, generation })
      return bench.sent().at(-1)
    }
    assert.deepEqual(answer("a", slotOf("c", ids), 2), ["a", "Refuse"])
    const slot = slotOf("b", ids)
    assert.deepEqual(answer("a", slot, 0), ["a", "Refuse"])
    assert.deepEqual(answer("a", slot, 2), ["a", "Accept"])
    assert.deepEqual(answer("c", slot, 2), ["c", "Refuse"])
    bench.step({ _tag: "Leave" })
    assert.deepEqual(answer("a", slotOf("b", ids, 1), 2), ["a", "Refuse"])
  })

  test("a standby is dropped when its old owner is back and doesn't stand by it", () => {
    const bench = new Bench("b")
    bench.ring(["a", "b"])
    const slot = slotOf("b", ["a", "b"])
    bench.hear("a", { _tag: "Offer", slot, generation: 2 })
    bench.step({ _tag: "Restored", slot, generation: 2, ok: true })
    bench.step({ _tag: "LinkDown", peer: "a" })
    assert.deepEqual(bench.tags(), [])
    bench.step({ _tag: "LinkUp", peer: "a" })
    bench.hear("a", { _tag: "Settle", signature: 0, ask: false })
    assert.deepEqual(bench.tags(), ["Discard"])
  })

  test("names that are left outside after a conflict follow their slot to its holder", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    const name = mover(["a"], ["a", "b"])
    const slot = Ring.slot(name)
    bench.theirs("b", [{ _tag: "Grant", slot, generation: 5 }])
    bench.name(name, 3)
    bench.step({ _tag: "GrantLost", slot })
    bench.now += Supervision.timing.retryMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.sent(), [["b", "Offer"]])
    assert.equal(bench.state.outgoing.get(slot)?.generation, 6)
    const holder = new Bench("b")
    holder.ring(["a", "b"])
    Registry.step(holder.registry, { _tag: "Grant", slot, generation: 5 })
    receive(holder, "a", slot, 6)
    assert.equal(Registry.grant(holder.registry, slot)?.generation, 6)
  })
})

describe("leaving", () => {
  test("is over when everything is handed over, and not before", () => {
    const { bench, slot, generation } = offered((bench) => {
      bench.step({ _tag: "Leave" })
      bench.step({ _tag: "Ring", members: [{ id: "b", weight: 1 }] })
      bench.now += 50
      bench.step({ _tag: "Tick" })
      bench.agree("b")
    })
    assert.ok(!bench.tags().includes("Drained"))
    bench.hear("b", { _tag: "Accept", slot, generation })
    const freeze = bench.outputs.find(({ _tag }) => _tag === "Freeze")
    assert.ok(freeze?._tag === "Freeze" && freeze.leaving)
    bench.step({ _tag: "Captured", slot, names: freeze.names })
    bench.hear("b", { _tag: "Installed", slot, generation })
    assert.ok(!bench.tags().includes("Drained"))
    bench.hear("b", { _tag: "Done", slot, generation })
    assert.deepEqual(bench.outputs.at(-1), { _tag: "Drained", left: 0 })
  })

  test("gives up after its time, and at once when nobody else is there", () => {
    const { bench } = offered((one) => one.step({ _tag: "Leave" }))
    bench.now += Supervision.timing.leaveMaxMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.outputs.at(-1), { _tag: "Drained", left: 1 })
    bench.step({ _tag: "Tick" })
    assert.ok(!bench.tags().includes("Drained"))
    const alone = new Bench("a")
    alone.ring(["a"])
    alone.ask(3)
    alone.step({ _tag: "Leave" })
    alone.step({ _tag: "Ring", members: [] })
    assert.deepEqual(alone.outputs.at(-1), { _tag: "Drained", left: 1 })
  })
})
