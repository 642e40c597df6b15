/**
 * The suites that `npm run sim` runs, one after the other.
 *
 * @module
 */
import type * as Simulation from "../../src/testing/simulation.ts"
import { cores } from "./cores.ts"
import { counters } from "./counters.ts"
import { delivery } from "./delivery.ts"
import { handover } from "./handover.ts"
import { moves } from "./moves.ts"
import { names } from "./names.ts"

/** All of them. */
export const suites: ReadonlyArray<Simulation.Simulation> = [
  ...[cores, handover],
  ...[names, moves, counters, delivery],
]
