/**
 * Names that are about to be registered in addition: the node to which the ring gives a name's slot says
 * whether it is free, so that of two registrations at the same time one fails at once.
 *
 * @module
 */
import * as Membership from "../../core/membership.ts"
import * as Registry from "../../core/registry.ts"
import * as Ring from "../../core/ring.ts"
import * as Rings from "../../core/rings.ts"
import { NodeDown, Timeout, Unreachable } from "../errors.ts"
import type { Services } from "../functions/services.ts"
import type { Parts } from "../parts.ts"
import { Sweep } from "../sweep.ts"

/** Asked of the node that serializes a name's slot: the node that has the name, or undefined. */
const RESERVE = "$reserve"
const SWEEP_MILLIS = 100
/** How long a name is kept for a node that doesn't register it after all. */
const RESERVED_MILLIS = 5_000

/** The names reserved at this node. */
export class Reservations {
  readonly #parts: Parts
  readonly #services: Services
  readonly #sweep: Sweep
  readonly #reserved = new Map<string, { readonly node: string; readonly until: number }>()

  constructor(parts: Parts, services: Services) {
    this.#parts = parts
    this.#services = services
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
    services.serve(RESERVE, ({ from }, [name]) => this.here(String(name), from))
  }

  /**
   * Reserves a name for this node; resolves to the node that has it when it isn't free. Rejects with
   * Unreachable or Timeout.
   */
  async reserve(name: string, timeoutMillis: number): Promise<string | undefined> {
    const { name: self } = this.#parts
    const at = this.keeper(name)
    if (at === self) return this.here(name, self)
    const about = { process: name, method: "register" }
    try {
      const holder = await this.#services.request(at, RESERVE, [name], {
        timeout: timeoutMillis,
        about,
      })
      return typeof holder === "string" ? holder : undefined
    } catch (error) {
      // A reservation that nobody answers is none.
      if (error instanceof NodeDown) throw new Unreachable(name, at)
      if (!(error instanceof Timeout)) throw error
      throw new Timeout(name, "register", timeoutMillis, "not-executed")
    }
  }

  /**
   * The node that serializes a name: the one that its slot is given to or, where nobody hosts processes by
   * default, the one that ranks first among all members.
   */
  keeper(name: string): string {
    const { core, name: self } = this.#parts
    const owner = Rings.owner(core.supervision.rings, name)
    if (owner !== undefined) return owner
    const members = Array.from(Membership.living(core.membership), (claim) => claim.name)
    const ring = Ring.make(members.map((id) => ({ id, weight: 1 })))
    return Ring.owners(ring, name, 1)[0] ?? self
  }

  /** Reserves a name at this node, for any node; the node that has it when it isn't free. */
  here(name: string, node: string): string | undefined {
    const { core, platform } = this.#parts
    const entry = Registry.lookup(core.registry, name)
    if (entry !== undefined) return entry.table.owner
    const reserved = this.#reserved.get(name)
    const now = platform.now()
    if (reserved !== undefined && reserved.node !== node && reserved.until > now) {
      return reserved.node
    }
    this.#reserved.set(name, { node, until: now + RESERVED_MILLIS })
    this.#sweep.later()
    return undefined
  }

  /** The name is in the registry, or given up: its reservation has served. */
  served(name: string): void {
    if (this.#reserved.size > 0) this.#reserved.delete(name)
  }

  #expire(): boolean {
    const now = this.#parts.platform.now()
    for (const [name, { until }] of this.#reserved) if (now >= until) this.#reserved.delete(name)
    return this.#reserved.size > 0
  }
}
