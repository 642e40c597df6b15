/**
 * The words for the events of a run, as its picture and its text use them. A text from outside
 * can't do harm here: control characters and marks that turn the direction of writing become
 * spaces.
 *
 * @module
 */
import type { TraceEvent } from "../world/trace.ts"

/** The events of one kind. */
export type EventOf<K extends TraceEvent["kind"]> = Extract<TraceEvent, { readonly kind: K }>

/** One packet of a run, as far as its trace tells. */
export interface Packet {
  readonly send: EventOf<"send"> | undefined
  readonly hold: EventOf<"hold"> | undefined
  /** Whether it was received or lost. */
  readonly settled: boolean
}

/** How bad something is, for its colour. */
export type Tone = "bad" | "good" | "plain" | "warn"

/** The text on one line, with nothing in it that a terminal or a browser acts upon. */
export function clean(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}]+/gu, " ")
    .replace(/\s+/g, " ")
    .trim()
}

/** The text of at most `length` characters; `mark` tells that there was more. */
export function clip(text: string, length: number, mark: string = "…"): string {
  const characters = Array.from(text)
  return characters.length <= length
    ? text
    : `${characters.slice(0, Math.max(0, length - mark.length)).join("")}${mark}`
}

/** The text in lines of at most `length` characters, broken at spaces where there are any. */
export function wrap(text: string, length: number): ReadonlyArray<string> {
  const lines: Array<string> = []
  for (const paragraph of text.split("\n").map(clean)) {
    let rest = Array.from(paragraph)
    while (rest.length > length) {
      const space = rest.lastIndexOf(" ", length)
      const end = space > length / 2 ? space : length
      lines.push(rest.slice(0, end).join(""))
      rest = rest.slice(rest[end] === " " ? end + 1 : end)
    }
    if (rest.length > 0) lines.push(rest.join(""))
  }
  return lines
}

/** A time as `1.234 s`. */
export function seconds(at: number): string {
  return `${(at / 1_000_000).toFixed(3)} s`
}

/** A time span in two or three digits: `80 µs`, `12 ms`, `1.2 s`. */
export function span(micros: number): string {
  if (micros < 1_000) return `${micros} µs`
  if (micros < 1_000_000) return `${Math.round(micros / 1_000)} ms`
  return `${(micros / 1_000_000).toFixed(micros < 10_000_000 ? 1 : 0)} s`
}

/** A number with its thousands apart: `18,412`. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",")
}

/** So many things: `1 node`, `5,000 events`. */
export function counted(count: number, thing: string): string {
  return `${grouped(count)} ${thing}${count === 1 ? "" : "s"}`
}

/** A note in a few words: `Down c (silent)`. */
export function note(event: EventOf<"note">): string {
  const name = event.name.replace(/^Member(?=[A-Z])/, "")
  return clean(`${name} ${gist(event.data)}`)
}

/**
 * What is told of data: the first value, then reasons in brackets and the others by their names.
 */
function gist(data: unknown): string {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return value(data, 0)
  const parts: Array<string> = []
  for (const [key, field] of Object.entries(data)) {
    // (Who it is says its name: an address is only in the way.)
    const text = key === "_tag" || key === "address" ? "" : value(field, 0)
    if (text === "") continue
    if (key === "reason") parts.push(`(${text})`)
    else if (parts.length === 0 || key === "node") parts.push(text)
    else parts.push(`${key}=${text}`)
  }
  return parts.join(" ")
}

/** Any value in short; nothing for what isn't there. */
function value(data: unknown, depth: number): string {
  if (data === undefined || data === null) return ""
  if (typeof data === "string") return clip(data, 200)
  if (typeof data !== "object") return typeof data === "function" ? "" : String(data)
  if (depth > 2) return "…"
  if (Array.isArray(data)) return some(data.map((item) => value(item, depth + 1)))
  if (ArrayBuffer.isView(data)) return counted(data.byteLength, "byte")
  const fields = Object.entries(data).map(([key, field]) => `${key}=${value(field, depth + 1)}`)
  return `{${some(fields)}}`
}

function some(items: ReadonlyArray<string>): string {
  return items.length <= 12 ? items.join(" ") : `${items.slice(0, 12).join(" ")} …`
}

/** What an operation asks for, without the name of its node, which is where it stands. */
export function request(event: EventOf<"operation">, name: string): string {
  const what = clean(event.what)
  return what.startsWith(`${name}: `) ? what.slice(name.length + 2) : what
}

/** How bad an event is. */
export function tone(event: TraceEvent): Tone {
  switch (event.kind) {
    case "check":
    case "drop":
    case "fault":
      return "bad"
    case "hold":
      return "warn"
    case "life":
      return /crash|kill|lost/i.test(event.what) ? "bad" : "plain"
    case "operation":
      return event.phase === "call" ? "plain" : event.phase === "ok" ? "good" : "bad"
    case "note":
      if (/down|lost|fail|dead|crash|conflict|refused/i.test(event.name)) return "bad"
      if (/suspect|leaving|slept|dropped/i.test(event.name)) return "warn"
      return /up$|trusted|settled|started|arrived|ready/i.test(event.name) ? "good" : "plain"
    default:
      return "plain"
  }
}

/** An event in a sentence's worth of words, without its time; the nodes by their names. */
export function sentence(
  event: TraceEvent,
  name: (node: number) => string,
  packet: Packet | undefined,
): string {
  const send = packet?.send
  const route =
    send === undefined ? "a packet" : `${name(send.from)} -> ${name(send.to)} ${send.what}`
  const names = "nodes" in event ? event.nodes.map(name).join(" ") : ""
  switch (event.kind) {
    case "send": {
      const gone = packet?.settled === false && packet.hold === undefined
      return clean(`${route}, ${counted(event.bytes, "byte")}${gone ? ", didn't arrive" : ""}`)
    }
    case "receive":
      return clean(`${send === undefined ? name(event.node) : route} received`)
    case "drop":
      return clean(`${route} lost: ${event.why}`)
    case "hold":
      return clean(`${route} held: ${event.why}`)
    case "timer":
      return clean(`${name(event.node)} timer`)
    case "note":
      return `${clean(name(event.node))} ${note(event)}`
    case "life":
      return clean(`${name(event.node)} ${event.what}`)
    case "fault":
      if (event.momentary) return clean(event.what)
      return clean(`${event.what} ${event.phase === "begin" ? "begins" : "ends"}`)
    case "operation":
      return clean(`${name(event.node)} ${event.phase}: ${request(event, name(event.node))}`)
    case "phase":
      return clean(event.what)
    case "check":
      return clean(`${event.name}: ${event.message}${names === "" ? "" : ` (${names})`}`)
  }
}
