/**
 * A failed run as one HTML page: what went wrong, what was broken meanwhile, and a space-time
 * diagram of the events that matter. It needs nothing but itself and says the same each time.
 *
 * @module
 */

import type { Trace } from "../world/trace.ts"
import { clean, clip, counted, type EventOf, seconds, sentence } from "./caption.ts"
import { overview } from "./overview.ts"
import { picture } from "./picture.ts"
import { probing, type Selection, select } from "./selection.ts"
import { arrow, bars, cross, diamond, dot, line, ring, safe } from "./shape.ts"
import { SCRIPT, STYLE } from "./style.ts"

/** What a page says besides the run. */
export interface PageOptions {
  /** By default the name of the run and of the check that was violated. */
  readonly title?: string
  /** Events that are shown at most: by default 2,000. */
  readonly eventsMax?: number
  /** The command that runs it again. */
  readonly replay?: string
  /** The plan as JSON, to be unfolded. */
  readonly plan?: string
}

/** Draws a trace as a self-contained HTML page. The same trace and options give the same page. */
export function html(trace: Trace, options: PageOptions = {}): string {
  const selection = select(trace, options.eventsMax ?? 2_000)
  const title = safe(clip(clean(options.title ?? titleOf(trace)), 160))
  const { names, run } = picture(selection)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${title}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${title}</h1>
${checks(trace)}
<p class="dim">${facts(selection)}</p>
${replay(options.replay)}
</header>
<h2>The whole run</h2>
${overview(selection)}
<header>
<div class="pair">
${faults(selection)}
${story(selection)}
</div>
${plan(options.plan)}
<h2>What happened</h2>
<p class="dim">${left(selection)}</p>
${LEGEND}
</header>
<main class="run">
${names}
${run}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

function titleOf(trace: Trace): string {
  const check = violations(trace)[0]
  return check === undefined
    ? trace.header.name
    : `${trace.header.name}: ${check.name} failed at ${seconds(check.at)}`
}

function violations(trace: Trace): ReadonlyArray<EventOf<"check">> {
  return trace.events.filter((event) => event.kind === "check")
}

function checks(trace: Trace): string {
  const all = violations(trace)
  if (all.length === 0) return "<p>No check was violated.</p>"
  return all
    .slice(0, 20)
    .map(({ i, name, message }) => {
      const text = message.split("\n").map(clean).join("\n")
      const link = `<a href="#e${i}">✗ ${safe(clean(name))}</a>`
      return `<p class="alarm">${link}: ${safe(clip(text, 2_000))}</p>`
    })
    .join("\n")
}

function facts({ trace }: Selection): string {
  const { nodes, seed } = trace.header
  const parts = [counted(nodes.length, "node"), counted(trace.count, "event")]
  return [...parts, `seed <code>${seed}</code>`, `hash <code>${trace.hash}</code>`].join(" · ")
}

function replay(command: string | undefined): string {
  if (command === undefined) return ""
  return `<h2>Run it again</h2>\n<div class="box"><code class="copy">${safe(command)}</code></div>`
}

function plan(json: string | undefined): string {
  if (json === undefined) return ""
  const box = `<div class="box"><pre>${safe(json)}</pre></div>`
  return `<details><summary>The plan</summary>${box}</details>`
}

function faults({ faults }: Selection): string {
  if (faults.length === 0) return "<p>Nothing was broken on purpose.</p>"
  const rows = faults.map(({ what, begin, end }) => {
    const until = end === undefined ? " – never ended" : ` – ${seconds(end.at)}`
    const text = `<a href="#e${begin.i}">${safe(clip(clean(what), 200))}</a>`
    return `<tr><td>${seconds(begin.at)}${end === begin ? "" : until}</td><td>${text}</td></tr>`
  })
  return box("What was broken", rows)
}

/**
 * The last turns on the way to the failure, without probes, timers and the sending of what was
 * received.
 */
function story({ shown, past, trace, packets }: Selection): string {
  const name = (node: number): string => trace.header.nodes[node] ?? `node ${node}`
  const turns = shown.filter((event) => {
    const packet = "packet" in event ? packets.get(event.packet) : undefined
    const quiet = event.kind === "timer" || probing(packet?.send?.what ?? "")
    return past.has(event.i) && !quiet && event.kind !== "send"
  })
  if (turns.length < 2) return ""
  const rows = turns.slice(-10).map((event) => {
    const packet = "packet" in event ? packets.get(event.packet) : undefined
    const text = safe(clip(sentence(event, name, packet), 200))
    return `<tr><td>${seconds(event.at)}</td><td><a href="#e${event.i}">${text}</a></td></tr>`
  })
  return box("What led to the failure", rows)
}

function box(title: string, rows: ReadonlyArray<string>): string {
  const table = `<table>${rows.join("\n")}</table>`
  return `<section><h2>${title}</h2>\n<div class="box">${table}</div></section>`
}

function left({ shown, quiet, over, trace }: Selection): string {
  const parts = [`${counted(shown.length, "event")} of ${counted(trace.count, "event")} are shown.`]
  if (quiet > 0)
    parts.push(
      `${counted(quiet, "event")} not shown: probes, handshakes and timers that led to nothing.`,
    )
  if (over > 0) parts.push(`${counted(over, "event")} not shown: less telling ones.`)
  return parts.join(" ")
}

function sample(name: string, shape: string, words: string): string {
  const svg = `<svg width="46" height="14" aria-hidden="true"><g class="${name}">${shape}</g></svg>`
  return `<span>${svg}${words}</span>`
}

const [START, END, MIDDLE] = [
  { x: 2, y: 7 },
  { x: 44, y: 7 },
  { x: 23, y: 7 },
]

const LEGEND = `<div class="legend">${[
  sample("receive", arrow(START, END), "delivered"),
  sample("receive led", arrow(START, END), "led to the failure"),
  sample("drop", line(START, MIDDLE) + cross(MIDDLE), "lost"),
  sample("hold", line(START, MIDDLE) + bars(MIDDLE), "held up"),
  sample("send open", line(START, MIDDLE) + ring(MIDDLE, 3), "never arrived"),
  sample("note", dot(MIDDLE, 4.5), "a node says"),
  sample("timer", ring(MIDDLE, 6), "a timer"),
  sample("operation", diamond(MIDDLE, "hollow"), "called"),
  sample("operation good", diamond(MIDDLE, "fill"), "answered"),
  sample("", '<rect class="band cut" x="3" width="40" height="14"/>', "cut off"),
  sample("", '<rect class="band ill" x="3" width="40" height="14"/>', "other faults"),
  sample("", '<rect class="down" x="16" width="14" height="14"/>', "not there"),
].join(
  "",
)}<span>Time runs down; point at an event to see what led to it and what it led to.</span></div>`
