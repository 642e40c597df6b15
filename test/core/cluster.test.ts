import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Cluster from "../../src/core/cluster.ts"
import * as Registry from "../../src/core/registry.ts"
import * as Ring from "../../src/core/ring.ts"
import type { Core, Cores, CoresOptions } from "../../src/testing/cores/cores.ts"
import type { Action, Outcome } from "./schedule.ts"
import * as Schedule from "./schedule.ts"

const NAMES = Schedule.NAMES
/** Every history begins with some names being there. */
const opening: ReadonlyArray<Action> = NAMES.slice(0, 6).map((_, i) => ["start", i, i, 2])

/** The same histories every time: a search for new ones belongs to the simulator. */
function histories(
  kinds: Parameters<typeof Schedule.actions>[0],
  runs: number,
  options: Omit<CoresOptions, "seed">,
  claim: (outcome: Outcome) => void,
): void {
  const size = fc.integer({ min: 2, max: 5 })
  fc.assert(
    fc.property(size, fc.nat(), Schedule.actions(kinds, 25), (count, seed, list) => {
      claim(Schedule.play(count, { ...options, seed }, [...opening, ...list]))
    }),
    { numRuns: runs, seed: 20 },
  )
}

describe("histories without stalls and partitions", () => {
  test("31, 32. a name has at most one server at any moment, each with a higher generation", () => {
    // Checked whenever somebody begins to serve.
    histories(Schedule.plain, 50, {}, Schedule.served)
  })

  test("35, 42. in the end every name has one server: where the ring says, and everybody knows", () => {
    histories(Schedule.plain, 50, {}, (outcome) => {
      Schedule.served(outcome)
      Schedule.placed(outcome)
    })
  })

  test("33. nothing that was counted is lost while nodes join and leave as planned", () => {
    const kinds = ["start", "join", "leave", "bump", "reset"] as const
    histories(kinds, 50, {}, (outcome) => {
      Schedule.served(outcome)
      for (const [name, count] of outcome.network.counted)
        for (const { shell } of outcome.network.servers(name))
          assert.equal(shell.processes.get(name)?.counter, count, `${name}\n${outcome.network}`)
    })
  })

  test("41. a node that leaves leaves nothing behind: nobody has to take over from it", () => {
    histories(["start", "join", "leave", "bump"], 40, {}, ({ network }) => {
      for (const { shell } of network.nodes) assert.deepEqual(shell.taken, [])
    })
  })

  test("42. a change of members moves the names whose owner changed, and each of them once", () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = full(3, seed)
      const before = holders(network)
      const joiner = network.start("joiner", { seeds: ["n0"] })
      settle(network)
      const after = holders(network)
      for (const name of NAMES) {
        const owner = Ring.owner(joiner.state.supervision.rings.main, name)
        assert.equal(after.get(name), owner === "joiner" ? "joiner" : before.get(name))
        const moved = owner === "joiner" ? 2 : 1
        assert.equal(network.served.get(name)?.generation, moved, name)
      }
    }
  })
})

describe("histories with everything", () => {
  test("8, 31, 34, 35, 42. once it is quiet every name has one server, where the ring says", () => {
    histories(Schedule.harsh, 100, { lax: true }, (outcome) => {
      Schedule.served(outcome)
      Schedule.placed(outcome)
    })
  })

  test("8, 31, 35. the same with frames lost and doubled under way", () => {
    histories(
      Schedule.plain,
      40,
      { lax: true, lossPpm: 20_000, doublePpm: 50_000 },
      Schedule.served,
    )
  })

  test("26, 28. everybody has the same registry then, and it is what is served", () => {
    histories(Schedule.harsh, 40, { lax: true }, ({ nodes, network }) => {
      const truth = new Map<string, string>()
      for (const { name, shell } of nodes)
        for (const process of shell.processes.values()) truth.set(process.name, name)
      for (const { state } of nodes) {
        const index = [...state.registry.index].map(([name, entry]) => [name, entry.table.owner])
        assert.deepEqual(new Map(index as Array<[string, string]>), truth, `${network}`)
      }
    })
  })
})

