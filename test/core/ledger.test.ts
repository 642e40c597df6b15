import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Groups from "../../src/core/groups.ts"
import * as Registry from "../../src/core/registry.ts"
import type { World } from "./registries.ts"
import * as Registries from "./registries.ts"

describe("the names of a node that is down", () => {
  test("are orphans until a live node serves them, wherever that was seen first", () => {
    const world = trio()
    for (const name of ["x", "y", "z"]) Registries.put(world, "a", name)
    Registries.settle(world)
    Registries.down(world, "c", "a")
    assert.deepEqual(orphans(world, "c"), ["x", "y", "z"])
    assert.equal(Registry.hidden(state(world, "c"), "x")?.table.owner, "a")
    assert.equal(Registries.lookup(world, "c", "x"), undefined)
    Registries.put(world, "c", "x", 2)
    Registries.down(world, "b", "a")
    Registries.put(world, "b", "y", 2)
    Registries.step(world, "b", { _tag: "Flush" })
    Registries.drain(world)
    assert.deepEqual(orphans(world, "c"), ["z"])
    assert.equal(Registry.hidden(state(world, "c"), "x"), undefined)
    // Also when it is gone again: it was served, and ended.
    Registries.step(world, "c", { _tag: "Delete", name: "x" })
    assert.deepEqual(orphans(world, "c"), ["z"])
  })

  test("a claim that a live node is about to lose against them doesn't count as serving", () => {
    // b has moved x and its slot to a, but c hears of that from a first, and then of a's end.
    const world = trio()
    Registries.put(world, "b", "x", 1)
    grant(world, "b", 7, 1)
    Registries.settle(world)
    Registries.step(world, "b", { _tag: "Delete", name: "x" })
    Registries.step(world, "b", { _tag: "Release", slot: 7 })
    Registries.step(world, "b", { _tag: "Flush" })
    const late = world.flights.filter(({ to }) => to === "c")
    world.flights = world.flights.filter(({ to }) => to !== "c")
    Registries.drain(world)
    Registries.put(world, "a", "x", 2)
    grant(world, "a", 7, 2)
    Registries.step(world, "a", { _tag: "Flush" })
    Registries.drain(world)
    Registries.down(world, "c", "a")
    for (const flight of late) Registries.deliver(world, flight)
    assert.equal(Registry.grant(state(world, "c"), 7), undefined)
    assert.deepEqual(orphans(world, "c"), ["x"])
    assert.deepEqual(orphanSlots(world, "c"), [7])
  })

  test("come back as they were, and lose against what was served meanwhile", () => {
    const world = trio()
    for (const name of ["x", "y"]) Registries.put(world, "a", name)
    Registries.settle(world)
    for (const name of ["b", "c"]) Registries.down(world, name, "a")
    Registries.down(world, "a", "b")
    Registries.put(world, "c", "x", 2)
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), ["c", "c", "c"])
    assert.deepEqual(Registries.holders(world, "y"), ["a", "a", "a"])
    assert.deepEqual(orphans(world, "b"), [])
    assert.equal(Registries.site(world, "a").lost.length, 1)
  })

  test("of several generations only the best counts, whichever node held it", () => {
    const world = trio()
    Registries.put(world, "a", "x", 1)
    grant(world, "a", 3, 1)
    Registries.settle(world)
    Registries.down(world, "c", "a")
    Registries.down(world, "b", "a")
    Registries.put(world, "b", "x", 2)
    grant(world, "b", 3, 2)
    Registries.step(world, "b", { _tag: "Flush" })
    Registries.drain(world)
    Registries.down(world, "c", "b")
    const entries = Registry.orphanNames(state(world, "c"))
    assert.deepEqual(
      entries.map(({ table, generation }) => [table.owner, generation]),
      [["b", 2]],
    )
    const grants = Registry.orphanGrants(state(world, "c"))
    assert.deepEqual(
      grants.map(({ table, generation }) => [table.owner, generation]),
      [["b", 2]],
    )
  })

  test("are forgotten after twenty minutes, those of earlier epochs as well", () => {
    const world = trio()
    Registries.put(world, "a", "x")
    Registries.settle(world)
    Registries.birth(world, "a", 2)
    Registries.up(world, "c", "a")
    Registries.down(world, "c", "b")
    assert.deepEqual(orphans(world, "c"), ["x"])
    const at = state(world, "c")
    Registries.step(world, "c", { _tag: "Tick", now: world.now + Registry.HIDDEN_MILLIS - 1 })
    assert.deepEqual(orphans(world, "c"), ["x"])
    Registries.step(world, "c", { _tag: "Tick", now: world.now + Registry.HIDDEN_MILLIS })
    assert.deepEqual(orphans(world, "c"), [])
    assert.deepEqual([...at.tables.keys()].sort(), ["a", "c"])
    assert.equal(at.departed.length + at.hiding.length, 0)
  })

  test("cost nothing for what others register meanwhile", () => {
    const world = trio()
    Registries.put(world, "a", "x")
    Registries.settle(world)
    Registries.down(world, "c", "a")
    for (let i = 0; i < 100; i++) {
      Registries.put(world, "c", `n${i}`)
      grant(world, "c", i, 1)
    }
    for (const { served, taken } of state(world, "c").hiding) {
      assert.equal(served.size, 0)
      assert.equal(taken.size, 0)
    }
    for (let epoch = 2; epoch < 100; epoch++) {
      Registries.birth(world, "b", epoch)
      Registries.up(world, "c", "b")
    }
    // A node in a crash loop that never registered anything.
    assert.equal(state(world, "c").hiding.length, 1)
  })
})

