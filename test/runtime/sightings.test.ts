/** When what was started elsewhere counts as known: at once, with the news, or when none can be expected. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Parts } from "../../src/runtime/parts.ts"
import { Sightings } from "../../src/runtime/processes/sightings.ts"

/** Node `a`, which has links to `b` and `c`. */
function node() {
  const index = new Map<string, unknown>()
  const links = new Map([
    ["b", {}],
    ["c", {}],
  ])
  const timers = new Map<() => void, number>()
  const timer = (millis: number, run: () => void): (() => void) => {
    timers.set(run, millis)
    return () => timers.delete(run)
  }
  const parts = { name: "a", core: { registry: { index } }, links, platform: { timer } }
  return { index, links, timers, sightings: new Sightings(parts as unknown as Parts) }
}

describe("the wait for news of a process", () => {
  test("is none where it is known, here, or out of reach", () => {
    const { index, sightings, timers } = node()
    index.set("known", {})
    const over: Array<string> = []
    sightings.await("known", "b", 1_000, () => over.push("known"))
    sightings.await("mine", "a", 1_000, () => over.push("mine"))
    sightings.await("far", "d", 1_000, () => over.push("far"))
    assert.deepEqual(over, ["known", "mine", "far"])
    assert.equal(timers.size, 0)
  })

  for (const [how, end] of [
    ["the news", ({ sightings }: ReturnType<typeof node>) => sightings.changed("x")],
    ["the end of the connection", ({ sightings }) => sightings.linkDown("b")],
    ["the end of this node", ({ sightings }) => sightings.close()],
    ["its time", ({ timers }) => [...timers.keys()].forEach((run) => void run())],
  ] as ReadonlyArray<readonly [string, (a: ReturnType<typeof node>) => void]>)
    test(`ends with ${how}, once, for all who wait`, () => {
      const a = node()
      const over: Array<number> = []
      a.sightings.await("x", "b", 1_000, () => over.push(1))
      a.sightings.await("x", "b", 1_000, () => over.push(2))
      assert.deepEqual([...a.timers.values()], [1_000, 1_000])
      a.sightings.changed("y")
      a.sightings.linkDown("c")
      assert.deepEqual(over, [])
      end(a)
      assert.deepEqual(over, [1, 2])
      assert.equal(a.timers.size, 0)
      a.sightings.changed("x")
      a.sightings.linkDown("b")
      a.sightings.close()
      assert.deepEqual(over, [1, 2])
    })

  test("may ask for the next thing at its end", () => {
    const { sightings } = node()
    const over: Array<number> = []
    sightings.await("x", "b", 1_000, () => {
      over.push(1)
      sightings.await("x", "b", 1_000, () => over.push(2))
    })
    sightings.changed("x")
    assert.deepEqual(over, [1])
    sightings.changed("x")
    assert.deepEqual(over, [1, 2])
  })
})
