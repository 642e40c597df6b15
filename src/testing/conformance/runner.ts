/**
 * What the suite needs of whatever runs tests.
 *
 * @module
 */

/** A runner's `test` and `expect`: those of bun, vitest, jest and Deno's standard library have it all. */
export interface Runner {
  /** Registers a test, which fails when `run` rejects. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  readonly expect: (value: unknown) => {
    /** Fails unless it is the same. */
    toBe(other: unknown): unknown
    /** Fails unless it is alike, all the way down. */
    toEqual(other: unknown): unknown
  }
}
