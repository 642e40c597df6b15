/**
 * Chances: uniform numbers that depend on the seed and on what they are for, never on how many were
 * drawn before. Where a stream of random numbers is shared, one event less shifts the fate of all the
 * others; here each keeps its own, so that a fault can be taken out of a failing run and the rest of
 * the run stays as it was.
 *
 * @module
 */
import { hash32, mix32 } from "../../core/hash.ts"

/** What a chance is for: the hash of its name. */
export type Purpose = number

/** Names a purpose. */
export function purpose(name: string): Purpose {
  return hash32(name)
}

/** A uint32 that is the same for the same seed, purpose, pair and number. */
export function draw(seed: number, what: Purpose, a: number, b: number, n: number): number {
  return mix32(mix32(mix32(mix32(seed, what), a), b), n)
}

/** An integer from 0 to below `bound`, which is at most 2^31. */
export function below(
  seed: number,
  what: Purpose,
  a: number,
  b: number,
  n: number,
  bound: number,
): number {
  return bound <= 1 ? 0 : draw(seed, what, a, b, n) % bound
}

/** Whether something of so many parts per million happens. */
export function happens(
  seed: number,
  what: Purpose,
  a: number,
  b: number,
  n: number,
  ppm: number,
): boolean {
  return ppm > 0 && draw(seed, what, a, b, n) % 1_000_000 < ppm
}
