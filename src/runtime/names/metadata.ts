/**
 * The metadata of names: changed at the node that holds the name, and only if it is still what the change
 * was made from.
 *
 * @module
 */
import type { Entry, Props } from "../../core/registry.ts"
import * as Registry from "../../core/registry.ts"
import { decode, encode } from "../annotation.ts"
import { TIMEOUT_MILLIS } from "../calls/ref.ts"
import { Contended, NoProcess, Timeout } from "../errors.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"
import { FROZEN } from "../processes/cell.ts"
import { GAP_MILLIS, idOf, type Named, nameOf, shown } from "./lookup.ts"

/** What metadata is at its holder: of which life, the how manieth, and encoded. */
interface Seen {
  readonly id: string
  readonly version: number
  readonly bytes: Uint8Array | undefined
}

const DESCRIBE = "$describe"
const ATTEMPTS_MAX = 64
const AGAIN_MILLIS = 50
/** Stands for undefined, so that versions go on. */
const NOTHING = new Uint8Array(0)

/** The metadata of names, as one node changes it. */
export class Metadata {
  readonly #parts: Parts
  readonly #services: Services
  /** The last change under way of each name that another node holds: its own would only be in its way. */
  readonly #queues = new Map<string, Promise<unknown>>()

  constructor(parts: Parts, services: Services) {
    this.#parts = parts
    this.#services = services
    services.serve(DESCRIBE, (_, [name, basis, bytes]) => this.#serve(name, basis, bytes))
  }

  /**
   * Changes a name's metadata to a value, or to what a function makes of the one that is there, and resolves
   * to the new one. The function may be called more than once: again whenever another change came first.
   * Rejects with NoProcess when nobody holds the name,
   * Contended, NotData, Timeout, NodeDown, NodeStopped, with what the function throws, or a TypeError.
   */
  async update(
    target: Named,
    change: unknown,
    { timeout = TIMEOUT_MILLIS }: { readonly timeout?: number } = {},
  ): Promise<unknown> {
    const name = nameOf(target)
    // Not in the middle of what the core is doing: its state is ahead of what is known here.
    await undefined
    const entry = Registry.lookup(this.#parts.core.registry, name)
    if (entry?.table === this.#parts.core.registry.self) return this.#change(name, change, timeout)
    const mine = Promise.resolve(this.#queues.get(name))
      .catch(() => {})
      .then(() => this.#change(name, change, timeout))
    this.#queues.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.#queues.get(name) === mine) this.#queues.delete(name)
    }
  }

  async #change(name: string, change: unknown, timeout: number): Promise<unknown> {
    const { platform } = this.#parts
    const begun = platform.now()
    let foundAt = begun
    let seen: Seen | undefined
    for (let attempts = 0; attempts < ATTEMPTS_MAX; ) {
      const stopped = this.#parts.stopped(name)
      if (stopped !== undefined) throw stopped
      const entry = Registry.lookup(this.#parts.core.registry, name)
      const now = platform.now()
      if (entry !== undefined) foundAt = now
      else if (now - foundAt >= GAP_MILLIS) throw new NoProcess(shown(name))
      if (now - begun >= timeout) throw new Timeout(shown(name), "update", timeout, "not-executed")
      if (entry !== undefined) {
        seen ??= seenOf(entry)
        const computed = typeof change === "function"
        const bytes = encode(shown(name), computed ? change(decode(seen.bytes)) : change) ?? NOTHING
        const answer = await this.#ask(entry, computed ? seen : undefined, bytes, timeout)
        if (answer === true) return decode(bytes)
        if (isSeen(answer)) {
          seen = answer
          attempts++
          continue
        }
      }
      // On the move, or just ended: the registry will tell.
      await new Promise<void>((resolve) => void platform.timer(AGAIN_MILLIS, resolve))
    }
    throw new Contended(shown(name), ATTEMPTS_MAX)
  }

  /** True when it is done, what is there when that isn't the basis, anything else when it isn't there. */
  #ask(
    { name, table }: Entry,
    basis: Seen | undefined,
    bytes: Uint8Array,
    timeout: number,
  ): unknown {
    if (table === this.#parts.core.registry.self) return this.#set(name, basis, bytes)
    return this.#services.request(table.owner, DESCRIBE, [name, basis, bytes], { timeout })
  }

  async #serve(name: unknown, basis: unknown, bytes: unknown): Promise<unknown> {
    if (typeof name !== "string" || !(bytes instanceof Uint8Array)) return false
    const answer = this.#set(name, isSeen(basis) ? basis : undefined, bytes)
    // Behind the change itself, so that its receiver finds it.
    await new Promise<void>((resolve) => this.#parts.driver.afterFlush(resolve))
    return answer
  }

  #set(name: string, basis: Seen | undefined, bytes: Uint8Array): true | false | Seen {
    const { core, driver, platform, processes } = this.#parts
    const entry = Registry.lookup(core.registry, name)
    if (entry?.table !== core.registry.self) return false
    const cell = processes.get(entry.pid)
    // What is on the move has been packed, its metadata too.
    if (cell === undefined || cell.status === FROZEN) return false
    const seen = seenOf(entry)
    if (basis !== undefined && (basis.id !== seen.id || basis.version !== seen.version)) return seen
    const props: Props = { version: seen.version + 1, bytes }
    driver.input({ _tag: "Describe", now: platform.now(), name, props })
    return true
  }
}

function seenOf(entry: Entry): Seen {
  const { version = 0, bytes } = entry.props ?? {}
  return { id: idOf(entry), version, bytes }
}

function isSeen(value: unknown): value is Seen {
  if (typeof value !== "object" || value === null) return false
  const { id, version, bytes } = value as { readonly [Name in keyof Seen]: unknown }
  const encoded = bytes === undefined || bytes instanceof Uint8Array
  return typeof id === "string" && typeof version === "number" && encoded
}
