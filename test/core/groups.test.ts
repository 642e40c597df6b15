import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Membership } from "../../src/core/groups.ts"
import * as Groups from "../../src/core/groups.ts"
import * as Table from "../../src/core/table.ts"

const OWNERS = ["a", "b", "c"] as const
const TABLES = OWNERS.map((owner) => Table.make(owner, 1))

/** A membership, as a test draws it: `owner` chooses among the tables. */
interface Drawn {
  readonly group: string
  readonly owner: number
  readonly pid: number
  readonly name: string
  readonly time: number
  readonly online: boolean
}

type Command = readonly ["insert" | "remove", Drawn]

const drawn: fc.Arbitrary<Drawn> = fc.record({
  group: fc.constantFrom("g", "h", "__proto__"),
  owner: fc.nat(OWNERS.length - 1),
  pid: fc.nat(12),
  name: fc.constantFrom("", "count/x", "count/y", "count/z"),
  time: fc.nat(20),
  online: fc.boolean(),
})
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant("insert" as const), drawn) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("remove" as const), drawn) },
)
/** Enough of them that groups are large at times. */
const commands = fc.array(command, { maxLength: 150, size: "max" })

/** The same written down naively. */
class Model {
  readonly all: Map<string, Membership> = new Map()

  members(group: string): ReadonlyArray<Membership> {
    return [...this.all.values()].filter((one) => one.group === group).sort(compare)
  }
}

function compare(a: Membership, b: Membership): number {
  if (a.time !== b.time) return a.time - b.time
  if (a.table.owner !== b.table.owner) return a.table.owner < b.table.owner ? -1 : 1
  return a.pid - b.pid
}

describe("groups", () => {
  test("hold what was entered and not taken out, by time, owner and process", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const groups = Groups.make()
        const model = new Model()
        for (const one of list) {
          act(groups, model, one)
          const { group } = one[1]
          const expected = model.members(group)
          assert.deepEqual([...Groups.members(groups, group)], expected)
          const online = expected.filter((member) => member.online)
          assert.deepEqual([...Groups.online(groups, group)], online)
        }
        const left = new Set([...model.all.values()].map(({ group }) => group))
        assert.deepEqual(new Set(Groups.all(groups)), left)
      }),
      { numRuns: 200 },
    )
  })

  test("find every member and nobody else, and say what was there before", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const groups = Groups.make()
        const model = new Model()
        // What was there before is checked by `act`.
        for (const one of list) act(groups, model, one)
        for (const group of ["g", "h", "__proto__", "none"])
          for (const owner of [...OWNERS, "z"])
            for (let pid = 0; pid <= 13; pid++) {
              const expected = model.all.get(idOf(group, owner, pid))
              assert.equal(Groups.find(groups, group, owner, pid), expected)
            }
      }),
      { numRuns: 100 },
    )
  })

  test("of one owner are told apart from those of others", () => {
    fc.assert(
      fc.property(commands, (list) => {
        const groups = Groups.make()
        const model = new Model()
        for (const one of list) act(groups, model, one)
        for (const table of TABLES) {
          const own = [...model.all.values()].filter((one) => one.table === table)
          // The registry counts them, and nobody looks for those of a table that has none.
          table.memberships = own.length
          assert.deepEqual(new Set(Groups.ofTable(groups, table)), new Set(own))
          table.memberships = 0
        }
      }),
    )
  })

  test("aren't there before anybody has joined, and no more once everybody has quit", () => {
    const groups = Groups.make()
    assert.deepEqual(Groups.members(groups, "g"), [])
    assert.deepEqual(Groups.online(groups, "g"), [])
    assert.deepEqual(Groups.rank(groups, "g", "key", 2), [])
    assert.equal(Groups.remove(groups, "g", "a", 1), undefined)
    const member = memberOf({ group: "g", owner: 0, pid: 1, name: "", time: 1, online: true })
    assert.equal(Groups.insert(groups, member), undefined)
    assert.equal(Groups.remove(groups, "g", "b", 1), undefined)
    assert.equal(Groups.remove(groups, "g", "a", 1), member)
    assert.deepEqual([...Groups.all(groups)], [])
  })
})

