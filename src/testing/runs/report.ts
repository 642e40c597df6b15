/**
 * What is told of a run that failed.
 *
 * @module
 */

import * as Diagram from "../picture/diagram.ts"
import * as Story from "../picture/story.ts"
import type { Trace } from "../world/trace.ts"
import { type Complaint, seconds } from "./check.ts"
import type { Written } from "./files.ts"
import * as Plans from "./plan.ts"
import type { Shrunk } from "./shrink.ts"

/** What there is to tell. */
export interface Told {
  readonly complaint: Complaint
  /** When, in microseconds. */
  readonly at: number
  readonly plan: Plans.Plan
  readonly trace: Trace
  readonly files: Written | undefined
  readonly shrunk?: Shrunk
  readonly number?: number
  readonly runs?: number
  readonly seed?: number
}

const LINES_MAX = 12

/** A message that says what went wrong, when, after what, and how to see it again. */
export function message(told: Told): string {
  const { complaint, at, plan, trace, files, shrunk, number, runs, seed } = told
  const which = number === undefined ? "" : `   (run ${number} of ${runs}, seed ${seed})`
  const lines = [`${complaint.check} failed at ${seconds(at / 1_000)}${which}`]
  lines.push(`  ${complaint.message}`)
  const { nodes } = trace.header
  const happened = Plans.lines(plan, nodes.slice(0, plan.nodes))
  const shown = happened.slice(0, LINES_MAX)
  if (happened.length > shown.length) shown.push(`and ${happened.length - shown.length} more`)
  if (shown.length === 0) shown.push("nothing happened to it")
  shown.forEach((line, i) => void lines.push(`${i === 0 ? "  plan      " : "            "}${line}`))
  if (shrunk !== undefined) {
    const { faultsBefore, eventsBefore, events, runs: tried, exhausted } = shrunk
    const faults = `${count(faultsBefore, "fault")} to ${plan.faults.length}`
    const stopped = exhausted ? "; stopped by its budget" : ""
    lines.push(
      `  shrunk    ${faults}, ${eventsBefore} events to ${events}, ${tried} runs,` +
        ` ${shrunk.seconds.toFixed(1)} s${stopped}`,
    )
    for (const other of shrunk.others) lines.push(`  also seen ${other}`)
  }
  if (files !== undefined) {
    lines.push(`  replay    ${files.replay}`)
    lines.push(`  diagram   ${files.html}`)
  }
  return lines.join("\n")
}

/** What there is to tell of a hand-written simulation that failed. */
export interface Broken {
  readonly trace: Trace
  /** Simulated milliseconds. */
  readonly atMillis: number
  readonly waiting: ReadonlyArray<string>
  readonly going: ReadonlyArray<string>
  /** What nodes said last, in words. */
  readonly said: ReadonlyArray<string>
  readonly diagram: string | undefined
}

const SAID_MAX = 6

/** The same error, whose message says besides what had happened and how to see it again. */
export function annotate(error: unknown, broken: Broken): unknown {
  if (!(error instanceof Error)) return error
  const { trace, atMillis, waiting, going, said, diagram } = broken
  const { seed } = trace.header
  const lines = [`  simulated ${seconds(atMillis)}, seed ${seed}`]
  const add = (title: string, texts: ReadonlyArray<string>): void =>
    texts.forEach((text, i) => {
      lines.push(`  ${(i === 0 ? title : "").padEnd(10)}${text}`)
    })
  add("waits for", waiting)
  add("faults", going)
  add("at last", said.slice(-SAID_MAX))
  add("again", [`the same seed gives the same run: simulate({ seed: ${seed}, … })`])
  if (diagram !== undefined) add("diagram", [diagram])
  const more = `\n\n${lines.join("\n")}\n`
  try {
    // Runners show the message, or the stack, which has the message in it on V8.
    const { message, stack } = error
    error.message = message + more
    if (stack?.includes(message)) error.stack = stack.replace(message, () => message + more)
  } catch {
    // A frozen error is shown as it is.
  }
  return error
}

/** The picture of a run: a self-contained page. */
export function picture(
  trace: Trace,
  plan: Plans.Plan | undefined,
  { check, message }: Complaint,
  replay: string | undefined,
): string {
  return Diagram.html(trace, {
    title: `${trace.header.name}: ${check} — ${message}`,
    ...(replay === undefined ? {} : { replay }),
    ...(plan === undefined ? {} : { plan: Plans.print(plan) }),
  })
}

/** The text twin of the picture. */
export function story(trace: Trace): string {
  return Story.text(trace)
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`
}
