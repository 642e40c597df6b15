import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Claims from "../../src/core/claim.ts"
import * as Parting from "../../src/core/parting.ts"
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

  test("isn't undone by discovery, gossip, seeds or those who dial the dead", () => {
    const net = new Members({ seed: 6 })
    const nodes = net.together(3)
    net.settle(nodes, 100)
    const [a, b, c] = nodes as [Node, Node, Node]
    a.input({ _tag: "Disconnect", peer: "n1" })
    net.run(3_000)
    const dials = [a.dials, b.dials]
    for (let i = 0; i < 100; i++) {
      a.input({ _tag: "Discovered", addresses: [b.address, c.address] })
      b.input({ _tag: "Discovered", addresses: [a.address, c.address] })
      net.run(3_000)
    }
    assert.deepEqual([a.dials, b.dials], dials)
    assert.equal(memberOf(a, "n1").status, "dead")
    assert.equal(memberOf(b, "n0").status, "dead")
    b.input({ _tag: "Connect", addresses: [a.address] })
    net.settle(nodes, 100)
  })

  test("isn't undone by an address that turns out to be the peer's, unless it is asked for since", () => {
    const me = new Alone(["b", "c"])
    const up = (dialled: string | undefined): boolean => {
      me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1", dialled })
      const connected = me.state.links.has("c")
      me.input({ _tag: "LinkDown", peer: "c", epoch: 1, reason: "closed" })
      return connected
    }
    me.input({ _tag: "Connect", addresses: ["alias:1", "other:1"] })
    me.input({ _tag: "Disconnect", peer: "c" })
    me.input({ _tag: "LinkDown", peer: "c", epoch: 1, reason: "closed" })
    // It was asked for before, and c has been told: so it isn't its user's will, either.
    assert.equal(up("alias:1"), false)
    assert.equal(me.sent("c", "Bye").length, 2)
    me.dialled.length = 0
    me.run(5 * 60_000)
    assert.ok(!me.dialled.includes("alias:1"))
    assert.equal(me.status("c"), "dead")
    me.input({ _tag: "Connect", addresses: ["other:1"] })
    me.input({ _tag: "Disconnect", peer: "c" })
    assert.equal(up("other:1"), false)
    me.input({ _tag: "Connect", addresses: ["third:1"] })
    assert.equal(up("third:1"), true)
  })

  test("by the peer's user isn't undone by an address of mine, but by my user", () => {
    const me = new Alone(["b", "c"])
    me.input({ _tag: "Connect", addresses: ["alias:1"] })
    me.message("c", { _tag: "Bye" })
    me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1", dialled: "alias:1" })
    assert.ok(!me.state.links.has("c"))
    // Now that it is known whose it is, it is as good as the peer's own.
    me.input({ _tag: "Connect", addresses: ["alias:1"] })
    me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1" })
    assert.ok(me.state.links.has("c"))
  })

  test("holds again when the user gives up connecting before the peer has come", () => {
    const me = new Alone(["b", "c"])
    me.input({ _tag: "Disconnect", peer: "c" })
    me.input({ _tag: "LinkDown", peer: "c", epoch: 1, reason: "closed" })
    me.input({ _tag: "Connect", addresses: ["c:1"] })
    assert.ok(Parting.parts(me.state, "c"))
    me.input({ _tag: "Forget", addresses: ["c:1"] })
    assert.ok(!Parting.parts(me.state, "c"))
    me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1", dialled: "c:1" })
    assert.ok(!me.state.links.has("c"))
    me.dialled.length = 0
    me.run(5 * 60_000)
    assert.deepEqual(me.dialled, [])
  })

  test("is possible with whoever is linked or looked for, and once", () => {
    const me = new Alone(["b", "c"])
    const can = (name: string): boolean => Parting.parts(me.state, name)
    assert.deepEqual(["b", "c", "me", "z"].map(can), [true, true, false, false])
    me.input({ _tag: "Disconnect", peer: "b" })
    assert.equal(can("b"), false)
    me.input({ _tag: "LinkDown", peer: "c", epoch: 1, reason: "reset" })
    assert.equal(can("c"), true)
    me.input({ _tag: "LinkUp", peer: "z", epoch: 1, address: "z:1" })
    assert.equal(can("z"), true)
    me.claims("z", [{ ...alive("z"), rank: Claims.LEFT, incarnation: Claims.GONE }])
    me.input({ _tag: "LinkDown", peer: "z", epoch: 1, reason: "closed" })
    assert.equal(can("z"), false)
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
