/**
 * Starts that this node has allowed, as the holder of the name's slot, and that another one is to carry out.
 *
 * @module
 */
import * as Membership from "../../core/membership.ts"
import * as Envelope from "../calls/envelope.ts"
import { Timeout, Unreachable } from "../errors.ts"
import type { Link } from "../links/link.ts"
import type { Parts } from "../parts.ts"
import { Sweep } from "../sweep.ts"

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

/** What came of it: it is over, or its node is gone and hasn't said so. */
export type Outcome =
  | { readonly _tag: "Over"; readonly error: Error | undefined; readonly node: string }
  | { readonly _tag: "Lost" }

interface Delegated {
  readonly order: Order
  readonly node: string
  readonly generation: number
  readonly deadline: number
  readonly done: (outcome: Outcome) => void
  /** The link that it was last sent on. */
  link: Link
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
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#look())
  }

  /** Sends a start to the node that is to run the process. `done` is called exactly once. */
  send(order: Order, node: string, generation: number, done: (outcome: Outcome) => void): void {
    const { links, platform } = this.#parts
    const link = links.get(node)
    if (link === undefined) {
      return done({ _tag: "Over", error: new Unreachable(order.name, node), node: "" })
    }
    const id = this.#nextId()
    const deadline = platform.now() + TIMEOUT_MILLIS
    this.#delegated.set(id, { order, node, generation, deadline, done, link })
    this.#sweep.later()
    this.#write(link, id, node, generation, order)
  }

  #write(
    link: Link,
    id: number,
    at: string,
    generation: number,
    { name, meta, props, exclusive }: Order,
  ): void {
    const origin = this.#parts.name
    const start = { id, origin, name, meta, props, exclusive, at, generation, hops: 0 }
    Envelope.data(link, { _tag: "Start", ...start })
  }

  /** An answer to a start came; false when it isn't one of these. */
  answered(id: number, error: Error | undefined, node: string): boolean {
    return this.#end(id, { _tag: "Over", error, node })
  }

  /** Looks after those whose connection is gone, and those that take too long. */
  #look(): boolean {
    const now = this.#parts.platform.now()
    for (const [id, delegated] of [...this.#delegated]) {
      const { order, deadline } = delegated
      if (now >= deadline) {
        const error = new Timeout(order.name, "start", TIMEOUT_MILLIS, "unknown")
        this.#end(id, { _tag: "Over", error, node: "" })
      } else if (!delegated.link.open) this.#again(id, delegated)
    }
    return this.#delegated.size > 0
  }

  /**
   * Whether the node has started it can't be known. Nobody else may be asked before it is gone; it is asked
   * once more when it is back, and what it has started since then is what was to be started.
   */
  #again(id: number, delegated: Delegated): void {
    const { order, node, generation } = delegated
    const link = this.#parts.links.get(node)
    if (link !== undefined) {
      delegated.link = link
      this.#write(link, id, node, generation, { ...order, exclusive: false })
    } else if (!this.#lives(node)) this.#end(id, { _tag: "Lost" })
  }

  #lives(node: string): boolean {
    for (const { name } of Membership.living(this.#parts.core.membership))
      if (name === node) return true
    return false
  }

  #end(id: number, outcome: Outcome): boolean {
    const delegated = this.#delegated.get(id)
    if (delegated === undefined) return false
    this.#delegated.delete(id)
    delegated.done(outcome)
    return true
  }
}
