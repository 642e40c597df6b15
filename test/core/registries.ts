/**
 * A handful of registries and the messages between them, which the test may lose, repeat and reorder
 * as it likes. It keeps what is needed to judge them: every operation an owner ever wrote, and the
 * names each node believes to hold.
 */
import assert from "node:assert/strict"
import * as Groups from "../../src/core/groups.ts"
import * as Invariants from "../../src/core/invariants.ts"
import * as Ledger from "../../src/core/ledger.ts"
import type { Entry, Op } from "../../src/core/registry.ts"
import * as Registry from "../../src/core/registry.ts"
import type * as Table from "../../src/core/table.ts"

export interface Flight {
  readonly from: string
  readonly to: string
  readonly message: Registry.Message
}

/** One registry and what an observer knows of it. */
export interface Site {
  state: Registry.State
  /** The names put here, not deleted, and not reported lost. */
  readonly held: Set<string>
  readonly heldSlots: Set<number>
  /** Its own memberships that it hasn't quit, as `pid group`. */
  readonly joined: Set<string>
  /** The index as told by events alone. */
  readonly shadow: Map<string, Entry>
  /** The groups as told by events alone: members by owner, process and group. */
  readonly members: Map<string, Groups.Membership>
  readonly lost: Array<Registry.Output>
  /** Why claims and memberships aren't what they were any more, as told. */
  readonly reasons: Array<string>
  readonly seqs: Map<string, number>
}

/** All sites, what is on its way between them, and what every owner wrote. */
export interface World {
  readonly sites: Map<string, Site>
  flights: Array<Flight>
  readonly logs: Map<string, Array<Op>>
  now: number
  wall: number
  /** Operations that have been sent, snapshots included. */
  sentOps: number
  policy: Registry.Policy
  /** Whether claims are in an order: a resolver may let them beat each other in a circle. */
  readonly ordered: boolean
}

export function create(
  count: number,
  policy: Registry.Policy = "oldest",
  ordered: boolean = true,
): World {
  const world: World = {
    sites: new Map(),
    flights: [],
    logs: new Map(),
    now: 0,
    wall: 1_700_000_000_000,
    sentOps: 0,
    policy,
    ordered,
  }
  for (let i = 0; i < count; i++) birth(world, String.fromCharCode(97 + i), 1)
  return world
}

/** A node starts, or starts again, with this epoch: everything it knew is gone. */
export function birth(world: World, name: string, epoch: number): void {
  world.flights = world.flights.filter(({ to }) => to !== name)
  world.sites.set(name, {
    state: Registry.init({ name, epoch, policy: world.policy }),
    held: new Set(),
    heldSlots: new Set(),
    joined: new Set(),
    shadow: new Map(),
    members: new Map(),
    lost: [],
    reasons: [],
    seqs: new Map(),
  })
}

export function site(world: World, name: string): Site {
  const found = world.sites.get(name)
  assert.ok(found !== undefined, `no site ${name}`)
  return found
}

/** One step of one site, with all that has to hold after every step. */
export function step(world: World, name: string, input: Registry.Input): void {
  const at = site(world, name)
  const before = at.state.self
  const seq = before.seq
  if (input._tag === "Put") at.held.add(input.name)
  if (input._tag === "Delete") at.held.delete(input.name)
  if (input._tag === "Grant") at.heldSlots.add(input.slot)
  if (input._tag === "Release") at.heldSlots.delete(input.slot)
  if (input._tag === "Join") at.joined.add(`${input.pid} ${input.group}`)
  if (input._tag === "Quit") at.joined.delete(`${input.pid} ${input.group}`)
  const { state, outputs } = Registry.step(at.state, input)
  at.state = state
  const { self } = state
  record(world, self, self === before ? seq : 0)
  for (const output of outputs) heed(world, name, at, output)
  check(at, world.ordered)
}

function record(world: World, self: Table.Table, since: number): void {
  const key = `${self.owner} ${self.epoch}`
  const log = world.logs.get(key) ?? []
  world.logs.set(key, log)
  assert.equal(log.length, since)
  // `seq` operations in all; those of this step are the last ones of the log.
  log.push(...self.log.slice(self.log.length - (self.seq - since)))
  assert.equal(log.length, self.seq)
}

