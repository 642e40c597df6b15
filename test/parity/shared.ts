/**
 * Simulated clusters for the tests of parity, and what they ask of them.
 *
 * @module
 */
import type { Node, NodeEvent } from "skein"
import { type Sim, type SimNode, type SimulateOptions, simulate } from "skein/testing"

/** A simulation of at least three nodes. */
export interface Stage {
  readonly sim: Sim
  readonly a: SimNode
  readonly b: SimNode
  readonly c: SimNode
}

/** A test's body that is simulated with three nodes, unless the options say more. */
export function staged(
  options: Partial<SimulateOptions>,
  body: (stage: Stage) => Promise<void>,
): () => Promise<void> {
  return async () => {
    await simulate({ nodes: 3, ...options }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await body({ sim, a, b, c })
    })
  }
}

/** The members that a node counts as living. */
export function up(node: Node): ReadonlyArray<string> {
  return node
    .members()
    .filter(({ status }) => status === "up" || status === "joining" || status === "suspect")
    .map(({ name }) => name)
}

/** What is listed to be connected, and how it stands: `b connected`. What is being dialled is waiting. */
export function listed(node: Node): ReadonlyArray<string> {
  return node
    .connections()
    .map(({ address, state }) => `${address} ${state === "dialling" ? "waiting" : state}`)
}

/** The events of one kind that were told so far, and where. */
export function told<T extends NodeEvent["_tag"]>(
  sim: Sim,
  tag: T,
): ReadonlyArray<{
  readonly at: number
  readonly node: string
  readonly event: Extract<NodeEvent, { readonly _tag: T }>
}> {
  return sim.events.filter(({ event }) => event._tag === tag) as never
}
