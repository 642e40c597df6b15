/**
 * Stopping processes, here or at the node that runs them.
 *
 * @module
 */
import * as Registry from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"
import type { Cell } from "./cell.ts"

const STOP = "$stop"
/** How long a node that was asked for somebody else waits itself. */
const HOP_MILLIS = 5_000

/** Stops under way at this node. */
export class Stops {
  readonly #parts: Parts
  readonly #services: Services
  /** Who waits for the end of a process, by its id. */
  readonly #waiting = new Map<number, Array<() => void>>()

  constructor(parts: Parts, services: Services) {
    this.#parts = parts
    this.#services = services
    services.serve(STOP, (_, [name, reason]) => this.#asked(String(name), String(reason)))
  }

  /** Stops a process wherever it runs; false when there is none. Rejects with Unreachable or Timeout. */
  async stop(name: string, reason: string, timeoutMillis: number): Promise<boolean> {
    const { registry } = this.#parts.core
    const owner = Registry.lookup(registry, name)?.table.owner ?? this.#holder(name)
    if (owner === registry.name) return this.here(name, reason)
    if (owner === undefined) return false
    return this.#ask(owner, name, reason, timeoutMillis)
  }

  /** Who would know of a process that has just been started: whoever has the right to start it. */
  #holder(name: string): string | undefined {
    const { registry, supervision } = this.#parts.core
    if (!Registry.placed(name)) return undefined
    const slot = Rings.slot(name)
    const holder = Registry.grant(registry, slot)?.table.owner
    return holder ?? Rings.ownerOfSlot(supervision.rings, slot)
  }

  /** Asked by a node that may know less: but not asked any further than to the one that runs it. */
  #asked(name: string, reason: string): Promise<boolean> {
    const { registry } = this.#parts.core
    const owner = Registry.lookup(registry, name)?.table.owner
    if (owner === undefined || owner === registry.name) return this.here(name, reason)
    return this.#ask(owner, name, reason, HOP_MILLIS)
  }

  async #ask(owner: string, name: string, reason: string, timeoutMillis: number): Promise<boolean> {
    const about = { process: name, method: "stopProcess" }
    const options = { timeout: timeoutMillis, about }
    return (await this.#services.request(owner, STOP, [name, reason], options)) === true
  }

  /** Stops a process of this node, once the message in hand is finished; false when there is none. */
  here(name: string, reason: string): Promise<boolean> {
    const { core, processes } = this.#parts
    const entry = Registry.lookup(core.registry, name)
    const cell = entry?.table === core.registry.self ? processes.get(entry.pid) : undefined
    if (cell === undefined) return Promise.resolve(false)
    return new Promise((resolve) => {
      const others = this.#waiting.get(cell.pid)
      const done = (): void => resolve(true)
      if (others === undefined) this.#waiting.set(cell.pid, [done])
      else others.push(done)
      processes.stop(cell, reason, true)
    })
  }

  /** A process has ended: tells those who wait for it, once all nodes are told that its name is free. */
  gone(cell: Cell): void {
    const waiting = this.#waiting.get(cell.pid)
    if (waiting === undefined) return
    this.#waiting.delete(cell.pid)
    this.#parts.driver.afterFlush(() => {
      for (const done of waiting) done()
    })
  }
}
