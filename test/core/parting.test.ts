import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Alone, alive } from "./alone.ts"
import { Members, memberOf, type Node, seen } from "./scenes.ts"

describe("parting", () => {
  test("both users see each other down, the others don't, and claims change nothing", () => {
    const net = new Members({ seed: 6 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const [a, b, c] = nodes as [Node, Node, Node]
    a.input({ _tag: "Disconnect", peer: "n1" })
    net.run(10_000)
    b.input({ _tag: "Leave" })
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
      assert.equal(node.links.get(other), undefined)
    }
    assert.equal(seen(c, "Down"), 0)
    assert.equal(seen(c, "Suspect"), 0)
  })

  test("either user may connect again", () => {
    for (const again of [0, 1]) {
      const net = new Members({ seed: 6 })
      const nodes = net.together(3)
      net.settle(nodes, 100)
      const [a, b, c] = nodes as [Node, Node, Node]
      a.input({ _tag: "Disconnect", peer: "n1" })
      net.run(3_000)
      const [from, to] = again === 0 ? [a, b] : [b, a]
      from.input({ _tag: "Connect", addresses: [to.address] })
      net.settle(nodes, 100)
      assert.equal(seen(c, "Suspect"), 0)
    }
  })

  test("a user who parted and connects before the peer has noticed has it back", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const net = new Members({ seed })
      const nodes = net.together(3)
      net.settle(nodes, 100)
      const [a, b] = nodes as [Node, Node]
      net.split([a], [b])
      a.input({ _tag: "Disconnect", peer: "n1" })
      net.run(net.chance("parted", 2_500))
      net.mend()
      a.input({ _tag: "Connect", addresses: [b.address] })
      net.settle(nodes, 8_000)
    }
  })

  test("a user who parted keeps apart from a peer that couldn't be told", () => {
    const net = new Members({ seed: 6 })
    const [a, b] = net.together(2) as [Node, Node]
    net.settle([a, b], 100)
    net.split([a], [b])
    a.input({ _tag: "Disconnect", peer: "n1" })
    net.run(10_000)
    net.mend()
    net.run(20_000)
    assert.equal(memberOf(a, "n1").status, "dead")
    assert.equal(memberOf(b, "n0").status, "dead")
    b.input({ _tag: "Connect", addresses: [a.address] })
    net.settle([a, b], 3_000)
  })

  test("a crash is noticed by those who are connected, though two observers have parted", () => {
    const net = new Members({ seed: 6 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const [a, , c] = nodes as [Node, Node, Node]
    a.input({ _tag: "Disconnect", peer: "n1" })
    net.run(2_000)
    net.crash(a, { machine: true })
    net.until("the third notices", () => seen(c, "Down", "n0") === 1, 6_000)
  })

  test("with a peer that hasn't noticed, and connecting again, makes it raise its incarnation", () => {
    const me = new Alone(["b", "c"])
    me.input({ _tag: "Disconnect", peer: "c" })
    me.input({ _tag: "Connect", addresses: ["c:1"] })
    me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1" })
    assert.equal(me.status("c"), "dead")
    me.claims("c", [alive("c")], true)
    assert.deepEqual(me.claim("c").accusers, ["me"])
    me.claims("c", [{ ...alive("c"), incarnation: 2 }])
    assert.equal(me.status("c"), "alive")
  })

  test("with a link whose peer isn't known yet is taken back by its address all the same", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "LinkUp", peer: "z", epoch: 1, address: "z:1" })
    me.input({ _tag: "Disconnect", peer: "z" })
    me.input({ _tag: "Connect", addresses: ["z:1"] })
    me.claims("b", [alive("z")])
    assert.equal(me.status("z"), "alive")
  })

  test("ends the link when the peer doesn't", () => {
    const me = new Alone(["b", "c"])
    me.input({ _tag: "Disconnect", peer: "c" })
    assert.equal(me.sent("c", "Bye").length, 1)
    me.run(999)
    assert.ok(!me.outputs.some((output) => output._tag === "Close"))
    me.run(1)
    assert.ok(me.outputs.some((output) => output._tag === "Close" && output.peer === "c"))
  })
})
