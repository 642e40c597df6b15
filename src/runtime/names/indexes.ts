/**
 * Lists of names and lookups by metadata, by indexes over what the registry has. An index is made when it
 * is first needed, from all names, and from then on kept as names come and go: a node that never asks pays
 * nothing, and one that does never looks at all names again.
 *
 * @module
 */
import * as Key from "../../core/key.ts"
import type { Entry, State } from "../../core/registry.ts"
import * as Registry from "../../core/registry.ts"
import { decode } from "../annotation.ts"
import type { AnyDefinition } from "../definition.ts"
import type { Location } from "./location.ts"
import { additional, locate } from "./lookup.ts"
import { Sorted } from "./sorted.ts"

/** Which names are listed. What is left out excludes nothing. */
export interface NamesOptions {
  /** Those whose keys begin with it: strings by characters, arrays by elements. */
  readonly prefix?: Key.Key
  /** Those of this definition's processes; the empty string for additional names. */
  readonly definition?: AnyDefinition | string
  /** Those that this node holds. */
  readonly node?: string
  /** How many at most. Default 1,000. */
  readonly limit?: number
  /** Those after this one: the `name` of the last location of an earlier answer. */
  readonly after?: string
}

/** What metadata is looked up by. */
export type Scalar = string | number | bigint | boolean

const LIMIT = 1_000
/** Additional names that are remembered as the registry has them. */
const KNOWN_MAX = 131_072
const AT_SIGN = 64
const ALL: ReadonlyArray<Key.Span> = [{ from: "", to: undefined }]

/** The indexes of one node over all names that it knows. */
export class Indexes {
  readonly #registry: () => State
  /**
   * Texts of keys, and the registry's own texts for them: to find a text that is the same object takes a
   * fraction of what it takes to find one that was put together for it.
   */
  readonly #known = new Map<string, string>()
  #names: Sorted | undefined
  /** Of the nodes that were asked for. */
  readonly #byNode = new Map<string, Sorted>()
  /** Names by property and value. */
  #found: Map<string, Map<Scalar, Set<string>>> | undefined

  constructor(registry: () => State) {
    this.#registry = registry
  }

