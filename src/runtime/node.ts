/**
 * A node, as its user sees it: the promise face of the engine.
 *
 * @module
 */
import { type Context, Effect, Exit, Scope } from "effect"
import * as Membership from "../core/membership.ts"
import * as Registry from "../core/registry.ts"
import * as Ring from "../core/ring.ts"
import type { Transport } from "../transport.ts"
import type { AnyDefinition, Init, Ref as Reference, Services } from "./definition.ts"
import { Engine } from "./engine.ts"
import {
  AlreadyRegistered,
  ConnectFailed,
  InvalidOption,
  NameConflict,
  NoProcess,
  Unreachable,
} from "./errors.ts"
import type { NodeEvent } from "./events.ts"
import * as Limits from "./limits.ts"
import { type Platform as Host, Platform, uint32 } from "./platform.ts"
import * as Ref from "./ref.ts"
import type { StartOptions } from "./starts.ts"

/** How a node is started. Only `transport` has no default. */
export interface NodeOptions {
  /** The node's name, unique in its cluster: 1 to 64 letters, digits and `. _ @ : -`. Default: random. */
  readonly name?: string
  /** How nodes reach each other, for example `tcp({ port: 7001 })`. */
  readonly transport: Transport
  /** The cluster's secret, the same on all nodes. Required unless the transport stays in this program. */
  readonly cookie?: string | undefined
  /** Nodes with another cluster name are refused. Default `"skein"`. */
  readonly cluster?: string
  /** Addresses of nodes to join. They are tried for as long as the node runs; its own may be among them. */
  readonly connect?: ReadonlyArray<string>
  /** The definitions this node hosts. A node without any is never given processes. */
  readonly processes?: ReadonlyArray<AnyDefinition>
  /** How many processes this node gets relative to others: an integer from 1 to 64. Default 1. */
  readonly weight?: number
  /** What the node is for, as others see it. */
  readonly roles?: ReadonlyArray<string>
  /** Figures of failure detection. `lan` (default), `local` for one machine, `wan`; or your own. */
  readonly timing?: "lan" | "local" | "wan" | Membership.Timing
  /** `active` (default): names move when a node joins. `passive`: only when their node leaves. */
  readonly rebalance?: "active" | "passive"
  /** Which of two claims of a name wins when neither is younger by its moves. Default `oldest`. */
  readonly conflict?: Registry.Policy
  /** See Limits for each one's meaning and default. */
  readonly limits?: Partial<Limits.Limits>
  /** Milliseconds a connection and its handshake may take. Default 5,000. */
  readonly dialTimeout?: number
  /** Gives the start up, or stops the node once it runs. */
  readonly signal?: AbortSignal
}

/** A member of the cluster, as this node sees it. */
export interface Member {
  readonly name: string
  readonly address: string
  readonly status: "up" | "joining" | "suspect" | "leaving" | "down" | "left"
  readonly roles: ReadonlyArray<string>
  readonly weight: number
  /** Whether it is this node. */
  readonly self: boolean
  /** Smoothed round trip, where measured. */
  readonly rttMillis: number | undefined
}

/** Where a name lives. */
export interface Location {
  readonly node: string
  /** The registered process's definition and key. */
  readonly process: string
  /** Rises each time another node takes the name over. */
  readonly generation: number
}

export interface RegisterOptions {
  /**
   * `serialized` (default): free in the whole connected cluster, one round trip. `local`: at once; a
   * conflict is found and resolved later.
   */
  readonly mode?: "serialized" | "local"
  /** Milliseconds. Default 5,000. */
  readonly timeout?: number
}

type InitArgs<P> =
  unknown extends Init<P>
    ? [init?: undefined, options?: StartOptions]
    : undefined extends Init<P>
      ? [init?: Init<P>, options?: StartOptions]
      : [init: Init<P>, options?: StartOptions]

type Handlers<P> = P extends {
  readonly types?: { readonly calls: infer A; readonly casts: infer B }
}
  ? A[keyof A] | B[keyof B]
  : never
type Returned<F> = F extends (...args: never) => infer R ? R : never

/** A definition all of whose handlers run without services; else what they need is the type error. */
export type Runnable<P> = [Services<Returned<Handlers<P>>>] extends [never]
  ? unknown
  : {
      "its handlers need Effect services, which startNode doesn't provide": Services<
        Returned<Handlers<P>>
      >
    }

