/**
 * One life of a pure machine on a host of a simulation: from its start to its end, its inputs are taken
 * one after the other, its outputs carried out in order, and one timer keeps its one deadline.
 *
 * @module
 */
import { hash32 } from "../../core/hash.ts"
import type * as Membership from "../../core/membership.ts"
import { EPOCH_MILLIS } from "../world/clock.ts"
import type { Host } from "../world/host.ts"
import type { Network } from "../world/network.ts"
import { type Failure, type Identity, type Letter, type Link, Links, type Owner } from "./links.ts"

/** What a machine answers: what it knows now, and what it wants done, in order. */
export interface Step<S, O> {
  readonly state: S
  readonly outputs: ReadonlyArray<O>
}

/** What every machine wants done: what `member.ts` says. Its other outputs are its host's business. */
export type Common =
  | { readonly _tag: "Send"; readonly to: string; readonly message: Letter }
  | { readonly _tag: "Broadcast"; readonly message: Letter }
  | Extract<Membership.Output, { readonly _tag: "Dial" | "Relay" | "Close" | "Event" }>

/** What the driver tells every machine by itself, as `member.ts` has it. `now` is monotonic milliseconds. */
export type Given =
  | Extract<
      Membership.Input,
      {
        readonly _tag: "Tick" | "LinkUp" | "LinkDown" | "DialFailed" | "RelayFailed" | "Superseded"
      }
    >
  | {
      readonly _tag: "Message"
      readonly now: number
      readonly from: string
      readonly message: Letter
    }

/** Something that tells what happens when. */
interface Timed {
  readonly _tag: string
  readonly now: number
}

/** An input without its time. */
export type Untimed<I> = I extends unknown ? Omit<I, "now"> : never

/**
 * A pure machine. Its inputs are among others those of {@link Given}, its outputs among others those of
 * {@link Common}: a Send goes over the link to that peer, a Dial ends in LinkUp or DialFailed.
 */
export interface Machine<S, I extends Timed, O extends { readonly _tag: string }> {
  init(options: Membership.Options, now: number): Step<S, O>
  step(state: S, input: I): Step<S, O>
  /** When it next has something to do by itself; infinite for never. */
  wakeAt(state: S): number
  /** Its own epoch, or that of the youngest instance that it knows of another name; 0 for none. */
  epoch(state: S, name: string): number
  /** The inputs by which a node begins to leave. */
  readonly leave: ReadonlyArray<Untimed<I>>
  /** What it is to be told at the end of a turn, until there is nothing more. */
  after?(state: S): Untimed<I> | undefined
}

/** An event, and when it was: simulated milliseconds since the beginning. */
export interface Happened {
  readonly at: number
  readonly event: Membership.Event
}

/** What drives the lives of a simulation. */
export interface Driver<S, I extends Timed, O extends { readonly _tag: string }> {
  readonly network: Network<Letter>
  readonly machine: Machine<S, I, O>
  /** Events that each node keeps at most; the oldest give way. */
  readonly eventsMax: number
  /** Whether nothing is sent or dialled: see `introduction.ts`. */
  readonly mute: boolean
  /** Sends a letter over a link, or loses or doubles it. */
  post(life: Life<S, I, O>, link: Link, letter: Letter): void
  /** A letter has come; false loses it. */
  receive(life: Life<S, I, O>, from: string, letter: Letter): void
  /** A machine has taken an input, undefined at birth. */
  stepped(life: Life<S, I, O>, input: I | undefined, outputs: ReadonlyArray<O>): void
  /** Carries out what isn't {@link Common}. */
  perform(life: Life<S, I, O>, output: O): void
  /** A machine has told an event. */
  told(life: Life<S, I, O>, event: Membership.Event): void
}

/** What a life begins with. */
export interface Birth<S, I extends Timed, O extends { readonly _tag: string }> {
  readonly host: Host
  readonly options: Membership.Options
  readonly driver: Driver<S, I, O>
}

/** One life of a machine: a node, until it ends. */
export class Life<S, I extends Timed, O extends { readonly _tag: string }> implements Owner {
  readonly name: string
  readonly host: Host
  readonly network: Network<Letter>
  /** What it was born with. */
  readonly options: Membership.Options
  /** What the machine knows now. */
  state: S
  readonly links: Links
  readonly events: Array<Happened> = []
  /** It has left as planned. */
  left: boolean = false
  /** How often it has dialled. */
  dials: number = 0
  readonly #driver: Driver<S, I, O>
  readonly #incarnation: number
  #first: ReadonlyArray<O>
  #inputs: Array<I> = []
  #stepping = false
  #timerAt = Number.POSITIVE_INFINITY
  #cancelTimer: () => void = nothing

  constructor({ host, options, driver }: Birth<S, I, O>) {
    this.name = options.name
    this.host = host
    this.network = driver.network
    this.options = options
    this.#driver = driver
    this.#incarnation = host.incarnation
    const { state, outputs } = driver.machine.init(options, this.now)
    this.state = state
    this.#first = outputs
    this.links = new Links(this)
  }

  /** Whether it runs; a node that stands still does. */
  get running(): boolean {
    return this.host.running && this.host.incarnation === this.#incarnation
  }

  /** Whether it stands still. */
  get paused(): boolean {
    return this.host.paused
  }

  /** Monotonic milliseconds, by its own clock. */
  get now(): number {
    return this.host.clock.mono(this.network.world.now) / 1_000
  }

  /** Unix milliseconds, by its own clock. */
  get wall(): number {
    return EPOCH_MILLIS + this.host.clock.wall(this.network.world.now) / 1_000
  }

