/**
 * The entry of the benchmarks: `run.ts NAME [--json]`, started by run.mjs on the runtime of choice.
 *
 * @module
 */
import { type Bench, main } from "./harness.ts"

const [name = ""] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"))
const json: boolean = process.argv.includes("--json")
const ending: string = import.meta.url.endsWith(".ts") ? "ts" : "js"

const file: { readonly bench: Bench | ReadonlyArray<Bench> } = await import(
  new URL(`./${name.split("-")[0]}.${ending}`, import.meta.url).href
)
const all: ReadonlyArray<Bench> = [file.bench].flat()
const chosen: ReadonlyArray<Bench> = all.filter((bench) => bench.name === name)
// The name of a file stands for all of its benchmarks.
const benches: ReadonlyArray<Bench> = chosen.length > 0 ? chosen : name.includes("-") ? [] : all
if (benches.length === 0) {
  console.error(`no such benchmark: ${name}; here are ${all.map((each) => each.name).join(", ")}`)
  process.exit(2)
}
for (const bench of benches) await main(bench, json)
// A benchmark that leaves a socket open must not keep the shell waiting.
process.exit(0)
