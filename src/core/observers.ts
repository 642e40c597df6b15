/**
 * Who observes whom, as a function of the set of members alone.
 *
 * In a small cluster everybody observes everybody. In a larger one the members are arranged in several
 * rings, each in an order of its own that everybody computes alike, and a member is observed by its
 * predecessor in each: the expander monitoring overlay of Rapid (Suresh et al. 2018).
 *
 * @module
 */
import { compare } from "./claim.ts"
import { hash32, mix32 } from "./hash.ts"

/** Up to this many members observe each other. */
export const EVERYBODY_MAX: number = 9
/** In a larger cluster, the number of rings: no member has more observers. */
export const OBSERVERS_MAX: number = 8

/**
 * The observers of a member, sorted. `view` are the cluster's members, distinct and in any order, the
 * member itself among them or not.
 */
export function observersOf(view: ReadonlyArray<string>, member: string): ReadonlyArray<string> {
  const others = view.filter((name) => name !== member)
  if (others.length < EVERYBODY_MAX) return others.sort(compare)
  const hashes = others.map(hash32)
  const own = hash32(member)
  const observers = new Set<string>()
  for (let ring = 0; ring < OBSERVERS_MAX; ring++) {
    observers.add(predecessor(others, hashes, ring, member, own))
  }
  return [...observers].sort(compare)
}

/** Another member, and the hash of its name: what places it on the rings. */
interface Placed {
  readonly name: string
  readonly place: number
}

/** Whom a member observes, among the others of its view: those of whom it is an observer. */
export function subjectsOf<A extends Placed>(others: ReadonlyArray<A>, self: string): Set<A> {
  if (others.length < EVERYBODY_MAX) return new Set(others)
  const own = hash32(self)
  const subjects = new Set<A>()
  for (let ring = 0; ring < OBSERVERS_MAX; ring++) subjects.add(successor(others, ring, self, own))
  return subjects
}

/** The least of the others above the member in this ring; at its end, the least of all. */
function successor<A extends Placed>(
  others: ReadonlyArray<A>,
  ring: number,
  member: string,
  own: number,
): A {
  const place = mix32(own, ring)
  let best = others[0] as A
  let bestPlace = 0
  let bestAbove = false
  for (let i = 0; i < others.length; i++) {
    const other = others[i] as A
    const at = mix32(other.place, ring)
    const above = at > place || (at === place && other.name > member)
    const less = at < bestPlace || (at === bestPlace && other.name < best.name)
    if (i > 0 && (bestAbove === above ? !less : bestAbove)) continue
    best = other
    bestPlace = at
    bestAbove = above
  }
  return best
}

/** The greatest of the others below the member in this ring; at its start, the greatest of all. */
function predecessor(
  others: ReadonlyArray<string>,
  hashes: ReadonlyArray<number>,
  ring: number,
  member: string,
  own: number,
): string {
  const place = mix32(own, ring)
  let best = -1
  let bestPlace = 0
  let bestBelow = false
  for (let i = 0; i < others.length; i++) {
    const name = others[i] as string
    const at = mix32(hashes[i] as number, ring)
    const below = at < place || (at === place && name < member)
    const greater = at > bestPlace || (at === bestPlace && name > (others[best] ?? ""))
    if (best >= 0 && (bestBelow === below ? !greater : bestBelow)) continue
    best = i
    bestPlace = at
    bestBelow = below
  }
  return others[best] as string
}
