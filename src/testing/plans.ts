/**
 * Plans, for users: reading and writing them, and drawing them at random.
 *
 * @module
 */
export { arbitrary } from "./arbitrary.ts"
export { calm, hash, type Plan, parse, print, type Step } from "./plan.ts"
