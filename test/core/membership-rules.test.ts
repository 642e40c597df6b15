import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import type { Input, Message, Output, State } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"

// One node, the others played by the test: what follows from what, to the millisecond.

type Unclocked<A> = A extends unknown ? Omit<A, "now"> : never

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

describe("parting", () => {
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

// --- the stage -----------------------------------------------------------------------------------

/** A node whose peers answer pings at once, unless they are mute. */
class Alone {
  now = 0
  /** How long an answer takes. */
  delay = 0
  readonly state: State
  readonly mute = new Set<string>()
  helpersSilent = false
  readonly outputs: Array<Output> = []
  readonly dialled: Array<string> = []
  readonly #downs = new Map<string, number>()

  constructor(peers: ReadonlyArray<string>) {
    const { state } = Membership.init(
      {
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
      },
      0,
    )
    this.state = state
    for (const peer of peers) {
      this.input({ _tag: "LinkUp", peer, epoch: 1, address: `${peer}:1` })
      this.claims(peer, [alive(peer)], true)
    }
    this.outputs.length = 0
  }

  input(input: Unclocked<Input>): void {
    const { outputs } = Membership.step(this.state, { ...input, now: this.now } as Input)
    for (const output of outputs) {
      this.outputs.push(output)
      if (output._tag === "Dial") this.dialled.push(output.address)
      if (output._tag === "Event" && output.event._tag === "Down") {
        this.#downs.set(output.event.name, this.now)
      }
      if (output._tag === "Send") this.#answer(output.to, output.message)
    }
  }

  #answer(from: string, message: Message): void {
    if (message._tag === "Ping" && !this.mute.has(from)) {
      this.now += this.delay
      this.message(from, { ...message, _tag: "Ack" })
    }
    if (message._tag === "PingRequest" && !this.helpersSilent) {
      this.message(from, { ...message, _tag: "PingReply", ok: false })
    }
  }

  message(from: string, message: Message): void {
    this.input({ _tag: "Message", from, message })
  }

  claims(from: string, claims: ReadonlyArray<Claim>, full = false): void {
    this.message(from, { _tag: "Claims", claims, full })
  }

  /** Ticks on time, for so long. */
  run(millis: number): void {
    const end = this.now + millis
    while (Membership.wakeAt(this.state) <= end) {
      this.now = Math.max(this.now, Membership.wakeAt(this.state))
      this.input({ _tag: "Tick" })
    }
    this.now = Math.max(this.now, end)
  }

  /** Ticks on time, until it holds. */
  until(holds: () => boolean, maxMillis = 5_000): void {
    const end = this.now + maxMillis
    while (!holds()) {
      if (this.now > end) assert.fail(`not within ${maxMillis} ms`)
      this.now = Math.max(this.now, Membership.wakeAt(this.state))
      this.input({ _tag: "Tick" })
    }
  }

  sentAll<T extends Message["_tag"]>(tag: T): ReadonlyArray<Extract<Message, { _tag: T }>> {
    return this.outputs.flatMap((output) =>
      output._tag === "Send" && output.message._tag === tag
        ? [output.message as Extract<Message, { _tag: T }>]
        : [],
    )
  }

  sent<T extends Message["_tag"]>(
    to: string,
    tag: T,
  ): ReadonlyArray<Extract<Message, { _tag: T }>> {
    const own = this.outputs.filter((output) => output._tag === "Send" && output.to === to)
    return own.flatMap((output) =>
      output._tag === "Send" && output.message._tag === tag
        ? [output.message as Extract<Message, { _tag: T }>]
        : [],
    )
  }

  events(): ReadonlyArray<Membership.Event> {
    return this.outputs.flatMap((output) => (output._tag === "Event" ? [output.event] : []))
  }

  downAt(name: string): number | undefined {
    return this.#downs.get(name)
  }

  claim(name: string): Claim {
    return Membership.claims(this.state).find((claim) => claim.name === name) as Claim
  }

  status(name: string): string | undefined {
    return Membership.members(this.state).find((member) => member.name === name)?.status
  }
}

function names(count: number): ReadonlyArray<string> {
  return Array.from({ length: count }, (_, i) => String.fromCharCode(98 + i))
}

function alive(name: string): Claim {
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

function accused(name: string, accusers: ReadonlyArray<string>): Claim {
  return { ...alive(name), rank: Claims.SUSPECT, accusers: [...accusers].sort() }
}
