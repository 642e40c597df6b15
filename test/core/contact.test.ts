import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Claims from "../../src/core/claim.ts"
import * as Contact from "../../src/core/contact.ts"
import * as Membership from "../../src/core/membership.ts"
import { Alone, accused, alive } from "./alone.ts"
import { Members, memberOf, type Node } from "./scenes.ts"

describe("dialling", () => {
  test("of two who learn of each other the lower name dials at once, the other after 1.5 s", () => {
    for (const [other, wait] of [
      ["z", 0],
      ["a", 1_500],
    ] as const) {
      const me = new Alone(["b"])
      const start = me.now
      me.claims("b", [{ ...alive(other), address: "there:1" }])
      const dialled = (): boolean => me.dialled.includes("there:1")
      assert.equal(dialled(), wait === 0)
      me.until(dialled, 3_000)
      const took = me.now - start
      assert.ok(took >= wait && took < wait + 5, `${took}`)
    }
  })

  test("a seed is dialled for ever, after waits that double from 50 ms to 5 s", () => {
    const times = dialTimes(60_000, "refused")
    const gaps = times.slice(1).map((at, i) => at - (times[i] as number))
    assert.ok((gaps[0] as number) < 70, `${gaps}`)
    assert.ok(
      gaps.slice(8).every((gap) => gap > 3_500 && gap < 6_500),
      `${gaps}`,
    )
    assert.ok(times.length > 15)
  })

  test("an address that is this node's own, or already linked, is left alone", () => {
    assert.ok(dialTimes(65_000, "self").length <= 1)
    assert.ok(dialTimes(65_000, "duplicate").length <= 2)
    assert.deepEqual(new Alone([], { seeds: ["me:1", "", "me:1"] }).outputs, [])
  })

  test("together the members dial the dead at a constant rate", () => {
    const rates = [2, 14].map((size) => {
      const net = new Members({ seed: size })
      const nodes = net.together(size + 1)
      net.settle(nodes, 200)
      const [victim, ...rest] = nodes as [Node, ...Array<Node>]
      net.crash(victim, { machine: true })
      net.run(20_000)
      const dials = (): number => rest.reduce((sum, node) => sum + node.dials, 0)
      const before = dials()
      net.run(100_000)
      assert.ok(rest.every((node) => memberOf(node, "n0").status === "dead"))
      return (dials() - before) / 100
    })
    // The seed and the dead member count once each.
    for (const rate of rates) assert.ok(rate > 0.2 && rate < 1.4, `${rates} per second`)
  })
})

describe("addresses", () => {
  test("that lead to a peer with another address of its own aren't dialled while it lives there", () => {
    const me = new Alone([])
    me.input({ _tag: "Connect", addresses: ["alias:1"] })
    assert.deepEqual(me.dialled, ["alias:1"])
    me.input({ _tag: "LinkUp", peer: "b", epoch: 1, address: "b:1", dialled: "alias:1" })
    me.claims("b", [alive("b")], true)
    me.run(5 * 60_000)
    assert.deepEqual(me.dialled, ["alias:1"])
    me.mute.add("b")
    me.input({ _tag: "LinkDown", peer: "b", epoch: 1, reason: "reset" })
    me.until(() => me.status("b") === "dead", 20_000)
    me.dialled.length = 0
    me.run(20_000)
    assert.ok(me.dialled.includes("alias:1"))
  })

  test("that turn out to be somebody linked are left alone for as long as that is so", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "Connect", addresses: ["alias:1"] })
    me.input({ _tag: "DialFailed", address: "alias:1", reason: "duplicate", real: "b:1" })
    me.dialled.length = 0
    me.run(5 * 60_000)
    assert.deepEqual(me.dialled, [])
    assert.equal(Contact.nodeAt(me.state, "alias:1"), "b")
  })

  test("given by discovery are dialled as seeds, and no sooner when they are given again", () => {
    const me = new Alone([])
    const times: Array<number> = []
    while (me.now < 60_000) {
      me.input({ _tag: "Discovered", addresses: ["d:1", "me:1"] })
      if (me.dialled.length > times.length) {
        times.push(me.now)
        me.input({ _tag: "DialFailed", address: "d:1", reason: "refused" })
      }
      me.now += 10
      me.input({ _tag: "Tick" })
    }
    assert.ok(me.dialled.every((address) => address === "d:1"))
    assert.ok(times.length > 15 && times.length < 30, `${times}`)
  })

  test("given by discovery to a node that leaves aren't dialled", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "Leave" })
    me.input({ _tag: "Discovered", addresses: ["d:1"] })
    me.run(10_000)
    assert.deepEqual(me.dialled, [])
  })

  test("that nobody wants any more aren't dialled, but for those given at birth", () => {
    const me = new Alone([], { seeds: ["born:1"] })
    me.input({ _tag: "Connect", addresses: ["c:1"] })
    me.input({ _tag: "Discovered", addresses: ["d:1"] })
    me.input({ _tag: "Forget", addresses: ["c:1", "d:1", "born:1", "unknown:1"] })
    me.dialled.length = 0
    me.run(60_000)
    assert.ok(me.dialled.length > 5)
    assert.deepEqual([...new Set(me.dialled)], ["born:1"])
    me.input({ _tag: "Discovered", addresses: ["d:1"] })
    assert.equal(me.dialled.at(-1), "d:1")
  })

  test("that nobody wants any more stay for as long as a member lives there", () => {
    const me = new Alone([])
    me.input({ _tag: "Connect", addresses: ["alias:1"] })
    me.input({ _tag: "LinkUp", peer: "b", epoch: 1, address: "b:1", dialled: "alias:1" })
    me.claims("b", [alive("b")], true)
    me.input({ _tag: "Forget", addresses: ["alias:1"] })
    me.run(5_000)
    assert.ok(me.state.seeds.has("alias:1"))
    me.mute.add("b")
    me.input({ _tag: "LinkDown", peer: "b", epoch: 1, reason: "reset" })
    me.until(() => me.status("b") === "dead", 20_000)
    assert.ok(!me.state.seeds.has("alias:1"))
    me.dialled.length = 0
    me.run(60_000)
    // As one of the dead it may come back where it was.
    assert.deepEqual([...new Set(me.dialled)], ["b:1"])
  })

  test("are listed with who is there and how they stand", () => {
    const me = new Alone(["b", "c", "d"], { seeds: ["b:1"] })
    me.input({ _tag: "Connect", addresses: ["x:1", "y:1", "alias:1"] })
    me.input({ _tag: "DialFailed", address: "y:1", reason: "refused" })
    me.input({ _tag: "DialFailed", address: "alias:1", reason: "duplicate", real: "c:1" })
    me.input({ _tag: "Disconnect", peer: "c" })
    me.input({ _tag: "Disconnect", peer: "d" })
    assert.deepEqual(Contact.list(me.state), [
      { address: "b:1", node: "b", state: "connected" },
      { address: "x:1", node: undefined, state: "dialling" },
      { address: "y:1", node: undefined, state: "waiting" },
      { address: "alias:1", node: "c", state: "disconnected" },
      { address: "d:1", node: "d", state: "disconnected" },
    ])
    me.input({ _tag: "Forget", addresses: ["alias:1", "b:1"] })
    me.input({ _tag: "Connect", addresses: ["d:1"] })
    assert.deepEqual(
      Contact.list(me.state).map(({ address, state }) => `${address} ${state}`),
      ["b:1 connected", "x:1 dialling", "y:1 waiting", "d:1 dialling", "c:1 disconnected"],
    )
  })
})

