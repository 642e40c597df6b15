/**
 * The nodes of a simulation as faults and checks see them, whatever drives them.
 *
 * @module
 */
import type { Host } from "../world/host.ts"
import type { Noise, Rule } from "../world/network.ts"
import type { World } from "../world/world.ts"

/** A connection, as faults see it. */
interface Reachable {
  dead: boolean
  reset(): void
}

/** The network, as faults see it. */
export interface Roads {
  readonly hosts: ReadonlyArray<Host>
  noise: Noise
  queueBytes: number
  mtuBytes: number
  rule(rule: Rule): () => void
  wall(from: number, to: number, kind: "cut" | "clog"): () => void
  strand(host: Host): () => void
  open(from: number, to: number): boolean
  between(a: Host, b?: Host): ReadonlyArray<Reachable>
}

/** How a node ends. `machine`: with its machine, silently. */
export type Ending = "crash" | "machine" | "stop" | "leave"

/** Starts and ends nodes. */
export interface Stage {
  readonly world: World
  readonly network: Roads
  /** Starts the program of a host. `stale`: as an older incarnation than the one before. */
  up(host: Host, stale: boolean): void
  /** Ends the program of a host, or lets it begin to leave. */
  down(host: Host, how: Ending): void
  /** A new host, whose program starts. */
  join(): Host
}
