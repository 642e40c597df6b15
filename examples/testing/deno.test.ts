/** Under `deno test`: a deploy, which restarts every node, one after the other. */
import assert from "node:assert/strict"
import { simulate } from "skein/testing"
import { Ledger } from "./ledger.ts"

Deno.test("a deploy loses no payment, and none waits for it to end", async () => {
  await simulate({ nodes: 3, seed: 7, processes: [Ledger] }, async (sim) => {
    await sim.nodes[0]!.start(Ledger, "shop")
    let paid = 0
    sim.sometimes("the ledger moved", () =>
      sim.events.some(({ event }) => event._tag === "ProcessesArrived" && event.resumed > 0),
    )

    for (const node of sim.nodes) {
      const other = sim.nodes.find((each) => each !== node)!
      const leaving = node.leave() // hands its processes over, with their state
      await other.ref(Ledger, "shop").pay(`while ${node.name} leaves`, 100)
      await leaving
      await other.ref(Ledger, "shop").pay(`without ${node.name}`, 100)
      await node.restart()
      await sim.converged()
      paid += 200
      assert.equal(await node.ref(Ledger, "shop").total(), paid)
    }
    assert.equal(sim.owners(Ledger, "shop").length, 1)
  })
})
