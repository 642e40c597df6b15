/**
 * Claims: what nodes tell each other about one member, and how two claims become one.
 *
 * Claims about one name form a join-semilattice: the version (epoch, incarnation) counts first; at
 * equal versions ranks take their maximum, accusers their union. So the order in which claims come,
 * how often, and over which ways, makes no difference to what a node believes in the end. The ranks and
 * incarnations are SWIM's (Das, Gupta, Motivala 2002), the sets of accusers are what a quorum is counted from.
 *
 * @module
 */
import { hash32, mix32 } from "./hash.ts"

/** What a living member is doing. Only `up` members are given names. */
export type Phase = "joining" | "up" | "leaving"

/** Nothing is held against the member. */
export const ALIVE = 0
/** Its accusers can't reach the member. */
export const SUSPECT = 1
/** A quorum couldn't reach the member. It can still refute with a higher incarnation. */
export const DEAD = 2
/** The member said that it is gone: final for its epoch. */
export const LEFT = 3
/** How bad it stands, in ascending order. */
export type Rank = 0 | 1 | 2 | 3

/** One statement about a member. */
export interface Claim {
  readonly name: string
  /** Higher is a younger instance of the name: 1 to 2^53 - 1. */
  readonly epoch: number
  /** Raised by the member alone, from 0 up to {@link INCARNATION_MAX}; {@link GONE} when it has left. */
  readonly incarnation: number
  readonly rank: Rank
  /** Members that couldn't reach it: sorted, distinct, at most {@link ACCUSERS_MAX}. */
  readonly accusers: ReadonlyArray<string>
  /** Those of them whose connection was closed and whose next one was refused. */
  readonly hard: ReadonlyArray<string>
  readonly phase: Phase
  /** Where the member can be dialled; empty when it can't. */
  readonly address: string
  /** A random uint32 that tells two processes of one name and epoch apart. */
  readonly instance: number
  /** 0 for a node that never hosts, else its weight in the ring, 1 to 64. */
  readonly weight: number
  readonly roles: ReadonlyArray<string>
  /** The supervisors whose processes it hosts; the default one is the empty string. */
  readonly hosts: ReadonlyArray<string>
}

/** The most accusers that a claim names; of more, the first in the order of their names. */
export const ACCUSERS_MAX: number = 32
/** The highest incarnation of a member that hasn't left. */
export const INCARNATION_MAX: number = 2 ** 52
/** The incarnation of a member that has left. */
export const GONE: number = Number.MAX_SAFE_INTEGER

const NAME = /^[A-Za-z0-9._@:-]{1,64}$/
const ADDRESS_MAX = 512
const ROLES_MAX = 256
const WEIGHT_MAX = 64

/**
 * Both claims as one: the least that says what each of them says. It is the first argument itself when
 * the second has nothing to add.
 */
export function merge(a: Claim, b: Claim): Claim {
  const order = compareVersions(a, b)
  if (order !== 0) return order > 0 ? a : b
  const rank = Math.max(a.rank, b.rank) as Rank
  const accusers = union(a.accusers, b.accusers)
  const hard = union(a.hard, b.hard)
  // At equal versions the rest is equal too, unless somebody is broken: then any order will do.
  const rest = comparePayloads(a, b) >= 0 ? a : b
  if (rest === a && rank === a.rank && accusers === a.accusers && hard === a.hard) return a
  return { ...rest, rank, accusers, hard }
}

/** Whether `a` says something that `b` doesn't. */
export function adds(a: Claim, b: Claim): boolean {
  return merge(b, a) !== b
}

/** Whether the claim's member is in the view: not dead and not gone. */
export function lives(claim: Claim): boolean {
  return claim.rank <= SUSPECT
}

/** The order of two claims' names, epochs and incarnations: negative, zero or positive. */
export function compareVersions(a: Claim, b: Claim): number {
  return (
    compare(a.name, b.name) || compare(a.epoch, b.epoch) || compare(a.incarnation, b.incarnation)
  )
}

