/** Under `vitest`: an answer that doesn't come, so that nobody knows whether a payment was made. */
import { simulate } from "skein/testing"
import { expect, test } from "vitest"
import { Ledger } from "./ledger.ts"

test("a payment that is asked for twice, as its answer was late, counts once", async () => {
  await simulate({ nodes: 3, seed: 3, processes: [Ledger] }, async (sim) => {
    await sim.nodes[0]!.start(Ledger, "shop")
    const [at] = sim.owners(Ledger, "shop")
    const owner = sim.nodes.find(({ name }) => name === at)!
    const payer = sim.nodes.find((node) => node !== owner)!
    const shop = payer.ref(Ledger, "shop").with({ timeout: 500 })

    sim.oneWay(owner, payer) // the request arrives, its answer doesn't
    const failure = await shop.pay("bread", 300).catch((error: unknown) => error)
    expect(failure).toMatchObject({ _tag: "Timeout", outcome: "unknown" })
    expect(await owner.ref(Ledger, "shop").total()).toBe(300)

    sim.heal()
    expect(await shop.pay("bread", 300)).toBe(300)
  })
})
