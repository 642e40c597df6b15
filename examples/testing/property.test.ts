/**
 * The other style: no script, but operations and faults in any order, a hundred times over. It runs under
 * `bun test`, `deno test` and, compiled, under `node --test`.
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import { Simulation } from "skein/testing"
import { Ledger } from "./ledger.ts"

const ledgers = Simulation.make({
  name: "ledgers",
  processes: [Ledger],
  nodes: { min: 3, max: 5 },
  // What befalls networks, and deploys. A crash would lose payments, as it loses what is in memory.
  faults: ["partition", "isolate", "oneway", "loss", "delay", "clog", "reset", "join", "leave"],
  knobs: { passive: [0, 1] },
  options: (_, { passive }) => ({ rebalance: passive === 1 ? "passive" : "active" }),
  model: () => ({ asked: new Set<string>(), acknowledged: new Set<string>(), cents: 0 }),
  operations: {
    pay: async ({ node, n, model }) => {
      const name = `payment ${n}`
      model.asked.add(name)
      const shop = await node.start(Ledger, "shop") // or the one that runs
      model.cents = Math.max(model.cents, await shop.pay(name, 100))
      model.acknowledged.add(name)
    },
  },
  always: {
    "no payment counts twice": ({ model }) => model.cents <= 100 * model.asked.size,
  },
  eventually: {
    "no acknowledged payment is lost": ({ sim, model }) => {
      const known = sim.state(Ledger, "shop")?.payments
      const lost = [...model.acknowledged].find((name) => known?.has(name) !== true)
      return lost === undefined || `${lost} was acknowledged, and is lost`
    },
  },
  sometimes: {
    "a payment is acknowledged": ({ model }) => model.acknowledged.size > 0,
    "two ledgers become one": ({ sim }) =>
      sim.events.some(({ event }) => event._tag === "ConflictLost"),
  },
})

test("no acknowledged payment is lost while the network fails", async () => {
  const { reached } = await Simulation.check(ledgers, { runs: 100, seed: 2026 })
  assert.equal(reached.size, 2)
})