describe("retraction", () => {
  test("an old claim that its owner has given up since costs nobody a name", () => {
    const world = trio()
    Registries.put(world, "b", "x", 1)
    grant(world, "b", 4, 1)
    Registries.settle(world)
    Registries.down(world, "b", "a")
    Registries.down(world, "a", "b")
    Registries.put(world, "a", "x", 2)
    grant(world, "a", 4, 2)
    Registries.step(world, "a", { _tag: "Delete", name: "x" })
    Registries.step(world, "a", { _tag: "Release", slot: 4 })
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), ["b", "b", "b"])
    assert.deepEqual(Registries.site(world, "b").lost, [])
  })
})

describe("regression 8", () => {
  test("a restarted node doesn't inherit what its dead incarnation had registered", () => {
    const world = trio()
    for (const name of ["x", "y"]) Registries.put(world, "a", name)
    Registries.settle(world)
    Registries.birth(world, "a", 2)
    Registries.put(world, "a", "z")
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), [undefined, undefined, undefined])
    assert.deepEqual(Registries.holders(world, "z"), ["a", "a", "a"])
    // What it left behind can be started again by anybody.
    assert.deepEqual(orphans(world, "b"), ["x", "y"])
  })

  test("news of an incarnation that is over brings nothing back", () => {
    const world = trio()
    Registries.birth(world, "a", 2)
    Registries.put(world, "a", "x")
    Registries.settle(world)
    Registries.down(world, "b", "a")
    Registries.step(world, "b", { _tag: "MemberUp", now: world.now, name: "a", epoch: 1 })
    assert.equal(Registries.lookup(world, "b", "x"), undefined)
    assert.equal(Registries.table(world, "b", "a").epoch, 2)
  })

  test("a node that had to take a new epoch keeps what it has registered", () => {
    const world = trio()
    for (const name of ["x", "y"]) Registries.put(world, "a", name)
    grant(world, "a", 5, 4)
    for (const group of ["g", "h"]) Registries.join(world, "a", group, 3)
    Registries.describe(world, "a", "x", 8)
    Registries.join(world, "b", "g", 4)
    Registries.settle(world)
    const before = Registries.lookup(world, "c", "x")?.props
    const time = Groups.find(state(world, "c").groups, "g", "a", 3)?.time
    Registries.step(world, "a", { _tag: "Epoch", epoch: 9 })
    assert.deepEqual(new Set(Registries.site(world, "a").held), new Set(["x", "y"]))
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), ["a", "a", "a"])
    assert.equal(Registry.grant(state(world, "c"), 5)?.generation, 4)
    assert.deepEqual(Registries.lookup(world, "c", "x")?.props, before)
    // Its members are as old as before, so that they stand where they stood.
    for (const seen of Registries.members(world, "g")) assert.deepEqual(seen, ["a 3", "b 4"])
    const member = Groups.find(state(world, "c").groups, "g", "a", 3)
    assert.equal(member?.time, time)
    assert.equal(member?.table.epoch, 9)
    assert.deepEqual(orphans(world, "b"), [])
    assert.deepEqual(orphanSlots(world, "b"), [])
  })
})