describe("links", () => {
  test("begin with the whole view, and with what I hold against the peer", () => {
    const me = new Alone(["b", "c"])
    me.claims("b", [{ ...accused("c", ["b"]), rank: Claims.DEAD }])
    me.mute.add("c")
    me.run(5_000)
    assert.equal(me.status("c"), "dead")
    me.outputs.length = 0
    me.input({ _tag: "LinkUp", peer: "c", epoch: 1, address: "c:1" })
    const [claims] = me.sent("c", "Claims")
    assert.deepEqual(
      claims?.claims.map(({ name, rank }) => [name, rank]),
      [
        ["b", 0],
        ["c", 2],
        ["me", 0],
      ],
    )
  })

  test("to somebody who doesn't become a member hear the view again, once a period", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "LinkUp", peer: "z", epoch: 1, address: "z:1" })
    me.run(3_500)
    assert.equal(me.sent("z", "Claims").length, 4)
    me.claims("z", [alive("z")], true)
    me.outputs.length = 0
    me.run(5_000)
    assert.equal(me.sent("z", "Claims").length, 0)
  })

  test("to an instance that is superseded end once it has read by whom", () => {
    const me = new Alone(["b", "c"])
    me.outputs.length = 0
    me.claims("b", [{ ...alive("c"), epoch: 2, instance: 99 }])
    const order = me.outputs.flatMap((output) =>
      (output._tag === "Send" && output.to === "c") || output._tag === "Close" ? [output._tag] : [],
    )
    assert.deepEqual(order, ["Send", "Close"])
    const other = new Alone(["b", "c"])
    other.claims("b", [{ ...alive("c"), epoch: 2 }])
    assert.ok(!other.outputs.some((output) => output._tag === "Close"))
  })

  test("are only down when their own end is told", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "LinkDown", peer: "b", epoch: 7, reason: "closed" })
    assert.equal(Membership.members(me.state)[0]?.connected, true)
    me.input({ _tag: "LinkDown", peer: "b", epoch: 1, reason: "closed" })
    assert.equal(Membership.members(me.state)[0]?.connected, false)
  })

  test("are not made to an address that turned out to be mine", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "Connect", addresses: ["z:1"] })
    me.input({ _tag: "DialFailed", address: "z:1", reason: "self" })
    me.dialled.length = 0
    me.claims("b", [alive("z")])
    me.run(3_000)
    assert.deepEqual(me.dialled, [])
  })

  test("take news further, but not back", () => {
    const me = new Alone(["b", "c", "d"])
    me.outputs.length = 0
    me.claims("b", [{ ...alive("c"), incarnation: 2, phase: "leaving" }])
    assert.deepEqual(
      ["b", "c", "d"].map((name) => me.sent(name, "Claims").length),
      [0, 1, 1],
    )
  })
})

/** When a node dials its only seed, while every dial comes to nothing. */
function dialTimes(
  millis: number,
  reason: "refused" | "self" | "duplicate",
): ReadonlyArray<number> {
  const me = new Alone([], { seeds: ["nowhere:1"] })
  const times: Array<number> = []
  for (;;) {
    if (me.dialled.length > times.length) {
      times.push(me.now)
      me.now++
      me.input({ _tag: "DialFailed", address: "nowhere:1", reason })
    }
    if (Membership.wakeAt(me.state) >= millis) return times
    me.tick()
  }
}
