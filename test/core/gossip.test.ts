import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import * as Membership from "../../src/core/membership.ts"
import { Alone, alive } from "./alone.ts"
import { Members, memberOf, type Node } from "./scenes.ts"

describe("keeping in touch", () => {
  test("pings and acknowledgements carry the registry's hash to every peer", () => {
    const me = new Alone(["b"])
    me.input({ _tag: "Digest", digest: 77 })
    me.message("b", { _tag: "Ping", seq: 5, view: 0, digest: 99 })
    assert.deepEqual(me.outputs, [
      {
        _tag: "Send",
        to: "b",
        message: { _tag: "Ack", seq: 5, view: Membership.viewHash(me.state), digest: 77 },
      },
      { _tag: "PeerDigest", peer: "b", digest: 99 },
    ])
  })

  test("a whole view is answered with what is newer here, and with nothing when nothing is", () => {
    const me = new Alone(["b"])
    me.claims("b", [{ ...alive("c"), rank: Claims.DEAD, accusers: ["z"] }])
    const answers = (given: ReadonlyArray<Claim>): ReadonlyArray<string> => {
      me.outputs.length = 0
      me.claims("b", given, true)
      return me
        .sent("b", "Claims")
        .flatMap(({ claims }) => claims.map(({ name, rank }) => `${name}${rank}`))
    }
    const mine = me.state.self
    const b = me.claim("b")
    assert.deepEqual(answers([mine, b]), [])
    assert.deepEqual(answers([mine]), ["b0"])
    assert.deepEqual(answers([b, alive("c")]), ["c2", "me0"])
  })

  test("views that differ for half a second, and two rounds, are compared as a whole", () => {
    const me = new Alone(["b"])
    me.mute.add("b")
    const fulls: Array<number> = []
    for (let now = 1_000; now < 3_000; now += 200) {
      me.now = now
      me.outputs.length = 0
      me.message("b", { _tag: "Ack", seq: 0, view: 1, digest: 0 })
      if (me.sentAll("Claims").some(({ full }) => full)) fulls.push(now)
    }
    assert.deepEqual(fulls, [1_600, 2_400])
  })

  test("what is lost between two members is found through the hash of the view", () => {
    const net = new Members({ seed: 8 })
    const nodes = net.together(4) as [Node, Node, Node, Node]
    const [leaver, , , deaf] = nodes
    net.settle(nodes, 100)
    net.filter = (to, _, message) => to !== deaf || message._tag !== "Claims"
    leaver.input({ _tag: "Leave" })
    net.run(100)
    assert.equal(memberOf(deaf, "n0").phase, "up")
    net.filter = undefined
    net.until("it knows", () => memberOf(deaf, "n0").phase === "leaving", 2_500)
  })

  test("13. A quiet node sends at most 2K + 2 frames a second, whatever the size", () => {
    for (const size of [2, 5, 9, 16, 32]) {
      const net = new Members({ seed: size })
      const nodes = net.together(size)
      net.settle(nodes, 1_000)
      net.run(3_000)
      const before = nodes.map((node) => node.messagesSent)
      net.run(10_000)
      const observers = Math.min(8, size - 1)
      for (const [i, node] of nodes.entries()) {
        const frames = (node.messagesSent - (before[i] as number)) / 10
        // A node may have more subjects than rings only by chance of none.
        assert.ok(frames <= 2 * observers + 2, `${size}: ${frames} frames/s`)
      }
    }
  })

  test("13. A change goes over each link of a small cluster at most once in each direction", () => {
    for (const size of [3, 6, 9]) {
      const net = new Members({ seed: size })
      const nodes = net.together(size)
      net.settle(nodes, 200)
      net.run(2_000)
      const sent = (): number => nodes.reduce((sum, node) => sum + node.claimsSent, 0)
      const before = sent()
      nodes[0]?.input({ _tag: "Leave" })
      net.run(200)
      const claims = sent() - before
      assert.ok(claims <= (size - 1) * (size - 1), `${claims} claims for ${size} members`)
      assert.ok(claims >= size - 1)
    }
  })

  test("the dead are forgotten after a day, the first of too many before", () => {
    const me = new Alone(["b"])
    const dead = (i: number): Claim => ({
      ...alive(`dead-${i}`),
      address: "",
      rank: Claims.DEAD,
      accusers: ["z"],
    })
    me.claims(
      "b",
      Array.from({ length: 10_050 }, (_, i) => dead(i)),
    )
    me.now = 3_000
    me.input({ _tag: "Tick" })
    assert.equal(Membership.claims(me.state).length, 10_002)
    assert.equal(me.status("dead-49"), undefined)
    assert.equal(me.status("dead-50"), "dead")
    me.now = 24 * 60 * 60 * 1_000 + 20
    me.input({ _tag: "Tick" })
    assert.equal(me.status("dead-50"), undefined)
  })
})

describe("claims about me", () => {
  test("3. are refuted with an incarnation above every one that is claimed", () => {
    const me = new Alone(["b"])
    const { incarnation } = me.state.self
    me.claims("b", [{ ...me.state.self, rank: Claims.DEAD, accusers: ["b"] }])
    assert.equal(me.state.self.incarnation, incarnation + 1)
    me.claims("b", [{ ...me.state.self, incarnation: 70 }])
    assert.equal(me.state.self.incarnation, 71)
    assert.equal(me.sent("b", "Claims").at(-1)?.claims[0]?.incarnation, 71)
    me.claims("b", [{ ...me.state.self, incarnation: Claims.INCARNATION_MAX }])
    assert.deepEqual([me.state.self.epoch, me.state.self.incarnation], [2, 0])
  })

  test("that I have refuted already are answered to who still makes them", () => {
    const me = new Alone(["b", "c"])
    const old = { ...me.state.self, rank: Claims.SUSPECT, accusers: ["c"] } as const
    me.claims("c", [old])
    const { self } = me.state
    me.outputs.length = 0
    me.claims("b", [old])
    assert.deepEqual(me.sent("b", "Claims"), [{ _tag: "Claims", claims: [self], full: false }])
    assert.deepEqual(me.sent("c", "Claims"), [])
    assert.equal(me.state.self, self)
  })
})
