/**
 * The tables of owners that are down: taken out of the index, kept aside, and put back when their owners
 * return and have said what they have done meanwhile.
 *
 * @module
 */
import * as Groups from "./groups.ts"
import type { Output, State } from "./ledger.ts"
import * as Ledger from "./ledger.ts"
import * as Rivals from "./rivals.ts"
import type * as Table from "./table.ts"
import type { Contents, Entry, Grant, Op } from "./table.ts"

/** Takes an owner's claims out of the index and keeps them aside. */
export function hide(state: State, now: number, table: Table.Table, outputs: Array<Output>): void {
  const contents: Contents = {
    entries: new Map(),
    grants: new Map(),
    served: new Set(),
    adopted: new Set(),
    taken: new Set(),
    memberships: Groups.ofTable(state.groups, table),
  }
  const { entries, grants, served, taken } = contents
  const { names, memberships } = table
  // A live rival that loses against what goes away is about to be retracted: it doesn't count.
  for (const name of Ledger.namesOf(state, table)) {
    const entry = Ledger.claimOf(state, table, name) as Entry
    entries.set(name, entry)
    Ledger.removeEntry(state, table, name, Ledger.REASON.down, outputs)
    const rival = state.index.get(name)
    if (rival !== undefined && Rivals.beats(state.policy, rival, entry)) served.add(name)
  }
  for (const slot of Ledger.slotsOf(state, table)) {
    const grant = Rivals.find(state.grants.get(slot), table) as Grant
    grants.set(slot, grant)
    Ledger.removeGrant(state, table, slot)
    const rival = state.grants.get(slot)
    if (rival !== undefined && Rivals.beatsGrant(rival, grant)) taken.add(slot)
  }
  for (const { group, pid } of contents.memberships)
    Ledger.removeMember(state, table, group, pid, Ledger.REASON.down, outputs)
  if (entries.size + grants.size > 0) state.hiding.push(contents)
  table.hidden = contents
  table.hiddenAt = now
  table.names = names
  table.memberships = memberships
  table.staging = undefined
}

/**
 * What an operation means to a table that is hidden, while its owner is coming back: what it has given up in
 * the meantime must not return first.
 */
export function apply(
  state: State,
  table: Table.Table,
  contents: Contents,
  op: Op,
  outputs: Array<Output>,
): void {
  const { entries, grants } = contents
  switch (op._tag) {
    case "Put":
      entries.set(op.name, { ...op, table, used: false, next: undefined })
      break
    case "Delete": {
      const entry = entries.get(op.name)
      entries.delete(op.name)
      if (entry !== undefined && op.reason === Ledger.REASON.conflict)
        Ledger.yielded(state, entry, outputs)
      break
    }
    case "Describe": {
      const entry = entries.get(op.name)
      if (entry !== undefined) entries.set(op.name, { ...entry, props: op.props })
      break
    }
    case "Grant":
      grants.set(op.slot, { ...op, table, next: undefined })
      break
    case "Release":
      grants.delete(op.slot)
      break
    case "Join":
    case "Quit": {
      const { group, pid } = op
      const rest = contents.memberships.filter((one) => one.group !== group || one.pid !== pid)
      contents.memberships = op._tag === "Join" ? [...rest, { ...op, table }] : rest
      break
    }
  }
}

/** The owner is back with the same epoch, and this is what it has: its claims return. */
export function show(state: State, table: Table.Table, outputs: Array<Output>): void {
  const contents = table.hidden as Contents
  table.returningAt = undefined
  state.hiding = state.hiding.filter((other) => other !== contents)
  table.hidden = undefined
  table.names = 0
  table.memberships = 0
  for (const membership of contents.memberships) {
    if (membership.time > state.seen) state.seen = membership.time
    Ledger.insertMember(state, membership, outputs)
  }
  for (const entry of contents.entries.values()) {
    if (entry.time > state.seen) state.seen = entry.time
    Ledger.insertEntry(state, { ...entry, used: false, next: undefined }, outputs)
    Ledger.retractName(state, entry.name, outputs)
  }
  for (const grant of contents.grants.values()) {
    Ledger.insertGrant(state, { ...grant, next: undefined })
    Ledger.retractGrant(state, grant.slot, outputs)
  }
}
