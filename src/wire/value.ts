/**
 * Users' values as bytes: arguments, replies and states. Values come back equal, with these exceptions:
 *
 * - objects without a prototype get the usual one; only own enumerable string keys are sent, and what
 *   getters return is sent as a value;
 * - holes in arrays come back as undefined;
 * - an object that occurs twice comes back as two, and is sent twice; one that contains itself can't be sent;
 * - errors come back with their name, message and own enumerable properties, as instances of Error or,
 *   if of that name, of TypeError and its like;
 * - Buffers come back as Uint8Arrays;
 * - references and locations come back as plain objects with their properties.
 *
 * Each value is a byte that says what it is, then its content. Common things fit into that byte: small
 * integers, the length of short strings, arrays and objects. Typed arrays are in the machine's byte
 * order, which is little endian wherever JavaScript runs today.
 *
 * @module
 */
import { Reader, Writer } from "./bytes.ts"
import * as Data from "./data.ts"

export { copy } from "./copy.ts"
export { DEPTH_MAX, Unserializable } from "./data.ts"

// 0x00 to 0x7f are the integers from 0 to 127.
const SHORT_STRING = 0x80 // to 0x9f: with the length in bytes
const SMALL_OBJECT = 0xa0 // to 0xaf: with the number of keys
const SMALL_ARRAY = 0xb0 // to 0xbf: with the number of items
const UNDEFINED = 0xc0
const NULL = 0xc1
const FALSE = 0xc2
const TRUE = 0xc3
const INT = 0xc4
const F64 = 0xc5
const STRING = 0xc6
const OBJECT = 0xc7
const ARRAY = 0xc8
const MAP = 0xc9
const SET = 0xca
const DATE = 0xcb
const ERROR = 0xcc
const VIEW = 0xcd
const BIGINT = 0xce
const NEGATIVE_BIGINT = 0xcf
const NEGATIVE_INT = 0xe0 // to 0xff: the integers from -32 to -1

const SHORT_STRING_MAX = 31
const SMALL_MAX = 15

const isOwn = Object.prototype.hasOwnProperty

interface Fields {
  readonly [key: string]: unknown
}

/** A value as bytes of their own. Throws {@link Data.Unserializable} when it isn't data. */
export function encode(value: unknown): Uint8Array {
  const writer = new Writer(64)
  write(writer, value)
  return writer.take()
}

/** The value of bytes that {@link encode} made; undefined when they are malformed. */
export function decode(bytes: Uint8Array): { readonly value: unknown } | undefined {
  const reader = new Reader(bytes)
  const value = read(reader)
  return reader.done() ? { value } : undefined
}

// --- writing ---------------------------------------------------------------------------------------

/** Writes a value. Throws {@link Data.Unserializable}, having written nothing, when it isn't data. */
export function write(writer: Writer, value: unknown): void {
  const start = writer.length
  try {
    writeAny(writer, value, 0)
  } catch (error) {
    writer.truncate(start)
    throw error === Data.NOT_DATA ? Data.explain(value) : error
  }
}

function writeAny(writer: Writer, value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
      return writeString(writer, value)
    case "number":
      return writeNumber(writer, value)
    case "object":
      return value === null ? writer.u8(NULL) : writeObject(writer, value, depth)
    case "boolean":
      return writer.u8(value ? TRUE : FALSE)
    case "undefined":
      return writer.u8(UNDEFINED)
    case "bigint":
      return writeBigint(writer, value)
    default:
      throw Data.NOT_DATA
  }
}

function writeString(writer: Writer, value: string): void {
  if (writeShort(writer, value, SHORT_STRING)) return
  writer.u8(STRING)
  writer.string(value)
}

/** Writes a short ASCII string after its length, with the bits of `tag`; returns whether it is one. */
function writeShort(writer: Writer, value: string, tag: number): boolean {
  const { length } = value
  if (length > SHORT_STRING_MAX) return false
  writer.reserve(1 + SHORT_STRING_MAX)
  const { buffer, length: start } = writer
  for (let i = 0; i < length; i++) {
    const unit = value.charCodeAt(i)
    if (unit > 0x7f) return false
    buffer[start + 1 + i] = unit
  }
  buffer[start] = tag | length
  writer.length = start + 1 + length
  return true
}

