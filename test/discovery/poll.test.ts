import assert from "node:assert/strict"
import { test } from "node:test"
import { poll } from "../../src/discovery/poll.ts"
import { keep, machine } from "./fake.ts"

test("who asks to look while it is looking is not told what it saw before", async () => {
  const { platform, advance } = machine()
  const context = keep(platform)
  const answers: Array<(addresses: ReadonlyArray<string>) => void> = []
  const look = (): Promise<ReadonlyArray<string>> =>
    new Promise((resolve) => void answers.push(resolve))
  const again = poll(context, { periodMillis: undefined, look })
  again()
  again()
  assert.equal(answers.length, 1)
  answers[0]?.(["b:1"])
  await advance(0)
  assert.equal(answers.length, 2)
  answers[1]?.(["c:1"])
  await advance(100_000)
  assert.deepEqual(context.lists, [["b:1"], ["c:1"]])
  assert.equal(answers.length, 2)
})

test("who asks to look doesn't have to wait for the period, which begins anew", async () => {
  const { platform, advance } = machine()
  const context = keep(platform)
  const at: Array<number> = []
  const look = (): ReadonlyArray<string> => {
    at.push(platform.now())
    return []
  }
  const again = poll(context, { periodMillis: 8_000, look })
  await advance(5_000)
  again()
  await advance(5_999)
  assert.deepEqual(at, [0, 5_000])
  await advance(4_001)
  assert.equal(at.length, 3)
})
