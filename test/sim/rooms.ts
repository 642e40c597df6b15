/**
 * What the tests of names have in common: rooms that bear additional names, and clusters of them.
 *
 * @module
 */
import { type AnyDefinition, Process, type Ref } from "skein"
import type { SimNode } from "skein/testing"
import * as Shared from "./shared.ts"

interface Calls {
  readonly add: (self: Process.Self<{ n: number }>, by: number) => number
}

/** A process that stays where it was started, as what bears additional names should. */
export const Room: Process.Definition<"Room", { n: number }, undefined, Calls, object> =
  Process.define("Room", {
    state: () => ({ n: 0 }),
    calls: { add: (self: Process.Self<{ n: number }>, by: number) => (self.state.n += by) },
    handoff: { kind: "ignore" },
  })

/** A reference to a room. */
export type Room = Ref<typeof Room>

interface Cluster {
  readonly nodes: number
  readonly processes: ReadonlyArray<AnyDefinition>
}

/** Options of a simulation of two nodes. */
export const two: Cluster = { nodes: 2, processes: [Room] }
/** The same of three. */
export const three: Cluster = { nodes: 3, processes: [Room] }

/** Options of a simulation of two clusters of two nodes that don't know each other. */
export const twoClusters: Cluster & {
  readonly formed: false
  readonly options: (i: number) => { readonly connect: ReadonlyArray<string> }
} = {
  nodes: 4,
  processes: [Room],
  formed: false,
  options: (i) => ({ connect: i < 2 ? ["a", "b"] : ["c", "d"] }),
}

/** A key that the ring gives to this node, for a process of this definition, or of one of this name. */
export function keyAt(node: SimNode, definition: AnyDefinition | string = Room, from = 0): string {
  const of = typeof definition === "string" ? { ...Room, name: definition } : definition
  return Shared.keyAt(node, of, node.name, from)
}

/** A process that lives at this node. */
export function resident(node: SimNode, from = 0): Promise<Room> {
  return node.start(Room, keyAt(node, Room, from))
}
