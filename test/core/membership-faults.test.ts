import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Input } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import type { NetworkOptions, Node } from "./network-membership.ts"
import { Network, seen } from "./network-membership.ts"

// What holds at every step of every node (2, 3, 4, 7, 15) is checked by the network itself.

describe("any faults", () => {
  test("8. After any faults end, everybody agrees within 15 s on who runs, and it stays so", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { net, nodes } = play(schedule)
        net.settle(nodes, 15_000)
        const downs = nodes.map((node) => seen(node, "Down"))
        net.run(6_000)
        assert.deepEqual(
          nodes.map((node) => seen(node, "Down")),
          downs,
        )
      }),
      { numRuns: 60 },
    )
  })

  test("8. Also when messages are lost, doubled and overtake each other, as on no real link", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const lossy = { lossPercent: 10, doublePercent: 10, reorder: true }
        const { net, nodes } = play(schedule, lossy)
        net.settle(nodes, 25_000)
      }),
      { numRuns: 30 },
    )
  })

  test("the same inputs give the same outputs, whatever becomes of the objects", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { net } = play(schedule, { record: true })
        for (const { born, log } of net.nodes) {
          let step = Membership.init(copy(born.options), born.at)
          for (const { input, outputs } of log) {
            if (input !== undefined) step = Membership.step(step.state, copy(input))
            assert.equal(JSON.stringify(step.outputs), outputs)
          }
        }
      }),
      { numRuns: 10 },
    )
  })

  test("15. A tick that comes early or twice does nothing", () => {
    fc.assert(
      fc.property(schedules, (schedule) => {
        const { net, nodes } = play(schedule)
        for (let i = 0; i < 40; i++) {
          for (const node of nodes) {
            const wake = Membership.wakeAt(node.state)
            if (wake <= net.now) continue
            for (const now of [net.now, net.now - 5, 0]) {
              const { state, outputs } = Membership.step(node.state, { _tag: "Tick", now })
              assert.deepEqual(outputs, [])
              assert.equal(Membership.wakeAt(state), wake)
            }
          }
          net.run(50)
        }
      }),
      { numRuns: 10 },
    )
  })
})

describe("false alarms", () => {
  test("5. A stall of 3.5 s of one node never removes anybody anywhere", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { net, nodes } = calm(2 + (seed % 8), seed)
      const stalled = nodes[net.chance("who", nodes.length)] as Node
      net.pause(stalled)
      net.run(3_500)
      net.resume(stalled)
      net.run(8_000)
      assertNobodyDown(net, nodes)
    }
  })

  test("5. Nor of any part of the cluster together, nor of one after the other", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const { net, nodes } = calm(2 + (seed % 8), seed)
      const stalled = nodes.filter(() => net.chance("who", 2) === 0)
      const waits = stalled.map(() => net.chance("wait", 2) * net.chance("later", 500))
      for (const [i, node] of stalled.entries()) {
        net.run(waits[i] as number)
        net.pause(node)
      }
      const already = waits.slice(1).reduce((sum, wait) => sum + wait, 0)
      net.run(Math.max(0, 3_500 - already))
      for (const node of stalled) net.resume(node)
      net.run(8_000)
      assertNobodyDown(net, nodes)
    }
  })

  test("5. Nobody is removed earlier than 3 s after the first accusation unless its socket was closed", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { net, nodes } = calm(9, seed)
      const [victim, ...rest] = nodes as [Node, ...Array<Node>]
      net.pause(victim)
      net.run(6_000)
      for (const node of rest) {
        const at = (tag: string): number =>
          node.events.find(({ event }) => event._tag === tag)?.at ?? Number.NaN
        // The others' word comes a little earlier than the own clock's.
        assert.ok(at("Down") - at("Suspect") > 2_990, `${at("Down") - at("Suspect")} ms`)
      }
    }
  })

  test("6. Five of eight observers that hear nothing don't remove a healthy member", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(9, seed)
      const deaf = nodes.slice(4)
      for (const node of deaf) for (const other of nodes) if (other !== node) net.cut(other, node)
      net.run(12_000)
      for (const node of nodes.slice(0, 4)) {
        for (const healthy of ["n0", "n1", "n2", "n3"]) assert.equal(seen(node, "Down", healthy), 0)
      }
    }
  })

  test("6. Observers that can't reach a member directly find it through others, and accuse nobody", () => {
    for (const oneWay of [false, true]) {
      const { net, nodes } = calm(5, 2)
      const [a, b, c] = nodes as [Node, Node, Node]
      for (const other of [b, c]) {
        net.cut(a, other)
        if (!oneWay) net.cut(other, a)
      }
      net.run(60_000)
      for (const node of nodes) assert.equal(seen(node, "Suspect"), 0)
      assertNobodyDown(net, nodes)
    }
  })

  test("a node that can't hear, or can't be heard, is removed; the others stay", () => {
    for (const deaf of [true, false]) {
      const { net, nodes } = calm(5, 3)
      const [broken, ...rest] = nodes as [Node, ...Array<Node>]
      for (const node of rest) deaf ? net.cut(node, broken) : net.cut(broken, node)
      net.run(6_000)
      for (const node of rest) {
        assert.equal(seen(node, "Down", "n0"), 1)
        assert.equal(seen(node, "Down"), 1)
        assert.equal(seen(node, "Up"), 4)
      }
      net.mend()
      net.settle(nodes, 15_000)
    }
  })

  test("a node whose connections are refused, though it runs, refutes that", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(2 + (seed % 4), seed)
      const [deaf, ...rest] = nodes as [Node, ...Array<Node>]
      deaf.listening = false
      for (const node of rest) net.reset(deaf, node)
      net.run(5_000)
      assertNobodyDown(net, nodes)
      net.settle(nodes, 1_000)
    }
  })

  test("connections that break again and again remove nobody", () => {
    const { net, nodes } = calm(4, 5)
    for (let i = 0; i < 200; i++) {
      const a = nodes[net.chance("a", 4)] as Node
      const b = nodes[net.chance("b", 4)] as Node
      if (a !== b) net.reset(a, b)
      net.run(net.chance("wait", 300))
    }
    assertNobodyDown(net, nodes)
    net.settle(nodes, 1_000)
  })

  test("a node that slept says so, is a member again, and removes nobody for it", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const { net, nodes } = calm(4, seed)
      const [sleeper, ...rest] = nodes as [Node, ...Array<Node>]
      net.pause(sleeper)
      net.run(60_000)
      for (const node of rest) assert.equal(seen(node, "Down", "n0"), 1)
      net.resume(sleeper)
      net.settle(nodes, 12_000)
      assert.equal(seen(sleeper, "Slept"), 1)
      assert.equal(seen(sleeper, "Down"), 0)
      for (const node of rest) assert.equal(seen(node, "Up", "n0"), 2)
    }
  })
})

