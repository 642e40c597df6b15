/** Cores alone on hosts: their runs, nodes, names and links. Faults are in core-faults.test.ts. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Invariants from "../../src/core/invariants.ts"
import type { Input, Output, State } from "../../src/core/membership.ts"
import { type Core, Cores, type CoresOptions } from "../../src/testing/cores/cores.ts"
import {
  type Letter,
  type Life,
  type Link,
  Machines,
  membership,
} from "../../src/testing/cores/machine.ts"
import { SimulationFailed } from "../../src/testing/runs/check.ts"
import { count, saw } from "./cores.ts"

const NAMES = Array.from({ length: 12 }, (_, i) => `count/${i}`)

describe("a run", () => {
  test("is the same for the same seed, and another one for another seed", () => {
    const run = (seed: number): string => {
      const cores = full(4, { seed, lax: true })
      cores.faults.begin({ kind: "partition", groups: [[0, 1]] })
      cores.run(8_000)
      cores.faults.end()
      cores.run(20_000)
      return `${cores.world.trace.hash} ${cores}`
    }
    assert.equal(run(3), run(3))
    assert.notEqual(run(3), run(4))
  })

  test("depends on what the messages say, not only on when they are sent", () => {
    const run = (seq: number): string => {
      const cores = new Cores({ seed: 1 })
      const [a] = cores.formed(2) as [Core]
      cores.post(a, a.links.get("b") as Link, { _tag: "PingReply", seq } as Letter)
      cores.run(10)
      return cores.world.trace.hash
    }
    assert.equal(run(1), run(1))
    assert.notEqual(run(1), run(2))
  })

  test("throws what is wrong as soon as it is: two servers of one name, where faults don't excuse it", () => {
    const cores = full(2, { seed: 1 })
    cores.split(cores.nodes.slice(0, 1), cores.nodes.slice(1))
    assert.throws(
      () => cores.run(20_000),
      (error) => error instanceof SimulationFailed && error.check === "one-owner",
    )
    assert.match(cores.complaint?.message ?? "", /is served by (a and b|b and a)/)
  })
})

describe("nodes", () => {
  test("form a cluster: each has one link to each other, and both sides mean the same connection", () => {
    for (let seed = 0; seed < 20; seed++) {
      const cores = new Cores({ seed })
      const nodes = cores.formed(5, 500)
      for (const a of nodes) {
        assert.ok(a.ready)
        assert.equal(a.links.size, 4)
        assert.deepEqual(a.links.dialling, [])
        for (const b of nodes) {
          const [there, back] = [a.links.get(b.name), b.links.get(a.name)]
          if (a === b) continue
          assert.notEqual(there?.initiator, back?.initiator, `${a.name} and ${b.name}`)
          assert.equal(cores.network.between(a.host, b.host).length, 1)
        }
      }
    }
  })

  test("that are born knowing each other agree as others do, and go on as others do", () => {
    const cores = new Cores({ seed: 2, membersMax: 100 })
    const nodes = cores.grown(40)
    assert.ok(cores.now <= 300, `${cores.now} ms`)
    assert.equal(Invariants.agreed(nodes.map(({ state }) => state.membership)), undefined)
    cores.want("count/1")
    cores.until("started", () => cores.servers("count/1").length === 1, 1_000)
    const [first, ...rest] = nodes as [Core, ...Array<Core>]
    cores.crash(first)
    cores.until("noticed", () => cores.unrest(rest), 1_000)
    const late = cores.start("late")
    cores.until("joined", () => cores.unrest([...rest, late]), 5_000)
  })

  test("notice a silent crash after more than 4 and less than 5 s, one that hangs up within 1 s", () => {
    for (let seed = 0; seed < 10; seed++) {
      for (const machine of [true, false]) {
        const cores = new Cores({ seed })
        const [first, ...rest] = cores.formed(5) as [Core, ...Array<Core>]
        cores.run(3_000)
        cores.crash(first, { machine })
        cores.run(5)
        // A machine that is still there hangs up at once.
        assert.ok(rest.every(({ links }) => (links.get("a") === undefined) !== machine))
        const noticed = (): boolean => rest.every((node) => saw(node, "Down", "a"))
        const took = cores.until("noticed", noticed, 10_000)
        assert.ok(machine ? took > 3_900 && took < 5_000 : took < 1_000, `${took} ms`)
      }
    }
  })

  test("that stood still are down for the others meanwhile, say that they slept, and come back", () => {
    for (const kind of ["pause", "suspend"] as const) {
      const cores = full(3, { seed: 5, lax: true })
      const [sleeper, ...rest] = cores.nodes as [Core, ...Array<Core>]
      const before = sleeper.now
      const fault = cores.faults.begin({ kind, node: 0 })
      cores.run(10_000)
      for (const node of rest) assert.ok(saw(node, "Down", "a"))
      assert.equal(sleeper.now - before < 1, kind === "suspend")
      fault.end()
      cores.until("awake", () => cores.unrest(cores.nodes), 20_000)
      // Its machine's monotonic clock stood still as well: then it can't tell.
      assert.equal(saw(sleeper, "Slept"), kind === "pause")
      once(cores)
    }
  })

  test("of which one starts again with a clock that went back take the younger of it, not the older", () => {
    const cores = new Cores({ seed: 6 })
    const [first, ...rest] = cores.formed(3) as [Core, ...Array<Core>]
    cores.run(5_000)
    cores.faults.begin({ kind: "restart", node: 0, stale: true })
    const again = cores.at(first.host) as Core
    assert.equal(first.running, false)
    assert.ok(again.options.epoch < first.options.epoch)
    cores.until("back", () => cores.unrest([again, ...rest]), 10_000)
    assert.ok(saw(again, "EpochChanged"))
    assert.ok(again.identity.epoch > first.identity.epoch)
    assert.ok(rest.every((node) => saw(node, "Superseded", "a")))
    assert.ok(rest.every(({ links }) => links.get("a") !== undefined))
  })

  test("that start again get another identity", () => {
    const cores = new Cores({ seed: 6 })
    const [first] = cores.formed(3) as [Core]
    cores.run(100)
    const again = cores.start("a")
    assert.ok(again.options.epoch > first.options.epoch)
    assert.notEqual(again.options.instance, first.options.instance)
    cores.until("back", () => cores.unrest(), 10_000)
    assert.ok(saw(cores.nodes[1] as Core, "Superseded", "a"))
  })

  test("of which two have one name keep one of them: the other one is told, and stops", () => {
    for (let seed = 0; seed < 10; seed++) {
      const cores = new Cores({ seed, lax: true })
      const [first, b, c] = cores.formed(3) as [Core, Core, Core]
      const twin = cores.start("a", { address: "elsewhere" })
      const conflicts = (): ReadonlyArray<Core> =>
        [first, twin].filter((node) => saw(node, "NameConflict"))
      cores.until("one gives way", () => conflicts().length === 1, 10_000)
      const [stopped] = conflicts()
      assert.equal(stopped?.running, false)
      cores.until("one is left", () => cores.unrest(), 20_000)
      assert.deepEqual(new Set(cores.running), new Set([b, c, stopped === first ? twin : first]))
    }
  })

  test("don't dial themselves, nor again whom they are linked to", () => {
    const net = new Machines({ seed: 1, machine: membership })
    const a = net.start("a", { address: "here", seeds: ["here", "there"] })
    const b = net.start("b", { address: "there" })
    net.until("linked", () => a.links.size === 1 && b.links.size === 1, 1_000)
    const failures = [watch(net, "a"), watch(net, "b")]
    a.links.dial("here", undefined)
    a.links.dial("nowhere", undefined)
    b.links.dial("here", undefined)
    net.run(30)
    assert.deepEqual(failures, [["nowhere: refused", "here: self"], ["here: duplicate"]])
    assert.deepEqual([a.links.dialling, b.links.dialling], [[], []])
    assert.deepEqual([a.links.size, b.links.size], [1, 1])
    assert.equal(net.network.connections.size, 1)
  })

  test("that dial each other keep the connection of the lower name", () => {
    const latencyMicros = [500, 500] as const
    const net = new Machines({ seed: 1, machine: membership, noise: { latencyMicros } })
    const failures = watch(net, "b")
    const [a, b] = net.cluster(2) as [Member, Member]
    net.run(20)
    assert.deepEqual(failures, ["a: duplicate"])
    assert.deepEqual([a.links.get("b")?.initiator, b.links.get("a")?.initiator], ["us", "them"])
  })

  test("take a peer's new connection for their own, once that is silent for three seconds", () => {
    const net = new Machines({ seed: 1, machine: membership })
    const [a, b] = net.cluster(2) as [Member, Member]
    net.run(1_000)
    const readAt = a.links.get("b")?.readAt ?? 0
    const failures = watch(net, "b")
    net.faults.begin({ kind: "halfOpen", link: [0, 1] })
    b.links.get("a")?.destroy()
    net.until("linked again", () => a.links.get("b")?.initiator === "them", 4_000)
    assert.ok(failures.length > 0 && failures.every((failure) => failure === "a: duplicate"))
    assert.ok(net.now - readAt > 3_000, `after ${net.now - readAt} ms`)
    assert.ok([a, b].every(({ events }) => events.every(({ event }) => event._tag !== "Down")))
  })

  test("whose connections both came about keep that of the lower name, too", () => {
    const net = new Machines({ seed: 1, machine: membership })
    const [a, b] = [net.start("a"), net.start("b")]
    // b's connection stands for a, which dials as well, before b has heard of it.
    net.network.rule(({ from, what }) =>
      from === a.host.index && what() === "Welcome" ? { delayMicros: 20_000 } : "pass",
    )
    let [ups, downs] = [0, 0]
    net.steps.add((node, input) => {
      if (node === a && input?._tag === "LinkUp" && ups++ === 0) a.links.dial("b", undefined)
      if (node === b && input?._tag === "LinkDown") downs++
    })
    b.links.dial("a", undefined)
    net.run(40)
    assert.deepEqual([a.links.get("b")?.initiator, b.links.get("a")?.initiator], ["us", "them"])
    assert.equal(net.network.connections.size, 1)
    assert.deepEqual([ups, downs], [2, 0])
  })
})

describe("names", () => {
  test("have one server after everything that happens, while nodes join and nothing goes wrong", () => {
    const cores = full(3, { seed: 7 })
    for (const name of NAMES) for (let i = 0; i < 5; i++) cores.bump(name)
    cores.join()
    let moving = 0
    const { world } = cores
    const end = world.now + 5_000_000
    while (world.step(end)) {
      for (const name of NAMES) {
        const { length } = cores.servers(name)
        assert.ok(length <= 1, `${name} has ${length} servers at ${cores.now}`)
        if (length === 0) moving++
      }
    }
    assert.ok(moving > 0, "nothing moved")
    assert.ok(NAMES.some((name) => cores.servers(name)[0]?.name === "d"))
    for (const name of NAMES) assert.equal(cores.counter(name), 5)
    once(cores)
  })

  test("keep what was counted when their node leaves, which then ends; nobody takes over from it", () => {
    for (let seed = 0; seed < 10; seed++) {
      const cores = full(3, { seed })
      const [leaver] = cores.nodes as [Core]
      for (let i = 0; i < 40; i++) cores.bump(NAMES[i % NAMES.length] as string)
      assert.ok(leaver.shell.processes.size > 0)
      cores.leave(leaver)
      while (!leaver.left) {
        for (const name of NAMES) cores.bump(name)
        cores.run(1)
      }
      assert.equal(leaver.running, false)
      cores.until("calm", () => cores.unrest(), 10_000)
      for (const [name, count] of cores.counted) assert.equal(cores.counter(name), count, name)
      for (const node of cores.nodes) assert.deepEqual(node.shell.taken, [])
      assert.ok(cores.running.every((node) => saw(node, "Left", "a")))
      assert.ok(cores.running.every((node) => !saw(node, "Down")))
    }
  })

  test("are taken over, without their state, from a node that crashes", () => {
    const cores = full(3, { seed: 1 })
    cores.bump(NAMES[0] as string)
    const server = cores.servers(NAMES[0] as string)[0] as Core
    cores.crash(server)
    cores.run(2_000)
    once(cores)
    assert.equal(cores.counter(NAMES[0] as string), 0)
    assert.ok(cores.running.some(({ shell }) => shell.taken.includes(NAMES[0] as string)))
  })
})

describe("links", () => {
  test("lose and double messages, and let them overtake, when they are told to", () => {
    const counts = ([{}, { lossPpm: 300_000 }, { doublePpm: 900_000 }] as const).map((options) => {
      const cores = new Cores({ seed: 1, ...options })
      const pings = count(cores, ["Ping"])
      cores.cluster(3)
      cores.run(10_000)
      return pings()
    }) as [number, number, number]
    assert.ok(counts[1] < 0.9 * counts[0], `${counts}`)
    assert.ok(counts[2] > 1.5 * counts[0], `${counts}`)
    for (const reorder of [false, true]) {
      const net = new Machines({ seed: 1, machine: membership, reorder })
      const seqs: Array<number> = []
      net.filter = (to, from, letter) => {
        if ("seq" in letter && from === "a" && to.name === "b") seqs.push(letter.seq as number)
        return false
      }
      const [a] = net.cluster(2)
      net.run(100)
      const link = a?.links.get("b")
      for (let seq = 0; seq < 20; seq++) link?.send({ _tag: "Test", seq } as { _tag: string })
      seqs.length = 0
      net.run(5)
      assert.equal(new Set(seqs).size, 20)
      assert.equal(isSorted(seqs), !reorder, `${seqs}`)
    }
  })

  test("carry what overtakes the end of their handshake once it is done", () => {
    const net = new Machines({ seed: 1, machine: membership, reorder: true })
    net.network.rule(({ what }) => (what() === "Welcome" ? { delayMicros: 20_000 } : "pass"))
    net.start("b")
    const a = net.start("a", { seeds: ["b"] })
    const came: Array<string> = []
    net.steps.add((node, input) => {
      if (node === a && input?._tag === "Message") came.push(input.message._tag)
      else if (node === a && input !== undefined) came.push(input._tag)
    })
    net.until("linked", () => came.includes("LinkUp"), 200, 0.1)
    const from = came.indexOf("LinkUp")
    assert.deepEqual(came.slice(from, from + 2), ["LinkUp", "Claims"])
  })

  test("bring what was cut as streams send it again, and what was clogged at once", () => {
    for (const kind of ["cut", "clog"] as const) {
      const cores = new Cores({ seed: 1 })
      const [a, b] = cores.formed(2) as [Core, Core]
      cores.cut(a, b, kind)
      cores.run(1_500)
      const came = count(cores, ["Ping", "Ack"])
      cores.mend()
      cores.run(5)
      assert.equal(came() > 0, kind === "clog")
    }
  })
})

type Member = Life<State, Input, Output>

/** The dials of a node that come to nothing from now on, and why. */
function watch(net: Machines<State, Input, Output>, name: string): Array<string> {
  const failures: Array<string> = []
  net.steps.add((node, input) => {
    if (node.name === name && input?._tag === "DialFailed")
      failures.push(`${input.address}: ${input.reason}`)
  })
  return failures
}

/** A settled cluster in which every name is started. */
function full(size: number, options: CoresOptions): Cores {
  const cores = new Cores(options)
  const nodes = cores.formed(size)
  for (const [i, name] of NAMES.entries()) cores.want(name, nodes[i % size])
  const started = (): boolean => NAMES.every((name) => cores.servers(name).length === 1)
  cores.until("started", started, 2_000)
  cores.until("settled", () => cores.unrest(), 10_000)
  return cores
}

/** Every name has one server, and everybody knows which. */
function once(cores: Cores): void {
  const registries = cores.running.map(({ state }) => state.registry)
  assert.equal(Invariants.unanimous(registries), undefined)
  for (const name of NAMES) assert.equal(cores.servers(name).length, 1, `${name}\n${cores}`)
}

function isSorted(numbers: ReadonlyArray<number>): boolean {
  return numbers.every((number, i) => i === 0 || (numbers[i - 1] as number) <= number)
}
