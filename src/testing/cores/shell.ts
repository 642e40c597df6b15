/**
 * A stand-in for the processes of a runtime, for cores alone: it starts, freezes, sends, installs and
 * revives what the core says. A process is a counter; whoever serves a name counts for it. Its name says what
 * it is: those of the definition `stay` are sticky (`stay/x`, `supervisor:stay/x`).
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import type { Props } from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import type { Untimed } from "./life.ts"
import type { Letter } from "./links.ts"

/** What a process takes along. */
export interface Packed {
  readonly name: string
  readonly counter: number
  readonly props: Props | undefined
  readonly groups: ReadonlyArray<string>
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

/** A counter under a name. */
export interface Process {
  readonly name: string
  readonly generation: number
  readonly pid: number
  counter: number
  props: Props | undefined
  /** The groups that it is a member of. */
  readonly groups: Set<string>
  /** It is on its way to another node, and serves nobody here. */
  frozen: boolean
}

/** What a shell needs of its node. */
export interface Ground {
  input(told: Untimed<Cluster.Input>): void
  /** False when there is no link. */
  send(to: string, data: Data): boolean
  /** Later by its own clock, unless the node has ended by then. */
  after(millis: number, run: () => void): void
  /** Does something that takes some milliseconds of chance. */
  work(purpose: string, run: () => void): void
  /** This node serves the name from now on. */
  served(process: Process): void
  /** The node that serves the name, as this one knows. */
  holder(name: string): string | undefined
  /** This node has heard who serves the name. */
  heard(name: string, owner: string): void
}

/** Names of this definition are sticky. */
const STICKY = /(^|:)stay\//
const HOPS_MAX = 8
const RETRY_MILLIS = 200

/** The processes of one node. */
export class Shell {
  readonly processes: Map<string, Process> = new Map()
  /** Names taken over after a crash, without their state. */
  readonly taken: Array<string> = []
  /** Names that were given up, as somebody else had the better claim. */
  readonly lost: Array<string> = []
  /** Asked for here, and not there yet. */
  readonly wanted: Set<string> = new Set()
  /** The groups that the node itself is a member of. */
  readonly enlisted: Set<string> = new Set()
  readonly #ground: Ground
  readonly #outgoing = new Map<number, { to: string; packed: ReadonlyArray<Packed> }>()
  readonly #incoming = new Map<number, ReadonlyArray<Packed>>()
  readonly #starts = new Map<number, { readonly name: string; readonly hops: number }>()
  #lastId = 0

  constructor(ground: Ground) {
    this.#ground = ground
  }

  /** Asks for a name to be started, here or wherever it belongs; asks again until it is there. */
  want(name: string): void {
    if (this.#ground.holder(name) !== undefined) {
      this.wanted.delete(name)
      return
    }
    this.wanted.add(name)
    this.#ask(name, 0)
    this.#ground.after(RETRY_MILLIS, () => this.want(name))
  }

  #ask(name: string, hops: number): void {
    if (this.#ground.holder(name) !== undefined) return
    const id = ++this.#lastId
    this.#starts.set(id, { name, hops })
    this.#ground.input({ _tag: "Ask", id, slot: Rings.slot(name) })
  }

  /** Whether a process of this name runs here. */
  serves(name: string): boolean {
    return this.processes.get(name)?.frozen === false
  }

  /** Counts once for a name that is served here; whether it is. */
  bump(name: string): boolean {
    const process = this.processes.get(name)
    if (process === undefined || process.frozen) return false
    process.counter++
    return true
  }

  /** Gives a name that is served here other metadata; whether it is. */
  label(name: string, bytes: Uint8Array): boolean {
    const process = this.processes.get(name)
    if (process === undefined || process.frozen) return false
    process.props = { version: (process.props?.version ?? 0) + 1, bytes }
    this.#ground.input({ _tag: "Describe", name, props: process.props })
    return true
  }

  /** Lets the process of a name that is served here join a group; whether it is. */
  enroll(name: string, group: string): boolean {
    const process = this.processes.get(name)
    if (process === undefined || process.frozen) return false
    process.groups.add(group)
    this.#enter(group, process.pid, name)
    return true
  }

  /** Lets the process of a name that is served here quit a group; whether it is. */
  dismiss(name: string, group: string): boolean {
    const process = this.processes.get(name)
    if (process === undefined || process.frozen) return false
    process.groups.delete(group)
    this.#ground.input({ _tag: "Quit", group, pid: process.pid, reason: "asked" })
    return true
  }

  /** Lets the node itself join a group. */
  enlist(group: string): void {
    this.enlisted.add(group)
    this.#enter(group, 0, "")
  }

  #enter(group: string, pid: number, name: string): void {
    const member = { group, pid, name, online: true, meta: undefined } as const
    this.#ground.input({ _tag: "Join", wall: 0, ...member })
  }

  /** Takes in what another shell says. */
  receive(data: Data): void {
    if (data._tag === "Start") return this.#ask(data.name, data.hops)
    const { slot, generation, packed } = data
    this.#incoming.set(slot, packed)
    this.#ground.input({ _tag: "Restored", slot, generation, ok: true })
  }