describe("splits", () => {
  test("9. Who stays connected is never down for each other, during a split and its heal", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 9 }),
        fc.nat(1_000_000),
        fc.array(fc.integer({ min: 500, max: 20_000 }), { minLength: 1, maxLength: 3 }),
        (size, seed, waits) => {
          const { net, nodes } = calm(size, seed)
          const side = nodes.map(() => net.chance("side", 2))
          const [some, others] = [0, 1].map((which) => nodes.filter((_, i) => side[i] === which))
          for (const wait of waits) {
            net.split(some ?? [], others ?? [])
            net.run(wait)
            net.mend()
            net.run(net.chance("healed", 3_000))
          }
          net.settle(nodes, 13_000)
          for (const group of [some ?? [], others ?? []]) {
            for (const node of group) {
              for (const { name } of group) assert.equal(seen(node, "Down", name), 0)
            }
          }
        },
      ),
      { numRuns: 40 },
    )
  })

  test("a split heals within 10 s of its end nine times in ten, within 13 s always", () => {
    const times: Array<number> = []
    for (let seed = 1; seed <= 30; seed++) {
      const { net, nodes } = calm(6, seed)
      net.split(nodes.slice(0, 3), nodes.slice(3))
      net.run(30_000 + net.chance("split", 5_000))
      for (const node of nodes) assert.equal(seen(node, "Down"), 3)
      net.mend()
      times.push(net.settle(nodes, 13_000))
    }
    times.sort((a, b) => a - b)
    assert.ok((times[27] as number) <= 10_000, times.join())
  })

  test("a node that is cut off learns that it is alone", () => {
    const { net, nodes } = calm(3, 1)
    const [alone, ...rest] = nodes as [Node, ...Array<Node>]
    net.split([alone], rest)
    net.run(6_000)
    assert.equal(seen(alone, "Isolated"), 1)
    for (const node of rest) assert.equal(seen(node, "Isolated"), 0)
  })
})

