/**
 * What a browser loads: bundles of the library's sources, minified by esbuild and compressed by gzip.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type Bench, type Result, result } from "./harness.ts"

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
    return Object.entries(entries).map(([name, entry]) => {
      // The rest is Effect's.
      const own = bytes(entry, ["--external:effect", "--external:effect/*"])
      const baseline = { name: "without Effect", median: own }
      return result(name, "bytes", [bytes(entry)], { baseline })
    })
  },
}

/** The size of a module's bundle. Throws when it doesn't build for a browser. */
function bytes(entry: string, more: ReadonlyArray<string> = []): number {
  const esbuild = join(process.cwd(), "node_modules", ".bin", "esbuild")
  const flags = ["--bundle", "--minify", "--format=esm", "--platform=browser", "--target=es2022"]
  const { status, stdout, stderr } = spawnSync(esbuild, [...flags, ...more], { input: entry })
  if (status !== 0) throw new Error(`esbuild: ${stderr}`)
  return gzipSync(stdout, { level: 9 }).length
}
