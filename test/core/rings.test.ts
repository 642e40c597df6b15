import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Ring from "../../src/core/ring.ts"
import type { Host } from "../../src/core/rings.ts"
import * as Rings from "../../src/core/rings.ts"

const supervisors = ["", "sup", "s", "a-b.c", "Sup"]
const host: fc.Arbitrary<Host> = fc.record({
  id: fc.string({ minLength: 1, maxLength: 3 }),
  weight: fc.integer({ min: 1, max: 4 }),
  hosts: fc.uniqueArray(fc.constantFrom(...supervisors)),
})
const hosts = fc.uniqueArray(host, { selector: ({ id }) => id, maxLength: 8 })
/** What may be a key: with everything in it that has a meaning further left in a name. */
const key = fc.oneof(
  fc.string(),
  fc.constantFrom("", "a:b", "x/y", "a:b/c", ":", "@x/y:z", "~[1,2]"),
)

describe("the ring of a supervisor", () => {
  test("is that of the members that host it, and of nobody else", () => {
    fc.assert(
      fc.property(hosts, fc.constantFrom(...supervisors), key, (members, supervisor, one) => {
        const own = members.filter((member) => member.hosts?.includes(supervisor))
        const expected = Ring.make(own)
        const rings = Rings.make(members)
        const ring = Rings.of(rings, supervisor)
        assert.deepEqual(ring.members, expected.members)
        const name = nameOf(supervisor, one)
        assert.equal(Rings.owner(rings, name), Ring.owner(expected, name))
        assert.equal(Rings.ownerOfSlot(rings, Rings.slot(name)), Ring.owner(expected, name))
      }),
    )
  })

  test("is a function of the set of members, whatever their order and that of what they host", () => {
    fc.assert(
      fc.property(hosts, fc.infiniteStream(fc.nat()), key, (members, order, one) => {
        const others = shuffled(members, order).map((member) => ({
          ...member,
          hosts: shuffled(member.hosts ?? [], order),
        }))
        const [these, those] = [Rings.make(members), Rings.make(others)]
        assert.equal(Rings.signature(these), Rings.signature(those))
        assert.deepEqual(
          these.members.map(({ id }) => id),
          those.members.map(({ id }) => id),
        )
        for (const supervisor of supervisors) {
          const name = nameOf(supervisor, one)
          assert.equal(Rings.owner(these, name), Rings.owner(those, name))
        }
      }),
    )
  })

  test("is that of the default supervisor where a member doesn't say what it hosts", () => {
    const rings = Rings.make([
      { id: "b", weight: 2 },
      { id: "a", weight: 1, hosts: ["sup"] },
    ])
    assert.deepEqual(rings.main.members, [{ id: "b", weight: 2 }])
    assert.deepEqual(Rings.of(rings, "sup").members, [{ id: "a", weight: 1 }])
    assert.deepEqual(Rings.of(rings, "other").members, [])
    assert.equal(Rings.owner(rings, "other:count/x"), undefined)
    assert.equal(Rings.owner(rings, "count/x"), "b")
  })

  test("counts a member once that says twice that it hosts it", () => {
    const twice = Rings.make([{ id: "a", weight: 1, hosts: ["s", "", "s", ""] }])
    const once = Rings.make([{ id: "a", weight: 1, hosts: ["", "s"] }])
    assert.equal(Rings.signature(twice), Rings.signature(once))
    assert.deepEqual(Rings.of(twice, "s").members, [{ id: "a", weight: 1 }])
  })

  test("gives nothing to who hosts nothing, and doesn't count it as a member", () => {
    const rings = Rings.make([
      { id: "a", weight: 1, hosts: [] },
      { id: "b", weight: 1, hosts: ["sup"] },
    ])
    assert.ok(!Rings.has(rings, "a") && Rings.has(rings, "b"))
    assert.equal(Rings.signature(rings), Rings.signature(Rings.make(rings.members)))
    assert.equal(Rings.owner(rings, "count/x"), undefined)
    assert.equal(Rings.owner(rings, "sup:count/x"), "b")
  })
})

