/**
 * The children of one supervisor, as one node knows them: kept by the changes of the registry, so that
 * counting them takes no look at it.
 *
 * @module
 */
import { REASON } from "../../core/registry.ts"

/** A name is gone at its old node before it is there at the new one: for no longer than this. */
const MOVE_MILLIS = 10_000

/** Children by name and node, those that are being started from here apart. */
export class Children {
  /** The node of each child, by its registered name. */
  readonly homes: Map<string, string> = new Map()
  /** How many children there are by node, and by definition. */
  readonly byNode: Map<string, number> = new Map()
  readonly byDefinition: Map<string, number> = new Map()
  /** Where those are to run that are being started from here. */
  readonly #starting = new Map<string, string>()
  /** Children and those that are being started, by node, and by node and group. */
  readonly #load = new Map<string, number>()
  readonly #alike = new Map<string, number>()
  /** Children on their way between two nodes, and since when, the earliest first. */
  readonly #moving = new Map<string, number>()
  readonly #groupOf: (name: string) => string | undefined

  /** `groupOf` gives the group of a name: always the same one, or always undefined. */
  constructor(groupOf: (name: string) => string | undefined) {
    this.#groupOf = groupOf
  }

  /** How many there are, those that are being started from here included. */
  get total(): number {
    return this.homes.size + this.#starting.size
  }

  /** How many of these are at a node, and how many of the same group as this one. */
  load(node: string, name: string): { readonly children: number; readonly alike: number } {
    const group = this.#groupOf(name)
    return {
      children: this.#load.get(node) ?? 0,
      alike: group === undefined ? 0 : (this.#alike.get(grouped(node, group)) ?? 0),
    }
  }

  /** Whether a child of this name exists, for all that is known: it runs, or is on its way. */
  exists(name: string, now: number): boolean {
    const since = this.#moving.get(name)
    return this.homes.has(name) || (since !== undefined && now - since < MOVE_MILLIS)
  }

  /** A child is at this node now, or at none, for this reason. */
  changed(name: string, node: string | undefined, reason: string, now: number): void {
    const before = this.homes.get(name)
    if (node !== undefined) {
      this.started(name)
      this.#moving.delete(name)
    } else if (reason === REASON.moved) this.#leave(name, now)
    if (before === node) return
    if (before !== undefined) {
      this.homes.delete(name)
      this.#count(name, before, -1)
    }
    if (node !== undefined) {
      this.homes.set(name, node)
      this.#count(name, node, 1)
    }
  }

  #count(name: string, node: string, by: 1 | -1): void {
    add(this.byNode, node, by)
    add(this.byDefinition, definitionOf(name), by)
    this.#occupy(name, node, by)
  }

  #occupy(name: string, node: string, by: 1 | -1): void {
    add(this.#load, node, by)
    const group = this.#groupOf(name)
    if (group !== undefined) add(this.#alike, grouped(node, group), by)
  }

  #leave(name: string, now: number): void {
    for (const [other, since] of this.#moving) {
      if (now - since < MOVE_MILLIS) break
      this.#moving.delete(other)
    }
    // (Behind the others, also when it was there.)
    this.#moving.delete(name)
    this.#moving.set(name, now)
  }

  /** A start has begun here of one that is to run at this node. */
  starting(name: string, node: string): void {
    if (this.homes.has(name) || this.#starting.has(name)) return
    this.#starting.set(name, node)
    this.#occupy(name, node, 1)
  }

  /** That start is over. */
  started(name: string): void {
    const node = this.#starting.get(name)
    if (node === undefined) return
    this.#starting.delete(name)
    this.#occupy(name, node, -1)
  }
}

/** The name of the definition in the registered name of a supervisor's child. */
export function definitionOf(name: string): string {
  const slash = name.indexOf("/")
  return name.slice(name.lastIndexOf(":", slash) + 1, slash)
}

/** (No node's name has a slash.) */
function grouped(node: string, group: string): string {
  return `${node}/${group}`
}

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count > 0) counts.set(key, count)
  else counts.delete(key)
}
