/**
 * Whether the nodes agree, about each other and about who runs every counter.
 *
 * @module
 */
import { keys } from "./counter.ts"
import type { View } from "./node.ts"

/**
 * What keeps these nodes, and no others, from being members of each other, with every counter running
 * on one of them: its owner, where the ring puts it. Undefined when nothing does.
 */
export function objection(
  views: ReadonlyArray<View>,
  names: ReadonlyArray<string>,
): string | undefined {
  const [first] = views
  if (first === undefined || views.length !== names.length) return "not all nodes have been heard"
  for (const { name, members, owners, astray, serving } of views) {
    const up = Object.keys(members).filter((member) => members[member] === "up")
    const same = up.length === names.length && names.every((member) => up.includes(member))
    if (!same) return `${name} sees ${JSON.stringify(members)}`
    const other = owners.filter((owner, i) => owner !== first.owners[i]).length
    if (other > 0) return `${name} and ${first.name} disagree about ${other} counters`
    if (astray > 0) return `${astray} counters are not where the ring of ${name} puts them`
    // The ring has all nodes: with so many counters each has some.
    if (!owners.includes(name)) return `${name} has no share of the counters`
    const owned = owners.filter((owner) => owner === name).length
    if (serving.length !== owned)
      return `${name} owns ${owned} counters, and runs ${serving.length}`
  }
  return ownersMax(views) === 1 ? undefined : "a counter runs on two nodes"
}

/** The largest number of nodes that run the same counter. */
export function ownersMax(views: ReadonlyArray<View>): number {
  return Math.max(...keys.map((key) => views.filter(({ serving }) => serving.includes(key)).length))
}
