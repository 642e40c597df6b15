import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Slots from "../../src/core/slots.ts"

const A: Slots.Weighted = { id: "a", weight: 1 }
const B: Slots.Weighted = { id: "b", weight: 1 }
const C: Slots.Weighted = { id: "c", weight: 1 }

describe("equal scores", () => {
  const a = Slots.tabulate([A], Slots.draw([A]), undefined)
  const b = Slots.tabulate([B], Slots.draw([B]), undefined)
  const both = [A, B]

  test("go to the lower id, in tables made from nothing and in rankings", () => {
    const seeds = Int32Array.of(5, 5, 5)
    const draws = { holders: Uint32Array.of(0, 1, 2), seeds, spreads: Int32Array.of(7, 7, 7) }
    const members = [...both, C]
    assert.ok(Slots.tabulate(members, draws, undefined).owners.every((index) => index === 0))
    assert.deepEqual([...Slots.rank(draws, 9, 2)], [0, 1])
    assert.deepEqual([...Slots.rank(draws, 9, 3)], [0, 1, 2])
  })

  test("go to the lower id in updated tables, whoever was there first", () => {
    for (const earlier of [
      { ...a, scores: b.scores },
      { ...b, scores: a.scores },
    ]) {
      const updated = Slots.tabulate(both, Slots.draw(both), earlier)
      assert.ok(updated.owners.every((index) => index === 0))
      assert.deepEqual(updated.scores, earlier.scores)
    }
  })
})