function heed(world: World, name: string, at: Site, output: Registry.Output): void {
  switch (output._tag) {
    case "Send":
      world.sentOps += "ops" in output.message ? output.message.ops.length : 0
      if (world.sites.has(output.to))
        world.flights.push({ from: name, to: output.to, message: output.message })
      break
    case "Broadcast":
      for (const to of world.sites.keys()) {
        if (to === name) continue
        world.sentOps += "ops" in output.message ? output.message.ops.length : 0
        world.flights.push({ from: name, to, message: output.message })
      }
      break
    case "Changed":
      assert.equal(at.shadow.get(output.name), output.before, `before of ${output.name}`)
      if (output.after === undefined) at.shadow.delete(output.name)
      else at.shadow.set(output.name, output.after)
      at.reasons.push(`${output.name}: ${output.reason}`)
      break
    case "Grouped": {
      const { group, before, after } = output
      const { table, pid } = (before ?? after) as Groups.Membership
      const id = `${table.owner} ${pid} ${group}`
      assert.equal(at.members.get(id), before, `before of ${id}`)
      if (after === undefined) at.members.delete(id)
      else at.members.set(id, after)
      at.reasons.push(`${group}: ${output.reason}`)
      break
    }
    case "Lost":
      at.held.delete(output.entry.name)
      at.lost.push(output)
      break
    case "GrantLost":
      at.heldSlots.delete(output.slot)
      at.lost.push(output)
      break
  }
}

function check(at: Site, ordered: boolean): void {
  const { state, seqs } = at
  for (const table of state.tables.values()) {
    const key = `${table.owner} ${table.epoch}`
    const earlier = seqs.get(key) ?? 0
    assert.ok(
      table.seq >= earlier,
      `22: the sequence of ${key} went from ${earlier} to ${table.seq}`,
    )
    seqs.set(key, table.seq)
  }
  assert.equal(at.shadow.size, state.index.size, "28: as many names as the events told of")
  for (const [name, entry] of state.index)
    assert.equal(at.shadow.get(name), entry, `28: the events told of ${name} as it is`)
  if (ordered) assert.equal(Invariants.ranked(state), undefined, "22, 23, 25")
  for (const name of at.held)
    assert.equal(Registry.lookup(state, name)?.table, state.self, `25: ${name} is mine`)
  const members = [...Groups.all(state.groups)].flatMap((group) =>
    Groups.members(state.groups, group).slice(),
  )
  assert.equal(members.length, at.members.size, "28: as many members as the events told of")
  for (const member of members) {
    const id = `${member.table.owner} ${member.pid} ${member.group}`
    assert.equal(at.members.get(id), member, `28: the events told of ${id} as it is`)
  }
  for (const id of at.joined) {
    const [pid, group] = id.split(" ") as [string, string]
    const member = Groups.find(state.groups, group, state.name, Number(pid))
    assert.equal(member?.table, state.self, `25: ${id} is mine`)
  }
}

/** What has to hold at every moment, the dear part: tables are folds, winners are the best claims. */
export function judge(world: World): void {
  for (const { state } of world.sites.values()) {
    const claims = new Map<string, Array<Entry>>()
    const members: Array<string> = []
    for (const table of state.tables.values()) {
      const log = world.logs.get(`${table.owner} ${table.epoch}`) ?? []
      assert.ok(log.length >= table.seq, "a replica is ahead of its owner")
      const expected = fold(log.slice(0, table.seq))
      assert.deepEqual(
        contents(state, table),
        expected,
        `21: ${table.owner}'s table at ${state.name}`,
      )
      if (table.hidden !== undefined) continue
      for (const name of expected.names.keys()) {
        const entry = Ledger.claimOf(state, table, name) as Entry
        const rivals = claims.get(name)
        if (rivals === undefined) claims.set(name, [entry])
        else rivals.push(entry)
      }
      for (const one of expected.members.values()) members.push(`${one.group} ${table.owner}`)
    }
    const groups = [...Groups.all(state.groups)].flatMap((group) =>
      Groups.members(state.groups, group).map(({ table }) => `${group} ${table.owner}`),
    )
    assert.deepEqual(groups.sort(), members.sort(), "26: the members of groups")
    assert.deepEqual([...state.index.keys()].sort(), [...claims.keys()].sort(), "26: the names")
    for (const [name, rivals] of claims)
      assert.equal(Registry.lookup(state, name), best(rivals, world.policy), `23: ${name}`)
  }
}

