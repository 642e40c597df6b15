/**
 * What nodes that are down have left behind, and nobody who lives has taken over.
 *
 * @module
 */
import type { State } from "./ledger.ts"
import * as Rivals from "./rivals.ts"
import type { Entry, Grant } from "./table.ts"

/** The best claim of a name by a node that is down, unless a live node serves it or has done since. */
export function hidden(state: State, name: string): Entry | undefined {
  if (state.index.has(name)) return undefined
  let best: Entry | undefined
  for (const { entries, served } of state.hiding) {
    const entry = served.has(name) ? undefined : entries.get(name)
    if (entry !== undefined && (best === undefined || Rivals.beats(state.policy, entry, best)))
      best = entry
  }
  return best
}

/** Grants of nodes that are down, unless a live node has the slot or had it since: by slot. */
export function orphanGrants(state: State): ReadonlyArray<Grant> {
  const best = new Map<number, Grant>()
  for (const { grants, taken } of state.hiding) {
    for (const grant of grants.values()) {
      if (taken.has(grant.slot) || state.grants.has(grant.slot)) continue
      const other = best.get(grant.slot)
      if (other === undefined || Rivals.beatsGrant(grant, other)) best.set(grant.slot, grant)
    }
  }
  return [...best.values()].sort((a, b) => a.slot - b.slot)
}

/** The orphan grant of one slot. */
export function orphanGrant(state: State, slot: number): Grant | undefined {
  if (state.grants.has(slot)) return undefined
  let best: Grant | undefined
  for (const { grants, taken } of state.hiding) {
    const grant = taken.has(slot) ? undefined : grants.get(slot)
    if (grant !== undefined && (best === undefined || Rivals.beatsGrant(grant, best))) best = grant
  }
  return best
}

/** Claims of nodes that are down, unless a live node serves the name or has done since. */
export function orphanNames(state: State): ReadonlyArray<Entry> {
  const best = new Map<string, Entry>()
  for (const { entries, served, adopted } of state.hiding) {
    for (const entry of entries.values()) {
      const { name } = entry
      if (served.has(name) || adopted.has(name) || state.index.has(name)) continue
      const other = best.get(entry.name)
      if (other === undefined || Rivals.beats(state.policy, entry, other))
        best.set(entry.name, entry)
    }
  }
  return [...best.values()]
}

/** Whether a dead node's name has been served since, or this node has begun to take it over. */
export function cared(state: State, name: string): boolean {
  return state.hiding.some(({ served, adopted }) => served.has(name) || adopted.has(name))
}

/** Notes that this node takes a name over: it is registered again, or given up, but never twice. */
export function adopt(state: State, name: string): void {
  for (const { entries, adopted } of state.hiding) if (entries.has(name)) adopted.add(name)
}
