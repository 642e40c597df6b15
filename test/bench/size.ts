/**
 * What a browser loads: bundles of the library's sources, minified by esbuild and compressed by gzip.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type Baseline, type Bench, type Result, result } from "./harness.ts"

/** Effect as far as the library uses it: no bundle can be smaller. */
const EFFECT = 'export { Cause, Context, Effect, Exit, Option, Scope } from "effect"'

const entries: Readonly<Record<string, string>> = {
  browser: 'export * from "./mod.ts"; export * from "./transports/memory.ts"',
  root: 'export * from "./mod.ts"',
  core: 'export * from "./src/core/cluster.ts"',
  ring: 'export * from "./src/core/ring.ts"',
}

/** Bytes of four bundles. */
export const bench: Bench = {
  name: "size",
  cases: {
    browser: { better: "less", goal: 45_000, peers: { "actor-ts": 114_000 } },
    root: { better: "less", goal: 45_000 },
    core: { better: "less", goal: 15_000 },
    ring: { better: "less", goal: 3_000 },
  },
  async run(): Promise<ReadonlyArray<Result>> {
    const effect: Baseline = { name: "Effect alone", median: bytes(EFFECT) }
    return Object.entries(entries).map(([name, entry]) => {
      const uses = name === "browser" || name === "root"
      return result(name, "bytes", [bytes(entry)], uses ? { baseline: effect } : {})
    })
  },
}

/** The size of a module's bundle. Throws when it doesn't build for a browser. */
function bytes(entry: string): number {
  const esbuild = join(process.cwd(), "node_modules", ".bin", "esbuild")
  const flags = ["--bundle", "--minify", "--format=esm", "--platform=browser", "--target=es2022"]
  const { status, stdout, stderr } = spawnSync(esbuild, flags, { input: entry })
  if (status !== 0) throw new Error(`esbuild: ${stderr}`)
  return gzipSync(stdout, { level: 9 }).length
}
