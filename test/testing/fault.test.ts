import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import {
  apart,
  describe as describeFault,
  type Fault,
  groupsOf,
  type Kind,
  momentary,
  nodesOf,
  type Trouble,
} from "../../src/testing/faults/fault.ts"
import { Faults } from "../../src/testing/faults/faults.ts"
import { arbitrary } from "../../src/testing/runs/arbitrary.ts"
import { QUEUE_BYTES } from "../../src/testing/world/network.ts"
import { Roads, SECOND } from "./roads.ts"

/** One of every kind, what it is called among a, b and c, and the nodes that it is about. */
const all: ReadonlyArray<readonly [Trouble, string, ReadonlyArray<number>]> = [
  [{ kind: "partition", groups: [[3, 1]] }, "partition a b | c", [0, 1, 2]],
  [{ kind: "isolate", node: 4 }, "isolate b", [1]],
  [{ kind: "ring" }, "ring", [0, 1, 2]],
  [{ kind: "bridge", node: 2 }, "bridge c", [2]],
  [{ kind: "oneway", from: 0, to: 5 }, "nothing gets from a to c", [0, 2]],
  [{ kind: "loss", ppm: 100 }, "loss ppm 100", [0, 1, 2]],
  [{ kind: "drop", link: [0, 4], ppm: 100 }, "drop a–b ppm 100", [0, 1]],
  [{ kind: "duplicate", link: undefined, ppm: 1 }, "duplicate all links ppm 1", [0, 1, 2]],
  [{ kind: "corrupt", ppm: 5 }, "corrupt ppm 5", [0, 1, 2]],
  [{ kind: "delay", link: [1, 2], micros: 7 }, "delay b–c micros 7", [1, 2]],
  [{ kind: "slow", node: 0, factor: 10 }, "slow a factor 10", [0]],
  [{ kind: "clog", link: [0, 1] }, "clog a–b", [0, 1]],
  [{ kind: "swizzle", nodes: [1, 0, 4] }, "swizzle b a", [1, 0]],
  [{ kind: "reset", link: [0, 1] }, "reset a–b", [0, 1]],
  [{ kind: "halfOpen", link: [0, 1] }, "halfOpen a–b", [0, 1]],
  [{ kind: "mtu", bytes: 7 }, "mtu bytes 7", [0, 1, 2]],
  [{ kind: "queue", bytes: 1 }, "queue bytes 1", [0, 1, 2]],
  [{ kind: "crash", node: 0 }, "crash a", [0]],
  [{ kind: "stop", node: 1 }, "stop b", [1]],
  [{ kind: "leave", node: 2 }, "leave c", [2]],
  [{ kind: "flap", node: 0, times: 3 }, "flap a times 3", [0]],
  [{ kind: "restart", node: 0, stale: true }, "restart a with an older incarnation", [0]],
  [{ kind: "pause", node: 0 }, "pause a", [0]],
  [{ kind: "suspend", node: 0 }, "suspend a", [0]],
  [{ kind: "throttle", node: 0, micros: 9 }, "throttle a micros 9", [0]],
  [{ kind: "skew", node: 0, micros: -9 }, "skew a micros -9", [0]],
  [{ kind: "drift", node: 0, ppm: 500 }, "drift a ppm 500", [0]],
  [{ kind: "step", node: 0, micros: 9 }, "step a micros 9", [0]],
  [{ kind: "freeze", node: 0 }, "freeze a", [0]],
  [{ kind: "join" }, "join", [0, 1, 2]],
  [{ kind: "strand", node: 0 }, "strand a", [0]],
]
const kinds: ReadonlyArray<Kind> = all.map(([{ kind }]) => kind)

describe("faults in words", () => {
  const names = ["a", "b", "c"]

  for (const [fault, words, nodes] of all)
    test(`${JSON.stringify(fault)} is ${words}`, () => {
      assert.equal(describeFault(fault, names), words)
      assert.deepEqual(nodesOf(fault, 3), nodes)
      // When it is and for how long is told elsewhere.
      assert.equal(describeFault({ ...fault, at: 1, for: 2 } as Fault, names), words)
    })

  test("tell crashes with the machine and restarts with a new identity from the others", () => {
    assert.equal(
      describeFault({ kind: "crash", node: 0, machine: true }, names),
      "crash a with its machine",
    )
    assert.equal(describeFault({ kind: "restart", node: 0 }, names), "restart a")
  })

  test("four kinds happen at one moment", () => {
    assert.deepEqual(kinds.filter(momentary), ["reset", "halfOpen", "restart", "step"])
  })
})

