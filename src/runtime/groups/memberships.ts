/**
 * What the processes of this node are members of. A membership begins, changes and ends here, at the node
 * of its process; all others hear of it by the registry.
 *
 * @module
 */
import * as Keys from "../../core/key.ts"
import { type MovingMembership, REASON_MAX } from "../../wire/message.ts"
import { BYTES_MAX, encode } from "../annotation.ts"
import type { Joining, Method } from "../definition.ts"
import { Overloaded } from "../errors.ts"
import type { Parts } from "../parts.ts"
import { type Cell, STARTING, STOPPED } from "../processes/cell.ts"

/** No user's method has this name: `Process.define` refuses it. */
export const NAME = "$group"

/** What is to become of a membership. Metadata is encoded, undefined for none. */
export type Change =
  | {
      readonly _tag: "Join"
      readonly online: boolean
      readonly meta: Uint8Array | undefined
    }
  | { readonly _tag: "Leave" }
  | { readonly _tag: "Turn"; readonly online: boolean }
  | { readonly _tag: "Replace"; readonly meta: Uint8Array | undefined }
  /** The same, if the metadata is still `before`. */
  | {
      readonly _tag: "Swap"
      readonly before: Uint8Array | undefined
      readonly meta: Uint8Array | undefined
    }

/** What became of it. */
export type Result =
  | { readonly _tag: "Done" }
  | { readonly _tag: "AlreadyMember" }
  | { readonly _tag: "NotMember" }
  /** The metadata is this, and not what was to be replaced. */
  | { readonly _tag: "Differs"; readonly meta: Uint8Array | undefined }
  | { readonly _tag: "Full"; readonly max: number }

/** A result, and which state of which table contains it. */
export type Reported = Result & {
  readonly node: string
  readonly epoch: number
  readonly seq: number
}

type Standing = Omit<MovingMembership, "group">

/** Most members are just this: they share it. */
const PLAIN: Standing = { online: true, meta: undefined }

/** The memberships of one node's processes. */
export class Memberships {
  /**
   * Asks a process's node to change a membership of it. It goes where the process's messages go, so that
   * it finds it also while it moves, but doesn't wait for its turn in the mailbox: a process that is busy
   * can be disabled.
   */
  readonly method: Method
  readonly #parts: Parts
  /** By the id of the process, then by group. */
  readonly #standings = new Map<number, Map<string, Standing>>()
  #count = 0

  constructor(parts: Parts) {
    this.#parts = parts
    this.method = {
      name: NAME,
      kind: "call",
      immediate: true,
      handler: (self, group, change) => this.#asked(self as Cell, group, change),
    }
  }

  /** How many there are. */
  get count(): number {
    return this.#count
  }

  // --- what a process does itself ----------------------------------------------------------------

