/**
 * Handles of groups: what `node.group` gives. They compute from what the node knows of the group, and call
 * its members through the node.
 *
 * @module
 */
import * as Core from "../../core/groups.ts"
import * as Keys from "../../core/key.ts"
import { decode, encode } from "../annotation.ts"
import * as Ref from "../calls/ref.ts"
import type { AnyDefinition, CallOptions, Joining, Ref as Reference } from "../definition.ts"
import { AlreadyMember, NoMember, NotMember, Overloaded } from "../errors.ts"
import { Feed } from "../feed.ts"
import { TICKS_PER_MILLI } from "../names/lookup.ts"
import type {
  Group,
  GroupEvent,
  GroupHandlers,
  GroupMember,
  GroupStanding,
  Picked,
  Several,
} from "./group.ts"
import type { Change, Result } from "./memberships.ts"
import * as Picks from "./picks.ts"

type Membership = Core.Membership

/** A process came to a group, went, or is another member now: at least one of the two is there. */
export interface Grouped {
  readonly before: Membership | undefined
  readonly after: Membership | undefined
  /** Why it went. */
  readonly reason: string
}

/** Who is told of what happens to a group. */
export interface Watcher {
  readonly grouped: (grouped: Grouped) => void
  /** The node ends. */
  readonly closed: () => void
}

/** What a handle needs from its node. */
export interface Grouper extends Picks.Messenger {
  /** The node's name, and the groups that it knows of now. */
  readonly known: { readonly node: string; readonly groups: Core.Groups }
  /** Has a membership changed at the node of its process; resolves when that is known here. */
  change(process: string, group: string, change: Change, options: CallOptions): Promise<Result>
  /** The same by a function of the metadata, called again for as long as somebody else is faster. */
  swap(
    process: string,
    group: string,
    next: (meta: Uint8Array | undefined) => Uint8Array | undefined,
    options: CallOptions,
  ): Promise<Result>
  /** A reference to a process, which may be of another definition than the group's. */
  ref(process: string, definition: AnyDefinition | undefined): Reference<AnyDefinition>
  /** A random integer from 0 to `below` - 1. */
  random(below: number): number
  /** Tells of what happens to the group, until the result is called. */
  watch(group: string, watcher: Watcher): () => void
  /** A handler of such an event threw. */
  failed(event: string, thrown: unknown): void
}

/** Tells groups of processes from what else the registry keeps as groups. */
const PREFIX = "g"

/** A group's name as the registry has it. Throws a TypeError on what isn't a key. */
export function nameOf(group: Keys.Key): string {
  return PREFIX + Keys.text(group)
}

/** The name of a user's group that the registry has; undefined when it is something else. */
export function keyOf(group: string): Keys.Key | undefined {
  if (!group.startsWith(PREFIX)) return undefined
  try {
    return Keys.parse(group.slice(PREFIX.length))
  } catch {
    return undefined
  }
}

/** A handle of one group. */
export class GroupRef<P extends AnyDefinition, M = unknown> implements Group<P, M> {
  readonly name: Keys.Key
  readonly #grouper: Grouper
  readonly #definition: P | undefined
  /** As the registry has it. */
  readonly #group: string

  /** Throws a TypeError on a name that isn't a key. */
  constructor(grouper: Grouper, name: Keys.Key, definition: P | undefined) {
    this.name = name
    this.#grouper = grouper
    this.#definition = definition
    this.#group = nameOf(name)
  }

  // --- memberships -------------------------------------------------------------------------------

  async join(ref: Reference<P>, options: Joining<M> & CallOptions = {}): Promise<void> {
    const process = processOf(ref)
    const { online = true } = options
    const meta = encode(process, options.meta)
    this.#done(process, await this.#change(process, { _tag: "Join", online, meta }, options))
  }

