/** Bugs that can be planted: whether the suites find them is what `hunts.ts` looks into. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { read } from "../source.ts"
import { canary, mutants, shortLogs } from "./mutants.ts"
import { plant } from "./plant.ts"

describe("a planted bug", () => {
  test("is a change of text that stands in the sources, once", () => {
    const edits = [...mutants, canary].flatMap(({ edits, besides = [] }) => [...edits, ...besides])
    for (const { file, find } of [...edits, shortLogs])
      assert.equal(read(file).split(find).length, 2, `${file} has this once: ${find}`)
  })

  // What is planted into is loaded as it is: only Bun's tests run beside the sources.
  if (!("Bun" in globalThis)) return

  test("can't be planted where its text is gone", async () => {
    const rotten = { file: "src/core/ring.ts", find: "there is no such text", put: "" }
    await assert.rejects(plant([rotten]), /ring\.ts has this 0 times, not once: there is no such/)
  })

  test("can't be planted where its text occurs twice", async () => {
    const vague = { file: "src/core/ring.ts", find: "return", put: "" }
    await assert.rejects(plant([vague]), /ring\.ts has this \d+ times, not once: return/)
  })
})