describe("groupsOf", () => {
  const groups = fc.array(fc.array(fc.nat({ max: 99 }), { maxLength: 5 }), { maxLength: 4 })

  test("puts each node into one group, the first that lists it, else with the rest at the end", () => {
    fc.assert(
      fc.property(groups, fc.integer({ min: 1, max: 8 }), (groups, size) => {
        const sides = groupsOf(groups, size)
        const nodes = Array.from({ length: size }, (_, i) => i)
        assert.deepEqual(sides.flat().toSorted(), nodes)
        assert.ok(sides.every((side) => side.length > 0))
        const first = (node: number): number =>
          groups.findIndex((group) => group.some((other) => other % size === node))
        for (const a of nodes)
          for (const b of nodes)
            assert.equal(
              sides.some((side) => side.includes(a) && side.includes(b)),
              first(a) === first(b),
            )
        const rest = nodes.filter((node) => first(node) < 0)
        if (rest.length > 0) assert.deepEqual(sides.at(-1), rest)
      }),
    )
  })
})

test("partitions and isolations put nodes apart, and nothing else does", () => {
  for (const [fault] of all) {
    const groups = apart(fault, 3)
    if (fault.kind === "partition") assert.deepEqual(groups, [[0, 1], [2]])
    else if (fault.kind === "isolate") assert.deepEqual(groups, [[1], [0, 2]])
    else assert.deepEqual(groups, [])
  }
  assert.deepEqual(apart({ kind: "isolate", node: 5 }, 1), [])
})

/** Everything about the hosts and their network that faults change, but for the state of clocks. */
function state({ network, world }: Roads): unknown {
  const { hosts, queueBytes, mtuBytes } = network
  const indices = hosts.map(({ index }) => index)
  const shut = indices.flatMap((a) =>
    indices.filter((b) => !network.open(a, b)).map((b) => `${a}>${b}`),
  )
  const of = (a: number, b: number): unknown => network.send(hosts[a]!, hosts[b]!, 1, () => "")
  const fates = indices.map((a) => of(a, (a + 1) % hosts.length) as { delayMicros: number })
  const [mtu, queue] = [mtuBytes === Number.POSITIVE_INFINITY, queueBytes === QUEUE_BYTES]
  const speeds = hosts.map(({ clock }) => {
    const [mono, wall] = [clock.mono(world.now + SECOND), clock.wall(world.now + SECOND)]
    return [mono - clock.mono(world.now), wall - clock.wall(world.now)]
  })
  return {
    shut,
    quick: fates.every(({ delayMicros }) => delayMicros <= 800),
    mtu,
    queue,
    speeds,
    hosts: hosts.map(({ running, paused, reachable, slowness, throttleMicros }) =>
      running ? { paused, reachable, slowness, throttleMicros } : "down",
    ),
  }
}

/** The state of so many hosts to which nothing has happened, and of some that have left again. */
function healthy(size: number, joined = 0): unknown {
  const roads = new Roads({ hosts: size })
  for (let i = 0; i < joined; i++) roads.down(roads.join(), "stop")
  return state(roads)
}

