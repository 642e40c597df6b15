/**
 * As much of two runners as the examples use. In a project of yours `@types/bun` and Deno itself have
 * all of it.
 */
declare module "bun:test" {
  export function test(name: string, body: () => Promise<void>): void
  export function expect(value: unknown): {
    toBe(expected: unknown): void
    toHaveLength(length: number): void
  }
}

declare namespace Deno {
  function test(name: string, body: () => Promise<void>): void
}
