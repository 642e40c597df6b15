/**
 * Handles of supervisors: what `node.supervisor` gives.
 *
 * @module
 */
import * as Key from "../../core/key.ts"
import * as Registry from "../../core/registry.ts"
import * as Rings from "../../core/rings.ts"
import * as Ref from "../calls/ref.ts"
import type { AnyDefinition as Process, Ref as Reference } from "../definition.ts"
import {
  AlreadyRegistered,
  NoMethod,
  NotData,
  reasonOf,
  type StartError,
  StartIgnored,
  TooLarge,
} from "../errors.ts"
import type { Location } from "../names/location.ts"
import { idOf, locate, processOf } from "../names/lookup.ts"
import type { Parts } from "../parts.ts"
import type { Names } from "../processes/names.ts"
import type { Starts } from "../processes/starts.ts"
import type { Stops } from "../processes/stops.ts"
import { type Children, definitionOf } from "./children.ts"
import type {
  Child,
  ChildOptions,
  Counts,
  Definition,
  HostEvent,
  Listeners,
  StartResult,
  SupervisorRef,
} from "./supervisor.ts"
import type { Supervisors } from "./supervisors.ts"

/** What a handle needs of its node. */
export interface Needs extends Parts {
  readonly names: Names
  readonly router: Ref.Caller
  readonly starts: Starts
  readonly stops: Stops
  readonly supervisors: Supervisors
}

/** A handle of one supervisor. */
export class Handle<P extends Process> implements SupervisorRef<P> {
  readonly name: string
  readonly #node: Needs
  readonly #definition: Definition<P>
  /** By name; also those that only other nodes know. */
  readonly #processes = new Map<string, Process>()

  constructor(node: Needs, definition: Definition<P>) {
    this.name = definition.name
    this.#node = node
    this.#definition = definition
    for (const process of definition.spec.processes) this.#processes.set(process.name, process)
  }

  // --- starting and ending -----------------------------------------------------------------------

