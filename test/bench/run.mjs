// Starts a benchmark: node test/bench/run.mjs NAME [--json] [--runtime bun|deno|node] [--transport tcp|tcp-sealed|websocket|broadcast-channel]
// Plain JavaScript, because Node 20 can't run TypeScript: there the benchmarks are compiled first.
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const root = fileURLToPath(new URL("../..", import.meta.url))
const usage = `usage: npm run bench -- NAME [--json] [--runtime bun|deno|node] [--transport tcp|tcp-sealed|websocket|broadcast-channel]\nNAME: ${names()}`

const { values, positionals } = parse()
const name = positionals[0]
if (!name || positionals.length > 1 || !existsSync(source(name))) fail(usage)

const [command, ...args] = launch(values.runtime)
if (values.json) args.push("--json")
// (Only benchmarks between OS processes have a choice: calls-remote and pubsub.)
if (!["tcp", "tcp-sealed", "websocket", "broadcast-channel"].includes(values.transport)) fail(usage)
const env = { ...process.env, BENCH_TRANSPORT: values.transport }
const child = spawn(command, [...args, name], { cwd: root, stdio: "inherit", env })
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal))
child.on("error", (error) => fail(`${command}: ${error.message}`))
child.on("close", (code) => process.exit(code ?? 1))

/** The command line that runs run.ts on a runtime. */
function launch(runtime) {
  switch (runtime) {
    case "bun":
      return [tool("bun"), "test/bench/run.ts"]
    case "deno":
      return [
        tool("deno"),
        "run",
        "--allow-all",
        "--no-check",
        "--v8-flags=--expose-gc",
        "test/bench/run.ts",
      ]
    case "node":
      return [process.execPath, "--expose-gc", compile()]
    default:
      return fail(usage)
  }
}

/**
 * Compiles the benchmarks and what they import, and returns the path of the entry. Types are checked
 * elsewhere. Nothing under dist/test is published.
 */
function compile() {
  const out = join(root, "dist", "test", "bench")
  mkdirSync(out, { recursive: true })
  const config = join(out, "tsconfig.json")
  const compilerOptions = {
    noEmit: false,
    noCheck: true,
    declaration: false,
    isolatedDeclarations: false,
    rewriteRelativeImportExtensions: true,
    rootDir: "../../..",
    outDir: ".",
  }
  const files = {
    extends: "../../../tsconfig.json",
    compilerOptions,
    include: ["../../../test/bench"],
  }
  writeFileSync(config, JSON.stringify(files))
  // Standard output is the benchmark's alone.
  const { status } = spawnSync(tool("tsc"), ["-p", config], { stdio: ["ignore", 2, 2] })
  if (status !== 0) fail("the benchmarks don't compile")
  return join(out, "test", "bench", "run.js")
}

function tool(command) {
  const path = join(root, "node_modules", ".bin", command)
  return existsSync(path) ? path : fail(`${command} is not installed: run npm install first`)
}

function parse() {
  const options = {
    json: { type: "boolean", default: false },
    runtime: { type: "string", default: "bun" },
    transport: { type: "string", default: "tcp" },
  }
  try {
    return parseArgs({ allowPositionals: true, options })
  } catch (error) {
    return fail(`${error.message}\n${usage}`)
  }
}

function source(name) {
  return join(root, "test", "bench", `${name.split("-")[0]}.ts`)
}

function names() {
  const files = readdirSync(join(root, "test", "bench")).filter((file) => file.endsWith(".ts"))
  const benches = files.map((file) => file.slice(0, -3))
  return benches.filter((bench) => bench !== "harness" && bench !== "run").join(", ")
}

function fail(message) {
  console.error(message)
  process.exit(2)
}
