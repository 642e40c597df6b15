/** One member, the others played by the test: what follows from what, to the millisecond. */
import assert from "node:assert/strict"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import type { Input, Message, Options, Output, State } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import type { Untimed } from "../../src/testing/cores/machine.ts"

/** A node whose peers answer pings at once, unless they are mute. */
export class Alone {
  now: number = 0
  /** How long an answer takes. */
  delay: number = 0
  readonly state: State
  readonly mute: Set<string> = new Set()
  helpersSilent: boolean = false
  readonly outputs: Array<Output> = []
  readonly dialled: Array<string> = []
  readonly #downs = new Map<string, number>()

  constructor(peers: ReadonlyArray<string>, options: Partial<Options> = {}) {
    const { state, outputs } = Membership.init(
      {
        name: "me",
        epoch: 1,
        instance: 1,
        address: "me:1",
        weight: 1,
        roles: [],
        seeds: [],
        random: 1,
        timing: Membership.lan,
        membersMax: 32,
        ...options,
      },
      0,
    )
    this.state = state
    for (const peer of peers) {
      this.input({ _tag: "LinkUp", peer, epoch: 1, address: `${peer}:1` })
      this.claims(peer, [alive(peer)], true)
    }
    this.outputs.length = 0
    this.#take(outputs)
  }

  input(input: Untimed<Input>): void {
    this.#take(Membership.step(this.state, { ...input, now: this.now } as Input).outputs)
  }

  #take(outputs: ReadonlyArray<Output>): void {
    for (const output of outputs) {
      this.outputs.push(output)
      if (output._tag === "Dial") this.dialled.push(output.address)
      if (output._tag === "Event" && output.event._tag === "Down") {
        this.#downs.set(output.event.name, this.now)
      }
      if (output._tag === "Send") this.#answer(output.to, output.message)
    }
  }

  #answer(from: string, message: Message): void {
    if (message._tag === "Ping" && !this.mute.has(from)) {
      this.now += this.delay
      this.message(from, { ...message, _tag: "Ack" })
    }
    if (message._tag === "PingRequest" && !this.helpersSilent) {
      this.message(from, { ...message, _tag: "PingReply", ok: false })
    }
  }

  message(from: string, message: Message): void {
    this.input({ _tag: "Message", from, message })
  }

  claims(from: string, claims: ReadonlyArray<Claim>, full: boolean = false): void {
    this.message(from, { _tag: "Claims", claims, full })
  }

  /** The next tick, on time. */
  tick(): void {
    this.now = Math.max(this.now, Membership.wakeAt(this.state))
    this.input({ _tag: "Tick" })
  }

  /** Ticks on time, for so long. */
  run(millis: number): void {
    const end = this.now + millis
    while (Membership.wakeAt(this.state) <= end) this.tick()
    this.now = Math.max(this.now, end)
  }

  /** Ticks on time, until it holds. */
  until(holds: () => boolean, maxMillis: number = 5_000): void {
    const end = this.now + maxMillis
    while (!holds()) {
      if (this.now > end) assert.fail(`not within ${maxMillis} ms`)
      this.tick()
    }
  }

  sentAll<T extends Message["_tag"]>(tag: T): ReadonlyArray<Extract<Message, { _tag: T }>> {
    return this.#messages(tag, this.outputs)
  }

  sent<T extends Message["_tag"]>(
    to: string,
    tag: T,
  ): ReadonlyArray<Extract<Message, { _tag: T }>> {
    const own = this.outputs.filter((output) => output._tag === "Send" && output.to === to)
    return this.#messages(tag, own)
  }

  #messages<T extends Message["_tag"]>(
    tag: T,
    outputs: ReadonlyArray<Output>,
  ): ReadonlyArray<Extract<Message, { _tag: T }>> {
    return outputs.flatMap((output) =>
      output._tag === "Send" && output.message._tag === tag
        ? [output.message as Extract<Message, { _tag: T }>]
        : [],
    )
  }

  events(): ReadonlyArray<Membership.Event> {
    return this.outputs.flatMap((output) => (output._tag === "Event" ? [output.event] : []))
  }

  downAt(name: string): number | undefined {
    return this.#downs.get(name)
  }

  claim(name: string): Claim {
    return Membership.claims(this.state).find((claim) => claim.name === name) as Claim
  }

  status(name: string): string | undefined {
    return Membership.members(this.state).find((member) => member.name === name)?.status
  }
}

/** Names of so many peers: `b`, `c` and so on. */
export function names(count: number): ReadonlyArray<string> {
  return Array.from({ length: count }, (_, i) => String.fromCharCode(98 + i))
}

export function alive(name: string): Claim {
  return {
    name,
    epoch: 1,
    incarnation: 1,
    rank: Claims.ALIVE,
    accusers: [],
    hard: [],
    phase: "up",
    address: `${name}:1`,
    instance: 5,
    weight: 1,
    roles: [],
    hosts: [""],
  }
}

export function accused(name: string, accusers: ReadonlyArray<string>): Claim {
  return { ...alive(name), rank: Claims.SUSPECT, accusers: [...accusers].sort() }
}
