/** Under `node --test`: a node that dies, and what that costs. */
import assert from "node:assert/strict"
import { test } from "node:test"
import { simulate } from "skein/testing"
import { Ledger } from "./ledger.ts"

test("a crash loses what was in memory, and who pays again has lost nothing", async () => {
  await simulate({ nodes: ["a", "b", "c"], seed: 11, processes: [Ledger] }, async (sim) => {
    await sim.nodes[0]!.start(Ledger, "shop")
    const [at] = sim.owners(Ledger, "shop")
    const owner = sim.nodes.find(({ name }) => name === at)!
    const payer = sim.nodes.find((node) => node !== owner)!
    const shop = payer.ref(Ledger, "shop")
    sim.always("one ledger at most", () => sim.owners(Ledger, "shop").length <= 1)
    await shop.pay("bread", 300)

    owner.crash({ machine: true }) // nobody hangs up: the others have to notice
    const crashed = sim.now
    await sim.until("another node has the name", () => sim.owners(Ledger, "shop").length === 1)
    assert.ok(sim.now - crashed < 10_000, "simulated milliseconds")
    assert.equal(await shop.total(), 0)

    await shop.pay("bread", 300)
    await owner.restart()
    await sim.converged()
    assert.equal(await owner.ref(Ledger, "shop").total(), 300)
  })
})