describe("members of groups", () => {
  test("go with their node and come back with it, as they were", () => {
    const world = trio()
    for (const name of ["a", "b"]) Registries.join(world, name, "g", 1)
    Registries.join(world, "a", "g", 2, { online: false, meta: new Uint8Array([1]) })
    Registries.join(world, "a", "h", 2)
    Registries.settle(world)
    const before = Registries.members(world, "g")[2]
    const member = Groups.find(state(world, "c").groups, "g", "a", 2)
    Registries.down(world, "c", "a")
    assert.deepEqual(Registries.members(world, "g")[2], ["b 1"])
    assert.deepEqual([...Groups.all(state(world, "c").groups)], ["g"])
    Registries.up(world, "c", "a")
    Registries.drain(world)
    assert.deepEqual(Registries.members(world, "g")[2], before)
    assert.equal(Groups.find(state(world, "c").groups, "g", "a", 2), member)
    assert.equal(Registries.table(world, "c", "a").memberships, 3)
  })

  test("are forgotten when their node starts again", () => {
    const world = trio()
    Registries.join(world, "a", "g", 1)
    Registries.settle(world)
    Registries.birth(world, "a", 2)
    Registries.join(world, "a", "g", 5)
    Registries.settle(world)
    for (const seen of Registries.members(world, "g")) assert.deepEqual(seen, ["a 5"])
  })

  test("join once: who joins again is another member, as old as before", () => {
    const world = trio()
    Registries.join(world, "a", "g", 1)
    Registries.join(world, "b", "g", 1)
    Registries.join(world, "a", "g", 1, { online: false })
    Registries.settle(world)
    for (const seen of Registries.members(world, "g")) assert.deepEqual(seen, ["a 1", "b 1"])
    assert.equal(Groups.find(state(world, "c").groups, "g", "a", 1)?.online, false)
    Registries.step(world, "b", { _tag: "Quit", group: "g", pid: 2, reason: "" })
    assert.equal(state(world, "b").self.seq, 1, "who isn't a member has nothing to say")
  })
})

describe("the reason", () => {
  const told = (change: (world: World) => void, at: string = "c"): ReadonlyArray<string> => {
    const world = trio()
    Registries.put(world, "a", "x")
    Registries.join(world, "a", "g", 1)
    Registries.settle(world)
    const { reasons } = Registries.site(world, at)
    reasons.length = 0
    change(world)
    Registries.settle(world)
    return reasons
  }

  test("is what the owner says where it deletes a name or lets a member quit, on all nodes", () => {
    for (const at of ["a", "c"]) {
      const reasons = told((world) => {
        Registries.step(world, "a", { _tag: "Delete", name: "x", reason: "stopped: enough" })
        Registries.step(world, "a", { _tag: "Quit", group: "g", pid: 1, reason: "left" })
      }, at)
      assert.deepEqual(reasons, ["x: stopped: enough", "g: left"])
    }
  })

  test("is that the node is down, and none where it is back", () => {
    const reasons = told((world) => Registries.down(world, "c", "a"))
    assert.deepEqual(reasons, ["x: node down", "g: node down", "g: ", "x: "])
  })

  test("is a move where a younger claim comes, and a conflict where it is as old", () => {
    assert.deepEqual(
      told((world) => Registries.put(world, "b", "x", 2)),
      ["x: moved"],
    )
    const world = trio()
    Registries.put(world, "b", "x")
    Registries.step(world, "b", { _tag: "Flush" })
    Registries.drain(world)
    Registries.down(world, "a", "b")
    Registries.put(world, "a", "x")
    Registries.settle(world)
    assert.deepEqual(Registries.holders(world, "x"), ["b", "b", "b"])
    assert.deepEqual(Registries.site(world, "c").reasons, ["x: "])
    assert.deepEqual(Registries.site(world, "a").reasons.slice(-1), ["x: conflict"])
  })

  test("is a crash where the same owner registers it anew, and none where it is only described", () => {
    assert.deepEqual(
      told((world) => Registries.put(world, "a", "x")),
      ["x: crashed"],
    )
    assert.deepEqual(
      told((world) => Registries.describe(world, "a", "x", 5)),
      ["x: "],
    )
    assert.deepEqual(
      told((world) => Registries.join(world, "a", "g", 1, { online: false })),
      ["g: "],
    )
  })

  test("isn't known where only a snapshot says that something is gone", () => {
    const reasons = told((world) => {
      Registries.step(world, "a", { _tag: "Delete", name: "x", reason: "stopped" })
      Registries.step(world, "a", { _tag: "Quit", group: "g", pid: 1, reason: "left" })
      Registries.forget(Registries.table(world, "a", "a"), 0)
    })
    assert.deepEqual(reasons, ["x: unknown", "g: unknown"])
  })
})

