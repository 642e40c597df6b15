/**
 * What nodes of machines are born with: options with their defaults, and an identity as a real node has.
 *
 * @module
 */
import * as Membership from "../../core/membership.ts"
import * as Chance from "../world/chance.ts"
import { EPOCH_MILLIS } from "../world/clock.ts"
import type { Host } from "../world/host.ts"
import type { Noise } from "../world/network.ts"
import type { World } from "../world/world.ts"

/** How the world of some machines is made. */
export interface WorldOfMachines {
  /** What everything random is drawn from: the same seed gives the same run. Default 1. */
  readonly seed?: number
  /** For messages and diagrams. Default `"machines"`. */
  readonly name?: string
  /** Figures of failure detection. Default `Membership.lan`. */
  readonly timing?: Membership.Timing
  /** More living members than this aren't taken in. Default 32. */
  readonly membersMax?: number
  /** More options of each node, by its index. */
  readonly options?: (index: number) => Partial<Membership.Options>
  /** What befalls all packets. Default: a latency of 0.2 to 0.8 ms, nothing else. */
  readonly noise?: Partial<Noise>
  /** Messages lost, and doubled, as no stream does, in parts per million. Handshakes are spared. */
  readonly lossPpm?: number
  readonly doublePpm?: number
  /** Whether messages of one link overtake each other. Default false. */
  readonly reorder?: boolean
  /** Whether the events of the trace are kept, for diagrams. Default false. */
  readonly keep?: boolean
  /** Events that each node keeps at most; the oldest give way. Default 10,000. */
  readonly eventsMax?: number
}

/** Where and when a node is born. */
export interface Cradle {
  readonly world: World
  readonly host: Host
  /** What was said of this very node. */
  readonly given: Partial<Membership.Options>
}

const RANDOM = Chance.purpose("birth")

/** As `src/runtime/options.ts` has it: the epoch is the wall clock's milliseconds, and a chance. */
export function optionsOf(
  { timing = Membership.lan, membersMax = 32, options }: WorldOfMachines,
  { world, host, given }: Cradle,
): Membership.Options {
  const { index, incarnation, clock } = host
  const draw = (n: number): number => Chance.draw(world.seed, RANDOM, index, incarnation, n)
  const random = draw(0)
  const all: Membership.Options = {
    name: host.name,
    epoch: Math.floor(EPOCH_MILLIS + clock.wall(world.now) / 1_000) * 1024 + (random % 1024),
    instance: draw(1),
    address: host.name,
    weight: 1,
    roles: [],
    seeds: [],
    random,
    timing,
    membersMax,
    ...options?.(index),
    ...given,
  }
  return { ...all, seeds: all.seeds.filter((seed) => seed !== all.address) }
}