/** A running node. */
export interface Node extends AsyncDisposable {
  readonly name: string
  /** The address that others can connect to. */
  readonly address: string
  /**
   * Starts a process with this key where the ring places it, and supervises it. When it is running
   * already, the result refers to that one, whatever `init` says; with `exclusive` that is an
   * AlreadyRegistered error. Fails with a StartError.
   */
  start<P extends AnyDefinition>(
    definition: P & Runnable<P>,
    key: string,
    ...init: InitArgs<P>
  ): Promise<Reference<P>>
  /** A reference to a process, whether it runs or not. Costs nothing. */
  ref<P extends AnyDefinition>(definition: P, key: string): Reference<P>
  /** Where a process runs, or where an additional name points; undefined when nobody holds it. */
  whereis(name: string): Location | undefined
  whereis(definition: AnyDefinition, key: string): Location | undefined
  /** Gives a process of this node an additional name, which ends with the process and never moves. */
  register(name: string, ref: Reference<AnyDefinition>, options?: RegisterOptions): Promise<void>
  /** Takes an additional name of this node back; false when it doesn't hold it. */
  unregister(name: string): boolean
  /** Stops a process wherever it runs; false when there is none. */
  stopProcess(ref: Reference<AnyDefinition>, reason?: string): Promise<boolean>
  stopProcess(definition: AnyDefinition, key: string, reason?: string): Promise<boolean>
  /** All known members, by name, this node included. */
  members(): ReadonlyArray<Member>
  /** The node that the ring gives a process to. */
  nodeFor(definition: AnyDefinition, key: string): string | undefined
  /** Resolves when all members agree on who gets which process, and nothing is on the move here. */
  settled(): Promise<void>
  /** How many names live nodes hold, as this node knows. */
  count(): number
  /** What happens from now on. A listener too slow for its buffer is told what it lost. */
  events(): AsyncIterableIterator<NodeEvent>
  /** Connects to more addresses; resolves when all are members. Fails with ConnectFailed. */
  connect(address: string | ReadonlyArray<string>, options?: { timeout?: number }): Promise<void>
  /** Parts with a member until `connect` is called again, here or there. */
  disconnect(name: string): void
  /** Hands all processes over, with their state and mailboxes, then stops. */
  leave(): Promise<void>
  /** Stops at once, without handing over. */
  stop(): Promise<void>
}

const NAME = /^[A-Za-z0-9._@:-]{1,64}$/
const KEY_MAX = 512

/**
 * Starts a node: it listens, joins whom it can reach, and resolves once it serves.
 *
 * @throws InvalidOption, AddressUnavailable
 */
export function startNode(options: NodeOptions): Promise<Node> {
  return Effect.runPromise(start(options))
}

const start = Effect.fnUntraced(function* (options: NodeOptions) {
  const host = yield* Platform
  const context = yield* Effect.context<never>()
  const scope = yield* Scope.make()
  const engine = yield* Effect.try({
    try: () => make(options, host, context),
    catch: (error) => error,
  })
  yield* Scope.addFinalizer(
    scope,
    Effect.promise(() => engine.close()),
  )
  const ready = Effect.tryPromise({
    try: () => open(engine, options.signal),
    catch: (error) => error,
  })
  yield* Effect.onError(ready, () => Scope.close(scope, Exit.void))
  const node: Node = new Face(engine, scope)
  options.signal?.addEventListener("abort", () => void node.stop(), { once: true })
  return node
})

function open(engine: Engine, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true })
    engine.onReady = resolve
    engine.onConflict = () => {
      reject(new NameConflict(engine.name))
      void engine.close()
    }
    engine.open().catch(reject)
  })
}

