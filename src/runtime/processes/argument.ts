/**
 * The argument that a process is started with, as it is kept and sent.
 *
 * @module
 */
import * as Value from "../../wire/value.ts"
import { NotData, reasonOf, TooLarge } from "../errors.ts"

/** The argument as bytes; undefined for none. Throws NotData, or TooLarge for the frames of this node. */
export function encode(name: string, init: unknown, frameBytesMax: number): Uint8Array | undefined {
  if (init === undefined) return undefined
  let bytes: Uint8Array
  try {
    bytes = Value.encode(init)
  } catch (error) {
    throw new NotData(name, reasonOf(error), "not-executed")
  }
  // Registrations travel several to a frame.
  const bytesMax = Math.floor(frameBytesMax / 8)
  if (bytes.length > bytesMax) throw new TooLarge(name, bytes.length, bytesMax)
  return bytes
}

/** What was encoded, anew each time; not `ok` when this version can't read it. */
export function decode(meta: Uint8Array | undefined): {
  readonly ok: boolean
  readonly value: unknown
} {
  const decoded = meta === undefined ? { value: undefined } : Value.decode(meta)
  return { ok: decoded !== undefined, value: decoded?.value }
}
