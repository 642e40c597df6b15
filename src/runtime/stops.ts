/**
 * Stopping processes, here or at the node that runs them.
 *
 * @module
 */
import * as Registry from "../core/registry.ts"
import type { Cell } from "./cell.ts"
import { Timeout } from "./errors.ts"
import type { Inquiries } from "./inquiries.ts"
import type { Parts } from "./parts.ts"

/** Stops under way at this node. */
export class Stops {
  readonly #parts: Parts
  readonly #inquiries: Inquiries
  /** Who waits for the end of a process, by its id. */
  readonly #waiting = new Map<number, Array<() => void>>()

  constructor(parts: Parts, inquiries: Inquiries) {
    this.#parts = parts
    this.#inquiries = inquiries
  }

  /** Stops a process wherever it runs; false when there is none. Rejects with Unreachable or Timeout. */
  async stop(name: string, reason: string, timeoutMillis: number): Promise<boolean> {
    const { registry } = this.#parts.core
    const entry = Registry.lookup(registry, name)
    if (entry === undefined) return false
    if (entry.table === registry.self) return this.here(name, reason)
    const { owner } = entry.table
    const question = { _tag: "Stop", name, reason } as const
    const answer = await this.#inquiries.ask(owner, question, timeoutMillis)
    if (answer?._tag === "Stopped") return answer.found
    throw new Timeout(name, "stopProcess", timeoutMillis, "unknown")
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
