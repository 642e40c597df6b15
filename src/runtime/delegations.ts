/**
 * Starts that this node has allowed, as the holder of the name's slot, and that another one is to carry out.
 *
 * @module
 */
import * as Envelope from "./envelope.ts"
import { Timeout, Unreachable } from "./errors.ts"
import type { Parts } from "./parts.ts"
import { Sweep } from "./sweep.ts"

/** Who says which node is to run a process. */
export interface Placer {
  /**
   * Asked once this node has allowed the start, with the node that was wished for, or an empty text. The
   * answer undefined means here, and that the process needn't stay; an error, that it isn't started.
   */
  place(name: string, at: string): string | undefined | Error
  /** The start of what was placed is over, whatever came of it. */
  over(name: string): void
}

/** What another node needs to know to start a process. */
export interface Order {
  readonly name: string
  readonly meta: Uint8Array | undefined
  readonly props: Uint8Array | undefined
  readonly exclusive: boolean
}

/** What came of it: it is over, or its node went away before it said so. */
export type Outcome =
  | { readonly _tag: "Over"; readonly error: Error | undefined; readonly node: string }
  | { readonly _tag: "Lost" }

interface Delegated {
  readonly name: string
  readonly node: string
  readonly deadline: number
  readonly done: (outcome: Outcome) => void
}

const SWEEP_MILLIS = 100
const TIMEOUT_MILLIS = 10_000

/** The starts that other nodes carry out for this one. */
export class Delegations {
  readonly #parts: Parts
  readonly #nextId: () => number
  readonly #sweep: Sweep
  readonly #delegated = new Map<number, Delegated>()

  /** `nextId` numbers all starts of this node. */
  constructor(parts: Parts, nextId: () => number) {
    this.#parts = parts
    this.#nextId = nextId
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
  }

  /** Sends a start to the node that is to run the process. `done` is called exactly once. */
  send(order: Order, node: string, generation: number, done: (outcome: Outcome) => void): void {
    const { links, name: origin, platform } = this.#parts
    const { name, meta, props, exclusive } = order
    const link = links.get(node)
    if (link === undefined) {
      return done({ _tag: "Over", error: new Unreachable(name, node), node: "" })
    }
    const id = this.#nextId()
    this.#delegated.set(id, { name, node, deadline: platform.now() + TIMEOUT_MILLIS, done })
    this.#sweep.later()
    const at = node
    const start = { id, origin, name, meta, props, exclusive, at, generation, hops: 0 }
    Envelope.data(link, { _tag: "Start", ...start })
  }

  /** An answer to a start came; false when it isn't one of these. */
  answered(id: number, error: Error | undefined, node: string): boolean {
    return this.#end(id, { _tag: "Over", error, node })
  }

  /** A node is gone: whether it has started something is for the registry to say. */
  linkDown(node: string): void {
    for (const [id, delegated] of [...this.#delegated]) {
      if (delegated.node === node) this.#end(id, { _tag: "Lost" })
    }
  }

  #expire(): boolean {
    const now = this.#parts.platform.now()
    for (const [id, { name, deadline }] of [...this.#delegated]) {
      if (now < deadline) continue
      const error = new Timeout(name, "start", TIMEOUT_MILLIS, "unknown")
      this.#end(id, { _tag: "Over", error, node: "" })
    }
    return this.#delegated.size > 0
  }

  #end(id: number, outcome: Outcome): boolean {
    const delegated = this.#delegated.get(id)
    if (delegated === undefined) return false
    this.#delegated.delete(id)
    delegated.done(outcome)
    return true
  }
}