  async start<D extends P>(
    definition: D,
    key: Key.Key | undefined,
    init?: unknown,
    options: ChildOptions = {},
  ): Promise<StartResult<D>> {
    const { starts } = this.#node
    let name: string
    try {
      name = this.#nameOf(definition, key ?? starts.fresh())
    } catch (error) {
      return { _tag: "Invalid", problem: reasonOf(error) }
    }
    const problem = this.#problem(definition, options.at)
    if (problem !== undefined) return { _tag: "Invalid", problem }
    const child = { ref: Ref.make<D>(this.#node.router, definition, name), key: keyOf(name) }
    try {
      const node = await starts.start(name, init, { ...options, exclusive: true })
      return { _tag: "Started", ...child, node }
    } catch (error) {
      // Nobody else could have started what has no name yet: an earlier attempt had got through.
      if (error instanceof AlreadyRegistered)
        return {
          _tag: key === undefined ? "Started" : "AlreadyStarted",
          ...child,
          node: error.node,
        }
      if (error instanceof StartIgnored) return { _tag: "Ignored" }
      if (error instanceof NotData || error instanceof TooLarge)
        return { _tag: "Invalid", problem: error.message }
      return {
        _tag: "Failed",
        error: error as Exclude<StartError, AlreadyRegistered | StartIgnored>,
      }
    }
  }

  #problem(definition: Process, at: string | undefined): string | undefined {
    if (this.#processes.get(definition.name) !== definition)
      return `${definition.name} is not among the processes of the supervisor ${this.name}`
    if (at === undefined || this.#node.stopped(at) !== undefined) return undefined
    return this.nodes().includes(at)
      ? undefined
      : `there is no node ${at} that hosts the supervisor ${this.name}`
  }

  async terminate(
    of: Reference<Process> | Location | Child<P> | P,
    keyOrReason?: Key.Key,
    reason?: string,
  ): Promise<boolean> {
    const named = Ref.targetOf(of) === undefined && isDefinition(of)
    const name = named ? this.#nameOf(of, keyOrReason ?? "") : processOf(of as Location)
    const why = named ? reason : (keyOrReason as string | undefined)
    const stopped = this.#node.stopped(name)
    if (stopped !== undefined) throw stopped
    if (Rings.supervisorOf(name) !== this.name) return false
    return await this.#node.stops.stop(name, why ?? "terminated", Ref.TIMEOUT_MILLIS)
  }

  // --- children ----------------------------------------------------------------------------------

  get #children(): Children {
    return this.#node.supervisors.children(this.name)
  }

  children(): ReadonlyArray<Child<P>> {
    return this.#list(() => true)
  }

  localChildren(): ReadonlyArray<Child<P>> {
    return this.#list((node) => node === this.#node.name)
  }

  #list(wanted: (node: string) => boolean): ReadonlyArray<Child<P>> {
    const names: Array<string> = []
    const { homes } = this.#children
    for (const [name, node] of homes) if (wanted(node)) names.push(name)
    return names.sort().map((name) => this.#child(name, homes.get(name) as string))
  }

  #child(name: string, node: string): Child<P> {
    const definition = definitionOf(name)
    const ref = Ref.make(this.#node.router, this.#process(definition), name)
    return { ref, definition, key: keyOf(name), name, node } as unknown as Child<P>
  }

  /** Nodes of another version may run what isn't known here: that has a reference without methods. */
  #process(name: string): Process {
    const known = this.#processes.get(name)
    if (known !== undefined) return known
    const unknown = { name, spec: { state: () => undefined }, calls: new Map(), casts: new Map() }
    this.#processes.set(name, unknown)
    return unknown
  }

  counts(): Counts {
    const { homes, byNode, byDefinition } = this.#children
    return {
      total: homes.size,
      local: byNode.get(this.#node.name) ?? 0,
      byNode: new Map(byNode),
      byDefinition: new Map(byDefinition),
    }
  }

  whereis(definition: P, key: Key.Key): Location | undefined {
    const entry = Registry.lookup(this.#node.core.registry, this.#nameOf(definition, key))
    return entry === undefined ? undefined : locate(entry)
  }

  whois(of: Reference<Process> | Location | string): Child<P> | undefined {
    const { homes } = this.#children
    const name = typeof of === "string" ? this.#lives(of) : processOf(of)
    const node = name === undefined ? undefined : homes.get(name)
    return name === undefined || node === undefined ? undefined : this.#child(name, node)
  }

  /** The name of the child whose life this is. */
  #lives(id: string): string | undefined {
    const { registry } = this.#node.core
    const at = id.slice(0, id.lastIndexOf("@"))
    for (const [name, node] of this.#children.homes) {
      const entry = node === at ? Registry.lookup(registry, name) : undefined
      if (entry !== undefined && idOf(entry) === id) return name
    }
    return undefined
  }

  // --- nodes -------------------------------------------------------------------------------------

  nodes(): ReadonlyArray<string> {
    return this.#node.supervisors.hosts(this.name).map(({ id }) => id)
  }

  nodeFor(definition: P, key: Key.Key): string | undefined {
    return this.#node.supervisors.home(this.#definition, this.#nameOf(definition, key))
  }

  isMine(definition: P, key: Key.Key): boolean {
    return this.nodeFor(definition, key) === this.#node.name
  }

  // --- messages ----------------------------------------------------------------------------------

  ref<D extends P>(definition: D, key: Key.Key): Reference<D> {
    return Ref.make<D>(this.#node.router, definition, this.#nameOf(definition, key))
  }

  async call(
    definition: P,
    key: Key.Key,
    method: PropertyKey,
    ...args: ReadonlyArray<unknown>
  ): Promise<never> {
    const target = this.#target(definition, key)
    const found = definition.calls.get(String(method))
    if (found === undefined) throw new NoMethod(target.name, String(method))
    const { router } = this.#node
    return (await router.call(target, found, args, Ref.TIMEOUT_MILLIS, undefined)) as never
  }

  cast(definition: P, key: Key.Key, method: PropertyKey, ...args: ReadonlyArray<unknown>): void {
    const target = this.#target(definition, key)
    const found = definition.casts.get(String(method))
    if (found === undefined) throw new NoMethod(target.name, String(method))
    this.#node.router.cast(target, found, args)
  }

  send(definition: P, key: Key.Key, method: PropertyKey, ...args: ReadonlyArray<unknown>): boolean {
    if (!this.#exists(this.#nameOf(definition, key))) return false
    this.cast(definition, key, method, ...args)
    return true
  }

  #target(definition: Process, key: Key.Key): Ref.Target {
    const name = this.#nameOf(definition, key)
    return { definition, key: Ref.keyOf(name), name, cache: undefined }
  }

  #exists(name: string): boolean {
    const { names, starts, platform } = this.#node
    if (this.#children.exists(name, platform.now())) return true
    return starts.pending(name) || names.recoverable(name)
  }

  // --- events ------------------------------------------------------------------------------------

  on(listeners: Listeners<P>): () => void {
    const { events, name: by } = this.#node
    const told = { supervisor: this.name, by }
    const child = (name: string, node: string, tell: (child: Child<P>) => void): void => {
      if (Rings.supervisorOf(name) === this.name) tell(this.#child(name, node))
    }
    const children = (
      names: ReadonlyArray<string>,
      node: string,
      tell: (children: ReadonlyArray<Child<P>>) => void,
    ): void => {
      const own = names.filter((name) => Rings.supervisorOf(name) === this.name)
      if (own.length > 0) tell(own.map((name) => this.#child(name, node)))
    }
    const host = (node: string, tell: (event: HostEvent) => void): void => {
      const { supervisors } = this.#node
      if (!supervisors.hosted(this.name, node)) return
      tell({ ...told, node, elected: supervisors.elected(this.name, node) })
    }
    return events.on({
      ProcessStarted: ({ process }) =>
        child(process, by, (child) => listeners.started?.({ ...told, child })),
      ProcessStopped: ({ process, reason }) =>
        child(process, by, (child) => listeners.stopped?.({ ...told, child, reason })),
      ProcessCrashed: ({ process, reason, restarted }) =>
        child(process, by, (child) => listeners.crashed?.({ ...told, child, reason, restarted })),
      HandoffStarted: ({ to, processes }) =>
        children(processes, by, (children) =>
          listeners.handoffStarted?.({ ...told, from: by, to, children }),
        ),
      HandoffEnded: ({ to, processes }) =>
        children(processes, to, (children) =>
          listeners.handoffEnded?.({ ...told, from: by, to, children }),
        ),
      HandoffFailed: ({ processes }) =>
        children(processes, by, (children) => listeners.handoffFailed?.({ ...told, children })),
      ProcessesArrived: ({ from, processes }) =>
        children(processes, by, (children) =>
          listeners.arrived?.({ ...told, from, to: by, children }),
        ),
      TakenOver: ({ from, processes }) =>
        children(processes, by, (children) =>
          listeners.takenOver?.({ ...told, from, to: by, children }),
        ),
      ConflictLost: ({ process, winner }) =>
        child(process, winner, (child) => listeners.conflictLost?.({ ...told, child })),
      ConflictWon: ({ process, loser }) =>
        child(process, by, (child) => listeners.conflictWon?.({ ...told, child, loser })),
      MemberUp: ({ node }) => host(node, (event) => listeners.nodeUp?.(event)),
      MemberLeaving: ({ node }) => host(node, (event) => listeners.nodeLeaving?.(event)),
      MemberLeft: ({ node }) =>
        host(node, (event) => listeners.nodeDown?.({ ...event, reason: "left" })),
      MemberDown: ({ node, reason }) =>
        host(node, (event) => listeners.nodeDown?.({ ...event, reason })),
    })
  }

  #nameOf(definition: Process, key: Key.Key): string {
    return `${this.name}:${Ref.nameOf(definition, key)}`
  }
}

function keyOf(name: string): Key.Key {
  return Key.parse(Ref.keyOf(name))
}

function isDefinition(of: object): of is Process {
  return (of as Partial<Process>).calls instanceof Map
}
