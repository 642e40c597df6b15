/**
 * What a node leaves when it is about to be gone and has no time to hand anything over, as a tab that is being closed:
 * the states of its processes, sent to those who will take them over. They start there with these, not anew.
 *
 * @module
 */
import * as Registry from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import type { Data, MovingProcess } from "../../wire/message.ts"
import * as Envelope from "../calls/envelope.ts"
import type { Parts } from "../parts.ts"
import { Sweep } from "../sweep.ts"
import { type Cell, IDLE, READY } from "./cell.ts"

type Message = Extract<Data, { readonly _tag: "Will" }>

interface Kept {
  readonly from: string
  readonly process: MovingProcess
  readonly until: number
}

/** Nobody who isn't gone for good by then has died. */
const KEPT_MILLIS = 30_000
const SWEEP_MILLIS = 5_000
/** Processes of wills that are kept; there are no more of them than names. */
const KEPT_MAX = 100_000
/** Bytes of states in them: who is out of its mind may not fill this node's memory. */
const KEPT_BYTES_MAX = 64 * 1024 * 1024
/** Bytes of states in one message, unless a single one is longer. */
const BYTES_MAX = 256 * 1024

/** The wills that one node writes and keeps. */
export class Wills {
  readonly #parts: Parts
  readonly #pack: (cell: Cell) => MovingProcess | undefined
  readonly #kept = new Map<string, Kept>()
  #keptBytes = 0
  readonly #sweep: Sweep

  /** `pack` gives what moves with a process; undefined when it can't move. */
  constructor(parts: Parts, pack: (cell: Cell) => MovingProcess | undefined) {
    this.#parts = parts
    this.#pack = pack
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
  }

  // --- the end of this node ----------------------------------------------------------------------

  /**
   * Sends this node's will, at once. A process whose handler is under way leaves nothing: its state may be in
   * between.
   */
  write(): void {
    const { name, core, links, processes } = this.#parts
    const { rings } = core.supervision
    const heirs = Rings.make(rings.members.filter(({ id }) => id !== name))
    const wills = new Map<string, Array<MovingProcess>>()
    for (const cell of processes.all()) {
      if ((cell.status !== IDLE && cell.status !== READY) || !Registry.placed(cell.name)) continue
      const heir = Rings.owner(heirs, cell.name)
      const process = heir === undefined ? undefined : this.#pack(cell)
      if (heir === undefined || process?.state === undefined) continue
      const others = wills.get(heir)
      if (others === undefined) wills.set(heir, [process])
      else others.push(process)
    }
    for (const [heir, processes] of wills) this.#send(heir, processes)
    for (const link of links.all()) link.flush()
  }

  #send(heir: string, all: ReadonlyArray<MovingProcess>): void {
    const link = this.#parts.links.get(heir)
    let processes: Array<MovingProcess> = []
    let bytes = 0
    const send = (): void => {
      if (link !== undefined && processes.length > 0)
        Envelope.data(link, { _tag: "Will", processes })
      processes = []
      bytes = 0
    }
    for (const process of all) {
      processes.push(process)
      bytes += process.state?.length ?? 0
      if (bytes >= BYTES_MAX) send()
    }
    send()
  }

  // --- the end of others -------------------------------------------------------------------------

  /** The will of another node came. */
  receive(from: string, { processes }: Message): void {
    const until = this.#parts.platform.now() + KEPT_MILLIS
    for (const process of processes) {
      const bytes = process.state?.length ?? 0
      this.#forget(process.name)
      if (this.#kept.size >= KEPT_MAX || this.#keptBytes + bytes > KEPT_BYTES_MAX) break
      this.#kept.set(process.name, { from, process, until })
      this.#keptBytes += bytes
    }
    if (processes.length > 0) this.#sweep.later()
  }

  /** What was left of a process that is to serve here; undefined when nothing was. */
  take(name: string): MovingProcess | undefined {
    return this.#forget(name)?.process
  }

  /** A name is served by `owner` now: what somebody else has left of it is out of date. */
  served(name: string, owner: string): void {
    if (this.#kept.size > 0 && this.#kept.get(name)?.from !== owner) this.#forget(name)
  }

  #forget(name: string): Kept | undefined {
    const kept = this.#kept.get(name)
    if (kept === undefined) return undefined
    this.#kept.delete(name)
    this.#keptBytes -= kept.process.state?.length ?? 0
    return kept
  }

  #expire(): boolean {
    const now = this.#parts.platform.now()
    for (const [name, { until }] of this.#kept) if (until <= now) this.#forget(name)
    return this.#kept.size > 0
  }
}
