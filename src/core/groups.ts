/**
 * Groups: which processes, and which nodes themselves, are members of what. Derived from the same tables
 * as names; but there is no winner, everybody who joined is a member.
 *
 * A key is routed to the online member that ranks first for it (highest random weight: Thaler and
 * Ravishankar 1998): members rank by their process's name, so a key changes its member only when that goes,
 * or one comes that ranks higher. The name of a process that moves to another node stays, and its keys too.
 *
 * @module
 */
import { hash32 } from "./hash.ts"
import * as Slots from "./slots.ts"
import type { Membership, Table } from "./table.ts"

export type { Membership } from "./table.ts"

/** The members of one group, and what is derived from them until one comes or goes. */
interface Group {
  /** By time, owner and process. */
  members: Array<Membership>
  /** Of large groups: members by owner and process. */
  places: Map<string, Membership> | undefined
  online: ReadonlyArray<Membership> | undefined
  draws: Slots.Draws | undefined
}

/** All groups that have members. */
export type Groups = Map<string, Group>

const NONE: ReadonlyArray<Membership> = []
/** Smaller groups are searched from end to end. */
const LARGE = 16

/** No groups. */
export function make(): Groups {
  return new Map()
}

/** The members of a group on live nodes, by the time they joined. Don't change it. */
export function members(groups: Groups, group: string): ReadonlyArray<Membership> {
  return groups.get(group)?.members ?? NONE
}

/** Those of them that are online. */
export function online(groups: Groups, group: string): ReadonlyArray<Membership> {
  const found = groups.get(group)
  if (found === undefined) return NONE
  found.online ??= found.members.every((member) => member.online)
    ? found.members.slice()
    : found.members.filter((member) => member.online)
  return found.online
}

/** The membership of a process, or of a node itself (`pid` 0). */
export function find(
  groups: Groups,
  group: string,
  owner: string,
  pid: number,
): Membership | undefined {
  const found = groups.get(group)
  if (found === undefined) return undefined
  if (found.places !== undefined) return found.places.get(placeOf(owner, pid))
  return found.members.find((member) => member.table.owner === owner && member.pid === pid)
}

/** The first `count` online members for a key: distinct, or all of them when there are fewer. */
export function rank(
  groups: Groups,
  group: string,
  key: string,
  count: number,
): ReadonlyArray<Membership> {
  const candidates = online(groups, group)
  const length = Math.floor(Math.min(count, candidates.length))
  if (!(length >= 1)) return NONE
  const found = groups.get(group) as Group
  // Ties go to whoever joined first.
  found.draws ??= Slots.draw(candidates.map((member) => ({ id: idOf(member), weight: 1 })))
  const ranked: Array<Membership> = []
  for (const index of Slots.rank(found.draws, hash32(key), length)) {
    ranked.push(candidates[index] as Membership)
  }
  return ranked
}

/** The names of all groups that have members, in no particular order. */
export function all(groups: Groups): Iterable<string> {
  return groups.keys()
}

/** Enters a membership, in place of the same one's earlier state, which is returned. */
export function insert(groups: Groups, membership: Membership): Membership | undefined {
  const { group, table, pid } = membership
  const found = groups.get(group)
  if (found === undefined) {
    groups.set(group, {
      members: [membership],
      places: undefined,
      online: undefined,
      draws: undefined,
    })
    return undefined
  }
  const before = find(groups, group, table.owner, pid)
  if (before !== undefined) cut(found, before)
  found.members.splice(indexOf(found.members, membership), 0, membership)
  if (found.places === undefined && found.members.length >= LARGE) {
    found.places = new Map(found.members.map((each) => [placeOf(each.table.owner, each.pid), each]))
  } else found.places?.set(placeOf(table.owner, pid), membership)
  forget(found)
  return before
}

/** Takes a membership out; what it was, or undefined when there is none. */
export function remove(
  groups: Groups,
  group: string,
  owner: string,
  pid: number,
): Membership | undefined {
  const before = find(groups, group, owner, pid)
  if (before === undefined) return undefined
  const found = groups.get(group) as Group
  cut(found, before)
  found.places?.delete(placeOf(owner, pid))
  if (found.members.length === 0) groups.delete(group)
  else forget(found)
  return before
}

/** All memberships of one table, in no particular order. */
export function ofTable(groups: Groups, table: Table): Array<Membership> {
  const found: Array<Membership> = []
  if (table.memberships === 0) return found
  for (const { members } of groups.values())
    for (const member of members) if (member.table === table) found.push(member)
  return found
}

function cut(group: Group, member: Membership): void {
  group.members.splice(indexOf(group.members, member), 1)
}

function forget(group: Group): void {
  group.online = undefined
  group.draws = undefined
}

/** Where a membership is, or belongs. */
function indexOf(members: ReadonlyArray<Membership>, member: Membership): number {
  let low = 0
  let high = members.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (before(members[middle] as Membership, member)) low = middle + 1
    else high = middle
  }
  return low
}

function before(a: Membership, b: Membership): boolean {
  if (a.time !== b.time) return a.time < b.time
  if (a.table.owner !== b.table.owner) return a.table.owner < b.table.owner
  return a.pid < b.pid
}

function placeOf(owner: string, pid: number): string {
  return `${owner} ${pid}`
}

function idOf({ name, table, pid }: Membership): string {
  return name === "" ? `${table.owner} ${pid}` : name
}
