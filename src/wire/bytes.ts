/**
 * Bytes, written into a buffer that grows and read back from one that may hold anything.
 * Numbers are little endian; `uint` and `int` take one byte for small values and eight at most.
 *
 * @module
 */
import * as Text from "./text.ts"

const NONE: Uint8Array = new Uint8Array(0)
/** Buffers that grew beyond this are given away rather than kept for the next use. */
const KEPT_BYTES_MAX = 1024 * 1024

/** The length of strings up to this takes one byte, whatever they are made of. */
const ONE_BYTE_UNITS_MAX = Math.floor(0x7f / Text.UNIT_BYTES_MAX)

// An f64 goes through here, as a view of each buffer would cost more than eight stores.
const scratch = new Uint8Array(8)
const scratchView = new DataView(scratch.buffer)

/** A buffer that grows with what is written to it. Values out of range are bugs of the caller's. */
export class Writer {
  /** The memory written to; longer than `length`, and another one after it grew. */
  buffer: Uint8Array
  /** How many bytes were written. */
  length = 0
  readonly #initial: number

  /** `initial` is the size of the buffer at first, in bytes; 1024 if not given. */
  constructor(initial = 1024) {
    this.#initial = Math.max(16, initial)
    this.buffer = new Uint8Array(this.#initial)
  }

  /** Makes room for `bytes` more. */
  reserve(bytes: number): void {
    if (this.length + bytes > this.buffer.length) this.#grow(this.length + bytes)
  }

  u8(value: number): void {
    this.reserve(1)
    this.buffer[this.length++] = value
  }

  u16(value: number): void {
    this.reserve(2)
    const { buffer, length } = this
    buffer[length] = value
    buffer[length + 1] = value >>> 8
    this.length = length + 2
  }

  u32(value: number): void {
    this.reserve(4)
    this.length += 4
    this.patchU32(this.length - 4, value)
  }

  f64(value: number): void {
    this.reserve(8)
    const { buffer, length } = this
    scratchView.setFloat64(0, value, true)
    for (let i = 0; i < 8; i++) buffer[length + i] = scratch[i]!
    this.length = length + 8
  }

  /** An integer from 0 to 2^53 - 1: seven bits a byte, the lowest first. */
  uint(value: number): void {
    this.reserve(8)
    if ((value & 0x7f) === value) {
      this.buffer[this.length++] = value
      return
    }
    if (!(Number.isSafeInteger(value) && value >= 0)) throw new Error(`BUG: ${value} is no uint`)
    this.#rest(value)
  }

  /** A safe integer of either sign, which goes into the lowest bit (zigzag). */
  int(value: number): void {
    this.reserve(8)
    if (!Number.isSafeInteger(value)) throw new Error(`BUG: ${value} is no int`)
    // Not doubled as a whole, as that would leave the range of exact integers.
    const magnitude = value < 0 ? -value - 1 : value
    const low = ((magnitude & 0x3f) << 1) | (value < 0 ? 1 : 0)
    if (magnitude < 0x40) {
      this.buffer[this.length++] = low
      return
    }
    this.buffer[this.length++] = low | 0x80
    this.#rest(Math.floor(magnitude / 0x40))
  }

  bool(value: boolean): void {
    this.u8(value ? 1 : 0)
  }

  /** Any string, lone surrogates included. */
  string(value: string): void {
    const units = value.length
    this.reserve(8 + units * Text.UNIT_BYTES_MAX)
    const start = this.length
    if (units <= ONE_BYTE_UNITS_MAX) {
      const bytes = Text.write(this.buffer, start + 1, value)
      this.buffer[start] = bytes
      this.length = start + 1 + bytes
      return
    }
    // The length comes before the bytes that tell it: guess that it will be that of ASCII.
    const guess = uintBytes(units)
    const bytes = Text.write(this.buffer, start + guess, value)
    const actual = uintBytes(bytes)
    if (actual !== guess) {
      this.buffer.copyWithin(start + actual, start + guess, start + guess + bytes)
    }
    this.uint(bytes)
    this.length = start + actual + bytes
  }

  /** Bytes after their number. */
  bytes(value: Uint8Array): void {
    this.uint(value.length)
    this.raw(value)
  }

  /** Bytes alone. */
  raw(value: Uint8Array): void {
    this.reserve(value.length)
    this.buffer.set(value, this.length)
    this.length += value.length
  }

  /** Overwrites four bytes at `at`. */
  patchU32(at: number, value: number): void {
    const { buffer } = this
    buffer[at] = value
    buffer[at + 1] = value >>> 8
    buffer[at + 2] = value >>> 16
    buffer[at + 3] = value >>> 24
  }

  /** Takes back all but the first `length` bytes. */
  truncate(length: number): void {
    this.length = length
  }

  /** Starts anew. */
  reset(): void {
    this.length = 0
    if (this.buffer.length > KEPT_BYTES_MAX) this.buffer = new Uint8Array(this.#initial)
  }

  /** What was written, as bytes of the caller's own; then starts anew. */
  take(): Uint8Array {
    const given = this.buffer.length > KEPT_BYTES_MAX && this.length > this.buffer.length / 2
    const bytes = given ? this.view() : this.buffer.slice(0, this.length)
    this.reset()
    return bytes
  }

  /** What was written, without a copy: valid until the next write. */
  view(): Uint8Array {
    return this.buffer.subarray(0, this.length)
  }

  #rest(value: number): void {
    const { buffer } = this
    let at = this.length
    let rest = value
    for (; rest > 0x7fffffff; rest = Math.floor(rest / 0x80)) buffer[at++] = (rest & 0x7f) | 0x80
    for (; rest > 0x7f; rest >>>= 7) buffer[at++] = (rest & 0x7f) | 0x80
    buffer[at++] = rest
    this.length = at
  }

  #grow(bytes: number): void {
    const grown = new Uint8Array(Math.max(bytes, this.buffer.length * 2))
    grown.set(this.buffer.subarray(0, this.length))
    this.buffer = grown
  }
}

