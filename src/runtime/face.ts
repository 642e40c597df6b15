/**
 * Starting a node, and the methods of a running one: the promise face of the engine.
 *
 * @module
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Membership from "../core/membership.ts"
import * as Registry from "../core/registry.ts"
import * as Ring from "../core/ring.ts"
import type { AnyDefinition, Ref as Reference } from "./definition.ts"
import { Engine } from "./engine.ts"
import {
  AlreadyRegistered,
  ConnectFailed,
  NameConflict,
  NoProcess,
  Overloaded,
  Unreachable,
} from "./errors.ts"
import type { NodeEvent } from "./events.ts"
import type { Location, Member, Node, RegisterOptions, Runnable } from "./node.ts"
import * as Options from "./options.ts"
import { Platform } from "./platform.ts"
import * as Ref from "./ref.ts"
import type { StartOptions } from "./starts.ts"

const KEY_MAX = 512

/**
 * Starts a node: it listens, joins whom it can reach, and resolves once it serves.
 *
 * @throws InvalidOption, AddressUnavailable
 */
export function startNode(options: Options.NodeOptions): Promise<Node> {
  return Effect.runPromise(Effect.map(launch(options), ({ node }) => node))
}

/** A node that serves, with the engine behind it. */
export interface Launched {
  readonly node: Node
  readonly engine: Engine
}

/**
 * Starts a node on the platform, clock, scheduler and random source that it is run with. Fails as
 * {@link startNode} rejects; `created` gets the engine before it does anything.
 */
export const launch: (
  options: Options.NodeOptions,
  created?: (engine: Engine) => void,
) => Effect.Effect<Launched, unknown> = Effect.fnUntraced(function* (
  options: Options.NodeOptions,
  created: (engine: Engine) => void = () => {},
) {
  const platform = yield* Platform
  const context = yield* Effect.context<never>()
  const scope = yield* Scope.make()
  const engine = yield* Effect.try({
    try: () => new Engine(Options.resolve(options, platform, context)),
    catch: (error) => error,
  })
  created(engine)
  yield* Scope.addFinalizer(
    scope,
    Effect.promise(() => engine.close()),
  )
  const ready = Effect.tryPromise({
    try: () => open(engine, options.signal),
    catch: (error) => error,
  })
  yield* Effect.onError(ready, () => Scope.close(scope, Exit.void))
  const node: Node = new Face(engine, scope, context)
  options.signal?.addEventListener("abort", () => void node.stop(), { once: true })
  return { node, engine }
})

function open(engine: Engine, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true })
    engine.life.onReady = resolve
    engine.life.onConflict = () => {
      reject(new NameConflict(engine.name))
      void engine.close()
    }
    engine.open().catch(reject)
  })
}

/** The methods of a node, on its engine. */
class Face implements Node {
  readonly #engine: Engine
  readonly #scope: Scope.Closeable
  readonly #context: Context.Context<never>
  #leaving: Promise<void> | undefined

  constructor(engine: Engine, scope: Scope.Closeable, context: Context.Context<never>) {
    this.#engine = engine
    this.#scope = scope
    this.#context = context
    engine.life.onConflict = () => void this.stop()
  }

  get name(): string {
    return this.#engine.name
  }

  get address(): string {
    return this.#engine.address
  }

