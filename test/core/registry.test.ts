import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Registry from "../../src/core/registry.ts"
import type { World } from "./registries.ts"
import * as Registries from "./registries.ts"

/** One thing that happens; numbers choose among what there is at that moment. */
type Command =
  | readonly ["put", node: number, key: number, generation: number]
  | readonly ["delete", node: number, key: number]
  | readonly ["grant", node: number, slot: number, generation: number]
  | readonly ["release", node: number, slot: number]
  | readonly ["describe", node: number, key: number, worth: number]
  | readonly ["join", node: number, group: number, how: number]
  | readonly ["quit", node: number, group: number, how: number]
  | readonly ["flush", node: number]
  | readonly ["deliver" | "drop" | "repeat", index: number]
  | readonly ["burst", count: number]
  | readonly ["up" | "down", node: number, peer: number]
  | readonly ["restart" | "renew" | "forget", node: number]
  | readonly ["gossip", millis: number]

const many = fc.nat({ max: 999 })
const node = fc.nat({ max: 5 })
const key = fc.nat({ max: 5 })
const generation = fc.integer({ min: 1, max: 3 })

const writing: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("put" as const), node, key, generation) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("delete" as const), node, key) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("describe" as const), node, key, generation) },
  { weight: 4, arbitrary: fc.tuple(fc.constant("join" as const), node, key, many) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("quit" as const), node, key, many) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("grant" as const), node, key, generation) },
  { weight: 1, arbitrary: fc.tuple(fc.constant("release" as const), node, key) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("flush" as const), node) },
)
const moving: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("deliver" as const), many) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom("drop" as const, "repeat" as const), many) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("burst" as const), many) },
  { weight: 2, arbitrary: fc.tuple(fc.constant("gossip" as const), many) },
)
const changing: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constantFrom("up" as const, "down" as const), node, node) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom("restart" as const, "renew" as const, "forget" as const),
      node,
    ),
  },
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: writing },
  { weight: 5, arbitrary: moving },
  { weight: 1, arbitrary: changing },
)
const commands: fc.Arbitrary<ReadonlyArray<Command>> = fc.array(command, {
  maxLength: 80,
  size: "max",
})
const simple = fc.constantFrom("oldest" as const, "newest" as const)
const policy: fc.Arbitrary<Registry.Policy> = fc.oneof(simple, fc.constant(Registries.dearest))
const size = fc.integer({ min: 2, max: 6 })

function perform(world: World, [what, a, b, c]: Command): void {
  const names = [...world.sites.keys()]
  const name = names[a % names.length] as string
  const at = Registries.site(world, name)
  const flight = a % Math.max(1, world.flights.length)
  switch (what) {
    case "put":
      // One has metadata, one hasn't.
      return Registries.put(
        world,
        name,
        `key-${b}`,
        c,
        new Uint8Array([a, b]),
        [a % 4, undefined][b % 2],
      )
    case "delete":
      return Registries.step(world, name, { _tag: "Delete", name: `key-${b}` })
    case "grant":
      return Registries.step(world, name, {
        _tag: "Grant",
        slot: b,
        generation: c,
      })
    case "release":
      return Registries.step(world, name, { _tag: "Release", slot: b })
    case "describe":
      return Registries.describe(world, name, `key-${b}`, c)
    case "join": {
      const meta = c % 3 === 0 ? undefined : new Uint8Array([c % 3])
      return Registries.join(world, name, `group-${b % 3}`, c % 4, { online: c % 2 === 0, meta })
    }
    case "quit": {
      const quit = { _tag: "Quit", group: `group-${b % 3}`, pid: c % 4, reason: "why" } as const
      return Registries.step(world, name, quit)
    }
    case "flush":
      return Registries.step(world, name, { _tag: "Flush" })
    case "deliver":
      for (const one of world.flights.splice(flight, 1)) Registries.deliver(world, one)
      return
    case "drop":
      world.flights.splice(flight, 1)
      return
    case "repeat":
      world.flights.push(...world.flights.slice(flight, flight + 1))
      return
    case "burst":
      for (const one of world.flights.splice(0, a % 20)) Registries.deliver(world, one)
      return
    case "up":
    case "down": {
      const peer = names[b % names.length] as string
      if (peer === name) return
      if (what === "up") Registries.up(world, name, peer)
      else Registries.down(world, name, peer)
      return
    }
    case "restart":
      return Registries.birth(world, name, at.state.self.epoch + 1)
    case "renew":
      return Registries.step(world, name, { _tag: "Epoch", epoch: at.state.self.epoch + 1 })
    case "forget":
      return Registries.forget(at.state.self, at.state.self.log.length >> 1)
    case "gossip":
      world.now += a
      return Registries.gossip(world)
  }
}

/** A world that has been through these commands; `each` looks at it after every one. */
function run(
  count: number,
  rule: Registry.Policy,
  list: ReadonlyArray<Command>,
  each: (world: World) => void = () => {},
): World {
  const world = Registries.create(count, rule)
  Registries.meet(world)
  for (const one of list) {
    perform(world, one)
    each(world)
  }
  return world
}

