/**
 * Codecs of our own messages: positional, bounded and total. A codec is built once from smaller ones,
 * and its type is inferred.
 *
 * ```
 * const ping = struct({ seq: uint, from: string(64) })
 * const message = union({ Ping: ping, Bye: struct({}) })
 * message.write(writer, { _tag: "Ping", seq: 1, from: "a" })
 * ```
 *
 * Nothing on the wire says which fields there are, so a codec can't change in place. Versions that
 * the handshake negotiates choose between codecs; unions and oneOfs may grow at their end, towards
 * peers that are known to understand; and a struct that is wrapped in {@link extensible} from its
 * first release on may grow {@link trailing} fields, which older peers skip.
 *
 * @module
 */
import { Reader, Writer } from "./bytes.ts"

/**
 * How a type is written and read. Writing a value outside its bounds is a bug and throws. Reading
 * malformed bytes sets `reader.failed`, and what is returned then means nothing.
 */
export interface Codec<A> {
  write(writer: Writer, value: A): void
  read(reader: Reader): A
}

/** The type that a codec is for. */
export type Type<C> = C extends Codec<infer A> ? A : never

/** The value that all of `bytes` encodes, or undefined when they are malformed. */
export function decode<A>(codec: Codec<A>, bytes: Uint8Array): A | undefined {
  const reader = new Reader(bytes)
  const value = codec.read(reader)
  return reader.done() ? value : undefined
}

/** The bytes that encode `value`. */
export function encode<A>(codec: Codec<A>, value: NoInfer<A>): Uint8Array {
  const writer = new Writer(256)
  codec.write(writer, value)
  return writer.take()
}

/** Integers from 0 to 2^53 - 1, in one to eight bytes. */
export const uint: Codec<number> = {
  write: (writer, value) => writer.uint(value),
  read: (reader) => reader.uint(),
}

/** Integers from 0 to 255, in one byte. */
export const u8: Codec<number> = {
  write(writer, value) {
    if ((value & 0xff) !== value) throw new Error(`BUG: ${value} is no u8`)
    writer.u8(value)
  },
  read: (reader) => reader.u8(),
}

/** Integers from 0 to 2^32 - 1, in four bytes. */
export const u32: Codec<number> = {
  write(writer, value) {
    if (value >>> 0 !== value) throw new Error(`BUG: ${value} is no u32`)
    writer.u32(value)
  },
  read: (reader) => reader.u32(),
}

/** Any number, in eight bytes. */
export const f64: Codec<number> = {
  write: (writer, value) => writer.f64(value),
  read: (reader) => reader.f64(),
}

/** A boolean, in one byte. */
export const bool: Codec<boolean> = {
  write: (writer, value) => writer.bool(value),
  read: (reader) => reader.bool(),
}

/** Strings of at most `max` UTF-16 code units. */
export function string(max: number): Codec<string> {
  return {
    write(writer, value) {
      if (value.length > max) throw new Error(`BUG: a string of ${value.length} > ${max} units`)
      writer.string(value)
    },
    read(reader) {
      const value = reader.string()
      if (value.length > max) reader.fail()
      return value
    },
  }
}

/** At most `max` bytes. What is read is a copy. */
export function bytes(max: number): Codec<Uint8Array> {
  return {
    write(writer, value) {
      if (value.length > max) throw new Error(`BUG: ${value.length} > ${max} bytes`)
      writer.bytes(value)
    },
    read(reader) {
      const length = reader.uint()
      if (length > max) reader.fail()
      return reader.raw(reader.failed ? 0 : length)
    },
  }
}

/** At most `max` items. Each must take a byte at least: more items than bytes are malformed. */
export function array<A>(item: Codec<A>, max: number): Codec<ReadonlyArray<A>> {
  return {
    write(writer, value) {
      const { length } = value
      if (length > max) throw new Error(`BUG: an array of ${length} > ${max} items`)
      writer.uint(length)
      const start = writer.length
      for (let i = 0; i < length; i++) item.write(writer, value[i]!)
      if (writer.length - start < length) throw new Error("BUG: an array of items without bytes")
    },
    read(reader) {
      const length = reader.uint()
      const value: Array<A> = []
      if (length > max || !reader.has(length)) {
        reader.fail()
        return value
      }
      for (let i = 0; i < length && !reader.failed; i++) value.push(item.read(reader))
      return value
    },
  }
}

/** The value or undefined, after a byte that says which. */
export function optional<A>(codec: Codec<A>): Codec<A | undefined> {
  return {
    write(writer, value) {
      writer.bool(value !== undefined)
      if (value !== undefined) codec.write(writer, value)
    },
    read: (reader) => (reader.bool() ? codec.read(reader) : undefined),
  }
}

