import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Input } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import { calm, type Node } from "./scenes.ts"

describe("garbage", () => {
  test("15. No input throws, spoils the state or stops the clock", () => {
    fc.assert(
      fc.property(fc.array(garbage, { maxLength: 40 }), fc.nat(1000), (inputs, seed) => {
        const { net, nodes } = calm(3, seed, 100)
        const [node] = nodes as [Node]
        net.honest = false
        for (const input of inputs) {
          node.input(input as Input)
          // Its end ends the life of the node, but no input may throw after that, either.
          if (!node.running) Membership.step(node.state, { ...(input as Input), now: net.now })
        }
        net.run(1_000)
      }),
      { numRuns: 150 },
    )
  })

  test("15. A clock that says nonsense is not believed", () => {
    const { nodes } = calm(3, 1)
    const { state } = nodes[0] as Node
    const wake = Membership.wakeAt(state)
    for (const now of [
      Number.NaN,
      -1,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      2 ** 60,
    ]) {
      const outputs = Membership.step(state, { _tag: "Tick", now }).outputs
      assert.deepEqual(outputs, [])
      assert.equal(Membership.wakeAt(state), wake)
    }
  })
})

// --- nonsense ------------------------------------------------------------------------------------

const nonsense = fc.oneof(
  fc.constantFrom<unknown>(null, undefined, "", "n1", "n0", "host-n1:1", true, -1, 0, 1, 2 ** 53),
  fc.constantFrom<unknown>(Number.NaN, Number.POSITIVE_INFINITY, -0.5, 2 ** 52, [], {}),
  fc.array(fc.string({ maxLength: 4 }), { maxLength: 3 }),
)
const peer = fc.oneof(fc.constantFrom("n0", "n1", "n2", "x", "__proto__"), nonsense)
const claim = fc.record(
  {
    name: fc.oneof(fc.constantFrom("n0", "n1", "n2", "x", "y"), nonsense),
    epoch: fc.oneof(fc.constantFrom(1, 2, 2 ** 53 - 1), nonsense),
    incarnation: fc.oneof(fc.constantFrom(0, 1, 2, 2 ** 52, 2 ** 53 - 1), nonsense),
    rank: fc.oneof(fc.constantFrom(0, 1, 2, 3), nonsense),
    accusers: fc.oneof(fc.constantFrom([], ["n1"], ["n1", "n2"]), nonsense),
    hard: fc.oneof(fc.constantFrom([], ["n1"]), nonsense),
    phase: fc.oneof(fc.constantFrom("up", "joining", "leaving"), nonsense),
    address: fc.oneof(fc.constantFrom("", "host-n1:1", "host-x:1"), nonsense),
    instance: fc.oneof(fc.constantFrom(0, 2 ** 32 - 1), nonsense),
    weight: fc.oneof(fc.constantFrom(0, 1, 64), nonsense),
    roles: fc.oneof(fc.constantFrom([], ["web"]), nonsense),
    hosts: fc.oneof(fc.constantFrom([], [""], ["", "sup"], ["sup", "sup"]), nonsense),
  },
  { noNullPrototype: true },
)
/** Mostly claims that could be true: those get furthest. */
const plausible = fc.record(
  {
    name: fc.constantFrom("n0", "n1", "n2", "x", "y"),
    epoch: fc.integer({ min: 1, max: 3 }),
    incarnation: fc.nat(3),
    rank: fc.nat(2),
    accusers: fc.constantFrom([], ["n1"], ["n0", "n1", "n2"]),
    hard: fc.constantFrom([], ["n1", "n2"]),
    phase: fc.constantFrom("up", "joining", "leaving"),
    address: fc.constantFrom("host-n1:1", "host-x:1", "host-n0:1"),
    instance: fc.nat(2 ** 32 - 1),
    weight: fc.constantFrom(0, 1),
    roles: fc.constant([]),
    hosts: fc.constantFrom([], [""], ["", "sup"]),
  },
  { noNullPrototype: true },
)
const message = fc.oneof(
  nonsense,
  fc.record({
    _tag: fc.constantFrom("Ping", "Ack"),
    seq: nonsense,
    view: nonsense,
    digest: nonsense,
  }),
  fc.record({ _tag: fc.constantFrom("PingRequest"), seq: nonsense, target: peer }),
  fc.record({ _tag: fc.constantFrom("PingReply"), seq: nonsense, target: peer, ok: nonsense }),
  fc.record({
    _tag: fc.constantFrom("Claims"),
    claims: fc.oneof(
      nonsense,
      fc.array(fc.oneof({ weight: 3, arbitrary: plausible }, claim, nonsense), { maxLength: 4 }),
    ),
    full: fc.oneof(fc.boolean(), nonsense),
  }),
  fc.record({ _tag: fc.constantFrom("LeftAck"), epoch: nonsense }),
  fc.record({ _tag: fc.constantFrom("Bye", "Nonsense") }),
)
const garbage = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ _tag: fc.constant("Message"), from: peer, message }),
  },
  fc.record({ _tag: fc.constantFrom("Tick", "Synced", "Leave", "Drained", "Nonsense") }),
  fc.record({
    _tag: fc.constantFrom("LinkUp"),
    peer,
    epoch: nonsense,
    address: nonsense,
    dialled: nonsense,
  }),
  fc.record({ _tag: fc.constantFrom("LinkDown"), peer, epoch: nonsense, reason: nonsense }),
  fc.record({
    _tag: fc.constantFrom("DialFailed"),
    address: nonsense,
    reason: nonsense,
    real: nonsense,
  }),
  fc.record({ _tag: fc.constantFrom("Heard"), peers: nonsense }),
  fc.record({ _tag: fc.constantFrom("Digest"), digest: nonsense }),
  fc.record({ _tag: fc.constantFrom("Connect", "Discovered", "Forget"), addresses: nonsense }),
  fc.record({ _tag: fc.constantFrom("Disconnect"), peer }),
  fc.record({ _tag: fc.constantFrom("Superseded"), epoch: nonsense, instance: nonsense }),
)
