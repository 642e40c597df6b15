import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { hash32 } from "../../src/core/hash.ts"
import { EVERYBODY_MAX, OBSERVERS_MAX, observersOf, subjectsOf } from "../../src/core/observers.ts"

describe("observersOf", () => {
  test("14. Observers are a function of the set of members", () => {
    const sets = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), {
      minLength: 1,
      maxLength: 40,
    })
    fc.assert(
      fc.property(sets, fc.nat(1000), (view, turn) => {
        const turned = [...view.slice(turn % view.length), ...view.slice(0, turn % view.length)]
        const without = view.slice(1)
        const member = view[0] as string
        assert.deepEqual(observersOf(turned.reverse(), member), observersOf(view, member))
        assert.deepEqual(observersOf(without, member), observersOf(view, member))
      }),
    )
  })

  test("14. Up to nine members observe each other; above, each one has up to eight observers", () => {
    for (let size = 1; size <= 40; size++) {
      const view = members(size)
      for (const member of view) {
        const observers = observersOf(view, member)
        const others = view.filter((name) => name !== member)
        if (size <= EVERYBODY_MAX) assert.deepEqual(observers, others.sort())
        assert.ok(observers.length >= Math.min(1, others.length))
        assert.ok(observers.length <= OBSERVERS_MAX)
        assert.ok(!observers.includes(member))
        assert.deepEqual(observers, [...new Set(observers)].sort())
      }
    }
  })

  test("14. Everybody observes somebody, and the overlay hangs together", () => {
    for (const size of [10, 17, 32, 100]) {
      const view = members(size)
      const edges = view.flatMap((name) => observersOf(view, name).map((other) => [other, name]))
      assert.equal(new Set(edges.map(([observer]) => observer)).size, size)
      const reached = new Set([view[0]])
      for (const from of reached) for (const [a, b] of edges) if (a === from) reached.add(b)
      assert.equal(reached.size, size)
    }
  })

  test("14. A join changes at most three edges per ring", () => {
    for (const size of [10, 31, 64]) {
      const before = edgesOf(members(size))
      const after = edgesOf([...members(size), "newcomer"])
      const gone = [...before].filter((edge) => !after.has(edge))
      const fresh = [...after].filter((edge) => !before.has(edge))
      assert.ok(gone.length + fresh.length <= 3 * OBSERVERS_MAX, `${gone.length + fresh.length}`)
      assert.ok(fresh.length > 0)
    }
  })
})

describe("subjectsOf", () => {
  test("are those whose observer one is", () => {
    const sets = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), {
      minLength: 1,
      maxLength: 30,
    })
    fc.assert(
      fc.property(sets, (view) => {
        for (const self of view) {
          const others = view.filter((name) => name !== self)
          const placed = others.map((name) => ({ name, place: hash32(name) }))
          assert.deepEqual(
            [...subjectsOf(placed, self)].map(({ name }) => name).sort(),
            others.filter((name) => observersOf(view, name).includes(self)).sort(),
          )
        }
      }),
    )
  })
})

function members(size: number): Array<string> {
  return Array.from({ length: size }, (_, i) => `node-${i}`)
}

function edgesOf(view: ReadonlyArray<string>): ReadonlySet<string> {
  return new Set(view.flatMap((name) => observersOf(view, name).map((other) => `${other}>${name}`)))
}
