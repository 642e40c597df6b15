/**
 * The integer hashes that every node of a cluster computes alike.
 *
 * These functions are **frozen for ever**: placement and digests are compared between nodes of
 * different versions and runtimes. They use 32-bit integer operations only, and golden vectors in the
 * tests pin them down on every runtime. They are not cryptographic.
 *
 * @module
 */

/**
 * The uint32 hash of a string, over its UTF-16 code units (lone surrogates included; no normalization).
 *
 * Each block of 32 bits holds two code units, the first one in the low half; an odd last unit is a
 * block of its own. Blocks are mixed as in MurmurHash3 x86_32 (A. Appleby, public domain; its two
 * multipliers, rotations and addend, seed 0), the length in code units is folded in, and the end is
 * {@link avalanche}. The last block takes part in the whole chain, unlike MurmurHash3's tail.
 */
export function hash32(text: string): number {
  const length = text.length
  const last = length - 1
  let hash = 0
  for (let i = 0; i < length; i += 2) {
    let block = text.charCodeAt(i)
    if (i < last) block |= text.charCodeAt(i + 1) << 16
    block = Math.imul(block, 0xcc9e2d51)
    block = (block << 15) | (block >>> 17)
    hash ^= Math.imul(block, 0x1b873593)
    hash = (hash << 13) | (hash >>> 19)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  return avalanche(hash ^ length)
}

/**
 * The uint32 hash of two uint32, not symmetric. With either argument fixed it is a bijection of the
 * other: unequal values never collide under a common first or second argument.
 */
export function mix32(a: number, b: number): number {
  return avalanche(avalanche(a + GOLDEN) ^ b)
}

/**
 * A bijection of uint32 in which every input bit flips every output bit about half of the time. Zero
 * stays zero. The shifts and multipliers are a two-round set of
 * C. Wellons' hash-prospector (public domain).
 */
export function avalanche(value: number): number {
  let x = value ^ (value >>> 16)
  x = Math.imul(x, 0x21f0aaad)
  x ^= x >>> 15
  x = Math.imul(x, 0x735a2d97)
  return (x ^ (x >>> 15)) >>> 0
}

/**
 * The uint32 after `seed` in one pseudo-random sequence that visits every uint32 once before it
 * repeats: the result is both the random number and the seed of the next call.
 *
 * The sequence is SplitMix's (Steele, Lea, Flood 2014: a Weyl counter, avalanched), with the counter
 * recovered from the previous output; iterating the avalanche itself could fall into a short cycle.
 */
export function splitmix(seed: number): number {
  return avalanche(settle(seed) + GOLDEN)
}

/** The inverse of {@link avalanche}, as int32: its steps undone in reverse order. */
function settle(value: number): number {
  let x = value ^ (value >>> 15) ^ (value >>> 30)
  x = Math.imul(x, 0x97132227) // 0x97132227 * 0x735a2d97 = 1 (mod 2^32)
  x ^= (x >>> 15) ^ (x >>> 30)
  x = Math.imul(x, 0x333c4925) // 0x333c4925 * 0x21f0aaad = 1 (mod 2^32)
  return x ^ (x >>> 16)
}

/** 2^32 divided by the golden ratio, odd: the step of the Weyl counter. */
const GOLDEN = 0x9e3779b9
