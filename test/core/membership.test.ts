import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import type { Input, Options, Output, State } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import type { Node } from "./network-membership.ts"
import { Network, seen } from "./network-membership.ts"

describe("forming", () => {
  test("one to nine nodes started at the same instant are a cluster within 100 ms", () => {
    for (let size = 1; size <= 9; size++) {
      const net = new Network({ seed: size })
      const nodes = net.cluster(size)
      net.settle(nodes, 100)
      for (const node of nodes) assert.equal(seen(node, "Up"), size - 1)
      assert.equal(Membership.self(node0(nodes).state).phase, "up")
    }
  })

  test("nodes that don't listen yet when they are dialled are members within a second", () => {
    for (let seed = 0; seed < 20; seed++) {
      const net = new Network({ seed })
      const addresses = ["host-a:1", "host-b:1", "host-c:1"]
      const a = net.start("a", addresses)
      net.run(300)
      const b = net.start("b", addresses)
      net.run(300)
      const c = net.start("c", addresses)
      net.settle([a, b, c], 1_000)
    }
  })

  test("a node needs to know one member only, and nobody has to know it", () => {
    const net = new Network({ seed: 1 })
    const nodes = net.cluster(4)
    const late = net.start("a", ["host-n2:1"])
    net.settle([...nodes, late], 200)
    for (const node of nodes) assert.equal(memberOf(node, "a").phase, "joining")
    net.input(late, { _tag: "Synced" })
    net.run(100)
    for (const node of nodes) {
      assert.equal(memberOf(node, "a").phase, "up")
      assert.equal(seen(node, "Changed", "a"), 1)
    }
  })

  test("a cluster of more than nine, with observers on rings, forms and notices a crash", () => {
    const net = new Network({ seed: 4 })
    const nodes = net.cluster(16)
    net.settle(nodes, 500)
    net.run(3_000)
    const [victim, ...rest] = nodes as [Node, ...Array<Node>]
    net.crash(victim)
    net.until("all notice", () => rest.every((node) => seen(node, "Down", "n0") === 1), 4_700)
    net.settle(rest, 1_000)
    assert.ok(rest.every((node) => seen(node, "Down") === 1))
  })

  test("there is no room beyond membersMax, and there is again when somebody leaves", () => {
    const net = new Network({ seed: 1, membersMax: 3 })
    const nodes = net.cluster(3)
    net.settle(nodes, 100)
    const extra = net.start("x", ["host-n0:1"])
    net.run(2_000)
    assert.equal(seen(node0(nodes), "Refused", "x"), 1)
    assert.equal(seen(node0(nodes), "Up", "x"), 0)
    const [, b, c] = nodes as [Node, Node, Node]
    net.input(c, { _tag: "Leave" })
    net.input(c, { _tag: "Drained" })
    net.run(100)
    net.exit(c)
    net.settle([node0(nodes), b, extra], 10_000)
  })
})

