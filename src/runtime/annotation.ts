/**
 * The user's metadata, of names and of memberships, as bytes.
 *
 * @module
 */
import * as Value from "../wire/value.ts"
import { NotData, reasonOf } from "./errors.ts"

/** The most bytes of metadata, encoded. */
export const BYTES_MAX: number = 64 * 1024

/** Metadata as it is kept; undefined for none. Throws NotData, also when it is too long. */
export function encode(process: string, meta: unknown): Uint8Array | undefined {
  if (meta === undefined) return undefined
  let bytes: Uint8Array
  try {
    bytes = Value.encode(meta)
  } catch (error) {
    throw new NotData(process, `its metadata: ${reasonOf(error)}`, "not-executed")
  }
  const { length } = bytes
  if (length <= BYTES_MAX) return bytes
  const what = `its metadata takes ${length} bytes, and at most ${BYTES_MAX} are allowed`
  throw new NotData(process, what, "not-executed")
}

/** What was encoded, anew each time; undefined too for what this version can't read. */
export function decode(meta: Uint8Array | undefined): unknown {
  return meta === undefined ? undefined : Value.decode(meta)?.value
}
