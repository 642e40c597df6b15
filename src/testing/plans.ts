/**
 * Plans, for users: reading and writing them, and drawing them at random.
 *
 * @module
 */
export { arbitrary } from "./runs/arbitrary.ts"
export { calm, hash, type Plan, parse, print, type Step } from "./runs/plan.ts"