function writeKey(writer: Writer, key: string): void {
  if (!writeShort(writer, key, 0)) writer.string(key)
}

function writeNumber(writer: Writer, value: number): void {
  // -0 is an integer to `|`, but not one that `int` keeps.
  if ((value | 0) === value && (value !== 0 || 1 / value > 0)) {
    if (value >= -32 && value < 128) return writer.u8(value)
    writer.u8(INT)
    writer.int(value)
  } else {
    writer.u8(F64)
    writer.f64(value)
  }
}

function writeBigint(writer: Writer, value: bigint): void {
  const bytes = Data.bigintBytes(value)
  if (bytes === undefined) throw Data.NOT_DATA
  writer.u8(value < 0n ? NEGATIVE_BIGINT : BIGINT)
  writer.bytes(bytes)
}

function writeObject(writer: Writer, value: object, depth: number): void {
  const kind = Data.kindOf(value)
  if (kind === "view") return writeView(writer, value)
  if (kind === "date") {
    writer.u8(DATE)
    return writer.f64((value as Date).getTime())
  }
  if (depth >= Data.DEPTH_MAX) throw Data.NOT_DATA
  switch (kind) {
    case "plain":
      return writePlain(writer, value as Fields, depth + 1)
    case "array":
      return writeArray(writer, value as ReadonlyArray<unknown>, depth + 1)
    case "map":
      return writeMap(writer, value as ReadonlyMap<unknown, unknown>, depth + 1)
    case "set":
      return writeSet(writer, value as ReadonlySet<unknown>, depth + 1)
    case "error":
      return writeError(writer, value as Error, depth + 1)
    default:
      return writePlain(writer, Data.plain(value) as Fields, depth + 1)
  }
}

function writeCount(writer: Writer, count: number, small: number, large: number): void {
  if (count <= SMALL_MAX) return writer.u8(small | count)
  writer.u8(large)
  writer.uint(count)
}

// Engines make `for in` a walk along the object's shape: several times faster than Object.keys.
function writePlain(writer: Writer, value: Fields, depth: number): void {
  let left = 0
  for (const key in value) if (isOwn.call(value, key)) left++
  writeCount(writer, left, SMALL_OBJECT, OBJECT)
  for (const key in value) {
    if (!isOwn.call(value, key)) continue
    writeKey(writer, key)
    writeAny(writer, value[key], depth)
    left--
  }
  // A getter changed it on the way.
  if (left !== 0) throw Data.NOT_DATA
}

function writeArray(writer: Writer, value: ReadonlyArray<unknown>, depth: number): void {
  const { length } = value
  writeCount(writer, length, SMALL_ARRAY, ARRAY)
  for (let i = 0; i < length; i++) writeAny(writer, value[i], depth)
}

function writeMap(writer: Writer, map: ReadonlyMap<unknown, unknown>, depth: number): void {
  let left = map.size
  writer.u8(MAP)
  writer.uint(left)
  for (const [key, value] of map) {
    writeAny(writer, key, depth)
    writeAny(writer, value, depth)
    left--
  }
  if (left !== 0) throw Data.NOT_DATA
}

function writeSet(writer: Writer, set: ReadonlySet<unknown>, depth: number): void {
  let left = set.size
  writer.u8(SET)
  writer.uint(left)
  for (const value of set) {
    writeAny(writer, value, depth)
    left--
  }
  if (left !== 0) throw Data.NOT_DATA
}

function writeError(writer: Writer, error: Error, depth: number): void {
  const keys = Data.errorKeys(error)
  writer.u8(ERROR)
  writer.string(String(error.name))
  writer.string(String(error.message))
  writer.uint(keys.length)
  for (const key of keys) {
    writeKey(writer, key)
    writeAny(writer, (error as unknown as Fields)[key], depth)
  }
}