  /**
   * Makes a process a member. One that is a member already becomes what the options say, and stays what
   * they don't say: so a `started` may join each time that it runs. Throws NotData and Overloaded.
   */
  join(cell: Cell, group: string, options: Joining): void {
    if (cell.status === STOPPED) return
    const before = this.#standings.get(cell.pid)?.get(group)
    const { online = before?.online ?? true } = options
    const meta = options.meta === undefined ? before?.meta : encode(cell.name, options.meta)
    if (before === undefined && this.#full) {
      throw new Overloaded(cell.name, "namesMax", this.#parts.limits.namesMax)
    }
    this.#put(cell, group, { online, meta })
    // Its `started` may still throw, and then it was never born.
    if (cell.status === STARTING) queueMicrotask(() => this.started(cell))
  }

  /** A start is over. When it came to nothing, so do its memberships. */
  started(cell: Cell): void {
    if (cell.status === STOPPED) this.end(cell, "crashed: it could not be started")
  }

  /** Ends a membership of a process; false when there is none. */
  leave(cell: Cell, group: string): boolean {
    const standings = this.#standings.get(cell.pid)
    if (standings?.delete(group) !== true) return false
    if (standings.size === 0) this.#standings.delete(cell.pid)
    this.#count--
    this.#quit(cell, group, "left")
    return true
  }

  // --- what others ask of it ---------------------------------------------------------------------

  /** Answers behind the registration, so that whoever is answered can see what became of it. */
  async #asked(cell: Cell, group: unknown, change: unknown): Promise<Reported> {
    if (!sound(group, change))
      throw new TypeError(`${cell.name}: this is no change of a membership`)
    const result = this.change(cell, group as string, change as Change)
    await new Promise<void>((resolve) => this.#parts.driver.afterFlush(resolve))
    const { core, name: node } = this.#parts
    const { epoch, seq } = core.registry.self
    return { ...result, node, epoch, seq }
  }

  /** Changes a membership of a process of this node, unless that moves just now. */
  change(cell: Cell, group: string, change: Change): Result {
    const before = this.#standings.get(cell.pid)?.get(group)
    if (change._tag === "Join") return this.#joined(cell, group, before, change)
    if (before === undefined) return { _tag: "NotMember" }
    switch (change._tag) {
      case "Leave":
        this.leave(cell, group)
        break
      case "Turn":
        this.#put(cell, group, { ...before, online: change.online })
        break
      case "Swap":
        if (!equal(before.meta, change.before)) return { _tag: "Differs", meta: before.meta }
        this.#put(cell, group, { ...before, meta: change.meta })
        break
      case "Replace":
        this.#put(cell, group, { ...before, meta: change.meta })
        break
    }
    return { _tag: "Done" }
  }

  #joined(
    cell: Cell,
    group: string,
    before: Standing | undefined,
    { online, meta }: Standing,
  ): Result {
    if (before !== undefined) {
      const same = before.online === online && equal(before.meta, meta)
      return { _tag: same ? "Done" : "AlreadyMember" }
    }
    if (this.#full) return { _tag: "Full", max: this.#parts.limits.namesMax }
    this.#put(cell, group, { online, meta })
    return { _tag: "Done" }
  }

  // --- what becomes of the process ---------------------------------------------------------------

  /** A process is no more, or not here: its memberships end, if it has any. */
  end(cell: Cell, reason: string): void {
    const standings = this.#standings.get(cell.pid)
    if (standings === undefined) return
    this.#standings.delete(cell.pid)
    this.#count -= standings.size
    for (const group of standings.keys()) this.#quit(cell, group, reason)
  }

  /** What goes with a process that moves away. It stays here too until {@link end}: nobody misses it. */
  packed(cell: Cell): ReadonlyArray<MovingMembership> {
    const standings = this.#standings.get(cell.pid) ?? []
    return Array.from(standings, ([group, { online, meta }]) => ({ group, online, meta }))
  }

  /** What came with a process that moved here, before its `started` runs. */
  unpack(cell: Cell, memberships: ReadonlyArray<MovingMembership>): void {
    for (const { group, online, meta } of memberships) this.#put(cell, group, { online, meta })
  }

  // --- the registry ------------------------------------------------------------------------------

  get #full(): boolean {
    return this.#count >= this.#parts.limits.namesMax
  }

  #put(cell: Cell, group: string, { online, meta }: Standing): void {
    const { pid, name } = cell
    let standings = this.#standings.get(pid)
    if (standings === undefined) {
      standings = new Map()
      this.#standings.set(pid, standings)
    }
    const before = standings.get(group)
    if (before?.online === online && equal(before.meta, meta)) return
    if (before === undefined) this.#count++
    standings.set(group, online && meta === undefined ? PLAIN : { online, meta })
    const { driver, platform } = this.#parts
    const now = platform.now()
    driver.input({ _tag: "Join", now, wall: platform.wall(), group, pid, name, online, meta })
  }

  #quit({ pid }: Cell, group: string, why: string): void {
    const { driver, platform } = this.#parts
    const reason = why.slice(0, REASON_MAX)
    driver.input({ _tag: "Quit", now: platform.now(), group, pid, reason })
  }
}

/** Whether what another node asks for can be done at all. */
function sound(group: unknown, change: unknown): boolean {
  if (typeof group !== "string" || group.length > Keys.TEXT_MAX + 1) return false
  if (typeof change !== "object" || change === null) return false
  const { online = true, meta } = change as { readonly online?: unknown; readonly meta?: unknown }
  if (typeof online !== "boolean") return false
  return meta === undefined || (meta instanceof Uint8Array && meta.length <= BYTES_MAX)
}

function equal(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
