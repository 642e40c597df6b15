// Type-checks the examples in doc comments: every block there that is fenced with exactly ```ts has
// to be a program that compiles as it stands, importing the package by its name.
import { spawnSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const project = join(root, "dist", "doc")
rmSync(project, { recursive: true, force: true })
mkdirSync(project, { recursive: true })

const examples = ["mod.ts", "src", "transports"].flatMap(sources).flatMap(examplesOf)
for (const { name, text } of examples) writeFileSync(join(project, name), text)
writeFileSync(join(project, "tsconfig.json"), JSON.stringify(settings()))

const tsc = join(root, "node_modules", "typescript", "bin", "tsc")
const { status } = spawnSync(process.execPath, [tsc, "-p", project], { stdio: "inherit" })
console.log(`${examples.length} examples`)
process.exitCode = status ?? 1

function sources(path) {
  if (!statSync(join(root, path)).isDirectory()) return path.endsWith(".ts") ? [path] : []
  return readdirSync(join(root, path)).flatMap((name) => sources(`${path}/${name}`))
}

/** The examples of a file, each named after the file and the line that it starts after. */
function examplesOf(path) {
  const text = readFileSync(join(root, path), "utf8")
  const fenced = /^[ \t]*\* ```ts\n([\s\S]*?)^[ \t]*\* ```$/gm
  return Array.from(text.matchAll(fenced), (match) => {
    const line = text.slice(0, match.index).split("\n").length
    const code = match[1].replace(/^[ \t]*\* ?/gm, "")
    // Without an import or export it would share its names with the other examples.
    return { name: `${path.replaceAll("/", "_")}_${line}.ts`, text: `${code}export {}\n` }
  })
}

function settings() {
  const { imports } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8"))
  const own = Object.entries(imports).filter(([, target]) => target.startsWith("./"))
  const paths = own.map(([name, target]) => [name, [target.replace("./", "../../")]])
  return {
    extends: "../../tsconfig.json",
    compilerOptions: {
      paths: Object.fromEntries(paths),
      noUnusedLocals: false,
      noUnusedParameters: false,
      isolatedDeclarations: false,
      declaration: false,
    },
    include: ["*.ts"],
  }
}
