/**
 * Strings as bytes: UTF-8, extended by its obvious form for lone surrogates (WTF-8), so that every
 * JavaScript string comes back as it was. Each string has exactly one encoding; all else is refused.
 *
 * Short strings are looped over, longer ones go to the host: a call into it costs as much as 20 to 30
 * characters. Buffer's methods take offsets; TextEncoder and TextDecoder, used where there is no
 * Buffer, need a new view each time.
 *
 * @module
 */

/** The most bytes that a UTF-16 code unit takes. */
export const UNIT_BYTES_MAX = 3

const LOOP_WRITE_MAX = 32
const LOOP_READ_MAX = 6

/**
 * Writes `text` to `buffer` at `at` and returns the number of bytes. There must be room for
 * {@link UNIT_BYTES_MAX} bytes for each code unit.
 */
export function write(buffer: Uint8Array, at: number, text: string): number {
  const units = text.length
  if (units > LOOP_WRITE_MAX && isWellFormed(text)) return hostWrite(buffer, at, text)
  for (let i = 0; i < units; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) return i + writeUnits(buffer, at + i, text, i)
    buffer[at + i] = unit
  }
  return units
}

/**
 * The text in `buffer` from `start` to before `end`, or undefined when the bytes aren't the encoding
 * of any. The text is a copy: it doesn't keep `buffer` in memory.
 */
export function read(buffer: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= LOOP_READ_MAX) {
    let text = ""
    for (let i = start; i < end; i++) {
      const byte = buffer[i]!
      if (byte > 0x7f) return readUnits(buffer, start, end)
      text += String.fromCharCode(byte)
    }
    return text
  }
  const text = hostRead(buffer, start, end)
  // Hosts put U+FFFD in place of what they can't read; it may have been sent as well.
  return text.indexOf("\ufffd") < 0 ? text : readUnits(buffer, start, end)
}

/** A word seen before, and what came after it then. */
interface Word {
  text: string
  next: Word | undefined
  /** The last text that {@link readAfter} read. */
  after: string
}

const WORDS = 1024
const WORD_BYTES_MAX = 32
/** Words seen last, by hash. There are never others, so a hostile peer can't make them grow. */
const words: ReadonlyArray<Word> = Array.from({ length: WORDS }, () => ({
  text: "",
  next: undefined,
  after: "",
}))
let last: Word = words[0]!

/**
 * The same as {@link read}, but text that came before is found rather than made again. The keys of
 * objects tend to come in the same order each time, so first of all the guess is that they do.
 */
export function readWord(buffer: Uint8Array, start: number, end: number): string | undefined {
  const guess = last.next
  if (guess !== undefined && matches(guess.text, buffer, start, end)) {
    last = guess
    return guess.text
  }
  const bytes = end - start
  if (bytes > WORD_BYTES_MAX) return read(buffer, start, end)
  let hash = bytes
  for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + buffer[i]!) | 0
  const word = words[(hash ^ (hash >>> 10)) & (WORDS - 1)]!
  if (!matches(word.text, buffer, start, end)) {
    const text = read(buffer, start, end)
    // Only ASCII has as many units as bytes; for others the bytes would have to be kept to compare.
    if (text === undefined || text.length !== bytes) return text
    word.text = text
  }
  last.next = word
  last = word
  return word.text
}

/** The same as {@link read}, but tries first what came after the same word the last time. */
export function readAfter(buffer: Uint8Array, start: number, end: number): string | undefined {
  const word = last
  if (matches(word.after, buffer, start, end)) return word.after
  const text = read(buffer, start, end)
  const bytes = end - start
  if (text !== undefined && text.length === bytes && bytes <= WORD_BYTES_MAX) word.after = text
  return text
}

function matches(word: string, buffer: Uint8Array, start: number, end: number): boolean {
  const { length } = word
  if (length !== end - start) return false
  for (let i = 0; i < length; i++) if (word.charCodeAt(i) !== buffer[start + i]) return false
  return true
}

