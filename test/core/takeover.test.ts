import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Registry from "../../src/core/registry.ts"
import * as Supervision from "../../src/core/supervision.ts"
import { Bench, nameIn, slotOf, word } from "./bench.ts"

describe("takeover", () => {
  const put = (name: string, generation: number): Registry.Op => {
    return { _tag: "Put", name, generation, pid: 1, time: 1, meta: new Uint8Array([7]) }
  }

  test("the first live node of the recorded list takes a slot with its names, and once", () => {
    const slot = slotOf("a", ["a", "b"])
    const name = nameIn(slot)
    for (const [takeover, mine] of [
      [["d", "a", "b"], true],
      [["b", "a"], false],
      [[], true],
    ] as const) {
      const bench = new Bench("a")
      bench.ring(["a", "b", "c"])
      bench.theirs("c", [{ _tag: "Grant", slot, generation: 4, takeover }, put(name, 6)])
      const orphans = taken(bench)
      const expected = [{ name, generation: 7, meta: new Uint8Array([7]) }]
      assert.deepEqual(orphans, mine ? expected : [])
      assert.equal(Registry.grant(bench.registry, slot)?.generation, mine ? 7 : undefined)
      bench.now += 100
      bench.step({ _tag: "Tick" })
      assert.ok(!bench.tags().includes("Takeover"))
    }
  })

  test("nothing is taken over while another ring is coming", () => {
    const slot = slotOf("a", ["a", "b"])
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [
      { _tag: "Grant", slot, generation: 1, takeover: ["a"] },
      put(nameIn(slot), 1),
    ])
    const members = ["a", "b", "c", "d"].map((id) => ({ id, weight: 1 }))
    bench.step({ _tag: "Ring", members })
    Registry.step(bench.registry, { _tag: "MemberDown", now: 0, name: "c", epoch: 1 })
    bench.step({ _tag: "Down", peer: "c" })
    bench.now += Supervision.timing.downMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.tags(), [])
  })

  test("what the heir doesn't take, as it hasn't heard of it, the next in the ranking takes", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [
      { _tag: "Grant", slot, generation: 1, takeover: ["b"] },
      put(nameIn(slot), 1),
    ])
    assert.deepEqual(taken(bench), [])
    bench.agree("b")
    bench.now += Supervision.timing.retryMillis
    bench.step({ _tag: "Tick" })
    assert.ok(bench.tags().includes("Takeover"))
  })

  test("nobody takes what is another's before that one has said what it took, or its time is up", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [
      { _tag: "Grant", slot, generation: 1, takeover: ["b"] },
      put(nameIn(slot), 1),
    ])
    assert.deepEqual(taken(bench), [])
    const { retryMillis, settleMaxMillis } = Supervision.timing
    const forced = bench.now + 2 * settleMaxMillis
    while (bench.now + retryMillis < forced) {
      bench.now += retryMillis
      bench.step({ _tag: "Tick" })
      assert.ok(!bench.tags().includes("Takeover"))
    }
    for (let i = 0; i < 3; i++) {
      bench.now += retryMillis
      bench.step({ _tag: "Tick" })
      if (bench.tags().includes("Takeover")) return
    }
    assert.fail("it was never taken over")
  })

  test("a name that the heir of its slot hasn't heard of is taken by who has, and handed on", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [
      { _tag: "Grant", slot, generation: 1, takeover: ["b"] },
      put(nameIn(slot), 1),
    ])
    assert.deepEqual(taken(bench), [])
    bench.agree("b")
    bench.theirs("b", [{ _tag: "Grant", slot, generation: 2, takeover: [] }])
    bench.now += Supervision.timing.retryMillis
    bench.step({ _tag: "Tick" })
    assert.ok(bench.tags().includes("Takeover"))
    bench.name(nameIn(slot), 2)
    bench.step({ _tag: "Started", slot })
    bench.now += Supervision.timing.retryMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.sent(), [["b", "Offer"]])
  })

  test("states that had been installed are served, committed or not, when their sender is gone", () => {
    for (const released of [false, true]) {
      const bench = new Bench("a")
      bench.ring(["a", "b"])
      const slot = slotOf("a", ["a", "b"])
      const name = nameIn(slot)
      bench.theirs("b", [{ _tag: "Grant", slot, generation: 1, takeover: ["a"] }, put(name, 1)])
      bench.hear("b", { _tag: "Offer", slot, generation: 2 })
      bench.step({ _tag: "Restored", slot, generation: 2, ok: true })
      if (released)
        bench.theirs("b", [
          { _tag: "Delete", name },
          { _tag: "Release", slot },
        ])
      const orphans = taken(bench, "b", ["a"])
      assert.deepEqual(orphans, [])
      assert.ok(bench.tags().includes("Activate"), `released: ${released}`)
      assert.ok(bench.tags().includes("Open"))
      assert.equal(Registry.grant(bench.registry, slot)?.generation, 2)
    }
  })

  test("a name that belongs to its process is nobody's to take", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [put("bound", 1), put("/bound", 1)])
    assert.deepEqual(taken(bench), [])
    bench.now += 60_000
    bench.step({ _tag: "Tick" })
    assert.ok(!bench.tags().includes("Takeover"))
  })
})

/** What the bench takes over when this peer goes down and the others agree. */
function taken(
  bench: Bench,
  gone: string = "c",
  rest: ReadonlyArray<string> = ["a", "b"],
): unknown {
  const { now } = bench
  Registry.step(bench.registry, { _tag: "MemberDown", now, name: gone, epoch: 1 })
  bench.step({ _tag: "Down", peer: gone })
  bench.step({ _tag: "LinkDown", peer: gone })
  const all: Array<Supervision.Output> = []
  bench.step({ _tag: "Ring", members: rest.map((id) => ({ id, weight: 1 })) })
  bench.now += 50
  all.push(...bench.step({ _tag: "Tick" }))
  for (const peer of rest) {
    if (peer === "a") continue
    const message = { _tag: "Settle", signature: word(bench), ask: false } as const
    all.push(...bench.hear(peer, message))
  }
  bench.outputs = all
  return all.flatMap((output) => (output._tag === "Takeover" ? output.orphans : []))
}
