/** Names that stay at their node, whatever the ring says, until it leaves. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Groups from "../../src/core/groups.ts"
import * as Registry from "../../src/core/registry.ts"
import * as Rings from "../../src/core/rings.ts"
import type { Core, Cores } from "../../src/testing/cores/cores.ts"
import { Bench, mover } from "./bench.ts"
import * as Schedule from "./schedule.ts"

const COUNT = 7
const LABEL = new Uint8Array([4, 2])

/** A sticky name and one that isn't, in one slot that gets from n0 to the joiner. */
interface Pair {
  readonly network: Cores
  readonly stay: string
  readonly move: string
  readonly slot: number
}

/** They live at n0 of n0 and n1, have counted, have metadata, and are members of a group. */
function pair(seed: number): Pair {
  const network = Schedule.cores({ seed })
  network.formed(["n0", "n1"])
  const [stay, move] = neighbours()
  for (const name of [stay, move]) {
    network.want(name)
    network.until("started", () => network.servers(name).length === 1, 1_000)
    for (let i = 0; i < COUNT; i++) network.bump(name)
    assert.ok(network.label(name, new Uint8Array([1])) && network.label(name, LABEL))
    assert.ok(network.enroll(name, "g"))
  }
  settle(network)
  assert.deepEqual(serversOf(network, stay, move), [["n0"], ["n0"]])
  return { network, stay, move, slot: Rings.slot(stay) }
}

/** Two names of one slot that is n0's before the joiner comes, and the joiner's then. */
function neighbours(): readonly [string, string] {
  const [before, after] = [
    ["n0", "n1"],
    ["n0", "n1", "joiner"],
  ].map((ids) => Rings.make(ids.map((id) => ({ id, weight: 1 }))))
  const sticky = new Map<number, string>()
  for (let i = 0; i < 4_000; i++) sticky.set(Rings.slot(`stay/${i}`), `stay/${i}`)
  for (let i = 0; ; i++) {
    const move = `count/${i}`
    const stay = sticky.get(Rings.slot(move))
    const owners = [before, after].map((rings) => Rings.owner(rings as Rings.Rings, move))
    if (stay !== undefined && owners.join() === "n0,joiner") return [stay, move]
  }
}

function settle(network: Cores): void {
  network.run(1)
  network.until("settled", () => network.unrest(), 20_000)
  Schedule.placed({ network, nodes: network.running, asked: [] })
}

function join(network: Cores, name: string): Core {
  const joiner = network.start(name, { seeds: ["n0", "n1"] })
  settle(network)
  return joiner
}

function serversOf(network: Cores, ...names: ReadonlyArray<string>): ReadonlyArray<unknown> {
  return names.map((name) => network.servers(name).map((server) => server.name))
}

function generation({ network }: Pair, name: string): number | undefined {
  return network.servers(name)[0]?.shell.processes.get(name)?.generation
}

/** What everybody knows of a name: that it is there, with the metadata that it was given. */
function known({ network }: Pair, name: string): void {
  for (const { state } of network.running) {
    const entry = Registry.lookup(state.registry, name)
    assert.equal(entry?.table.owner, network.servers(name)[0]?.name)
    assert.deepEqual(entry?.props, { version: 2, bytes: LABEL })
    assert.equal(entry?.sticky, name.startsWith("stay/"))
  }
}

