/**
 * Two states of one name become one: the state of the process that lost its name travels to the winner
 * as a call like any other, so that it finds the process also while it moves, and is known to have come.
 *
 * @module
 */

import type { Method } from "../definition.ts"
import type { Cell } from "./cell.ts"
import * as States from "./states.ts"

/** No user's method has this name: `Process.define` refuses it. */
export const NAME = "$merge"

/** Takes the encoded state of the loser. */
export const method: Method = {
  name: NAME,
  kind: "call",
  immediate: false,
  handler: (self, state) => merge(self as Cell, state),
}

/** A merge that fails changes nothing: the state that goes on is worth more than the one that ended. */
function merge(cell: Cell, bytes: unknown): void {
  const { handoff } = cell.hosted.definition.spec
  if (handoff?.merge === undefined || !(bytes instanceof Uint8Array)) return
  try {
    const theirs = States.restore(cell.hosted.definition, bytes) as never
    cell.state = handoff.merge(cell.state, theirs)
  } catch {
    cell.hosted.host.mergeFailed(cell)
  }
}
