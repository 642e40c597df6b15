/**
 * Runs the scenario as a program of its own: `fresh.ts SEED` prints its hash.
 *
 * @module
 */
import { scenario } from "./scenario.ts"

console.log((await scenario(Number(process.argv[2]))).hash)
