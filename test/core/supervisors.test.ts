/** Names of named supervisors: only the nodes that host one are given its names. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Registry from "../../src/core/registry.ts"
import * as Rings from "../../src/core/rings.ts"
import * as Supervision from "../../src/core/supervision.ts"
import type { Core, Cores, CoresOptions } from "../../src/testing/cores/cores.ts"
import { Bench } from "./bench.ts"
import * as Schedule from "./schedule.ts"

const KEYS = 12
const OWN: ReadonlyArray<string> = Array.from({ length: KEYS }, (_, i) => `sup:count/${i}`)
const MAIN: ReadonlyArray<string> = Array.from({ length: KEYS }, (_, i) => `count/${i}`)
const LABEL = new Uint8Array([9])
const { leaveMaxMillis } = Supervision.timing

/** What each node hosts, by what its name begins with. */
const HOSTS: Readonly<Record<string, ReadonlyArray<string>>> = {
  both: ["", "sup"],
  main: [""],
  just: ["sup"],
}

function hostsOf(name: string): ReadonlyArray<string> {
  return HOSTS[name.slice(0, 4)] ?? assert.fail(`what does ${name} host?`)
}

/** A settled cluster of these nodes, in which all these names are. */
function full(
  nodes: ReadonlyArray<string>,
  names: ReadonlyArray<string>,
  options: CoresOptions = {},
): Cores {
  const network = Schedule.cores({
    // Those that join later say so themselves.
    options: (index) => ({ hosts: hostsOf(nodes[index] ?? "main") }),
    ...options,
  })
  network.formed(nodes)
  for (const [i, name] of names.entries()) network.want(name, network.nodes[i % nodes.length])
  const started = (): boolean => names.every((name) => network.servers(name).length === 1)
  network.until("started", started, 3_000)
  settle(network)
  return network
}

function join(network: Cores, name: string): Core {
  const seeds = network.running.map((node) => node.name)
  const node = network.start(name, { seeds, hosts: hostsOf(name) })
  settle(network)
  return node
}

/** Lets all calm down; then every name is where its supervisor's ring says, or at least with one of its hosts. */
function settle(network: Cores): void {
  network.run(1)
  network.until("settled", () => network.unrest(), 20_000)
  Schedule.placed({ network, nodes: network.running, asked: [] })
}

function node(network: Cores, name: string): Core {
  return network.running.find((one) => one.name === name) ?? assert.fail(`${name} doesn't run`)
}

function holders(network: Cores, names: ReadonlyArray<string>): ReadonlyMap<string, string> {
  return new Map(
    names.map((name) => [
      name,
      network
        .servers(name)
        .map((one) => one.name)
        .join(),
    ]),
  )
}

function once(network: Cores, names: ReadonlyArray<string>): void {
  Schedule.served({ network, nodes: network.running, asked: names })
}

describe("names of a named supervisor", () => {
  test("are started by nodes that host it, wherever they are asked for, and others by other ones", () => {
    const network = full(["both0", "main1", "just2", "just3"], [...OWN, ...MAIN])
    once(network, [...OWN, ...MAIN])
    const used = new Set(holders(network, OWN).values())
    assert.deepEqual(used, new Set(["both0", "just2", "just3"]))
    assert.deepEqual(new Set(holders(network, MAIN).values()), new Set(["both0", "main1"]))
  })

  test("never get to anybody else, whoever comes and goes, nor do the others", () => {
    for (let seed = 0; seed < 5; seed++) {
      const names = [...OWN, ...MAIN]
      const network = full(["both0", "both1", "just2", "main3"], names, { seed })
      const served: Array<string> = []
      network.steps.add(({ name, shell }) => {
        for (const { name: process } of shell.processes.values())
          if (!hostsOf(name).includes(Rings.supervisorOf(process)))
            served.push(`${process}@${name}`)
      })
      join(network, "just4")
      network.leave(node(network, "just2"))
      network.run(2_000)
      settle(network)
      join(network, "main5")
      network.crash(node(network, "both0"), { machine: true })
      settle(network)
      network.run(2_000)
      settle(network)
      once(network, names)
      assert.deepEqual(served, [])
    }
  })

  test("move to a node that joins and hosts it, those that are its own, and no others move", () => {
    const network = full(["both0", "both1"], [...OWN, ...MAIN])
    const before = holders(network, [...OWN, ...MAIN])
    for (const name of OWN) for (let i = 0; i < 3; i++) network.bump(name)
    const joiner = join(network, "just2")
    const after = holders(network, [...OWN, ...MAIN])
    const { rings } = joiner.state.supervision
    for (const [name, holder] of before) {
      const moves = name.startsWith("sup:") && Rings.owner(rings, name) === "just2"
      assert.equal(after.get(name), moves ? "just2" : holder, name)
    }
    assert.ok([...after.values()].includes("just2"))
    for (const name of OWN) assert.equal(network.counter(name), 3)
  })

  test("don't move when a node joins that doesn't host it", () => {
    const network = full(["both0", "both1"], [...OWN, ...MAIN])
    const before = holders(network, OWN)
    join(network, "main2")
    assert.deepEqual(holders(network, OWN), before)
    assert.ok([...holders(network, MAIN).values()].includes("main2"))
  })

  test("stay when a node joins where they are passive, and all go when their node leaves", () => {
    const network = full(["both0", "both1"], [...OWN, ...MAIN], { passive: ["sup"] })
    const before = holders(network, OWN)
    join(network, "both2")
    assert.deepEqual(holders(network, OWN), before)
    // The default supervisor's aren't.
    assert.ok([...holders(network, MAIN).values()].includes("both2"))
    const leaver = node(network, "both0")
    const own = OWN.filter((name) => before.get(name) === "both0")
    assert.ok(own.length > 0)
    for (const name of own) network.bump(name)
    network.leave(leaver)
    network.until("left", () => leaver.left, 10_000)
    settle(network)
    once(network, [...OWN, ...MAIN])
    for (const name of OWN)
      if (!own.includes(name)) assert.equal(holders(network, [name]).get(name), before.get(name))
    for (const name of own) assert.equal(network.counter(name), 1)
    for (const { shell } of network.nodes) assert.deepEqual(shell.taken, [])
  })

  test("stay where the default supervisor's are passive, and those of another one move", () => {
    const options = { rebalance: "passive" } as const
    const network = full(["both0", "both1"], [...OWN, ...MAIN], options)
    const before = holders(network, MAIN)
    join(network, "both2")
    assert.deepEqual(holders(network, MAIN), before)
    assert.ok([...holders(network, OWN).values()].includes("both2"))
  })

  test("are taken over by another host when their node dies, once, with their metadata", () => {
    for (const machine of [false, true]) {
      const network = full(["just0", "just1", "main2"], OWN)
      for (const name of OWN) assert.ok(network.label(name, LABEL))
      settle(network)
      const own = OWN.filter((name) => network.servers(name)[0]?.name === "just0")
      network.crash(node(network, "just0"), { machine })
      settle(network)
      network.run(2_000)
      settle(network)
      once(network, OWN)
      assert.deepEqual(new Set(holders(network, OWN).values()), new Set(["just1"]))
      assert.deepEqual([...node(network, "just1").shell.taken].sort(), own.sort())
      for (const { state } of network.running)
        for (const name of OWN)
          assert.deepEqual(Registry.lookup(state.registry, name)?.props?.bytes, LABEL)
    }
  })
})

