import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Registry from "../../src/core/registry.ts"
import * as Supervision from "../../src/core/supervision.ts"
import { Bench, nameIn, slotOf, word } from "./bench.ts"

const PROPS: Registry.Props = { version: 3, bytes: new Uint8Array([1, 2]) }

describe("takeover", () => {
  const put = (name: string, generation: number): Registry.Op => {
    const meta = new Uint8Array([7])
    return { _tag: "Put", name, generation, pid: 1, time: 1, meta, props: PROPS, sticky: false }
  }

  test("the heir takes a slot with its names, and once, and nobody else does", () => {
    for (const owner of ["a", "b"]) {
      const slot = slotOf(owner, ["a", "b"])
      const name = nameIn(slot)
      const mine = owner === "a"
      const bench = new Bench("a")
      bench.ring(["a", "b", "c"])
      bench.theirs("c", [{ _tag: "Grant", slot, generation: 4 }, put(name, 6)])
      const orphans = taken(bench)
      const meta = new Uint8Array([7])
      const expected = [{ name, generation: 7, meta, props: PROPS, sticky: false }]
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
    bench.theirs("c", [{ _tag: "Grant", slot, generation: 1 }, put(nameIn(slot), 1)])
    const members = ["a", "b", "c", "d"].map((id) => ({ id, weight: 1 }))
    bench.step({ _tag: "Ring", members })
    Registry.step(bench.registry, { _tag: "MemberDown", now: 0, name: "c", epoch: 1 })
    bench.step({ _tag: "Down", peer: "c" })
    bench.now += Supervision.timing.downMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.tags(), [])
  })

  test("who knows of what the heir hasn't taken tells it, a few times, and never takes it", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = bereaved(slot)
    bench.agree("b")
    const meta = new Uint8Array([7])
    const name = { name: nameIn(slot), generation: 1, meta, props: PROPS, sticky: false }
    let tells = 0
    for (let i = 0; i < 20; i++) {
      bench.now += Supervision.timing.retryMillis
      bench.step({ _tag: "Tick" })
      assert.ok(!bench.tags().includes("Takeover"))
      const message = { _tag: "Orphans", slot, generation: 1, names: [name] } as const
      for (const output of bench.outputs)
        if (output._tag === "Send" && output.message._tag === "Orphans") {
          assert.deepEqual(output, { _tag: "Send", to: "b", message })
          tells++
        }
    }
    assert.equal(tells, 8)
  })

  test("nobody is told before it has said what it took, or its time is up", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = bereaved(slot)
    const { retryMillis, settleMaxMillis } = Supervision.timing
    const forced = bench.now + 2 * settleMaxMillis
    while (bench.now + retryMillis < forced) {
      bench.now += retryMillis
      bench.step({ _tag: "Tick" })
      assert.deepEqual(bench.sent(), [])
    }
    for (let i = 0; i < 3 && bench.sent().length === 0; i++) {
      bench.now += retryMillis
      bench.step({ _tag: "Tick" })
    }
    assert.deepEqual(bench.sent(), [["b", "Orphans"]])
  })

  test("an heir that is told takes over, with a higher generation, and only what nobody serves", () => {
    const slot = slotOf("a", ["a", "b"])
    const name = nameIn(slot)
    const tell = (bench: Bench): ReadonlyArray<Supervision.Output> =>
      bench.hear("b", {
        _tag: "Orphans",
        slot,
        generation: 3,
        names: [{ name, generation: 2, meta: undefined }],
      })
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    const orphans = [{ name, generation: 4, meta: undefined }]
    assert.deepEqual(tell(bench), [{ _tag: "Takeover", from: "b", orphans }])
    assert.equal(Registry.grant(bench.registry, slot)?.generation, 4)
    bench.name(name, 4)
    bench.step({ _tag: "Started", slot })
    assert.deepEqual(tell(bench), [])
  })

  test("a slot without names is told of and taken as well: starts in it wait for that", () => {
    const slot = slotOf("b", ["a", "b"])
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [{ _tag: "Grant", slot, generation: 3 }])
    assert.deepEqual(taken(bench), [])
    bench.agree("b")
    bench.now += Supervision.timing.retryMillis
    bench.step({ _tag: "Tick" })
    assert.deepEqual(bench.sent(), [["b", "Orphans"]])
    const own = slotOf("a", ["a", "b"])
    const heir = new Bench("a")
    heir.ring(["a", "b"])
    const message = { _tag: "Orphans", slot: own, generation: 3, names: [] } as const
    assert.deepEqual(heir.hear("b", message), [])
    assert.equal(Registry.grant(heir.registry, own)?.generation, 4)
  })

  test("what has been served and ended since isn't taken over, nor what is another's, nor too early", () => {
    const slot = slotOf("a", ["a", "b"])
    const name = nameIn(slot)
    const message = {
      _tag: "Orphans",
      slot,
      generation: 3,
      names: [{ name, generation: 1, meta: undefined }],
    } as const
    const served = new Bench("a")
    served.ring(["a", "b", "c"])
    served.theirs("c", [{ _tag: "Grant", slot, generation: 1 }, put(name, 1)])
    assert.equal((taken(served) as ReadonlyArray<unknown>).length, 1)
    served.agree("b")
    served.name(name, 2)
    Registry.step(served.registry, { _tag: "Delete", name })
    assert.deepEqual(served.hear("b", message), [])
    const others = new Bench("a")
    others.ring(["a", "b"])
    others.theirs("b", [{ _tag: "Grant", slot, generation: 5 }])
    assert.deepEqual(others.hear("b", message), [])
    const early = new Bench("a")
    early.ring(["a", "b"], false)
    assert.deepEqual(early.hear("b", message), [])
  })

  /** One that knows of a name of c's in a slot of b's; c is down, and b has agreed on the ring without it. */
  function bereaved(slot: number): Bench {
    const bench = new Bench("a")
    bench.ring(["a", "b", "c"])
    bench.theirs("c", [{ _tag: "Grant", slot, generation: 1 }, put(nameIn(slot), 1)])
    assert.deepEqual(taken(bench), [])
    return bench
  }

  test("states that had been installed are served, committed or not, when their sender is gone", () => {
    for (const released of [false, true]) {
      const bench = new Bench("a")
      bench.ring(["a", "b"])
      const slot = slotOf("a", ["a", "b"])
      const name = nameIn(slot)
      bench.theirs("b", [{ _tag: "Grant", slot, generation: 1 }, put(name, 1)])
      bench.hear("b", { _tag: "Offer", slot, generation: 2 })
      bench.step({ _tag: "Restored", slot, generation: 2, ok: true })
      if (released)
        bench.theirs("b", [
          { _tag: "Delete", name, reason: "" },
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
