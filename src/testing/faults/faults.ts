/**
 * Faults at work: what each kind does to the nodes and the network, and how that ends.
 *
 * @module
 */
import * as Chance from "../world/chance.ts"
import type { Host } from "../world/host.ts"
import { lateness, QUEUE_BYTES, type Rule } from "../world/network.ts"
import type { World } from "../world/world.ts"
import { apart, describe, type Fault, momentary, nodesOf, type Trouble } from "./fault.ts"
import type { Ending, Stage } from "./stage.ts"

/** A fault that is going on. */
export interface Ongoing {
  /** In words. */
  readonly what: string
  readonly kind: Trouble["kind"]
  /** Ends it; a second time does nothing. */
  readonly end: () => void
}

/** Nodes that don't reach each other. */
interface Cut {
  readonly apart: (from: number, to: number) => boolean
  readonly kind: "cut" | "clog"
  /** What takes the walls away. */
  readonly walls: Array<() => void>
}

/** Faults that are going on. */
export class Faults {
  readonly #stage: Stage
  /** What ends each of them. */
  readonly #going = new Map<Ongoing, () => void>()
  readonly #cuts = new Set<Cut>()
  /** By how many faults each node is down. */
  readonly #downs = new Map<Host, number>()
  readonly #limits = new Map<string, Map<symbol, number>>()
  #byHand = 0

  constructor(stage: Stage) {
    this.#stage = stage
  }