describe("leaving", () => {
  test("10. Who leaves is left at once, never down, and stays away", () => {
    const net = new Network({ seed: 3 })
    const nodes = net.cluster(5)
    net.settle(nodes, 100)
    const [leaver, ...rest] = nodes as [Node, ...Array<Node>]
    net.input(leaver, { _tag: "Leave" })
    net.run(50)
    for (const node of rest) assert.equal(memberOf(node, "n0").phase, "leaving")
    net.input(leaver, { _tag: "Drained" })
    const took = net.until("it may go", () => seen(leaver, "LeaveDone") === 1, 20, 1)
    assert.ok(took <= 5, `${took} ms`)
    net.exit(leaver)
    net.run(20_000)
    for (const node of rest) {
      assert.equal(seen(node, "Left", "n0"), 1)
      assert.equal(seen(node, "Down"), 0)
      assert.equal(memberOf(node, "n0").status, "left")
      assert.equal(node.dialling.size, 0)
    }
    const again = net.start("n0", ["host-n1:1"], { epoch: 2 })
    net.settle([again, ...rest], 1_000)
  })

  test("10. An old word about somebody who left doesn't bring it back", () => {
    const { state } = joined("b")
    const before = claimOf(state, "b")
    feed(state, claims([{ ...before, rank: Claims.LEFT, incarnation: Claims.GONE }]))
    const late = { ...before, incarnation: before.incarnation + 50 }
    assert.deepEqual(events(feed(state, claims([late, before], true))), [])
    assert.equal(member(state, "b")?.status, "left")
  })

  test("a node that leaves alone, or whom nobody answers, leaves all the same", () => {
    const net = new Network({ seed: 1 })
    const alone = net.start("a")
    net.input(alone, { _tag: "Leave" })
    net.input(alone, { _tag: "Drained" })
    assert.equal(seen(alone, "LeaveDone"), 1)
    const nodes = net.cluster(3)
    net.settle(nodes, 100)
    const [leaver, ...rest] = nodes as [Node, ...Array<Node>]
    net.split([leaver], rest)
    net.input(leaver, { _tag: "Leave" })
    net.input(leaver, { _tag: "Drained" })
    net.run(990)
    assert.equal(seen(leaver, "LeaveDone"), 0)
    net.run(20)
    assert.equal(seen(leaver, "LeaveDone"), 1)
  })
})

describe("coming again", () => {
  test("a restarted node is superseded, then up with its new epoch", () => {
    const net = new Network({ seed: 9 })
    const nodes = net.cluster(3)
    net.settle(nodes, 100)
    const [first, ...rest] = nodes as [Node, ...Array<Node>]
    net.exit(first)
    net.run(50)
    const second = net.start("n0", ["host-n1:1"], { epoch: 2 })
    net.settle([second, ...rest], 500)
    for (const node of rest) {
      assert.equal(seen(node, "Superseded", "n0"), 1)
      assert.equal(seen(node, "Down"), 0)
      assert.equal(memberOf(node, "n0").epoch, 2)
    }
  })

  test("a node whose clock went back takes an epoch above the one it had", () => {
    const net = new Network({ seed: 9 })
    const nodes = net.cluster(3).slice(1)
    const old = net.nodes[0] as Node
    net.run(100)
    net.exit(old)
    const epoch = 2 ** 40
    const first = net.start("n0", ["host-n1:1", "host-n2:1"], { epoch })
    net.settle([first, ...nodes], 500)
    net.exit(first)
    const second = net.start("n0", ["host-n1:1", "host-n2:1"], { epoch: 2 ** 30 })
    net.settle([second, ...nodes], 1_000)
    assert.equal(Membership.self(second.state).epoch, epoch + 1)
    assert.equal(seen(second, "EpochChanged"), 1)
    assert.equal(seen(second, "NameConflict"), 0)
  })

  test("11. Messages of old epochs, replayed in any order, change nothing", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const net = new Network({ seed })
      const nodes = net.cluster(3)
      const rest = nodes.slice(1)
      const old: Array<Claim> = []
      net.filter = (_, __, message) => {
        if (message._tag === "Claims") old.push(...message.claims)
        return true
      }
      let last = node0(nodes)
      for (let epoch = 2; epoch <= 6; epoch++) {
        net.run(net.chance("while", 600))
        net.exit(last)
        net.run(net.chance("gone", 600))
        last = net.start("n0", ["host-n1:1", "host-n2:1"], { epoch })
        net.input(last, { _tag: "Synced" })
      }
      net.settle([last, ...rest], 2_000)
      const before = rest.map((node) => node.events.length)
      const replay = old.filter(({ name, epoch }) => name === "n0" && epoch < 6)
      assert.ok(replay.length > 20)
      for (let i = 0; i < 200; i++) {
        const claims = [replay[net.chance("replay", replay.length)] as Claim]
        const message = { _tag: "Claims", claims, full: i % 2 === 0 } as const
        for (const node of rest) net.input(node, { _tag: "Message", from: "n0", message })
      }
      net.run(1_000)
      assert.deepEqual(
        rest.map((node) => node.events.length),
        before,
      )
      net.settle([last, ...rest], 100)
    }
  })

  test("12. Of two processes with one name the older gives up, after three rounds, and talk stays bounded", () => {
    for (const size of [2, 3, 5]) {
      for (let seed = 1; seed <= 10; seed++) {
        const net = new Network({ seed })
        const nodes = net.cluster(size)
        net.settle(nodes, 100)
        const [first] = nodes as [Node]
        const others = nodes.slice(1)
        const addresses = nodes.map(({ address }) => address)
        const twin = net.start("n0", addresses, { epoch: 2, address: "host-twin:1" })
        const ended = (): ReadonlyArray<Node> =>
          [first, twin].filter((node) => seen(node, "NameConflict") > 0)
        net.until("one gives up", () => ended().length > 0, 10_000)
        const stopped = ended()[0] as Node
        net.exit(stopped)
        net.run(8_000)
        assert.equal(ended().length, 1)
        const survivor = stopped === first ? twin : first
        net.settle([survivor, ...others], 10_000)
        const rounds = seen(first, "EpochChanged") + seen(twin, "EpochChanged")
        assert.ok(rounds <= 5, `${rounds} rounds`)
        const claims = net.nodes.reduce((sum, node) => sum + node.claimsSent, 0)
        assert.ok(claims < 200 * size * size, `${claims} claims`)
      }
    }
  })

  test("of two processes with one name and epoch the one with the lower number gives way", () => {
    const high = init({ instance: 9 })
    const low = init({ instance: 3 })
    const input = { _tag: "Superseded", now: 1, epoch: 1 } as const
    assert.deepEqual(events(Membership.step(high.state, { ...input, instance: 3 }).outputs), [])
    assert.deepEqual(events(Membership.step(low.state, { ...input, instance: 9 }).outputs), [
      { _tag: "EpochChanged", epoch: 2 },
    ])
  })
})