function writeUnits(buffer: Uint8Array, start: number, text: string, from: number): number {
  let at = start
  for (let i = from; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) {
      buffer[at++] = unit
    } else if (unit < 0x800) {
      buffer[at++] = 0xc0 | (unit >> 6)
      buffer[at++] = 0x80 | (unit & 0x3f)
    } else {
      let point = unit
      // Not codePointAt: compiled by V8 15.0, it may look past the end of a string that is a slice.
      const next = isHigh(unit) && i + 1 < text.length ? text.charCodeAt(i + 1) : 0
      if (isLow(next)) {
        i++
        point = ((unit & 0x3ff) << 10) + (next & 0x3ff) + 0x10000
        buffer[at++] = 0xf0 | (point >> 18)
        buffer[at++] = 0x80 | ((point >> 12) & 0x3f)
      } else {
        buffer[at++] = 0xe0 | (point >> 12)
      }
      buffer[at++] = 0x80 | ((point >> 6) & 0x3f)
      buffer[at++] = 0x80 | (point & 0x3f)
    }
  }
  return at - start
}

/** How many units are turned into a string at a time. */
const CHUNK = 4096

function readUnits(buffer: Uint8Array, start: number, end: number): string | undefined {
  let text = ""
  let units: Array<number> = []
  let at = start
  while (at < end) {
    const first = buffer[at]!
    const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    if (length === 0 || first > 0xf4 || at + length > end) return undefined
    let point = length === 1 ? first : first & (0x7f >> length)
    for (let i = 1; i < length; i++) {
      const byte = buffer[at + i]!
      if ((byte & 0xc0) !== 0x80) return undefined
      point = (point << 6) | (byte & 0x3f)
    }
    if (length === 3 && point < 0x800) return undefined
    if (length === 4 && (point < 0x10000 || point > 0x10ffff)) return undefined
    // Two halves of a pair, one after the other, are another encoding of the character they make.
    if (isLow(point) && isHigh(units.length > 0 ? units.at(-1)! : lastOf(text))) return undefined
    if (point > 0xffff) units.push(0xd7c0 + (point >> 10), 0xdc00 | (point & 0x3ff))
    else units.push(point)
    at += length
    if (units.length >= CHUNK) {
      text += String.fromCharCode(...units)
      units = []
    }
  }
  return text + String.fromCharCode(...units)
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}

function isLow(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

function lastOf(text: string): number {
  return text === "" ? 0 : text.charCodeAt(text.length - 1)
}

// --- what the host offers --------------------------------------------------------------------------

type HostWrite = (this: Uint8Array, text: string, at: number, bytesMax: number) => number
type HostRead = (this: Uint8Array, start: number, end: number) => string

interface Host {
  readonly Buffer?: {
    readonly prototype: { readonly utf8Write?: HostWrite; readonly utf8Slice?: HostRead }
  }
}

const nodeWrite = works(() => (globalThis as Host).Buffer?.prototype.utf8Write, trialWrite)
const nodeRead = works(() => (globalThis as Host).Buffer?.prototype.utf8Slice, trialRead)
const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

function hostWrite(buffer: Uint8Array, at: number, text: string): number {
  if (nodeWrite !== undefined) return nodeWrite.call(buffer, text, at, buffer.length - at)
  return encoder.encodeInto(text, buffer.subarray(at)).written
}

function hostRead(buffer: Uint8Array, start: number, end: number): string {
  if (nodeRead !== undefined) return nodeRead.call(buffer, start, end)
  return decoder.decode(buffer.subarray(start, end))
}

const native = (String.prototype as { isWellFormed?: (this: string) => boolean }).isWellFormed

function isWellFormed(text: string): boolean {
  return native !== undefined ? native.call(text) : !/\p{Surrogate}/u.test(text)
}

/** These methods of Buffer aren't documented: they are used only where they do what they did so far. */
function works<A>(find: () => A | undefined, trial: (found: A) => boolean): A | undefined {
  try {
    const found = find()
    return found !== undefined && trial(found) ? found : undefined
  } catch {
    return undefined
  }
}

function trialWrite(found: HostWrite): boolean {
  const buffer = new Uint8Array(8)
  return found.call(buffer, "é€", 2, 6) === 5 && buffer.join() === "0,0,195,169,226,130,172,0"
}

function trialRead(found: HostRead): boolean {
  const buffer = new Uint8Array([0, 0xef, 0xbb, 0xbf, 0xc3, 0xa9, 0xff, 0x61])
  return found.call(buffer, 1, 7) === "\ufeffé\ufffd"
}