describe("garbage", () => {
  test("15. No input throws, spoils the state or stops the clock", () => {
    fc.assert(
      fc.property(fc.array(garbage, { maxLength: 40 }), fc.nat(1000), (inputs, seed) => {
        const { net, nodes } = calm(3, seed, 100)
        const node = nodes[0] as Node
        net.honest = false
        for (const input of inputs) net.input(node, input as Input)
        net.run(1_000)
      }),
      { numRuns: 150 },
    )
  })

  test("15. A clock that says nonsense is not believed", () => {
    const { nodes } = calm(3, 1)
    const { state } = nodes[0] as Node
    const wake = Membership.wakeAt(state)
    for (const now of [
      Number.NaN,
      -1,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      2 ** 60,
    ]) {
      const outputs = Membership.step(state, { _tag: "Tick", now }).outputs
      assert.deepEqual(outputs, [])
      assert.equal(Membership.wakeAt(state), wake)
    }
  })
})

// --- schedules -----------------------------------------------------------------------------------

interface Schedule {
  readonly seed: number
  readonly size: number
  readonly latencyMillis: number
  readonly faults: ReadonlyArray<{
    readonly kind: (typeof kinds)[number]
    readonly a: number
    readonly b: number
    readonly millis: number
  }>
}

const kinds = [
  ...(["cut", "cut both", "split", "mend", "pause", "resume", "exit", "crash"] as const),
  ...(["reset", "leave", "disconnect", "deafen"] as const),
] as const

const schedules: fc.Arbitrary<Schedule> = fc.record({
  seed: fc.nat(2 ** 31),
  size: fc.integer({ min: 1, max: 9 }),
  latencyMillis: fc.constantFrom(1, 20, 80),
  faults: fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      a: fc.nat(8),
      b: fc.nat(8),
      millis: fc.nat(6_000),
    }),
    { maxLength: 12 },
  ),
})

/** Plays the faults, then ends them all. The nodes are those that run then. */
function play(
  { seed, size, latencyMillis, faults }: Schedule,
  more: Partial<NetworkOptions> = {},
): { readonly net: Network; readonly nodes: ReadonlyArray<Node> } {
  const net = new Network({ seed, latencyMillis, ...more })
  const nodes = [...net.cluster(size)]
  const addresses = nodes.map(({ address }) => address)
  const again = (node: Node): void => {
    net.run(net.chance("gone", 6_000))
    const epoch = net.chance("clock", 5) === 0 ? 1 : node.state.self.epoch + 1
    const next = net.start(node.name, addresses, { epoch })
    net.input(next, { _tag: "Synced" })
    nodes[nodes.indexOf(node)] = next
  }
  for (const { kind, a, b, millis } of faults) {
    const [one, other] = [nodes[a % size] as Node, nodes[b % size] as Node]
    switch (kind) {
      case "cut":
        net.cut(one, other)
        break
      case "cut both":
        net.split([one], [other])
        break
      case "split": {
        const some = nodes.filter(() => net.chance("side", 2) === 0)
        const rest = nodes.filter((node) => !some.includes(node))
        net.split(some, rest)
        break
      }
      case "mend":
        net.mend()
        break
      case "pause":
        net.pause(one)
        break
      case "resume":
        if (one.paused) net.resume(one)
        break
      case "exit":
        net.exit(one)
        again(one)
        break
      case "crash":
        net.crash(one)
        again(one)
        break
      case "reset":
        net.reset(one, other)
        break
      case "leave":
        if (one.paused) break
        net.input(one, { _tag: "Leave" })
        net.run(net.chance("draining", 300))
        net.input(one, { _tag: "Drained" })
        net.run(1_100)
        net.exit(one)
        again(one)
        break
      case "disconnect":
        net.input(one, { _tag: "Disconnect", peer: other.name })
        break
      case "deafen":
        net.filter = (_, to, message) =>
          to !== one || message._tag === "Claims" || message._tag === "Bye"
    }
    net.run(millis)
  }
  net.filter = () => true
  net.mend()
  for (const node of nodes) if (node.paused) net.resume(node)
  for (const node of nodes) {
    const others = addresses.filter((address) => address !== node.address)
    net.input(node, { _tag: "Connect", addresses: others })
  }
  return { net, nodes }
}

/** A cluster that has been quiet for some time. */
function calm(
  size: number,
  seed: number,
  millis = 3_000,
): { readonly net: Network; readonly nodes: ReadonlyArray<Node> } {
  const net = new Network({ seed })
  const nodes = net.cluster(size)
  net.settle(nodes, 200)
  net.run(millis + net.chance("calm", 1_000))
  return { net, nodes }
}

function assertNobodyDown(net: Network, nodes: ReadonlyArray<Node>): void {
  for (const node of nodes) assert.equal(seen(node, "Down"), 0, `${node.name}\n${net}`)
}