describe("every kind of fault", () => {
  for (const [fault] of all)
    test(`${fault.kind} leaves nothing behind when it ends, however often that is`, () => {
      const roads = new Roads({ hosts: 3 })
      const faults = new Faults(roads)
      const ongoing = faults.begin(fault)
      assert.deepEqual(faults.going, momentary(fault.kind) ? [] : [ongoing.what])
      assert.equal(faults.has(ongoing), !momentary(fault.kind))
      roads.pass(20)
      ongoing.end()
      ongoing.end()
      assert.deepEqual(faults.going, [])
      roads.pass(20)
      assert.deepEqual(state(roads), healthy(3, fault.kind === "join" ? 1 : 0))
    })

  test("that cuts, cuts off who joins later, in both directions, whoever lets it join", () => {
    for (const byFault of [false, true]) {
      const roads = new Roads({ hosts: 3 })
      const faults = new Faults(roads)
      const ongoing = faults.begin({ kind: "partition", groups: [[0]] })
      if (byFault) faults.begin({ kind: "join" })
      else faults.joined(roads.join())
      const open = (): ReadonlyArray<boolean> =>
        [0, 1].flatMap((a) => [roads.network.open(a, 3), roads.network.open(3, a)])
      assert.deepEqual(open(), [false, false, true, true])
      ongoing.end()
      assert.deepEqual(open(), [true, true, true, true])
    }
  })

  test("of one link leaves other connections alone", () => {
    for (const kind of ["reset", "halfOpen"] as const) {
      const roads = new Roads({ hosts: 3 })
      const [one, other] = [roads.connect(0, 1), roads.connect(0, 2)]
      new Faults(roads).begin({ kind, link: [0, 1] })
      for (const { dialled } of [one, other]) dialled.send("x")
      roads.pass(1)
      assert.deepEqual([one.accepted.texts, other.accepted.texts], [[], ["x"]])
    }
  })

  test("that is over before it has begun everywhere doesn't begin there any more", () => {
    const roads = new Roads({ hosts: 4 })
    const ongoing = new Faults(roads).begin({ kind: "swizzle", nodes: [0, 1, 2] })
    roads.pass(0.05)
    ongoing.end()
    roads.pass(0.3)
    assert.deepEqual(state(roads), healthy(4))
  })

  test("of speed makes nothing faster", () => {
    const roads = new Roads({ hosts: 2 })
    new Faults(roads).begin({ kind: "slow", node: 0, factor: 0.1 })
    assert.equal(roads.host(0).slowness, 1)
  })

  test("is told in the trace when it begins and ends, or only that it happened", () => {
    for (const [fault, what, nodes] of all) {
      const roads = new Roads({ hosts: 3 })
      const faults = new Faults(roads)
      faults.plan({ ...fault, at: 2 * SECOND, for: 3 * SECOND } as Fault, 7)
      roads.pass(10)
      const told = roads.world.trace.events.flatMap((event) =>
        event.kind === "fault" ? [event] : [],
      )
      const moment = momentary(fault.kind)
      const groups = apart(fault, 3)
      const all = { kind: "fault", fault: 7, what, nodes, groups, momentary: moment }
      const begin = { ...all, phase: "begin", at: 2 * SECOND }
      const end = { ...all, phase: "end", at: 5 * SECOND }
      assert.deepEqual(
        told.map(({ i: _i, by: _by, ...event }) => event),
        moment ? [begin] : [begin, end],
      )
    }
  })
})

