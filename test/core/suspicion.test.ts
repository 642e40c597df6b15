import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Claims from "../../src/core/claim.ts"
import * as Membership from "../../src/core/membership.ts"
import { Alone, accused, alive, names } from "./alone.ts"

describe("the verdict", () => {
  test("4. needs three quarters of the observers, or two of them and six times as long", () => {
    for (const [accusers, after] of [
      [1, Number.POSITIVE_INFINITY],
      [2, 18_000],
      [5, 18_000],
      [6, 3_000],
      [8, 3_000],
    ] as const) {
      const me = new Alone(names(8))
      const start = me.now
      me.claims("b", [accused("c", ["b", "d", "e", "f", "g", "h", "i", "me"].slice(0, accusers))])
      me.run(30_000)
      const took = (me.downAt("c") ?? Number.POSITIVE_INFINITY) - start
      assert.equal(took, after, `${accusers} accusers`)
    }
  })

  test("4. comes no earlier than three quarters of the suspicion time after the quorum", () => {
    for (const [wait, late, after] of [
      [600, 0, 3_000],
      [2_000, 0, 4_250],
      [2_000, 300, 4_550],
    ] as const) {
      const me = new Alone(names(4))
      // A quorum against an earlier incarnation is void.
      me.claims("b", [accused("c", ["b", "d", "e"])])
      me.claims("c", [{ ...alive("c"), incarnation: 2 }])
      const start = me.now
      me.claims("b", [{ ...accused("c", ["b"]), incarnation: 2 }])
      me.run(wait)
      me.claims("d", [{ ...accused("c", ["d", "e"]), incarnation: 2 }])
      me.run(200)
      me.now = late === 0 ? me.now : Membership.wakeAt(me.state) + late
      me.input({ _tag: "Tick" })
      me.run(6_000)
      assert.equal((me.downAt("c") ?? 0) - start, after)
    }
  })

  test("4. doesn't count observers that are suspected themselves, on either side", () => {
    const me = new Alone(names(4))
    // b, d and me observe c; three of four would be needed, but e is suspected.
    me.claims("b", [accused("e", ["b"])])
    const start = me.now
    me.claims("b", [accused("c", ["b", "d", "me"])])
    me.run(4_000)
    assert.equal((me.downAt("c") ?? 0) - start, 3_000)
    const other = new Alone(names(4))
    other.claims("b", [accused("d", ["b"]), accused("e", ["b"]), accused("c", ["d", "e"])])
    other.run(17_000)
    assert.equal(other.downAt("c"), undefined)
  })

  test("on refused connections is quick: 250 ms, 500 ms with a single observer", () => {
    for (const [others, grace] of [
      [["c"], 500],
      [["b", "c"], 250],
    ] as const) {
      const me = new Alone(others)
      const start = me.now
      me.input({ _tag: "LinkDown", peer: "c", epoch: 1, reason: "reset" })
      assert.deepEqual(me.dialled, ["c:1"])
      me.input({ _tag: "DialFailed", address: "c:1", reason: "refused" })
      if (others.length > 1) me.claims("b", [{ ...accused("c", ["b"]), hard: ["b"] }])
      me.run(1_000)
      assert.equal((me.downAt("c") ?? 0) - start, grace)
    }
  })

  test("isn't hastened by the refusal of an address that never answered", () => {
    const me = new Alone(["b"])
    me.claims("b", [alive("z")])
    assert.deepEqual(me.dialled, ["z:1"])
    me.input({ _tag: "DialFailed", address: "z:1", reason: "refused" })
    assert.equal(me.claim("z").rank, Claims.ALIVE)
  })

  test("of others is believed at once by who doesn't know better, and by who does after 3 s", () => {
    const me = new Alone(["b"])
    me.claims("b", [alive("z")])
    me.claims("b", [{ ...accused("z", ["b"]), rank: Claims.DEAD }])
    assert.equal(me.downAt("z"), me.now)
    const other = new Alone(["b", "c"])
    const start = other.now
    other.mute.add("c")
    other.claims("b", [{ ...accused("c", ["b"]), rank: Claims.DEAD }])
    assert.equal(other.status("c"), "suspect")
    other.run(5_000)
    assert.equal((other.downAt("c") ?? 0) - start, 3_000)
    const third = new Alone(["b", "c"])
    third.claims("b", [{ ...accused("c", ["b"]), rank: Claims.DEAD }])
    third.run(2_000)
    assert.equal(third.status("c"), "suspect")
    third.claims("c", [{ ...alive("c"), incarnation: 2 }])
    assert.equal(third.status("c"), "alive")
    assert.equal(third.downAt("c"), undefined)
  })
})

describe("a node that comes late to its deadline", () => {
  test("adds the delay to the time that the others have to refute", () => {
    for (const late of [300, 2_000]) {
      const me = new Alone(names(4))
      me.mute.add("c")
      const start = me.now
      me.claims("b", [accused("c", ["b", "d", "me"])])
      me.run(1_000)
      const wake = Membership.wakeAt(me.state)
      me.now = wake + late
      me.input({ _tag: "Tick" })
      me.run(6_000)
      assert.equal((me.downAt("c") ?? 0) - start, 3_000 + late)
    }
  })

  test("asks again instead of accusing, three times at most", () => {
    const me = new Alone(["b", "c"])
    me.mute.add("c")
    me.until(() => me.sent("c", "Ping").length > 0)
    for (let i = 1; i <= 4; i++) {
      // Helpers have been asked: what comes next is the end of the probe.
      me.until(
        () => me.sent("b", "PingRequest").length > 0 && Membership.wakeAt(me.state) > me.now + 1,
      )
      const pings = me.sent("c", "Ping").length
      me.now += 1_900
      me.input({ _tag: "Tick" })
      assert.equal(me.sent("c", "Ping").length, pings + 1)
      assert.equal(me.claim("c").rank, i <= 3 ? Claims.ALIVE : Claims.SUSPECT)
      me.outputs.length = 0
    }
  })

  test("slept, if it is later than the suspicion time: it says so and starts over", () => {
    const me = new Alone(["b", "c", "d"])
    for (const name of ["b", "c", "d"]) me.mute.add(name)
    me.claims("b", [accused("c", ["b", "d", "me"])])
    me.run(2_900)
    const { incarnation } = me.state.self
    me.outputs.length = 0
    me.now = Membership.wakeAt(me.state) + 3_001
    const woken = me.now
    me.input({ _tag: "Tick" })
    assert.deepEqual(me.events()[0], { _tag: "Slept", millis: 3_001 })
    assert.equal(me.state.self.incarnation, incarnation + 1)
    for (const name of ["b", "c", "d"]) {
      const [claims] = me.sent(name, "Claims")
      assert.ok(claims?.full && claims.claims.some((claim) => claim.name === "me"))
    }
    me.run(8_000)
    assert.equal((me.downAt("c") ?? 0) - woken, 3_000)
  })
})
