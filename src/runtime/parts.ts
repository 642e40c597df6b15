/**
 * What the parts of a node know of each other: the engine puts them together and gives itself to each as
 * this, so that no part imports the engine.
 *
 * Parts that need more than this take each other, always in one direction: names ← starts ← router ←
 * mover ← inbox.
 *
 * @module
 */
import type * as Cluster from "../core/cluster.ts"
import type { Calls } from "./calls/calls.ts"
import type { Driver } from "./driver.ts"
import type { NodeStopped } from "./errors.ts"
import type { Events } from "./events.ts"
import type { Limits } from "./limits.ts"
import type { Links } from "./links/links.ts"
import type { Platform } from "./platform.ts"
import type { Processes } from "./processes/processes.ts"

/** One node, as its parts see it. */
export interface Parts {
  /** The node's name. */
  readonly name: string
  readonly platform: Platform
  readonly limits: Limits
  /** What the user is told. */
  readonly events: Events
  /** Calls under way from here. */
  readonly calls: Calls
  /** The processes that run here. */
  readonly processes: Processes
  /** The connections to peers. */
  readonly links: Links
  /** Takes inputs for the core. Throws until the node listens. */
  readonly driver: Driver
  /** What the core knows: read it, never change it. Throws until the node listens. */
  readonly core: Cluster.State
  /** The error of everything asked of a node that has stopped, or undefined while it runs. */
  stopped(process: string): NodeStopped | undefined
}
