/**
 * The network of a simulation: connections between hosts, and everything that can befall what they carry.
 * Payloads are whatever the hosts send: bytes for whole nodes, messages for cores alone.
 *
 * A connection is an ordered stream, as TCP's: what is lost on the way is sent again and comes late,
 * with everything behind it; behind a wall it waits, and comes by the retransmission timer once the wall
 * is gone. What a stream would never do (lose, double or garble what was sent) rules and noise can do
 * all the same, as a broken proxy would.
 *
 * @module
 */
import * as Chance from "./chance.ts"
import type { Host } from "./host.ts"
import type { Carrier, NetworkOptions, Packet, Sent, Verdict } from "./packet.ts"
import { Connection, type End } from "./stream.ts"
import type { World } from "./world.ts"

export type { NetworkOptions, Packet, Verdict } from "./packet.ts"

/** Looks at every packet. Delays add up; else the first verdict that isn't `pass` counts. */
export type Rule = (packet: Packet) => Verdict

/** What befalls packets at random, in parts per million and microseconds. */
export interface Noise {
  /** How long a packet is under way: at least and at most. */
  readonly latencyMicros: readonly [min: number, max: number]
  /** Lost on the way and sent again: late by 200 ms, 600 ms, 1.4 s … */
  readonly lossPpm: number
  /** Lost for good, as no stream does. */
  readonly dropPpm: number
  readonly duplicatePpm: number
}

/** A quiet local network. */
export const quiet: Noise = {
  latencyMicros: [200, 800],
  lossPpm: 0,
  dropPpm: 0,
  duplicatePpm: 0,
}

/** The fate of one packet that the noise decided, to be decided so again without noise. */
export interface Override {
  readonly from: number
  readonly to: number
  readonly n: number
  readonly fate: "drop" | "duplicate" | { readonly lateMicros: number }
}

/** The first wait before a stream sends something again, and the longest. */
const RETRY_MICROS = 200_000
const RETRY_MICROS_MAX = 120_000_000
/** A stream that got nothing through for this long is given up by its host. */
const GIVE_UP_MICROS = 900_000_000

const LATENCY = Chance.purpose("latency")
const LOSS = Chance.purpose("loss")
const DROP = Chance.purpose("drop")
const DUPLICATE = Chance.purpose("duplicate")

/** Bytes on their way in one direction from which a sender is told to wait. */
export const QUEUE_BYTES: number = 1024 * 1024

type Waiting = { readonly sentAt: number; readonly run: () => void }
type Wall = { cuts: number; clogs: number; readonly waiting: Array<Waiting> }

/** The network between the hosts of one world. */
export class Network<P> implements Carrier<P> {
  readonly world: World
  readonly hosts: Array<Host> = []
  readonly options: NetworkOptions<P>
  noise: Noise = quiet
  /** Frozen fates, by {@link keyOf}. */
  overrides: ReadonlyMap<string, Override["fate"]> = new Map()
  /** What the noise has decided, when it is being recorded. */
  decided: Array<Override> | undefined
  /** Bytes on their way in one direction from which a sender is told to wait. */
  queueBytes: number = QUEUE_BYTES
  /** The longest packet; longer ones are cut where payloads are bytes. Infinite for any length. */
  mtuBytes: number = Number.POSITIVE_INFINITY
  readonly connections: Set<Connection<P>> = new Set()
  readonly #rules = new Set<Rule>()
  readonly #walls = new Map<number, Wall>()
  readonly #numbers = new Map<number, number>()
  readonly #listeners = new Map<string, { host: Host; accept: (end: End<P>) => void }>()
  /** Hosts whose own dials are refused, and how often they were told so. */
  readonly #stranded = new Map<number, number>()
  #packets = 0

  constructor(world: World, options: NetworkOptions<P>) {
    this.world = world
    this.options = options
  }

  // --- connections -------------------------------------------------------------------------------

