/**
 * The slot tables behind a ring: who has the best score in each slot (see `ring.ts` for the scheme).
 *
 * @module
 */
import { avalanche, hash32, mix32 } from "./hash.ts"

/** A key's slot is what remains of its 32-bit hash after a shift to the right by this much. */
export const SLOT_SHIFT = 15

/** How many slots a ring has, 2^17. A constant of the cluster: another number would move every key. */
export const SLOTS: number = 2 ** (32 - SLOT_SHIFT)

/** A member and its weight: an integer from 1 to 64, its share relative to the others'. */
export interface Weighted {
  readonly id: string
  readonly weight: number
}

/** Draws of some members: each one's index among the members, and its two seeds. */
export interface Draws {
  /** Ascending: the draws of one member are neighbours. */
  readonly holders: Uint32Array
  readonly seeds: Int32Array
  readonly spreads: Int32Array
}

/** Rank 1 of every slot: its index in `members` (beyond the end when there are none), its score. */
export interface Table {
  /** Sorted by id. */
  readonly members: ReadonlyArray<Weighted>
  readonly owners: Uint16Array
  readonly scores: Int32Array
}

/** Instead of an index: nobody. So a table has at most this many members. */
export const NOBODY = 65535

/**
 * The table of these members (sorted by id) and their draws. It is made from an earlier table, of any
 * members, where that is cheaper: slots whose owner is gone are ranked anew, in the others only the
 * members that are new compete with the owner. The result is the same either way.
 */
export function tabulate(
  members: ReadonlyArray<Weighted>,
  draws: Draws,
  earlier: Table | undefined,
): Table {
  const owners = new Uint16Array(SLOTS).fill(NOBODY)
  const scores = new Int32Array(SLOTS).fill(LOWEST)
  const table = { members, owners, scores }
  const change = earlier === undefined ? undefined : compare(earlier.members, members)
  if (earlier === undefined || change === undefined || change.cost >= members.length) {
    for (let slot = 0; slot < SLOTS; slot++) compete(table, slot, draws)
    return table
  }
  const { indexes } = change
  const fresh = draw(members, change.fresh)
  for (let slot = 0; slot < SLOTS; slot++) {
    const index = indexes[earlier.owners[slot]!] ?? NOBODY
    if (index === NOBODY) {
      compete(table, slot, draws)
    } else {
      owners[slot] = index
      scores[slot] = earlier.scores[slot]!
      compete(table, slot, fresh)
    }
  }
  return table
}

/** Less than or equal to every score. */
const LOWEST = -2147483648

/** What differs between two lists of members, both sorted by id. */
interface Change {
  /** For each earlier member its index now; NOBODY when it is gone or has another weight. */
  readonly indexes: Uint16Array
  /** The members that are new, or have another weight. */
  readonly fresh: ReadonlyArray<number>
  /** How many members' scores an update computes per slot, about; making anew takes them all. */
  readonly cost: number
}

function compare(earlier: ReadonlyArray<Weighted>, members: ReadonlyArray<Weighted>): Change {
  const indexes = new Uint16Array(earlier.length).fill(NOBODY)
  const fresh: Array<number> = []
  let at = 0
  for (const [index, { id, weight }] of members.entries()) {
    while (at < earlier.length && earlier[at]!.id < id) at++
    if (earlier[at]?.id === id && earlier[at]?.weight === weight) indexes[at] = index
    else fresh.push(index)
  }
  const gone = earlier.length - (members.length - fresh.length)
  const cost = fresh.length + (gone * members.length) / Math.max(earlier.length, 1)
  return { indexes, fresh, cost }
}

/** Lets these draws compete with the owner of a slot. Among equal scores the lower id wins. */
function compete(table: Table, slot: number, { holders, seeds, spreads }: Draws): void {
  const place = avalanche(slot)
  let owner = table.owners[slot]!
  let best = table.scores[slot]!
  for (let i = 0; i < holders.length; i++) {
    const rival = score(place, seeds[i]!, spreads[i]!)
    if (rival < best || (rival === best && holders[i]! > owner)) continue
    owner = holders[i]!
    best = rival
  }
  table.owners[slot] = owner
  table.scores[slot] = best
}

/**
 * The first `count` (an integer from 1) indexes of members in a slot's ranking; all of them when there
 * are fewer. Rank 1 is the owner that a table has.
 */
export function rank({ holders, seeds, spreads }: Draws, slot: number, count: number): Uint32Array {
  const top = new Uint32Array(count)
  const scores = new Int32Array(count)
  const place = avalanche(slot)
  let ranked = 0
  for (let i = 0; i < holders.length; ) {
    const holder = holders[i]!
    let best = LOWEST
    for (; i < holders.length && holders[i] === holder; i++) {
      best = Math.max(best, score(place, seeds[i]!, spreads[i]!))
    }
    if (ranked === count && best <= scores[count - 1]!) continue
    // Insertion from below. Holders come by id, so an equal score stays behind the lower id's.
    let at = ranked < count ? ranked++ : count - 1
    for (; at > 0 && best > scores[at - 1]!; at--) {
      scores[at] = scores[at - 1]!
      top[at] = top[at - 1]!
    }
    scores[at] = best
    top[at] = holder
  }
  return top.subarray(0, ranked)
}

/** The score of one draw in one slot, as int32: the greatest is the best. */
function score(place: number, seed: number, spread: number): number {
  return avalanche(Math.imul(place ^ seed, spread)) | 0
}

/**
 * The draws of these members, or of the given ones among them (ascending). Two hashes of an id make
 * them, so that ids which collide in one (32 bits are few) still have scores of their own. A space in
 * front pairs the code units of the id differently: the hashes collide independently.
 */
export function draw(
  members: ReadonlyArray<Weighted>,
  indexes: Iterable<number> = members.keys(),
): Draws {
  const holders: Array<number> = []
  const seeds: Array<number> = []
  const spreads: Array<number> = []
  for (const index of indexes) {
    const { id, weight } = members[index]!
    const first = hash32(id)
    const second = hash32(` ${id}`)
    for (let turn = 0; turn < weight; turn++) {
      holders.push(index)
      seeds.push(mix32(first, turn))
      spreads.push(mix32(second, turn) | 1)
    }
  }
  return {
    holders: Uint32Array.from(holders),
    seeds: Int32Array.from(seeds),
    spreads: Int32Array.from(spreads),
  }
}
