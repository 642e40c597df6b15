/**
 * What cores alone have besides plain names: names that stay at their node, names of a named supervisor,
 * metadata, and members of groups. What the suites ask for, and what must be true of it in the end.
 *
 * @module
 */
import * as Groups from "../../src/core/groups.ts"
import * as Registry from "../../src/core/registry.ts"
import type { Core, Cores } from "../../src/testing/cores/cores.ts"

/** The named supervisor. */
export const SUPERVISOR = "sup"
const KEYS = 4
const GROUPS = 3

/** Names that are sticky, the supervisor's, or both. */
export const others: ReadonlyArray<string> = ["stay/", "sup:count/", "sup:stay/"].flatMap((kind) =>
  Array.from({ length: KEYS }, (_, i) => `${kind}${i}`),
)

/** Whether a name is one of the named supervisor's. */
export function supervised(name: string): boolean {
  return name.startsWith(`${SUPERVISOR}:`)
}

/** Whether a name stays at its node. */
export function sticky(name: string): boolean {
  return name.includes("stay/")
}

/** The operations that there are for them. */
export const operations = ["label", "enroll", "dismiss", "enlist"] as const

/** What can be done with what names and nodes have. */
export type Operation = (typeof operations)[number]

/** Whether it is one of them. */
export function isOperation(operation: string): operation is Operation {
  return (operations as ReadonlyArray<string>).includes(operation)
}

/** Does it: with a name, or with a node itself. */
export function operate(
  cores: Cores,
  operation: Operation,
  { name, node, n }: { readonly name: string; readonly node: Core | undefined; readonly n: number },
): boolean {
  const group = `g${n % GROUPS}`
  switch (operation) {
    case "label":
      return cores.label(name, labelOf(n))
    case "enroll":
      return cores.enroll(name, group)
    case "dismiss":
      return cores.dismiss(name, group)
    case "enlist":
      node?.shell.enlist(`t${n % GROUPS}`)
      return true
  }
}

/** The metadata that a number stands for. */
export function labelOf(n: number): Uint8Array {
  return new Uint8Array([n & 255, n >> 8])
}

/** In the end: everybody knows of each process its metadata, and has in each group who joined and is there. */
export function known(nodes: ReadonlyArray<Core>): string | undefined {
  const truth = joined(nodes)
  for (const { name: at, state } of nodes) {
    const { registry } = state
    for (const { name: owner, shell } of nodes) {
      for (const { name, props } of shell.processes.values()) {
        const entry = Registry.lookup(registry, name)
        if (entry?.table.owner !== owner) return `${at} doesn't know that ${owner} has ${name}`
        if (entry.sticky !== sticky(name)) return `${at} takes ${name} for what it isn't`
        const [one, other] = [entry.props?.bytes.join(), props?.bytes.join()]
        if (one !== other) return `${at} has ${one} of ${name}, which is ${other} at ${owner}`
      }
    }
    const seen = [...Groups.all(registry.groups)].flatMap((group) =>
      Groups.members(registry.groups, group).map(({ table, pid }) => id(group, table.owner, pid)),
    )
    for (const one of seen) if (!truth.has(one)) return `${at} takes ${one} for a member still`
    if (seen.length !== truth.size) return `${at} knows ${seen.length} of ${truth.size} members`
  }
  return undefined
}

function joined(nodes: ReadonlyArray<Core>): ReadonlySet<string> {
  const all = new Set<string>()
  for (const { name, shell } of nodes) {
    for (const group of shell.enlisted) all.add(id(group, name, 0))
    for (const { pid, groups } of shell.processes.values())
      for (const group of groups) all.add(id(group, name, pid))
  }
  return all
}

function id(group: string, owner: string, pid: number): string {
  return `${owner}/${pid} of ${group}`
}