  /** Who it is at the moment. */
  get identity(): Identity {
    const { name, address, instance } = this.options
    return { name, address, instance, epoch: this.epochOf(name) }
  }

  epochOf(name: string): number {
    return this.#driver.machine.epoch(this.state, name)
  }

  /** Letters that it has sent, over the links that stand. */
  get sent(): number {
    let sent = 0
    for (const link of this.links.all()) sent += link.sent
    return sent
  }

  /** Listens, and carries out what the machine wants done at birth. */
  begin(): void {
    this.links.listen()
    this.#stepping = true
    const first = this.#first
    this.#first = []
    this.#carry(undefined, first)
    this.#stepping = false
    this.#drain()
  }

  /** Tells the machine something: now, or once it goes on when it stands still. */
  input(told: Untimed<I>): void {
    if (!this.running) return
    this.host.io(() => this.#take({ ...told, now: this.now } as unknown as I))
  }

  /** Inputs that come from inside an output are taken once the outputs before are done. */
  #take(input: I): void {
    if (!this.running) return
    this.#inputs.push(input)
    if (!this.#stepping) this.#drain()
  }

  #give(input: Given): void {
    this.#take(input as unknown as I)
  }

  #drain(): void {
    const { machine } = this.#driver
    this.#stepping = true
    for (let at = 0; at < this.#inputs.length && this.running; at++) {
      this.#step(this.#inputs[at] as I)
      if (at + 1 < this.#inputs.length) continue
      const more = machine.after?.(this.state)
      if (more !== undefined) this.#inputs.push({ ...more, now: this.now } as unknown as I)
    }
    this.#inputs.length = 0
    this.#stepping = false
    this.#arm()
  }

  #step(input: I): void {
    const { state, outputs } = this.#driver.machine.step(this.state, input)
    this.state = state
    this.#carry(input, outputs)
  }

  #carry(input: I | undefined, outputs: ReadonlyArray<O>): void {
    for (let i = 0; i < outputs.length; i++) this.#perform(outputs[i] as O)
    this.#driver.stepped(this, input, outputs)
  }

  #perform(output: O): void {
    if (!this.running) return
    const common = output as unknown as Common
    if (this.#driver.mute && worldly(common)) return
    switch (common._tag) {
      case "Send": {
        const link = this.links.get(common.to)
        if (link !== undefined) this.#driver.post(this, link, common.message)
        return
      }
      case "Broadcast":
        for (const link of this.links.all()) this.#driver.post(this, link, common.message)
        return
      case "Dial":
        this.dials++
        return this.links.dial(common.address, common.peer)
      case "Relay":
        // Cores alone relay nothing: whole nodes do.
        this.host.soon(0, () => this.#unrelayed(common.peer))
        return
      case "Close":
        return this.links.get(common.peer)?.shut()
      case "Event":
        return this.#tell(common.event)
      default:
        return this.#driver.perform(this, output)
    }
  }

  #tell(event: Membership.Event): void {
    const { world } = this.network
    const { events } = this
    const { eventsMax } = this.#driver
    world.trace.mix(tagOf(event._tag), this.host.index, world.now)
    if (world.trace.keeps) {
      const { _tag: name, ...data } = event
      world.record(() => ({ kind: "note", node: this.host.index, name, data }))
    }
    events.push({ at: world.now / 1_000, event })
    if (events.length >= 2 * eventsMax) events.splice(0, events.length - eventsMax)
    this.#driver.told(this, event)
  }

  // --- time --------------------------------------------------------------------------------------

  #arm(): void {
    if (!this.running) return
    const at = this.#driver.machine.wakeAt(this.state)
    if (at === this.#timerAt) return
    this.#cancelTimer()
    this.#timerAt = at
    this.#cancelTimer =
      at === Number.POSITIVE_INFINITY
        ? nothing
        : this.host.timer((at - this.now) * 1_000, this.#tick)
  }

  readonly #tick = (): void => {
    this.#timerAt = Number.POSITIVE_INFINITY
    this.#give({ _tag: "Tick", now: this.now })
  }

  // --- links -------------------------------------------------------------------------------------

  up({ peer }: Link): void {
    if (peer === undefined) return
    const { name, epoch, address } = peer
    this.#give({ _tag: "LinkUp", now: this.now, peer: name, epoch, address })
  }

  down({ peer }: Link, reason: "closed" | "reset"): void {
    if (peer === undefined) return
    const { name, epoch } = peer
    this.#give({ _tag: "LinkDown", now: this.now, peer: name, epoch, reason })
  }

  undialled(address: string, reason: Failure): void {
    this.#give({ _tag: "DialFailed", now: this.now, address, reason })
  }

  #unrelayed(peer: string): void {
    this.#give({ _tag: "RelayFailed", now: this.now, peer })
  }

  superseded(epoch: number, instance: number): void {
    this.#give({ _tag: "Superseded", now: this.now, epoch, instance })
  }

  receive({ peer }: Link, letter: Letter): void {
    if (peer !== undefined && this.running) this.#driver.receive(this, peer.name, letter)
  }

  /** Gives the machine a message of a peer. */
  hear(from: string, message: Letter): void {
    this.#give({ _tag: "Message", now: this.now, from, message })
  }
}

function worldly({ _tag }: Common): boolean {
  return _tag === "Send" || _tag === "Broadcast" || _tag === "Dial"
}

function nothing(): void {}

const tags = new Map<string, number>()

/** A uint32 of the kind of something. */
export function tagOf(tag: string): number {
  const known = tags.get(tag)
  if (known !== undefined) return known
  const hash = hash32(tag)
  tags.set(tag, hash)
  return hash
}
