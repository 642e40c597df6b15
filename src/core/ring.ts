/**
 * Which member owns a key: weighted rendezvous hashing over a fixed number of slots.
 *
 * A key hashes to one of {@link SLOTS} slots; in every slot the members are ranked by a score that
 * depends on the slot and the member alone (highest random weight: Thaler and Ravishankar 1998), and
 * rank 1 owns the slot. So ownership is a function of the *set* of members, never of the order in
 * which they came. A member that leaves hands each of its slots to that slot's rank 2 and moves
 * nothing else; one that joins only takes. A weight of w means w draws, of which the best one counts:
 * shares are proportional to weights, with integers only. Equal scores go to the lower id.
 *
 * Slots and scores are **frozen for ever**, like the hashes that they are made of.
 *
 * A ring is an immutable value. Its table of owners (768 KB) is made at the first lookup, from an
 * earlier ring's where there is one, so that a ring nobody asks costs only its list of members.
 *
 * @example
 * ```ts
 * import * as Ring from "skein/ring"
 *
 * const ring = Ring.make([{ id: "a", weight: 1 }, { id: "b", weight: 2 }])
 * const owner = Ring.owner(ring, "order-17") // "a" or "b"
 * const [first, second] = Ring.owners(ring, "order-17", 2) // first === owner; second takes over
 * ```
 *
 * @module
 */
import { hash32, mix32 } from "./hash.ts"
import type { Draws, Table, Weighted } from "./slots.ts"
import * as Slots from "./slots.ts"

export { SLOTS, type Weighted } from "./slots.ts"

/** The heaviest weight of a member. */
export const WEIGHT_MAX = 64

/** The largest number of members of a ring. */
export const MEMBERS_MAX: number = Slots.NOBODY

/** A set of weighted members, made by this module only; `members` are sorted by id (code units). */
export interface Ring {
  readonly members: ReadonlyArray<Weighted>
}

/**
 * The ring of these members, in any order. An id given twice counts once, with its greatest weight.
 * Throws a RangeError on an empty id, a weight out of range or too many members.
 */
export function make(members: Iterable<Weighted>): Ring {
  const weights = new Map<string, number>()
  for (const { id, weight } of members) {
    check(id, weight)
    weights.set(id, Math.max(weight, weights.get(id) ?? 0))
  }
  const sorted = Array.from(weights, ([id, weight]) => ({ id, weight }))
  return new Value(sorted.sort((a, b) => (a.id < b.id ? -1 : 1)))
}

/**
 * The ring with this member too, or with its weight replaced (default 1); the same ring when nothing
 * changes. Throws a RangeError as {@link make} does.
 */
export function add(ring: Ring, id: string, weight: number = 1): Ring {
  check(id, weight)
  const at = find(ring.members, id)
  const there = ring.members[at]?.id === id
  if (there && ring.members[at]?.weight === weight) return ring
  const members = ring.members.slice()
  members.splice(at, there ? 1 : 0, { id, weight })
  return new Value(members, ring as Value)
}

/** The ring without this member; the same ring when it has no such member. */
export function remove(ring: Ring, id: string): Ring {
  if (!has(ring, id)) return ring
  const members = ring.members.filter((member) => member.id !== id)
  return new Value(members, ring as Value)
}

/** Whether this id is a member. */
export function has(ring: Ring, id: string): boolean {
  return ring.members[find(ring.members, id)]?.id === id
}

/** The number of members. */
export function size(ring: Ring): number {
  return ring.members.length
}

/** A uint32 of the set of (id, weight): rings with the same members have the same one. */
export function signature(ring: Ring): number {
  let hash = ring.members.length
  for (const { id, weight } of ring.members) hash = mix32(hash, mix32(hash32(id), weight))
  return hash
}

/** The slot of a key, from 0 to {@link SLOTS} - 1. Any string is a key. */
export function slot(key: string): number {
  return hash32(key) >>> Slots.SLOT_SHIFT
}

/** The member that owns a key; undefined when the ring is empty. */
export function owner(ring: Ring, key: string): string | undefined {
  const table = (ring as Value).table()
  return table.members[table.owners[hash32(key) >>> Slots.SLOT_SHIFT]!]?.id
}

/** The member that owns a slot; undefined when the ring is empty. Throws a RangeError on no slot. */
export function ownerOfSlot(ring: Ring, slot: number): string | undefined {
  checkSlot(slot)
  const table = (ring as Value).table()
  return table.members[table.owners[slot]!]?.id
}

/**
 * The first `count` members of a key's ranking, or all of them when there are fewer: distinct, the
 * owner first. Each is who owns the key once those before it have left.
 */
export function owners(ring: Ring, key: string, count: number): ReadonlyArray<string> {
  return ownersOfSlot(ring, hash32(key) >>> Slots.SLOT_SHIFT, count)
}

/** As {@link owners}, for a slot. Throws a RangeError on a number that is no slot. */
export function ownersOfSlot(ring: Ring, slot: number, count: number): ReadonlyArray<string> {
  checkSlot(slot)
  const length = Math.floor(Math.min(count, ring.members.length))
  if (!(length >= 1)) return []
  const ids: Array<string> = []
  for (const index of Slots.rank((ring as Value).draws(), slot, length)) {
    ids.push(ring.members[index]!.id)
  }
  return ids
}

/** What a ring is; the private fields only remember what can be computed from the members. */
class Value implements Ring {
  readonly members: ReadonlyArray<Weighted>
  #draws: Draws | undefined
  #table: Table | undefined
  #earlier: Table | undefined

  constructor(members: ReadonlyArray<Weighted>, from?: Value) {
    if (members.length > MEMBERS_MAX) throw new RangeError(`more than ${MEMBERS_MAX} ring members`)
    this.members = members
    this.#earlier = from === undefined ? undefined : (from.#table ?? from.#earlier)
  }

  draws(): Draws {
    this.#draws ??= Slots.draw(this.members)
    return this.#draws
  }

  table(): Table {
    return this.#table ?? this.#tabulate()
  }

  #tabulate(): Table {
    let table = recent.find(({ members }) => same(members, this.members))
    if (table === undefined) {
      table = Slots.tabulate(this.members, this.draws(), this.#earlier)
      recent.unshift(table)
      recent.length = Math.min(recent.length, RECENT_MAX)
    }
    this.#table = table
    this.#earlier = undefined
    return table
  }
}

/** The ring without members. */
export const empty: Ring = new Value([])

/**
 * The last tables made. Nodes that live in one program (a simulation, tests) see the same members
 * and so share them; no result depends on it.
 */
const recent: Array<Table> = []
const RECENT_MAX = 4

/** Whether two sorted lists hold the same members. */
function same(a: ReadonlyArray<Weighted>, b: ReadonlyArray<Weighted>): boolean {
  if (a.length !== b.length) return false
  return a.every((member, i) => member.id === b[i]!.id && member.weight === b[i]!.weight)
}

/** The index of an id among sorted members, or where it would be. */
function find(members: ReadonlyArray<Weighted>, id: string): number {
  let low = 0
  let high = members.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (members[middle]!.id < id) low = middle + 1
    else high = middle
  }
  return low
}

function check(id: string, weight: number): void {
  if (id === "") throw new RangeError("the id of a ring member is empty")
  if (!Number.isInteger(weight) || weight < 1 || weight > WEIGHT_MAX) {
    throw new RangeError(`weight ${weight} of ring member ${id} is not an integer from 1 to 64`)
  }
}

function checkSlot(slot: number): void {
  if (slot >>> 0 !== slot || slot >= Slots.SLOTS) throw new RangeError(`${slot} is not a ring slot`)
}