describe("partitions", () => {
  test("9. nobody who stayed connected goes down when a partition heals", () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = full(5, seed, true)
      const [a, b] = [network.nodes.slice(0, 2), network.nodes.slice(2)]
      network.split(a, b)
      network.until("both sides see it", () => network.unrest(a) ?? network.unrest(b), 10_000)
      for (const node of network.nodes) node.events.length = 0
      network.mend()
      network.until("healed", () => network.unrest(network.nodes), 20_000)
      for (const node of network.nodes)
        for (const { event } of node.events) assert.notEqual(event._tag, "Down")
      once(network, network.nodes)
    }
  })

  test("S23. each half of a split hosts every name; healed, each name has one process again", () => {
    const network = full(2, 1, true)
    const [a, b] = network.nodes as [Core, Core]
    assert.ok(a.shell.processes.size < NAMES.length && b.shell.processes.size < NAMES.length)
    network.split([a], [b])
    network.until("split", () => network.unrest([a]) ?? network.unrest([b]), 10_000)
    network.run(100)
    assert.equal(a.shell.processes.size, NAMES.length)
    assert.equal(b.shell.processes.size, NAMES.length)
    network.mend()
    network.until("healed", () => network.unrest(network.nodes), 20_000)
    once(network, network.nodes)
    assert.ok(a.shell.processes.size < NAMES.length && b.shell.processes.size < NAMES.length)
  })

  test("S29. a name started on both sides of a split is one process after it, the other one is told", () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = Schedule.cores({ seed, lax: true })
      const nodes = network.formed(Schedule.names(4))
      const [a, b] = [nodes.slice(0, 2), nodes.slice(2)]
      network.split(a, b)
      network.until("split", () => network.unrest(a) ?? network.unrest(b), 10_000)
      for (const name of NAMES) for (const node of nodes) node.shell.want(name)
      network.run(500)
      for (const name of NAMES) assert.equal(network.servers(name).length, 2)
      network.mend()
      network.until("healed", () => network.unrest(nodes), 20_000)
      once(network, nodes)
      const lost = nodes.flatMap(({ shell }) => shell.lost)
      assert.deepEqual(new Set(lost), new Set(NAMES))
      assert.equal(lost.length, NAMES.length)
    }
  })

  test("regression 3. a cut that heals while names move leaves each of them one server", () => {
    for (const kind of ["cut", "clog"] as const) {
      for (let seed = 0; seed < 40; seed++) {
        const network = full(2, seed, true)
        const joiner = network.start("joiner", { seeds: ["n0"] })
        network.run(205 + (seed % 10))
        network.split([joiner], network.nodes.slice(0, 2), kind)
        network.run(seed % 4 === 0 ? 7_000 : 20 * seed)
        network.mend()
        network.until("healed", () => network.unrest(network.nodes), 30_000)
        once(network, network.nodes)
      }
    }
  })

  test("regression 6, S1. a cut between two that a third one bridges changes no server", () => {
    for (const both of [true, false]) {
      const network = full(3, 3)
      const before = holders(network)
      const [a, b] = network.nodes as [Core, Core]
      network.cut(a, b)
      if (both) network.cut(b, a)
      for (const node of network.nodes) node.events.length = 0
      network.run(20_000)
      for (const node of network.nodes)
        for (const { event } of node.events) assert.notEqual(event._tag, "Down")
      network.mend()
      network.until("mended", () => network.unrest(network.nodes), 10_000)
      assert.deepEqual(holders(network), before)
    }
  })

  test("a node that slept finds its names served elsewhere, and gives them up", () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = full(3, seed, true)
      const sleeper = network.nodes[0] as Core
      network.pause(sleeper)
      network.run(10_000)
      const others = network.nodes.slice(1)
      for (const name of NAMES)
        assert.equal(others.filter(({ shell }) => shell.serves(name)).length, 1)
      network.resume(sleeper)
      network.until("awake", () => network.unrest(network.nodes), 20_000)
      once(network, network.nodes)
    }
  })
})

