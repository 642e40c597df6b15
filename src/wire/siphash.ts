/**
 * SipHash-2-4: a keyed hash of 64 bits, for messages of any length, that nobody without the key can compute.
 *
 * By Jean-Philippe Aumasson and Daniel J. Bernstein: "SipHash: a fast short-input PRF" (2012). Its 64-bit words are
 * kept as two halves each, as numbers here have 32 bits for such work.
 *
 * @module
 */

/** Bytes of a key. */
export const KEY_BYTES: number = 16

/** The carry of `a + b = sum` in 32 bits, without a branch: half of all guesses would be wrong. */
function carry(a: number, b: number, sum: number): number {
  return ((a & b) | ((a | b) & ~sum)) >>> 31
}

/** Computes hashes with one key; the last one is in `low` and `high`. */
export class SipHash {
  /** The lower half of the last hash, as an int32. */
  low = 0
  /** The upper half of the last hash, as an int32. */
  high = 0
  readonly #key0: number
  readonly #key1: number
  readonly #key2: number
  readonly #key3: number

  /** The key is the first {@link KEY_BYTES} of `key`. */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, KEY_BYTES)
    this.#key0 = view.getInt32(0, true)
    this.#key1 = view.getInt32(4, true)
    this.#key2 = view.getInt32(8, true)
    this.#key3 = view.getInt32(12, true)
  }

  /** Hashes `first`, as eight bytes, and the bytes of `buffer` from `start` to before `end`. */
  hash(first: number, buffer: Uint8Array, start: number, end: number): void {
    let al = 0x70736575 ^ this.#key0
    let ah = 0x736f6d65 ^ this.#key1
    let bl = 0x6e646f6d ^ this.#key2
    let bh = 0x646f7261 ^ this.#key3
    let cl = 0x6e657261 ^ this.#key0
    let ch = 0x6c796765 ^ this.#key1
    let dl = 0x79746573 ^ this.#key2
    let dh = 0x74656462 ^ this.#key3
    let ml = first | 0
    let mh = Math.floor(first / 2 ** 32) | 0
    const whole = start + ((end - start) & ~7)
    const length = end - start + 8
    let at = start - 8
    let rounds = 2
    for (;;) {
      dl ^= ml
      dh ^= mh
      for (let round = 0; round < rounds; round++) {
        let sum = (al + bl) | 0
        ah = (ah + bh + carry(al, bl, sum)) | 0
        al = sum
        let left = (bl << 13) | (bh >>> 19)
        bh = ((bh << 13) | (bl >>> 19)) ^ ah
        bl = left ^ al
        left = al
        al = ah
        ah = left
        sum = (cl + dl) | 0
        ch = (ch + dh + carry(cl, dl, sum)) | 0
        cl = sum
        left = (dl << 16) | (dh >>> 16)
        dh = ((dh << 16) | (dl >>> 16)) ^ ch
        dl = left ^ cl
        sum = (al + dl) | 0
        ah = (ah + dh + carry(al, dl, sum)) | 0
        al = sum
        left = (dl << 21) | (dh >>> 11)
        dh = ((dh << 21) | (dl >>> 11)) ^ ah
        dl = left ^ al
        sum = (cl + bl) | 0
        ch = (ch + bh + carry(cl, bl, sum)) | 0
        cl = sum
        left = (bl << 17) | (bh >>> 15)
        bh = ((bh << 17) | (bl >>> 15)) ^ ch
        bl = left ^ cl
        left = cl
        cl = ch
        ch = left
      }
      if (rounds === 4) break
      al ^= ml
      ah ^= mh
      at += 8
      if (at < whole) {
        ml =
          buffer[at]! | (buffer[at + 1]! << 8) | (buffer[at + 2]! << 16) | (buffer[at + 3]! << 24)
        mh =
          buffer[at + 4]! |
          (buffer[at + 5]! << 8) |
          (buffer[at + 6]! << 16) |
          (buffer[at + 7]! << 24)
      } else if (at === whole) {
        ml = 0
        mh = length << 24
        for (let i = at; i < end; i++) {
          const shift = (i - at) * 8
          if (shift < 32) ml |= buffer[i]! << shift
          else mh |= buffer[i]! << (shift - 32)
        }
      } else {
        // The end: its four rounds take no more of the message.
        rounds = 4
        ml = 0
        mh = 0
        cl ^= 0xff
      }
    }
    this.low = al ^ bl ^ cl ^ dl
    this.high = ah ^ bh ^ ch ^ dh
  }
}
