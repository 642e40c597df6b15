/**
 * The demonstration: a cluster of operating system processes that grows, shrinks, loses a node and
 * wakes a frozen one, while a client in every node keeps calling.
 *
 * `npm start`, or `npm run --silent start -- --json` for the figures as the last line of standard
 * output, and everything else on standard error.
 *
 * @module
 */
import process from "node:process"
import type { NodeEvent } from "skein"
import { form, join, leave } from "./chapters.ts"
import { keys } from "./counter.ts"
import { freeze, kill } from "./disasters.ts"
import { Fleet } from "./fleet.ts"
import type { Program } from "./program.ts"
import { Screen } from "./screen.ts"
import { Stage } from "./stage.ts"
import type { Row } from "./table.ts"
import { judge } from "./verdict.ts"

const json = process.argv.includes("--json")
const fleet = new Fleet(({ by, event, at }) => {
  const what = sight(event)
  if (what !== undefined) screen.see(by, what, at)
})
const screen = new Screen(json ? process.stderr : process.stdout, () => fleet.programs.map(row))
const stage = new Stage(fleet, screen)
const startedAt = Date.now()

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => fleet.fail(new Error(`stopped by ${signal}`)))
}

screen.line(`Skein · ${keys.length} counters on a cluster of processes that talk over TCP`, "bold")
try {
  screen.chapter("Three nodes find each other from one address")
  await form(stage, ["alder", "birch", "cedar"])
  screen.chapter("1 · A fourth node joins")
  await join(stage, "elm")
  screen.chapter("2 · A node leaves")
  await leave(stage, "birch")
  screen.chapter("3 · A node is killed")
  await kill(stage, "cedar", "fir")
  screen.chapter("4 · A node is frozen, given up, and thawed")
  await freeze(stage, "elm")
  screen.chapter("The books")
  await judge(stage)
} catch (error) {
  stage.promise(false, error instanceof Error ? error.message : String(error))
}
stage.figures.totalMillis = Date.now() - startedAt
screen.freeze()
fleet.end()
const ok = stage.broken.length === 0
screen.line()
const { callsTotal = 0, callsExcused = 0 } = stage.figures
if (ok) {
  const answered = `${callsTotal - callsExcused} of ${callsTotal} calls answered`
  screen.line(
    `✓ Everything held: ${keys.length} names, one owner each; ${answered}, the others`,
    "good",
  )
  screen.line("  to a node that was not yet known to be down.", "good")
}
if (!ok) screen.line(`✗ ${stage.broken.length} promises broken: ${stage.broken.join("; ")}`, "bad")
if (json)
  process.stdout.write(`${JSON.stringify({ ok, ...stage.figures, broken: stage.broken })}\n`)
process.exitCode = ok ? 0 : 1

function row(one: Program): Row {
  const { name, condition, view, rate } = one
  const other = fleet.running.find((each) => each !== one && each.view !== undefined)
  const lives = condition === "running" || condition === "frozen"
  return {
    name,
    program: condition,
    seen: other?.view?.members[name] ?? "",
    counters: lives ? (view?.serving.length ?? 0) : 0,
    callsPerSecond: condition === "running" ? rate : 0,
  }
}

/** What is worth a line of the timeline: how it goes on after "alder sees". */
function sight(event: NodeEvent): string | undefined {
  switch (event._tag) {
    case "MemberUp":
      return `${event.node} up`
    case "MemberSuspect":
      return `no answer from ${event.node}: a suspect`
    case "MemberTrusted":
      return `${event.node} answer again`
    case "MemberDown":
      return `${event.node} down (${event.reason})`
    case "MemberLeft":
      return `${event.node} leave`
    case "Slept":
      return `that it slept for ${Math.round(event.millis)} ms`
    case "HandoffFailed":
      return `${event.processes.length} counters fail to move`
    case "NameConflict":
    case "EventsLost":
      return `trouble: ${JSON.stringify(event)}`
    default:
      return undefined
  }
}
