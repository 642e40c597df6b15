/**
 * Monitors: who wants to know when a life ends that a name stands for now, be it that of a process or of an
 * additional name's registration.
 *
 * They see what the registry sees. When a node is taken for dead its lives end for all others, also when
 * it turns out to be alive.
 *
 * @module
 */
import type { Entry } from "../../core/registry.ts"
import * as Registry from "../../core/registry.ts"
import { targetOf } from "../calls/ref.ts"
import { Aborted, reasonOf } from "../errors.ts"
import type { Parts } from "../parts.ts"
import type { Location } from "./location.ts"
import { idOf, isAdditional, type Living, locate, nameOf, same } from "./lookup.ts"

/**
 * Why a life ended. `stopped` and `crashed`: its process did; one that crashed may have begun anew, as
 * another life. `moved`: the name goes on at another node. `node down`: its node is gone, for all that is
 * known here. `conflict`: it lost its name to another life. `unregistered`: it lives on without the
 * additional name. `no process`: it was over, or had never begun, when it was to be monitored.
 */
export type DownReason =
  | "stopped"
  | "crashed"
  | "moved"
  | "node down"
  | "conflict"
  | "unregistered"
  | "no process"

/** The end of a life. */
export interface Down {
  readonly _tag: "Down"
  /** The registered name of the process, also when an additional name of it was monitored. */
  readonly process: string
  /** The life that ended: see Location. Empty when there was none. */
  readonly id: string
  /** Where it lived. Empty when it didn't. */
  readonly node: string
  readonly reason: DownReason
  /** What the process gave as its reason, or what it crashed with; often empty. */
  readonly detail: string
}

interface Watcher {
  readonly name: string
  readonly f: (down: Down) => void
  /** What it waits for, once that is found. */
  life: Life | undefined
  /** Nobody is to be told any more. */
  over: boolean
}

interface Life {
  readonly entry: Entry
  readonly watchers: Set<Watcher>
}

/** The monitors set at one node. */
export class Monitors {
  readonly #parts: Parts
  /** By registered name. */
  readonly #lives = new Map<string, Life>()
  /** Who is to be told of what, once the node has done all that belongs to it. */
  #notices: Array<readonly [watcher: Watcher, down: Down]> = []
  /** Gives up what waits for an end. */
  readonly #pending = new Set<() => void>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** How many lives are monitored. */
  get count(): number {
    return this.#lives.size
  }

  /**
   * Calls `f` once, when the life ends that the reference's process has now, or that the location tells
   * of; soon when there is none, but never before this returns. The result takes the monitor away: then `f`
   * isn't called. Nor is it once this node has stopped. When it throws, that is the event ListenerFailed.
   * Throws NodeStopped.
   */
  monitor(target: Living, f: (down: Down) => void): () => void {
    const name = nameOf(target)
    const stopped = this.#parts.stopped(name)
    if (stopped !== undefined) throw stopped
    const watcher: Watcher = { name, f, life: undefined, over: false }
    const id = targetOf(target) === undefined ? (target as Location).id : undefined
    const entry = Registry.lookup(this.#parts.core.registry, name)
    if (entry === undefined || (id !== undefined && id !== idOf(entry)))
      this.#notify(watcher, absent(name, id))
    else this.#begin(watcher, entry)
    return () => this.#end(watcher)
  }

  /**
   * The end of the life that {@link monitor} would wait for. Rejects with Aborted when `signal` fires, and
   * with NodeStopped when this node stops.
   */
  down(target: Living, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Down> {
    return new Promise((resolve, reject) => {
      const name = nameOf(target)
      if (signal?.aborted) throw new Aborted(name, "down", "not-executed")
      const stop = this.monitor(target, (down) => over(() => resolve(down)))
      const aborted = (): void => over(() => reject(new Aborted(name, "down", "not-executed")))
      const stopped = (): void => over(() => reject(this.#parts.stopped(name)))
      const over = (settle: () => void): void => {
        stop()
        this.#pending.delete(stopped)
        signal?.removeEventListener("abort", aborted)
        settle()
      }
      this.#pending.add(stopped)
      signal?.addEventListener("abort", aborted, { once: true })
    })
  }

  #begin(watcher: Watcher, entry: Entry): void {
    if (watcher.over) return
    const { name } = watcher
    const life = this.#lives.get(name) ?? { entry, watchers: new Set() }
    if (!same(life.entry, entry)) {
      // The end of the one before has yet to come through `changed`, and perhaps that of this one too.
      return this.#parts.driver.afterFlush(() => {
        const now = Registry.lookup(this.#parts.core.registry, name)
        if (now === undefined || !same(entry, now)) this.#notify(watcher, absent(name, idOf(entry)))
        else this.#begin(watcher, now)
      })
    }
    this.#lives.set(name, life)
    life.watchers.add(watcher)
    watcher.life = life
  }

  #end(watcher: Watcher): void {
    watcher.over = true
    const { name, life } = watcher
    if (life === undefined) return
    watcher.life = undefined
    life.watchers.delete(watcher)
    if (life.watchers.size === 0) this.#lives.delete(name)
  }

  // --- ends --------------------------------------------------------------------------------------

  /** The winning claim of a name changed; `reason` as the core gives it. */
  changed(name: string, before: Entry | undefined, reason: string): void {
    const life = this.#lives.get(name)
    if (life === undefined) return
    const now = Registry.lookup(this.#parts.core.registry, name)
    // It goes on, with other metadata or in a new epoch of this node; or it was back before this was told.
    if (now !== undefined && same(life.entry, now)) return
    if (before !== undefined && same(life.entry, before)) {
      this.#lives.delete(name)
      const down = ended(before, reason)
      for (const watcher of life.watchers) {
        watcher.life = undefined
        this.#notify(watcher, down)
      }
    }
  }

  #notify(watcher: Watcher, down: Down): void {
    this.#notices.push([watcher, down])
    if (this.#notices.length === 1) this.#parts.driver.afterFlush(() => this.#tell())
  }

  #tell(): void {
    const notices = this.#notices
    this.#notices = []
    for (const [watcher, down] of notices) {
      if (watcher.over) continue
      try {
        watcher.f(down)
      } catch (thrown) {
        const { events } = this.#parts
        events.emit({ _tag: "ListenerFailed", event: "Down", reason: reasonOf(thrown) })
      }
    }
  }

  /** The node ends. */
  close(): void {
    this.#lives.clear()
    for (const stopped of [...this.#pending]) stopped()
  }
}

function absent(name: string, id = ""): Down {
  return { _tag: "Down", process: name, id, node: "", reason: "no process", detail: "" }
}

function ended(entry: Entry, text: string): Down {
  const { process, id, node } = locate(entry)
  const colon = text.indexOf(": ")
  const kind = colon < 0 ? text : text.slice(0, colon)
  const detail = colon < 0 ? "" : text.slice(colon + 2)
  const reason = whyOf(text, kind, isAdditional(entry.name))
  return { _tag: "Down", process, id, node, reason, detail }
}

function whyOf(text: string, kind: string, additional: boolean): DownReason {
  switch (kind) {
    case "crashed":
      // A process that crashes says more. Here a snapshot has told of another registration only.
      return additional && text === kind ? "unregistered" : kind
    case "stopped":
    case "moved":
    case "node down":
    case "conflict":
    case "unregistered":
      return kind
    default:
      // A snapshot has told that it is gone, but not why.
      return additional ? "unregistered" : "stopped"
  }
}
