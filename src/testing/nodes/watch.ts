/**
 * The guard over a simulation of nodes: it knows whose code runs, and what stands in for the real clocks and
 * randomness there.
 *
 * @module
 */
import type { Complaint } from "../runs/check.ts"
import * as Guard from "./guard.ts"
import type { Nodes } from "./nodes.ts"

/** A guard that is on. */
export interface Watch {
  /** Code of these nodes, or of their test, runs from now on; undefined: none does. */
  inside(nodes: Nodes | undefined): void
  /** The first leak that was thrown, whatever became of it. */
  leaked(): Complaint | undefined
  /** Takes the guard away. */
  end(): void
}

/** Puts a guard up. */
export function begin(mode: Guard.Mode): Watch {
  let running: Nodes | undefined
  let leak: Guard.NondeterminismLeak | undefined
  const end = Guard.install({
    mode,
    current: () => (running === undefined ? undefined : guarded(running)),
    warn: ({ message }) => void globalThis.console?.warn(message),
    thrown: (thrown) => {
      leak ??= thrown
    },
  })
  return {
    inside: (nodes) => {
      running = nodes
    },
    leaked: () => (leak === undefined ? undefined : { check: "leak", message: leak.message }),
    end,
  }
}

/** Whose code runs now, and what stands in for the real things. */
function guarded(nodes: Nodes): Guard.Guarded | undefined {
  const { current } = nodes.world
  const host = nodes.network.hosts[current?.index ?? 0]
  const platform = host === undefined ? undefined : nodes.programs.get(host)?.platform
  if (platform === undefined) return undefined
  return { ...platform, where: current === undefined ? "the test" : `node "${current.name}"` }
}