/** How many bytes {@link Writer.uint} takes for lengths, that is, up to 2^35. */
function uintBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5
}

/**
 * Reads what a {@link Writer} wrote, or finds that none did: then `failed` is set for good, and this
 * and all later reads return 0, `""`, or nothing. No read throws, or takes more memory than a small
 * multiple of the bytes that it consumes.
 */
export class Reader {
  buffer: Uint8Array
  /** Where the next read starts. */
  position: number
  /** Where the bytes to read end. */
  end: number
  /** Whether something read was malformed. */
  failed = false

  constructor(buffer: Uint8Array = NONE, start = 0, end: number = buffer.length) {
    this.buffer = buffer
    this.position = start
    this.end = end
  }

  /** Starts anew with the bytes of `buffer` from `start` to before `end`, which lie within it. */
  reset(buffer: Uint8Array, start = 0, end: number = buffer.length): void {
    this.buffer = buffer
    this.position = start
    this.end = end
    this.failed = false
  }

  /** Whether everything was well-formed, and nothing is left. */
  done(): boolean {
    return !this.failed && this.position === this.end
  }

  /** Whether there are `bytes` more; fails if not. */
  has(bytes: number): boolean {
    if (bytes <= this.end - this.position) return true
    this.fail()
    return false
  }

  /** Marks what was read as malformed. */
  fail(): void {
    this.failed = true
    this.position = this.end
  }

  u8(): number {
    return this.position < this.end ? this.buffer[this.position++]! : this.#zero()
  }

  u16(): number {
    if (!this.has(2)) return 0
    const { buffer, position } = this
    this.position = position + 2
    return buffer[position]! | (buffer[position + 1]! << 8)
  }

  u32(): number {
    if (!this.has(4)) return 0
    const { buffer, position: at } = this
    this.position = at + 4
    const low = buffer[at]! | (buffer[at + 1]! << 8) | (buffer[at + 2]! << 16)
    return (low | (buffer[at + 3]! << 24)) >>> 0
  }

  f64(): number {
    if (!this.has(8)) return 0
    const { buffer, position } = this
    for (let i = 0; i < 8; i++) scratch[i] = buffer[position + i]!
    this.position = position + 8
    return scratchView.getFloat64(0, true)
  }

  uint(): number {
    const first = this.u8()
    return first < 0x80 ? first : this.#rest(first & 0x7f, 0x80)
  }

  int(): number {
    const first = this.u8()
    const low = (first >> 1) & 0x3f
    const magnitude = first < 0x80 ? low : this.#rest(low, 0x40)
    if ((first & 1) === 0 || this.failed) return magnitude
    return magnitude < Number.MAX_SAFE_INTEGER ? -magnitude - 1 : this.#zero()
  }

  bool(): boolean {
    const byte = this.u8()
    if (byte > 1) this.fail()
    return byte === 1
  }

  string(): string {
    const bytes = this.uint()
    if (!this.has(bytes)) return ""
    const start = this.position
    return this.#text(Text.read(this.buffer, start, start + bytes), bytes)
  }

  /** The same as {@link string}, but faster for strings that come often: names and keys. */
  word(): string {
    const bytes = this.uint()
    if (!this.has(bytes)) return ""
    const start = this.position
    return this.#text(Text.readWord(this.buffer, start, start + bytes), bytes)
  }

  /** The string of the next `bytes` bytes: faster if it came after the same word the last time. */
  textAfterWord(bytes: number): string {
    if (!this.has(bytes)) return ""
    const start = this.position
    return this.#text(Text.readAfter(this.buffer, start, start + bytes), bytes)
  }

  /** The bytes, copied: they may be kept, and don't keep the reader's buffer in memory. */
  bytes(): Uint8Array {
    return this.raw(this.uint())
  }

  /** The next `bytes` bytes, copied as well. */
  raw(bytes: number): Uint8Array {
    if (!this.has(bytes)) return NONE
    const start = this.position
    this.position = start + bytes
    // Not `slice`: of a Buffer, which some transports deliver, it makes another Buffer.
    const copy = new Uint8Array(bytes)
    copy.set(this.buffer.subarray(start, start + bytes))
    return copy
  }

  /** The bytes of an integer after its first; an encoding with zeros at its end isn't one of ours. */
  #rest(first: number, unit: number): number {
    let value = first
    let scale = unit
    for (;;) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (value > Number.MAX_SAFE_INTEGER) return this.#zero()
      if (byte < 0x80) return byte === 0 ? this.#zero() : value
      scale *= 0x80
    }
  }

  #text(text: string | undefined, bytes: number): string {
    if (text === undefined) {
      this.fail()
      return ""
    }
    this.position += bytes
    return text
  }

  #zero(): number {
    this.fail()
    return 0
  }
}
