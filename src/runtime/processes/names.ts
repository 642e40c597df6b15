/**
 * The names that this node serves: which definition a name belongs to, which process has it, and what the
 * core is told when that changes.
 *
 * A process's name is its definition's, a slash, and its key; in front of that its supervisor and a colon,
 * or the sign "@" when it belongs to its node. Additional names start with the slash; their registration
 * holds the process's name.
 *
 * @module
 */
import * as Registry from "../../core/registry.ts"
import * as Restart from "../../core/restart.ts"
import * as Rings from "../../core/rings.ts"
import type { Orphan } from "../../core/supervision.ts"
import { type MovingAlias, REASON_MAX } from "../../wire/message.ts"
import type { AnyDefinition } from "../definition.ts"
import { reasonOf, StartFailed } from "../errors.ts"
import type { Parts } from "../parts.ts"
import * as Argument from "./argument.ts"
import type { Cell, Hosted } from "./cell.ts"

const AT_SIGN = 64

/** The names of one node. */
export class Names {
  readonly #parts: Parts
  readonly #hosted = new Map<string, Hosted>()
  /** Names whose processes are being started here, until the registry has them. */
  readonly #booting = new Set<string>()
  /** Names registered in addition, by the id of the process they belong to. */
  readonly #aliases = new Map<number, Set<string>>()
  #aliasCount = 0

  constructor(parts: Parts, definitions: ReadonlyArray<AnyDefinition>) {
    this.#parts = parts
    for (const definition of definitions) this.host(definition)
  }

