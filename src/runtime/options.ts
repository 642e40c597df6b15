/**
 * The options of a node: what they mean, their defaults, and what can't be right.
 *
 * @module
 */
import type * as Context from "effect/Context"
import * as Membership from "../core/membership.ts"
import type * as Registry from "../core/registry.ts"
import * as Ring from "../core/ring.ts"
import type { Discovery } from "../discovery/discovery.ts"
import type { Transport } from "../transport.ts"
import type { AnyDefinition } from "./definition.ts"
import type { EngineOptions } from "./engine.ts"
import type * as Remote from "./functions/remote.ts"
import * as Limits from "./limits.ts"
import { several } from "./links/transports.ts"
import type { Location } from "./names/location.ts"
import { locate } from "./names/lookup.ts"
import { type Platform, uint32 } from "./platform.ts"
import { InvalidOption } from "./rejections.ts"
import type * as Supervisor from "./supervisors/supervisor.ts"
import { hosts } from "./supervisors/supervisors.ts"

/**
 * Says which of two claims of one name, of different nodes, wins: its result is one of the two, and anything
 * else, or a throw, means that neither keeps the name. All nodes have to come to the same: the same function
 * everywhere, that looks at the two and at nothing else. It isn't asked where one has the higher generation.
 */
export type Resolver = (a: Location, b: Location) => Location | undefined

/** How a node is started. Only `transport` has no default. */
export interface NodeOptions {
  /** The node's name, unique in its cluster: 1 to 64 letters, digits and `. _ @ : -`. Default: random. */
  readonly name?: string
  /**
   * How nodes reach each other, for example `tcp({ port: 7001 })`. With several the node listens on all, has
   * an address for each, and dials others by the first of them that leads there.
   */
  readonly transport: Transport | ReadonlyArray<Transport>
  /** The cluster's secret, the same on all nodes. Required unless the transport stays in this program. */
  readonly cookie?: string | undefined
  /** Nodes with another cluster name are refused. Default `"skein"`. */
  readonly cluster?: string
  /** Addresses of nodes to join. They are tried for as long as the node runs; its own may be among them. */
  readonly connect?: ReadonlyArray<string>
  /** Where else to look for nodes to join: see `Discovery`. Default: nowhere. */
  readonly discovery?: Discovery | ReadonlyArray<Discovery>
  /** The remote functions that this node serves from the start; see `node.serve`. */
  readonly functions?: ReadonlyArray<Remote.AnyDefinition>
  /** The definitions this node hosts. A node without any is never given processes. */
  readonly processes?: ReadonlyArray<AnyDefinition>
  /** The named supervisors this node knows; it hosts those that want its name and roles. */
  readonly supervisors?: ReadonlyArray<Supervisor.AnyDefinition>
  /** How many processes this node gets relative to others: an integer from 1 to 64. Default 1. */
  readonly weight?: number
  /**
   * Whether the node is given processes of those that it hosts. Default: true, but false for a leaf, a node
   * that others can't dial as one of its transports only dials: `webSocket()` in a browser. A leaf uses
   * everything that the others have, and has the role `leaf`.
   */
  readonly host?: boolean
  /** What the node is for, as others see it. */
  readonly roles?: ReadonlyArray<string>
  /** Figures of failure detection. `lan` (default), `local` for one machine, `wan`; or your own. */
  readonly timing?: "lan" | "local" | "wan" | Membership.Timing
  /** `active` (default): names move when a node joins. `passive`: only when their node leaves. */
  readonly rebalance?: "active" | "passive"
  /** Which of two claims of a name wins when neither is younger by its moves. Default `oldest`. */
  readonly conflict?: "oldest" | "newest" | Resolver
  /** See Limits for each one's meaning and default. */
  readonly limits?: Partial<Limits.Limits>
  /** Milliseconds a connection and its handshake may take. Default 5,000. */
  readonly dialTimeout?: number
  /** Gives the start up, or stops the node once it runs. */
  readonly signal?: AbortSignal
}

/** How long a node that looks for others waits for the first to be found before it serves alone. */
const PATIENCE_MILLIS = 1_000
/** The same where only its transports look: who is on a medium with it answers at once. */
const MEDIUM_PATIENCE_MILLIS = 250

const NAME = /^[A-Za-z0-9._@:-]{1,64}$/

/**
 * What an engine needs, with every default in its place. A node without a name gets a random one.
 *
 * @throws InvalidOption
 */
