/**
 * The public suite for transports, on `node:test`, which runs on Bun, Deno and Node.
 *
 * @module
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { conformance as suite } from "../../src/testing/conformance/suite.ts"
import type { Subject } from "./side.ts"

/** Registers the suite for the transports that `make` provides. */
export function conformance(name: string, make: () => Promise<Subject>): void {
  const expect = (value: unknown) => ({
    toBe: (other: unknown): void => assert.equal(value, other),
    toEqual: (other: unknown): void => assert.deepEqual(value, other),
  })
  describe(`${name} keeps the contract of transports`, () => suite({ test, expect }, make))
}
