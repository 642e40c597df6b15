/**
 * What every transport must do, as one suite for any runner of tests. Each claim is checked over connections, or
 * nodes, made afresh.
 *
 * @module
 */
import { closing } from "./closing.ts"
import { dialling } from "./dialling.ts"
import { nodes } from "./nodes.ts"
import type { Runner } from "./runner.ts"
import type { Subject } from "./side.ts"
import { streams } from "./streams.ts"

/**
 * Registers the suite for the transports that `make` provides, once, when the first test runs. The last test
 * disposes of them.
 *
 * @example
 * ```ts
 * import { expect, test } from "vitest"
 * import { conformance } from "skein/testing"
 * import { memory, memoryHub } from "skein/transports/memory"
 *
 * conformance({ test, expect }, async () => {
 *   const hub = memoryHub()
 *   return {
 *     transport: () => memory(hub),
 *     sameAddress: (address) => memory(hub, { address }),
 *     absent: "memory:nobody",
 *     garbage: [""],
 *   }
 * })
 * ```
 */
export function conformance(runner: Runner, make: () => Promise<Subject>): void {
  let made: Promise<Subject> | undefined
  const subject = (): Promise<Subject> => {
    made ??= make()
    return made
  }
  streams(runner, subject)
  closing(runner, subject)
  dialling(runner, subject)
  nodes(runner, subject)
  runner.test("what was made for the tests can be disposed of", async () => {
    await (await subject()).dispose?.()
  })
}
