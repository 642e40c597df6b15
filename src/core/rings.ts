/**
 * The rings of a cluster: the one of all members that host processes by themselves, and one for each named
 * supervisor, of the members that host it. Which these are the members say themselves, so that everybody
 * computes the same rings, also of supervisors that it has never heard of.
 *
 * A name begins with its supervisor and a colon, or has none. Its slot is a number that says which ring
 * as well: slots of different supervisors are different, and so are the rights to start names in them.
 *
 * @module
 */
import { hash32, mix32 } from "./hash.ts"
import * as Ring from "./ring.ts"

/** A member that hosts processes. */
export interface Host extends Ring.Weighted {
  /** The supervisors whose processes it hosts; the default one is the empty string. Default: only that. */
  readonly hosts?: ReadonlyArray<string>
}

/** An immutable set of hosts. */
export interface Rings {
  /** Everybody who hosts anything, by id. */
  readonly members: ReadonlyArray<Host>
  /** The ring of the default supervisor. */
  readonly main: Ring.Ring
  /** The rings of the others, by {@link number}. */
  readonly named: ReadonlyMap<number, Ring.Ring>
}

const DEFAULT: ReadonlyArray<string> = [""]

/** Slots are below this. */
export const SLOTS_MAX: number = (2 ** 32 + 1) * Ring.SLOTS

/** The rings of these members, in any order. Throws a RangeError as {@link Ring.make} does. */
export function make(members: Iterable<Host>): Rings {
  const sorted = [...members]
    .filter(({ hosts = DEFAULT }) => hosts.length > 0)
    .sort((a, b) => (a.id < b.id ? -1 : 1))
  const main: Array<Host> = []
  const named = new Map<number, Array<Host>>()
  for (const member of sorted) {
    for (const supervisor of member.hosts ?? DEFAULT) {
      const id = number(supervisor)
      if (id === 0) main.push(member)
      else if (named.has(id)) named.get(id)?.push(member)
      else named.set(id, [member])
    }
  }
  return {
    members: sorted,
    main: Ring.make(main),
    named: new Map(Array.from(named, ([id, hosts]) => [id, Ring.make(hosts)])),
  }
}

/** The rings without members. */
export const empty: Rings = make([])

/** Whether this id is a member of any of them. */
export function has({ members }: Rings, id: string): boolean {
  return members.some((member) => member.id === id)
}

/** A uint32 of the sets of members: equal rings have the same one. */
export function signature({ main, named }: Rings): number {
  let hash = Ring.signature(main)
  // In no particular order: the parts are added.
  let sum = 0
  for (const [id, ring] of named) sum = (sum + mix32(id >>> 0, Ring.signature(ring))) >>> 0
  if (named.size > 0) hash = mix32(hash, sum)
  return hash
}

/** The ring of a supervisor. */
export function of({ main, named }: Rings, supervisor: string): Ring.Ring {
  const id = number(supervisor)
  return id === 0 ? main : (named.get(id) ?? Ring.empty)
}

/** What the slots of a supervisor are counted from, divided by the number of slots. */
export function number(supervisor: string): number {
  return supervisor === "" ? 0 : 1 + hash32(supervisor)
}

/** The supervisor of a name: what stands before the colon, if that is before the slash. */
export function supervisorOf(name: string): string {
  const colon = name.lastIndexOf(":", name.indexOf("/"))
  return colon < 0 ? "" : name.slice(0, colon)
}

/** The slot of a name. */
export function slot(name: string): number {
  const supervisor = supervisorOf(name)
  const within = Ring.slot(name)
  return supervisor === "" ? within : number(supervisor) * Ring.SLOTS + within
}

/** The number of a slot's supervisor. */
export function numberOf(slot: number): number {
  return Math.floor(slot / Ring.SLOTS)
}

/** Whether it is the slot of some name. */
export function isSlot(slot: number): boolean {
  return Number.isSafeInteger(slot) && slot >= 0 && slot < SLOTS_MAX
}

/** The member that owns a slot; undefined when nobody hosts its supervisor. */
export function ownerOfSlot(rings: Rings, slot: number): string | undefined {
  const id = numberOf(slot)
  const ring = id === 0 ? rings.main : rings.named.get(id)
  return ring === undefined ? undefined : Ring.ownerOfSlot(ring, slot % Ring.SLOTS)
}

/** The member that owns a name; undefined when nobody hosts its supervisor. */
export function owner(rings: Rings, name: string): string | undefined {
  return ownerOfSlot(rings, slot(name))
}
