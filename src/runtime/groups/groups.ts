/**
 * Groups at one node: brings calls to their members and changes to their memberships, and tells of what
 * happens to them. Who is a member is the core's to say, and `memberships.ts` tells it.
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import * as Core from "../../core/groups.ts"
import type * as Key from "../../core/key.ts"
import { REASON } from "../../core/registry.ts"
import * as Ref from "../calls/ref.ts"
import type { Router } from "../calls/router.ts"
import type { AnyDefinition, CallOptions, Method, Ref as Reference } from "../definition.ts"
import { Contended, NoMethod, reasonOf } from "../errors.ts"
import type { Parts } from "../parts.ts"
import { uint32 } from "../platform.ts"
import type { Names } from "../processes/names.ts"
import { type Grouped, type Grouper, keyOf, type Watcher } from "./groupref.ts"
import type { Change, Memberships, Reported, Result } from "./memberships.ts"

type Membership = Core.Membership

/** How often a change by function is tried, at most. */
const ATTEMPTS_MAX = 1_000
/** How often to look whether what another node has written has come. */
const LOOK_MILLIS = 5

/** What references to processes are made of whose definition nobody here knows. */
const BLANK: AnyDefinition = {
  name: "",
  spec: { state: () => undefined },
  calls: new Map(),
  casts: new Map(),
}

/** The groups that one node knows of. */
export class Groups implements Grouper {
  readonly #parts: Parts
  readonly #names: Names
  readonly #router: Router
  readonly #memberships: Memberships
  readonly #watched = new Map<string, Watched>()
  #closed = false

  constructor(parts: Parts, names: Names, router: Router, memberships: Memberships) {
    this.#parts = parts
    this.#names = names
    this.#router = router
    this.#memberships = memberships
  }

  get known(): Grouper["known"] {
    const { name, core } = this.#parts
    return { node: name, groups: core.registry.groups }
  }

  random(below: number): number {
    return uint32(this.#parts.platform) % below
  }

  /** The names of the users' groups that have members. */
  names(): Array<Key.Key> {
    const names: Array<Key.Key> = []
    for (const group of Core.all(this.known.groups)) {
      const name = keyOf(group)
      if (name !== undefined) names.push(name)
    }
    return names
  }

  // --- memberships -------------------------------------------------------------------------------

  async change(
    process: string,
    group: string,
    change: Change,
    { timeout = Ref.TIMEOUT_MILLIS, signal }: CallOptions,
  ): Promise<Result> {
    const cell = this.#names.here(process)
    // Without a call, when there would be none to wait for.
    if (cell !== undefined && signal === undefined && this.#router.direct(cell)) {
      return this.#memberships.change(cell, group, change)
    }
    const deadline = this.#parts.platform.now() + timeout
    const { method } = this.#memberships
    const target = this.#target(process)
    const args = [group, change]
    const result = (await this.#router.call(target, method, args, timeout, signal)) as Reported
    await this.#caughtUp(result, deadline)
    return result
  }

  async swap(
    process: string,
    group: string,
    next: (meta: Uint8Array | undefined) => Uint8Array | undefined,
    options: CallOptions,
  ): Promise<Result> {
    const { platform } = this.#parts
    const { timeout = Ref.TIMEOUT_MILLIS } = options
    const deadline = platform.now() + timeout
    const members = Core.members(this.known.groups, group)
    let before = members.find((member) => member.name === process)?.meta
    for (let attempts = 0; attempts < ATTEMPTS_MAX; attempts++) {
      const swap = { _tag: "Swap", before, meta: next(before) } as const
      const left = deadline - platform.now()
      if (left <= 0) throw new Contended(process, attempts)
      const result = await this.change(process, group, swap, { ...options, timeout: left })
      if (result._tag !== "Differs") return result
      before = result.meta
    }
    throw new Contended(process, ATTEMPTS_MAX)
  }

  /** The answer comes behind the registration; but when that was lost on the way, it is sent again later. */
  async #caughtUp({ node, epoch, seq }: Reported, deadline: number): Promise<void> {
    const { platform } = this.#parts
    for (;;) {
      const table = this.#parts.core.registry.tables.get(node)
      const missing = table?.epoch === epoch && table.hidden === undefined && table.seq < seq
      if (!missing || platform.now() >= deadline) return
      await new Promise<void>((resolve) => void platform.timer(LOOK_MILLIS, resolve))
    }
  }

  // --- calls -------------------------------------------------------------------------------------

  call(
    process: string,
    name: string,
    args: ReadonlyArray<unknown>,
    timeoutMillis: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const target = this.#target(process)
    const method = methodOf(target, name, "call")
    if (method === undefined) return Promise.reject(new NoMethod(process, name))
    return this.#router.call(target, method, args, timeoutMillis, signal)
  }

  cast(process: string, name: string, args: ReadonlyArray<unknown>): void {
    const target = this.#target(process)
    const method = methodOf(target, name, "cast")
    if (method === undefined) throw new NoMethod(process, name)
    this.#router.cast(target, method, args)
  }

  #target(process: string): Ref.Target {
    const definition = this.#names.hosted(process)?.definition ?? BLANK
    return { definition, key: Ref.keyOf(process), name: process, cache: undefined }
  }