describe("the last host of a supervisor", () => {
  test("leaves at once: there is nobody to wait for", () => {
    for (const names of [OWN, ["sup:stay/1", "sup:stay/2"]]) {
      const network = full(["just0", "main1", "main2"], [...names, ...MAIN])
      const before = holders(network, MAIN)
      const leaver = node(network, "just0")
      network.leave(leaver)
      const took = network.until("left", () => leaver.left, leaveMaxMillis)
      assert.ok(took < 2_000, `${took} ms`)
      settle(network)
      for (const name of names) assert.deepEqual(network.servers(name), [])
      assert.deepEqual(holders(network, MAIN), before)
    }
  })

  test("hands over what others can take before that", () => {
    const network = full(["both0", "main1"], [...OWN, ...MAIN, "sup:stay/1", "stay/1"])
    for (const name of MAIN) network.bump(name)
    const leaver = node(network, "both0")
    network.leave(leaver)
    const took = network.until("left", () => leaver.left, leaveMaxMillis)
    assert.ok(took < 3_000, `${took} ms`)
    settle(network)
    once(network, [...MAIN, "stay/1"])
    for (const name of MAIN) assert.equal(network.counter(name), 1)
    assert.deepEqual(node(network, "main1").shell.taken, [])
  })

  test("that dies leaves its names to the next one that comes, with their metadata", () => {
    const network = full(["just0", "main1", "main2"], OWN)
    for (const name of OWN) assert.ok(network.label(name, LABEL))
    settle(network)
    network.crash(node(network, "just0"), { machine: true })
    settle(network)
    network.run(20_000)
    for (const name of OWN) assert.deepEqual(network.servers(name), [])
    const next = join(network, "just3")
    const all = (): boolean => OWN.every((name) => next.shell.serves(name))
    network.until("taken over", all, 10_000)
    settle(network)
    once(network, OWN)
    for (const { state } of network.running)
      for (const name of OWN) {
        const entry = Registry.lookup(state.registry, name)
        assert.deepEqual(entry?.props?.bytes, LABEL)
        assert.ok((entry?.generation ?? 0) > 1)
      }
  })
})

describe("a node that hosts only a named supervisor", () => {
  test("is given no names of the default one, also when it is all that is left", () => {
    const network = full(["main0", "just1"], MAIN)
    assert.equal(node(network, "just1").shell.processes.size, 0)
    network.crash(node(network, "main0"), { machine: true })
    settle(network)
    network.run(5_000)
    const last = node(network, "just1")
    last.shell.want("count/late")
    last.shell.want("sup:count/late")
    network.run(2_000)
    assert.deepEqual([...last.shell.processes.keys()], ["sup:count/late"])
    assert.deepEqual([...last.shell.taken], [])
  })
})

describe("a start", () => {
  test("is denied when nobody hosts its supervisor, and sent on to who does", () => {
    const bench = new Bench("a")
    bench.ring(["a", "b"])
    const slot = Rings.slot("sup:count/1")
    assert.deepEqual(bench.ask(slot), [{ _tag: "Denied", id: 1 }])
    bench.step({
      _tag: "Ring",
      members: [
        { id: "a", weight: 1 },
        { id: "b", weight: 1, hosts: ["", "sup"] },
      ],
    })
    bench.now += 200
    bench.step({ _tag: "Tick" })
    for (let i = 0; i < 2; i++) bench.agree("b")
    assert.deepEqual(bench.ask(slot), [{ _tag: "Forward", id: 1, to: "b" }])
    assert.deepEqual(bench.ask(Rings.slot("other:count/1")), [{ _tag: "Denied", id: 1 }])
  })
})