describe("hybrid time", () => {
  test("a registration is later than any that its node has seen, whatever the clocks say", () => {
    for (const earlier of [0, 1]) {
      const world = trio()
      for (let i = 0; i < earlier; i++) Registries.put(world, "b", `warm${i}`)
      world.wall += 3_600_000
      Registries.put(world, "a", "x")
      Registries.settle(world)
      world.wall -= 3_600_000
      Registries.put(world, "b", "y")
      const [x, y] = ["x", "y"].map((name) => Registries.lookup(world, "b", name)?.time ?? 0)
      assert.ok((y as number) > (x as number), `${y} after ${x}, having written ${earlier}`)
    }
  })

  test("a member is younger than all that its node has seen joining", () => {
    const world = trio()
    world.wall += 3_600_000
    Registries.join(world, "b", "g", 1)
    Registries.settle(world)
    world.wall -= 3_600_000
    Registries.join(world, "a", "g", 1)
    Registries.settle(world)
    for (const seen of Registries.members(world, "g")) assert.deepEqual(seen, ["b 1", "a 1"])
  })

  test("so it is after what a node brings along that was away", () => {
    const world = trio()
    Registries.down(world, "a", "b")
    Registries.down(world, "b", "a")
    world.wall += 3_600_000
    Registries.put(world, "b", "x")
    Registries.join(world, "b", "g", 1)
    Registries.step(world, "b", { _tag: "Flush" })
    world.wall -= 3_600_000
    Registries.settle(world)
    Registries.join(world, "a", "g", 1)
    Registries.put(world, "a", "y")
    Registries.settle(world)
    for (const seen of Registries.members(world, "g")) assert.deepEqual(seen, ["b 1", "a 1"])
    const [x, y] = ["x", "y"].map((name) => Registries.lookup(world, "c", name)?.time ?? 0)
    assert.ok((y as number) > (x as number), `${y} after ${x}`)
  })

  test("a clock that is more than a day ahead isn't followed", () => {
    const world = trio()
    world.wall += 10 * 86_400_000
    Registries.put(world, "a", "x")
    Registries.settle(world)
    world.wall -= 10 * 86_400_000
    for (const name of ["y", "z"]) Registries.put(world, "b", name)
    const time = Registries.lookup(world, "b", "z")?.time ?? 0
    assert.ok(time < (world.wall + 1000) * 1024, `${time}`)
  })
})

function trio(): World {
  const world = Registries.create(3)
  Registries.settle(world)
  return world
}

function state(world: World, name: string): Registry.State {
  return Registries.site(world, name).state
}

function grant(world: World, name: string, slot: number, generation: number): void {
  Registries.step(world, name, { _tag: "Grant", slot, generation })
}

function orphans(world: World, name: string): ReadonlyArray<string> {
  return Registry.orphanNames(state(world, name))
    .map((entry) => entry.name)
    .sort()
}

function orphanSlots(world: World, name: string): ReadonlyArray<number> {
  return Registry.orphanGrants(state(world, name)).map(({ slot }) => slot)
}
