/**
 * Processes that were started elsewhere, as the answer to a start says, and that this node hasn't heard of yet: the
 * answer may come another way than the news. Who started a process is to find it.
 *
 * @module
 */
import type { Parts } from "../parts.ts"

interface Sighting {
  readonly node: string
  readonly over: () => void
}

/** What one node waits for. */
export class Sightings {
  readonly #parts: Parts
  readonly #waiting = new Map<string, Set<Sighting>>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * Calls `then` once this node knows of the process `name` that `node` runs: at once if it does, and no later than
   * after `millis`, or when the connection to that node is gone.
   */
  await(name: string, node: string, millis: number, then: () => void): void {
    const { core, links, platform } = this.#parts
    const known = core.registry.index.has(name)
    if (known || node === this.#parts.name || links.get(node) === undefined) return then()
    const waiting = this.#waiting.get(name) ?? new Set()
    const over = (): void => {
      if (!waiting.delete(sighting)) return
      if (waiting.size === 0) this.#waiting.delete(name)
      cancel()
      then()
    }
    const cancel = platform.timer(Math.max(0, millis), over)
    const sighting = { node, over }
    this.#waiting.set(name, waiting.add(sighting))
  }

  /** Something became known of a name. */
  changed(name: string): void {
    for (const { over } of [...(this.#waiting.get(name) ?? [])]) over()
  }

  /** The connection to a node is gone. */
  linkDown(node: string): void {
    this.#end((sighting) => sighting.node === node)
  }

  /** The node ends. */
  close(): void {
    this.#end(() => true)
  }

  #end(which: (sighting: Sighting) => boolean): void {
    for (const waiting of [...this.#waiting.values()])
      for (const sighting of [...waiting]) if (which(sighting)) sighting.over()
  }
}