  async leave(ref: Reference<P>, options: CallOptions = {}): Promise<boolean> {
    try {
      return (await this.#change(processOf(ref), { _tag: "Leave" }, options))._tag === "Done"
    } catch (error) {
      if ((error as { readonly _tag?: unknown })._tag === "NoProcess") return false
      throw error
    }
  }

  async enable(ref: Reference<P>, options: CallOptions = {}): Promise<void> {
    const process = processOf(ref)
    this.#done(process, await this.#change(process, { _tag: "Turn", online: true }, options))
  }

  async disable(ref: Reference<P>, options: CallOptions = {}): Promise<void> {
    const process = processOf(ref)
    this.#done(process, await this.#change(process, { _tag: "Turn", online: false }, options))
  }

  async update(
    ref: Reference<P>,
    change: M | undefined | ((meta: M | undefined) => M | undefined),
    options: CallOptions = {},
  ): Promise<M | undefined> {
    const process = processOf(ref)
    let meta = encode(process, typeof change === "function" ? undefined : change)
    if (typeof change !== "function") {
      this.#done(process, await this.#change(process, { _tag: "Replace", meta }, options))
      return decode(meta) as M | undefined
    }
    const next = (before: Uint8Array | undefined): Uint8Array | undefined => {
      meta = encode(process, (change as (meta: unknown) => unknown)(decode(before)))
      return meta
    }
    this.#done(process, await this.#grouper.swap(process, this.#group, next, options))
    return decode(meta) as M | undefined
  }

  #change(process: string, change: Change, options: CallOptions): Promise<Result> {
    return this.#grouper.change(process, this.#group, change, options)
  }