function copy<A>(value: A): A {
  return structuredClone(value)
}

// --- nonsense ------------------------------------------------------------------------------------

const nonsense = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, "", "n1", "n0", "host-n1:1", true, -1, 0, 1, 2 ** 53),
  fc.constantFrom<unknown>(Number.NaN, Number.POSITIVE_INFINITY, -0.5, 2 ** 52, [], {}),
  fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 }),
)
const peer = fc.oneof(fc.constantFrom("n0", "n1", "n2", "x", "__proto__"), nonsense)
const claim = fc.record(
  {
    name: fc.oneof(fc.constantFrom("n0", "n1", "n2", "x", "y"), nonsense),
    epoch: fc.oneof(fc.constantFrom(1, 2, 2 ** 53 - 1), nonsense),
    incarnation: fc.oneof(fc.constantFrom(0, 1, 2, 2 ** 52, 2 ** 53 - 1), nonsense),
    rank: fc.oneof(fc.constantFrom(0, 1, 2, 3), nonsense),
    accusers: fc.oneof(fc.constantFrom([], ["n1"], ["n1", "n2"]), nonsense),
    hard: fc.oneof(fc.constantFrom([], ["n1"]), nonsense),
    phase: fc.oneof(fc.constantFrom("up", "joining", "leaving"), nonsense),
    address: fc.oneof(fc.constantFrom("", "host-n1:1", "host-x:1"), nonsense),
    instance: fc.oneof(fc.constantFrom(0, 2 ** 32 - 1), nonsense),
    weight: fc.oneof(fc.constantFrom(0, 1, 64), nonsense),
    roles: fc.oneof(fc.constantFrom([], ["web"]), nonsense),
  },
  { noNullPrototype: true },
)
/** Mostly claims that could be true: those get furthest. */
const plausible = fc.record(
  {
    name: fc.constantFrom("n0", "n1", "n2", "x", "y"),
    epoch: fc.integer({ min: 1, max: 3 }),
    incarnation: fc.nat(3),
    rank: fc.nat(2),
    accusers: fc.constantFrom([], ["n1"], ["n0", "n1", "n2"]),
    hard: fc.constantFrom([], ["n1", "n2"]),
    phase: fc.constantFrom("up", "joining", "leaving"),
    address: fc.constantFrom("host-n1:1", "host-x:1", "host-n0:1"),
    instance: fc.nat(2 ** 32 - 1),
    weight: fc.constantFrom(0, 1),
    roles: fc.constant([]),
  },
  { noNullPrototype: true },
)
const message = fc.oneof(
  nonsense,
  fc.record({
    _tag: fc.constantFrom("Ping", "Ack"),
    seq: nonsense,
    view: nonsense,
    digest: nonsense,
  }),
  fc.record({ _tag: fc.constantFrom("PingRequest"), seq: nonsense, target: peer }),
  fc.record({ _tag: fc.constantFrom("PingReply"), seq: nonsense, target: peer, ok: nonsense }),
  fc.record({
    _tag: fc.constantFrom("Claims"),
    claims: fc.oneof(
      nonsense,
      fc.array(fc.oneof({ weight: 3, arbitrary: plausible }, claim, nonsense), { maxLength: 4 }),
    ),
    full: fc.oneof(fc.boolean(), nonsense),
  }),
  fc.record({ _tag: fc.constantFrom("LeftAck"), epoch: nonsense }),
  fc.record({ _tag: fc.constantFrom("Bye", "Nonsense") }),
)
const garbage = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ _tag: fc.constant("Message"), from: peer, message }),
  },
  fc.record({ _tag: fc.constantFrom("Tick", "Synced", "Leave", "Drained", "Nonsense") }),
  fc.record({ _tag: fc.constantFrom("LinkUp"), peer, epoch: nonsense, address: nonsense }),
  fc.record({ _tag: fc.constantFrom("LinkDown"), peer, epoch: nonsense, reason: nonsense }),
  fc.record({ _tag: fc.constantFrom("DialFailed"), address: nonsense, reason: nonsense }),
  fc.record({ _tag: fc.constantFrom("Heard"), peers: nonsense }),
  fc.record({ _tag: fc.constantFrom("Digest"), digest: nonsense }),
  fc.record({ _tag: fc.constantFrom("Connect"), addresses: nonsense }),
  fc.record({ _tag: fc.constantFrom("Disconnect"), peer }),
  fc.record({ _tag: fc.constantFrom("Superseded"), epoch: nonsense, instance: nonsense }),
)
