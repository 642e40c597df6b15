/**
 * Order across a move. Messages to a name that has moved go another way than those before them, which the
 * old owner passes on. A fence is sent on the old way, behind the last of them; until it comes back, what
 * follows waits.
 *
 * @module
 */

import type { Link } from "../links/link.ts"
import type { Parts } from "../parts.ts"
import type { Cell } from "../processes/cell.ts"
import * as Envelope from "./envelope.ts"

/** How long the old owner of a name knows where it went. */
const DEPARTED_MILLIS = 30_000
/** How long messages wait for those sent before them on another way. */
const FENCE_MILLIS = 1_000

/** The names that moved from here or that others moved, and the fences under way. */
export class Fences {
  readonly #parts: Parts
  readonly #through: (name: string) => void
  /** Fences under way, by name. */
  readonly #fenced = new Map<string, Set<number>>()
  readonly #fences = new Map<number, { readonly name: string; readonly owner: string }>()
  #lastId = 0
  /** Where names went that were here. */
  readonly #departed = new Map<string, { readonly to: string; readonly at: number }>()
  /** The names of processes that were here: who doesn't know yet that they left still uses their ids. */
  readonly #departedPids = new Map<number, string>()

  /** `through` is called when a name's messages needn't wait any more. */
  constructor(parts: Parts, through: (name: string) => void) {
    this.#parts = parts
    this.#through = through
  }

  /** Whether messages for this name must wait for those on the old way. */
  has(name: string): boolean {
    return this.#fenced.has(name)
  }

  /** Sends a fence for a name to its old owner. */
  raise(link: Link, name: string): void {
    const { name: origin, platform } = this.#parts
    const id = ++this.#lastId
    this.#fences.set(id, { name, owner: link.peer.name })
    const ids = this.#fenced.get(name)
    if (ids === undefined) this.#fenced.set(name, new Set([id]))
    else ids.add(id)
    Envelope.data(link, { _tag: "Fence", id, origin, name })
    platform.timer(FENCE_MILLIS, () => this.fenced(id))
  }

  /** A fence of ours came through, or needn't be waited for. */
  fenced(id: number): void {
    const fence = this.#fences.get(id)
    if (fence === undefined) return
    this.#fences.delete(id)
    const ids = this.#fenced.get(fence.name)
    ids?.delete(id)
    if (ids?.size === 0) this.#fenced.delete(fence.name)
    this.#through(fence.name)
  }

  /** A fence of somebody else: it follows everything for the name that came before it. */
  pass(id: number, origin: string, name: string): void {
    const { links, name: self } = this.#parts
    const to = this.wentTo(name)
    const next = to === undefined ? undefined : links.get(to)
    if (next !== undefined) {
      Envelope.data(next, { _tag: "Fence", id, origin, name })
      return
    }
    if (origin === self) return this.fenced(id)
    const link = links.get(origin)
    if (link !== undefined) Envelope.data(link, { _tag: "Fenced", id })
  }

  /** The link to a node is gone: no fence comes back from it. */
  linkDown(node: string): void {
    for (const [id, { owner }] of [...this.#fences]) if (owner === node) this.fenced(id)
  }

  // --- names that left ---------------------------------------------------------------------------

  /** A process went to another node. */
  depart(cell: Cell, to: string): void {
    this.#departed.set(cell.name, { to, at: this.#parts.platform.now() })
    this.#departedPids.set(cell.pid, cell.name)
  }

  /** The name came back. */
  returned(name: string): void {
    this.#departed.delete(name)
  }

  /** The node that a name went to from here, for a while after it did. */
  wentTo(name: string): string | undefined {
    const departed = this.#departed.get(name)
    if (departed === undefined) return undefined
    return this.#parts.platform.now() - departed.at > DEPARTED_MILLIS ? undefined : departed.to
  }

  /** The name of a process that was here under this id. */
  nameOf(pid: number): string | undefined {
    return this.#departedPids.get(pid)
  }

  /** Forgets what left long ago. Called now and then: only memory depends on it. */
  expire(): void {
    const now = this.#parts.platform.now()
    for (const [name, { at }] of this.#departed) {
      if (now - at > DEPARTED_MILLIS) this.#departed.delete(name)
    }
    if (this.#departed.size === 0) this.#departedPids.clear()
  }
}