function make(options: NodeOptions, platform: Host, context: Context.Context<never>): Engine {
  const name = options.name ?? `node-${uint32(platform).toString(36)}`
  const { transport, weight = 1, processes = [] } = options
  if (!NAME.test(name))
    throw new InvalidOption("name", `must match ${NAME}, got ${JSON.stringify(name)}`)
  if (typeof transport?.dial !== "function") {
    throw new InvalidOption("transport", "is missing: for example tcp({ port: 7001 })")
  }
  if (!transport.trusted && !options.cookie) {
    throw new InvalidOption(
      "cookie",
      `is missing: ${transport.kind} needs the cluster's secret, the same on all nodes`,
    )
  }
  if (!Number.isInteger(weight) || weight < 1 || weight > Ring.WEIGHT_MAX) {
    throw new InvalidOption(
      "weight",
      `must be an integer from 1 to ${Ring.WEIGHT_MAX}, got ${weight}`,
    )
  }
  const twice = processes.find(
    (one, i) => processes.findIndex((other) => other.name === one.name) !== i,
  )
  if (twice !== undefined)
    throw new InvalidOption("processes", `lists two definitions named ${twice.name}`)
  const limits = { ...Limits.defaults, ...options.limits }
  for (const [limit, max] of Object.entries(limits)) {
    if (!(max >= 1)) throw new InvalidOption(`limits.${limit}`, `must be at least 1, got ${max}`)
  }
  const random = uint32(platform)
  const epoch = Math.floor(platform.wall()) * 1024 + (random % 1024)
  const instance = uint32(platform)
  const seeds = options.connect ?? []
  return new Engine({
    name,
    cluster: options.cluster ?? "skein",
    cookie: options.cookie,
    transport,
    processes,
    limits,
    platform,
    context,
    epoch,
    instance,
    dialMillis: options.dialTimeout ?? 5_000,
    core: (address) => ({
      membership: {
        name,
        epoch,
        instance,
        address,
        weight: processes.length === 0 ? 0 : weight,
        roles: options.roles ?? [],
        seeds: seeds.filter((seed) => seed !== address),
        random,
        timing: timing(options.timing),
        membersMax: limits.membersMax,
      },
      supervision: { rebalance: options.rebalance ?? "active" },
      policy: options.conflict ?? "oldest",
    }),
  })
}

function timing(given: NodeOptions["timing"]): Membership.Timing {
  if (typeof given === "object") return given
  if (given === "local") return Membership.local
  return given === "wan" ? Membership.wan : Membership.lan
}

/** The methods of a node, on its engine. */
class Face implements Node {
  readonly #engine: Engine
  readonly #scope: Scope.Closeable
  #leaving: Promise<void> | undefined

  constructor(engine: Engine, scope: Scope.Closeable) {
    this.#engine = engine
    this.#scope = scope
    engine.onConflict = () => void this.stop()
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
    const full = typeof name === "string" ? `/${name}` : Ref.nameOf(name, key ?? "")
    const entry = Registry.lookup(this.#engine.core.registry, full)
    if (entry === undefined) return undefined
    const process = full.startsWith("/") ? new TextDecoder().decode(entry.meta) : full
    return { node: entry.table.owner, process, generation: entry.generation }
  }

  async register(
    name: string,
    ref: Reference<AnyDefinition>,
    options: RegisterOptions = {},
  ): Promise<void> {
    const { mode = "serialized", timeout = 5_000 } = options
    checkKey(name)
    const alias = `/${name}`
    const target = nameOf(ref)
    this.#running(target)
    const cell = this.#engine.here(target)
    if (cell === undefined) throw this.#notHere(target)
    const entry = Registry.lookup(this.#engine.core.registry, alias)
    const holder =
      entry?.table.owner ??
      (mode === "serialized" ? await this.#engine.starts.reserve(alias, timeout) : undefined)
    if (holder !== undefined) throw new AlreadyRegistered(name, holder)
    this.#running(target)
    if (this.#engine.here(target) !== cell) throw new NoProcess(target)
    this.#engine.alias(cell, alias)
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
    return this.#engine.unalias(`/${name}`)
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
    return await this.#engine.starts.stop(name, why, Ref.TIMEOUT_MILLIS)
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
      let why = `no answer within ${timeout} ms`
      let missing = this.#missing(addresses)
      while (missing !== undefined) {
        const { value, done } = await events.next()
        if (done) throw new ConnectFailed(missing, why)
        if (value._tag === "ConnectionRefused" && value.address === missing) why = value.reason
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
        this.#engine.onLeft = resolve
        this.#engine.driver.input({ _tag: "Leave", now: this.#engine.platform.now() })
      })
    }
    await this.stop()
  }

  stop(): Promise<void> {
    return Effect.runPromise(Scope.close(this.#scope, Exit.void))
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