/** The winner among claims, written down independently of the registry. */
export function best(rivals: ReadonlyArray<Entry>, policy: Registry.Policy): Entry | undefined {
  const direction = policy === "newest" ? -1 : 1
  return [...rivals].sort(
    (a, b) =>
      b.generation - a.generation ||
      (typeof policy === "function" ? worth(b) - worth(a) : 0) ||
      direction * (a.time - b.time) ||
      (a.table.owner < b.table.owner ? -1 : 1),
  )[0]
}

/** The claim with the greater first byte of its metadata; of equal ones none. */
export const dearest: Registry.Resolver = (a, b) =>
  worth(a) === worth(b) ? undefined : worth(a) > worth(b) ? a : b

function worth({ props }: Entry): number {
  return props?.bytes[0] ?? 0
}

interface Fold {
  readonly names: ReadonlyMap<string, unknown>
  readonly slots: ReadonlyMap<number, unknown>
  readonly members: ReadonlyMap<string, Member>
}

interface Member {
  readonly group: string
  readonly rest: ReadonlyArray<unknown>
}

export function fold(ops: ReadonlyArray<Op>): Fold {
  const names = new Map<string, object>()
  const slots = new Map<number, object>()
  const members = new Map<string, Member>()
  for (const op of ops) {
    if (op._tag === "Put") {
      const { generation, pid, time, meta, sticky } = op
      names.set(op.name, { generation, pid, time, sticky, meta: data(meta), ...described(op) })
    } else if (op._tag === "Describe") {
      const known = names.get(op.name)
      if (known !== undefined) names.set(op.name, { ...known, ...described(op) })
    } else if (op._tag === "Grant") slots.set(op.slot, { generation: op.generation })
    else if (op._tag === "Join") {
      const { group, pid, name, time, online, meta } = op
      members.set(`${pid} ${group}`, { group, rest: [pid, name, time, online, data(meta)] })
    } else if (op._tag === "Quit") members.delete(`${op.pid} ${op.group}`)
    else if (op._tag === "Delete") names.delete(op.name)
    else slots.delete(op.slot)
  }
  return { names, slots, members }
}

function described({ props }: { readonly props: Registry.Props | undefined }): object {
  return { version: props?.version, bytes: data(props?.bytes) }
}

function data(bytes: Uint8Array | undefined): ReadonlyArray<number | undefined> {
  return [bytes?.length, bytes?.[0], bytes?.[1]]
}

function contents(state: Registry.State, table: Table.Table): Fold {
  if (table.hidden === undefined) return fold(Ledger.contentsAsOps(state, table))
  const ops: Array<Op> = []
  for (const entry of table.hidden.entries.values()) ops.push({ ...entry, _tag: "Put" })
  for (const grant of table.hidden.grants.values()) ops.push({ ...grant, _tag: "Grant" })
  for (const membership of table.hidden.memberships) ops.push({ ...membership, _tag: "Join" })
  return fold(ops)
}

/** Delivers one message, as it was sent. */
export function deliver(world: World, { from, to, message }: Flight): void {
  step(world, to, { _tag: "Message", now: world.now, from, message })
}

/** Delivers everything in order, and what follows from it, until nothing is on its way. */
export function drain(world: World): void {
  for (let n = 0; world.flights.length > 0; n++) {
    assert.ok(n < 100_000, "messages without end")
    deliver(world, world.flights.shift() as Flight)
  }
}

