/**
 * The order of rival claims and the chains that keep them: every claim of a name (or of a slot) by
 * different owners, the winner first. The order looks at the claims alone, never at who is asking, so
 * that all nodes pick the same winner.
 *
 * @module
 */
import type { Entry, Grant, Table } from "./table.ts"

/**
 * Which of two claims with equal generation wins: the earlier registration, the later one, or what a
 * function of the two says. It is given them by the order of their owners and must look at nothing else;
 * neither of them (or a throw) means that nobody keeps the name.
 */
export type Policy = "oldest" | "newest" | Resolver

/** Says which of two claims wins. */
export type Resolver = (a: Entry, b: Entry) => Entry | undefined

/** Whether claim `a` wins against `b`: generation, then by policy, then owner. Data only. */
export function beats(policy: Policy, a: Entry, b: Entry): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation
  if (typeof policy === "function") {
    const winner = resolve(policy, a, b)
    if (winner !== undefined) return winner === a
  }
  if (a.time !== b.time) return policy === "newest" ? a.time > b.time : a.time < b.time
  return a.table.owner < b.table.owner
}

/** Whether the owner of claim `a` may keep the name, as far as `b` goes: it wins, and was meant to. */
export function survives(policy: Policy, a: Entry, b: Entry): boolean {
  if (typeof policy !== "function" || a.generation !== b.generation) return beats(policy, a, b)
  return resolve(policy, a, b) === a
}

function resolve(resolver: Resolver, a: Entry, b: Entry): Entry | undefined {
  const [first, second] = a.table.owner < b.table.owner ? [a, b] : [b, a]
  try {
    const winner = resolver(first, second)
    return winner === first || winner === second ? winner : undefined
  } catch {
    return undefined
  }
}

/** Whether grant `a` wins against `b`: generation, then owner. */
export function beatsGrant(a: Grant, b: Grant): boolean {
  if (a.generation !== b.generation) return a.generation > b.generation
  return a.table.owner < b.table.owner
}

/** An element of a chain: the claim of one table, and the next best one. */
export type Linked<A> = { readonly table: Table; next: A | undefined }

/** The chain with this item at its place; `wins(a, b)` is true when `a` stands before `b`. */
export function link<A extends Linked<A>>(
  head: A | undefined,
  item: A,
  wins: (a: A, b: A) => boolean,
): A {
  if (head === undefined || wins(item, head)) {
    item.next = head
    return item
  }
  let at = head
  while (at.next !== undefined && !wins(item, at.next)) at = at.next
  item.next = at.next
  at.next = item
  return head
}

/** The chain without the item of this table; undefined when nothing is left. */
export function unlink<A extends Linked<A>>(head: A, table: Table): A | undefined {
  if (head.table === table) return head.next
  for (let at = head; at.next !== undefined; at = at.next) {
    if (at.next.table === table) {
      at.next = at.next.next
      break
    }
  }
  return head
}

/** The chain's item of this table. */
export function find<A extends Linked<A>>(head: A | undefined, table: Table): A | undefined {
  for (let at = head; at !== undefined; at = at.next) if (at.table === table) return at
  return undefined
}
