/**
 * A stand-in for the runtime of one node: it starts, freezes, sends, installs and revives processes as
 * the core says. A process is a counter; whoever serves a name counts for it.
 */
import type * as Cluster from "../../src/core/cluster.ts"
import * as Ring from "../../src/core/ring.ts"

/** What a process takes along. */
export interface Packed {
  readonly name: string
  readonly counter: number
}

/** What shells say to each other, on the same links as the cores. */
export type Data =
  | { readonly _tag: "Start"; readonly name: string; readonly hops: number }
  | {
      readonly _tag: "State"
      readonly slot: number
      readonly generation: number
      readonly packed: ReadonlyArray<Packed>
    }

/** What goes over a link. */
export type Frame = Cluster.Message | Data

/** A counter under a name. */
export interface Process {
  readonly name: string
  generation: number
  readonly pid: number
  counter: number
  frozen: boolean
}

type Unclocked<A> = A extends unknown ? Omit<A, "now"> : never
/** An input of the core without its time. */
export type Told = Unclocked<Cluster.Input>

/** What a shell needs from the network around it. */
export interface Host {
  readonly name: string
  input(told: Told): void
  /** False when there is no link. */
  send(to: string, data: Data): boolean
  /** Later in virtual time, unless the node has ended by then. */
  after(millis: number, run: () => void): void
  /** Drawn by what it is for. */
  delay(purpose: string): number
  /** This node serves the name from now on. */
  served(process: Process): void
  holder(name: string): string | undefined
  /** This node has heard that the name is there. */
  saw(name: string, owner: string): void
}

interface Start {
  readonly name: string
  readonly hops: number
}

const HOPS_MAX = 8
const RETRY_MILLIS = 200

export class Shell {
  readonly processes: Map<string, Process> = new Map()
  readonly #host: Host
  readonly #outgoing = new Map<number, { to: string; packed: ReadonlyArray<Packed> }>()
  readonly #incoming = new Map<number, ReadonlyArray<Packed>>()
  readonly #starts = new Map<number, Start>()
  #lastId = 0
  /** Names taken over after a crash, without their state. */
  readonly taken: Array<string> = []
  readonly lost: Array<string> = []
  /** Asked for here and not there yet. */
  readonly wanted: Set<string> = new Set()

  constructor(host: Host) {
    this.#host = host
  }

  /** Asks for a name to be started, here or wherever it belongs; asks again until it is there. */
  want(name: string): void {
    if (this.#host.holder(name) !== undefined) {
      this.wanted.delete(name)
      return
    }
    this.wanted.add(name)
    this.#ask(name, 0)
    this.#host.after(RETRY_MILLIS, () => this.want(name))
  }

  #ask(name: string, hops: number): void {
    if (this.#host.holder(name) !== undefined) return
    const id = ++this.#lastId
    this.#starts.set(id, { name, hops })
    this.#host.input({ _tag: "Ask", id, slot: Ring.slot(name) })
  }

  serves(name: string): boolean {
    return this.processes.get(name)?.frozen === false
  }

  receive(data: Data): void {
    if (data._tag === "Start") return this.#ask(data.name, data.hops)
    const { slot, generation, packed } = data
    this.#incoming.set(slot, packed)
    this.#host.input({ _tag: "Restored", slot, generation, ok: true })
  }

  perform(output: Cluster.Output): void {
    switch (output._tag) {
      case "Changed":
        if (output.after !== undefined) this.#host.saw(output.name, output.after.table.owner)
        return
      case "Granted":
        return this.#granted(output.id, output.slot, output.generation)
      case "Forward":
        return this.#forward(output.id, output.to)
      case "Denied":
        this.#starts.delete(output.id)
        return
      case "Freeze":
        return this.#freeze(output)
      case "Thaw":
        return this.#thaw(output.slot)
      case "Depart":
        for (const { name } of this.#outgoing.get(output.slot)?.packed ?? [])
          this.processes.delete(name)
        return
      case "Revive":
        return this.#revive(output.slot, output.generation)
      case "Forget":
        this.#outgoing.delete(output.slot)
        return
      case "Activate":
        for (const one of this.#incoming.get(output.slot) ?? [])
          this.#serve(one.name, output.generation, one.counter)
        this.#incoming.delete(output.slot)
        return
      case "Discard":
        this.#incoming.delete(output.slot)
        return
      case "Takeover":
        return this.#takeOver(output.orphans)
      case "Lost": {
        const { name, pid } = output.entry
        this.lost.push(name)
        if (this.processes.get(name)?.pid === pid) this.processes.delete(name)
        return
      }
      default:
    }
  }

  // --- starting ----------------------------------------------------------------------------------

  #granted(id: number, slot: number, generation: number): void {
    const start = this.#starts.get(id)
    this.#starts.delete(id)
    const over = (): void => this.#host.input({ _tag: "Started", slot })
    if (start === undefined || this.#host.holder(start.name) !== undefined) return over()
    this.#host.after(this.#host.delay("boot"), () => {
      if (this.#host.holder(start.name) === undefined) this.#serve(start.name, generation, 0)
      over()
    })
  }

  #forward(id: number, to: string): void {
    const start = this.#starts.get(id)
    if (start === undefined) return
    this.#starts.delete(id)
    const { name, hops } = start
    if (hops < HOPS_MAX) this.#host.send(to, { _tag: "Start", name, hops: hops + 1 })
  }

  #serve(name: string, generation: number, counter: number): void {
    const pid = ++this.#lastId
    const process: Process = { name, generation, pid, counter, frozen: false }
    this.processes.set(name, process)
    this.#host.input({ _tag: "Register", wall: 0, name, generation, pid, meta: undefined })
    if (this.processes.get(name) === process) this.#host.served(process)
  }

  // --- moving ------------------------------------------------------------------------------------

  #freeze({ slot, generation, to, names }: Extract<Cluster.Output, { _tag: "Freeze" }>): void {
    const processes = names.flatMap((name) => this.processes.get(name) ?? [])
    const moving = { to, packed: [] as ReadonlyArray<Packed> }
    this.#outgoing.set(slot, moving)
    this.#host.after(this.#host.delay("capture"), () => {
      if (this.#outgoing.get(slot) !== moving) return
      // A message may still have been in hand.
      for (const process of processes) process.frozen = true
      moving.packed = processes.map(({ name, counter }) => ({ name, counter }))
      const { packed } = moving
      const sent = this.#host.send(to, { _tag: "State", slot, generation, packed })
      if (!sent) return this.#host.input({ _tag: "CaptureFailed", slot })
      this.#host.input({ _tag: "Captured", slot, names: packed.map(({ name }) => name) })
    })
  }

  #thaw(slot: number): void {
    const moving = this.#outgoing.get(slot)
    this.#outgoing.delete(slot)
    for (const { name } of moving?.packed ?? []) {
      const process = this.processes.get(name)
      if (process !== undefined) process.frozen = false
    }
  }

  #revive(slot: number, generation: number): void {
    const moving = this.#outgoing.get(slot)
    this.#outgoing.delete(slot)
    for (const { name, counter } of moving?.packed ?? []) this.#serve(name, generation, counter)
  }

  #takeOver(orphans: Extract<Cluster.Output, { _tag: "Takeover" }>["orphans"]): void {
    for (const { name, generation } of orphans) {
      const over = (): void => this.#host.input({ _tag: "Started", slot: Ring.slot(name) })
      if (this.processes.has(name)) over()
      else {
        this.taken.push(name)
        this.#host.after(this.#host.delay("boot"), () => {
          if (!this.processes.has(name)) this.#serve(name, generation, 0)
          over()
        })
      }
    }
  }
}