describe("faults at the same time", () => {
  /** What a text of the state says before, after each of two faults has begun, and as each has ended. */
  function both(
    one: Trouble,
    other: Trouble,
    look: (roads: Roads) => unknown,
  ): ReadonlyArray<unknown> {
    const roads = new Roads({ hosts: 4 })
    const faults = new Faults(roads)
    const looks = [look(roads)]
    const going = [one, other].map((fault) => {
      const ongoing = faults.begin(fault)
      roads.pass(1)
      looks.push(look(roads))
      return ongoing
    })
    for (const { end } of going) {
      end()
      roads.pass(1)
      looks.push(look(roads))
    }
    return looks
  }

  test("of one kind each go on until both have ended", () => {
    const node = 1
    const open = ({ network }: Roads): boolean => network.open(0, 1)
    const partition: Trouble = { kind: "partition", groups: [[0]] }
    const isolate: Trouble = { kind: "isolate", node }
    assert.deepEqual(both(partition, isolate, open), [true, false, false, false, true])
    const slow = (factor: number): Trouble => ({ kind: "slow", node, factor })
    const slowness = (roads: Roads): number => roads.host(node).slowness
    assert.deepEqual(both(slow(1.1), slow(1.3), slowness), [1, 1.1, 1.3, 1.3, 1])
    const throttle = (micros: number): Trouble => ({ kind: "throttle", node, micros })
    const every = (roads: Roads): number => roads.host(node).throttleMicros
    assert.deepEqual(both(throttle(5), throttle(3), every), [0, 5, 5, 3, 0])
    const mtu = (bytes: number): Trouble => ({ kind: "mtu", bytes })
    const { POSITIVE_INFINITY } = Number
    const mtuBytes = ({ network }: Roads): number => network.mtuBytes
    assert.deepEqual(both(mtu(7), mtu(9), mtuBytes), [
      POSITIVE_INFINITY,
      7,
      7,
      9,
      POSITIVE_INFINITY,
    ])
    const queue = (bytes: number): Trouble => ({ kind: "queue", bytes })
    const queueBytes = ({ network }: Roads): number => network.queueBytes
    assert.deepEqual(both(queue(0), queue(9), queueBytes), [QUEUE_BYTES, 1, 1, 9, QUEUE_BYTES])
    const skew = (micros: number): Trouble => ({ kind: "skew", node, micros })
    const wall = (roads: Roads): number =>
      roads.host(node).clock.wall(roads.world.now) - roads.world.now
    assert.deepEqual(both(skew(5), skew(-9), wall), [0, 5, -4, -9, 0])
    const paused = (roads: Roads): boolean => roads.host(node).paused
    const [pause, suspend] = [{ kind: "pause", node } as const, { kind: "suspend", node } as const]
    assert.deepEqual(both(pause, suspend, paused), [false, true, true, true, false])
    const delay = (micros: number): Trouble => ({ kind: "delay", link: [0, 1], micros })
    const late = ({ network }: Roads): number =>
      Math.floor(
        network.send(network.hosts[0]!, network.hosts[1]!, 1, () => "").delayMicros / SECOND,
      )
    assert.deepEqual(both(delay(SECOND), delay(2 * SECOND), late), [0, 1, 3, 2, 0])
    const strand: Trouble = { kind: "strand", node }
    const refused = (roads: Roads): boolean => roads.dial(node, 0) === "refused"
    assert.deepEqual(both(strand, strand, refused), [false, true, true, true, false])
  })

  /** What becomes of host a under these faults: begin, end and fault. */
  function lives(
    ...plan: ReadonlyArray<readonly [number, number, Trouble]>
  ): ReadonlyArray<string> {
    const roads = new Roads()
    const faults = new Faults(roads)
    plan.forEach(([at, end, fault], i) => {
      faults.plan({ ...fault, at: at * SECOND, for: (end - at) * SECOND } as Fault, i)
    })
    roads.pass(100)
    assert.deepEqual(faults.going, [])
    return roads.lives.map((life) => life.replace(/ a$/, ""))
  }

  const node = 0
  const crash: Trouble = { kind: "crash", node }

  test("that keep a node down: it comes up when the last of them ends", () => {
    assert.deepEqual(lives([1, 5, crash], [2, 9, crash]), ["1 crash", "9 up"])
    assert.deepEqual(lives([1, 9, crash], [2, 5, { kind: "stop", node }]), ["1 crash", "9 up"])
    assert.deepEqual(lives([1, 5, { ...crash, machine: true }]), ["1 machine", "5 up"])
    assert.deepEqual(lives([1, 5, { kind: "leave", node }], [2, 9, crash]), [
      "1 leave",
      "2 crash",
      "9 up",
    ])
  })

  test("a restart of a node that is kept down changes nothing", () => {
    const restart: Trouble = { kind: "restart", node, stale: true }
    assert.deepEqual(lives([1, 5, crash], [2, 2, restart]), ["1 crash", "5 up"])
    assert.deepEqual(lives([2, 2, restart]), ["2 crash", "2 stale"])
  })

  test("one that is still leaving when it should be back is started once it has left", () => {
    assert.deepEqual(lives([1, 2, { kind: "leave", node }]), ["1 leave", "4 up"])
    assert.deepEqual(lives([1, 5, { kind: "leave", node }]), ["1 leave", "5 up"])
    assert.deepEqual(lives([1, 2, { kind: "leave", node }], [3, 9, crash]), [
      "1 leave",
      "3 crash",
      "9 up",
    ])
  })

  test("one that somebody else has started again is left alone", () => {
    const roads = new Roads()
    const faults = new Faults(roads)
    const ongoing = faults.begin(crash)
    roads.pass(1)
    roads.start(roads.host(node))
    ongoing.end()
    roads.pass(1)
    roads.crash(roads.host(node))
    roads.pass(10)
    assert.deepEqual(roads.lives, ["0 crash a"])
    assert.equal(roads.world.next(), undefined)
  })

  test("flapping is down and up for half a second each, and up in the end", () => {
    const flap = (times: number): Trouble => ({ kind: "flap", node, times })
    const turns = ["1 crash", "1.5 up", "2 crash", "2.5 up"]
    assert.deepEqual(lives([1, 9, flap(2)]), turns)
    assert.deepEqual(lives([1, 2.25, flap(9)]), [...turns.slice(0, 3), "2.25 up"])
    assert.deepEqual(lives([1, 2.75, flap(9)]), turns)
    assert.deepEqual(lives([1, 3, flap(2)], [1.25, 1.75, crash]), [
      "1 crash",
      "1.75 up",
      ...turns.slice(2),
    ])
  })
})