function check(runs: number, claim: (world: World) => void, each?: (world: World) => void): void {
  fc.assert(
    fc.property(size, policy, commands, (count, rule, list) => {
      claim(run(count, rule, list, each))
    }),
    { numRuns: runs },
  )
}

describe("replicas", () => {
  test("21. a replica at sequence s is the fold of the owner's first s operations, by any path", () => {
    check(150, () => {}, Registries.judge)
  })

  test("22. sequences never decrease and an entry of a dropped epoch is never visible again", () => {
    const world = Registries.create(3)
    Registries.meet(world)
    Registries.put(world, "a", "x")
    Registries.step(world, "a", { _tag: "Flush" })
    const late = [...world.flights]
    Registries.settle(world)
    Registries.birth(world, "a", 2)
    Registries.settle(world)
    for (const flight of late) Registries.deliver(world, flight)
    // The checks after every step are in `Registries.step`.
    assert.deepEqual(Registries.holders(world, "x"), [undefined, undefined, undefined])
    check(150, () => {})
  })

  test("26. after quiescence all nodes have the same index: what their owners hold, no more, no less", () => {
    check(200, (world) => {
      Registries.settle(world)
      Registries.judge(world)
      const held = new Map<string, string>()
      for (const [name, { held: names }] of world.sites) {
        for (const one of names) {
          assert.equal(held.get(one), undefined, `${one} has two holders`)
          held.set(one, name)
        }
      }
      for (const { state } of world.sites.values()) {
        const index = [...state.index].map(([name, entry]) => [name, entry.table.owner])
        assert.deepEqual(new Map(index as Array<[string, string]>), held)
      }
    })
  })

  test("26. and the same groups: who joined and hasn't quit, in the same order", () => {
    check(200, (world) => {
      Registries.settle(world)
      const joined = [...world.sites].flatMap(([name, site]) =>
        [...site.joined].map((id) => `${name} ${id}`),
      )
      const groups = [0, 1, 2].map((i) => `group-${i}`)
      const members = groups.map((group) => Registries.members(world, group))
      for (const seen of members) for (const one of seen) assert.deepEqual(one, seen[0])
      const all = groups.flatMap((group, i) => members[i]?.[0]?.map((id) => `${id} ${group}`) ?? [])
      assert.deepEqual(all.sort(), joined.sort())
    })
  })

  test("26. the same is true of grants: one holder for every slot that anybody holds", () => {
    check(100, (world) => {
      Registries.settle(world)
      const held = new Map<number, string>()
      for (const [name, { heldSlots }] of world.sites)
        for (const slot of heldSlots) {
          assert.equal(held.get(slot), undefined, `slot ${slot} has two holders`)
          held.set(slot, name)
        }
      for (const { state } of world.sites.values()) {
        const grants = [...state.grants].map(([slot, grant]) => [slot, grant.table.owner])
        assert.deepEqual(new Map(grants as Array<[number, string]>), held)
      }
    })
  })

  test("29. a node that goes down and comes back unchanged costs no operation", () => {
    check(100, (world) => {
      Registries.settle(world)
      const before = world.sentOps
      const index = Registries.holders(world, "key-0")
      for (const name of world.sites.keys())
        for (const peer of world.sites.keys()) if (peer !== name) Registries.down(world, name, peer)
      for (const { state, held } of world.sites.values())
        assert.deepEqual(new Set(state.index.keys()), held)
      Registries.settle(world)
      assert.equal(world.sentOps, before)
      assert.deepEqual(Registries.holders(world, "key-0"), index)
      Registries.judge(world)
    })
  })

  test("what is repaired is asked for once: repair costs no more than what differs", () => {
    const world = Registries.create(4)
    Registries.settle(world)
    for (let i = 0; i < 1000; i++) Registries.put(world, "a", `n${i}`)
    Registries.settle(world)
    for (let i = 0; i < 10; i++) Registries.put(world, "a", `late${i}`)
    Registries.step(world, "a", { _tag: "Flush" })
    // One of three replicas doesn't get them.
    world.flights = world.flights.filter(({ to }) => to !== "d")
    Registries.drain(world)
    const before = world.sentOps
    Registries.settle(world)
    assert.ok(world.sentOps - before <= 3 * 10, `${world.sentOps - before} operations`)
    assert.equal(Registries.lookup(world, "d", "late9")?.table.owner, "a")
  })

  test("repair works through a third node when the owner can't be reached", () => {
    const world = Registries.create(3)
    Registries.settle(world)
    for (const drop of [0, 5]) {
      for (let i = 0; i < 10; i++) Registries.put(world, "a", `n${drop + i}`)
      Registries.step(world, "a", { _tag: "Flush" })
      for (let round = 0; round < 6; round++) {
        world.flights = world.flights.filter(({ from, to }) => `${from}${to}` !== "ac")
        world.flights = world.flights.filter(({ from, to }) => `${from}${to}` !== "ca")
        Registries.drain(world)
        world.now += 300
        Registries.gossip(world)
      }
      assert.equal(Registries.lookup(world, "c", `n${drop + 9}`)?.table.owner, "a")
      // The second time b has no log to serve from, and sends a snapshot.
      Registries.forget(Registries.table(world, "b", "a"), 0)
    }
    Registries.judge(world)
  })
})