/** `peer` becomes a member in the eyes of `name`. */
export function up(world: World, name: string, peer: string): void {
  const { epoch } = site(world, peer).state.self
  step(world, name, { _tag: "MemberUp", now: world.now, name: peer, epoch })
}

/** `peer` is down in the eyes of `name`. */
export function down(world: World, name: string, peer: string): void {
  const epoch = site(world, name).state.tables.get(peer)?.epoch
  if (epoch !== undefined)
    step(world, name, { _tag: "MemberDown", now: world.now, name: peer, epoch })
}

/** Everybody sees everybody. */
export function meet(world: World): void {
  for (const name of world.sites.keys())
    for (const peer of world.sites.keys()) if (peer !== name) up(world, name, peer)
}

/** Everybody sees everybody and messages arrive; rounds until digests agree, at most `roundsMax`. */
export function settle(world: World, roundsMax: number = 12): number {
  meet(world)
  for (let round = 0; ; round++) {
    for (const name of world.sites.keys()) step(world, name, { _tag: "Flush" })
    drain(world)
    const digests = new Set([...world.sites.values()].map(({ state }) => Registry.digest(state)))
    const done = [...world.sites.values()].every(({ state }) => state.sent === state.self.seq)
    if (digests.size === 1 && done) return round
    assert.ok(round < roundsMax, "26: digests differ for ever")
    world.now += 300
    gossip(world)
  }
}

/** Every node hears every other's digest. */
export function gossip(world: World): void {
  for (const [name, { state }] of world.sites) {
    const digest = Registry.digest(state)
    for (const peer of world.sites.keys()) {
      if (peer !== name)
        step(world, peer, { _tag: "PeerDigest", now: world.now, peer: name, digest })
    }
  }
}

export function put(
  world: World,
  name: string,
  key: string,
  generation: number = 1,
  meta?: Uint8Array,
  worth?: number,
): void {
  world.wall++
  const props = worth === undefined ? undefined : { version: 1, bytes: new Uint8Array([worth]) }
  const { wall } = world
  step(world, name, { _tag: "Put", wall, name: key, generation, pid: wall, meta, props })
}

/** Gives a name of this node other metadata. */
export function describe(world: World, name: string, key: string, worth: number): void {
  const version = 1 + (lookup(world, name, key)?.props?.version ?? 0)
  const props = { version, bytes: new Uint8Array([worth]) }
  step(world, name, { _tag: "Describe", name: key, props })
}

/** A process of this node joins a group, or is another member now. */
export function join(
  world: World,
  name: string,
  group: string,
  pid: number,
  more: { readonly online?: boolean; readonly meta?: Uint8Array | undefined } = {},
): void {
  world.wall++
  const { online = true, meta } = more
  const { wall } = world
  step(world, name, { _tag: "Join", wall, group, pid, name: `process/${pid}`, online, meta })
}

/** The members of a group in the eyes of every node, as `owner pid`, in the order of the nodes. */
export function members(world: World, group: string): ReadonlyArray<ReadonlyArray<string>> {
  return [...world.sites.values()].map(({ state }) =>
    Groups.members(state.groups, group).map(({ table: of, pid }) => `${of.owner} ${pid}`),
  )
}

/** Who holds a name in the eyes of every node, in the order of the nodes. */
export function holders(world: World, key: string): ReadonlyArray<string | undefined> {
  return [...world.sites.values()].map(({ state }) => Registry.lookup(state, key)?.table.owner)
}

/** The same log, as if it were too old to serve ranges from. */
export function forget(table: Table.Table, keep: number): void {
  table.log = keep === 0 ? [] : table.log.slice(-keep)
}

/** The winning claim of a name in the eyes of one node. */
export function lookup(world: World, name: string, key: string): Entry | undefined {
  return Registry.lookup(site(world, name).state, key)
}

/** What a node has of an owner's table. */
export function table(world: World, name: string, owner: string): Table.Table {
  const found = site(world, name).state.tables.get(owner)
  assert.ok(found !== undefined, `${name} has no table of ${owner}`)
  return found
}
