import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Registry from "../../src/core/registry.ts"
import * as Ring from "../../src/core/ring.ts"
import * as Supervision from "../../src/core/supervision.ts"
import { Bench, committed, slotOf, word } from "./bench.ts"

describe("a start", () => {
  const ids = ["a", "b", "c"]

  test("is granted to the ring owner, once, in a slot that nobody holds", () => {
    const bench = new Bench("a")
    bench.ring(ids)
    const slot = slotOf("a", ids)
    assert.deepEqual(bench.ask(slot).at(-1), { _tag: "Granted", id: 1, slot, generation: 1 })
    const grant = Registry.grant(bench.registry, slot)
    assert.equal(grant?.table.owner, "a")
    const { seq } = bench.registry.self
    bench.ask(slot, 2)
    assert.equal(bench.registry.self.seq, seq)
    assert.deepEqual(bench.tags(), ["Granted"])
  })

  test("is sent on to the holder of its slot, else to the ring owner", () => {
    const bench = new Bench("a")
    bench.ring(ids)
    const own = slotOf("a", ids)
    bench.theirs("c", [{ _tag: "Grant", slot: own, generation: 3 }])
    assert.deepEqual(bench.ask(own), [{ _tag: "Forward", id: 1, to: "c" }])
    assert.deepEqual(bench.ask(slotOf("b", ids)), [{ _tag: "Forward", id: 1, to: "b" }])
  })

  test("is denied when there is no ring, and when there is no such slot", () => {
    const bench = new Bench("a")
    for (const slot of [0, -1, Ring.SLOTS, Number.NaN])
      assert.deepEqual(bench.ask(slot)[0], { _tag: "Denied", id: 1 })
    bench.ring(ids)
    assert.deepEqual(bench.ask(-1), [{ _tag: "Denied", id: 1 }])
  })

  test("waits until everybody computes with the ring, and has taken over what it is heir of", () => {
    const bench = new Bench("a")
    bench.ring(ids, false)
    const slot = slotOf("a", ids)
    assert.deepEqual(bench.ask(slot), [])
    const first = word(bench)
    bench.hear("b", { _tag: "Settle", signature: first, ask: false })
    assert.deepEqual(bench.tags(), [])
    bench.hear("c", { _tag: "Settle", signature: first, ask: false })
    assert.deepEqual(bench.tags(), [])
    const last = word(bench)
    assert.notEqual(last, first)
    bench.hear("b", { _tag: "Settle", signature: last, ask: false })
    assert.deepEqual(bench.tags(), [])
    bench.hear("c", { _tag: "Settle", signature: last, ask: false })
    assert.deepEqual(bench.tags(), ["Granted", "Settled"])
  })

  test("waits no longer than it must for somebody who doesn't say anything", () => {
    const bench = new Bench("a")
    bench.ring(ids, false)
    const slot = slotOf("a", ids)
    bench.agree("b")
    bench.ask(slot)
    const { settleMaxMillis } = Supervision.timing
    const end = bench.state.changedAt + 2 * settleMaxMillis
    for (; bench.now < end - 1; bench.now = Math.min(end - 1, Supervision.wakeAt(bench.state)))
      assert.ok(!bench.step({ _tag: "Tick" }).some(({ _tag }) => _tag === "Granted"))
    bench.now = end
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.tags(), ["Granted", "Settled"])
  })

  test("waits while another ring is coming, and goes on when it doesn't come", () => {
    const bench = new Bench("a")
    bench.ring(ids)
    const members = ids.map((id) => ({ id, weight: 1 }))
    bench.step({ _tag: "Ring", members: [...members, { id: "d", weight: 1 }] })
    assert.deepEqual(bench.ask(slotOf("a", ids)), [])
    bench.step({ _tag: "Ring", members })
    assert.deepEqual(bench.tags(), ["Granted"])
  })

  test("waits in a slot that is on its way to another node, and is sent on to that one", () => {
    const { bench, slot, generation } = committed()
    assert.deepEqual(bench.ask(slot), [])
    bench.theirs("b", [{ _tag: "Grant", slot, generation }])
    bench.hear("b", { _tag: "Done", slot, generation })
    assert.deepEqual(bench.tags(), ["Forget", "Forward"])
  })

  test("waits in a slot that comes from another node until that is done, or off", () => {
    const bench = new Bench("b")
    bench.ring(["a", "b"])
    const slot = slotOf("b", ["a", "b"])
    bench.hear("a", { _tag: "Offer", slot, generation: 2 })
    assert.deepEqual(bench.ask(slot), [])
    bench.hear("a", { _tag: "Cancel", slot, generation: 2 })
    assert.deepEqual(bench.tags(), ["Discard", "Granted"])
  })

  test("waits in a slot that a dead node held until somebody has taken it over", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    const slot = slotOf("a", ["a", "b"])
    bench.theirs("c", [{ _tag: "Grant", slot, generation: 4 }])
    Registry.step(bench.registry, { _tag: "MemberDown", now: 0, name: "c", epoch: 1 })
    bench.step({ _tag: "Down", peer: "c" })
    bench.ring(["a", "b"], false)
    assert.ok(!bench.ask(slot).some(({ _tag }) => _tag === "Granted"))
    // With the word of the other one it is taken over: by the one that was asked.
    bench.hear("b", { _tag: "Settle", signature: word(bench), ask: false })
    const granted = { _tag: "Granted", id: 1, slot, generation: 5 } as const
    assert.deepEqual(
      bench.outputs.filter(({ _tag }) => _tag === "Granted"),
      [granted],
    )
  })
})