/** Whether a claim is what {@link Claim} says; for those that come from others. */
export function valid(claim: Claim): boolean {
  if (typeof claim !== "object" || claim === null) return false
  const { epoch, incarnation, rank, accusers, hard, roles, hosts } = claim
  if (!isName(claim.name) || !isEpoch(epoch)) return false
  if (rank !== ALIVE && rank !== SUSPECT && rank !== DEAD && rank !== LEFT) return false
  if (rank === LEFT ? incarnation !== GONE : !isCount(incarnation, INCARNATION_MAX)) return false
  if (!ascending(accusers) || !ascending(hard)) return false
  if (claim.phase !== "joining" && claim.phase !== "up" && claim.phase !== "leaving") return false
  if (typeof claim.address !== "string" || claim.address.length > ADDRESS_MAX) return false
  if (!isCount(claim.instance, 0xffffffff) || !isCount(claim.weight, WEIGHT_MAX)) return false
  return isList(roles) && isList(hosts)
}

function isList(texts: ReadonlyArray<string>): boolean {
  if (!Array.isArray(texts) || texts.length > ROLES_MAX) return false
  return texts.every((text) => typeof text === "string")
}

/** Whether a node may be called this: 1 to 64 letters, digits and `. _ @ : -`. */
export function isName(name: string): boolean {
  return typeof name === "string" && NAME.test(name)
}

/** Whether it is an integer from 1 to 2^53 - 1. */
export function isEpoch(epoch: number): boolean {
  return isCount(epoch, Number.MAX_SAFE_INTEGER) && epoch > 0
}

/** A uint32 of the claim's name, epoch, incarnation, rank and phase. */
export function hash(claim: Claim): number {
  let hash = hash32(claim.name)
  hash = mix32(hash, claim.epoch >>> 0)
  hash = mix32(hash, Math.floor(claim.epoch / 2 ** 32))
  hash = mix32(hash, claim.incarnation >>> 0)
  hash = mix32(hash, Math.floor(claim.incarnation / 2 ** 32))
  return mix32(hash, claim.rank * 4 + PHASES.indexOf(claim.phase))
}

const PHASES: ReadonlyArray<Phase> = ["joining", "up", "leaving"]

/** The order of two names or numbers, for `sort`: by code units, the same on every machine. */
export function compare<A extends string | number>(a: A, b: A): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function comparePayloads(a: Claim, b: Claim): number {
  if (a === b) return 0
  return (
    compare(a.instance, b.instance) ||
    compare(PHASES.indexOf(a.phase), PHASES.indexOf(b.phase)) ||
    compare(a.address, b.address) ||
    compare(a.weight, b.weight) ||
    compareLists(a.roles, b.roles) ||
    compareLists(a.hosts, b.hosts)
  )
}

function compareLists(a: ReadonlyArray<string>, b: ReadonlyArray<string>): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compare(a[i] as string, b[i] as string)
    if (order !== 0) return order
  }
  return compare(a.length, b.length)
}

/** The first of both sets' names in order; `a` itself when that is all. */
function union(a: ReadonlyArray<string>, b: ReadonlyArray<string>): ReadonlyArray<string> {
  if (a === b || b.length === 0) return a
  const both: Array<string> = []
  let i = 0
  let j = 0
  while ((i < a.length || j < b.length) && both.length < ACCUSERS_MAX) {
    const order = i === a.length ? 1 : j === b.length ? -1 : compare(a[i] as string, b[j] as string)
    both.push((order <= 0 ? a[i] : b[j]) as string)
    if (order <= 0) i++
    if (order >= 0) j++
  }
  return compareLists(both, a) === 0 ? a : both
}

function ascending(names: ReadonlyArray<string>): boolean {
  if (!Array.isArray(names) || names.length > ACCUSERS_MAX) return false
  return names.every((name, i) => isName(name) && (i === 0 || (names[i - 1] as string) < name))
}

function isCount(value: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= max
}