describe("claims", () => {
  const claim = fc.record({
    owner: fc.constantFrom("a", "b", "c", "d"),
    generation,
    time: fc.nat({ max: 3 }),
    worth: fc.nat({ max: 2 }),
  })

  test("23. the winner is a function of the set of claims, whatever the order they came in", () => {
    fc.assert(
      fc.property(
        policy,
        fc.uniqueArray(claim, { selector: ({ owner }) => owner }),
        fc.infiniteStream(many),
        (rule, claims, order) => {
          const winners = [claims, shuffled(claims, order)].map((list) => {
            const state = Registry.init({ name: "z", epoch: 1, policy: rule })
            for (const { owner, generation, time, worth } of list) {
              Registry.step(state, { _tag: "MemberUp", now: 0, name: owner, epoch: 1 })
              const op = {
                _tag: "Put",
                name: "x",
                generation,
                pid: 1,
                time,
                meta: undefined,
                props: { version: 1, bytes: new Uint8Array([worth]) },
                sticky: false,
              } as const
              const message = { _tag: "Ops", owner, epoch: 1, from: 1, ops: [op] } as const
              Registry.step(state, { _tag: "Message", now: 0, from: owner, message })
            }
            return Registry.lookup(state, "x")?.table.owner
          })
          const direction = rule === "newest" ? -1 : 1
          const best = [...claims].sort(
            (a, b) =>
              b.generation - a.generation ||
              (typeof rule === "function" ? b.worth - a.worth : 0) ||
              direction * (a.time - b.time) ||
              (a.owner < b.owner ? -1 : 1),
          )[0]
          assert.deepEqual(winners, [best?.owner, best?.owner])
        },
      ),
    )
  })

  test("24. of concurrent claims exactly one is not retracted, never none because of each other", () => {
    fc.assert(
      fc.property(
        size,
        simple,
        fc.array(generation, { minLength: 6, maxLength: 6 }),
        fc.array(many),
        (count, rule, generations, order) => {
          const world = Registries.create(count, rule)
          Registries.settle(world)
          for (const name of world.sites.keys()) {
            world.wall -= generations[5] as number
            Registries.put(world, name, "x", generations[name.charCodeAt(0) - 97] as number)
            Registries.step(world, name, { _tag: "Flush" })
          }
          for (const index of order) perform(world, ["deliver", index])
          Registries.settle(world)
          const winners = [...world.sites].filter(([, { held }]) => held.has("x"))
          assert.equal(winners.length, 1)
          assert.deepEqual(new Set(Registries.holders(world, "x")), new Set([winners[0]?.[0]]))
          // Every other node was told, once, and by whom it was beaten.
          const lost = [...world.sites.values()].map(({ lost: told }) => told.length)
          assert.equal(
            lost.reduce((sum, one) => sum + one),
            count - 1,
          )
        },
      ),
      { numRuns: 100 },
    )
  })

  test("25. a name is found on its node at once, and on the others never an older claim than before", () => {
    const latest = new Map<string, number>()
    check(
      100,
      () => latest.clear(),
      (world) => {
        for (const { state } of world.sites.values()) {
          for (const table of state.tables.values()) {
            if (table === state.self || table.hidden !== undefined) continue
            for (const [name, head] of state.index) {
              if (head.table !== table) continue
              const at = `${state.name} ${state.self.epoch} ${table.owner} ${table.epoch} ${name}`
              assert.ok((latest.get(at) ?? 0) <= head.pid, at)
              latest.set(at, head.pid)
            }
          }
        }
      },
    )
  })

  test("27. a name goes everywhere when its owner deletes it, and nobody else can", () => {
    const world = Registries.create(3)
    Registries.settle(world)
    Registries.put(world, "a", "x")
    Registries.settle(world)
    Registries.step(world, "b", { _tag: "Delete", name: "x" })
    Registries.step(world, "b", { _tag: "Release", slot: 7 })
    assert.equal(Registries.site(world, "b").state.self.seq, 0)
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), ["a", "a", "a"])
    Registries.step(world, "a", { _tag: "Delete", name: "x" })
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), [undefined, undefined, undefined])
  })

  test("28. the events of a node, applied in order to an empty map, are its index", () => {
    // After every step, in `Registries.step`.
    check(100, (world) => Registries.settle(world))
  })
})

function shuffled<A>(list: ReadonlyArray<A>, order: Iterator<number>): ReadonlyArray<A> {
  return list
    .map((item) => [order.next().value as number, item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item)
}