  async start<P extends AnyDefinition>(
    definition: P & Runnable<P>,
    key: string,
    init?: unknown,
    options: StartOptions = {},
  ): Promise<Reference<P>> {
    checkKey(key)
    await this.#engine.starts.start(Ref.nameOf(definition, key), init, options)
    return Ref.make<P>(this.#engine.router, definition, key)
  }

  ref<P extends AnyDefinition>(definition: P, key: string): Reference<P> {
    checkKey(key)
    return Ref.make(this.#engine.router, definition, key)
  }

  whereis(name: string | AnyDefinition, key?: string): Location | undefined {
    const full = typeof name === "string" ? aliasOf(name) : Ref.nameOf(name, key ?? "")
    const entry = Registry.lookup(this.#engine.core.registry, full)
    return entry === undefined ? undefined : new Found(entry)
  }

  async register(
    name: string,
    ref: Reference<AnyDefinition>,
    options: RegisterOptions = {},
  ): Promise<void> {
    const { mode = "serialized", timeout = 5_000 } = options
    checkKey(name)
    const alias = aliasOf(name)
    const target = nameOf(ref)
    this.#running(target)
    const cell = this.#engine.names.here(target)
    if (cell === undefined) throw this.#notHere(target)
    const entry = Registry.lookup(this.#engine.core.registry, alias)
    const holder =
      entry?.table.owner ??
      (mode === "serialized" ? await this.#engine.reservations.reserve(alias, timeout) : undefined)
    if (holder !== undefined) throw new AlreadyRegistered(name, holder)
    const { namesMax } = this.#engine.limits
    if (this.#engine.names.full) throw new Overloaded(name, "namesMax", namesMax)
    this.#running(target)
    if (this.#engine.names.here(target) !== cell) throw new NoProcess(target)
    this.#engine.names.alias(cell, alias)
  }

  #notHere(name: string): Error {
    const entry = Registry.lookup(this.#engine.core.registry, name)
    return entry === undefined ? new NoProcess(name) : new Unreachable(name, entry.table.owner)
  }

  #running(process: string): void {
    const stopped = this.#engine.stopped(process)
    if (stopped !== undefined) throw stopped
  }

  unregister(name: string): boolean {
    this.#running(name)
    return this.#engine.names.unalias(aliasOf(name))
  }

  async stopProcess(
    of: Reference<AnyDefinition> | AnyDefinition,
    keyOrReason?: string,
    reason?: string,
  ): Promise<boolean> {
    const target = Ref.targetOf(of)
    const name = target?.name ?? Ref.nameOf(of as AnyDefinition, keyOrReason ?? "")
    const why = (target === undefined ? reason : keyOrReason) ?? "stopped"
    this.#running(name)
    return await this.#engine.stops.stop(name, why, Ref.TIMEOUT_MILLIS)
  }

  members(): ReadonlyArray<Member> {
    return Membership.members(this.#engine.core.membership).map((member) => ({
      name: member.name,
      address: member.address,
      status: statusOf(member),
      roles: member.roles,
      weight: member.weight,
      self: member.name === this.name,
      rttMillis: member.rttMillis,
    }))
  }

  nodeFor(definition: AnyDefinition, key: string): string | undefined {
    return Ring.owner(this.#engine.core.supervision.ring, Ref.nameOf(definition, key))
  }

  settled(): Promise<void> {
    this.#running("settled")
    return new Promise((resolve) => this.#engine.driver.whenQuiet(resolve))
  }

  count(): number {
    return Registry.count(this.#engine.core.registry)
  }

  events(): AsyncIterableIterator<NodeEvent> {
    return this.#engine.events.stream()
  }

  async connect(
    address: string | ReadonlyArray<string>,
    { timeout = 5_000 }: { timeout?: number } = {},
  ): Promise<void> {
    const addresses = typeof address === "string" ? [address] : [...address]
    this.#running("connect")
    const { platform, driver } = this.#engine
    const events = this.#engine.events.stream()
    const cancel = platform.timer(timeout, () => void events.return?.())
    try {
      driver.input({ _tag: "Connect", now: platform.now(), addresses })
      let missing = this.#missing(addresses)
      while (missing !== undefined) {
        const { value, done } = await events.next()
        if (done) throw new ConnectFailed(missing, `no answer within ${timeout} ms`)
        if (value._tag === "ConnectionRefused" && value.address === missing) {
          throw new ConnectFailed(missing, value.reason)
        }
        missing = this.#missing(addresses)
      }
    } finally {
      cancel()
      await events.return?.()
    }
  }

  #missing(addresses: ReadonlyArray<string>): string | undefined {
    const joined = new Set([...this.#engine.links.all()].map((link) => link.peer.address))
    return addresses.find((address) => !joined.has(address) && address !== this.address)
  }

  disconnect(name: string): void {
    this.#running("disconnect")
    const { platform, driver } = this.#engine
    driver.input({ _tag: "Disconnect", now: platform.now(), peer: name })
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave()
    return this.#leaving
  }

  async #leave(): Promise<void> {
    if (this.#engine.stopped("") === undefined) {
      await new Promise<void>((resolve) => {
        this.#engine.life.onLeft = resolve
        this.#engine.driver.input({ _tag: "Leave", now: this.#engine.platform.now() })
      })
    }
    await this.stop()
  }

  stop(): Promise<void> {
    return Effect.runPromiseWith(this.#context)(Scope.close(this.#scope, Exit.void))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave()
  }
}

function checkKey(key: unknown): void {
  if (typeof key === "string" && key.length > 0 && key.length <= KEY_MAX) return
  throw new TypeError(`a key or name is a string of 1 to ${KEY_MAX} characters, got ${String(key)}`)
}

function nameOf(ref: Reference<AnyDefinition>): string {
  const target = Ref.targetOf(ref)
  if (target === undefined)
    throw new TypeError("expected a reference, as node.start and node.ref give it")
  return target.name
}

function statusOf({ status, phase }: Membership.Member): Member["status"] {
  if (status === "dead") return "down"
  if (status === "left" || status === "suspect") return status
  return phase
}

/** An additional name as the registry has it: never like a name that the ring places. */
function aliasOf(name: string): string {
  return name.includes("/") ? `/${name}` : name
}

/** What `whereis` gives; the name behind an additional one is read when it is asked for. */
class Found implements Location {
  readonly node: string
  readonly generation: number
  readonly #entry: Registry.Entry

  constructor(entry: Registry.Entry) {
    this.node = entry.table.owner
    this.generation = entry.generation
    this.#entry = entry
  }

  get process(): string {
    const { name, meta } = this.#entry
    return Registry.placed(name) ? name : new TextDecoder().decode(meta)
  }
}