describe("parting", () => {
  test("both users see each other down, the others don't, and claims change nothing", () => {
    const net = new Network({ seed: 6 })
    const nodes = net.cluster(3)
    net.settle(nodes, 100)
    const [a, b, c] = nodes as [Node, Node, Node]
    net.input(a, { _tag: "Disconnect", peer: "n1" })
    net.run(10_000)
    net.input(b, { _tag: "Leave" })
    net.run(10_000)
    assert.equal(memberOf(c, "n1").phase, "leaving")
    for (const [node, other] of [
      [a, "n1"],
      [b, "n0"],
    ] as const) {
      assert.equal(memberOf(node, other).status, "dead")
      assert.deepEqual(
        node.events.flatMap(({ event }) => (event._tag === "Down" ? [event.reason] : [])),
        ["disconnected"],
      )
      assert.ok(!node.links.has(other))
    }
    assert.equal(seen(c, "Down"), 0)
    assert.equal(seen(c, "Suspect"), 0)
  })

  test("either user may connect again", () => {
    for (const again of [0, 1]) {
      const net = new Network({ seed: 6 })
      const nodes = net.cluster(3)
      net.settle(nodes, 100)
      const [a, b, c] = nodes as [Node, Node, Node]
      net.input(a, { _tag: "Disconnect", peer: "n1" })
      net.run(3_000)
      const [from, to] = again === 0 ? [a, b] : [b, a]
      net.input(from, { _tag: "Connect", addresses: [to.address] })
      net.settle(nodes, 100)
      assert.equal(seen(c, "Suspect"), 0)
    }
  })

  test("a user who parted and connects before the peer has noticed has it back", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const net = new Network({ seed })
      const nodes = net.cluster(3)
      net.settle(nodes, 100)
      const [a, b] = nodes as [Node, Node]
      net.split([a], [b])
      net.input(a, { _tag: "Disconnect", peer: "n1" })
      net.run(net.chance("parted", 2_500))
      net.mend()
      net.input(a, { _tag: "Connect", addresses: [b.address] })
      net.settle(nodes, 8_000)
    }
  })

  test("a user who parted keeps apart from a peer that couldn't be told", () => {
    const net = new Network({ seed: 6 })
    const [a, b] = net.cluster(2) as [Node, Node]
    net.settle([a, b], 100)
    net.split([a], [b])
    net.input(a, { _tag: "Disconnect", peer: "n1" })
    net.run(10_000)
    net.mend()
    net.run(20_000)
    assert.equal(memberOf(a, "n1").status, "dead")
    assert.equal(memberOf(b, "n0").status, "dead")
    net.input(b, { _tag: "Connect", addresses: [a.address] })
    net.settle([a, b], 3_000)
  })

  test("a crash is noticed by those who are connected, though two observers have parted", () => {
    const net = new Network({ seed: 6 })
    const nodes = net.cluster(3)
    net.settle(nodes, 100)
    const [a, , c] = nodes as [Node, Node, Node]
    net.input(a, { _tag: "Disconnect", peer: "n1" })
    net.run(2_000)
    net.crash(a)
    net.until("the third notices", () => seen(c, "Down", "n0") === 1, 6_000)
  })
})

