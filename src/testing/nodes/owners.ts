/**
 * The promise that every simulation of nodes checks by itself: inside one connected, settled component at
 * most one live owner per name.
 *
 * @module
 */
import * as Invariants from "../../core/invariants.ts"
import type { Complaint } from "../runs/check.ts"
import type { Nodes } from "./nodes.ts"

/** Looks for rivals whenever a node has said something: nothing else changes who is an owner. */
export function watch(nodes: Nodes): () => Complaint | undefined {
  let changed = false
  nodes.watchers.add(() => {
    changed = true
  })
  return () => {
    if (!changed) return undefined
    changed = false
    const message = rivals(nodes)
    return message === undefined ? undefined : { check: "one-owner", message }
  }
}

/** Two nodes of one settled component that both serve a name; undefined when there are none. */
export function rivals(nodes: Nodes): string | undefined {
  const engines = new Map(nodes.serving().map((engine) => [engine.core, engine]))
  for (const component of Invariants.components([...engines.keys()])) {
    if (component.length < 2) continue
    const owners = new Map<string, string>()
    for (const state of component) {
      const engine = engines.get(state)
      if (engine === undefined) continue
      for (const name of nodes.served(engine)) {
        const other = owners.get(name)
        if (other !== undefined) return `two live owners of ${name}: ${other}, ${engine.name}`
        owners.set(name, engine.name)
      }
    }
  }
  return undefined
}
