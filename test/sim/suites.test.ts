/** A few plans of every suite. `npm run sim` runs as many as one likes. */
import { describe, test } from "node:test"
import { Simulation } from "skein/testing"
import { suites } from "./suites.ts"

/** Cores alone are cheap. */
const RUNS: Readonly<Record<string, number>> = { cores: 120, handover: 100 }
const RUNS_OTHERS = 40

describe("random plans", () => {
  for (const suite of suites) {
    test(`${suite.name} holds under them`, async () => {
      const runs = RUNS[suite.name] ?? RUNS_OTHERS
      await Simulation.check(suite, { runs, seed: 1, directory: false })
    })
  }
})