/** One of up to 256 strings, as its index in one byte. */
export function oneOf<const A extends string>(...values: ReadonlyArray<A>): Codec<A> {
  checkChoices(values)
  return {
    write(writer, value) {
      const index = values.indexOf(value)
      if (index < 0) throw new Error(`BUG: "${value}" is none of ${values.join(", ")}`)
      writer.u8(index)
    },
    read(reader) {
      const value = values[reader.u8()]
      if (value === undefined) reader.fail()
      return value ?? values[0]!
    },
  }
}

/** The codecs of a struct's fields. */
export interface Fields {
  // biome-ignore lint/suspicious/noExplicitAny: fields differ in type, and codecs vary both ways.
  readonly [name: string]: Codec<any>
}

/** What a struct with fields `F` looks like. */
export type Fielded<F extends Fields> = { readonly [Name in keyof F]: Type<F[Name]> }

/** The codec of a struct, for {@link union} to build on. */
export interface Struct<A> extends Codec<A> {
  readonly fields: Fields
}

/** An object with the given fields, written one after the other in the order given. */
export function struct<const F extends Fields>(fields: F): Struct<Fielded<F>> {
  const each = Object.entries(fields)
  return {
    fields,
    write: (writer, value) => writeFields(writer, each, value as Loose),
    read: (reader) => readFields(reader, each, {}) as Fielded<F>,
  }
}

/** The variants of a union, by tag. */
export interface Variants {
  // biome-ignore lint/suspicious/noExplicitAny: variants differ in type, and codecs vary both ways.
  readonly [tag: string]: Struct<any>
}

/** What a union of variants `V` looks like. */
export type Tagged<V extends Variants> = {
  [Tag in keyof V]: { readonly _tag: Tag } & Type<V[Tag]>
}[keyof V]

/** One of up to 256 structs, told apart by `_tag`, which is written as its index in one byte. */
export function union<const V extends Variants>(variants: V): Codec<Tagged<V>> {
  const tags = Object.keys(variants)
  checkChoices(tags)
  const indices = new Map(tags.map((tag, index) => [tag, index]))
  const each = tags.map((tag) => Object.entries(variants[tag]!.fields))
  return {
    write(writer, value) {
      const index = indices.get(value._tag as string)
      if (index === undefined) throw new Error(`BUG: unknown tag ${String(value._tag)}`)
      writer.u8(index)
      writeFields(writer, each[index]!, value as Loose)
    },
    read(reader) {
      const index = reader.u8()
      const fields = each[index]
      if (fields === undefined) reader.fail()
      return readFields(reader, fields ?? [], { _tag: tags[index] ?? "" }) as Tagged<V>
    },
  }
}

/** A value after its length in bytes, of which the reader skips what it doesn't know. */
export function extensible<A>(codec: Codec<A>): Codec<A> {
  return {
    write(writer, value) {
      const at = writer.length
      writer.u32(0)
      codec.write(writer, value)
      writer.patchU32(at, writer.length - at - 4)
    },
    read(reader) {
      const length = reader.u32()
      const { end } = reader
      if (reader.has(length)) reader.end = reader.position + length
      const value = codec.read(reader)
      reader.position = reader.failed ? end : reader.end
      reader.end = end
      return value
    },
  }
}

/** A field that a later release added at the end of an {@link extensible} struct: `absent` before. */
export function trailing<A>(codec: Codec<A>, absent: A): Codec<A> {
  return {
    write: (writer, value) => codec.write(writer, value),
    read: (reader) => (reader.position === reader.end ? absent : codec.read(reader)),
  }
}

interface Loose {
  [name: string]: unknown
}
type Each = ReadonlyArray<readonly [name: string, codec: Codec<unknown>]>

function writeFields(writer: Writer, fields: Each, value: Loose): void {
  for (let i = 0; i < fields.length; i++) {
    const [name, codec] = fields[i]!
    codec.write(writer, value[name])
  }
}

/** Fields are set in the order given whatever comes, so that all objects of a kind have one shape. */
function readFields(reader: Reader, fields: Each, into: Loose): Loose {
  for (let i = 0; i < fields.length; i++) {
    const [name, codec] = fields[i]!
    into[name] = codec.read(reader)
  }
  return into
}

function checkChoices(choices: ReadonlyArray<string>): void {
  const right = choices.length > 0 && choices.length <= 256
  if (!right || new Set(choices).size < choices.length) throw new Error("BUG: 1 to 256 choices")
}
