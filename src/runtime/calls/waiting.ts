/**
 * Messages that can't go anywhere yet: their name is on the move, or its node out of reach. They wait in
 * the order in which they came and are looked at again when something changes.
 *
 * @module
 */

import { NoProcess, Overloaded } from "../errors.ts"
import type { Platform } from "../platform.ts"
import type { Mail } from "../processes/cell.ts"
import { Sweep } from "../sweep.ts"
import { Call } from "./calls.ts"

/** How often held messages are looked at again, and how long they are held at most. */
const RETRY_MILLIS = 100
const HELD_MILLIS = 30_000

interface Held {
  readonly mail: Mail
  readonly since: number
}

/** What the held messages need from the router. */
export interface Gate {
  /** Whether what waits for this name must wait on, whatever has changed. */
  readonly shut: (name: string) => boolean
  /** Tries to bring a message on its way; it may come back. */
  readonly retry: (name: string, mail: Mail) => void
}

/** The held messages of one node, by the name of the process they are for. */
export class Waiting {
  readonly #platform: Platform
  readonly #max: number
  readonly #gate: Gate
  readonly #sweep: Sweep
  readonly #held = new Map<string, Array<Held>>()
  #count = 0

  /** At most `max` messages wait at a time, all names together. */
  constructor(platform: Platform, max: number, gate: Gate) {
    this.#platform = platform
    this.#max = max
    this.#gate = gate
    this.#sweep = new Sweep(platform, RETRY_MILLIS, () => this.retry())
  }

  /** Whether messages wait for this name: what follows must queue up behind them. */
  has(name: string): boolean {
    return this.#held.has(name)
  }

  /** Lets a message wait, behind the others of its name. Overloaded, also told to its caller, when full. */
  hold(name: string, mail: Mail): Overloaded | undefined {
    if (this.#count >= this.#max) {
      const error = new Overloaded(name, "pendingMax", this.#max)
      mail.reply?.fail(error)
      return error
    }
    this.#count++
    const held: Held = { mail, since: this.#platform.now() }
    const others = this.#held.get(name)
    if (others === undefined) this.#held.set(name, [held])
    else others.push(held)
    this.#sweep.later()
    return undefined
  }

  /** Looks at all messages again: something changed, or time has passed. Whether some still wait. */
  retry(): boolean {
    for (const name of [...this.#held.keys()]) this.release(name)
    return this.#held.size > 0
  }

  /** Looks at the messages of one name again, in their order. */
  release(name: string): void {
    const held = this.#held.get(name)
    if (held === undefined || this.#gate.shut(name)) return
    this.#held.delete(name)
    this.#count -= held.length
    const now = this.#platform.now()
    for (const one of held) {
      const { mail, since } = one
      if (mail instanceof Call && mail.calls === undefined) continue
      if (now - since > HELD_MILLIS) mail.reply?.fail(new NoProcess(name))
      else this.#again(name, one)
    }
  }

  #again(name: string, held: Held): void {
    const before = this.#held.get(name)?.length ?? 0
    this.#gate.retry(name, held.mail)
    const queue = this.#held.get(name)
    // Held again: it has been waiting since it first was.
    if (queue !== undefined && queue.length > before) queue[queue.length - 1] = held
  }

  /** The node ends: nothing will come of these. */
  close(): void {
    for (const [name, held] of this.#held) {
      for (const { mail } of held) mail.reply?.fail(new NoProcess(name))
    }
    this.#held.clear()
  }
}