  /** Carries out what the core wants done with processes. */
  perform(output: Cluster.Output): void {
    switch (output._tag) {
      case "Changed":
        if (output.after !== undefined) this.#ground.heard(output.name, output.after.table.owner)
        return
      case "Granted":
        return this.#granted(output.id, output.slot, output.generation)
      case "Forward":
        return this.#forward(output.id, output.to)
      case "Denied":
        this.#starts.delete(output.id)
        return
      case "Takeover":
        return this.#takeOver(output.orphans)
      case "Lost": {
        const { name, pid } = output.entry
        this.lost.push(name)
        if (this.processes.get(name)?.pid === pid) this.#end(name, "conflict")
        return
      }
      default:
        return this.#move(output)
    }
  }

  #move(output: Cluster.Output): void {
    switch (output._tag) {
      case "Freeze":
        return this.#freeze(output)
      case "Thaw":
        return this.#thaw(output.slot)
      case "Depart":
        for (const { name } of this.#outgoing.get(output.slot)?.packed ?? [])
          this.#end(name, "moved")
        return
      case "Revive":
        return this.#revive(output.slot, output.generation)
      case "Forget":
        this.#outgoing.delete(output.slot)
        return
      case "Activate":
        for (const packed of this.#incoming.get(output.slot) ?? [])
          this.#serve(packed, output.generation)
        this.#incoming.delete(output.slot)
        return
      case "Discard":
        this.#incoming.delete(output.slot)
        return
    }
  }

  // --- starting ----------------------------------------------------------------------------------

  #granted(id: number, slot: number, generation: number): void {
    const start = this.#starts.get(id)
    this.#starts.delete(id)
    const over = (): void => this.#ground.input({ _tag: "Started", slot })
    if (start === undefined || this.#ground.holder(start.name) !== undefined) return over()
    this.#ground.work("boot", () => {
      if (this.#ground.holder(start.name) === undefined) this.#serve(fresh(start.name), generation)
      over()
    })
  }

  #forward(id: number, to: string): void {
    const start = this.#starts.get(id)
    this.#starts.delete(id)
    if (start === undefined || start.hops >= HOPS_MAX) return
    this.#ground.send(to, { _tag: "Start", name: start.name, hops: start.hops + 1 })
  }

  #serve({ name, counter, props, groups }: Packed, generation: number): void {
    this.#end(name, "replaced")
    const pid = ++this.#lastId
    const process: Process = {
      ...{ name, generation, pid, counter, props },
      groups: new Set(groups),
      frozen: false,
    }
    this.processes.set(name, process)
    const registration = { name, generation, pid, meta: undefined, props }
    this.#ground.input({ _tag: "Register", wall: 0, ...registration, sticky: STICKY.test(name) })
    if (this.processes.get(name) !== process) return
    for (const group of groups) this.#enter(group, pid, name)
    this.#ground.served(process)
  }

  /** A process ends, if there is one: its memberships end with it. */
  #end(name: string, reason: string): void {
    const process = this.processes.get(name)
    this.processes.delete(name)
    for (const group of process?.groups ?? [])
      this.#ground.input({ _tag: "Quit", group, pid: process?.pid ?? 0, reason })
  }

  // --- moving ------------------------------------------------------------------------------------

  #freeze({ slot, generation, to, names }: Extract<Cluster.Output, { _tag: "Freeze" }>): void {
    const processes = names.flatMap((name) => this.processes.get(name) ?? [])
    const moving = { to, packed: [] as ReadonlyArray<Packed> }
    this.#outgoing.set(slot, moving)
    this.#ground.work("capture", () => {
      if (this.#outgoing.get(slot) !== moving) return
      // A message may still have been in hand until now.
      for (const process of processes) process.frozen = true
      const packed = processes.map(pack)
      moving.packed = packed
      const sent = this.#ground.send(to, { _tag: "State", slot, generation, packed })
      if (!sent) return this.#ground.input({ _tag: "CaptureFailed", slot })
      this.#ground.input({ _tag: "Captured", slot, names: packed.map(({ name }) => name) })
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
    for (const packed of moving?.packed ?? []) this.#serve(packed, generation)
  }

  #takeOver(orphans: Extract<Cluster.Output, { _tag: "Takeover" }>["orphans"]): void {
    for (const { name, generation, props } of orphans) {
      const over = (): void => this.#ground.input({ _tag: "Started", slot: Rings.slot(name) })
      if (this.processes.has(name)) over()
      else {
        this.taken.push(name)
        this.#ground.work("boot", () => {
          if (!this.processes.has(name)) this.#serve({ ...fresh(name), props }, generation)
          over()
        })
      }
    }
  }
}

function fresh(name: string): Packed {
  return { name, counter: 0, props: undefined, groups: [] }
}

function pack({ name, counter, props, groups }: Process): Packed {
  return { name, counter, props, groups: [...groups] }
}

/** Whether a letter is for a shell. */
export function isData(letter: Letter): letter is Data {
  return letter._tag === "Start" || letter._tag === "State"
}
