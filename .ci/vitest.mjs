// Runs files under vitest: node .ci/vitest.mjs FILE...
// In a project that has the package installed this is `vitest run FILE...`; here the package's own name
// has to be told to mean the sources.
import { readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { startVitest } from "vitest/node"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const { imports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"))
const alias = Object.entries(imports)
  .filter(([, target]) => target.startsWith("./"))
  .map(([name, target]) => ({ find: new RegExp(`^${name}$`), replacement: join(root, target) }))

const vitest = await startVitest(
  "test",
  process.argv.slice(2),
  { root, watch: false, testTimeout: 60_000 },
  { resolve: { alias }, cacheDir: join(root, "dist", "vite") },
)
await vitest.close()