  /** Begins a fault now; it goes on until it is ended. Nodes are counted modulo `size`: default all. */
  begin(
    fault: Trouble,
    index: number = -1 - this.#byHand++,
    size: number = this.#stage.network.hosts.length,
  ): Ongoing {
    const { world } = this.#stage
    const nodes = nodesOf(fault, size)
    const what = describe(fault, world.names.slice(0, size))
    world.trace.mixText(what)
    const told = {
      kind: "fault",
      fault: index,
      what,
      nodes,
      groups: apart(fault, size),
      momentary: momentary(fault.kind),
    } as const
    world.record(() => ({ ...told, phase: "begin" }))
    const over = this.#inflict(fault, size)
    const ongoing: Ongoing = { what, kind: fault.kind, end: () => this.#end(ongoing) }
    const ended = (): void => {
      if (momentary(fault.kind)) return
      world.record(() => ({ ...told, phase: "end" }))
    }
    this.#going.set(ongoing, () => {
      ended()
      over()
    })
    if (momentary(fault.kind)) this.#going.delete(ongoing)
    return ongoing
  }

  /**
   * Begins a fault of a plan when it is due, and ends it when its time is over. `size`: the nodes of the
   * plan, so that it doesn't mean another one because one more has joined.
   */
  plan(fault: Fault, index: number, size?: number): void {
    const { world } = this.#stage
    world.at(fault.at, () => {
      world.cause = undefined
      const ongoing = this.begin(fault, index, size)
      if (momentary(fault.kind)) return
      world.later(fault.for, () => {
        world.cause = undefined
        ongoing.end()
      })
    })
  }

  /** Ends all that go on, or those of some kinds. */
  end(which: (ongoing: Ongoing) => boolean = () => true): void {
    for (const ongoing of [...this.#going.keys()]) if (which(ongoing)) ongoing.end()
  }

  /** Whether this one goes on. */
  has(ongoing: Ongoing): boolean {
    return this.#going.has(ongoing)
  }

  /** There is one more host: what cuts others off cuts it off as well. */
  joined(host: Host): void {
    for (const cut of this.#cuts)
      for (const other of this.#stage.network.hosts) {
        if (other === host) continue
        this.#wall(cut, host.index, other.index)
        this.#wall(cut, other.index, host.index)
      }
  }

  /** What is going on, in words. */
  get going(): ReadonlyArray<string> {
    return [...this.#going.keys()].map(({ what }) => what)
  }

  #end(ongoing: Ongoing): void {
    const over = this.#going.get(ongoing)
    this.#going.delete(ongoing)
    over?.()
  }

  // --- what each does ----------------------------------------------------------------------------

  /** Lets it begin; the result ends it. */
  #inflict(fault: Trouble, size: number): () => void {
    const { network, world } = this.#stage
    const host = (node: number): Host => network.hosts[node % size] as Host
    switch (fault.kind) {
      case "partition": {
        const groups = fault.groups.map((group) => group.map((node) => node % size))
        const side = (node: number): number => groups.findIndex((group) => group.includes(node))
        return this.#cut((from, to) => side(from) !== side(to))
      }
      case "isolate":
        return this.#cut((from, to) => (from === fault.node % size) !== (to === fault.node % size))
      case "ring":
        return this.#cut((from, to) => {
          const distance = Math.abs(from - to)
          return distance !== 1 && distance !== network.hosts.length - 1
        })
      case "bridge": {
        const middle = fault.node % size
        return this.#cut((from, to) => from !== middle && to !== middle && (from + to) % 2 === 1)
      }
      case "oneway":
        return this.#cut((from, to) => from === fault.from % size && to === fault.to % size)
      case "clog":
        return this.#clog(fault.link, size)
      case "swizzle":
        return this.#swizzle([...new Set(fault.nodes.map((node) => node % size))])
      case "reset":
        for (const connection of network.between(host(fault.link[0]), host(fault.link[1])))
          connection.reset()
        return nothing
      case "halfOpen":
        for (const connection of network.between(host(fault.link[0]), host(fault.link[1])))
          connection.dead = true
        return nothing
      case "loss":
      case "drop":
      case "duplicate":
      case "corrupt":
      case "delay":
        return network.rule(ruleOf(fault, world, size))
      case "mtu":
        return this.#limit("mtu", fault.bytes, (all) => {
          network.mtuBytes = Math.max(1, Math.min(Number.POSITIVE_INFINITY, ...all))
        })
      case "queue":
        return this.#limit("queue", fault.bytes, (all) => {
          network.queueBytes = Math.max(1, Math.min(QUEUE_BYTES, ...all))
        })
      case "join": {
        const joined = this.#stage.join()
        this.joined(joined)
        return () => this.#stage.down(joined, "leave")
      }
      default:
        return this.#afflict(fault, host(fault.node))
    }
  }

  /** A fault of one node. */
  #afflict(fault: Extract<Trouble, { readonly node: number }>, host: Host): () => void {
    const { world } = this.#stage
    const { clock } = host
    switch (fault.kind) {
      case "crash":
        return this.#down(host, fault.machine ? "machine" : "crash")
      case "stop":
      case "leave":
        return this.#down(host, fault.kind)
      case "flap":
        return this.#flap(host, fault.times)
      case "restart":
        this.#down(host, "crash", fault.stale === true)()
        return nothing
      case "pause":
        host.pause()
        return () => host.resume()
      case "suspend":
        host.pause("suspend")
        clock.suspend(world.now, true)
        return () => {
          clock.suspend(world.now, false)
          host.resume("wake")
        }
      case "throttle":
        return this.#limit(`throttle ${host.name}`, fault.micros, (all) => {
          host.throttleMicros = Math.max(0, ...all)
        })
      case "slow":
        return this.#limit(`slow ${host.name}`, Math.max(1, fault.factor), (all) => {
          host.slowness = Math.max(1, ...all)
        })
      case "skew":
        clock.step(world.now, fault.micros)
        return () => clock.step(world.now, -fault.micros)
      case "drift":
        clock.drift(world.now, fault.ppm)
        return () => clock.drift(world.now, -fault.ppm)
      case "step":
        clock.step(world.now, fault.micros)
        return nothing
      case "freeze":
        clock.freeze(world.now, true)
        return () => clock.freeze(world.now, false)
      case "strand":
        return this.#stage.network.strand(host)
      default:
        throw new Error(`BUG: ${fault.kind} is no fault of one node`)
    }
  }

  /** One more of several values that hold at a time; `apply` gets all that do. */
  #limit(what: string, value: number, apply: (all: Iterable<number>) => void): () => void {
    const values = this.#limits.get(what) ?? new Map<symbol, number>()
    this.#limits.set(what, values)
    const key = Symbol(what)
    values.set(key, value)
    apply(values.values())
    return () => {
      values.delete(key)
      apply(values.values())
    }
  }

  #cut(apart: (from: number, to: number) => boolean, kind: "cut" | "clog" = "cut"): () => void {
    const cut: Cut = { apart, kind, walls: [] }
    this.#cuts.add(cut)
    const { hosts } = this.#stage.network
    for (const from of hosts)
      for (const to of hosts) if (from !== to) this.#wall(cut, from.index, to.index)
    return () => {
      this.#cuts.delete(cut)
      for (const end of cut.walls) end()
    }
  }

  #wall({ apart, kind, walls }: Cut, from: number, to: number): void {
    if (apart(from, to)) walls.push(this.#stage.network.wall(from, to, kind))
  }

  #clog([a, b]: readonly [number, number], size: number): () => void {
    const pair = new Set([a % size, b % size])
    return this.#cut((from, to) => pair.has(from) && pair.has(to), "clog")
  }

  /** Clogs one node after the other, 100 ms apart, and frees them the other way round. */
  #swizzle(nodes: ReadonlyArray<number>): () => void {
    const { world } = this.#stage
    const ends: Array<() => void> = []
    let over = false
    nodes.forEach((node, i) => {
      world.later(i * SWIZZLE_MICROS, () => {
        if (!over) ends.unshift(this.#cut((from, to) => from === node || to === node, "clog"))
      })
    })
    return () => {
      over = true
      ends.forEach((end, i) => {
        world.later(i * SWIZZLE_MICROS, end)
      })
    }
  }

  /** A node that several faults keep down comes up when the last of them is over. */
  #down(host: Host, how: Ending, stale: boolean = false): () => void {
    const downs = (this.#downs.get(host) ?? 0) + 1
    this.#downs.set(host, downs)
    if (host.running) this.#stage.down(host, how)
    const { incarnation } = host
    return () => {
      const left = (this.#downs.get(host) ?? 1) - 1
      this.#downs.set(host, left)
      if (left === 0) this.#revive(host, incarnation, stale)
    }
  }

  /** Starts a node again: one that is still leaving, once it has left. */
  #revive(host: Host, incarnation: number, stale: boolean): void {
    // It is down again, or somebody else has started it.
    if ((this.#downs.get(host) ?? 0) > 0 || host.incarnation !== incarnation) return
    if (!host.running) return this.#stage.up(host, stale)
    this.#stage.world.later(LEAVING_MICROS, () => this.#revive(host, incarnation, stale))
  }

  #flap(host: Host, times: number): () => void {
    const { world } = this.#stage
    let up: () => void = nothing
    let left = Math.min(times, FLAPS_MAX)
    let over = false
    const turn = (): void => {
      if (over || left-- <= 0) return
      up = this.#down(host, "crash")
      world.later(FLAP_MICROS, () => {
        up()
        up = nothing
        world.later(FLAP_MICROS, turn)
      })
    }
    turn()
    return () => {
      over = true
      up()
      up = nothing
    }
  }
}

const SWIZZLE_MICROS = 100_000
/** How often to look whether a node has left. */
const LEAVING_MICROS = 50_000
const FLAP_MICROS = 500_000
const FLAPS_MAX = 100

function nothing(): void {}

const lots = {
  loss: Chance.purpose("fault loss"),
  drop: Chance.purpose("fault drop"),
  duplicate: Chance.purpose("fault duplicate"),
  corrupt: Chance.purpose("fault corrupt"),
} as const

/** What a fault does to packets. */
function ruleOf(
  fault: Extract<Trouble, { readonly kind: "loss" | "drop" | "duplicate" | "corrupt" | "delay" }>,
  world: World,
  size: number,
): Rule {
  const { link } = fault
  const pair = link === undefined ? undefined : link.map((node) => node % size)
  return ({ from, to, n }) => {
    if (pair !== undefined && !(pair.includes(from) && pair.includes(to))) return "pass"
    if (fault.kind === "delay") return { delayMicros: fault.micros }
    const lot = lots[fault.kind]
    if (fault.kind === "loss") return { delayMicros: lateness(world, lot, from, to, n, fault.ppm) }
    return world.happens(lot, from, to, n, fault.ppm) ? fault.kind : "pass"
  }
}
