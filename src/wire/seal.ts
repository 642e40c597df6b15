/**
 * Seals on what two nodes say after their handshake, so that nobody on the way can change, repeat, leave out or
 * make up any of it: they would only end the connection.
 *
 * What one side writes in one go is cut into records, each a frame of its own in the sense of `frame.ts`:
 *
 * ```text
 * length, u32 │ tag, 8 bytes: SipHash-2-4(key, number of the record, content) │ content, up to 64 KiB
 * ```
 *
 * The contents of all records together are the stream of frames. Each direction has a key of its own, which both
 * sides derive from the cookie and what they said in the handshake (see `handshake.ts`); it never travels. Numbers
 * count from 0 and don't travel either. This is no encryption: what is said can be read.
 *
 * @module
 */
import { Writer } from "./bytes.ts"
import * as Frame from "./frame.ts"
import { KEY_BYTES, SipHash } from "./siphash.ts"

/** The keys of one connection. */
export interface Keys {
  /** For what this side writes. */
  readonly out: Uint8Array
  /** For what this side reads. */
  readonly in: Uint8Array
}

/** The most bytes of a record's content. */
export const RECORD_BYTES_MAX: number = 64 * 1024

const TAG_BYTES = 8
const OVERHEAD_BYTES = Frame.HEADER_BYTES + TAG_BYTES

/** Seals what is written. */
export class Sealer {
  readonly #hash: SipHash
  readonly #writer: Writer = new Writer(16 * 1024)
  #record = 0

  constructor(key: Uint8Array) {
    this.#hash = new SipHash(key)
  }

  /** What goes over the connection in the place of `bytes`. */
  seal(bytes: Uint8Array): Uint8Array {
    const writer = this.#writer
    writer.reserve(bytes.length + Math.ceil(bytes.length / RECORD_BYTES_MAX) * OVERHEAD_BYTES)
    for (let start = 0; start < bytes.length; start += RECORD_BYTES_MAX) {
      const end = Math.min(start + RECORD_BYTES_MAX, bytes.length)
      const at = Frame.begin(writer)
      this.#hash.hash(this.#record++, bytes, start, end)
      writer.u32(this.#hash.low)
      writer.u32(this.#hash.high)
      writer.raw(bytes.subarray(start, end))
      Frame.end(writer, at)
    }
    return writer.take()
  }
}

/** Breaks the seals of what comes, if they are whole. */
export class Unsealer {
  readonly #hash: SipHash
  readonly #records: Frame.Deframer
  readonly #content: (bytes: Uint8Array) => void
  #record = 0
  #broken = false

  /** `content` gets what was sealed, as it comes. */
  constructor(key: Uint8Array, content: (bytes: Uint8Array) => void) {
    this.#hash = new SipHash(key)
    this.#content = content
    this.#records = new Frame.Deframer(RECORD_BYTES_MAX + TAG_BYTES, (buffer, start, end) =>
      this.#open(buffer, start, end),
    )
  }

  /**
   * Takes the next chunk of the connection, which must not change any more. False when a seal was broken, now or
   * before: nothing from there on was sent by the peer, and nothing of it is delivered.
   */
  push(chunk: Uint8Array): boolean {
    if (this.#broken) return false
    if (this.#records.push(chunk) !== undefined) this.#broken = true
    return !this.#broken
  }

  #open(buffer: Uint8Array, start: number, end: number): void {
    const at = start + TAG_BYTES
    if (this.#broken) return
    // An empty record would cost its reader more than its writer.
    if (at >= end) return this.#break()
    this.#hash.hash(this.#record++, buffer, at, end)
    const { low, high } = this.#hash
    let difference = 0
    for (let i = 0; i < 4; i++) {
      difference |= buffer[start + i]! ^ ((low >>> (8 * i)) & 0xff)
      difference |= buffer[start + 4 + i]! ^ ((high >>> (8 * i)) & 0xff)
    }
    if (difference !== 0) return this.#break()
    this.#content(buffer.subarray(at, end))
  }

  #break(): void {
    this.#broken = true
    this.#records.stop()
  }
}

/** The keys that a secret of twice {@link KEY_BYTES} gives, for the side that dialled or the one that was. */
export function keys(secret: Uint8Array, side: "dialler" | "acceptor"): Keys {
  const [dialler, acceptor] = [secret.slice(0, KEY_BYTES), secret.slice(KEY_BYTES, 2 * KEY_BYTES)]
  return side === "dialler" ? { out: dialler, in: acceptor } : { out: acceptor, in: dialler }
}