describe("a sticky name", () => {
  test("stays where it is when its slot gets another owner; the other names of the slot move", () => {
    for (let seed = 0; seed < 5; seed++) {
      const scene = pair(seed)
      const { network, stay, move, slot } = scene
      join(network, "joiner")
      assert.deepEqual(serversOf(network, stay, move), [["n0"], ["joiner"]])
      assert.equal(generation(scene, stay), 1)
      for (const { state } of network.running)
        assert.equal(Registry.grant(state.registry, slot)?.table.owner, "joiner")
      for (const name of [stay, move]) known(scene, name)
      // Also when it goes back.
      network.leave(network.running.find(({ name }) => name === "joiner") as Core)
      network.run(1_000)
      settle(network)
      assert.deepEqual(serversOf(network, stay, move), [["n0"], ["n0"]])
      assert.equal(network.counter(stay), COUNT)
      assert.equal(network.counter(move), COUNT)
    }
  })

  test("has its slot released when it is alone there, and another name of it starts at the new owner", () => {
    const network = Schedule.cores({ seed: 1 })
    network.formed(["n0", "n1"])
    const [stay, late] = neighbours()
    network.want(stay)
    network.until("started", () => network.servers(stay).length === 1, 1_000)
    join(network, "joiner")
    for (const { state } of network.running)
      assert.equal(Registry.grant(state.registry, Rings.slot(stay)), undefined)
    network.want(late)
    network.until("started", () => network.servers(late).length === 1, 1_000)
    settle(network)
    assert.deepEqual(serversOf(network, stay, late), [["n0"], ["joiner"]])
  })

  for (const moved of [false, true]) {
    const where = moved ? "whose slot is another node's by now" : "whose slot is there as well"
    test(`goes with its state when its node leaves, ${where}, and is sticky again`, () => {
      for (let seed = 0; seed < 5; seed++) {
        const scene = pair(seed)
        const { network, stay, move, slot } = scene
        if (moved) join(network, "joiner")
        const leaver = network.nodes[0] as Core
        network.leave(leaver)
        const took = network.until("left", () => leaver.left, 20_000)
        assert.ok(took < 5_000, `${took} ms`)
        settle(network)
        const to = moved ? "joiner" : "n1"
        assert.deepEqual(serversOf(network, stay, move), [[to], [to]])
        assert.equal(network.counter(stay), COUNT)
        for (const { shell } of network.nodes) assert.deepEqual(shell.taken, [])
        known(scene, stay)
        for (const { state } of network.running) {
          assert.equal(Registry.grant(state.registry, slot)?.table.owner, to)
          const members = Groups.members(state.registry.groups, "g")
          assert.deepEqual(members.map(({ name }) => name).sort(), [move, stay].sort())
        }
        for (const next of ["late", "later"]) join(network, next)
        assert.deepEqual(serversOf(network, stay), [[to]])
      }
    })

    test(`is taken over by its heir when its node dies, once, with its metadata, ${where}`, () => {
      for (const machine of [false, true]) {
        const scene = pair(3)
        const { network, stay, move } = scene
        if (moved) join(network, "joiner")
        network.crash(network.nodes[0] as Core, { machine })
        settle(network)
        network.run(2_000)
        settle(network)
        const to = moved ? "joiner" : "n1"
        assert.deepEqual(serversOf(network, stay, move), [[to], [to]])
        const taken = network.running.map(({ name, shell }) => [name, [...shell.taken].sort()])
        const heir = [to, moved ? [stay] : [move, stay].sort()]
        const others = network.running
          .filter(({ name }) => name !== to)
          .map(({ name }) => [name, []])
        assert.deepEqual(new Map(taken as never), new Map([heir, ...others] as never))
        assert.ok((generation(scene, stay) ?? 0) > 1)
        known(scene, stay)
        for (const next of ["late", "later"]) join(network, next)
        assert.deepEqual(serversOf(network, stay), [[to]])
      }
    })
  }

  test("is where it was once its node is back after a split, or where it was taken over: once", () => {
    for (let seed = 0; seed < 5; seed++) {
      const network = Schedule.cores({ seed, lax: true })
      const [first, ...rest] = network.formed(["n0", "n1", "n2"])
      const names = Array.from({ length: 8 }, (_, i) => `stay/${i}`)
      for (const name of names) network.want(name)
      const there = (): boolean => names.every((name) => network.servers(name).length === 1)
      network.until("started", there, 2_000)
      settle(network)
      network.split([first as Core], rest)
      network.until("split", () => network.unrest([first as Core]) ?? network.unrest(rest), 20_000)
      network.run(1_000)
      for (const name of names) assert.equal(network.servers(name).length, 2)
      network.mend()
      network.until("healed", () => network.unrest(), 20_000)
      network.run(2_000)
      settle(network)
      Schedule.served({ network, nodes: network.running, asked: names })
    }
  })
})

describe("a move", () => {
  test("takes no sticky name along, unless its node is leaving", () => {
    for (const leaving of [false, true]) {
      const bench = new Bench("a")
      bench.ring(["a"])
      const name = mover(["a"], ["a", "b"])
      const slot = Rings.slot(name)
      bench.ask(slot)
      bench.name(name)
      const sticky = stickyIn(slot)
      bench.name(sticky, 4, true)
      bench.step({ _tag: "Started", slot })
      if (leaving) bench.step({ _tag: "Leave" })
      bench.ring(["a", "b"])
      const generation = leaving ? 5 : 2
      assert.equal(bench.state.outgoing.get(slot)?.generation, generation)
      // One that comes while the slot is on its way is no exception.
      const late = stickyIn(slot, 1)
      bench.name(late, 1, true)
      bench.hear("b", { _tag: "Accept", slot, generation })
      const freeze = bench.outputs.find(({ _tag }) => _tag === "Freeze")
      const expected = leaving ? [name, sticky, late].sort() : [name]
      assert.deepEqual(freeze?._tag === "Freeze" && freeze.names, expected)
    }
  })
})

function stickyIn(slot: number, nth: number = 0): string {
  for (let i = 0, n = 0; ; i++)
    if (Rings.slot(`stay/${i}`) === slot && n++ === nth) return `stay/${i}`
}
