// Brings node_modules in line with package-lock.json, and does nothing, fast, when it already is.
// `npm test`, `npm start` and the rest call it first, so that a fresh clone needs no other step.
// Everything it prints goes to standard error: standard output belongs to the command that follows.
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const modules = join(root, "node_modules")

const reason = stale()
if (reason !== undefined) {
  console.error(`skein: ${reason}; installing`)
  npm("install", "--no-save", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error")
  const still = stale()
  if (still !== undefined) fail(`after installing, ${still}`)
}
repairBun()

/** Why the installed packages are not those of the lock file; undefined when they are. */
function stale() {
  const wanted = packages(join(root, "package-lock.json"))
  if (wanted === undefined) return "package-lock.json is missing"
  // npm leaves there what it installed. Modification times would say nothing after a clone.
  const installed = packages(join(modules, ".package-lock.json"))
  if (installed === undefined) return "node_modules is missing"
  for (const [path, { version, optional }] of Object.entries(wanted)) {
    if (path === "") continue
    const found = installed[path]
    // An optional package that isn't there is one for another platform.
    if (found === undefined ? !optional : found.version !== version) {
      return `${path} is not at version ${version}`
    }
  }
  return undefined
}

function packages(lockfile) {
  if (!existsSync(lockfile)) return undefined
  return JSON.parse(readFileSync(lockfile, "utf8")).packages
}

/** npm may be told not to run install scripts. Of our tools only Bun can't do without its own. */
function repairBun() {
  const bun = join(modules, "bun", "bin", "bun.exe")
  if (works(bun)) return
  run(process.execPath, [join(modules, "bun", "install.js")])
  if (!works(bun)) fail("Bun does not start")
}

function works(program) {
  // Without its install script it is a small text file that prints instructions.
  return existsSync(program) && statSync(program).size > 1_000_000
}

/** Runs the npm that runs this script, or the one on the path. */
function npm(...args) {
  const cli = process.env.npm_execpath
  if (cli?.endsWith(".js") && /npm/.test(cli)) run(process.execPath, [cli, ...args])
  else run("npm", args, process.platform === "win32")
}

function run(command, args, shell = false) {
  const { status, error } = spawnSync(command, args, { cwd: root, shell, stdio: ["ignore", 2, 2] })
  if (error !== undefined) fail(`${command}: ${error.message}`)
  if (status !== 0) fail(`\`${[command, ...args].join(" ")}\` exited with ${status}`)
}

function fail(message) {
  console.error(`skein: ${message}`)
  process.exit(1)
}
