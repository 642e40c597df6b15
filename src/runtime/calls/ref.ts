/**
 * References: typed handles of a named process, wherever it runs. Its calls are methods that return
 * promises; `cast`, `try` and `with` are beside them.
 *
 * @module
 */
import * as Key from "../../core/key.ts"
import * as Data from "../../wire/data.ts"
import type { AnyDefinition, CallOptions, Method, Ref } from "../definition.ts"
import type { Location } from "../names/location.ts"

/** What a reference needs from its node. */
export interface Caller {
  call(
    target: Target,
    method: Method,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown>
  cast(target: Target, method: Method, args: ReadonlyArray<unknown>): void
}

/** Whom a reference means. The caller may keep what it found out about it in `cache`. */
export interface Target {
  readonly definition: AnyDefinition
  readonly key: string
  readonly name: string
  cache: unknown
}

/** Milliseconds a call waits for its reply unless told otherwise. */
export const TIMEOUT_MILLIS: number = 5_000

const TARGET: unique symbol = Symbol("skein/target")

/** What is left of a reference that was sent with a message or written as JSON. */
export interface Sent {
  readonly name: string
  readonly key: string
}

interface Handle {
  readonly [TARGET]: Aimed
  readonly key: string
  readonly name: string
}

interface Aimed extends Target {
  readonly caller: Caller
  readonly options: CallOptions
}

const prototypes = new WeakMap<AnyDefinition, object>()

/** A reference to the process of this definition that has this registered name. Costs no lookup. */
export function make<P extends AnyDefinition>(
  caller: Caller,
  definition: P,
  name: string,
  options: CallOptions = {},
): Ref<P> {
  const key = keyOf(name)
  const handle = Object.create(prototypeOf(definition))
  handle[TARGET] = { definition, key, name, cache: undefined, caller, options } satisfies Aimed
  handle.key = key
  handle.name = name
  return handle
}

/** The registered name of a process that the ring places. Throws a TypeError when it is no key. */
export function nameOf(definition: AnyDefinition, key: Key.Key): string {
  return `${definition.name}/${Key.text(key)}`
}

/** The text of the key in a process's registered name. */
export function keyOf(name: string): string {
  return name.slice(name.indexOf("/") + 1)
}

/**
 * The registered name of a process that the ring places under this key, or of the one that a location tells
 * of, or a reference stood for before it was sent. Throws a TypeError when it is neither, or a reference of another definition.
 */
export function named(definition: AnyDefinition, of: Key.Key | Sent | Location): string {
  if (typeof of !== "object" || Array.isArray(of)) return nameOf(definition, of as Key.Key)
  // (A location's name may be an additional one.)
  const { name: sent, process: name = sent } = of as Sent & Partial<Location>
  const head = typeof name === "string" ? name.slice(0, name.indexOf("/")) : ""
  if (head === definition.name || head === `@${definition.name}`) return name
  if (head.endsWith(`:${definition.name}`)) return name
  throw new TypeError(`${String(name)} is no reference to a process of ${definition.name}`)
}

/** Whom a reference means, or undefined for anything else. */
export function targetOf(ref: unknown): Target | undefined {
  return typeof ref === "object" && ref !== null ? (ref as Partial<Handle>)[TARGET] : undefined
}

/** One object per definition carries its methods, so that a reference is a small record. */
function prototypeOf(definition: AnyDefinition): object {
  const known = prototypes.get(definition)
  if (known !== undefined) return known
  const ref: Record<string | symbol, unknown> = {}
  const tries: Record<string, unknown> = {}
  const casts: Record<string, unknown> = {}
  for (const [name, method] of definition.calls) {
    ref[name] = function (this: Handle, ...args: ReadonlyArray<unknown>): Promise<unknown> {
      return call(this[TARGET], method, args)
    }
    tries[name] = function (this: Handle, ...args: ReadonlyArray<unknown>): Promise<unknown> {
      return call(this[TARGET], method, args).then(
        (value) => ({ ok: true, value }),
        (error) => ({ ok: false, error }),
      )
    }
  }
  for (const [name, method] of definition.casts) {
    casts[name] = function (this: Handle, ...args: ReadonlyArray<unknown>): unknown {
      return this[TARGET].caller.cast(this[TARGET], method, args)
    }
  }
  ref.with = function (this: Handle, options: CallOptions): unknown {
    const { caller, name, options: before } = this[TARGET]
    return make(caller, definition, name, { ...before, ...options })
  }
  ref[Data.PLAIN] = ref.toJSON = function (this: Handle): Sent {
    return { name: this.name, key: this.key }
  }
  facet(ref, "cast", casts)
  facet(ref, "try", tries)
  prototypes.set(definition, ref)
  return ref
}

function call(aimed: Aimed, method: Method, args: ReadonlyArray<unknown>): Promise<unknown> {
  const { timeout = TIMEOUT_MILLIS, signal } = aimed.options
  return aimed.caller.call(aimed, method, args, timeout, signal)
}

/** A property that is made at its first use: most references use only one of them. */
function facet(prototype: object, name: string, methods: object): void {
  Object.defineProperty(prototype, name, {
    get(this: Handle): unknown {
      const made = Object.create(methods, { [TARGET]: { value: this[TARGET] } })
      // (Configurable, so that a proxy may give something else for it.)
      Object.defineProperty(this, name, { value: made, configurable: true })
      return made
    },
  })
}
