/**
 * Starting a node, and the methods of a running one: the promise face of the engine.
 *
 * @module
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Key from "../core/key.ts"
import * as Membership from "../core/membership.ts"
import * as Registry from "../core/registry.ts"
import * as Rings from "../core/rings.ts"
import * as Ref from "./calls/ref.ts"
import type { AnyDefinition, Ref as Reference, Runnable } from "./definition.ts"
import type { Engine } from "./engine.ts"
import { AlreadyRegistered } from "./errors.ts"
import type { Listeners, NodeEvent } from "./events.ts"
import * as Functions from "./functions/functions.ts"
import type * as Remote from "./functions/remote.ts"
import type { Group } from "./groups/group.ts"
import { GroupRef } from "./groups/groupref.ts"
import type { ConnectOptions, Listed } from "./links/connections.ts"
import type { NamesOptions, Scalar } from "./names/indexes.ts"
import type { Location } from "./names/location.ts"
import { type Living, locate, type Named } from "./names/lookup.ts"
import type { Down } from "./names/monitors.ts"
import type { RegisterOptions } from "./names/registrations.ts"
import type { Member, Node, SpawnOptions } from "./node.ts"
import type { StartOptions } from "./processes/starts.ts"
import type * as Supervisor from "./supervisors/supervisor.ts"
import { Handle } from "./supervisors/supervisorref.ts"
import type * as Topic from "./topics/topic.ts"
import type { Castable } from "./topics/topics.ts"

/** The methods of a node, on its engine. */
export class Face implements Node {
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
    key: Key.Key,
    init?: unknown,
    options: StartOptions = {},
  ): Promise<Reference<P>> {
    const name = Ref.nameOf(definition, key)
    await this.#engine.starts.start(name, init, options)
    return Ref.make<P>(this.#engine.router, definition, name)
  }

  async spawn<P extends AnyDefinition>(
    definition: P & Runnable<P>,
    init?: unknown,
    options: SpawnOptions = {},
  ): Promise<Reference<P>> {
    this.#engine.names.host(definition)
    const key = options.key === undefined ? this.#engine.starts.fresh() : Key.text(options.key)
    const name = `@${definition.name}/${key}`
    if (options.key !== undefined) {
      const holder = await this.#engine.reservations.reserve(name, options.timeout ?? 5_000)
      if (holder !== undefined) throw new AlreadyRegistered(name, holder)
    }
    await this.#engine.starts.spawn(name, init, options)
    return Ref.make<P>(this.#engine.router, definition, name)
  }

  ref<P extends AnyDefinition>(definition: P, of: Key.Key | Ref.Sent | Location): Reference<P> {
    return Ref.make(this.#engine.router, definition, Ref.named(definition, of))
  }

  async stopProcess(
    of: Reference<AnyDefinition> | AnyDefinition,
    keyOrReason?: Key.Key,
    reason?: string,
  ): Promise<boolean> {
    const target = Ref.targetOf(of)
    const name = target?.name ?? Ref.nameOf(of as AnyDefinition, keyOrReason ?? "")
    const why = target === undefined ? reason : (keyOrReason as string | undefined)
    this.#running(name)
    return await this.#engine.stops.stop(name, why ?? "stopped", Ref.TIMEOUT_MILLIS)
  }

  // --- names -------------------------------------------------------------------------------------

  whereis(name: Key.Key | AnyDefinition, key?: Key.Key): Location | undefined {
    if (!isDefinition(name)) return this.#engine.indexes.whereis(name)
    const entry = Registry.lookup(this.#engine.core.registry, Ref.nameOf(name, key ?? ""))
    return entry === undefined ? undefined : locate(entry)
  }

  register(name: Key.Key, ref: Living, options?: RegisterOptions): Promise<void> {
    return this.#engine.registrations.register(name, ref, options)
  }

  unregister(name: Key.Key, options?: { readonly timeout?: number }): Promise<boolean> {
    return this.#engine.registrations.unregister(name, options)
  }

  update(
    target: Named,
    change: unknown,
    options?: { readonly timeout?: number },
  ): Promise<unknown> {
    return this.#engine.metadata.update(target, change, options)
  }

  names(options: NamesOptions = {}): ReadonlyArray<Location> {
    return this.#engine.indexes.names(options)
  }

  find(property: string, value: Scalar): ReadonlyArray<Location> {
    return this.#engine.indexes.find(property, value)
  }

  count({ node }: { readonly node?: string } = {}): number {
    return Registry.count(this.#engine.core.registry, node)
  }

  monitor(target: Living, f: (down: Down) => void): () => void {
    return this.#engine.monitors.monitor(target, f)
  }

  down(target: Living, options?: { readonly signal?: AbortSignal }): Promise<Down> {
    return this.#engine.monitors.down(target, options)
  }

  // --- groups, topics, functions -----------------------------------------------------------------

  group<P extends AnyDefinition = AnyDefinition, M = unknown>(
    name: Key.Key,
    definition?: P,
  ): Group<P, M> {
    return new GroupRef<P, M>(this.#engine.groups, name, definition)
  }

  groups(): ReadonlyArray<Key.Key> {
    return this.#engine.groups.names()
  }

  subscribe<T extends Topic.Source>(
    topic: T,
    to: Topic.Callback<never> | Castable,
    given?: string | Topic.SubscribeOptions,
    options?: Pick<Topic.SubscribeOptions, "signal">,
  ): Topic.Subscription<T> {
    return this.#engine.topics.subscribe(topic, to, given, options)
  }

  messages<T extends Topic.Source>(topic: T, options?: Topic.SubscribeOptions): Topic.Messages<T> {
    return this.#engine.topics.messages(topic, options)
  }

  publish<T extends Topic.AnyDefinition>(
    topic: T,
    message: Topic.Message<T>,
    options?: Topic.PublishOptions,
  ): number {
    return this.#engine.topics.publish(topic, message, options)
  }

  serve(definition: Remote.AnyDefinition): () => void {
    return this.#engine.functions.serve(definition)
  }

  remote<F>(definition: Remote.Definition<F>): Remote.Handle<F> {
    return Functions.make(this.#engine.functions, definition)
  }

  supervisor<P extends AnyDefinition>(
    definition: Supervisor.Definition<P>,
  ): Supervisor.SupervisorRef<P> {
    return new Handle(this.#engine, definition)
  }

  // --- the node ----------------------------------------------------------------------------------

  members(): ReadonlyArray<Member> {
    return Membership.members(this.#engine.core.membership).map((member) => ({
      name: member.name,
      address: member.address,
      status: statusOf(member),
      roles: member.roles,
      weight: member.weight,
      self: member.name === this.name,
      via: member.name === this.name ? [] : this.#engine.links.get(member.name)?.path,
      rttMillis: member.rttMillis,
    }))
  }

  nodeFor(definition: AnyDefinition, key: Key.Key): string | undefined {
    return Rings.owner(this.#engine.core.supervision.rings, Ref.nameOf(definition, key))
  }

  settled(): Promise<void> {
    this.#running("settled")
    return new Promise((resolve) => this.#engine.driver.whenQuiet(resolve))
  }

  #running(process: string): void {
    const stopped = this.#engine.stopped(process)
    if (stopped !== undefined) throw stopped
  }

  on(listeners: Listeners): () => void {
    return this.#engine.events.on(listeners)
  }

  events(): AsyncIterableIterator<NodeEvent> {
    return this.#engine.events.stream()
  }

  connect(address: string | ReadonlyArray<string>, options?: ConnectOptions): Promise<void> {
    return this.#engine.connections.connect(address, options)
  }

  disconnect(name: string | ReadonlyArray<string>): Promise<void> {
    return this.#engine.connections.disconnect(name)
  }

  connections(): ReadonlyArray<Listed> {
    return this.#engine.connections.list()
  }

  leave(): Promise<void> {
    this.#leaving ??= this.#leave()
    return this.#leaving
  }

  async #leave(): Promise<void> {
    if (this.#engine.stopped("") === undefined) {
      this.#engine.discoveries.leave()
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

function isDefinition(of: Key.Key | AnyDefinition): of is AnyDefinition {
  return typeof of === "object" && !Array.isArray(of)
}

function statusOf({ status, phase }: Membership.Member): Member["status"] {
  if (status === "dead") return "down"
  if (status === "left" || status === "suspect") return status
  return phase
}
