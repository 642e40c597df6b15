/**
 * Copies of users' values, as they would be if they had gone over the wire.
 *
 * @module
 */
import * as Data from "./data.ts"

const isOwn = Object.prototype.hasOwnProperty

interface Fields {
  readonly [key: string]: unknown
}

/** What reading what was written would give, without the bytes. Throws {@link Data.Unserializable}. */
export function copy(value: unknown): unknown {
  const type = typeof value
  if (type === "string" || type === "number" || value === undefined || value === null) return value
  try {
    return copyAny(value, 0)
  } catch (error) {
    throw error === Data.NOT_DATA ? Data.explain(value) : error
  }
}

function copyAny(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "object":
      return value === null ? null : copyObject(value, depth)
    case "bigint":
      if (Data.bigintBytes(value) === undefined) throw Data.NOT_DATA
      return value
    case "function":
    case "symbol":
      throw Data.NOT_DATA
    default:
      return value
  }
}

function copyObject(value: object, depth: number): unknown {
  const kind = Data.kindOf(value)
  if (kind === "view") {
    const view = Data.views[Data.viewOf(value)]
    if (view === undefined) throw Data.NOT_DATA
    return view.make(Data.bytesOf(value).slice().buffer as ArrayBuffer)
  }
  if (kind === "date") return new Date((value as Date).getTime())
  if (depth >= Data.DEPTH_MAX) throw Data.NOT_DATA
  switch (kind) {
    case "plain":
      return copyPlain(value as Fields, depth + 1)
    case "array": {
      const array: Array<unknown> = []
      const { length } = value as ReadonlyArray<unknown>
      for (let i = 0; i < length; i++) {
        array.push(copyAny((value as ReadonlyArray<unknown>)[i], depth + 1))
      }
      return array
    }
    case "map": {
      const map = new Map<unknown, unknown>()
      for (const [key, inner] of value as ReadonlyMap<unknown, unknown>) {
        map.set(copyAny(key, depth + 1), copyAny(inner, depth + 1))
      }
      return map
    }
    case "set": {
      const set = new Set<unknown>()
      for (const inner of value as ReadonlySet<unknown>) set.add(copyAny(inner, depth + 1))
      return set
    }
    case "error": {
      const { name, message } = value as Error
      const error = Data.makeError(String(name), String(message))
      for (const key of Data.errorKeys(value as Error)) {
        Data.set(error, key, copyAny((value as unknown as Fields)[key], depth + 1))
      }
      return error
    }
    default:
      return copyPlain(Data.plain(value) as Fields, depth + 1)
  }
}

function copyPlain(value: Fields, depth: number): object {
  const into = {}
  for (const key in value) {
    if (isOwn.call(value, key)) Data.set(into, key, copyAny(value[key], depth))
  }
  return into
}
