/**
 * Seals on what two nodes say after their handshake, so that nobody on the way can change, repeat, leave out or
 * make up any of it: they would only end the connection.
 *
 * What one side writes in one go is cut into records, each a frame of its own in the sense of `frame.ts`:
 *
 * ```text
 * length, u32 │ code of the record's number and content: see mac.ts │ content, up to 64 KiB
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
import * as Mac from "./mac.ts"
import * as Proof from "./proof.ts"
import { KEY_BYTES } from "./siphash.ts"

/** How one connection is sealed. */
export interface Keys {
  readonly algorithm: Mac.Algorithm
  /** For what this side writes. */
  readonly out: Uint8Array
  /** For what this side reads. */
  readonly in: Uint8Array
}

/** The most bytes of a record's content. */
export const RECORD_BYTES_MAX: number = 64 * 1024

/** Seals what is written. */
export class Sealer {
  readonly #mac: Mac.Mac
  readonly #writer: Writer = new Writer(16 * 1024)
  #record = 0

  constructor(keys: Keys) {
    this.#mac = Mac.make(keys.algorithm, keys.out)
  }

  /** What goes over the connection in the place of `bytes`. */
  seal(bytes: Uint8Array): Uint8Array {
    const writer = this.#writer
    const records = Math.ceil(bytes.length / RECORD_BYTES_MAX)
    writer.reserve(bytes.length + records * (Frame.HEADER_BYTES + this.#mac.bytes))
    for (let start = 0; start < bytes.length; start += RECORD_BYTES_MAX) {
      const end = Math.min(start + RECORD_BYTES_MAX, bytes.length)
      const at = Frame.begin(writer)
      writer.raw(this.#mac.compute(this.#record++, bytes, start, end))
      writer.raw(bytes.subarray(start, end))
      Frame.end(writer, at)
    }
    return writer.take()
  }
}

/** Breaks the seals of what comes, if they are whole. */
export class Unsealer {
  readonly #mac: Mac.Mac
  readonly #records: Frame.Deframer
  readonly #content: (bytes: Uint8Array) => void
  #record = 0
  #broken = false

  /** `content` gets what was sealed, as it comes. */
  constructor(keys: Keys, content: (bytes: Uint8Array) => void) {
    this.#mac = Mac.make(keys.algorithm, keys.in)
    this.#content = content
    this.#records = new Frame.Deframer(RECORD_BYTES_MAX + this.#mac.bytes, (buffer, start, end) =>
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
    const at = start + this.#mac.bytes
    if (this.#broken) return
    // An empty record would cost its reader more than its writer.
    if (at >= end) return this.#break()
    const code = this.#mac.compute(this.#record++, buffer, at, end)
    if (!Proof.equal(code, buffer.subarray(start, at))) return this.#break()
    this.#content(buffer.subarray(at, end))
  }

  #break(): void {
    this.#broken = true
    this.#records.stop()
  }
}

/** The keys that a secret of twice {@link KEY_BYTES} gives, for the side that dialled or the one that was. */
export function keys(
  secret: Uint8Array,
  side: "dialler" | "acceptor",
  algorithm: Mac.Algorithm,
): Keys {
  const [dialler, acceptor] = [secret.slice(0, KEY_BYTES), secret.slice(KEY_BYTES, 2 * KEY_BYTES)]
  return side === "dialler"
    ? { algorithm, out: dialler, in: acceptor }
    : { algorithm, out: acceptor, in: dialler }
}
