/**
 * Whole cores of nodes alone in a simulation: membership, registry and supervision, with counters for
 * processes. It keeps the ground truth of who serves what, and checks it whenever that changes.
 *
 * @example
 * ```ts
 * import { Cores } from "skein/testing"
 *
 * const cores = new Cores({ seed: 7 })
 * const [a] = cores.formed(5)
 * a?.shell.want("count/x")
 * cores.until("started", () => cores.servers("count/x").length === 1, 1_000)
 * ```
 *
 * @module
 */
import * as Cluster from "../../core/cluster.ts"
import * as Invariants from "../../core/invariants.ts"
import * as Registry from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import type { Options as Supervising } from "../../core/supervision.ts"
import * as Chance from "../world/chance.ts"
import { introduce } from "./introduction.ts"
import { Life } from "./life.ts"
import type { Letter } from "./links.ts"
import { type Birth, type Machine, Machines, type WorldOfMachines } from "./machine.ts"
import { isData, type Process, Shell } from "./shell.ts"

export type { Data, Packed, Process, Shell } from "./shell.ts"

/** How a world of cores is made. */
export interface CoresOptions extends WorldOfMachines {
  /** `active` (default): names move when a node joins. `passive`: only when their node leaves. */
  readonly rebalance?: NonNullable<Supervising["rebalance"]>
  /** The named supervisors whose names move only when their node leaves. Default: none. */
  readonly passive?: ReadonlyArray<string>
  /** Which of two claims of a name wins when neither is younger by its moves. Default `oldest`. */
  readonly policy?: Registry.Policy
  /** A node that can't catch up with everybody within this long serves all the same. Default 3,000. */
  readonly joinMaxMillis?: number
  /** Faults make two servers of one name legal for a while: don't check at every moment. Default false. */
  readonly lax?: boolean
}

/** The whole core of a node, as a machine. */
export function cluster(
  options: Pick<CoresOptions, "rebalance" | "passive" | "policy" | "joinMaxMillis"> = {},
): Machine<Cluster.State, Cluster.Input, Cluster.Output> {
  const { rebalance = "active", passive = [], policy = "oldest", joinMaxMillis = 3_000 } = options
  const supervision = { rebalance, passive }
  return {
    init: (membership, now) =>
      Cluster.init({ membership, supervision, policy, joinMaxMillis }, now),
    step: Cluster.step,
    wakeAt: Cluster.wakeAt,
    epoch: (state, name) => state.registry.tables.get(name)?.epoch ?? 0,
    leave: [{ _tag: "Leave" }],
    after: (state) => (Cluster.unsent(state) > 0 ? { _tag: "Flush" } : undefined),
  }
}

/** A node: its core, and the processes on it. */
export class Core extends Life<Cluster.State, Cluster.Input, Cluster.Output> {
  readonly shell: Shell
  /** Whether it is a full member and serves. */
  ready: boolean = false
  #works = 0

  /** Made by {@link Cores} only. */
  constructor(birth: Birth<Cluster.State, Cluster.Input, Cluster.Output>, cores: Cores) {
    super(birth)
    const { host } = birth
    const { world } = this.network
    this.shell = new Shell({
      input: (told) => this.input("wall" in told ? { ...told, wall: this.wall } : told),
      send: (to, data) => {
        const link = this.links.get(to)
        if (link !== undefined) cores.post(this, link, data)
        return link !== undefined
      },
      after: (millis, run) => void host.timer(millis * 1_000, run),
      work: (purpose, run) => {
        const what = Chance.purpose(purpose)
        const n = this.#works++
        const micros = world.below(what, host.index, host.incarnation, n, WORK_MICROS_MAX)
        host.soon(micros * host.slowness, run)
      },
      served: (process) => cores.serves(this, process),
      holder: (name) => Registry.lookup(this.state.registry, name)?.table.owner,
      heard: (name, owner) => cores.heard(name, owner),
    })
  }
}

const WORK_MICROS_MAX = 4_000

/** How many of the others a node of a large cluster knows from the beginning. */
const SEEDS = 5

/** Who served a name last, and whether every full member has heard of it. */
interface Served {
  readonly node: string
  readonly generation: number
  heard: boolean
}

/** Cores, one a host. */
export class Cores extends Machines<Cluster.State, Cluster.Input, Cluster.Output, Core> {
  /** The names that every full member has heard of, at some time. */
  readonly known: Set<string> = new Set()
  /** For every name who served it last, and with which generation. */
  readonly served: Map<string, Served> = new Map()
  /** How often each name was told to count while somebody served it. */
  readonly counted: Map<string, number> = new Map()
  readonly #lax: boolean

  constructor(options: CoresOptions = {}) {
    super({ name: "cores", ...options, machine: cluster(options) })
    this.#lax = options.lax ?? false
  }

  protected override born(birth: Birth<Cluster.State, Cluster.Input, Cluster.Output>): Core {
    return new Core(birth, this)
  }

  /** So many nodes, or nodes of these names, that have become a cluster and have nothing on the move. */
  formed(nodes: number | ReadonlyArray<string>, maxMillis: number = 15_000): ReadonlyArray<Core> {
    const cores = this.cluster(nodes)
    this.until("formed", () => this.unrest(cores), maxMillis)
    return cores
  }

