/**
 * Carries out what the core decides about moves, takeovers and conflicts: states are captured, sent,
 * installed, revived and merged here.
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import * as Registry from "../../core/registry.ts"
import type { Orphan } from "../../core/supervision.ts"
import type { Data, MovingProcess, MovingTimer } from "../../wire/message.ts"
import * as Envelope from "../calls/envelope.ts"
import type { Router } from "../calls/router.ts"
import type { Memberships } from "../groups/memberships.ts"
import type { Parts } from "../parts.ts"
import { type Cell, type Hosted, more, STARTING, STOPPED, take } from "./cell.ts"
import type { Names } from "./names.ts"
import * as States from "./states.ts"
import { Wills } from "./wills.ts"

type Freeze = Extract<Cluster.Output, { readonly _tag: "Freeze" }>

/** A slot on its way from here. */
interface Outgoing {
  readonly to: string
  /** Those that go; those that turned out not to be able to are left out. */
  cells: ReadonlyArray<Cell>
  /** Kept after the departure until the new owner serves. */
  packed: ReadonlyArray<MovingProcess>
}

/** A slot on its way to here. */
interface Incoming {
  readonly generation: number
  readonly arrivals: ReadonlyArray<{ readonly cell: Cell; readonly moving: MovingProcess }>
}

/** What has to do with processes that move. */
export interface Belongings {
  readonly names: Names
  readonly router: Router
  readonly memberships: Memberships
}

/** The slots on their way from and to one node. */
export class Mover {
  readonly wills: Wills
  readonly #parts: Parts
  readonly #names: Names
  readonly #router: Router
  readonly #memberships: Memberships
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #incoming = new Map<number, Incoming>()
  /** Processes that serve here and may still be passed messages by their old owner. */
  readonly #arrived = new Map<string, Cell>()
  /** Their names, by slot, until the old owner has passed on everything. */
  readonly #openLater = new Map<number, ReadonlyArray<string>>()

  constructor(parts: Parts, { names, router, memberships }: Belongings) {
    this.#parts = parts
    this.#names = names
    this.#router = router
    this.#memberships = memberships
    const { platform, limits } = parts
    this.wills = new Wills(parts, (cell) =>
      this.#packOne(cell, platform.now(), true, limits.frameBytesMax - FRAME_BYTES),
    )
  }

  // --- leaving this node -------------------------------------------------------------------------

  /** Brings the processes of a slot to rest, then sends their states to the node that gets it. */
  freeze({ slot, generation, to, names, leaving }: Freeze): void {
    const cells: Array<Cell> = []
    for (const name of names) {
      const cell = this.#names.here(name)
      if (cell === undefined) continue
      const kind = cell.hosted.definition.spec.handoff?.kind ?? "resume"
      if (kind !== "ignore" || leaving) cells.push(cell)
    }
    const moving: Outgoing = { to, cells, packed: [] }
    this.#outgoing.set(slot, moving)
    this.#tell("HandoffStarted", to, cells)
    let left = cells.length + 1
    const rest = (): void => {
      if (--left === 0 && this.#outgoing.get(slot) === moving)
        this.#pack(slot, generation, moving, leaving)
    }
    for (const cell of cells) this.#parts.processes.freeze(cell, rest)
    rest()
  }

  /** Those whose state can't be sent stay, like those that say so; or start anew when the node leaves. */
  #pack(slot: number, generation: number, moving: Outgoing, leaving: boolean): void {
    const { driver, platform, links, limits } = this.#parts
    const now = platform.now()
    const packed: Array<MovingProcess> = []
    const going: Array<Cell> = []
    let room = limits.frameBytesMax - FRAME_BYTES
    for (const cell of moving.cells) {
      if (cell.status === STOPPED) continue
      const one = this.#packOne(cell, now, leaving, room)
      if (one === undefined) {
        this.#parts.processes.thaw(cell)
        continue
      }
      room -= bytesOf(one)
      packed.push(one)
      going.push(cell)
    }
    moving.cells = going
    const link = links.get(moving.to)
    const sent =
      link !== undefined &&
      Envelope.data(link, { _tag: "State", slot, generation, processes: packed })
    if (!sent) return driver.input({ _tag: "CaptureFailed", now, slot })
    moving.packed = packed
    driver.input({ _tag: "Captured", now, slot, names: going.map((cell) => cell.name) })
  }

