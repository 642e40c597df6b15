import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process } from "../../mod.ts"
import { cluster } from "./cluster.ts"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: { get: (self): number => self.state.n },
  casts: {
    add: (self, by: number) => {
      self.state.n += by
    },
  },
  mailboxMax: 100,
})

describe("a burst from another node", () => {
  test("that is longer than the mailbox loses nothing while handlers keep up", async () => {
    await using running = await cluster(["a", "b"], [Counter])
    const [a, b] = running.nodes
    const key = Array.from({ length: 100 }, (_, i) => String(i)).find(
      (each) => a!.nodeFor(Counter, each) === "b",
    )!
    const ref = await a!.start(Counter, key)
    assert.equal(b!.whereis(Counter, key)?.node, "b")
    // One turn's casts travel in one write, and so come in at once.
    for (let i = 0; i < 1000; i++) ref.cast.add(1)
    assert.equal(await ref.get(), 1000)
  })
})
