/** Under `bun test`: a network that is cut in two, and whole again. */
import { expect, test } from "bun:test"
import { simulate } from "skein/testing"
import { Ledger } from "./ledger.ts"

test("what both sides of a partition took is there when it is over", async () => {
  await simulate({ nodes: 5, seed: 42, processes: [Ledger] }, async (sim) => {
    const [a, b, , , e] = sim.nodes
    await a!.start(Ledger, "shop")
    await a!.ref(Ledger, "shop").pay("bread", 300)

    sim.partition([a!, b!]) // from c, d and e
    await sim.advance("10 seconds") // each side counts the other one as dead by now
    await sim.settle()
    expect(sim.owners(Ledger, "shop")).toHaveLength(2) // both go on serving
    await a!.ref(Ledger, "shop").pay("milk", 120)
    await e!.ref(Ledger, "shop").pay("eggs", 250)

    sim.heal()
    await sim.converged()
    await sim.advance("1 second") // a state that lost its name is on its way to the one that won
    expect(sim.owners(Ledger, "shop")).toHaveLength(1)
    for (const node of sim.nodes) expect(await node.ref(Ledger, "shop").total()).toBe(670)
  })
})
