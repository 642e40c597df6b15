/**
 * Simulations to leave running: `npm run sim -- [--runs N] [--seed S] [--name SUITE] [--directory D]`.
 *
 * The suites of suites.ts take turns. A run that fails is shrunk, told and written down, and the next
 * one begins; in the end, or on Ctrl-C, everything is summed up. `--replay FILE` runs one plan again.
 *
 * @module
 */
import { readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { mix32 } from "../../src/core/hash.ts"
import * as Arbitrary from "../../src/testing/runs/arbitrary.ts"
import * as Simulation from "../../src/testing/simulation.ts"
import { suites } from "./suites.ts"
import { line, Tally, table } from "./tally.ts"

/** One run in so many is done twice, to see that it is the same. */
const TWICE_EVERY = 50
/** How often a line is printed where lines can't be rewritten. Milliseconds. */
const PRINT_EVERY = 10_000

// Taken while no simulation guards it.
const clock: () => number = performance.now.bind(performance)
const started: number = clock()
const options: Options = read()
const chosen: ReadonlyArray<Simulation.Simulation> = suites.filter(
  ({ name }) => options.name === undefined || options.name === name,
)
const tallies: ReadonlyArray<Tally> = chosen.map((suite) => new Tally(suite))
const lively: boolean = process.stdout.isTTY === true
let printed = 0

if (chosen.length === 0) fail(`no such suite: ${options.name}; here are ${names()}`)
process.on("SIGINT", () => finish())
if (options.replay !== undefined) await again(options.replay)
await all()
finish()

interface Options {
  readonly runs: number
  readonly seed: number
  readonly name: string | undefined
  readonly directory: string
  readonly replay: string | undefined
}

/** Runs the suites in turn. */
async function all(): Promise<void> {
  for (let i = 0; i < options.runs; i++) {
    const which = i % chosen.length
    await one(chosen[which]!, tallies[which]!, mix32(options.seed >>> 0, i))
    progress()
  }
}

/** One run, and all that there is to say of it when it fails. */
async function one(suite: Simulation.Simulation, tally: Tally, seed: number): Promise<void> {
  try {
    const plan = Arbitrary.plans(suite, seed)(0)
    const outcome = await Simulation.run(suite, plan)
    tally.count(outcome)
    const failed = outcome.complaint !== undefined && outcome.excuse === undefined
    // It draws the same plan, runs it twice, and knows how to shrink and tell what is wrong with it.
    if (failed || tally.runs % TWICE_EVERY === 1) {
      const { directory } = options
      await Simulation.check(suite, { runs: 1, seed, directory })
      if (failed) throw new Error(`${suite.name}: a run of seed ${seed} failed only once`)
    }
  } catch (error) {
    tally.failed++
    tell(error)
  }
}

/** Runs the plan of a file, whose name begins with its suite's. */
async function again(file: string): Promise<never> {
  // Where one suite's name begins with another's, the longer one is meant.
  const fitting = suites.filter(({ name }) => file.includes(`${name}-`))
  const suite = fitting.sort((a, b) => b.name.length - a.name.length)[0]
  if (suite === undefined) return fail(`${file} is of no suite here; here are ${names()}`)
  try {
    const { directory } = options
    const { trace, hash } = await Simulation.replay(suite, readFileSync(file, "utf8"), {
      directory,
    })
    console.log(`${suite.name}: nothing is wrong with it (${trace.count} events, hash ${hash})`)
    process.exit(0)
  } catch (error) {
    tell(error)
    process.exit(1)
  }
}

/** Rewrites the line on a terminal; elsewhere prints one now and then. */
function progress(): void {
  const now = clock()
  if (!lively && now - printed < PRINT_EVERY) return
  printed = now
  const text = line(tallies, options.runs, now - started)
  if (lively) process.stdout.write(`\r\x1b[K${text.slice(0, (process.stdout.columns ?? 80) - 1)}`)
  else console.log(text)
}

/** A failure stays on the screen. */
function tell(error: unknown): void {
  const text = error instanceof Error ? error.message : String(error)
  console.log(`${lively ? "\r\x1b[K" : ""}${text}`)
  const { file } = error as { readonly file?: string }
  if (file !== undefined) console.log(`  again     npm run sim -- --replay ${file}`)
  console.log("")
}

function finish(): never {
  const wrong = tallies.flatMap((tally) => tally.vacuous())
  const text = line(tallies, options.runs, clock() - started)
  console.log(`${lively ? "\r\x1b[K" : ""}${[text, table(tallies), ...wrong].join("\n")}`)
  process.exit(wrong.length > 0 || tallies.some(({ failed }) => failed > 0) ? 1 : 0)
}

function read(): Options {
  const { SKEIN_REPLAY } = process.env
  // They are for tests: here options say the same.
  for (const name of ["SKEIN_RUNS", "SKEIN_SEED", "SKEIN_REPLAY"]) delete process.env[name]
  try {
    const { values } = parseArgs({
      options: {
        runs: { type: "string", default: "Infinity" },
        seed: { type: "string", default: "1" },
        name: { type: "string" },
        directory: { type: "string", default: ".sim" },
        replay: { type: "string" },
      },
    })
    const [runs, seed] = [Number(values.runs), Number(values.seed)]
    if (!(runs >= 1) || !Number.isInteger(seed)) throw new Error("runs and seed are whole numbers")
    const { name, directory, replay = SKEIN_REPLAY } = values
    return { runs, seed, name, directory, replay }
  } catch (error) {
    return fail((error as Error).message)
  }
}

function fail(message: string): never {
  console.error(message)
  console.error(
    "npm run sim -- [--runs N] [--seed S] [--name SUITE] [--directory D] [--replay FILE]",
  )
  process.exit(2)
}

function names(): string {
  return suites.map(({ name }) => name).join(", ")
}
