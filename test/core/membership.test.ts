import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import * as Membership from "../../src/core/membership.ts"
import { Alone } from "./alone.ts"
import { claimsIn, Members, memberOf, type Node, seen } from "./scenes.ts"

/** How a node that is back finds the others of three. */
const seeds = ["host-n1:1", "host-n2:1"]

describe("forming", () => {
  test("one to nine nodes started at the same instant are a cluster within 100 ms", () => {
    for (let size = 1; size <= 9; size++) {
      const net = new Members({ seed: size })
      const nodes = net.together(size)
      net.settle(nodes, 100)
      for (const node of nodes) assert.equal(seen(node, "Up"), size - 1)
      assert.equal(Membership.self(node0(nodes).state).phase, "up")
    }
  })

  test("nodes that don't listen yet when they are dialled are members within a second", () => {
    for (let seed = 0; seed < 20; seed++) {
      const net = new Members({ seed })
      const addresses = ["host-a:1", "host-b:1", "host-c:1"]
      const a = net.start("a", { seeds: addresses })
      net.run(300)
      const b = net.start("b", { seeds: addresses })
      net.run(300)
      const c = net.start("c", { seeds: addresses })
      net.settle([a, b, c], 1_000)
    }
  })

  test("a node needs to know one member only, and nobody has to know it", () => {
    const net = new Members({ seed: 1 })
    const nodes = net.together(4)
    const late = net.start("a", { seeds: ["host-n2:1"] })
    net.settle([...nodes, late], 200)
    for (const node of nodes) assert.equal(memberOf(node, "a").phase, "joining")
    late.input({ _tag: "Synced" })
    net.run(100)
    for (const node of nodes) {
      assert.equal(memberOf(node, "a").phase, "up")
      assert.equal(seen(node, "Changed", "a"), 1)
    }
  })

  test("a cluster of more than nine, with observers on rings, forms and notices a crash", () => {
    const net = new Members({ seed: 4 })
    const nodes = net.together(16)
    net.settle(nodes, 500)
    net.run(3_000)
    const [victim, ...rest] = nodes as [Node, ...Array<Node>]
    net.crash(victim, { machine: true })
    net.until("all notice", () => rest.every((node) => seen(node, "Down", "n0") === 1), 4_700)
    net.settle(rest, 1_000)
    assert.ok(rest.every((node) => seen(node, "Down") === 1))
  })

  test("there is no room beyond membersMax, and there is again when somebody leaves", () => {
    const net = new Members({ seed: 1, membersMax: 3 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const extra = net.start("x", { seeds: ["host-n0:1"] })
    net.run(2_000)
    assert.equal(seen(node0(nodes), "Refused", "x"), 1)
    assert.equal(seen(node0(nodes), "Up", "x"), 0)
    const [, b, c] = nodes as [Node, Node, Node]
    c.input({ _tag: "Leave" })
    c.input({ _tag: "Drained" })
    net.run(100)
    assert.ok(c.left)
    net.settle([node0(nodes), b, extra], 10_000)
  })
})

describe("leaving", () => {
  test("10. Who leaves is left at once, never down, and stays away", () => {
    const net = new Members({ seed: 3 })
    const nodes = net.together(5)
    net.settle(nodes, 100)
    const [leaver, ...rest] = nodes as [Node, ...Array<Node>]
    leaver.input({ _tag: "Leave" })
    net.run(50)
    for (const node of rest) assert.equal(memberOf(node, "n0").phase, "leaving")
    leaver.input({ _tag: "Drained" })
    const took = net.until("it may go", () => seen(leaver, "LeaveDone") === 1, 20, 1)
    assert.ok(took <= 5, `${took} ms`)
    assert.equal(leaver.running, false)
    net.run(20_000)
    for (const node of rest) {
      assert.equal(seen(node, "Left", "n0"), 1)
      assert.equal(seen(node, "Down"), 0)
      assert.equal(memberOf(node, "n0").status, "left")
      assert.deepEqual(node.links.dialling, [])
    }
    const again = net.start("n0", { seeds: ["host-n1:1"], epoch: 2 })
    net.settle([again, ...rest], 1_000)
  })

  test("10. An old word about somebody who left doesn't bring it back", () => {
    const me = new Alone(["b"])
    const before = me.claim("b")
    me.claims("b", [{ ...before, rank: Claims.LEFT, incarnation: Claims.GONE }])
    assert.equal(me.status("b"), "left")
    me.outputs.length = 0
    me.claims("b", [{ ...before, incarnation: before.incarnation + 50 }, before], true)
    assert.deepEqual(me.events(), [])
    assert.equal(me.status("b"), "left")
  })

  test("a node that leaves alone, or whom nobody answers, leaves all the same", () => {
    const alone = new Members({ seed: 1 }).start("a")
    alone.input({ _tag: "Leave" })
    alone.input({ _tag: "Drained" })
    assert.equal(seen(alone, "LeaveDone"), 1)
    const net = new Members({ seed: 1 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const [leaver, ...rest] = nodes as [Node, ...Array<Node>]
    net.split([leaver], rest)
    leaver.input({ _tag: "Leave" })
    leaver.input({ _tag: "Drained" })
    net.run(990)
    assert.equal(seen(leaver, "LeaveDone"), 0)
    net.run(20)
    assert.equal(seen(leaver, "LeaveDone"), 1)
  })
})

describe("coming again", () => {
  test("a restarted node is superseded, then up with its new epoch", () => {
    const net = new Members({ seed: 9 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const [first, ...rest] = nodes as [Node, ...Array<Node>]
    net.crash(first)
    net.run(50)
    const second = net.start("n0", { seeds: ["host-n1:1"], epoch: 2 })
    net.settle([second, ...rest], 500)
    for (const node of rest) {
      assert.equal(seen(node, "Superseded", "n0"), 1)
      assert.equal(seen(node, "Down"), 0)
      assert.equal(memberOf(node, "n0").epoch, 2)
    }
  })

  test("a node whose clock went back takes an epoch above the one it had", () => {
    const net = new Members({ seed: 9 })
    const nodes = net.together(3).slice(1)
    const old = net.nodes[0] as Node
    net.run(100)
    net.crash(old)
    const epoch = 2 ** 40
    const first = net.start("n0", { seeds, epoch })
    net.settle([first, ...nodes], 500)
    net.crash(first)
    const second = net.start("n0", { seeds, epoch: 2 ** 30 })
    net.settle([second, ...nodes], 1_000)
    assert.equal(Membership.self(second.state).epoch, epoch + 1)
    assert.equal(seen(second, "EpochChanged"), 1)
    assert.equal(seen(second, "NameConflict"), 0)
  })

  test("11. Messages of old epochs, replayed in any order, change nothing", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const net = new Members({ seed })
      const nodes = net.together(3)
      const rest = nodes.slice(1)
      const old: Array<Claim> = []
      net.filter = (_, __, message) => {
        old.push(...claimsIn(message))
        return true
      }
      let last = node0(nodes)
      for (let epoch = 2; epoch <= 6; epoch++) {
        net.run(net.chance("while", 600))
        net.crash(last)
        net.run(net.chance("gone", 600))
        last = net.start("n0", { seeds, epoch })
        last.input({ _tag: "Synced" })
      }
      net.settle([last, ...rest], 2_000)
      const before = rest.map((node) => node.events.length)
      const replay = old.filter(({ name, epoch }) => name === "n0" && epoch < 6)
      assert.ok(replay.length > 20)
      for (let i = 0; i < 200; i++) {
        const claims = [replay[net.chance("replay", replay.length)] as Claim]
        const message = { _tag: "Claims", claims, full: i % 2 === 0 } as const
        for (const node of rest) node.input({ _tag: "Message", from: "n0", message })
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
        const net = new Members({ seed })
        const nodes = net.together(size)
        net.settle(nodes, 100)
        const [first] = nodes as [Node]
        const others = nodes.slice(1)
        const addresses = nodes.map(({ address }) => address)
        const address = "host-twin:1"
        const twin = net.start("n0", { address, seeds: addresses, epoch: 2 })
        const ended = (): ReadonlyArray<Node> =>
          [first, twin].filter((node) => seen(node, "NameConflict") > 0)
        net.until("one gives up", () => ended().length > 0, 10_000)
        const stopped = ended()[0] as Node
        assert.equal(stopped.running, false)
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
    const high = new Alone([], { instance: 9 })
    const low = new Alone([], { instance: 3 })
    high.input({ _tag: "Superseded", epoch: 1, instance: 3 })
    low.input({ _tag: "Superseded", epoch: 1, instance: 9 })
    assert.deepEqual(high.events(), [])
    assert.deepEqual(low.events(), [{ _tag: "EpochChanged", epoch: 2 }])
  })
})

function node0(nodes: ReadonlyArray<Node>): Node {
  return nodes[0] as Node
}