describe("the word of a ring", () => {
  test("isn't enough: what its speaker had written before has to be here as well", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    const slot = slotOf("a", ["a"])
    // Back after a partition: its table is shown as it was, and lists more than that.
    Registry.step(bench.registry, { _tag: "MemberDown", now: 0, name: "b", epoch: 1 })
    bench.step({ _tag: "Down", peer: "b" })
    bench.ring(["a"])
    Registry.step(bench.registry, { _tag: "MemberUp", now: bench.now, name: "b", epoch: 1 })
    const settles = (): boolean => {
      bench.now += 200
      bench.step({ _tag: "Tick" })
      bench.agree("b")
      bench.agree("b")
      return Supervision.quiet(bench.state)
    }
    bench.step({ _tag: "Ring", members: ["a", "b"].map((id) => ({ id, weight: 1 })) })
    assert.ok(!settles())
    const tables = [{ owner: "b", epoch: 1, seq: 1 }]
    const message = { _tag: "Tables", tables, answer: false } as const
    Registry.step(bench.registry, { _tag: "Message", now: bench.now, from: "b", message })
    assert.ok(!settles())
    // An offer that comes meanwhile is answered when it is known what there is.
    bench.hear("b", { _tag: "Offer", slot, generation: 2 })
    assert.deepEqual(bench.sent(), [])
    bench.theirs("b", [{ _tag: "Grant", slot, generation: 1 }])
    assert.ok(Supervision.wakeAt(bench.state) <= bench.now + 10)
    assert.ok(settles())
  })

  test("a member that starts again under its name is somebody else: the ring is settled anew", () => {
    const bench = new Bench("a")
    const ids = ["a", "b"]
    bench.ring(ids)
    const before = word(bench)
    Registry.step(bench.registry, { _tag: "MemberUp", now: 0, name: "b", epoch: 2 })
    bench.step({ _tag: "Ring", members: ids.map((id) => ({ id, weight: 1 })) })
    bench.now += 200
    bench.step({ _tag: "Tick" })
    assert.ok(!Supervision.quiet(bench.state))
    assert.notEqual(word(bench), before)
    bench.listed("b")
    bench.agree("b")
    assert.ok(Supervision.quiet(bench.state))
  })

  test("so is this node itself when it had to take another epoch", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    Registry.step(bench.registry, { _tag: "Epoch", epoch: 7 })
    bench.step({ _tag: "Tick" })
    assert.ok(!Supervision.quiet(bench.state))
  })

  test("counts only from this link on: what was said on the one before is forgotten", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    bench.step({ _tag: "LinkDown", peer: "b" })
    bench.step({ _tag: "LinkUp", peer: "b" })
    bench.step({ _tag: "Slept" })
    assert.ok(!Supervision.quiet(bench.state))
    bench.agree("b")
    assert.ok(Supervision.quiet(bench.state))
    // The same ring again after another one, and no word since.
    bench.step({ _tag: "LinkDown", peer: "b" })
    for (const ids of [["a"], ["a", "b"]]) {
      bench.step({ _tag: "Ring", members: ids.map((id) => ({ id, weight: 1 })) })
      bench.now += 200
      bench.step({ _tag: "Tick" })
    }
    assert.ok(!Supervision.quiet(bench.state))
  })
})
