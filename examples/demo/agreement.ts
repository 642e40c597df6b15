/**
 * Whether the nodes agree, about each other and about who runs every counter.
 *
 * @module
 */
import { keys } from "./counter.ts"
import type { View } from "./node.ts"

/**
 * Whether these nodes, and no others, are members of each other, and every counter runs on one of
 * them: its owner, where the ring puts it. Each has its share, so the ring has all of them.
 */
export function settled(views: ReadonlyArray<View>, names: ReadonlyArray<string>): boolean {
  const [first] = views
  if (first === undefined || views.length !== names.length) return false
  const complete = views.every(({ members, owners, astray }) => {
    const up = Object.keys(members).filter((name) => members[name] === "up")
    const same = up.length === names.length && names.every((name) => up.includes(name))
    return same && astray === 0 && owners.every((owner, i) => owner === first.owners[i])
  })
  const shared = names.every((name) => first.owners.includes(name))
  const served = views.reduce((count, { serving }) => count + serving.length, 0)
  return complete && shared && served === keys.length && ownersMax(views) === 1
}

/** The largest number of nodes that run the same counter. */
export function ownersMax(views: ReadonlyArray<View>): number {
  return Math.max(...keys.map((key) => views.filter(({ serving }) => serving.includes(key)).length))
}
