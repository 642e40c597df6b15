/**
 * What counts as data, that is, can be sent to another node: {@link Unserializable} says what can't.
 *
 * @module
 */

/** How deep objects, arrays, maps, sets and errors may lie within each other. */
export const DEPTH_MAX = 100

/** The most bytes of a bigint's magnitude: half of what the strictest engine can hold. */
export const BIGINT_BYTES_MAX = 65_536

/** What walks over values throw where one isn't data; {@link explain} finds out why by looking again. */
export const NOT_DATA: unique symbol = Symbol("not data")

/** Objects of a class with this method are sent as the plain object that it returns. */
export const PLAIN: unique symbol = Symbol("plain")

/** A value has no form that could be sent. */
export class Unserializable extends Error {
  readonly _tag = "Unserializable"
  /** Where in the value it was found: `"value.user.tags[2]"`. */
  readonly path: string
  /** What was found: `"function"`, `"symbol"`, a class's name, `"cycle"`, `"depth"`, … */
  readonly kind: string

  constructor(path: string, kind: string) {
    super(`${path} can't be sent: ${sentences[kind] ?? `it is a ${kind}`}`)
    this.name = "Unserializable"
    this.path = path
    this.kind = kind
  }
}

const sentences: { readonly [kind: string]: string } = {
  cycle: "it contains itself",
  depth: `it lies more than ${DEPTH_MAX} levels deep`,
  bigint: `it is a bigint of more than ${BIGINT_BYTES_MAX} bytes`,
  changed: "it changed while it was read",
}

/** What an object is to the codec; `foreign` has no form of its own. */
export type Kind = "array" | "plain" | "map" | "set" | "date" | "error" | "view" | "foreign"

/**
 * The kind of an object. Subclasses would come back as something else, so they are foreign: all but
 * those of errors, which are expected to, and of typed arrays, because of Buffer.
 */
export function kindOf(object: object): Kind {
  const proto: unknown = Object.getPrototypeOf(object)
  if (proto === Object.prototype || proto === null) return "plain"
  if (proto === Array.prototype && Array.isArray(object)) return "array"
  if (object instanceof Error) return "error"
  if (ArrayBuffer.isView(object) || object instanceof ArrayBuffer) return "view"
  const above: unknown = Object.getPrototypeOf(proto)
  // Objects of another realm, such as a frame or a vm context, have an Object.prototype of their own.
  if (above === null) return "plain"
  if (Object.getPrototypeOf(above) !== null) return "foreign"
  if (Array.isArray(object)) return "array"
  if (object instanceof Map) return "map"
  if (object instanceof Set) return "set"
  return object instanceof Date ? "date" : "foreign"
}

/** A constructor of what kindOf calls a view, and the size of its elements in bytes. */
export interface View {
  readonly name: string
  readonly elementBytes: number
  /** A view of all of `buffer`, or `buffer` itself. */
  readonly make: (buffer: ArrayBuffer) => object
}

/** The views that can be sent. Their order is part of the protocol: append only. */
export const views: ReadonlyArray<View> = [
  { name: "Uint8Array", elementBytes: 1, make: (buffer) => new Uint8Array(buffer) },
  { name: "ArrayBuffer", elementBytes: 1, make: (buffer) => buffer },
  { name: "DataView", elementBytes: 1, make: (buffer) => new DataView(buffer) },
  { name: "Int8Array", elementBytes: 1, make: (buffer) => new Int8Array(buffer) },
  { name: "Uint8ClampedArray", elementBytes: 1, make: (buffer) => new Uint8ClampedArray(buffer) },
  { name: "Int16Array", elementBytes: 2, make: (buffer) => new Int16Array(buffer) },
  { name: "Uint16Array", elementBytes: 2, make: (buffer) => new Uint16Array(buffer) },
  { name: "Int32Array", elementBytes: 4, make: (buffer) => new Int32Array(buffer) },
  { name: "Uint32Array", elementBytes: 4, make: (buffer) => new Uint32Array(buffer) },
  { name: "Float32Array", elementBytes: 4, make: (buffer) => new Float32Array(buffer) },
  { name: "Float64Array", elementBytes: 8, make: (buffer) => new Float64Array(buffer) },
  { name: "BigInt64Array", elementBytes: 8, make: (buffer) => new BigInt64Array(buffer) },
  { name: "BigUint64Array", elementBytes: 8, make: (buffer) => new BigUint64Array(buffer) },
]

/** The index in {@link views} of an object of that kind; -1 for those that aren't there. */
export function viewOf(object: object): number {
  const name = Object.prototype.toString.call(object).slice(8, -1)
  return views.findIndex((view) => view.name === name)
}

/** The bytes that a view shows; not a copy. */
export function bytesOf(object: object): Uint8Array {
  const view = object as ArrayBufferView | ArrayBuffer
  return ArrayBuffer.isView(view)
    ? new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    : new Uint8Array(view)
}

/** The keys of what an error carries besides its name and its message; the stack stays at home. */
export function errorKeys(error: Error): ReadonlyArray<string> {
  return Object.keys(error).filter((key) => key !== "name" && key !== "message" && key !== "stack")
}

