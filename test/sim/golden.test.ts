/**
 * The same plan gives the same run: twice in a row, in a fresh process, and on Bun, Deno and Node, whose
 * engines differ. Where the protocol was changed on purpose, `SKEIN_GOLDEN=write` before the command of the
 * tests writes the hashes anew.
 */
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { describe, test } from "node:test"
import { type Plan, Simulation } from "skein/testing"
import { suites } from "./suites.ts"

interface Golden {
  readonly suite: string
  readonly hash: string
  readonly events: number
  readonly plan: Plan.Plan
}

// Compiled tests find it beside their sources.
const file = new URL("golden.json", import.meta.url)
const golden: ReadonlyArray<Golden> = JSON.parse(readFileSync(file, "utf8"))

async function hashOf({ suite, plan }: Golden): Promise<{ hash: string; events: number }> {
  const found = suites.find(({ name }) => name === suite)
  assert.ok(found, `there is no suite ${suite}`)
  const { hash, trace } = await Simulation.run(found, plan)
  return { hash, events: trace.count }
}

describe("the same plan gives the same run on every runtime", () => {
  if (process.env.SKEIN_GOLDEN === "write") {
    test("the hashes are written", async () => {
      const written: Array<Golden> = []
      for (const one of golden) written.push({ ...one, ...(await hashOf(one)) })
      writeFileSync(file, `${JSON.stringify(written)}\n`)
    })
    return
  }
  for (const [i, one] of golden.entries()) {
    test(`${one.suite}, plan ${i + 1}`, async () => {
      const { hash, events } = one
      assert.deepEqual(await hashOf(one), { hash, events })
      assert.deepEqual(await hashOf(one), { hash, events }, "the second time")
    })
  }
})
