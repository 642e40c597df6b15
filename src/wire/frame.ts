/**
 * A stream of bytes cut into frames: the length of the body as u32, little endian, then the body.
 *
 * @module
 */
import type { Writer } from "./bytes.ts"

/** The bytes before a body. */
export const HEADER_BYTES = 4
/** The longest body that a node accepts from its peers, unless told otherwise. */
export const FRAME_BYTES_MAX: number = 8 * 1024 * 1024
/** The longest body before a peer has proved who it is. */
export const HANDSHAKE_FRAME_BYTES_MAX = 4096

/** The other side announced a longer frame than it may send: the stream is of no more use. */
export class FrameTooLarge {
  readonly _tag = "FrameTooLarge"
  /** The length announced. */
  readonly bytes: number
  readonly bytesMax: number

  constructor(bytes: number, bytesMax: number) {
    this.bytes = bytes
    this.bytesMax = bytesMax
  }
}

/** Begins a frame, whose body is written next; returns where it begins, for {@link end}. */
export function begin(writer: Writer): number {
  const at = writer.length
  writer.u32(0)
  return at
}

/** Ends the frame begun at `at`. To drop it instead, truncate the writer to `at`. */
export function end(writer: Writer, at: number): void {
  writer.patchU32(at, writer.length - at - HEADER_BYTES)
}

/**
 * Receives a body: the bytes of `buffer` from `start` to before `end`. They are as good as gone after
 * it returns, as more frames lie in the same memory: keep a copy of what is needed.
 */
export type OnFrame = (buffer: Uint8Array, start: number, end: number) => void

const NONE: Uint8Array = new Uint8Array(0)
const PARTIAL_BYTES_MIN = 256

/**
 * Finds the frames in chunks of a stream. Frames that lie in one chunk are delivered from there, others
 * are put together in memory that grows with what came, not with what was announced, and not beyond
 * the limit.
 */
export class Deframer {
  readonly #onFrame: OnFrame
  #bytesMax: number
  #stopped = false
  #error: FrameTooLarge | undefined = undefined
  /** The chunk being looked at, from #at on. */
  #chunk: Uint8Array = NONE
  #at = 0
  /** The beginning of a frame that spans chunks, header included: its first #have bytes. */
  #partial: Uint8Array = NONE
  #have = 0

  constructor(frameBytesMax: number, onFrame: OnFrame) {
    this.#bytesMax = frameBytesMax
    this.#onFrame = onFrame
  }

  /** Changes the longest body accepted, for the frames not delivered yet. */
  limit(frameBytesMax: number): void {
    this.#bytesMax = frameBytesMax
  }

  /** Delivers no more, not even frames that are here already: they are part of {@link rest}. */
  stop(): void {
    this.#stopped = true
  }

  /** All bytes that were pushed and not delivered, copied; for who takes over after {@link stop}. */
  rest(): Uint8Array {
    const bytes = new Uint8Array(this.#have + this.#chunk.length - this.#at)
    bytes.set(this.#partial.subarray(0, this.#have))
    bytes.set(this.#chunk.subarray(this.#at), this.#have)
    return bytes
  }

  /**
   * Takes the next chunk, which must not change any more, and delivers the frames that it completes.
   * Returns the error that ended the stream, now or before.
   */
  push(chunk: Uint8Array): FrameTooLarge | undefined {
    if (this.#error !== undefined) return this.#error
    this.#chunk = chunk
    this.#at = 0
    if (this.#have > 0 && !this.#stopped) this.#complete()
    while (!this.#stopped && this.#error === undefined && this.#next()) {}
    // What is left is copied, so that it doesn't keep a large chunk in memory.
    if (this.#error === undefined) this.#save(this.#chunk.length - this.#at)
    this.#chunk = NONE
    this.#at = 0
    return this.#error
  }

  /** Delivers the next frame of the chunk, if it is all there. */
  #next(): boolean {
    const chunk = this.#chunk
    const start = this.#at + HEADER_BYTES
    if (start > chunk.length) return false
    const bytes = this.#length(chunk, this.#at)
    if (bytes > chunk.length - start || this.#error !== undefined) return false
    this.#at = start + bytes
    this.#onFrame(chunk, start, start + bytes)
    return true
  }

  /** Goes on with the frame that began in an earlier chunk. */
  #complete(): void {
    if (this.#have < HEADER_BYTES) this.#save(HEADER_BYTES - this.#have)
    if (this.#have < HEADER_BYTES) return
    const bytes = this.#length(this.#partial, 0)
    if (this.#error !== undefined) return
    this.#save(HEADER_BYTES + bytes - this.#have)
    if (this.#have < HEADER_BYTES + bytes) return
    const frame = this.#partial
    this.#partial = NONE
    this.#have = 0
    this.#onFrame(frame, HEADER_BYTES, HEADER_BYTES + bytes)
  }

  #length(buffer: Uint8Array, at: number): number {
    const low = buffer[at]! | (buffer[at + 1]! << 8) | (buffer[at + 2]! << 16)
    const bytes = (low | (buffer[at + 3]! << 24)) >>> 0
    if (bytes > this.#bytesMax) this.#error = new FrameTooLarge(bytes, this.#bytesMax)
    return bytes
  }

  /** Moves up to `bytes` bytes of the chunk behind those kept of earlier ones. */
  #save(bytes: number): void {
    const count = Math.min(bytes, this.#chunk.length - this.#at)
    if (count === 0) return
    const have = this.#have + count
    if (have > this.#partial.length) {
      const twice = Math.max(this.#partial.length * 2, PARTIAL_BYTES_MIN)
      const grown = new Uint8Array(Math.max(have, Math.min(twice, HEADER_BYTES + this.#bytesMax)))
      grown.set(this.#partial.subarray(0, this.#have))
      this.#partial = grown
    }
    this.#partial.set(this.#chunk.subarray(this.#at, this.#at + count), this.#have)
    this.#have = have
    this.#at += count
  }
}
