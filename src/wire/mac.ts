/**
 * The codes by which two nodes know that what comes is what the other one said: of the host's own crypto where it
 * answers at once, else our own.
 *
 * @module
 */
import { KEY_BYTES, SipHash } from "./siphash.ts"

/** An algorithm. Both sides of a connection use the same one. */
export type Algorithm = "gmac" | "siphash"

/** Computes codes with one key. */
export interface Mac {
  /** Bytes of a code. */
  readonly bytes: number
  /**
   * The code of the bytes of `buffer` from `start` to before `end`, which are the record of this number; it changes
   * with the next one. No number may come twice.
   */
  compute(record: number, buffer: Uint8Array, start: number, end: number): Uint8Array
}

/** One of an algorithm that this host has. */
export function make(algorithm: Algorithm, key: Uint8Array): Mac {
  return algorithm === "gmac" ? new Gmac(key) : new Sip(key)
}

/** Whether this host has GMAC, and computes it at once. Browsers don't. */
export function fast(): boolean {
  return crypto !== undefined
}

class Sip implements Mac {
  readonly bytes = 8
  readonly #hash: SipHash
  readonly #code: Uint8Array = new Uint8Array(8)
  readonly #view: DataView = new DataView(this.#code.buffer)

  constructor(key: Uint8Array) {
    this.#hash = new SipHash(key)
  }

  compute(record: number, buffer: Uint8Array, start: number, end: number): Uint8Array {
    this.#hash.hash(record, buffer, start, end)
    this.#view.setInt32(0, this.#hash.low, true)
    this.#view.setInt32(4, this.#hash.high, true)
    return this.#code
  }
}

/** AES-128-GCM of nothing, with the bytes as additional data and the number as nonce: NIST SP 800-38D. */
class Gmac implements Mac {
  readonly bytes = 16
  readonly #key: Uint8Array
  readonly #nonce: Uint8Array = new Uint8Array(12)
  readonly #view: DataView = new DataView(this.#nonce.buffer)

  constructor(key: Uint8Array) {
    this.#key = key.slice(0, KEY_BYTES)
  }

  compute(record: number, buffer: Uint8Array, start: number, end: number): Uint8Array {
    if (crypto === undefined) throw new Error("BUG: this host has no GMAC")
    this.#view.setUint32(0, record >>> 0, true)
    this.#view.setUint32(4, Math.floor(record / 2 ** 32), true)
    const cipher = crypto.createCipheriv("aes-128-gcm", this.#key, this.#nonce)
    cipher.setAAD(buffer.subarray(start, end))
    cipher.final()
    return cipher.getAuthTag()
  }
}

/** What is used of `node:crypto`. */
interface Crypto {
  createCipheriv(
    algorithm: "aes-128-gcm",
    key: Uint8Array,
    nonce: Uint8Array,
  ): { setAAD(bytes: Uint8Array): unknown; final(): unknown; getAuthTag(): Uint8Array }
}

/** (Not imported, so that browsers load nothing for it.) */
const crypto: Crypto | undefined = (
  globalThis as { process?: { getBuiltinModule?: (id: string) => Crypto | undefined } }
).process?.getBuiltinModule?.("node:crypto")
