/**
 * Hosts on a simulated network that carries texts, for tests of the network alone.
 *
 * @module
 */

import type { Ending, Stage } from "../../src/testing/faults/stage.ts"
import { Host } from "../../src/testing/world/host.ts"
import { Network, type Noise } from "../../src/testing/world/network.ts"
import type { End, Reason } from "../../src/testing/world/stream.ts"
import { World } from "../../src/testing/world/world.ts"

export const SECOND = 1_000_000

/** What came to one end of a connection: each with the second in which it did. */
export class Side {
  readonly end: End<string>
  readonly came: Array<readonly [what: string, seconds: number]> = []
  drains = 0
  closed: Reason | undefined
  readonly #world: World

  constructor(end: End<string>, world: World) {
    this.end = end
    this.#world = world
    this.attach()
  }

  attach(): void {
    this.end.receive({
      data: (what) => void this.came.push([what, this.#world.now / SECOND]),
      drain: () => void this.drains++,
      close: (reason) => {
        if (this.closed !== undefined) throw new Error("closed twice")
        this.closed = reason
      },
    })
  }

  get texts(): ReadonlyArray<string> {
    return this.came.map(([what]) => what)
  }

  send(...texts: ReadonlyArray<string>): boolean {
    let room = true
    for (const text of texts) room = this.end.send(text, text.length, () => text)
    return room
  }
}

/** Two ends of a connection. */
export interface Pair {
  readonly dialled: Side
  readonly accepted: Side
}

/** A network of hosts a, b, c …, each with a program that accepts connections at its name. */
export class Roads implements Stage {
  readonly world: World
  readonly network: Network<string>
  readonly accepted: Array<Side> = []
  /** What became of the programs, with the second: `"1 crash a"`. */
  readonly lives: Array<string> = []

  constructor({
    seed = 1,
    hosts = 3,
    noise,
  }: { seed?: number; hosts?: number; noise?: Noise } = {}) {
    this.world = new World({ name: "test", seed, keep: true })
    this.network = new Network<string>(this.world, { copy: (text) => text })
    if (noise !== undefined) this.network.noise = noise
    for (let i = 0; i < hosts; i++) {
      const host = new Host(this.world, "abcdefgh"[i] as string)
      this.network.hosts.push(host)
      this.start(host)
    }
  }

  host(index: number): Host {
    return this.network.hosts[index] as Host
  }

  up(host: Host, stale: boolean): void {
    this.lives.push(`${this.world.now / SECOND} ${stale ? "stale" : "up"} ${host.name}`)
    this.start(host)
  }

  down(host: Host, how: Ending): void {
    this.lives.push(`${this.world.now / SECOND} ${how} ${host.name}`)
    // Leaving takes its time.
    if (how === "leave") host.soon(3 * SECOND, () => this.crash(host))
    else this.crash(host, how === "machine")
  }

  join(): Host {
    const host = new Host(this.world, `j${this.network.hosts.length}`)
    this.network.hosts.push(host)
    this.up(host, false)
    return host
  }

  start(host: Host): void {
    host.start()
    this.network.listen(host, host.name, (end) => {
      this.accepted.push(new Side(end, this.world))
    })
  }

  /** The program of a host ends; `machine`: with its machine, silently. */
  crash(host: Host, machine = false): void {
    if (machine) host.reachable = false
    host.end("crash")
    this.network.hangUp(host)
  }

  /** Lets so many seconds pass. */
  pass(seconds: number): void {
    this.world.run(this.world.now + seconds * SECOND)
  }

  /** What a dial gives within so many seconds; undefined when nothing comes. */
  dial(from: number, to: number | string, seconds = 1): Side | "refused" | undefined {
    let answer: Side | "refused" | undefined
    const address = typeof to === "number" ? this.host(to).name : to
    this.network.dial(this.host(from), address, (end) => {
      answer = end === "refused" ? end : new Side(end, this.world)
    })
    this.pass(seconds)
    return answer
  }

  connect(from = 0, to = 1): Pair {
    const dialled = this.dial(from, to)
    const accepted = this.accepted.at(-1)
    if (!(dialled instanceof Side) || accepted === undefined) throw new Error("no connection")
    return { dialled, accepted }
  }

  /** The packets, by their kind of event. */
  get traced(): ReadonlyArray<string> {
    return this.world.trace.events.flatMap((event) =>
      event.kind === "drop" || event.kind === "hold" ? [`${event.kind} ${event.why}`] : [],
    )
  }
}
