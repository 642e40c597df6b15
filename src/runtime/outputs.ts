/**
 * What the core wants done: each of its outputs is carried out by the part that it concerns.
 *
 * @module
 */
import type * as Cluster from "../core/cluster.ts"
import type * as Membership from "../core/membership.ts"
import { Writer } from "../wire/bytes.ts"
import * as Envelope from "./calls/envelope.ts"
import type { Router } from "./calls/router.ts"
import type { NodeEvent } from "./events.ts"
import type { Groups } from "./groups/groups.ts"
import type { Indexes } from "./names/indexes.ts"
import type { Monitors } from "./names/monitors.ts"
import type { Registrations } from "./names/registrations.ts"
import type { Reservations } from "./names/reservations.ts"
import type { Parts } from "./parts.ts"
import type { Conflicts } from "./processes/conflicts.ts"
import type { Mover } from "./processes/mover.ts"
import type { Names } from "./processes/names.ts"
import type { Starts } from "./processes/starts.ts"
import type { Supervisors } from "./supervisors/supervisors.ts"
import type { Topics } from "./topics/topics.ts"

/** The parts that the core has work for. */
export interface Performers {
  readonly names: Names
  readonly starts: Starts
  readonly reservations: Reservations
  readonly router: Router
  readonly mover: Mover
  readonly conflicts: Conflicts
  readonly registrations: Registrations
  readonly indexes: Indexes
  readonly monitors: Monitors
  readonly groups: Groups
  readonly topics: Topics
  readonly supervisors: Supervisors
  readonly life: Life
}

/** The turns in a node's life that somebody may wait for. */
export interface Life {
  /** The node is a full member and serves. */
  onReady: () => void
  /** The node has left: its processes went elsewhere. */
  onLeft: () => void
  /** Another live node has this node's name: this one must stop. */
  onConflict: () => void
}

/** Outputs about moves, takeovers and conflicts. */
type Move = Extract<
  Cluster.Output,
  {
    readonly _tag:
      | "Freeze"
      | "Thaw"
      | "Depart"
      | "Revive"
      | "Forget"
      | "Activate"
      | "Open"
      | "Discard"
      | "Takeover"
      | "Lost"
  }
>

/** Carries out outputs, in the order in which the driver brings them. */
export class Outputs {
  readonly #parts: Parts
  readonly #by: Performers
  readonly #scratch = new Writer(4096)

  constructor(parts: Parts, performers: Performers) {
    this.#parts = parts
    this.#by = performers
  }

  /** Carries out one output. */
  perform(output: Cluster.Output): void {
    const { links, events } = this.#parts
    const { names, starts, reservations, registrations, router, indexes, monitors, life } = this.#by
    switch (output._tag) {
      case "Changed":
        if (output.after === undefined) registrations.gone(output.name)
        else {
          names.registered(output.name)
          this.#by.mover.wills.served(output.name, output.after.table.owner)
        }
        // Its owner has entered the name: the registry stands for the reservation now.
        reservations.served(output.name)
        starts.changed(output.name)
        router.changed(output.name, output.before, output.after)
        indexes.changed(output.name, output.before, output.after)
        this.#by.supervisors.changed(output)
        return monitors.changed(output.name, output.before, output.reason)
      case "Grouped":
        return this.#grouped(output)
      case "Won":
        events.emit({ _tag: "ConflictWon", process: output.entry.name, loser: output.loser })
        return
      case "Send": {
        const link = links.get(output.to)
        if (link !== undefined && !Envelope.core(link, output.message)) link.destroy()
        return
      }
      case "Broadcast":
        return Envelope.broadcast(this.#scratch, links.all(), output.message)
      case "Dial":
        void links.dial(output.address, output.peer)
        return
      case "Relay":
        void links.relay(output.peer, output.via)
        return
      case "Close":
        return links.get(output.peer)?.close()
      case "Event":
        return this.#event(output.event)
      case "Granted":
        return starts.granted(output.id, output.slot, output.generation)
      case "Forward":
        return starts.forward(output.id, output.to)
      case "Denied":
        return starts.denied(output.id)
      case "Ready":
        return life.onReady()
      case "HandedOver":
        return this.#dismiss()
      case "RingChanged":
        events.emit({ _tag: "RingChanged", nodes: output.members })
        return router.retry()
      case "Settled":
        events.emit({ _tag: "RingSettled" })
        return router.retry()
      default:
        return this.#move(output)
    }
  }

  /** What couldn't go along, such as the processes that belong to this node, ends with it, hooks and all. */
  #dismiss(): void {
    const { processes } = this.#parts
    for (const cell of processes.all()) processes.stop(cell, "its node left", true)
  }

  #grouped(output: Extract<Cluster.Output, { readonly _tag: "Grouped" }>): void {
    const { groups, topics } = this.#by
    const kind = output.group[0]
    if (kind === "g") groups.grouped(output)
    else if (kind === "t" || kind === "p") topics.interest(output)
  }

  #move(output: Move): void {
    const { mover } = this.#by
    switch (output._tag) {
      case "Freeze":
        return mover.freeze(output)
      case "Thaw":
        return mover.thaw(output.slot)
      case "Depart":
        return mover.depart(output.slot, output.to)
      case "Revive":
        return mover.revive(output.slot, output.generation)
      case "Forget":
        return mover.forget(output.slot)
      case "Activate":
        return mover.activate(output.slot, output.generation, output.from)
      case "Open":
        return mover.open(output.slot)
      case "Discard":
        return mover.discard(output.slot)
      case "Takeover":
        return mover.takeOver(output.from, output.orphans)
      case "Lost":
        return this.#by.conflicts.lost(output.entry, output.winner)
    }
  }

  // --- members -----------------------------------------------------------------------------------

  #event(event: Membership.Event): void {
    const { router, life } = this.#by
    const { events, name } = this.#parts
    switch (event._tag) {
      case "LeaveDone":
        return life.onLeft()
      case "NameConflict":
        events.emit({ _tag: "NameConflict", node: name })
        return life.onConflict()
      case "Up":
        router.nodeUp(event.name)
        break
      case "Changed":
        if (event.phase === "leaving") router.nodeLeaving(event.name)
        break
      case "Left":
        router.nodeLeaving(event.name)
        break
    }
    const told = tell(event)
    if (told !== undefined) events.emit(told)
    if ((event._tag === "Up" || event._tag === "Changed") && event.phase === "up")
      events.emit({ _tag: "MemberReady", node: event.name })
    if (event._tag === "Down" || event._tag === "Left") router.retry()
  }
}

/** What the user is told of it. */
function tell(event: Membership.Event): NodeEvent | undefined {
  switch (event._tag) {
    case "Up":
      return { _tag: "MemberUp", node: event.name, address: event.address }
    case "Changed":
      return event.phase === "leaving" ? { _tag: "MemberLeaving", node: event.name } : undefined
    case "Suspect":
      return { _tag: "MemberSuspect", node: event.name }
    case "Refuted":
      return { _tag: "MemberTrusted", node: event.name }
    case "Left":
      return { _tag: "MemberLeft", node: event.name }
    case "Down":
      return { _tag: "MemberDown", node: event.name, reason: event.reason }
    case "Superseded":
      return { _tag: "MemberDown", node: event.name, reason: "superseded" }
    case "Slept":
      return { _tag: "Slept", millis: event.millis }
    default:
      return undefined
  }
}