  /** Accepts connections to an address; the result stops that. */
  listen(host: Host, address: string, accept: (end: End<P>) => void): () => void {
    const entry = { host, accept }
    this.#listeners.set(address, entry)
    return () => {
      if (this.#listeners.get(address) === entry) this.#listeners.delete(address)
    }
  }

  /** Whether a program listens at this address. */
  listens(address: string): boolean {
    const entry = this.#listeners.get(address)
    return entry?.host.running ?? false
  }

  /**
   * Connects a host to an address: `done` gets its end of the connection, or `refused`. Where nobody
   * answers at all, nothing comes.
   */
  dial(from: Host, address: string, done: (end: End<P> | "refused") => void): void {
    const to = this.hosts.find(({ name }) => name === address)
    if (to === undefined || this.#stranded.has(from.index)) {
      from.soon(this.latency(from.index, from.index), () => done("refused"))
      return
    }
    const dialler = from.incarnation
    const alive = (): boolean => from.running && from.incarnation === dialler
    const back = (answer: () => void): void =>
      this.travel(to.index, from.index, () => {
        if (alive()) from.io(answer)
      })
    this.travel(from.index, to.index, () => {
      const entry = this.#listeners.get(address)
      if (!to.reachable) return
      if (entry === undefined || !to.running) return back(() => done("refused"))
      if (!alive()) return
      const connection = this.connect(from, to)
      to.io(() => entry.accept(connection.there))
      back(() => done(connection.here))
    })
  }

  /** A connection that stands at once. */
  connect(dialler: Host, acceptor: Host): Connection<P> {
    const connection = new Connection<P>(this, dialler, acceptor)
    this.connections.add(connection)
    return connection
  }

  /** Both sides know that a connection is over. */
  forget(connection: Connection<P>): void {
    this.connections.delete(connection)
  }

  /** The connections that touch a host, or that link two. */
  between(a: Host, b?: Host): ReadonlyArray<Connection<P>> {
    return [...this.connections].filter(
      ({ here, there }) =>
        (here.host === a && (b === undefined || there.host === b)) ||
        (there.host === a && (b === undefined || here.host === b)),
    )
  }

  /** The program of a host has ended: its machine hangs up, unless it is gone as well. */
  hangUp(host: Host): void {
    for (const [address, entry] of this.#listeners)
      if (entry.host === host) this.#listeners.delete(address)
    for (const connection of this.between(host)) connection.orphan(host)
  }

  // --- packets -----------------------------------------------------------------------------------

  /** Makes a packet and decides what becomes of it: when each of its copies arrives. */
  send(from: Host, to: Host, bytes: number, what: () => string): Sent {
    const key = from.index * 65_536 + to.index
    const n = (this.#numbers.get(key) ?? 0) + 1
    this.#numbers.set(key, n)
    const packet: Packet = { id: this.#packets++, from: from.index, to: to.index, n, bytes, what }
    const { world } = this
    const { id } = packet
    world.trace.mix(key, n, world.now)
    if (world.trace.keeps)
      world.record(() => ({
        kind: "send",
        packet: id,
        from: from.index,
        to: to.index,
        what: what(),
        bytes,
      }))
    else world.note()
    return this.#judge(packet, Math.max(from.slowness, to.slowness))
  }

  #judge(packet: Packet, slowness: number): Sent {
    let delay = this.latency(packet.from, packet.to, packet.n) * slowness
    let fate: Verdict = this.#chance(packet)
    if (typeof fate === "object") {
      delay += fate.delayMicros
      fate = "pass"
    }
    for (const rule of this.#rules) {
      const verdict = rule(packet)
      if (typeof verdict === "object") delay += verdict.delayMicros
      else if (fate === "pass") fate = verdict
    }
    return { packet, fate, delayMicros: Math.ceil(delay) }
  }

  #chance(packet: Packet): Verdict {
    const { from, to, n } = packet
    if (this.overrides.size > 0) {
      const fate = this.overrides.get(keyOf(packet))
      if (fate !== undefined) return verdictOf(fate)
    }
    const { world, noise } = this
    let fate: Override["fate"] | undefined
    if (world.happens(DROP, from, to, n, noise.dropPpm)) fate = "drop"
    else if (world.happens(DUPLICATE, from, to, n, noise.duplicatePpm)) fate = "duplicate"
    else {
      const lateMicros = lateness(world, LOSS, from, to, n, noise.lossPpm)
      if (lateMicros > 0) fate = { lateMicros }
    }
    if (fate === undefined) return "pass"
    this.decided?.push({ from, to, n, fate })
    return verdictOf(fate)
  }

  /** How long something is under way, by what it is. */
  latency(from: number, to: number, n: number = 0): number {
    const [min, max] = this.noise.latencyMicros
    return min + this.world.below(LATENCY, from, to, n, max - min + 1)
  }

  /** Does it at the other host, a latency from now; behind a wall, once that is gone. */
  travel(from: number, to: number, run: () => void): void {
    this.world.later(this.latency(from, to), () => this.arrive(from, to, this.world.now, run))
  }

  /** Something arrives: it is let through, or waits at the wall. Whether it was let through. */
  arrive(from: number, to: number, sentAt: number, run: () => void): boolean {
    const wall = this.#walls.get(from * 65_536 + to)
    if (wall === undefined || wall.cuts + wall.clogs === 0) {
      run()
      return true
    }
    wall.waiting.push({ sentAt, run })
    return false
  }

  /** Whether the network is cut between them, whatever else is wrong. */
  cut(from: number, to: number): boolean {
    return (this.#walls.get(from * 65_536 + to)?.cuts ?? 0) > 0
  }

  /** Whether anything gets from one to the other. */
  open(from: number, to: number): boolean {
    if (this.#walls.size === 0) return true
    const wall = this.#walls.get(from * 65_536 + to)
    return wall === undefined || wall.cuts + wall.clogs === 0
  }

  // --- faults ------------------------------------------------------------------------------------

  /** Judges every packet from now on; the result ends that. */
  rule(rule: Rule): () => void {
    this.#rules.add(rule)
    return () => void this.#rules.delete(rule)
  }

  /**
   * Lets nothing through in one direction; the result ends that, once. What was cut comes when streams
   * send it again, what was clogged at once and all together.
   */
  wall(from: number, to: number, kind: "cut" | "clog"): () => void {
    const key = from * 65_536 + to
    const wall = this.#walls.get(key) ?? { cuts: 0, clogs: 0, waiting: [] }
    this.#walls.set(key, wall)
    const count = kind === "cut" ? "cuts" : "clogs"
    wall[count]++
    let there = true
    return () => {
      if (!there) return
      there = false
      wall[count]--
      if (wall.cuts + wall.clogs === 0) this.#release(from, to, wall, kind)
    }
  }

  #release(from: number, to: number, wall: Wall, kind: "cut" | "clog"): void {
    for (const { sentAt, run } of wall.waiting.splice(0)) {
      const due = kind === "cut" ? retryAt(sentAt, this.world.now) : this.world.now
      this.world.at(due, () => this.arrive(from, to, sentAt, run))
    }
  }

  /** Refuses what a host dials, as where its list of seeds is out of date; the result ends that. */
  strand(host: Host): () => void {
    const add = (count: number): void => {
      const left = (this.#stranded.get(host.index) ?? 0) + count
      if (left === 0) this.#stranded.delete(host.index)
      else this.#stranded.set(host.index, left)
    }
    add(1)
    let there = true
    return () => {
      if (there) add(-1)
      there = false
    }
  }

  /** Whether a stream that sent something then has been given up by now. */
  hopeless(sentAt: number): boolean {
    return this.world.now - sentAt > GIVE_UP_MICROS
  }
}

/** What a packet's fate is kept under. */
export function keyOf({ from, to, n }: Pick<Packet, "from" | "to" | "n">): string {
  return `${from},${to},${n}`
}

function verdictOf(fate: Override["fate"]): Verdict {
  return typeof fate === "object" ? { delayMicros: fate.lateMicros } : fate
}

/** How late a packet is that is lost so often, and sent again by its stream each time. */
export function lateness(
  world: World,
  what: Chance.Purpose,
  from: number,
  to: number,
  n: number,
  ppm: number,
): number {
  let late = 0
  for (let k = 0; k < LOSSES_MAX && world.happens(what + k, from, to, n, ppm); k++)
    late += RETRY_MICROS * 2 ** k
  return late
}

const LOSSES_MAX = 6

/** When a stream that sent something then sends it again, no sooner than now (RFC 6298: doubling). */
function retryAt(sentAt: number, now: number): number {
  let at = sentAt
  for (let wait = RETRY_MICROS; at < now; wait = Math.min(2 * wait, RETRY_MICROS_MAX)) at += wait
  return at
}
