import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import * as Ring from "../../src/core/ring.ts"
import type * as Supervision from "../../src/core/supervision.ts"
import { Bench, type Told } from "./bench.ts"

describe("garbage", () => {
  const number = fc.oneof(
    fc.constantFrom(Number.NaN, -1, 0.5, 2 ** 53, Number.POSITIVE_INFINITY, Ring.SLOTS),
    fc.integer({ min: 0, max: 3 }),
  )
  const tag = fc.constantFrom(
    "Offer" as const,
    "Accept" as const,
    "Refuse" as const,
    "Cancel" as const,
    "Installed" as const,
    "Commit" as const,
    "Drained" as const,
    "Done" as const,
  )
  const message: fc.Arbitrary<Supervision.Message> = fc.oneof(
    fc.record({ _tag: tag, slot: number, generation: number }),
    fc.record({ _tag: fc.constant("Settle" as const), signature: number, ask: fc.boolean() }),
  )
  const peer = fc.constantFrom("a", "b", "z")
  const input: fc.Arbitrary<Told<Supervision.Input>> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ _tag: fc.constant("Message" as const), from: peer, message }),
    },
    fc.record({
      _tag: fc.constantFrom("Started" as const, "CaptureFailed" as const),
      slot: number,
    }),
    fc.record({ _tag: fc.constant("Captured" as const), slot: number, names: fc.constant(["x"]) }),
    fc.record({
      _tag: fc.constant("Restored" as const),
      slot: number,
      generation: number,
      ok: fc.boolean(),
    }),
    fc.record({ _tag: fc.constant("GrantLost" as const), slot: number }),
    fc.record({ _tag: fc.constant("Ask" as const), id: number, slot: number }),
    fc.record({
      _tag: fc.constantFrom("LinkUp" as const, "LinkDown" as const, "Down" as const),
      peer,
    }),
  )

  test("no input makes a supervisor throw, or hold a slot that isn't one", () => {
    fc.assert(
      fc.property(fc.array(input, { maxLength: 60, size: "max" }), (inputs) => {
        const bench = new Bench("a")
        bench.ring(["a", "b"])
        for (const one of inputs) {
          bench.now += 7
          bench.step(one)
          for (const slot of bench.registry.grants.keys())
            assert.ok(Number.isInteger(slot) && slot >= 0 && slot < Ring.SLOTS, `slot ${slot}`)
        }
      }),
      { numRuns: 200 },
    )
  })
})
