/**
 * Structured keys, and the one text that each of them has: what a name, a group or a topic is known by in
 * the whole cluster.
 *
 * A string stands for itself, unless it begins with a tilde; everything else is a tilde and a notation
 * that looks like JSON:
 *
 * ```
 * "user-42"            user-42
 * 42                   ~42
 * 7n                   ~7n
 * true                 ~true
 * ["room", 42, [7n]]   ~["room",42,[7n]]
 * "~"                  ~"~"
 * ```
 *
 * So two keys have the same text when, and only when, they are equal; `-0` is `0`.
 *
 * @module
 */

/** What processes, names, groups and topics may be known by. Numbers are finite. */
export type Key = string | number | bigint | boolean | ReadonlyArray<Key>

/** The longest text of a key, in UTF-16 code units. */
export const TEXT_MAX = 512
/** How deep arrays may be nested. */
export const DEPTH_MAX = 16

/** The text of a key. Throws a TypeError on what isn't a key, or is too long. */
export function text(key: Key): string {
  const text = typeof key === "string" && !key.startsWith("~") ? key : `~${notation(key, 0)}`
  if (text.length >= 1 && text.length <= TEXT_MAX) return text
  throw new TypeError(
    text === ""
      ? "a key must not be the empty string"
      : `a key's text has at most ${TEXT_MAX} characters, got ${text.length}`,
  )
}

/** The key that has this text. Throws a TypeError when there is none. */
export function parse(text: string): Key {
  if (text.length < 1 || text.length > TEXT_MAX) throw malformed(text)
  if (!text.startsWith("~")) return text
  const at = { text, position: 1 }
  const key = read(at, 0)
  // Only the one text that a key has stands for it.
  if (at.position !== text.length || `~${notation(key, 0)}` !== text) throw malformed(text)
  if (typeof key === "string" && !key.startsWith("~")) throw malformed(text)
  return key
}

/** Whether two keys are equal. */
export function equals(a: Key, b: Key): boolean {
  return text(a) === text(b)
}

/**
 * Tells the texts of keys that begin with `prefix`: strings that begin with that string, arrays that begin
 * with the elements of that array, and of everything else only the key itself. The empty string is a
 * prefix of every string, the empty array of every array.
 */
export function startsWith(prefix: Key): (text: string) => boolean {
  const parts = spans(prefix)
  return (text) => parts.some(({ from, to }) => text >= from && (to === undefined || text < to))
}

/** The texts from `from` on to before `to`, or to the last, by the order of their UTF-16 code units. */
export interface Span {
  readonly from: string
  readonly to: string | undefined
}

/** Where the texts of keys that begin with `prefix` lie among all texts, in ascending order. */
export function spans(prefix: Key): ReadonlyArray<Span> {
  if (prefix === "")
    return [{ from: "", to: "~" }, beginning('~"'), { from: "\x7f", to: undefined }]
  if (typeof prefix === "string") {
    if (!prefix.startsWith("~")) return [beginning(prefix)]
    // The closing quote isn't part of a prefix.
    return [beginning(`~${notation(prefix, 0).slice(0, -1)}`)]
  }
  const whole = `~${notation(prefix, 0)}`
  if (!Array.isArray(prefix)) return [exactly(whole)]
  const open = whole.slice(0, -1)
  // [4] begins [4, 2], but not [42].
  return prefix.length === 0 ? [beginning(open)] : [beginning(`${open},`), exactly(whole)]
}

function beginning(from: string): Span {
  let length = from.length
  while (from.charCodeAt(length - 1) === 0xffff) length--
  if (length === 0) return { from, to: undefined }
  const next = String.fromCharCode(from.charCodeAt(length - 1) + 1)
  return { from, to: from.slice(0, length - 1) + next }
}

function exactly(text: string): Span {
  return { from: text, to: `${text}\0` }
}

function notation(key: Key, depth: number): string {
  switch (typeof key) {
    case "string":
      return quoted(key)
    case "number":
      if (!Number.isFinite(key)) break
      return String(key)
    case "bigint":
      return `${key}n`
    case "boolean":
      return String(key)
    case "object":
      if (!Array.isArray(key) || depth >= DEPTH_MAX) break
      // Unlike map, from doesn't pass over holes.
      return `[${Array.from(key, (part) => notation(part as Key, depth + 1)).join(",")}]`
  }
  throw new TypeError(
    `a key is a string, a finite number, a bigint, a boolean or an array of keys, got ${describe(key)}`,
  )
}

/**
 * As JSON has it, but half of a surrogate pair stands for itself: else the text of a string would not begin
 * with the text of each of its beginnings.
 */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/\\(?:u(d[89a-f]..)|.)/g, (whole, unit?: string) =>
    unit === undefined ? whole : String.fromCharCode(Number.parseInt(unit, 16)),
  )
}

function describe(key: unknown): string {
  if (Array.isArray(key)) return `an array nested deeper than ${DEPTH_MAX}`
  return typeof key === "object" ? (key === null ? "null" : "an object") : String(key)
}

interface At {
  readonly text: string
  position: number
}

const SCALAR = /true|false|"(?:[^"\\]|\\.)*"|-?\d+n|-?\d+(?:\.\d+)?(?:e[+-]\d+)?/y

function read(at: At, depth: number): Key {
  if (depth > DEPTH_MAX) throw malformed(at.text)
  if (at.text[at.position] !== "[") return scalar(at)
  const parts: Array<Key> = []
  do {
    at.position++
    if (parts.length === 0 && at.text[at.position] === "]") break
    parts.push(read(at, depth + 1))
  } while (at.text[at.position] === ",")
  if (at.text[at.position] !== "]") throw malformed(at.text)
  at.position++
  return parts
}

function scalar(at: At): Key {
  SCALAR.lastIndex = at.position
  const found = SCALAR.exec(at.text)?.[0]
  if (found === undefined) throw malformed(at.text)
  at.position += found.length
  if (found === "true" || found === "false") return found === "true"
  if (found.endsWith("n")) return BigInt(found.slice(0, -1))
  if (!found.startsWith('"')) return Number(found)
  try {
    return JSON.parse(found) as string
  } catch {
    throw malformed(at.text)
  }
}

function malformed(text: string): TypeError {
  return new TypeError(`${JSON.stringify(text.slice(0, 64))} is not the text of a key`)
}