describe("dialling", () => {
  test("of two who learn of each other the lower name dials at once, the other after 1.5 s", () => {
    for (const [other, wait] of [
      ["z", 0],
      ["a", 1_500],
    ] as const) {
      const { state } = joined("b")
      const outputs = feed(state, claims([{ ...newcomer(other), address: "there:1" }]))
      const dial = (given: ReadonlyArray<Output>): boolean =>
        given.some((output) => output._tag === "Dial" && output.address === "there:1")
      assert.equal(dial(outputs), wait === 0)
      let at = 10
      for (let tick = tickTo(state); at < 3_000 && wait > 0; tick = tickTo(state)) {
        at = tick.at
        if (dial(tick.outputs)) break
      }
      assert.ok(wait === 0 || (at >= 10 + wait && at < 10 + wait + 5), `${at}`)
    }
  })

  test("a seed is dialled for ever, after waits that double from 50 ms to 5 s", () => {
    const { state } = init({ seeds: ["nowhere:1"] })
    const times = dialTimes(state, 60_000)
    const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
    assert.ok((gaps[0] as number) < 70, `${gaps}`)
    assert.ok(
      gaps.slice(8).every((gap) => gap > 3_500 && gap < 6_500),
      `${gaps}`,
    )
    assert.ok(times.length > 15)
  })

  test("an address that is this node's own, or already linked, is left alone", () => {
    for (const [reason, max] of [
      ["self", 1],
      ["duplicate", 2],
    ] as const) {
      const { state } = init({ seeds: ["nowhere:1"] })
      assert.ok(dialTimes(state, 65_000, reason).length <= max)
    }
    const outputs = init({ seeds: ["me:1", "", "me:1"] }).outputs
    assert.deepEqual(outputs, [])
  })

  test("together the members dial the dead at a constant rate", () => {
    const rates = [2, 14].map((size) => {
      const net = new Network({ seed: size })
      const nodes = net.cluster(size + 1)
      net.settle(nodes, 200)
      const [victim, ...rest] = nodes as [Node, ...Array<Node>]
      net.crash(victim)
      net.run(20_000)
      net.dials = 0
      net.run(100_000)
      assert.ok(rest.every((node) => memberOf(node, "n0").status === "dead"))
      return net.dials / 100
    })
    // The seed and the dead member count once each.
    for (const rate of rates) assert.ok(rate > 0.2 && rate < 1.4, `${rates} per second`)
  })
})