function writeView(writer: Writer, value: object): void {
  const index = Data.viewOf(value)
  if (index < 0) throw Data.NOT_DATA
  writer.u8(VIEW)
  writer.u8(index)
  writer.bytes(Data.bytesOf(value))
}

// --- reading ---------------------------------------------------------------------------------------

/** Reads a value. When it is malformed, sets `reader.failed`, and what is returned means nothing. */
export function read(reader: Reader): unknown {
  return readAny(reader, 0)
}

function readAny(reader: Reader, depth: number): unknown {
  const tag = reader.u8()
  if (tag < SHORT_STRING) return tag
  if (tag < SMALL_OBJECT) return reader.textAfterWord(tag & SHORT_STRING_MAX)
  if (tag >= NEGATIVE_INT) return tag - 0x100
  if (tag < SMALL_ARRAY) return readFields(reader, {}, tag & SMALL_MAX, depth + 1)
  if (tag < UNDEFINED) return readArray(reader, tag & SMALL_MAX, depth + 1)
  switch (tag) {
    case UNDEFINED:
      return undefined
    case NULL:
      return null
    case FALSE:
      return false
    case TRUE:
      return true
    case INT:
      return reader.int()
    case F64:
      return reader.f64()
    case STRING:
      return reader.string()
    case OBJECT:
      return readFields(reader, {}, reader.uint(), depth + 1)
    case ARRAY:
      return readArray(reader, reader.uint(), depth + 1)
    case MAP:
      return readMap(reader, reader.uint(), depth + 1)
    case SET:
      return readSet(reader, reader.uint(), depth + 1)
    case DATE:
      return new Date(reader.f64())
    case ERROR:
      return readError(reader, depth + 1)
    case VIEW:
      return readView(reader)
    case BIGINT:
    case NEGATIVE_BIGINT:
      return readBigint(reader, tag === NEGATIVE_BIGINT)
    default:
      return reader.fail()
  }
}

/** Whether `count` things of at least `bytes` bytes each may follow at this depth; fails if not. */
function may(reader: Reader, count: number, bytes: number, depth: number): boolean {
  if (depth > Data.DEPTH_MAX) reader.fail()
  return reader.has(count * bytes) && !reader.failed
}

function readFields<A extends object>(reader: Reader, into: A, count: number, depth: number): A {
  if (!may(reader, count, 2, depth)) return into
  for (let i = 0; i < count && !reader.failed; i++) {
    const key = reader.word()
    Data.setSent(into, key, readAny(reader, depth), i)
  }
  return into
}

function readArray(reader: Reader, count: number, depth: number): Array<unknown> {
  const array: Array<unknown> = []
  if (!may(reader, count, 1, depth)) return array
  // Not allocated at once: arrays in arrays could each announce as many items as there are bytes left.
  for (let i = 0; i < count && !reader.failed; i++) array.push(readAny(reader, depth))
  return array
}

function readMap(reader: Reader, count: number, depth: number): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>()
  if (!may(reader, count, 2, depth)) return map
  for (let i = 0; i < count && !reader.failed; i++) {
    const key = readAny(reader, depth)
    map.set(key, readAny(reader, depth))
  }
  return map
}

function readSet(reader: Reader, count: number, depth: number): Set<unknown> {
  const set = new Set<unknown>()
  if (!may(reader, count, 1, depth)) return set
  for (let i = 0; i < count && !reader.failed; i++) set.add(readAny(reader, depth))
  return set
}

function readError(reader: Reader, depth: number): Error {
  const error = Data.makeError(reader.word(), reader.string())
  return readFields(reader, error, reader.uint(), depth)
}

function readView(reader: Reader): unknown {
  const view = Data.views[reader.u8()]
  const bytes = reader.bytes()
  if (view !== undefined && bytes.length % view.elementBytes === 0) {
    return view.make(bytes.buffer as ArrayBuffer)
  }
  return reader.fail()
}

function readBigint(reader: Reader, negative: boolean): unknown {
  const bytes = reader.bytes()
  return bytes.length > Data.BIGINT_BYTES_MAX ? reader.fail() : Data.bigintOf(bytes, negative)
}
