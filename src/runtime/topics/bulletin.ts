/**
 * Making sure that others have read what this node has written into the registry: groups and names reach
 * them by themselves, but a moment later.
 *
 * @module
 */
import type { Request } from "../functions/job.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"

/** Asks a node whether it has what the asking one has written. */
const SERVICE = "$read"
const ASK_MILLIS = 5_000
/** How soon a node that could not be asked is asked again. */
const AGAIN_MILLIS = 100
/** How often to look whether what is asked for has come. */
const LOOK_MILLIS = 5

/** Asks others for their word, and gives them ours. */
export class Bulletin {
  readonly #parts: Parts
  readonly #services: Services
  /** The question that is put after the next flush: for all who ask until then. */
  #next: Promise<void> | undefined
  #flushed: () => void = () => {}

  constructor(parts: Parts, services: Services) {
    this.#parts = parts
    this.#services = services
    services.serve(SERVICE, (request, args) => this.#asked(request, args))
  }

  /**
   * Resolves once all nodes that are connected have what this node has written so far; nodes whose
   * connections end meanwhile aren't waited for. Rejects with NodeStopped.
   */
  read(): Promise<void> {
    this.#next ??= this.#ask()
    return this.#next
  }

  /** The node ends: what waits for a flush is rejected. */
  close(): void {
    this.#flushed()
  }

  async #ask(): Promise<void> {
    const { driver, links, core } = this.#parts
    this.#check()
    await new Promise<void>((resolve) => {
      this.#flushed = resolve
      driver.afterFlush(resolve)
    })
    this.#next = undefined
    this.#check()
    const { epoch, seq } = core.registry.self
    await Promise.all(Array.from(links.all(), ({ peer }) => this.#askNode(peer.name, [epoch, seq])))
  }

  async #askNode(node: string, args: ReadonlyArray<number>): Promise<void> {
    const { links, platform } = this.#parts
    while (links.get(node) !== undefined) {
      try {
        await this.#services.request(node, SERVICE, args, { timeout: ASK_MILLIS })
        return
      } catch {
        this.#check()
      }
      await new Promise<void>((resolve) => void platform.timer(AGAIN_MILLIS, resolve))
    }
    this.#check()
  }

  #check(): void {
    const stopped = this.#parts.stopped("ready")
    if (stopped !== undefined) throw stopped
  }

  /** Answers when it is here. It comes before the question, unless it was lost on the way. */
  async #asked({ from, signal }: Request, args: ReadonlyArray<unknown>): Promise<void> {
    const [epoch, seq] = args as [number, number]
    while (!signal.aborted && this.#misses(from, epoch, seq)) {
      await new Promise<void>((resolve) => void this.#parts.platform.timer(LOOK_MILLIS, resolve))
    }
  }

  #misses(node: string, epoch: number, seq: number): boolean {
    const table = this.#parts.core.registry.tables.get(node)
    if (table === undefined || table.hidden !== undefined || table.epoch < epoch) return true
    return table.epoch === epoch && table.seq < seq
  }
}