describe("joining and leaving", () => {
  test("regression 1. nodes that start at the same instant are all ready within half a second", () => {
    for (let seed = 0; seed < 1_000; seed++) {
      const network = Schedule.cores({ seed })
      const names = Schedule.names(3)
      // With the others listening already, or with those that start a moment later not yet.
      const nodes =
        seed % 2 === 0
          ? network.cluster(names)
          : names.map((name) => network.start(name, { seeds: names }))
      network.until("formed", () => network.unrest(nodes), 500)
    }
  })

  test("regression 5. a leaving node keeps its names until they are handed over, and stays away", () => {
    for (let seed = 0; seed < 10; seed++) {
      const network = full(3, seed)
      const leaver = network.nodes[0] as Core
      network.leave(leaver)
      // It goes on dialling its seeds meanwhile.
      while (leaver.running) {
        for (const name of NAMES) assert.ok(network.servers(name).length <= 1)
        network.run(1)
      }
      assert.ok(leaver.left)
      assert.equal(leaver.shell.processes.size, 0)
      network.run(10_000)
      assert.equal(network.unrest(), undefined)
      once(network, network.running)
    }
  })

  test("S26. a crash never leaves more servers than names, and soon as many", () => {
    for (const silently of [false, true]) {
      const network = full(3, 5)
      network.crash(network.nodes[0] as Core, { machine: silently })
      const rest = network.running
      const all = (): boolean => NAMES.every((name) => network.servers(name).length === 1)
      const took = network.until("taken over", all, 6_000)
      assert.ok(took <= (silently ? 5_000 : 600), `${took} ms`)
      network.until("calm", () => network.unrest(rest), 5_000)
      once(network, rest)
    }
  })

  test("regression 8. a node that is back at once under its name doesn't have its names any more", () => {
    for (let seed = 0; seed < 20; seed++) {
      const network = full(3, seed)
      const gone = network.nodes[seed % 3] as Core
      network.crash(gone, { machine: seed % 2 === 0 })
      network.run(seed * 3)
      network.start(gone.name)
      network.until("back", () => network.unrest(), 10_000)
      network.run(2_000)
      once(network, network.running)
      for (const [name] of network.served)
        assert.ok((network.served.get(name)?.generation ?? 0) >= 1)
    }
  })

  test("S28. passive: nothing moves when a node joins; when one leaves the others take all", () => {
    const network = full(2, 2, false, "passive")
    const before = holders(network)
    network.start("joiner", { seeds: ["n0"] })
    settle(network)
    assert.deepEqual(holders(network), before)
    network.leave(network.nodes[0] as Core)
    network.until("left", () => network.nodes[0]?.left === true, 10_000)
    settle(network)
    once(network, network.running)
    for (const { shell } of network.running) assert.deepEqual(shell.taken, [])
  })

  test("S25. a name that is bound to its process never moves, and goes with its node", () => {
    const network = full(2, 4)
    const [a, b] = network.nodes as [Core, Core]
    const process = { _tag: "Register", generation: 1, pid: 99, meta: undefined } as const
    for (const name of ["plain", "/bound"]) a.input({ ...process, wall: 1, name })
    network.start("joiner", { seeds: ["n0"] })
    settle(network)
    for (const name of ["plain", "/bound"])
      assert.equal(Registry.lookup(b.state.registry, name)?.table.owner, "n0")
    network.crash(a)
    settle(network)
    for (const name of ["plain", "/bound"])
      assert.equal(Registry.lookup(b.state.registry, name), undefined)
    for (const { shell } of network.running)
      for (const name of shell.taken) assert.ok(NAMES.includes(name), name)
  })

  test("regression 10. who asked for a start finds the name as soon as it hears that it is there", () => {
    for (let seed = 0; seed < 20; seed++) {
      const network = Schedule.cores({ seed })
      const nodes = network.formed(Schedule.names(3))
      for (const node of nodes) {
        const name = `own/${node.name}`
        node.shell.want(name)
        network.until("there", () => !node.shell.wanted.has(name), 1_000)
        assert.ok(Registry.lookup(node.state.registry, name) !== undefined)
      }
    }
  })

  test("a node with weight 0 hosts nothing and sees everything", () => {
    const network = full(2, 6)
    const guest = network.start("guest", { seeds: ["n0"], weight: 0 })
    settle(network)
    guest.shell.want("count/guest")
    network.until("started", () => guest.shell.wanted.size === 0, 1_000)
    assert.equal(guest.shell.processes.size, 0)
    assert.equal(Registry.count(guest.state.registry), NAMES.length + 1)
    network.crash(network.nodes[0] as Core)
    settle(network)
    assert.equal(guest.shell.processes.size, 0)
    once(network, network.running)
  })
})

describe("the machine", () => {
  test("says the same to the same inputs", () => {
    const run = (): string => {
      const outcome = Schedule.play(3, { seed: 5, lax: true }, [
        ...opening,
        ["join", 1, 1, 250],
        ["pause", 2, 0, 5_000],
        ["exit", 0, 0, 300],
      ])
      const { now, world } = outcome.network
      return `${now} ${world.trace.hash} ${outcome.network}`
    }
    assert.equal(run(), run())
  })

  test("its next deadline is never in the past once it has had its turn", () => {
    const network = full(3, 8)
    network.crash(network.nodes[0] as Core, { machine: true })
    for (let i = 0; i < 600; i++) {
      network.run(10)
      for (const { state, now } of network.running)
        assert.ok(Cluster.wakeAt(state) >= now - 2, `${Cluster.wakeAt(state)}`)
    }
  })
})

function full(
  size: number,
  seed: number,
  lax: boolean = false,
  rebalance: "active" | "passive" = "active",
): Cores {
  const network = Schedule.cores({ seed, lax, rebalance })
  const nodes = network.formed(Schedule.names(size))
  for (const [i, name] of NAMES.entries()) nodes[i % size]?.shell.want(name)
  network.until("started", () => NAMES.every((name) => network.servers(name).length === 1), 2_000)
  settle(network)
  return network
}

function settle(network: Cores): void {
  network.run(1)
  network.until("settled", () => network.unrest(), 20_000)
}

function once(network: Cores, nodes: ReadonlyArray<Core>): void {
  Schedule.served({ network, nodes, asked: NAMES })
}

function holders(network: Cores): ReadonlyMap<string, string> {
  return new Map(NAMES.map((name) => [name, network.servers(name)[0]?.name ?? ""]))
}
