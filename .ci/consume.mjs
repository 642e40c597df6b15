// Uses the packed package as a project would: node .ci/consume.mjs skein.tgz
// Every export is imported by Node, and its types are checked by tsc, those of the package included.
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const tarball = resolve(process.argv[2] ?? "skein.tgz")
const project = mkdtempSync(join(tmpdir(), "skein-consumer-"))

try {
  const home = join(project, "node_modules", "skein")
  mkdirSync(home, { recursive: true })
  run("tar", "-xzf", tarball, "-C", home, "--strip-components=1")
  // Peers and types come from the project's own tree: the point is what is in the package.
  for (const name of ["effect", "fast-check", "hono", "pure-rand", "ws", "@types"]) {
    symlinkSync(join(root, "node_modules", name), join(project, "node_modules", name), "junction")
  }
  const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8"))
  const specifiers = Object.keys(manifest.exports)
    .filter((name) => name !== "./package.json")
    .map((name) => name.replace(/^\./, manifest.name))
  const imports = specifiers.map((name, i) => `import * as m${i} from "${name}"`)
  const uses = specifiers.map((name, i) => {
    return `if (Object.keys(m${i}).length === 0) throw new Error("${name} exports nothing")`
  })
  const program = [...imports, ...uses, ""].join("\n")
  writeFileSync(join(project, "package.json"), '{ "type": "module" }')
  writeFileSync(join(project, "main.mjs"), program)
  // An interface is all that a types-only module exports, so values aren't looked for here.
  writeFileSync(join(project, "main.ts"), `${imports.join("\n")}\nexport { ${aliases()} }\n`)
  run(process.execPath, "main.mjs")
  for (const module of ["nodenext", "preserve"]) {
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc")
    const options = ["--strict", "--noEmit", "--skipLibCheck", "false", "--target", "es2023"]
    const lib = ["--lib", "es2023,esnext.disposable,dom,dom.asynciterable", "--types", "node"]
    run(process.execPath, tsc, ...options, ...lib, "--module", module, "main.ts")
  }

  function aliases() {
    return specifiers.map((_, i) => `m${i}`).join(", ")
  }
} finally {
  rmSync(project, { recursive: true, force: true })
}

function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: project, stdio: "inherit" })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${command} ${args[0]} exited with ${status}`)
}