  ref(process: string, definition: AnyDefinition | undefined): Reference<AnyDefinition> {
    const own = this.#names.hosted(process)?.definition ?? definition ?? BLANK
    return Ref.make(this.#router, own, process)
  }

  // --- events ------------------------------------------------------------------------------------

  watch(group: string, watcher: Watcher): () => void {
    if (this.#closed) {
      watcher.closed()
      return () => {}
    }
    let watched = this.#watched.get(group)
    if (watched === undefined) {
      watched = new Watched(Core.members(this.known.groups, group))
      this.#watched.set(group, watched)
    }
    const { watchers } = watched
    watchers.add(watcher)
    return () => {
      watchers.delete(watcher)
      if (watchers.size === 0 && this.#watched.get(group)?.watchers === watchers)
        this.#watched.delete(group)
    }
  }

  /** A membership began, ended, or is another now. */
  grouped(output: Extract<Cluster.Output, { readonly _tag: "Grouped" }>): void {
    const watched = this.#watched.get(output.group)
    const grouped = watched?.take(output)
    if (grouped === undefined) return
    for (const watcher of [...(watched?.watchers ?? [])]) watcher.grouped(grouped)
  }

  failed(event: string, thrown: unknown): void {
    const reason = reasonOf(thrown)
    this.#parts.events.emit({ _tag: "ListenerFailed", event, reason })
  }

  /** The node ends. */
  close(): void {
    this.#closed = true
    const watched = [...this.#watched.values()]
    this.#watched.clear()
    for (const { watchers } of watched) for (const watcher of [...watchers]) watcher.closed()
  }
}

/** The member's own method, whatever the caller takes it for: its handler may be run right here. */
function methodOf(
  { definition }: Ref.Target,
  name: string,
  kind: "call" | "cast",
): Method | undefined {
  if (definition !== BLANK) {
    return kind === "call" ? definition.calls.get(name) : definition.casts.get(name)
  }
  // Only its node can tell; and these are none of the users'.
  if (name.startsWith("$")) return undefined
  return { name, kind, immediate: false, handler: () => undefined }
}

/**
 * A group that somebody listens to. A process that moves is for a moment a member at both nodes, one that
 * was started on both sides of a split until one of the two ends: the latest counts, and what is told of is
 * the process and not its memberships.
 */
class Watched {
  readonly watchers = new Set<Watcher>()
  /** By process, the latest last. */
  readonly #memberships = new Map<string, Array<Membership>>()

  constructor(members: ReadonlyArray<Membership>) {
    for (const member of members) this.take({ before: undefined, after: member, reason: "" })
  }

  /** What a change of a membership means for its process; undefined when it means nothing. */
  take({ before, after, reason }: Grouped): Grouped | undefined {
    const { name } = (after ?? before) as Membership
    const known = this.#memberships.get(name) ?? []
    const was = known.at(-1)
    let rest = known.filter((each) => each !== before && each !== after)
    if (after !== undefined) rest.push(after)
    // The process is gone, or left: what is earlier is what it was before it moved, and about to end too.
    else if (was === before && !OUTLIVED.has(reason)) rest = []
    rest.sort((a, b) => a.time - b.time)
    if (rest.length > 0) this.#memberships.set(name, rest)
    else this.#memberships.delete(name)
    const is = rest.at(-1)
    return was === is ? undefined : { before: was, after: is, reason }
  }
}

/** Why one membership of a process may end, and an earlier one of another node be what counts. */
const OUTLIVED: ReadonlySet<string> = new Set([REASON.conflict, REASON.down, REASON.moved])
