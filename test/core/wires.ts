/** Connections between the nodes of a network: dials, ordered links, and how both come to an end. */
import type { Frame, Told } from "./shell.ts"
import type { World } from "./world.ts"

/** A process as its connections see it. */
export interface Place {
  readonly name: string
  readonly running: boolean
  /** Whether its host is there. */
  readonly reachable: boolean
  readonly paused: boolean
  readonly links: Map<string, Link>
  readonly dialling: Set<string>
  /** Its own, at the moment. */
  epoch(): number
  input(told: Told): void
  receive(from: string, frame: Frame): void
}

/** One side of a connection. */
export interface Link {
  readonly from: Place
  readonly to: Place
  other: Link | undefined
  open: boolean
  /** Frames arrive in order: none before this time. */
  clear: number
}

type Failure = "refused" | "self" | "duplicate" | "timeout" | "unreachable"

const DIAL_MILLIS = 5_000

export class Wires {
  /** Called with every frame that arrives; false loses it. */
  filter: (from: string, to: string, frame: Frame) => boolean = () => true
  readonly #world: World
  readonly #lossPercent: number
  readonly #doublePercent: number

  constructor(world: World, lossPercent: number, doublePercent: number) {
    this.#world = world
    this.#lossPercent = lossPercent
    this.#doublePercent = doublePercent
  }

  /** Ends in LinkUp or DialFailed; `host` is who is at that address now. */
  dial(node: Place, address: string, host: Place | undefined): void {
    if (node.dialling.has(address)) return
    node.dialling.add(address)
    const fail = (reason: Failure): void => {
      if (node.dialling.delete(address)) node.input({ _tag: "DialFailed", address, reason })
    }
    const world = this.#world
    world.later(world.now + DIAL_MILLIS, () => fail("timeout"))
    world.travel(node.name, address, world.arrival(node.name, address), () => {
      const back = (reason: Failure): void =>
        world.travel(address, node.name, world.arrival(address, node.name), () => fail(reason))
      if (host === undefined || (!host.running && host.reachable)) return back("refused")
      if (!host.running || host.paused || !node.running) return
      if (host === node) return back("self")
      const before = host.links.get(node.name)
      if (before?.to === node && before.open) return back("duplicate")
      if (before !== undefined) this.close(before)
      this.#establish(host, node, fail)
    })
  }

  #establish(host: Place, node: Place, fail: (reason: Failure) => void): void {
    const there: Link = { from: host, to: node, other: undefined, open: true, clear: 0 }
    const here: Link = { from: node, to: host, other: there, open: true, clear: this.#world.now }
    there.other = here
    host.links.set(node.name, there)
    host.input({ _tag: "LinkUp", peer: node.name, epoch: node.epoch(), address: node.name })
    this.#deliver(there, () => {
      if (!here.open) return fail("unreachable")
      if (node.links.get(host.name)?.open) {
        this.hangUp(here)
        return fail("duplicate")
      }
      node.dialling.delete(host.name)
      node.links.set(host.name, here)
      node.input({ _tag: "LinkUp", peer: host.name, epoch: host.epoch(), address: host.name })
    })
  }

  /** False when there is no link. */
  send(node: Place, to: string, frame: Frame): boolean {
    const link = node.links.get(to)
    if (link === undefined || !link.open) return false
    const pair = `${node.name}>${to}`
    if (this.#happens(`loss ${pair}`, this.#lossPercent)) return true
    for (let i = this.#happens(`double ${pair}`, this.#doublePercent) ? 2 : 1; i > 0; i--) {
      this.#deliver(link, () => {
        if (link.other === undefined || link.to.links.get(node.name) !== link.other) return
        if (this.filter(node.name, to, frame)) link.to.receive(node.name, frame)
      })
    }
    return true
  }

  #happens(purpose: string, percent: number): boolean {
    return percent > 0 && this.#world.chance(purpose, 100) < percent
  }

  /** This side ends the connection; the other one learns it after what was sent before. */
  hangUp(link: Link): void {
    if (!link.open) return
    link.open = false
    const { other } = link
    if (other !== undefined) this.#deliver(link, () => this.#ended(other))
  }

  /** As `hangUp`, and this side forgets it at once. */
  close(link: Link): void {
    this.hangUp(link)
    link.from.links.delete(link.to.name)
  }

  /** Both sides notice that their connection is gone. */
  reset(link: Link): void {
    const { other } = link
    if (other !== undefined) other.open = false
    this.#ended(link)
    if (other !== undefined) this.#ended(other)
  }

  #ended(link: Link): void {
    link.open = false
    const { from, to } = link
    if (from.links.get(to.name) !== link) return
    from.links.delete(to.name)
    from.input({ _tag: "LinkDown", peer: to.name, epoch: to.epoch(), reason: "reset" })
  }

  #deliver(link: Link, run: () => void): void {
    const { name } = link.from
    const to = link.to.name
    link.clear = Math.max(link.clear, this.#world.arrival(name, to))
    this.#world.travel(name, to, link.clear, run)
  }
}