describe("keeping in touch", () => {
  test("pings and acknowledgements carry the registry's hash to every peer", () => {
    const { state } = joined("b")
    Membership.step(state, { _tag: "Digest", now: 10, digest: 77 })
    const ping = { _tag: "Ping", seq: 5, view: 0, digest: 99 } as const
    const outputs = feed(state, { _tag: "Message", now: 11, from: "b", message: ping })
    assert.deepEqual(outputs, [
      {
        _tag: "Send",
        to: "b",
        message: { _tag: "Ack", seq: 5, view: Membership.viewHash(state), digest: 77 },
      },
      { _tag: "PeerDigest", peer: "b", digest: 99 },
    ])
  })

  test("a whole view is answered with what is newer here, and with nothing when nothing is", () => {
    const { state } = joined("b")
    feed(state, claims([{ ...newcomer("c"), rank: Claims.DEAD, accusers: ["z"] }]))
    const mine = state.self
    const b = claimOf(state, "b")
    const answers = (given: ReadonlyArray<Claim>): ReadonlyArray<string> =>
      feed(state, claims(given, true)).flatMap((output) =>
        output._tag === "Send" && output.message._tag === "Claims"
          ? output.message.claims.map(({ name, rank }) => `${name}${rank}`)
          : [],
      )
    assert.deepEqual(answers([mine, b]), [])
    assert.deepEqual(answers([mine]), ["b0"])
    assert.deepEqual(answers([b, newcomer("c")]), ["c2", "me0"])
  })

  test("views that differ for half a second, and two rounds, are compared as a whole", () => {
    const { state } = joined("b")
    const fulls: Array<number> = []
    for (let now = 1_000; now < 3_000; now += 200) {
      const message = { _tag: "Ack", seq: 0, view: 1, digest: 0 } as const
      const outputs = feed(state, { _tag: "Message", now, from: "b", message })
      if (outputs.some((o) => o._tag === "Send" && o.message._tag === "Claims" && o.message.full)) {
        fulls.push(now)
      }
    }
    assert.deepEqual(fulls, [1_600, 2_400])
  })

  test("what is lost between two members is found through the hash of the view", () => {
    const net = new Network({ seed: 8 })
    const nodes = net.cluster(4)
    net.settle(nodes, 100)
    net.filter = (_, to, message) => to.name !== "n3" || message._tag !== "Claims"
    net.input(node0(nodes), { _tag: "Leave" })
    net.run(100)
    assert.equal(memberOf(nodes[3] as Node, "n0").phase, "up")
    net.filter = () => true
    net.until(
      "the last one knows",
      () => memberOf(nodes[3] as Node, "n0").phase === "leaving",
      2_500,
    )
  })

  test("13. A quiet node sends at most 2K + 2 frames a second, whatever the size", () => {
    for (const size of [2, 5, 9, 16, 32]) {
      const net = new Network({ seed: size })
      const nodes = net.cluster(size)
      net.settle(nodes, 1_000)
      net.run(3_000)
      const before = nodes.map((node) => node.sent)
      net.run(10_000)
      const observers = Math.min(8, size - 1)
      for (const [i, node] of nodes.entries()) {
        const frames = (node.sent - (before[i] as number)) / 10
        // A node may have more subjects than rings only by chance of none.
        assert.ok(frames <= 2 * observers + 2, `${size}: ${frames} frames/s`)
      }
    }
  })

  test("13. A change goes over each link of a small cluster at most once in each direction", () => {
    for (const size of [3, 6, 9]) {
      const net = new Network({ seed: size })
      const nodes = net.cluster(size)
      net.settle(nodes, 200)
      net.run(2_000)
      const before = net.nodes.reduce((sum, node) => sum + node.claimsSent, 0)
      net.input(node0(nodes), { _tag: "Leave" })
      net.run(200)
      const claims = net.nodes.reduce((sum, node) => sum + node.claimsSent, 0) - before
      assert.ok(claims <= (size - 1) * (size - 1), `${claims} claims for ${size} members`)
      assert.ok(claims >= size - 1)
    }
  })

  test("the dead are forgotten after a day, the first of too many before", () => {
    const { state } = joined("b")
    const dead = (i: number): Claim => ({
      ...newcomer(`dead-${i}`),
      address: "",
      rank: Claims.DEAD,
      accusers: ["z"],
    })
    feed(state, claims(Array.from({ length: 10_050 }, (_, i) => dead(i))))
    Membership.step(state, { _tag: "Tick", now: 3_000 })
    assert.equal(Membership.claims(state).length, 10_002)
    assert.equal(member(state, "dead-49"), undefined)
    assert.equal(member(state, "dead-50")?.status, "dead")
    const day = 24 * 60 * 60 * 1_000
    Membership.step(state, { _tag: "Tick", now: day + 20 })
    assert.equal(member(state, "dead-50"), undefined)
  })
})