  /** As {@link Cores.formed}, for large clusters: they are born knowing each other. */
  grown(nodes: number | ReadonlyArray<string>, maxMillis: number = 15_000): ReadonlyArray<Core> {
    this.mute = true
    const cores = this.cluster(nodes, SEEDS)
    introduce(this.network, cores)
    this.mute = false
    this.until("grown", () => this.unrest(cores), maxMillis, 100)
    return cores
  }

  // --- what is so --------------------------------------------------------------------------------

  /**
   * What keeps these from being calm: that is when they see each other and nobody else, agree, and have
   * nothing on the move. Default: all that run.
   */
  unrest(nodes: ReadonlyArray<Core> = this.running): string | undefined {
    return Invariants.calm(nodes.map(({ state }) => state))
  }

  /** Whether nothing keeps these from being calm. */
  calm(nodes: ReadonlyArray<Core> = this.running): boolean {
    return this.unrest(nodes) === undefined
  }

  /** The nodes that serve, don't stand still and mean to stay. */
  get full(): ReadonlyArray<Core> {
    return this.running.filter(
      ({ ready, paused, state }) =>
        ready && !paused && state.supervision.leaveBy === Number.POSITIVE_INFINITY,
    )
  }

  /** The running nodes that serve a name right now, as it is and not as anybody believes. */
  servers(name: string): ReadonlyArray<Core> {
    return this.running.filter(({ shell }) => shell.serves(name))
  }

  /** Asks for a name to be started: a node asks until it is there. Default: the first that serves. */
  want(name: string, node: Core | undefined = this.full[0]): void {
    node?.shell.want(name)
  }

  /** Whoever serves the name counts once. */
  bump(name: string): void {
    if (this.servers(name)[0]?.shell.bump(name) !== true) return
    this.counted.set(name, (this.counted.get(name) ?? 0) + 1)
  }

  /** Whoever serves the name gives it other metadata; whether somebody does. */
  label(name: string, bytes: Uint8Array): boolean {
    return this.servers(name)[0]?.shell.label(name, bytes) ?? false
  }

  /** The process of this name joins a group; whether somebody serves it. */
  enroll(name: string, group: string): boolean {
    return this.servers(name)[0]?.shell.enroll(name, group) ?? false
  }

  /** The process of this name quits a group; whether somebody serves it. */
  dismiss(name: string, group: string): boolean {
    return this.servers(name)[0]?.shell.dismiss(name, group) ?? false
  }

  /** What a name has counted up to; undefined when nobody serves it, or several do. */
  counter(name: string): number | undefined {
    const servers = this.servers(name)
    return servers.length === 1 ? servers[0]?.shell.processes.get(name)?.counter : undefined
  }

  // --- the truth ---------------------------------------------------------------------------------

  /**
   * 31, 32: a name has one server at a time, and each next one has a higher generation. Nobody serves names of
   * a supervisor that it doesn't host.
   */
  serves(node: Core, { name, generation }: Process): void {
    const before = this.served.get(name)
    this.served.set(name, { node: node.name, generation, heard: false })
    const supervisor = Rings.supervisorOf(name)
    if (!(node.options.hosts ?? [""]).includes(supervisor))
      this.complain("hosted", `${node.name} serves ${name}, and doesn't host "${supervisor}"`)
    if (this.#lax) return
    const servers = this.servers(name).map((server) => server.name)
    if (servers.length > 1)
      this.complain("one-owner", `${name} is served by ${servers.join(" and ")}`)
    if (before?.heard && before.node !== node.name && generation <= before.generation) {
      const now = `${node.name} (${generation})`
      const message = `${name} went from ${before.node} (${before.generation}) to ${now}`
      this.complain("generations rise", message)
    }
  }

  /** A node has heard who serves a name. */
  heard(name: string, owner: string): void {
    const served = this.served.get(name)
    if (served?.node !== owner || served.heard) return
    served.heard = this.full.every(({ state }) => {
      const entry = Registry.lookup(state.registry, name)
      return entry !== undefined && entry.generation >= served.generation
    })
    if (served.heard) this.known.add(name)
  }

  // --- what drives the cores ---------------------------------------------------------------------

  protected override deliver(node: Core, from: string, letter: Letter): void {
    if (isData(letter)) node.shell.receive(letter)
    else super.deliver(node, from, letter)
  }

  override perform(node: Core, output: Cluster.Output): void {
    if (output._tag === "Ready") node.ready = true
    else node.shell.perform(output)
  }

  protected override describe(node: Core): string {
    const { outgoing, incoming, queue, settled, rings } = node.state.supervision
    const moves = `out ${JSON.stringify([...outgoing])}, in ${JSON.stringify([...incoming])}`
    const served = [...node.shell.processes.values()].map((p) => `${p.name}:${p.generation}`)
    const members = rings.members.map(({ id }) => id).join(" ")
    return [
      super.describe(node),
      `    ring ${members} ${settled ? "settled" : "open"}, ${moves}, ${queue.length} to move`,
      `    serves ${served.join(" ")}`,
    ].join("\n")
  }
}
