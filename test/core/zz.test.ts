import { test } from "node:test"
import fc from "fast-check"
import * as S from "./schedule.ts"
const seedOf = Number(process.env.SEED ?? 1), runs = Number(process.env.RUNS ?? 30)
test("plain", () => {
  fc.assert(fc.property(fc.integer({min:2,max:5}), fc.nat(), S.actions(S.plain, 30), (size, seed, list) => {
    const o = S.play(size, { seed }, [...S.NAMES.slice(0, 6).map((_, i) => ["start", i, i, 2] as const), ...list])
    S.served(o); S.placed(o)
  }), { numRuns: runs, seed: seedOf, interruptAfterTimeLimit: 50000 })
})
test("harsh", () => {
  fc.assert(fc.property(fc.integer({min:2,max:5}), fc.nat(), S.actions(S.harsh, 30), (size, seed, list) => {
    const o = S.play(size, { seed, lax: true }, [...S.NAMES.slice(0, 6).map((_, i) => ["start", i, i, 2] as const), ...list])
    S.served(o); S.placed(o)
  }), { numRuns: runs, seed: seedOf, interruptAfterTimeLimit: 50000 })
})