  /** Where an additional name lives. Throws a TypeError on what isn't a key. */
  whereis(key: Key.Key): Location | undefined {
    const registry = this.#registry()
    const known = typeof key === "string" ? this.#known.get(key) : undefined
    const entry = Registry.lookup(registry, known ?? additional(key))
    if (entry === undefined) return undefined
    if (known === undefined && typeof key === "string") {
      if (this.#known.size >= KNOWN_MAX) this.#known.clear()
      this.#known.set(key, entry.name)
    }
    return locate(entry)
  }

  /** Registered names, by the order of their texts. Throws a TypeError on a prefix that can't be one. */
  names({ prefix, definition, node, limit = LIMIT, after }: NamesOptions): Array<Location> {
    const registry = this.#registry()
    const sorted = node === undefined ? this.#all(registry) : this.#of(registry, node)
    const spans = prefix === undefined ? ALL : Key.spans(prefix)
    const wanted = typeof definition === "object" ? definition.name : definition
    const found: Array<Location> = []
    let at = after === undefined ? "" : `${after}\0`
    for (let next = sorted.first(at); next !== undefined; next = sorted.first(at)) {
      // All names of a definition lie together; the slash ends what they have in common.
      const slash = next.indexOf("/")
      const end = slash < 0 ? `${next}\0` : `${next.slice(0, slash)}0`
      const common = next.slice(0, slash + 1)
      if (wanted === undefined || definitionOf(common) === wanted) {
        for (const { from, to } of spans) {
          let start = common + from
          if (start < at) start = at
          const names = sorted.range(start, to === undefined ? end : common + to)
          for (const name of names) {
            if (found.length >= limit) return found
            add(found, registry, name)
          }
        }
      }
      at = end
    }
    return found
  }

  /**
   * Names whose metadata is an object that has this property with this value, or with an array or a Set
   * that contains it; by the order of their texts.
   */
  find(property: string, value: Scalar): Array<Location> {
    const registry = this.#registry()
    this.#found ??= this.#findable(registry)
    const names = this.#found.get(property)?.get(value) ?? []
    const found: Array<Location> = []
    for (const name of [...names].sort()) add(found, registry, name)
    return found
  }

  // --- keeping them ------------------------------------------------------------------------------

  /** The winning claim of a name changed. */
  changed(name: string, before: Entry | undefined, after: Entry | undefined): void {
    if (after === undefined) this.#names?.delete(name)
    else if (before === undefined) this.#names?.add(name)
    if (this.#byNode.size > 0 && before?.table.owner !== after?.table.owner) {
      if (before !== undefined) this.#byNode.get(before.table.owner)?.delete(name)
      if (after !== undefined) this.#byNode.get(after.table.owner)?.add(name)
    }
    if (this.#found === undefined || before?.props === after?.props) return
    for (const [property, value] of pairs(before)) unput(this.#found, property, value, name)
    for (const [property, value] of pairs(after)) put(this.#found, property, value, name)
  }

  #all({ index }: State): Sorted {
    this.#names ??= new Sorted(index.keys())
    return this.#names
  }

  #of({ index }: State, node: string): Sorted {
    const known = this.#byNode.get(node)
    if (known !== undefined) return known
    const names: Array<string> = []
    for (const [name, { table }] of index) if (table.owner === node) names.push(name)
    const sorted = new Sorted(names)
    // Not for what is no node: that would be kept for good.
    if (names.length > 0) this.#byNode.set(node, sorted)
    return sorted
  }

  /**
   * All properties at once: many of them may each be of few names, and then looking at all names for each
   * property that is asked for would take longer than this.
   */
  #findable({ index }: State): Map<string, Map<Scalar, Set<string>>> {
    const found = new Map<string, Map<Scalar, Set<string>>>()
    for (const [name, entry] of index)
      for (const [property, value] of pairs(entry)) put(found, property, value, name)
    return found
  }
}

function add(found: Array<Location>, registry: State, name: string): void {
  const entry = Registry.lookup(registry, name)
  if (entry !== undefined) found.push(locate(entry))
}

/** The definition in what names have in common: `sup:Definition/`, `@Definition/`, or `/`. */
function definitionOf(common: string): string {
  const from = common.charCodeAt(0) === AT_SIGN ? 1 : common.lastIndexOf(":") + 1
  return common.slice(from, -1)
}

/** The properties and values that a claim is found by. */
function* pairs(entry: Entry | undefined): Generator<readonly [string, Scalar]> {
  const meta = decode(entry?.props?.bytes)
  if (typeof meta !== "object" || meta === null || Array.isArray(meta)) return
  for (const [property, value] of Object.entries(meta)) {
    if (isScalar(value)) yield [property, value]
    else if (Array.isArray(value) || value instanceof Set)
      for (const one of value) if (isScalar(one)) yield [property, one]
  }
}

function isScalar(value: unknown): value is Scalar {
  const type = typeof value
  return type === "string" || type === "number" || type === "bigint" || type === "boolean"
}

function put(
  found: Map<string, Map<Scalar, Set<string>>>,
  property: string,
  value: Scalar,
  name: string,
): void {
  const values = found.get(property) ?? new Map<Scalar, Set<string>>()
  found.set(property, values)
  const names = values.get(value)
  if (names === undefined) values.set(value, new Set([name]))
  else names.add(name)
}

function unput(
  found: Map<string, Map<Scalar, Set<string>>>,
  property: string,
  value: Scalar,
  name: string,
): void {
  const values = found.get(property)
  const names = values?.get(value)
  if (values === undefined || names === undefined) return
  names.delete(name)
  if (names.size === 0) values.delete(value)
  if (values.size === 0) found.delete(property)
}