  /**
   * Hosts a definition from now on, under a supervisor. Throws a TypeError when it hosts another one of the
   * same name there.
   */
  host(
    definition: AnyDefinition,
    supervisor = "",
    intensity: Restart.Intensity = Restart.intensity,
  ): void {
    const head = supervisor === "" ? definition.name : `${supervisor}:${definition.name}`
    const other = this.#hosted.get(head)
    if (other?.definition === definition) return
    if (other !== undefined)
      throw new TypeError(`this node hosts another definition named ${definition.name}`)
    const { processes, limits } = this.#parts
    this.#hosted.set(head, {
      definition,
      host: processes,
      mailboxMax: definition.spec.mailboxMax ?? limits.mailboxMax,
      intensity: definition.spec.intensity ?? intensity,
    })
  }

  /** What this node hosts under the definition of this name; undefined when it doesn't. */
  hosted(name: string): Hosted | undefined {
    const from = name.charCodeAt(0) === AT_SIGN ? 1 : 0
    return this.#hosted.get(name.slice(from, name.indexOf("/")))
  }

  /** Whether a process of this name is being started here, and the registry doesn't have it yet. */
  booting(name: string): boolean {
    return this.#booting.has(name)
  }

  /** Whether a process of this name is about to run here by itself: it is being started, or an orphan. */
  returning(name: string): boolean {
    if (this.#booting.has(name)) return true
    const { registry } = this.#parts.core
    if (Registry.hidden(registry, name) === undefined || Registry.cared(registry, name))
      return false
    return this.hosted(name)?.definition.spec.restart !== "temporary"
  }

  /** Whether a name without a live holder may come back by itself. */
  recoverable(name: string): boolean {
    if (this.#booting.has(name)) return true
    if (Registry.hidden(this.#parts.core.registry, name) === undefined) return false
    return this.hosted(name)?.definition.spec.restart !== "temporary"
  }

  /** The process of this name that this node serves. */
  here(name: string): Cell | undefined {
    const { registry } = this.#parts.core
    const entry = registry.index.get(name)
    return entry?.table === registry.self ? this.#parts.processes.get(entry.pid) : undefined
  }

  /** Whether this node holds as many names as it may. */
  get full(): boolean {
    const { processes, limits } = this.#parts
    return processes.count + this.#aliasCount >= limits.namesMax
  }

  // --- coming and going --------------------------------------------------------------------------

  /** Enters a process into the registry, with its metadata; `sticky` ones stay at this node. */
  register(cell: Cell, props: Registry.Props | undefined, sticky: boolean): void {
    const { name, generation, pid, meta } = cell
    this.#booting.add(name)
    this.#put(name, generation, pid, meta, props, sticky)
  }

  /** A process has crashed and begins anew here: who watches it learns of it. */
  restarted(cell: Cell): void {
    const { name, generation, pid, meta } = cell
    const entry = Registry.lookup(this.#parts.core.registry, name)
    if (entry === undefined || entry.table.owner !== this.#parts.name || entry.pid !== pid) return
    this.#put(name, generation, pid, meta, entry.props, entry.sticky)
  }

  /** The registry knows a name: it needn't be remembered as being started. */
  registered(name: string): void {
    if (this.#booting.size > 0) this.#booting.delete(name)
  }

  /**
   * Starts a process that another node or a dead one had: its start argument is all there is. `over` is
   * called once it is registered, or won't be.
   */
  boot(
    cell: Cell,
    { props, sticky = false }: Pick<Orphan, "props" | "sticky">,
    over: () => void = () => {},
  ): void {
    const { processes, events } = this.#parts
    const init = Argument.decode(cell.meta)
    this.#booting.add(cell.name)
    processes.boot(cell, init.value, (error) => {
      if (error === undefined) {
        this.register(cell, props, sticky)
        events.emit({ _tag: "ProcessStarted", process: cell.name })
      } else {
        this.#booting.delete(cell.name)
        const reason = new StartFailed(cell.name, reasonOf(error)).message
        events.emit({ _tag: "ProcessStopped", process: cell.name, reason })
      }
      over()
    })
  }

  /** Tells the core that a start which it granted is over: the name is registered, or won't be. */
  started(name: string): void {
    const { driver, platform } = this.#parts
    driver.input({ _tag: "Started", now: platform.now(), slot: Rings.slot(name) })
  }

  /** A process ended for good: takes its names back, and says why to those who watch them. */
  gone(cell: Cell, reason: string): void {
    const { registry } = this.#parts.core
    const entry = registry.index.get(cell.name)
    if (entry?.table === registry.self && entry.pid === cell.pid) this.#delete(cell.name, reason)
    this.#unaliasAll(cell, reason)
  }

  /** A process goes on elsewhere, moved or under a better claim: lets go of it here. */
  left(cell: Cell, reason: string): void {
    this.#parts.processes.dismiss(cell, reason)
    this.#unaliasAll(cell, reason)
  }

  // --- additional names --------------------------------------------------------------------------

  /** Enters an additional name for a process of this node. */
  alias(cell: Cell, alias: string, props?: Registry.Props, generation = 1): void {
    const names = this.#aliases.get(cell.pid)
    if (names === undefined) this.#aliases.set(cell.pid, new Set([alias]))
    else names.add(alias)
    this.#aliasCount++
    this.#put(alias, generation, cell.pid, new TextEncoder().encode(cell.name), props, false)
  }

  /** Takes an additional name back; false when this node doesn't hold it. */
  unalias(alias: string): boolean {
    const { registry } = this.#parts.core
    const entry = registry.index.get(alias)
    if (entry === undefined || entry.table !== registry.self) return false
    this.aliasLost(entry.pid, alias)
    this.#delete(alias, "unregistered")
    return true
  }

  /** The additional names of a process, as they go along when it moves. */
  aliasesOf(cell: Cell): Array<MovingAlias> {
    const { registry } = this.#parts.core
    return [...(this.#aliases.get(cell.pid) ?? [])].map((name) => {
      const entry = Registry.lookup(registry, name)
      return { name, generation: entry?.generation ?? 1, props: entry?.props }
    })
  }

  /** An additional name isn't this node's any more. */
  aliasLost(pid: number, alias: string): void {
    const names = this.#aliases.get(pid)
    if (names?.delete(alias)) this.#aliasCount--
    if (names?.size === 0) this.#aliases.delete(pid)
  }

  #unaliasAll(cell: Cell, reason: string): void {
    const names = this.#aliases.get(cell.pid)
    if (names === undefined) return
    this.#aliases.delete(cell.pid)
    this.#aliasCount -= names.size
    for (const alias of names) this.#delete(alias, reason)
  }

  // --- the registry ------------------------------------------------------------------------------

  #put(
    name: string,
    generation: number,
    pid: number,
    meta: Uint8Array | undefined,
    props: Registry.Props | undefined,
    sticky: boolean,
  ): void {
    const { driver, platform } = this.#parts
    const now = platform.now()
    const wall = platform.wall()
    driver.input({ _tag: "Register", now, wall, name, generation, pid, meta, props, sticky })
  }

  #delete(name: string, why: string): void {
    const { driver, platform } = this.#parts
    const reason = why.slice(0, REASON_MAX)
    driver.input({ _tag: "Unregister", now: platform.now(), name, reason })
  }
}