describe("plans of faults", () => {
  const plans = arbitrary({
    nodes: { min: 1, max: 8 },
    operations: [],
    faults: kinds,
    faultsMax: 30,
    horizon: "30 seconds",
    downMax: 8,
  })

  test("stay plans with any of their faults only, on any smaller number of nodes", () => {
    fc.assert(
      fc.property(plans, fc.nat(), fc.integer({ min: 1, max: 8 }), (plan, some, nodes) => {
        const size = Math.min(nodes, plan.nodes)
        const faults = plan.faults.filter((_, i) => ((some >> (i % 31)) & 1) === 1)
        const roads = new Roads({ hosts: size })
        const going = new Faults(roads)
        faults.forEach((fault, i) => {
          going.plan(fault, i, size)
        })
        roads.pass(200)
        assert.deepEqual(going.going, [])
        const joined = faults.filter(({ kind }) => kind === "join").length
        assert.deepEqual(state(roads), healthy(size, joined))
      }),
    )
  })

  test("mean the same nodes whether others have joined or not", () => {
    const roads = new Roads({ hosts: 3 })
    const faults = new Faults(roads)
    faults.plan({ kind: "join", at: 0, for: 50 * SECOND }, 0, 3)
    const later = { at: SECOND, for: SECOND }
    faults.plan({ kind: "pause", node: 7, ...later }, 1, 3)
    faults.plan({ kind: "oneway", from: 3, to: 8, ...later }, 2, 3)
    faults.plan({ kind: "clog", link: [4, 3], ...later }, 3, 3)
    faults.plan({ kind: "partition", groups: [[5]], ...later }, 4, 3)
    roads.pass(1.5)
    assert.deepEqual(faults.going, [
      "join",
      "pause b",
      "nothing gets from a to c",
      "clog b–a",
      "partition c | a b",
    ])
    assert.deepEqual(
      roads.network.hosts.map(({ paused }) => paused),
      [false, true, false, false],
    )
    const open = (a: number, b: number): boolean => roads.network.open(a, b)
    // Who has joined is with those that no group lists.
    assert.deepEqual(
      [open(0, 2), open(0, 1), open(3, 2), open(3, 0), open(3, 1)],
      [false, false, false, true, true],
    )
  })

  test("leave the fates of all other packets as they are when one fault is taken out", () => {
    const lossy = (link: readonly [number, number] | undefined, kind: "loss" | "drop"): Fault => ({
      kind,
      link,
      ppm: 300_000,
      at: 0,
      for: 100 * SECOND,
    })
    const fates = (
      plan: ReadonlyArray<Fault>,
      from: number,
      to: number,
    ): ReadonlyArray<unknown> => {
      const roads = new Roads({ hosts: 4 })
      const faults = new Faults(roads)
      plan.forEach((fault, i) => {
        faults.plan(fault, i, 4)
      })
      roads.pass(1)
      const [a, b] = [roads.host(from), roads.host(to)]
      return Array.from({ length: 200 }, () => {
        const { fate, delayMicros } = roads.network.send(a, b, 1, () => "")
        return [fate, delayMicros]
      })
    }
    const plan = [lossy([0, 1], "loss"), lossy([2, 3], "loss"), lossy([2, 3], "drop")]
    const alone = fates([plan[1]!], 2, 3)
    assert.deepEqual(fates(plan.slice(0, 2), 2, 3), alone)
    assert.notDeepEqual(fates([], 2, 3), alone)
    // What is dropped besides is dropped by lots of its own.
    const dropped = fates(plan, 2, 3)
    const late = (all: ReadonlyArray<unknown>): ReadonlyArray<unknown> =>
      all.map((fate) => (fate as [string, number])[1])
    assert.deepEqual(late(dropped), late(alone))
    const count = dropped.filter((fate) => (fate as [string, number])[0] === "drop").length
    assert.ok(count > 40 && count < 80, `${count}`)
    const twice = dropped.filter((fate) => {
      const [verdict, micros] = fate as [string, number]
      return verdict === "drop" && micros >= 600_000
    }).length
    const slow = dropped.filter((fate) => (fate as [string, number])[1] >= 600_000).length
    assert.ok(twice < slow, "what is lost twice is always dropped")
  })
})