  #done(process: string, result: Result): void {
    switch (result._tag) {
      case "AlreadyMember":
        throw new AlreadyMember(this.name, process)
      case "NotMember":
        throw new NotMember(this.name, process)
      case "Full":
        throw new Overloaded(process, "namesMax", result.max)
    }
  }

  // --- who is in it ------------------------------------------------------------------------------

  members(): ReadonlyArray<GroupMember<P, M>> {
    return this.#shown(this.#members())
  }

  online(): ReadonlyArray<GroupMember<P, M>> {
    return this.#shown(this.#members().filter(({ online }) => online))
  }

  local(): ReadonlyArray<GroupMember<P, M>> {
    return this.#shown(this.#local())
  }

  nodes(): ReadonlyArray<string> {
    return [...new Set(this.#members().map(({ table }) => table.owner))].sort()
  }

  get count(): number {
    return this.#members().length
  }

  any(): Reference<P> | undefined {
    const { node, groups } = this.#grouper.known
    const online = Core.online(groups, this.#group)
    const near = online.filter(({ table }) => table.owner === node)
    const from = near.length > 0 ? near : online
    const one = from.length > 1 ? from[this.#grouper.random(from.length)] : from[0]
    return one === undefined ? undefined : this.#ref(one.name)
  }

  find(key: Keys.Key): GroupMember<P, M> | undefined {
    const member = this.#first(Keys.text(key))
    return member === undefined ? undefined : this.#show(member)
  }

  findN(key: Keys.Key, n: number): ReadonlyArray<GroupMember<P, M>> {
    return this.#shown(this.#ranked(Keys.text(key), n))
  }

  #members(): ReadonlyArray<Membership> {
    return distinct(Core.members(this.#grouper.known.groups, this.#group))
  }

  #local(): ReadonlyArray<Membership> {
    const { node } = this.#grouper.known
    return this.#members().filter(({ table }) => table.owner === node)
  }

  #first(key: string): Membership | undefined {
    return Core.rank(this.#grouper.known.groups, this.#group, key, 1)[0]
  }

  /** The first members for a key. A process that is on the move counts once, and more are asked for. */
  #ranked(key: string, n: number): ReadonlyArray<Membership> {
    const { groups } = this.#grouper.known
    for (let count = n; ; ) {
      const found = Core.rank(groups, this.#group, key, count)
      const ranked = distinct(found)
      if (ranked.length === found.length || ranked.length >= n) return ranked.slice(0, n)
      if (found.length < count) return ranked
      count += n - ranked.length
    }
  }

  #shown(members: ReadonlyArray<Membership>): ReadonlyArray<GroupMember<P, M>> {
    return members.map((member) => this.#show(member))
  }

  #show(member: Membership): GroupMember<P, M> {
    return new Shown<P, M>(member, (process) => this.#ref(process))
  }

  #ref(process: string): Reference<P> {
    return this.#grouper.ref(process, this.#definition) as Reference<P>
  }

  // --- calls -------------------------------------------------------------------------------------

  byKey(key: Keys.Key): Picked<P> {
    const text = Keys.text(key)
    const pick = (): string | NoMember => this.#first(text)?.name ?? new NoMember(this.name)
    return Picks.one(this.#grouper, this.#definition, pick) as Picked<P>
  }

  get all(): Several<P, M> {
    return this.#several(() => this.#members().filter(({ online }) => online))
  }

  get here(): Several<P, M> {
    return this.#several(() => this.#local().filter(({ online }) => online))
  }

  nByKey(key: Keys.Key, n: number): Several<P, M> {
    const text = Keys.text(key)
    return this.#several(() => this.#ranked(text, n))
  }

  #several(pick: () => ReadonlyArray<Membership>): Several<P, M> {
    return Picks.several(this.#grouper, this.#definition, pick) as Several<P, M>
  }

  // --- events ------------------------------------------------------------------------------------

  on(handlers: GroupHandlers<P, M>): () => void {
    let over = false
    const off = this.#grouper.watch(this.#group, {
      // Behind everything that happens at the same moment, so that what they look at is whole.
      grouped: (grouped) =>
        queueMicrotask(() => {
          if (!over) this.#handle(handlers, this.#event(grouped))
        }),
      closed: () => {},
    })
    return () => {
      over = true
      off()
    }
  }

  #handle(handlers: GroupHandlers<P, M>, event: GroupEvent<P, M>): void {
    try {
      if (event._tag === "Joined") handlers.joined?.(event)
      else if (event._tag === "Left") handlers.left?.(event)
      else if (event._tag === "Updated") handlers.updated?.(event)
    } catch (thrown) {
      this.#grouper.failed(event._tag, thrown)
    }
  }

  events(): AsyncIterableIterator<GroupEvent<P, M>> {
    let off = (): void => {}
    const feed = new Feed<GroupEvent<P, M>>(
      (count) => ({ _tag: "EventsLost", count }),
      () => off(),
    )
    off = this.#grouper.watch(this.#group, {
      grouped: (grouped) => feed.push(this.#event(grouped)),
      closed: () => feed.close(),
    })
    return feed
  }

  #event({ before, after, reason }: Grouped): GroupEvent<P, M> {
    const group = this.name
    if (before === undefined) {
      if (after === undefined) throw new Error("BUG: nothing happened")
      return { _tag: "Joined", group, member: this.#show(after) }
    }
    const was = standing<M>(before)
    if (after === undefined) {
      return { _tag: "Left", group, member: this.#show(before), before: was, reason }
    }
    return { _tag: "Updated", group, member: this.#show(after), before: was }
  }
}

/** A membership as its users see it. What is costly is made when it is asked for. */
class Shown<P, M> implements GroupMember<P, M> {
  readonly process: string
  readonly node: string
  readonly online: boolean
  readonly joinedAt: number
  readonly #meta: Uint8Array | undefined
  readonly #make: (process: string) => Reference<P>

  constructor(member: Membership, make: (process: string) => Reference<P>) {
    const { node, online } = standing(member)
    this.process = member.name
    this.node = node
    this.online = online
    this.joinedAt = Math.floor(member.time / TICKS_PER_MILLI)
    this.#meta = member.meta
    this.#make = make
  }

  get meta(): M | undefined {
    return decode(this.#meta) as M | undefined
  }

  get ref(): Reference<P> {
    return this.#make(this.process)
  }
}

/** Each process once: one that is on the move is a member twice, at its old node and at its new one. */
function distinct(members: ReadonlyArray<Membership>): ReadonlyArray<Membership> {
  const latest = new Map<string, Membership>()
  for (const member of members) {
    const other = latest.get(member.name)
    if (other === undefined || other.time < member.time) latest.set(member.name, member)
  }
  return latest.size === members.length ? members : [...latest.values()]
}

function standing<M>({ table, online, meta }: Membership): GroupStanding<M> {
  return { node: table.owner, online, meta: decode(meta) as M | undefined }
}

function processOf(ref: unknown): string {
  const target = Ref.targetOf(ref)
  if (target === undefined)
    throw new TypeError("expected a reference, as node.start and node.ref give it")
  return target.name
}
