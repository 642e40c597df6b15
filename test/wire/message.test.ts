/** What cores say to each other comes as it was sent; what is no message doesn't come. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Claim, Rank } from "../../src/core/claim.ts"
import type { Message } from "../../src/core/cluster.ts"
import * as Rings from "../../src/core/rings.ts"
import type { Op, Props } from "../../src/core/table.ts"
import * as Wire from "../../src/wire/message.ts"
import * as Schema from "../../src/wire/schema.ts"

const plain = { noNullPrototype: true }
const node = fc.string({ maxLength: 128 })
const name = fc.oneof(fc.string(), fc.string({ minLength: 1_024, maxLength: 1_024 }))
const reason = fc.string({ maxLength: Wire.REASON_MAX })
const uint = fc.maxSafeNat()
const u32 = fc.nat(0xffffffff)
const bytes = fc.option(fc.uint8Array({ maxLength: 40 }), { nil: undefined })
const props: fc.Arbitrary<Props | undefined> = fc.option(
  fc.record({ version: uint, bytes: fc.uint8Array({ maxLength: 40 }) }, plain),
  { nil: undefined },
)
/** Those of named supervisors go beyond 32 bits. */
const slot = fc.oneof(
  fc.nat(2 ** 17 - 1),
  fc.maxSafeNat().map((n) => n % Rings.SLOTS_MAX),
)

function tagged<T extends string, A extends object>(
  tag: T,
  fields: { [K in keyof A]: fc.Arbitrary<A[K]> },
): fc.Arbitrary<{ readonly _tag: T } & A> {
  const all = { _tag: fc.constant(tag), ...fields }
  return fc.record(all, plain) as unknown as fc.Arbitrary<{ readonly _tag: T } & A>
}

const ops: fc.Arbitrary<Op> = fc.oneof(
  tagged("Put", {
    ...{ name, generation: uint, pid: uint, time: uint, meta: bytes, props },
    sticky: fc.boolean(),
  }),
  tagged("Delete", { name, reason }),
  tagged("Grant", { slot, generation: uint }),
  tagged("Release", { slot }),
  tagged("Describe", { name, props }),
  tagged("Join", {
    ...{ group: name, pid: uint, name, time: uint, online: fc.boolean() },
    meta: bytes,
  }),
  tagged("Quit", { group: name, pid: uint, reason }),
)

const claims: fc.Arbitrary<Claim> = fc.record(
  {
    name: node,
    epoch: uint,
    incarnation: uint,
    rank: fc.constantFrom<Rank>(0, 1, 2, 3),
    accusers: fc.array(node),
    hard: fc.array(node),
    phase: fc.constantFrom("joining", "up", "leaving"),
    address: fc.string({ maxLength: 512 }),
    instance: u32,
    weight: fc.nat(64),
    roles: fc.array(node),
    hosts: fc.array(node),
  },
  plain,
)

const table = fc.record({ owner: node, epoch: uint, seq: uint }, plain)
const orphan = fc.record(
  { name, generation: uint, meta: bytes, props, sticky: fc.boolean() },
  plain,
)
const move = { slot, generation: uint }
const messages: fc.Arbitrary<Message> = fc.oneof(
  tagged("Ping", { seq: uint, view: u32, digest: u32 }),
  tagged("Ack", { seq: uint, view: u32, digest: u32 }),
  tagged("PingRequest", { seq: uint, target: node }),
  tagged("PingReply", { seq: uint, target: node, ok: fc.boolean() }),
  tagged("Claims", { claims: fc.array(claims, { maxLength: 4 }), full: fc.boolean() }),
  tagged("LeftAck", { epoch: uint }),
  fc.constant({ _tag: "Bye" as const }),
  tagged("Ops", { owner: node, epoch: uint, from: uint, ops: fc.array(ops, { maxLength: 6 }) }),
  tagged("Ask", { owner: node, epoch: uint, from: uint }),
  tagged("Snapshot", {
    ...{ owner: node, epoch: uint, seq: uint, part: uint, parts: uint },
    ops: fc.array(ops, { maxLength: 6 }),
  }),
  tagged("Tables", { tables: fc.array(table), answer: fc.boolean() }),
  tagged("Settle", { signature: u32, ask: fc.boolean() }),
  ...(["Offer", "Accept", "Refuse", "Cancel"] as const).map((tag) => tagged(tag, move)),
  ...(["Installed", "Commit", "Drained", "Done"] as const).map((tag) => tagged(tag, move)),
  tagged("Orphans", { ...move, names: fc.array(orphan, { maxLength: 4 }) }),
)

const moving: fc.Arbitrary<Wire.MovingProcess> = fc.record(
  {
    ...{ name, meta: bytes, state: bytes, props, sticky: fc.boolean() },
    timers: fc.array(
      fc.record({ inMillis: uint, method: name, args: fc.uint8Array({ maxLength: 9 }) }, plain),
      { maxLength: 3 },
    ),
    restarts: fc.array(uint, { maxLength: 5 }),
    aliases: fc.array(fc.record({ name, generation: uint, props }, plain), { maxLength: 3 }),
    groups: fc.array(fc.record({ group: name, online: fc.boolean(), meta: bytes }, plain), {
      maxLength: 3,
    }),
  },
  plain,
)

test("processes come with all that they take along", () => {
  const states = tagged("State", { ...move, processes: fc.array(moving, { maxLength: 3 }) })
  fc.assert(
    fc.property(states, (message) => {
      const encoded = Schema.encode(Wire.data, message)
      assert.deepEqual(Schema.decode(Wire.data, encoded), message)
      assert.equal(Schema.decode(Wire.data, encoded.slice(0, -1)), undefined)
    }),
  )
})

describe("messages of the core", () => {
  test("come as they were sent, and not with more or less than that", () => {
    fc.assert(
      fc.property(messages, fc.nat(255), (message, more) => {
        const encoded = Schema.encode(Wire.core, message)
        assert.deepEqual(Schema.decode(Wire.core, encoded), message)
        assert.equal(Schema.decode(Wire.core, new Uint8Array([...encoded, more])), undefined)
        assert.equal(Schema.decode(Wire.core, encoded.slice(0, -1)), undefined)
      }),
      { numRuns: 500 },
    )
  })

  test("that were spoilt under way don't throw, and what comes of them can be sent again", () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(255), (message, at, byte) => {
        const encoded = Schema.encode(Wire.core, message)
        encoded[at % encoded.length] = byte
        const other = Schema.decode(Wire.core, encoded)
        if (other !== undefined)
          assert.deepEqual(Schema.decode(Wire.core, Schema.encode(Wire.core, other)), other)
      }),
      { numRuns: 500 },
    )
  })

  test("refuse reasons, names and lists that are longer than everybody takes", () => {
    const long = "x".repeat(1_025)
    const quit = { _tag: "Quit", group: "g", pid: 1 } as const
    const join = {
      ...quit,
      _tag: "Join",
      name: "x",
      time: 1,
      online: true,
      meta: undefined,
    } as const
    const wrong: ReadonlyArray<Op> = [
      { _tag: "Delete", name: "x", reason: "x".repeat(Wire.REASON_MAX + 1) },
      { ...quit, reason: "x".repeat(Wire.REASON_MAX + 1) },
      { ...quit, group: long, reason: "" },
      { ...join, group: long },
      { ...join, name: long },
      { _tag: "Describe", name: long, props: undefined },
    ]
    for (const op of wrong) {
      const message = { _tag: "Ops", owner: "a", epoch: 1, from: 1, ops: [op] } as const
      assert.throws(() => Schema.encode(Wire.core, message), /BUG/)
    }
  })
})