export function resolve(
  options: NodeOptions,
  platform: Platform,
  context: Context.Context<never>,
): EngineOptions {
  check(options)
  const name = options.name ?? `node-${uint32(platform).toString(36)}`
  const { weight = 1, processes = [], functions = [], discovery = [] } = options
  const transports = [options.transport].flat()
  const transport = several(transports, platform)
  const leaf = transport.leaf === true
  const host = options.host ?? !leaf
  const roles = [...new Set([...(options.roles ?? []), ...(leaf ? ["leaf"] : [])])]
  const supervisors = (options.supervisors ?? []).filter((each) => hosts(each, name, roles))
  const own = supervisors.map((supervisor) => supervisor.name)
  const hosted = processes.length === 0 ? own : ["", ...own]
  const strategies = [discovery, transports.flatMap((one) => one.discovery ?? [])].flat()
  const limits = { ...Limits.defaults, ...options.limits }
  const random = uint32(platform)
  const epoch = Math.floor(platform.wall()) * 1024 + (random % 1024)
  const instance = uint32(platform)
  const seeds = options.connect ?? []
  return {
    name,
    cluster: options.cluster ?? "skein",
    cookie: options.cookie,
    transport,
    processes,
    supervisors,
    functions,
    discovery: strategies,
    limits,
    platform,
    context,
    epoch,
    instance,
    dialMillis: options.dialTimeout ?? 5_000,
    core: (address) => ({
      membership: {
        name,
        epoch,
        instance,
        address,
        weight: host && hosted.length > 0 ? weight : 0,
        roles,
        hosts: hosted,
        seeds: seeds.filter((seed) => seed !== address),
        random,
        timing: timing(options.timing),
        membersMax: limits.membersMax,
      },
      supervision: {
        rebalance: options.rebalance ?? "active",
        passive: supervisors
          .filter(({ spec }) => spec.rebalance === "passive")
          .map((supervisor) => supervisor.name),
      },
      policy: policy(options.conflict),
      patienceMillis: patience([discovery].flat(), strategies),
    }),
  }
}

function check(options: NodeOptions): void {
  const { name, cookie, weight = 1, processes = [], limits = {} } = options
  const transports = [options.transport].flat()
  if (name !== undefined && !NAME.test(name)) {
    throw new InvalidOption("name", `must match ${NAME}, got ${JSON.stringify(name)}`)
  }
  if (transports.length === 0 || transports.some((one) => typeof one?.dial !== "function")) {
    throw new InvalidOption("transport", "is missing: for example tcp({ port: 7001 })")
  }
  const open = transports.find(({ trusted }) => !trusted)
  if (open !== undefined && !cookie) {
    const problem = `is missing: ${open.kind} needs the cluster's secret, the same on all nodes`
    throw new InvalidOption("cookie", problem)
  }
  if (!Number.isInteger(weight) || weight < 1 || weight > Ring.WEIGHT_MAX) {
    const problem = `must be an integer from 1 to ${Ring.WEIGHT_MAX}, got ${weight}`
    throw new InvalidOption("weight", problem)
  }
  const { conflict = "oldest" } = options
  if (typeof conflict !== "function" && conflict !== "oldest" && conflict !== "newest") {
    const problem = `must be "oldest", "newest" or a function, got ${JSON.stringify(conflict)}`
    throw new InvalidOption("conflict", problem)
  }
  unique("processes", processes)
  unique("functions", options.functions ?? [])
  unique("supervisors", options.supervisors ?? [])
  for (const [limit, max] of Object.entries({ ...Limits.defaults, ...limits })) {
    if (!(max >= 1)) throw new InvalidOption(`limits.${limit}`, `must be at least 1, got ${max}`)
  }
}

function patience(asked: ReadonlyArray<Discovery>, all: ReadonlyArray<Discovery>): number {
  if (asked.length > 0) return PATIENCE_MILLIS
  return all.length > 0 ? MEDIUM_PATIENCE_MILLIS : 0
}

function unique(option: string, definitions: ReadonlyArray<{ readonly name: string }>): void {
  const seen = new Set<string>()
  for (const { name } of definitions) {
    if (seen.has(name)) throw new InvalidOption(option, `lists two definitions named ${name}`)
    seen.add(name)
  }
}

function policy(given: NodeOptions["conflict"] = "oldest"): Registry.Policy {
  if (typeof given !== "function") return given
  return (a, b) => {
    const [first, second] = [locate(a), locate(b)]
    const winner = given(first, second)
    return winner === first ? a : winner === second ? b : undefined
  }
}

function timing(given: NodeOptions["timing"]): Membership.Timing {
  if (typeof given === "object") return given
  if (given === "local") return Membership.local
  return given === "wan" ? Membership.wan : Membership.lan
}