describe("the ranking of a key", () => {
  const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`)

  test("has so many distinct online members, or all of them when there are fewer", () => {
    fc.assert(
      fc.property(commands, fc.string(), fc.integer({ min: 1, max: 40 }), (list, key, count) => {
        const groups = Groups.make()
        const model = new Model()
        for (const one of list) act(groups, model, one)
        const online = model.members("g").filter((member) => member.online)
        const ranked = Groups.rank(groups, "g", key, count)
        assert.equal(ranked.length, Math.min(count, online.length))
        assert.equal(new Set(ranked).size, ranked.length)
        for (const member of ranked) assert.ok(online.includes(member))
        // Fewer are the first of more.
        assert.deepEqual(Groups.rank(groups, "g", key, count + 1).slice(0, count), ranked)
      }),
    )
  })

  test("is the same whoever hears of the members in whatever order, and who else was there before", () => {
    fc.assert(
      fc.property(commands, fc.infiniteStream(fc.nat()), fc.string(), (list, order, key) => {
        const groups = Groups.make()
        const model = new Model()
        for (const one of list) act(groups, model, one)
        const others = Groups.make()
        const again = [...model.all.values()]
          .map((member) => [order.next().value as number, member] as const)
          .sort(([a], [b]) => a - b)
        for (const [, member] of again) Groups.insert(others, member)
        for (const group of ["g", "h"])
          assert.deepEqual(
            Groups.rank(groups, group, key, 100),
            Groups.rank(others, group, key, 100),
          )
      }),
      { numRuns: 200 },
    )
  })

  test("is empty for none, and for a number that is none", () => {
    const groups = grown(3)
    for (const count of [0, -1, 0.9, Number.NaN]) {
      assert.deepEqual(Groups.rank(groups, "g", "key", count), [])
    }
    assert.equal(Groups.rank(groups, "g", "key", Number.POSITIVE_INFINITY).length, 3)
    assert.equal(Groups.rank(groups, "g", "key", 2.9).length, 2)
  })

  test("changes for a member that goes only where it was, and for one that comes only where it is", () => {
    for (const count of [2, 5, 17, 40]) {
      const groups = grown(count)
      const before = keys.map((key) => Groups.rank(groups, "g", key, 3))
      const gone = Groups.find(groups, "g", "a", 2) as Membership
      Groups.remove(groups, "g", "a", 2)
      for (const [i, key] of keys.entries()) {
        const all = Groups.rank(groups, "g", key, 3)
        const kept = (before[i] as ReadonlyArray<Membership>).filter((member) => member !== gone)
        assert.deepEqual(all.slice(0, kept.length), kept)
      }
      // The same process on another node, later: what was its own comes back to it.
      const back: Membership = { ...gone, table: TABLES[2] as Table.Table, time: 99, pid: 77 }
      Groups.insert(groups, back)
      for (const [i, key] of keys.entries())
        assert.deepEqual(
          Groups.rank(groups, "g", key, 3),
          (before[i] as ReadonlyArray<Membership>).map((one) => (one === gone ? back : one)),
        )
    }
  })

  test("leaves out who is offline, as if it were gone, until it is online again", () => {
    const groups = grown(8)
    const first = keys.map((key) => Groups.rank(groups, "g", key, 2))
    const member = Groups.find(groups, "g", "a", 3) as Membership
    Groups.insert(groups, { ...member, online: false })
    for (const [i, key] of keys.entries()) {
      const [best, second] = first[i] as ReadonlyArray<Membership>
      assert.equal(Groups.rank(groups, "g", key, 1)[0], best === member ? second : best)
    }
    Groups.insert(groups, member)
    assert.deepEqual(
      keys.map((key) => Groups.rank(groups, "g", key, 2)),
      first,
    )
  })

  test("gives every member its share of the keys", () => {
    const groups = grown(10)
    const counts = new Map<number, number>()
    for (let i = 0; i < 10_000; i++) {
      const [member] = Groups.rank(groups, "g", `key-${i}`, 1)
      counts.set(member?.pid ?? 0, (counts.get(member?.pid ?? 0) ?? 0) + 1)
    }
    assert.equal(counts.size, 10)
    for (const [pid, count] of counts) assert.ok(Math.abs(count - 1_000) < 150, `${pid}: ${count}`)
  })

  test("goes by who joined first among members of the same name, and takes nodes for themselves", () => {
    const groups = Groups.make()
    const twins = [1, 0].map((owner) =>
      memberOf({ group: "g", owner, pid: 5, name: "count/x", time: 9 - owner, online: true }),
    )
    for (const twin of twins) Groups.insert(groups, twin)
    for (const key of keys) assert.deepEqual(Groups.rank(groups, "g", key, 2), twins)
    const nodes = [0, 1].map((owner) =>
      memberOf({ group: "n", owner, pid: 0, name: "", time: 1, online: true }),
    )
    for (const node of nodes) Groups.insert(groups, node)
    const firsts = new Set(keys.map((key) => Groups.rank(groups, "n", key, 1)[0]))
    assert.deepEqual(firsts, new Set(nodes))
  })
})

describe("a group of 70 000 members", () => {
  const COUNT = 70_000

  test("is entered, asked and taken apart, and ranks each of them", () => {
    const groups = grown(COUNT)
    assert.equal(Groups.members(groups, "g").length, COUNT)
    for (const pid of [0, 1, COUNT >> 1, COUNT - 1])
      assert.equal(Groups.find(groups, "g", "a", pid)?.pid, pid)
    assert.equal(Groups.find(groups, "g", "a", COUNT), undefined)
    const ranked = Array.from({ length: 50 }, (_, i) => Groups.rank(groups, "g", `key-${i}`, 2))
    for (const pair of ranked) assert.equal(new Set(pair).size, 2)
    // Some of the fifty are beyond what sixteen bits can count.
    assert.ok(ranked.flat().some(({ pid }) => pid > 65_535))
    const [best, second] = ranked[0] as [Membership, Membership]
    Groups.remove(groups, "g", "a", best.pid)
    assert.equal(Groups.rank(groups, "g", "key-0", 1)[0], second)
    for (let pid = 0; pid < COUNT; pid++) Groups.remove(groups, "g", "a", pid)
    assert.deepEqual([...Groups.all(groups)], [])
  })
})

function memberOf({ owner, ...rest }: Drawn): Membership {
  return { ...rest, table: TABLES[owner] as Table.Table, meta: undefined }
}

/** A group with so many members, processes of a. */
function grown(count: number): Groups.Groups {
  const groups = Groups.make()
  for (let pid = 0; pid < count; pid++) {
    const name = `count/${pid}`
    Groups.insert(groups, memberOf({ group: "g", owner: 0, pid, name, time: pid, online: true }))
  }
  return groups
}

function idOf(group: string, owner: string, pid: number): string {
  return `${group} ${owner} ${pid}`
}

function act(groups: Groups.Groups, { all }: Model, [what, one]: Command): void {
  const member = memberOf(one)
  const { owner } = member.table
  const id = idOf(one.group, owner, one.pid)
  const before = all.get(id)
  if (what === "insert") {
    assert.equal(Groups.insert(groups, member), before)
    all.set(id, member)
  } else {
    assert.equal(Groups.remove(groups, one.group, owner, one.pid), before)
    all.delete(id)
  }
}