/** A copy of an error: of its class where that is the language's own, of Error otherwise. */
export function makeError(name: string, message: string): Error {
  const error = new (builtIn.get(name) ?? Error)(message)
  const hidden = { configurable: true, enumerable: false, writable: true }
  if (error.name !== name) Object.defineProperty(error, "name", { ...hidden, value: name })
  // The stack of the place where it was decoded tells nothing, and costs a lot to keep.
  const stack = message === "" ? name : `${name}: ${message}`
  Object.defineProperty(error, "stack", { ...hidden, value: stack })
  return error
}

const builtIn = new Map<string, new (message: string) => Error>(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [
    type.name,
    type,
  ]),
)

/** Sets a property of a new object, whatever its key. */
export function set(object: object, key: string, value: unknown): void {
  // An assignment to __proto__ would change the prototype instead.
  if (key === "__proto__") Object.defineProperty(object, key, { ...ordinary, value })
  else (object as { [key: string]: unknown })[key] = value
}

/** The same for the property of that `index` of an object that a peer sent. */
export function setSent(object: object, key: string, value: unknown, index: number): void {
  const first = key.charCodeAt(0)
  if (first >= 0x30 && first <= 0x39 && Number(key) > GAP_MAX + 2 * index) {
    // For a key like "1000" V8 would set up an array of as many items, 16 KB for a few bytes. Items
    // with attributes of their own make it use a table, which it keeps when they lose them.
    Object.defineProperty(object, key, { ...ordinary, value, writable: false })
    Object.defineProperty(object, key, ordinary)
  } else {
    set(object, key, value)
  }
}

const ordinary = { configurable: true, enumerable: true, writable: true }
const GAP_MAX = 32

/** Why `value`, which was found not to be data, isn't. Not fast, as it is for failures only. */
export function explain(value: unknown): Unserializable {
  const found = search(value, "value", [])
  return found ?? new Unserializable("value", "changed")
}

/** The plain object that stands for another one. Throws {@link NOT_DATA} when there is none. */
export function plain(object: object): object {
  const give = (object as { readonly [PLAIN]?: unknown })[PLAIN]
  if (typeof give !== "function") throw NOT_DATA
  return give.call(object) as object
}

function search(value: unknown, path: string, above: Array<object>): Unserializable | undefined {
  if (typeof value === "function" || typeof value === "symbol") {
    return new Unserializable(path, typeof value)
  }
  if (typeof value === "bigint") {
    return bigintBytes(value) === undefined ? new Unserializable(path, "bigint") : undefined
  }
  if (typeof value !== "object" || value === null) return undefined
  if (above.includes(value)) return new Unserializable(path, "cycle")
  const kind = kindOf(value)
  if (kind === "foreign" && PLAIN in value) return search(plain(value), path, above)
  const known = kind !== "foreign" && (kind !== "view" || viewOf(value) >= 0)
  if (!known) return new Unserializable(path, nameOf(value))
  if (kind === "view" || kind === "date") return undefined
  if (above.length >= DEPTH_MAX) return new Unserializable(path, "depth")
  above.push(value)
  for (const [step, inner] of parts(value, kind)) {
    const found = search(inner, path + step, above)
    if (found !== undefined) return found
  }
  above.pop()
  return undefined
}

function* parts(object: object, kind: Kind): Iterable<readonly [step: string, value: unknown]> {
  let index = 0
  if (kind === "array") {
    for (const value of object as ReadonlyArray<unknown>) yield [`[${index++}]`, value]
  } else if (kind === "set") {
    for (const value of object as ReadonlySet<unknown>) yield [`[${index++}]`, value]
  } else if (kind === "map") {
    for (const [key, value] of object as ReadonlyMap<unknown, unknown>) {
      yield [`[key ${index}]`, key]
      yield [`[value ${index++}]`, value]
    }
  } else {
    const keys = kind === "error" ? errorKeys(object as Error) : Object.keys(object)
    for (const key of keys) {
      const step = /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
      yield [step, (object as { readonly [key: string]: unknown })[key]]
    }
  }
}

function nameOf(object: object): string {
  const type = (object as { readonly constructor?: unknown }).constructor
  return typeof type === "function" && type.name !== "" ? type.name : "object"
}

/** The magnitude of a bigint, lowest byte first; undefined when it is too large. */
export function bigintBytes(value: bigint): Uint8Array | undefined {
  const digits = (value < 0n ? -value : value).toString(16)
  const length = (digits.length + 1) >> 1
  if (length > BIGINT_BYTES_MAX) return undefined
  const bytes = new Uint8Array(length)
  for (let i = 0, end = digits.length; i < length; i++, end -= 2) {
    bytes[i] = Number.parseInt(digits.slice(Math.max(0, end - 2), end), 16)
  }
  return bytes
}

/** The bigint that {@link bigintBytes} took apart. */
export function bigintOf(bytes: Uint8Array, negative: boolean): bigint {
  let digits = "0x0"
  for (let i = bytes.length - 1; i >= 0; i--) digits += bytes[i]!.toString(16).padStart(2, "0")
  return negative ? -BigInt(digits) : BigInt(digits)
}