// --- one node alone ------------------------------------------------------------------------------

function init(part: Partial<Options> = {}): ReturnType<typeof Membership.init> {
  const options: Options = {
    name: "me",
    epoch: 1,
    instance: 1,
    address: "me:1",
    weight: 1,
    roles: [],
    seeds: [],
    random: 1,
    timing: Membership.lan,
    membersMax: 32,
    ...part,
  }
  return Membership.init(options, 0)
}

function newcomer(name: string): Claim {
  return {
    name,
    epoch: 1,
    incarnation: 1,
    rank: Claims.ALIVE,
    accusers: [],
    hard: [],
    phase: "up",
    address: `${name}:1`,
    instance: 5,
    weight: 1,
    roles: [],
  }
}

/** A node with one linked peer. */
function joined(peer: string): { readonly state: State } {
  const { state } = init()
  Membership.step(state, { _tag: "LinkUp", now: 1, peer, epoch: 1, address: `${peer}:1` })
  feed(state, { ...claims([newcomer(peer)], true), now: 2 })
  return { state }
}

function claims(given: ReadonlyArray<Claim>, full = false): Input & { readonly _tag: "Message" } {
  return { _tag: "Message", now: 10, from: "b", message: { _tag: "Claims", claims: given, full } }
}

function feed(state: State, input: Input): ReadonlyArray<Output> {
  return Membership.step(state, input).outputs
}

function events(outputs: ReadonlyArray<Output>): ReadonlyArray<Membership.Event> {
  return outputs.flatMap((output) => (output._tag === "Event" ? [output.event] : []))
}

function claimOf(state: State, name: string): Claim {
  return Membership.claims(state).find((claim) => claim.name === name) as Claim
}

function member(state: State, name: string): Membership.Member | undefined {
  return Membership.members(state).find((one) => one.name === name)
}

function tickTo(state: State): { readonly at: number; readonly outputs: ReadonlyArray<Output> } {
  const at = Membership.wakeAt(state)
  return { at, outputs: Membership.step(state, { _tag: "Tick", now: at }).outputs }
}

/** When the node dials while every dial comes to nothing. */
function dialTimes(
  state: State,
  millis: number,
  reason: "refused" | "self" | "duplicate" = "refused",
): ReadonlyArray<number> {
  const times = [0]
  const fail = (now: number): void => {
    Membership.step(state, { _tag: "DialFailed", now, address: "nowhere:1", reason })
  }
  fail(1)
  while (Membership.wakeAt(state) < millis) {
    const { at, outputs } = tickTo(state)
    if (!outputs.some((output) => output._tag === "Dial")) continue
    times.push(at)
    fail(at + 1)
  }
  return times
}

function node0(nodes: ReadonlyArray<Node>): Node {
  return nodes[0] as Node
}

function memberOf(node: Node, name: string): Membership.Member {
  const found = member(node.state, name)
  if (found === undefined) assert.fail(`${node.name} doesn't know ${name}`)
  return found
}
