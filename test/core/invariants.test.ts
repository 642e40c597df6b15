import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Invariants from "../../src/core/invariants.ts"
import type { Event } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import { Members } from "./scenes.ts"

describe("ordered", () => {
  test("takes what may happen to one name", () => {
    assert.equal(
      follow([
        up(1, 0),
        { _tag: "Suspect", name: "x" },
        { _tag: "Refuted", name: "x" },
        changed(1, 2),
        { _tag: "Suspect", name: "x" },
        { _tag: "Down", name: "x", epoch: 1, reason: "silent" },
        up(1, 3),
        { _tag: "Superseded", name: "x", epoch: 1 },
        up(2, 0),
        { _tag: "Left", name: "x", epoch: 2 },
        up(3, 0),
      ]),
      undefined,
    )
  })

  test("tells what may not", () => {
    const down: Event = { _tag: "Down", name: "x", epoch: 1, reason: "silent" }
    const wrong: ReadonlyArray<ReadonlyArray<Event>> = [
      [down],
      [up(1, 0), up(1, 1)],
      [up(1, 0), down, down],
      [up(1, 0), down, up(1, 0)],
      [up(2, 0), { ...down, epoch: 2 }, up(1, 5)],
      [up(1, 0), changed(1, 3), down, up(1, 2)],
      [up(1, 0), { _tag: "Left", name: "x", epoch: 1 }, up(1, 9)],
      [up(1, 0), { ...down, epoch: 2 }],
      [up(1, 0), { _tag: "Refuted", name: "x" }],
      [up(1, 0), { _tag: "Suspect", name: "x" }, { _tag: "Suspect", name: "x" }],
      [up(1, 0), down, { _tag: "Suspect", name: "x" }],
      [up(1, 0), changed(2, 0)],
      [{ _tag: "LeaveDone" }, up(1, 0)],
    ]
    for (const events of wrong) {
      assert.equal(follow(events.slice(0, -1)), undefined)
      assert.notEqual(follow(events), undefined, JSON.stringify(events))
    }
  })
})

describe("the other predicates", () => {
  test("tell a claim that went down, and one that is none", () => {
    const { state } = calm()
    const history = Invariants.history()
    assert.equal(Invariants.rising(history, state), undefined)
    const { self } = state
    for (const worse of [{ incarnation: 0 }, { epoch: 0 }, { weight: 99, incarnation: 9 }]) {
      state.self = { ...self, ...worse } as Claim
      assert.notEqual(Invariants.rising(history, state), undefined)
    }
    state.self = self
    assert.equal(Invariants.rising(history, state), undefined)
  })

  test("tell a node that would wake in the past", () => {
    const { state, now } = calm()
    assert.equal(Invariants.awake(state, now), undefined)
    assert.notEqual(Invariants.awake(state, Membership.wakeAt(state)), undefined)
  })

  test("tell a member that is down and that nobody has accused", () => {
    const { state } = calm()
    assert.notEqual(Invariants.justified(state, "n1"), undefined)
    const peer = state.peers.get("n1")
    if (peer === undefined) assert.fail("n1 is a member")
    peer.claim = { ...peer.claim, rank: 2, accusers: ["n0"] }
    peer.accusedAt = state.now - 4_000
    assert.notEqual(Invariants.justified(state, "n1"), undefined)
    peer.claim = { ...peer.claim, accusers: ["n0", "n2"] }
    assert.equal(Invariants.justified(state, "n1"), undefined)
    peer.accusedAt = state.now - 2_000
    assert.notEqual(Invariants.justified(state, "n1"), undefined)
  })

  test("tell nodes that don't agree", () => {
    const { states } = calm()
    assert.equal(Invariants.agreed(states), undefined)
    assert.notEqual(Invariants.agreed(states.slice(1)), undefined)
    const [first] = states
    if (first === undefined) assert.fail("there is a node")
    first.viewHash ^= 1
    assert.notEqual(Invariants.agreed(states), undefined)
    first.viewHash ^= 1
    first.links.delete("n1")
    assert.notEqual(Invariants.agreed(states), undefined)
  })
})

function follow(events: ReadonlyArray<Event>): string | undefined {
  const history = Invariants.history()
  return events
    .map((event) => Invariants.ordered(history, event))
    .find((complaint) => complaint !== undefined)
}

function up(epoch: number, incarnation: number): Event {
  return { ...member(epoch, incarnation), _tag: "Up" }
}

function changed(epoch: number, incarnation: number): Event {
  return { ...member(epoch, incarnation), _tag: "Changed" }
}

function member(epoch: number, incarnation: number): Membership.Description {
  return { name: "x", epoch, incarnation, phase: "up", address: "x:1", weight: 1, roles: [] }
}

function calm(): {
  readonly state: Membership.State
  readonly states: ReadonlyArray<Membership.State>
  readonly now: number
} {
  const net = new Members({ seed: 1 })
  const nodes = net.together(3)
  net.settle(nodes, 200)
  const states = nodes.map((node) => node.state)
  return { state: states[0] as Membership.State, states, now: net.now }
}
