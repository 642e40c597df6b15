/**
 * What the suite for transports has for tests of one transport.
 *
 * @module
 */
export * from "../../src/testing/conformance/side.ts"
