/**
 * The states of processes as bytes, for their moves and merges.
 *
 * @module
 */
import * as Value from "../../wire/value.ts"
import type { AnyDefinition } from "../definition.ts"
import type { Cell } from "./cell.ts"

/** A process's state; undefined when it can't be sent. */
export function capture(cell: Cell): Uint8Array | undefined {
  const { handoff } = cell.hosted.definition.spec
  try {
    return encode(handoff?.capture === undefined ? cell.state : handoff.capture(cell.state))
  } catch {
    return undefined
  }
}

/** The state that was captured. Throws when it can't be read, or what its definition throws. */
export function restore({ spec }: AnyDefinition, state: Uint8Array): unknown {
  const data = decode(state)
  return spec.handoff?.restore === undefined ? data : spec.handoff.restore(data as never)
}

/** A value as bytes; undefined when it isn't plain data. */
export function encode(value: unknown): Uint8Array | undefined {
  try {
    return Value.encode(value)
  } catch {
    return undefined
  }
}

/** The value that was encoded. Throws on anything else. */
export function decode(bytes: Uint8Array): unknown {
  const decoded = Value.decode(bytes)
  if (decoded === undefined) throw new Error("malformed state")
  return decoded.value
}
