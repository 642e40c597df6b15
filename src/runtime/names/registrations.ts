/**
 * Additional names: who may have one, and who has it no more. A name is entered at the node of its process;
 * other nodes ask that one.
 *
 * @module
 */
import type * as Key from "../../core/key.ts"
import type { Entry, Props } from "../../core/registry.ts"
import * as Registry from "../../core/registry.ts"
import { encode } from "../annotation.ts"
import { TIMEOUT_MILLIS } from "../calls/ref.ts"
import { AlreadyRegistered, NoProcess, Overloaded, Timeout } from "../errors.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"
import { type Cell, FROZEN } from "../processes/cell.ts"
import type { Names } from "../processes/names.ts"
import {
  additional,
  GAP_MILLIS,
  isAdditional,
  type Living,
  locate,
  processOf,
  shown,
} from "./lookup.ts"
import type { Reservations } from "./reservations.ts"
import { Votes } from "./votes.ts"

/** How an additional name is registered. */
export interface RegisterOptions {
  /**
   * `serialized` (default): free in the whole connected cluster, one round trip. `local`: at once; a
   * conflict is found and resolved later. `quorum`: as serialized, and `quorum` members must have agreed
   * and know of it, two round trips more; two registrations never both succeed so, also when the network is
   * cut between them.
   */
  readonly mode?: "serialized" | "local" | "quorum"
  /**
   * How many members it takes, this node included: at least 1. Default: a majority of all that are known
   * and haven't left, be they up or down. Nodes that know different members may take different numbers for
   * a majority: where that matters, and members come and go, say the number.
   */
  readonly quorum?: number
  /** Metadata of the name: see `node.update` and `node.find`. */
  readonly meta?: unknown
  /**
   * What becomes of the process when it loses the name to another one's better claim, after a cut: it lives
   * on without the name (`keep`, the default), or is stopped. Forgotten when it moves to another node.
   */
  readonly onConflict?: "keep" | "stop"
  /** Milliseconds. Default 5,000; 0 is a Timeout at once, in the modes that wait. */
  readonly timeout?: number
}

/** What is asked of the node that the process runs on. */
interface Application {
  /** The name, as the registry has it. */
  readonly alias: string
  readonly process: string
  readonly mode: "serialized" | "local" | "quorum"
  readonly quorum: number | undefined
  readonly meta: Uint8Array | undefined
  readonly onConflict: "keep" | "stop"
  readonly timeout: number
}

const REGISTER = "$register"
const UNREGISTER = "$unregister"
const AGAIN_MILLIS = 50

/** What additional names are registered with. */
export interface Means {
  readonly names: Names
  readonly reservations: Reservations
  readonly services: Services
}

/** The additional names of one node. */
export class Registrations {
  readonly #parts: Parts
  readonly #means: Means
  readonly #votes: Votes
  /** Names that are being registered from here, until it is decided. */
  readonly #pending = new Set<string>()
  /** Names whose processes end when they lose them. */
  readonly #vital = new Set<string>()

