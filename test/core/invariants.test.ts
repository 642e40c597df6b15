import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Claim } from "../../src/core/claim.ts"
import * as Invariants from "../../src/core/invariants.ts"
import type { Event } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import * as Registry from "../../src/core/registry.ts"
import * as Rings from "../../src/core/rings.ts"
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

describe("unanimous", () => {
  test("tells registries apart by servers, metadata, stickiness, slots and groups", () => {
    const put = { _tag: "Put", wall: 1, name: "count/x", generation: 1, pid: 1 } as const
    const join = { _tag: "Join", wall: 2, group: "g", pid: 1, name: "count/x" } as const
    const same: ReadonlyArray<Registry.Input> = [
      { ...put, meta: undefined, props: { version: 1, bytes: new Uint8Array([1]) } },
      { _tag: "Grant", slot: 7, generation: 1 },
      { ...join, online: true, meta: undefined },
    ]
    const more: ReadonlyArray<Registry.Input> = [
      { ...put, generation: 2, meta: undefined },
      { ...put, meta: undefined, sticky: true },
      { _tag: "Delete", name: "count/x" },
      { _tag: "Describe", name: "count/x", props: { version: 1, bytes: new Uint8Array([2]) } },
      { _tag: "Describe", name: "count/x", props: { version: 2, bytes: new Uint8Array([1]) } },
      { _tag: "Describe", name: "count/x", props: undefined },
      { _tag: "Release", slot: 7 },
      { _tag: "Grant", slot: 8, generation: 1 },
      { ...join, online: false, meta: undefined },
      { ...join, online: true, meta: new Uint8Array() },
      { ...join, name: "count/y", online: true, meta: undefined },
      { ...join, pid: 2, online: true, meta: undefined },
      { ...join, group: "h", online: true, meta: undefined },
      { _tag: "Quit", group: "g", pid: 1, reason: "" },
    ]
    const of = (inputs: ReadonlyArray<Registry.Input>): Registry.State => {
      const state = Registry.init({ name: "a", epoch: 1 })
      for (const input of inputs) Registry.step(state, input)
      return state
    }
    assert.equal(Invariants.unanimous([]), undefined)
    assert.equal(Invariants.unanimous([of(same), of(same)]), undefined)
    for (const one of more) {
      const wrong = Invariants.unanimous([of(same), of(same), of([...same, one])])
      assert.notEqual(wrong, undefined, JSON.stringify(one))
    }
  })
})

describe("placed", () => {
  const of = (...names: ReadonlyArray<string>): Registry.State => {
    const state = Registry.init({ name: "a", epoch: 1 })
    for (const name of names) {
      const put = { _tag: "Put", wall: 1, name, generation: 1, pid: 1, meta: undefined } as const
      Registry.step(state, { ...put, sticky: name.includes("stay") })
      Registry.step(state, { _tag: "Grant", slot: Rings.slot(name), generation: 1 })
    }
    return state
  }
  const rings = Rings.make([
    { id: "a", weight: 1, hosts: ["", "s", "p"] },
    { id: "b", weight: 1, hosts: ["", "s", "p", "t"] },
  ])
  /** One of this kind that isn't a's by the ring. */
  const foreign = (kind: string): string => {
    for (let i = 0; ; i++) if (Rings.owner(rings, `${kind}/${i}`) === "b") return `${kind}/${i}`
  }
  const own = (kind: string): string => {
    for (let i = 0; ; i++) if (Rings.owner(rings, `${kind}/${i}`) === "a") return `${kind}/${i}`
  }

  test("takes names that are where their supervisor's ring says, and those that needn't be", () => {
    const fit = [own("x"), own("s:x"), foreign("stay"), foreign("s:stay"), foreign("p:x")]
    const state = of(...fit, "@x/1", "/x", "plain")
    assert.equal(Invariants.placed(state, rings, new Set([Rings.number("p")])), undefined)
  })

  test("tells names that are elsewhere, at nodes that don't host them, and slots that aren't held", () => {
    const passive = new Set([Rings.number("t")])
    for (const name of [foreign("x"), foreign("s:x"), foreign("p:x"), "t:x/1", "t:stay/1", "u:x/1"])
      assert.notEqual(Invariants.placed(of(name), rings, passive), undefined, name)
    const state = of(own("s:x"))
    Registry.step(state, { _tag: "Release", slot: Rings.slot(own("s:x")) })
    assert.notEqual(Invariants.placed(state, rings), undefined)
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
  return {
    name: "x",
    epoch,
    incarnation,
    phase: "up",
    address: "x:1",
    weight: 1,
    roles: [],
    hosts: [""],
  }
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
