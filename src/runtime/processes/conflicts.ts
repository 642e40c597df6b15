/**
 * What becomes of a name that belongs to a better claim elsewhere: its process ends here, and its state is
 * offered to the one that goes on, for merging.
 *
 * @module
 */
import * as Registry from "../../core/registry.ts"
import type { Registrations } from "../names/registrations.ts"
import type { Parts } from "../parts.ts"
import { type Mail, STARTING, take } from "./cell.ts"
import * as Merge from "./merge.ts"
import type { Belongings } from "./mover.ts"
import * as States from "./states.ts"

/** How often a state is offered for merging, how long an answer may take, and the wait after it didn't. */
const OFFERS_MAX = 10
const OFFER_MILLIS = 5_000
const OFFER_RETRY_MILLIS = 500

/** The conflicts that one node loses. */
export class Conflicts {
  readonly #parts: Parts
  readonly #by: Belongings & { readonly registrations: Registrations }

  constructor(parts: Parts, belongings: Belongings & { readonly registrations: Registrations }) {
    this.#parts = parts
    this.#by = belongings
  }

  /** A name of ours belongs to a better claim. */
  lost(entry: Registry.Entry, winner: Registry.Entry): void {
    const { processes, events } = this.#parts
    const { names, router, memberships, registrations } = this.#by
    const cell = processes.get(entry.pid)
    events.emit({ _tag: "ConflictLost", process: entry.name, winner: winner.table.owner })
    if (cell === undefined || cell.name !== entry.name) {
      names.aliasLost(entry.pid, entry.name)
      return registrations.lost(entry, winner)
    }
    const { spec } = cell.hosted.definition
    const mergeable = spec.handoff?.merge !== undefined && cell.status !== STARTING
    const state = mergeable ? States.capture(cell) : undefined
    if (mergeable && state === undefined)
      events.emit({ _tag: "HandoffFailed", processes: [entry.name] })
    const waiting: Array<Mail> = take(cell)
    names.left(cell, Registry.REASON.conflict)
    memberships.end(cell, Registry.REASON.conflict)
    if (state !== undefined) this.#offer(entry.name, state, OFFERS_MAX)
    for (const mail of waiting) router.dispatch(entry.name, mail, 1)
  }

  /** Sends the state of a process that lost its name to the one that has it, until that has taken it. */
  #offer(name: string, state: Uint8Array, offers: number): void {
    const { calls, platform, events } = this.#parts
    calls
      .make(name, Merge.method, [state], OFFER_MILLIS, undefined, (call) => {
        this.#by.router.dispatch(name, call, 1)
      })
      .catch(() => {
        if (this.#parts.stopped(name) !== undefined) return
        if (offers <= 1) events.emit({ _tag: "HandoffFailed", processes: [name] })
        else platform.timer(OFFER_RETRY_MILLIS, () => this.#offer(name, state, offers - 1))
      })
  }
}