describe("the signature", () => {
  test("is that of the one ring where there are no supervisors", () => {
    fc.assert(
      fc.property(hosts, (members) => {
        const plain = members.map(({ id, weight }) => ({ id, weight }))
        assert.equal(Rings.signature(Rings.make(plain)), Ring.signature(Ring.make(plain)))
      }),
    )
  })

  test("tells rings apart that differ in anything", () => {
    const both = ["", "s"]
    const cases: ReadonlyArray<ReadonlyArray<Host>> = [
      [],
      [{ id: "a", weight: 1 }],
      [{ id: "a", weight: 1, hosts: ["s"] }],
      [{ id: "a", weight: 1, hosts: ["t"] }],
      [{ id: "a", weight: 1, hosts: both }],
      [{ id: "a", weight: 2, hosts: both }],
      [{ id: "b", weight: 1, hosts: both }],
      [{ id: "a", weight: 1, hosts: ["s", "t"] }],
      [
        { id: "a", weight: 1, hosts: both },
        { id: "b", weight: 1 },
      ],
      [
        { id: "a", weight: 1 },
        { id: "b", weight: 1, hosts: both },
      ],
      [
        { id: "a", weight: 1, hosts: both },
        { id: "b", weight: 1, hosts: ["s"] },
      ],
    ]
    const all = cases.map((members) => Rings.signature(Rings.make(members)))
    assert.equal(new Set(all).size, cases.length, all.join(" "))
    for (const one of all) assert.equal(one >>> 0, one)
  })
})

describe("the slot of a name", () => {
  test("belongs to its supervisor: slots of different ones are different", () => {
    fc.assert(
      fc.property(key, key, (one, other) => {
        const numbers = supervisors.map((supervisor) => {
          const slots = [one, other].map((each) => Rings.slot(nameOf(supervisor, each)))
          for (const slot of slots) {
            assert.ok(Rings.isSlot(slot), `${slot}`)
            assert.equal(Rings.numberOf(slot), Rings.number(supervisor))
          }
          return Rings.numberOf(slots[0] as number)
        })
        assert.equal(new Set(numbers).size, supervisors.length)
      }),
    )
  })

  test("is the one of the ring for names of the default supervisor", () => {
    fc.assert(
      fc.property(key, (one) => {
        const name = nameOf("", one)
        assert.equal(Rings.slot(name), Ring.slot(name))
        assert.equal(Rings.numberOf(Rings.slot(name)), 0)
      }),
    )
  })

  test("is spread over all slots by names of a named one as well", () => {
    const within = new Set<number>()
    for (let i = 0; i < 1_000; i++) within.add(Rings.slot(`sup:count/${i}`) % Ring.SLOTS)
    assert.ok(within.size > 980, `${within.size}`)
  })

  test("is a whole number below a bound, and nothing else is one", () => {
    for (const slot of [0, Ring.SLOTS, Rings.SLOTS_MAX - 1]) assert.ok(Rings.isSlot(slot))
    for (const wrong of [-1, 0.5, Rings.SLOTS_MAX, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY])
      assert.ok(!Rings.isSlot(wrong), `${wrong}`)
    assert.ok(Number.isSafeInteger(Rings.SLOTS_MAX))
    // Whoever hosts what: nobody has a slot of a supervisor that nobody has heard of.
    const rings = Rings.make([{ id: "a", weight: 1, hosts: supervisors }])
    for (const slot of [Rings.SLOTS_MAX - 1, Rings.slot("other:count/1")])
      assert.equal(Rings.ownerOfSlot(rings, slot), undefined)
  })
})

describe("the supervisor of a name", () => {
  test("stands before the colon, whatever the key is", () => {
    fc.assert(
      fc.property(fc.constantFrom(...supervisors), key, (supervisor, one) => {
        assert.equal(Rings.supervisorOf(nameOf(supervisor, one)), supervisor)
      }),
    )
  })

  test("is the default one of names that belong to their process or node", () => {
    for (const name of ["/x", "/a:b", "/a:b/c", "@count/a:b", "x", "a:b", ":", ":x", ""])
      assert.equal(Rings.supervisorOf(name), "", name)
  })
})

function nameOf(supervisor: string, one: string): string {
  return supervisor === "" ? `count/${one}` : `${supervisor}:count/${one}`
}

function shuffled<A>(list: ReadonlyArray<A>, order: Iterator<number>): ReadonlyArray<A> {
  return list
    .map((item) => [order.next().value as number, item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)
}