  constructor(parts: Parts, means: Means) {
    this.#parts = parts
    this.#means = means
    this.#votes = new Votes(parts, means.reservations, means.services)
    means.services.serve(REGISTER, (_, [application]) => this.#serve(application))
    means.services.serve(UNREGISTER, async (_, [alias]) => {
      const found = typeof alias === "string" && isAdditional(alias) && means.names.unalias(alias)
      await this.#flushed()
      return found
    })
  }

  /**
   * Gives a process an additional name, wherever it runs. Rejects with AlreadyRegistered, NoQuorum,
   * NoProcess, Overloaded, NotData, Timeout, Unreachable, NodeDown, NodeStopped, or a TypeError.
   */
  async register(name: Key.Key, ref: Living, options: RegisterOptions = {}): Promise<void> {
    const application = applied(name, ref, options)
    const { alias, process, mode, timeout } = application
    const { platform } = this.#parts
    this.#running(process)
    if (mode !== "local" && timeout <= 0) throw late(application)
    const begun = platform.now()
    try {
      while (!(await this.#try(application, begun))) {
        if (platform.now() - begun >= timeout) throw late(application)
        await new Promise<void>((resolve) => void platform.timer(AGAIN_MILLIS, resolve))
        this.#running(process)
      }
    } catch (error) {
      if (!(error instanceof AlreadyRegistered)) throw error
      const holder = Registry.lookup(this.#parts.core.registry, alias)
      const location = holder?.table.owner === error.node ? locate(holder) : undefined
      throw new AlreadyRegistered(error.process, error.node, location)
    }
  }

  /** Takes an additional name back, from whichever node has it; false when none has. */
  async unregister(
    name: Key.Key,
    { timeout = TIMEOUT_MILLIS }: { readonly timeout?: number } = {},
  ): Promise<boolean> {
    const alias = additional(name)
    this.#running(alias)
    if (this.#means.names.unalias(alias)) return true
    const entry = Registry.lookup(this.#parts.core.registry, alias)
    if (entry === undefined) return false
    const { owner } = entry.table
    return (await this.#means.services.request(owner, UNREGISTER, [alias], { timeout })) === true
  }

  // --- registering -------------------------------------------------------------------------------

  /** False when the process isn't where it was looked for, or not for much longer. */
  async #try(application: Application, begun: number): Promise<boolean> {
    const { process, timeout } = application
    const { core, name: self, platform } = this.#parts
    const entry = Registry.lookup(core.registry, process)
    if (entry === undefined && platform.now() - begun < GAP_MILLIS) return false
    if (entry === undefined) throw new NoProcess(process)
    const { owner } = entry.table
    if (owner === self) return this.#here(application)
    const { services } = this.#means
    return (await services.request(owner, REGISTER, [application], { timeout })) === true
  }

  async #serve(application: unknown): Promise<boolean> {
    if (!isApplication(application)) return false
    const done = await this.#here(application)
    await this.#flushed()
    return done
  }

  async #here(application: Application): Promise<boolean> {
    const { alias, process, mode, quorum, timeout } = application
    const { names, reservations } = this.#means
    const { name: self } = this.#parts
    const text = shown(alias)
    const cell = names.here(process)
    if (cell === undefined || cell.status === FROZEN) return false
    this.#free(alias)
    if (mode === "local") return this.#enter(application, cell)
    if (this.#pending.has(alias)) throw new AlreadyRegistered(text, self)
    this.#pending.add(alias)
    const keeper = reservations.keeper(alias)
    let kept = true
    try {
      const holder = await reservations.reserve(alias, timeout)
      kept = holder === undefined
      if (holder !== undefined) throw new AlreadyRegistered(text, holder)
      const enter = (): boolean => this.#enter(application, cell)
      const leave = (): void => void names.unalias(alias)
      const done =
        mode === "quorum"
          ? await this.#votes.pass({ name: alias, quorum, timeoutMillis: timeout, enter, leave })
          : enter()
      kept = !done
      return done
    } finally {
      this.#pending.delete(alias)
      if (kept) this.#votes.withdraw(alias, [keeper])
    }
  }

  /** Enters the name; false when the process has gone meanwhile, or is about to. */
  #enter({ alias, process, meta, onConflict }: Application, cell: Cell): boolean {
    const { names } = this.#means
    const { limits } = this.#parts
    this.#running(process)
    this.#free(alias)
    if (names.full) throw new Overloaded(shown(alias), "namesMax", limits.namesMax)
    // What is on the move has been packed: a name that comes now wouldn't go along.
    if (names.here(process) !== cell || cell.status === FROZEN) return false
    const props: Props | undefined = meta && { version: 1, bytes: meta }
    names.alias(cell, alias, props)
    if (onConflict === "stop") this.#vital.add(alias)
    return true
  }

  #free(alias: string): void {
    const entry = Registry.lookup(this.#parts.core.registry, alias)
    if (entry !== undefined) throw new AlreadyRegistered(shown(alias), entry.table.owner)
  }

  #running(process: string): void {
    const stopped = this.#parts.stopped(process)
    if (stopped !== undefined) throw stopped
  }

  /** What was entered has been written to the links: an answer comes behind it. */
  #flushed(): Promise<void> {
    return new Promise((resolve) => this.#parts.driver.afterFlush(resolve))
  }

  // --- losing ------------------------------------------------------------------------------------

  /** A name of this node's lost against a better claim. */
  lost({ name, pid }: Entry, winner: Entry): void {
    if (!this.#vital.delete(name)) return
    const { processes } = this.#parts
    const cell = processes.get(pid)
    if (cell === undefined) return
    processes.stop(cell, `conflict: ${shown(name)} belongs to ${winner.table.owner}`, true)
  }

  /** Nobody has the name any more. */
  gone(name: string): void {
    if (this.#vital.size > 0) this.#vital.delete(name)
  }
}

/** What the user asks for. Throws a TypeError on what can't be meant, and NotData. */
function applied(name: Key.Key, ref: Living, options: RegisterOptions): Application {
  const { mode = "serialized", quorum, meta, onConflict = "keep" } = options
  const { timeout = TIMEOUT_MILLIS } = options
  const alias = additional(name)
  const application = {
    alias,
    process: processOf(ref),
    mode,
    quorum,
    meta: encode(shown(alias), meta),
    onConflict,
    timeout,
  }
  if (isApplication(application)) return application
  throw new TypeError(
    "register: mode is serialized, local or quorum, quorum an integer of at least 1, onConflict keep or stop, timeout a number",
  )
}

function isApplication(value: unknown): value is Application {
  if (typeof value !== "object" || value === null) return false
  const { alias, process, mode, quorum, meta, onConflict, timeout } = value as {
    readonly [Name in keyof Application]: unknown
  }
  return (
    typeof alias === "string" &&
    isAdditional(alias) &&
    typeof process === "string" &&
    (mode === "serialized" || mode === "local" || mode === "quorum") &&
    (quorum === undefined || (Number.isSafeInteger(quorum) && (quorum as number) >= 1)) &&
    (meta === undefined || meta instanceof Uint8Array) &&
    (onConflict === "keep" || onConflict === "stop") &&
    typeof timeout === "number" &&
    !Number.isNaN(timeout)
  )
}

function late({ alias, timeout }: Application): Timeout {
  return new Timeout(shown(alias), "register", timeout, "not-executed")
}
