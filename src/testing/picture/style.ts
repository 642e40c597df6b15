/**
 * How the page of a failed run looks, light and dark, and what it does when one points at an event.
 *
 * @module
 */

/** The style sheet. Every colour is a variable, so that dark is only other values. */
export const STYLE: string = `
:root { color-scheme: light dark;
  --back: #ffffff; --box: #f3f5f7; --ink: #1b2330; --dim: #5a6575; --line: #bfc6d1; --grid: #e4e8ed;
  --blue: #1d5fb4; --faint: #8793a5; --red: #b3201b; --amber: #8a5200; --green: #1a7a3a;
  --cut: rgba(200, 40, 40, 0.10); --ill: rgba(200, 140, 0, 0.13); --down: #c9ced6;
  --paused: #e6e0f2; --alarm: #b3201b; --alarm-ink: #ffffff; --future: #6b3fc0; --past: #c25a00 }
@media (prefers-color-scheme: dark) { :root {
  --back: #11151b; --box: #1b212a; --ink: #e8ebf0; --dim: #a0abba; --line: #465162; --grid: #262e39;
  --blue: #7db2f7; --faint: #74819a; --red: #ff7d74; --amber: #f0b35a; --green: #6fd08c;
  --cut: rgba(255, 90, 80, 0.15); --ill: rgba(240, 179, 90, 0.13); --down: #4a5361;
  --paused: #3d3556; --alarm: #b3261e; --alarm-ink: #ffffff; --future: #b79bff; --past: #ffa64d } }
body { margin: 24px; background: var(--back); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; width: max-content; min-width: calc(100vw - 64px) }
header, .overview { max-width: min(1180px, calc(100vw - 64px)) }
h1 { font-size: 22px; margin: 0 0 8px } h2 { font-size: 15px; margin: 20px 0 6px }
p { margin: 6px 0 } .dim { color: var(--dim) }
.alarm { background: var(--alarm); color: var(--alarm-ink); border-radius: 6px; padding: 8px 14px;
  margin: 10px 0; font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere }
code, pre, table, svg { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace }
.box { background: var(--box); border-radius: 6px; padding: 8px 14px; margin: 8px 0; overflow: auto;
  max-height: 260px }
code.copy { display: block; user-select: all; white-space: pre-wrap; overflow-wrap: anywhere }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 0 20px }
table { border-collapse: collapse; font-size: 13px }
td { padding: 1px 18px 1px 0; vertical-align: top }
td:first-child { white-space: nowrap; color: var(--dim) }
a { color: inherit } td a { text-decoration: none } td a:hover { text-decoration: underline }
pre { margin: 0; font-size: 12px } svg { display: block; font-size: 11px }
svg text { fill: var(--ink); paint-order: stroke; stroke: var(--back); stroke-width: 3.5px;
  stroke-linejoin: round }
.names { position: sticky; top: 0; z-index: 1; background: var(--back);
  border-bottom: 1px solid var(--line) }
.names text { font-size: 15px; font-weight: 700; text-anchor: middle }
svg .time, svg .silence { fill: var(--dim); text-anchor: end }
svg .silence { font-size: 10px } .silence { font-style: italic }
.line { stroke: var(--line); stroke-width: 1.5; fill: none }
.grid { stroke: var(--grid); fill: none }
.band.cut { fill: var(--cut) } .band.ill { fill: var(--ill) }
.band.all { fill: var(--amber); opacity: 0.55 }
.wall { stroke: var(--red); stroke-width: 2.5; fill: none }
.down { fill: var(--down) } .paused { fill: var(--paused) } .hatch { fill: url(#hatching) }
.hatching { stroke: var(--dim); stroke-width: 1 }
.stroke, .mark { stroke: currentColor; fill: none; stroke-width: 1.5 } .fill { fill: currentColor }
.hollow { stroke: currentColor; stroke-width: 1.5; fill: var(--back) } .mark { stroke-width: 2 }
.send, .receive { color: var(--blue) } .send text { fill: var(--dim); font-size: 10.5px }
.drop, .bad { color: var(--red) } .hold, .warn { color: var(--amber) } .good { color: var(--green) }
.drop .stroke, .hold .stroke, .open .stroke, .send .bad .stroke { stroke-dasharray: 5 3 }
.wait { stroke-dasharray: 1 4; stroke: var(--amber) }
.drop .why { fill: var(--red); font-size: 10px; text-anchor: middle }
.note.bad text, .life.bad text, .operation.bad text { fill: var(--red) }
.note.warn text { fill: var(--amber) } .note.good text, .operation.good text { fill: var(--green) }
.note.bad text, .life text, .fault text { font-weight: 700 } .fault text { fill: var(--red) }
.operation .stroke { stroke-width: 3; opacity: 0.35 } .timer { color: var(--faint) }
.faint.send, .faint.receive { color: var(--faint) } .faint .stroke { stroke-width: 1 }
.led .stroke { stroke-width: 2.6 } .led.send text { fill: var(--ink); font-weight: 700 }
.phase { color: var(--dim) } .phase text { fill: var(--dim); font-weight: 700 }
.phase .stroke { stroke-width: 1; stroke-dasharray: 8 4 }
.run .check .fill { fill: var(--alarm) } .run .check text { fill: var(--alarm-ink); stroke: none;
  font-size: 13px; font-weight: 700 }
.run .check .who .fill { stroke: var(--back); stroke-width: 2 }
.overview { margin: 6px 0; height: auto } .overview .name { text-anchor: end; font-weight: 700 }
.overview .tick { text-anchor: middle; fill: var(--dim) } .overview .check { color: var(--red) }
.overview .check text { fill: var(--red); font-weight: 700 }
.overview .check .stroke { stroke-width: 3 }
.overview .plain { color: var(--dim) }
.legend { display: flex; flex-wrap: wrap; gap: 2px 20px; font-size: 12px; color: var(--dim);
  margin: 6px 0 } .legend span { display: inline-flex; align-items: center; gap: 6px }
.lit [data-i] { opacity: 0.12 } .lit .past, .lit .future, .lit .check { opacity: 1 }
.lit .past { color: var(--past) } .lit .future { color: var(--future) }
[data-i] { scroll-margin-top: 80px } [data-i]:target text { text-decoration: underline }
`

/** Pointing at an event shows its causal past and future; a click keeps them shown. */
export const SCRIPT: string = `
{
  const run = document.getElementById("run"), events = new Map(), effects = new Map()
  for (const g of run.querySelectorAll("[data-i]")) {
    events.set(g.dataset.i, g)
    if (!effects.has(g.dataset.by)) effects.set(g.dataset.by, [])
    effects.get(g.dataset.by).push(g.dataset.i)
  }
  let kept = false
  const show = (i) => {
    for (const g of events.values()) g.classList.remove("past", "future")
    run.classList.toggle("lit", i !== undefined)
    for (let at = i; events.has(at); at = events.get(at).dataset.by)
      events.get(at).classList.add("past")
    const ahead = i === undefined ? [] : [...(effects.get(i) ?? [])]
    for (const at of ahead) {
      events.get(at).classList.add("future")
      ahead.push(...(effects.get(at) ?? []))
    }
  }
  const of = (event) => event.target.closest("[data-i]")?.dataset.i
  run.addEventListener("mouseover", (event) => kept || show(of(event)))
  run.addEventListener("mouseleave", () => kept || show(undefined))
  run.addEventListener("click", (event) => { kept = of(event) !== undefined; show(of(event)) })
}
`
