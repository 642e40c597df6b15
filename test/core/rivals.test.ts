/** Conflicts that a function decides. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Entry, Resolver } from "../../src/core/registry.ts"
import type { World } from "./registries.ts"
import * as Registries from "./registries.ts"

const NAME = "count/x"

/** Resolvers by which nobody keeps the name. */
const destructive: Readonly<Record<string, Resolver>> = {
  "names neither": () => undefined,
  "names a third": (a) => ({ ...a }),
  throws: () => {
    throw new Error("planned")
  },
}

/** Each beats one of the two others. */
const circular: Resolver = (a, b) => ((worth(a) + 1) % 3 === worth(b) ? a : b)

/** Can't do with what is worth nothing. */
const brittle: Resolver = (a, b) => {
  if (worth(a) * worth(b) === 0) throw new Error("planned")
  return worth(a) > worth(b) ? a : b
}

describe("a resolver", () => {
  test("S2. picks a claim by its metadata: that one stays on all nodes, and the others are told", () => {
    for (const order of orders(3)) {
      const world = rivals(Registries.dearest, [2, 7, 5])
      arrive(world, order)
      assert.deepEqual(Registries.holders(world, NAME), ["b", "b", "b", "b"])
      for (const name of ["a", "c"]) {
        const { lost } = Registries.site(world, name)
        assert.equal(lost.length, 1, name)
        const [told] = lost
        assert.ok(told?._tag === "Lost" && told.entry.table.owner === name)
      }
    }
  })

  for (const [what, resolver] of Object.entries(destructive)) {
    test(`S2. that ${what} takes the name from everybody, whoever hears of whom first`, () => {
      for (const claims of [2, 3]) {
        for (const order of orders(claims)) {
          const world = rivals(
            resolver,
            Array.from({ length: claims }, () => 1),
          )
          arrive(world, order)
          assert.deepEqual(new Set(Registries.holders(world, NAME)), new Set([undefined]))
          for (const { state, lost, held } of [...world.sites.values()].slice(0, claims)) {
            assert.equal(lost.length, 1)
            assert.equal(held.size, 0)
            assert.equal(state.self.names, 0)
          }
        }
      }
    })
  }

  test("is asked only about claims of equal generation, and always in the order of their owners", () => {
    const asked: Array<string> = []
    const world = Registries.create(3, (a, b) => {
      // An assertion would be taken for a resolver that can't tell.
      asked.push(`${a.table.owner}${b.table.owner}`)
      return undefined
    })
    Registries.settle(world)
    for (const [i, name] of ["c", "a", "b"].entries()) Registries.put(world, name, NAME, 3 - i)
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, NAME), ["c", "c", "c"])
    assert.deepEqual(asked, [])
    for (const name of ["c", "a", "b"]) Registries.put(world, name, "count/y")
    Registries.settle(world)
    assert.deepEqual(new Set(asked), new Set(["ab", "ac", "bc"]))
  })

  test("is asked again when metadata changes while the claims meet: two never both keep the name", () => {
    // b hears of a's claim, and only then that it is worth more; a knows so when it hears of b's.
    const world = Registries.create(2, Registries.dearest)
    Registries.settle(world)
    Registries.put(world, "a", NAME, 1, undefined, 1)
    Registries.step(world, "a", { _tag: "Flush" })
    Registries.describe(world, "a", NAME, 9)
    Registries.step(world, "a", { _tag: "Flush" })
    Registries.put(world, "b", NAME, 1, undefined, 5)
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, NAME), ["a", "a"])
    assert.equal(Registries.site(world, "b").lost.length, 1)
  })

  test("that lets claims beat each other in a circle, or can't tell, leaves all with the same", () => {
    const move = fc.tuple(fc.constantFrom("put", "describe", "flush"), fc.nat(3), fc.nat(3))
    const deliver = fc.tuple(fc.constantFrom("deliver", "drop"), fc.nat(99), fc.constant(0))
    const resolver = fc.constantFrom(circular, brittle, ...Object.values(destructive))
    const moves = fc.array(fc.oneof(move, deliver), { maxLength: 60, size: "max" })
    fc.assert(
      fc.property(resolver, moves, (rule, list) => {
        const world = Registries.create(4, rule, false)
        Registries.settle(world)
        for (const [what, a, b] of list) act(world, what, a, b)
        Registries.settle(world)
        const keepers = [...world.sites].flatMap(([name, { held }]) => (held.has(NAME) ? name : []))
        assert.ok(keepers.length <= 1, keepers.join())
        assert.deepEqual(new Set(Registries.holders(world, NAME)), new Set([keepers[0]]))
      }),
      { numRuns: 500 },
    )
  })
})

function worth({ props }: Entry): number {
  return props?.bytes[0] ?? 0
}

/** Nodes that claim the same name with metadata of these worths, before anybody hears of anybody; one more. */
function rivals(resolver: Resolver, worths: ReadonlyArray<number>): World {
  const world = Registries.create(worths.length + 1, resolver)
  Registries.settle(world)
  for (const [i, own] of worths.entries()) {
    const name = String.fromCharCode(97 + i)
    Registries.put(world, name, NAME, 1, undefined, own)
    Registries.step(world, name, { _tag: "Flush" })
  }
  return world
}

/** Each message arrives when all of the nodes that come before its sender in this order have been heard. */
function arrive(world: World, order: ReadonlyArray<number>): void {
  const rank = (name: string): number => order.indexOf(name.charCodeAt(0) - 97)
  for (const flight of world.flights.splice(0).sort((a, b) => rank(a.from) - rank(b.from)))
    Registries.deliver(world, flight)
  Registries.settle(world)
}

/** All orders of so many. */
function orders(count: number): ReadonlyArray<ReadonlyArray<number>> {
  if (count === 0) return [[]]
  return orders(count - 1).flatMap((order) =>
    Array.from({ length: count }, (_, at) => [
      ...order.slice(0, at),
      count - 1,
      ...order.slice(at),
    ]),
  )
}

function act(world: World, what: string, a: number, b: number): void {
  const name = String.fromCharCode(97 + (a % 4))
  if (what === "put") return Registries.put(world, name, NAME, 1, undefined, b)
  if (what === "describe") return Registries.describe(world, name, NAME, b)
  if (what === "flush") return Registries.step(world, name, { _tag: "Flush" })
  for (const flight of world.flights.splice(a % Math.max(1, world.flights.length), 1))
    if (what === "deliver") Registries.deliver(world, flight)
}