  #packOne(
    cell: Cell,
    now: number,
    leaving: boolean,
    roomBytes: number,
  ): MovingProcess | undefined {
    const { handoff } = cell.hosted.definition.spec
    const { name, meta, extra } = cell
    const resumes = (handoff?.kind ?? "resume") === "resume"
    let state: Uint8Array | undefined
    if (resumes) {
      state = this.#capture(cell)
      if (state !== undefined && state.length > roomBytes) {
        this.#tellFailed(cell)
        state = undefined
      }
      // A node that leaves for good can't wait for a state that doesn't encode, or is too long.
      if (state === undefined && !leaving) return undefined
    }
    const timers: Array<MovingTimer> = []
    for (const timer of state === undefined ? [] : (extra?.timers ?? [])) {
      const args = States.encode(timer.args)
      if (args === undefined) continue
      timers.push({ inMillis: Math.max(0, Math.round(timer.at - now)), method: timer.method, args })
    }
    const restarts = (extra?.history ?? []).map((at) => Math.max(0, Math.round(now - at)))
    const entry = Registry.lookup(this.#parts.core.registry, name)
    const { props, sticky = false } = entry ?? {}
    const aliases = this.#names.aliasesOf(cell)
    const groups = this.#memberships.packed(cell)
    return { name, meta, state, timers, restarts, props, sticky, aliases, groups }
  }

  #capture(cell: Cell): Uint8Array | undefined {
    const state = States.capture(cell)
    if (state === undefined) this.#tellFailed(cell)
    return state
  }

  #tellFailed(cell: Cell): void {
    this.#parts.events.emit({ _tag: "HandoffFailed", processes: [cell.name] })
  }

  /** The move is off: the processes go on here. */
  thaw(slot: number): void {
    const moving = this.#outgoing.get(slot)
    if (moving === undefined) return
    this.#outgoing.delete(slot)
    for (const cell of moving.cells) this.#parts.processes.thaw(cell)
  }

  /** The new owner takes over: its processes are let go, and what waits for them is passed on. */
  depart(slot: number, to: string): void {
    const moving = this.#outgoing.get(slot)
    if (moving === undefined) return
    for (const cell of moving.cells) {
      if (cell.status === STOPPED) continue
      const waiting = take(cell)
      this.#names.left(cell, Registry.REASON.moved)
      this.#router.depart(cell, waiting, to)
    }
    this.#tell("HandoffEnded", to, moving.cells)
  }

  /** The new owner serves: what was kept for a revival can go. */
  forget(slot: number): void {
    const moving = this.#outgoing.get(slot)
    this.#outgoing.delete(slot)
    // Only now, so that its members are never missed: they are there twice for a moment.
    this.#quit(moving)
  }

  #quit(moving: Outgoing | undefined): void {
    for (const cell of moving?.cells ?? []) this.#memberships.end(cell, Registry.REASON.moved)
  }

  /** The new owner died before it served: the states that went there come back to life here. */
  revive(slot: number, generation: number): void {
    const moving = this.#outgoing.get(slot)
    this.#outgoing.delete(slot)
    const names: Array<string> = []
    for (const packed of moving?.packed ?? []) {
      const hosted = this.#names.hosted(packed.name)
      const cell = hosted === undefined ? undefined : this.#unpack(hosted, packed, generation)
      if (cell === undefined) continue
      this.#router.fences.returned(packed.name)
      this.#serve(cell, packed)
      names.push(packed.name)
    }
    this.#quit(moving)
    this.#router.retry()
    if (names.length > 0) this.#parts.events.emit({ _tag: "HandoffFailed", processes: names })
  }

  // --- arriving here -----------------------------------------------------------------------------

  /** States came: makes inert processes of them. The core hears Restored, `ok` when all could be made. */
  install(message: Extract<Data, { readonly _tag: "State" }>): void {
    const { slot, generation, processes } = message
    const { driver, platform } = this.#parts
    this.discard(slot)
    const arrivals: Array<{ cell: Cell; moving: MovingProcess }> = []
    let ok = true
    for (const moving of processes) {
      const hosted = this.#names.hosted(moving.name)
      const cell = hosted === undefined ? undefined : this.#unpack(hosted, moving, generation)
      if (cell === undefined) {
        ok = false
        break
      }
      arrivals.push({ cell, moving })
    }
    this.#incoming.set(slot, { generation, arrivals })
    if (!ok) this.discard(slot)
    driver.input({ _tag: "Restored", now: platform.now(), slot, generation, ok })
  }

  /** An inert process with the state that came for it; undefined when it can't be used. */
  #unpack(hosted: Hosted, moving: MovingProcess, generation: number): Cell | undefined {
    const { processes, platform } = this.#parts
    if (this.#names.full) return undefined
    const cell = processes.create(hosted, moving.name, generation, moving.meta)
    if (moving.restarts.length > 0) {
      more(cell).history = moving.restarts.map((age) => platform.now() - age)
    }
    if (moving.state === undefined) return cell
    try {
      processes.adopt(cell, States.restore(hosted.definition, moving.state))
      return cell
    } catch {
      processes.remove(cell)
      return undefined
    }
  }

  /** This node owns the slot: its processes serve, but only what the old owner passes on reaches them. */
  activate(slot: number, generation: number, from: string): void {
    const standby = this.#incoming.get(slot)
    if (standby === undefined) return
    this.#incoming.delete(slot)
    const { events } = this.#parts
    let resumed = 0
    for (const { cell, moving } of standby.arrivals) {
      cell.generation = generation
      this.#arrived.set(cell.name, cell)
      this.#router.shut(cell.name)
      this.#serve(cell, moving)
      if (moving.state !== undefined) resumed++
    }
    this.#openLater.set(
      slot,
      standby.arrivals.map(({ cell }) => cell.name),
    )
    if (standby.arrivals.length === 0 || !events.heard) return
    const processes = standby.arrivals.map(({ cell }) => cell.name)
    events.emit({ _tag: "ProcessesArrived", from, processes, resumed })
  }

  /** The old owner has passed on everything. */
  open(slot: number): void {
    const names = this.#openLater.get(slot) ?? []
    this.#openLater.delete(slot)
    for (const name of names) {
      this.#arrived.delete(name)
      this.#router.open(name)
    }
  }

  /** The process that the old owner's messages are for. */
  arrived(name: string): Cell | undefined {
    const cell = this.#arrived.get(name)
    return cell?.status === STOPPED ? undefined : cell
  }

  /** The move is off: what was installed goes. */
  discard(slot: number): void {
    const standby = this.#incoming.get(slot)
    if (standby === undefined) return
    this.#incoming.delete(slot)
    for (const { cell } of standby.arrivals) this.#parts.processes.remove(cell)
  }

  /** Registers a process that has its state and lets it work; one that starts anew is booted. */
  #serve(cell: Cell, moving: MovingProcess): void {
    const { processes } = this.#parts
    this.#memberships.unpack(cell, moving.groups)
    if (cell.status === STARTING) {
      return this.#names.boot(cell, moving, () => this.#memberships.started(cell))
    }
    this.#names.register(cell, moving.props, moving.sticky)
    for (const { name, generation, props } of moving.aliases)
      this.#names.alias(cell, name, props, generation + 1)
    for (const timer of moving.timers) {
      try {
        const args = States.decode(timer.args)
        processes.after(cell, timer.inMillis, timer.method, Array.isArray(args) ? args : [])
      } catch {
        // A timer for a method that this version doesn't have.
      }
    }
    processes.arrive(cell)
  }

  // --- crashes ---------------------------------------------------------------------

  /** Processes of a dead node are started again here. */
  takeOver(from: string, orphans: ReadonlyArray<Orphan>): void {
    const { processes, events } = this.#parts
    const names: Array<string> = []
    for (const orphan of orphans) {
      const { name, generation, meta } = orphan
      const over = (): void => this.#names.started(name)
      const hosted = this.#names.hosted(name)
      const gone = hosted === undefined || hosted.definition.spec.restart === "temporary"
      const here = this.#names.booting(name) || this.#names.here(name) !== undefined
      if (gone || here) over()
      else if (this.#inherit(hosted, orphan)) {
        names.push(name)
        over()
      } else {
        names.push(name)
        this.#names.boot(processes.create(hosted, name, generation, meta), orphan, over)
      }
    }
    if (names.length > 0) events.emit({ _tag: "TakenOver", from, processes: names })
  }

  /** Goes on with what its last node has left of a process; false when that is nothing, or of no use. */
  #inherit(hosted: Hosted, { name, generation }: Orphan): boolean {
    const moving = this.wills.take(name)
    const cell = moving && this.#unpack(hosted, moving, generation)
    if (moving === undefined || cell === undefined) return false
    this.#serve(cell, moving)
    return true
  }

  #tell(tag: "HandoffStarted" | "HandoffEnded", to: string, cells: ReadonlyArray<Cell>): void {
    const { events } = this.#parts
    if (cells.length === 0 || !events.heard) return
    events.emit({ _tag: tag, to, processes: cells.map((cell) => cell.name) })
  }
}

/** What a frame holds besides states, and a process besides its own. */
const FRAME_BYTES = 4_096
const PROCESS_BYTES = 1_024

function bytesOf({ state, meta, props, timers, groups, aliases }: MovingProcess): number {
  let bytes = PROCESS_BYTES + (state?.length ?? 0) + (meta?.length ?? 0)
  bytes += props?.bytes.length ?? 0
  for (const { args } of timers) bytes += args.length + 64
  for (const { group, meta } of groups) bytes += 3 * group.length + (meta?.length ?? 0)
  for (const { name, props } of aliases) bytes += 3 * name.length + (props?.bytes.length ?? 0)
  return bytes
}
