/**
 * Runs the examples of README.md and of the guide to testing. A block of TypeScript whose first line is
 * `// runnable` is a whole program: it runs as it stands, in a process of its own, and has to end by
 * itself with success. What it should print stands in its comments: `// prints: text`, one for each line,
 * in order. A block of text that follows at once is how it fails instead: that stands, but for numbers
 * and paths, in what the runtime says of the error.
 */
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, test } from "node:test"
import { transformSync } from "esbuild"
import { defaults } from "../src/testing/runs/arbitrary.ts"
import { read, readJson, root } from "./source.ts"

const guide = "examples/testing/README.md"
const documents: ReadonlyArray<string> = ["README.md", guide]

interface Example {
  readonly code: string
  /** What it says when it fails; undefined when it doesn't. */
  readonly failure: string | undefined
}

function examplesOf(document: string): ReadonlyArray<Example> {
  const blocks = /^```ts\n(\/\/ runnable\n[\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm
  return Array.from(read(document).matchAll(blocks), ([, code = "", failure]) => ({
    code,
    failure,
  }))
}

/** Node is the only runtime that has to be given JavaScript, and with it the built package. */
const host: "bun" | "deno" | "node" =
  "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node"

for (const document of documents) {
  describe(document, () => {
    const examples = examplesOf(document)

    test("starts with an example that runs", () => {
      assert.ok(examples.length > 0, "no block of TypeScript starts with // runnable")
      assert.equal(examples[0]?.failure, undefined)
    })

    for (const [index, { code, failure }] of examples.entries()) {
      const claim = failure === undefined ? "runs and prints what it says" : "fails as it says"
      test(`example ${index + 1} ${claim}`, async () => {
        const { stdout, stderr, failed } = await run(code)
        if (failure !== undefined) {
          assert.notEqual(failed, undefined, "it doesn't fail")
          assert.ok(told(stderr).includes(told(failure)), `the text is out of date:\n${stderr}`)
          return
        }
        const expected = Array.from(code.matchAll(/\/\/ prints: (.*)$/gm), ([, line = ""]) => line)
        assert.equal(failed, undefined, `${stderr}\n${failed}`)
        assert.deepEqual(stdout.split("\n").slice(0, -1), expected)
      })
    }
  })
}

describe("the guide to testing", () => {
  const { table = "" } = /^## Faults$(?<table>[\s\S]*?)^## /m.exec(read(guide))?.groups ?? {}
  const listed = Array.from(table.matchAll(/^\| .*?\|/gm)).flatMap(([cell]) =>
    Array.from(cell.matchAll(/`(\w+)`(\*?)/g), ([, name = "", star]) => ({
      name,
      star: star === "*",
    })),
  )

  test("lists every kind of fault", () => {
    const kinds = read("src/testing/faults/fault.ts").matchAll(
      /^ {2}\| \{ readonly kind: "(\w+)"/gm,
    )
    const all = Array.from(kinds, ([, kind = ""]) => kind)
    assert.ok(all.length > 20, `${all.length} kinds were found`)
    assert.deepEqual(
      all.filter((kind) => !listed.some(({ name }) => name === kind)),
      [],
    )
    const starred = listed.filter(({ star }) => star).map(({ name }) => name)
    const others = all.filter((kind) => !(defaults as ReadonlyArray<string>).includes(kind))
    assert.deepEqual(starred.sort(), others.sort())
  })
})

describe("a failure's text", () => {
  test("is the same with other numbers, paths and commands, and no other", () => {
    const one =
      "lost failed at 1.5 s (run 3 of 9)\n  replay    SKEIN_REPLAY=.sim/c-0a1b2c3d.json bun x.ts"
    const two =
      "lost failed at 22 s  (run 10 of 9)\n  replay    SKEIN_REPLAY=.sim/c-99990000.json deno test"
    assert.equal(told(one), told(two))
    assert.notEqual(told(one), told(one.replace("lost", "found")))
    assert.notEqual(told(one), told(one.replace(".sim", ".other")))
  })
})

/** A text without what may differ from run to run, or from host to host. */
function told(text: string): string {
  return text
    .replace(/(SKEIN_REPLAY=\S+).*/g, "$1")
    .replace(/-[0-9a-f]{8}\./g, "-#.")
    .replace(/\d+(?:\.\d+)?/g, "#")
    .replace(/[ \t]+/g, " ")
    .trim()
}

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
    return await execute(directory, [
      ...(host === "deno" ? ["run", "--allow-all", "--no-check"] : []),
      file,
    ])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** What a failing simulation writes is gone with the directory it runs in. */
function execute(cwd: string, args: ReadonlyArray<string>): Promise<Outcome> {
  return new Promise((resolve) => {
    // What is asked of the tests is not asked of the examples.
    const env = Object.entries(process.env).filter(([name]) => !name.startsWith("SKEIN_"))
    const options = { cwd, timeout: 60_000, env: { ...Object.fromEntries(env), NO_COLOR: "1" } }
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
