import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Claims from "../../src/core/claim.ts"
import * as Membership from "../../src/core/membership.ts"
import { Alone, accused, names } from "./alone.ts"

describe("probing", () => {
  test("asks three others when an acknowledgement is late, and accuses when nobody gets one in a period", () => {
    const me = new Alone(names(6))
    me.run(3_000)
    me.outputs.length = 0
    me.mute.add("c")
    me.until(() => me.sent("c", "Ping").length > 0)
    const start = me.now
    me.until(() => me.sentAll("PingRequest").length > 0)
    assert.equal(me.now - start, 100)
    assert.equal(me.sentAll("PingRequest").length, 3)
    me.until(() => me.claim("c").rank === Claims.SUSPECT)
    assert.equal(me.now - start, 1_000)
    assert.deepEqual(me.claim("c").accusers, ["me"])
    // First of all, the accused itself learns it.
    assert.equal(me.sent("c", "Claims").length, 1)
  })

  test("says it again with every failure, in case that it was lost", () => {
    const me = new Alone(names(6))
    me.mute.add("c")
    me.until(() => me.claim("c").rank === Claims.SUSPECT)
    me.outputs.length = 0
    me.run(2_100)
    assert.equal(me.sent("d", "Claims").length, 2)
  })

  test("takes a helper's word, or any frame, for an acknowledgement", () => {
    for (const how of ["helper", "heard"]) {
      const me = new Alone(names(3))
      me.mute.add("c")
      for (let i = 0; i < 5; i++) {
        me.outputs.length = 0
        me.until(() => me.sent("b", "PingRequest").length > 0, 3_000)
        const [request] = me.sent("b", "PingRequest")
        if (request === undefined) assert.fail("nobody was asked")
        if (how === "heard") me.input({ _tag: "Heard", peers: ["c", "nobody"] })
        else me.message("b", { _tag: "PingReply", seq: request.seq, target: "c", ok: true })
      }
      assert.equal(me.claim("c").rank, Claims.ALIVE)
    }
  })

  test("begins at once when somebody else accuses", () => {
    const me = new Alone(names(4))
    me.run(2_000)
    me.until(() => me.sent("c", "Ping").length > 2)
    me.run(10)
    me.outputs.length = 0
    me.claims("b", [accused("c", ["b"])])
    assert.equal(me.sent("c", "Ping").length, 1)
  })

  test("slows down when helpers are silent as well, but not when they say that they had no answer", () => {
    const periods = [true, false].map((silent) => {
      const me = new Alone(names(4))
      me.mute.add("c")
      me.helpersSilent = silent
      me.run(40_000)
      me.outputs.length = 0
      me.run(18_000)
      return 18_000 / me.sent("c", "Ping").length
    })
    assert.deepEqual(
      periods.map((period) => Math.round(period / 1_000)),
      // Two probes of healthy peers make up for one such failure.
      [2, 1],
    )
  })

  test("pings for others, and says no when there is no answer in time or no link", () => {
    const me = new Alone(["b", "c"])
    me.mute.add("c")
    me.message("b", { _tag: "PingRequest", seq: 70, target: "c" })
    const [ping] = me.sent("c", "Ping")
    assert.ok(ping !== undefined)
    me.run(251)
    assert.deepEqual(me.sent("b", "PingReply"), [
      { _tag: "PingReply", seq: 70, target: "c", ok: false },
    ])
    me.message("c", { _tag: "Ack", seq: ping.seq, view: 0, digest: 0 })
    me.message("b", { _tag: "PingRequest", seq: 71, target: "z" })
    assert.deepEqual(
      me.sent("b", "PingReply").map(({ seq, ok }) => [seq, ok]),
      [
        [70, false],
        [70, true],
        [71, false],
      ],
    )
  })

  test("measures the round trip", () => {
    const me = new Alone(["b"])
    me.delay = 8
    me.run(20_000)
    assert.equal(Membership.members(me.state)[0]?.rttMillis, 8)
  })
})
