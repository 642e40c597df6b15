/**
 * Runs the examples of README.md. A block of TypeScript whose first line is `// runnable` is a whole
 * program: it runs as it stands, in a process of its own, and has to end by itself with success. What
 * it should print stands in its comments: `// prints: text`, one for each line, in order.
 */
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { transformSync } from "esbuild"
import { read, readJson, root } from "./source.ts"

const blocks: ReadonlyArray<string> = Array.from(
  read("README.md").matchAll(/^```ts\n(\/\/ runnable\n[\s\S]*?)^```$/gm),
  ([, block = ""]) => block,
)

/** Node is the only runtime that has to be given JavaScript, and with it the built package. */
const host: "bun" | "deno" | "node" =
  "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"

describe("README.md", () => {
  test("starts with an example that runs", () => {
    assert.ok(blocks.length > 0, "no block of TypeScript starts with // runnable")
  })

  for (const [index, block] of blocks.entries()) {
    test(`example ${index + 1} runs and prints what it says`, async () => {
      const expected = Array.from(block.matchAll(/\/\/ prints: (.*)$/gm), ([, line = ""]) => line)
      const { stdout, stderr, failed } = await run(block)
      assert.equal(failed, undefined, `${stderr}\n${failed}`)
      assert.deepEqual(stdout.split("\n").slice(0, -1), expected)
    })
  }
})

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly failed: string | undefined
}

async function run(block: string): Promise<Outcome> {
  // Inside the project, for that's where the package's own name means the package.
  const directory = mkdtempSync(join(root, "test", ".readme-"))
  try {
    const file = join(directory, host === "node" ? "example.mjs" : "example.ts")
    writeFileSync(file, host === "node" ? javascript(block) : redirected(block))
    return await execute(host === "deno" ? ["run", "--allow-all", "--no-check", file] : [file])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function execute(args: ReadonlyArray<string>): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd: root, timeout: 30_000, env: { ...process.env, NO_COLOR: "1" } }
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ stdout, stderr, failed: error?.message })
    })
  })
}

function javascript(block: string): string {
  return transformSync(block, { loader: "ts", format: "esm", target: "node20" }).code
}

/** Bun would resolve the package's name to what is built; the sources are what is being tested. */
function redirected(block: string): string {
  const sources = readJson<{ imports: Readonly<Record<string, string>> }>("deno.json").imports
  return block.replace(/(\bfrom\s*|\bimport\s*)"(skein[^"]*)"/g, (all, keyword, specifier) => {
    const path = sources[specifier]
    return path === undefined ? all : `${keyword}${JSON.stringify(join(root, path))}`
  })
}
