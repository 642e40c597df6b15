/** Takeovers that take long, or that their heirs don't know of. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import * as Effect from "effect/Effect"
import { Process } from "skein"
import { type SimNode, simulate } from "skein/testing"

describe("after a crash", () => {
  test("a name whose state takes long to make is started once, by its heir", async () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      let made: Array<string> = []
      const Slow = Process.define("Slow", {
        state: (key: string) =>
          Effect.sleep("6 seconds").pipe(
            Effect.map(() => {
              made.push(key)
              return { key }
            }),
          ),
        calls: { get: (self) => self.state.key },
      })
      await simulate({ nodes: 4, seed, processes: [Slow] }, async (sim) => {
        const [a, b] = sim.nodes as [SimNode, SimNode]
        const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
        await Promise.all(keys.map((key) => a.start(Slow, key, key, { timeout: 20_000 })))
        await sim.converged()
        const lost = keys.filter((key) => sim.owners(Slow, key)[0] === b.name)
        assert.ok(lost.length > 0)
        made = []
        b.crash()
        await sim.until("they are back", () =>
          keys.every((key) => sim.owners(Slow, key).length === 1),
        )
        await sim.advance("20 seconds")
        await sim.converged()
        assert.deepEqual(made.sort(), lost.sort())
        for (const key of keys) assert.equal(sim.owners(Slow, key).length, 1)
      })
    }
  })

  test("a name that only some have heard of comes back all the same, at its heir", async () => {
    const Named = Process.define("Named", { state: (n: number) => ({ n }) })
    for (const seed of [1, 2, 3, 4, 5, 6]) {
      await simulate({ nodes: 3, seed, processes: [Named] }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        const keys = Array.from({ length: 12 }, (_, i) => `k${i}`)
        // What b starts now, only a hears of.
        sim.oneWay(b, c)
        const mine = keys.filter((key) => b.nodeFor(Named, key) === b.name)
        await Promise.all(mine.map((key) => b.start(Named, key, 7)))
        await sim.advance("100 millis")
        for (const key of mine) assert.equal(c.whereis(Named, key), undefined)
        b.crash({ machine: true })
        sim.heal()
        await sim.until("they are back", () =>
          mine.every((key) => sim.owners(Named, key).length === 1),
        )
        await sim.converged()
        for (const key of mine) {
          assert.deepEqual(sim.owners(Named, key), [a.nodeFor(Named, key)])
          assert.deepEqual(sim.state(Named, key), { n: 7 })
        }
      })
    }
  })
})
