/**
 * Where names live: what lookups give, and what tells one life of a process from the next.
 *
 * @module
 */
import * as Key from "../../core/key.ts"
import type { Entry } from "../../core/registry.ts"
import * as Data from "../../wire/data.ts"
import { decode } from "../annotation.ts"
import * as Ref from "../calls/ref.ts"
import type { AnyDefinition, Ref as Reference } from "../definition.ts"
import type { Location } from "./location.ts"

/** What means a life: a reference its process's, be it one that was sent, a location the one it tells of. */
export type Living = Reference<AnyDefinition> | Ref.Sent | Location

/** What means a name: a key means the additional name, a reference its process, a location its name. */
export type Named = Key.Key | Living

/**
 * How long a name that nobody has may be on its way from one node to another: its end there is heard of
 * before its beginning here.
 */
export const GAP_MILLIS: number = 250

const SLASH = 47
/** Hybrid time counts so many to a millisecond; see the registry. */
export const TICKS_PER_MILLI = 1024
const decoder = new TextDecoder()

/** The location that a claim stands for. */
export function locate(entry: Entry): Location {
  return new Found(entry)
}

/** The registered text of an additional name. Throws a TypeError on what isn't a key. */
export function additional(key: Key.Key): string {
  return `/${Key.text(key)}`
}

/** Whether this is the registered text of an additional name. */
export function isAdditional(name: string): boolean {
  return name.charCodeAt(0) === SLASH
}

/** What errors call a registered name: an additional one by its key's text. */
export function shown(name: string): string {
  return isAdditional(name) ? name.slice(1) : name
}

/** The registered name that is meant. Throws a TypeError on anything else. */
export function nameOf(named: Named): string {
  if (typeof named !== "object" || Array.isArray(named)) return additional(named as Key.Key)
  const name = Ref.targetOf(named)?.name ?? (named as { readonly name?: unknown }).name
  if (typeof name === "string") return name
  throw new TypeError("expected a name, a reference or a location")
}

/** The registered name of the process that is meant. Throws a TypeError on anything else. */
export function processOf(ref: Living): string {
  const { process, name } = ref as { readonly process?: unknown; readonly name?: unknown }
  // A reference that was sent, and is none any more, has no process, but its own name is one.
  const found = Ref.targetOf(ref)?.name ?? process ?? name
  if (typeof found === "string") return found
  throw new TypeError("expected a reference, as node.start and node.ref give it, or a location")
}

/**
 * Whether two claims are the same life, but for their node's epoch: that rises when a living node was taken
 * for dead, and its own lives go on.
 */
export function same(a: Entry, b: Entry): boolean {
  return a.table.owner === b.table.owner && a.pid === b.pid && a.time === b.time
}

/** See {@link Location.id}. */
export function idOf({ table, pid, time }: Entry): string {
  return `${table.owner}@${table.epoch.toString(36)}/${pid.toString(36)}.${time.toString(36)}`
}

/** What costs is found out when it is asked for: most lookups are about the node. */
class Found implements Location {
  readonly name: string
  readonly node: string
  readonly generation: number
  readonly #entry: Entry

  constructor(entry: Entry) {
    this.name = entry.name
    this.node = entry.table.owner
    this.generation = entry.generation
    this.#entry = entry
  }

  get id(): string {
    return idOf(this.#entry)
  }

  get process(): string {
    const { name, meta } = this.#entry
    return isAdditional(name) ? decoder.decode(meta) : name
  }

  get registeredAt(): number {
    return Math.floor(this.#entry.time / TICKS_PER_MILLI)
  }

  get meta(): unknown {
    return decode(this.#entry.props?.bytes)
  }

  [Data.PLAIN](): Location {
    return this.toJSON()
  }

  toJSON(): Location {
    const { id, name, process, node, registeredAt, generation, meta } = this
    return { id, name, process, node, registeredAt, generation, meta }
  }
}
