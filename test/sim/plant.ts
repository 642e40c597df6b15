/**
 * Bugs planted into a copy of this library, to see that the suites find them. The copy's simulator drives
 * the copy's nodes: what is loaded from it shares nothing with what is loaded from here.
 *
 * Only for hosts that load TypeScript as it is, by path.
 *
 * @module
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import type * as Testing from "../../src/testing/mod.ts"
import type { Plan, Simulation } from "../../src/testing/mod.ts"

/** A change of one file: `find` occurs in it exactly once, and is replaced. */
export interface Edit {
  readonly file: string
  readonly find: string
  readonly put: string
}

/** What a suite has found. */
export interface Found {
  /** The number of the run that failed first. */
  readonly schedules: number
  readonly check: string
  readonly message: string
  readonly plan: Plan.Plan
  /** Runs that shrinking took. */
  readonly executions: number
}

/** How long to look, and how long to shrink what was found. */
export interface Search {
  readonly schedules: number
  readonly seed: number
  /** Runs that shrinking may take. */
  readonly executions: number
}

/** A copy of this library, with or without bugs. */
export interface Copy {
  /** Runs a suite of the copy until it finds something; undefined when it finds nothing. */
  hunt(suite: string, search: Search): Promise<Found | undefined>
  /** What is wrong with one run of a plan; undefined when nothing is. */
  replay(suite: string, plan: Plan.Plan): Promise<string | undefined>
  remove(): void
}

const root: string = fileURLToPath(new URL("../../", import.meta.url))
const parts: ReadonlyArray<string> = [
  ...["src", "transports", "mod.ts", "test/sim"],
  ...["package.json", "tsconfig.json", "deno.json"],
]
/** Shrinking is bounded by runs: so that its outcome doesn't depend on how fast the machine is. */
const SECONDS_MAX = 600

/** Copies the library and makes these changes to the copy. Throws where a text to be changed isn't there. */
export async function plant(edits: ReadonlyArray<Edit>): Promise<Copy> {
  const directory = mkdtempSync(join(tmpdir(), "skein-"))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  try {
    for (const part of parts) {
      mkdirSync(join(directory, part, ".."), { recursive: true })
      cpSync(join(root, part), join(directory, part), { recursive: true, filter: wanted })
    }
    symlinkSync(join(root, "node_modules"), join(directory, "node_modules"), "junction")
    for (const one of edits) edit(directory, one)
    return await load(directory, remove)
  } catch (error) {
    remove()
    throw error
  }
}

function wanted(path: string): boolean {
  return !basename(path).endsWith(".test.ts") && !path.endsWith(join("sim", "plans"))
}

function edit(directory: string, { file, find, put }: Edit): void {
  const path = join(directory, file)
  const pieces = readFileSync(path, "utf8").split(find)
  if (pieces.length !== 2)
    throw new Error(`${file} has this ${pieces.length - 1} times, not once: ${find}`)
  writeFileSync(path, pieces.join(put))
}

async function load(directory: string, remove: () => void): Promise<Copy> {
  const from = async <A>(file: string): Promise<A> =>
    (await import(pathToFileURL(join(directory, file)).href)) as A
  const testing = await from<typeof Testing>("src/testing/mod.ts")
  const { check, run } = testing.Simulation
  const { suites } = await from<{ suites: ReadonlyArray<Simulation.Simulation> }>(
    "test/sim/suites.ts",
  )
  const named = (name: string): Simulation.Simulation => {
    const suite = suites.find((one) => one.name === name)
    if (suite === undefined) throw new Error(`no suite is called ${name}`)
    return suite
  }
  return {
    hunt: async (suite, { schedules: runs, seed, executions }) => {
      let done = 0
      const restore = undirected()
      try {
        await check(named(suite), {
          ...{ runs, seed, directory: false },
          shrink: { runs: executions, seconds: SECONDS_MAX },
          progress: (n) => {
            done = n
          },
        })
        return undefined
      } catch (error) {
        const { _tag, check, plan, message } = error as Simulation.RunFailed
        if (_tag !== "RunFailed") throw error
        const tried = /, (\d+) runs, /.exec(message)?.[1]
        return { schedules: done + 1, check, message, plan, executions: Number(tried) }
      } finally {
        restore()
      }
    },
    replay: async (suite, plan) => {
      const { complaint, excuse } = await run(named(suite), plan)
      return complaint === undefined || excuse !== undefined
        ? undefined
        : `${complaint.check}: ${complaint.message}`
    },
    remove,
  }
}

/** Takes away what tells a whole test run which plans to try; the result brings it back. */
function undirected(): () => void {
  const names = Object.keys(process.env).filter((name) => name.startsWith("SKEIN_"))
  const values = names.map((name) => [name, process.env[name]] as const)
  for (const name of names) delete process.env[name]
  return () => {
    for (const [name, value] of values) process.env[name] = value
  }
}
