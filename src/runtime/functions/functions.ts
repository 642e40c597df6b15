/**
 * Remote functions of one node: those that it serves, and how it finds who serves the others. Which nodes
 * do is a group of the registry, so everybody knows.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Groups from "../../core/groups.ts"
import * as Key from "../../core/key.ts"
import * as Membership from "../../core/membership.ts"
import * as Registry from "../../core/registry.ts"
import * as Ref from "../calls/ref.ts"
import type { CallOptions, AnyDefinition as Process, Ref as Reference } from "../definition.ts"
import {
  AlreadyRegistered,
  HandlerCrashed,
  NoProcess,
  NoService,
  Overloaded,
  reasonOf,
  Unreachable,
} from "../errors.ts"
import type { Parts } from "../parts.ts"
import { uint32 } from "../platform.ts"
import { type Gathered, gather } from "./gather.ts"
import { asked, isPromise, type Request } from "./job.ts"
import type { AnyDefinition, Choice, Context, Definition, Handle, Ways } from "./remote.ts"
import type { Services } from "./services.ts"

/** A function, as far as its callers need it. */
export type Named = Pick<AnyDefinition, "name">

/** Where a function is to run. */
export type Aim =
  | { readonly _tag: "On"; readonly node: string }
  /** Where this registered name lives. */
  | { readonly _tag: "At"; readonly name: string }
  | { readonly _tag: "Any"; readonly role: string | undefined }

/** What its users run a function with. Costs no lookup. */
export function make<F>(
  functions: Functions,
  definition: Definition<F>,
  options: CallOptions = {},
): Handle<F> {
  const ask = (aim: Aim, args: ReadonlyArray<unknown>): Promise<unknown> =>
    functions.ask(definition, aim, args, options)
  const handle = {
    ...ways(ask),
    name: definition.name,
    all:
      ({ role }: Choice = {}) =>
      (...args: ReadonlyArray<unknown>) =>
        functions.askAll(definition, role, args, options),
    cast: ways((aim, args) => functions.cast(definition, aim, args)),
    try: ways((aim, args) =>
      ask(aim, args).then(
        (value) => ({ ok: true, value }),
        (error: unknown) => ({ ok: false, error }),
      ),
    ),
    with: (more: CallOptions) => make(functions, definition, { ...options, ...more }),
  }
  return handle as unknown as Handle<F>
}

function ways<Out>(
  run: (aim: Aim, args: ReadonlyArray<unknown>) => Out,
): Ways<ReadonlyArray<unknown>, Out> {
  const to =
    (aim: Aim) =>
    (...args: ReadonlyArray<unknown>): Out =>
      run(aim, args)
  return {
    on: (node) => to({ _tag: "On", node }),
    at: (of) => to({ _tag: "At", name: nameOf(of) }),
    any: ({ role } = {}) => to({ _tag: "Any", role }),
  }
}

/** The registered name of a process, or of an additional name. */
function nameOf(of: Reference<Process> | Key.Key): string {
  return Ref.targetOf(of)?.name ?? `/${Key.text(of as Key.Key)}`
}

/** The remote functions of one node. */
export class Functions {
  readonly #parts: Parts
  readonly #services: Services
  readonly #caller: Ref.Caller
  readonly #served = new Set<string>()
  /** How often each function has been run by turns. */
  readonly #turns = new Map<string, number>()
  #open = false

  /** Serves these from the start; everybody knows once it is {@link open}. No two have one name. */
  constructor(
    parts: Parts,
    services: Services,
    caller: Ref.Caller,
    definitions: ReadonlyArray<AnyDefinition>,
  ) {
    this.#parts = parts
    this.#services = services
    this.#caller = caller
    for (const definition of definitions) this.serve(definition)
  }

  /** Tells everybody what is served. Call it once the node listens. */
  open(): void {
    this.#open = true
    for (const name of this.#served) this.#join(name)
  }

  /**
   * Serves a function until the result is called; those that are running then go on. Throws
   * AlreadyRegistered when the node serves one of that name already, NodeStopped.
   */
  serve(definition: AnyDefinition): () => void {
    const { name } = definition
    const service = serviceOf(definition)
    const stopped = this.#parts.stopped(service)
    if (stopped !== undefined) throw stopped
    if (this.#served.has(name)) throw new AlreadyRegistered(service, this.#parts.name)
    this.#served.add(name)
    this.#services.serve(service, (request, args) =>
      run(definition, new Here(this.#parts.name, request, this.#caller), args),
    )
    if (this.#open) this.#join(name)
    let serving = true
    return () => {
      if (!serving) return
      serving = false
      this.#served.delete(name)
      this.#services.unserve(service)
      if (this.#open) this.#leave(name)
    }
  }

  #join(name: string): void {
    const { driver, platform } = this.#parts
    driver.input({
      _tag: "Join",
      now: platform.now(),
      wall: platform.wall(),
      group: groupOf(name),
      pid: 0,
      name: "",
      online: true,
      meta: undefined,
    })
  }

  #leave(name: string): void {
    const { driver, platform } = this.#parts
    const group = groupOf(name)
    driver.input({ _tag: "Quit", now: platform.now(), group, pid: 0, reason: "unserved" })
  }

  // --- running -----------------------------------------------------------------------------------

  /** Runs it on one node. Rejects with what the function declares, or a RemoteError. */
  ask(
    definition: Named,
    aim: Aim,
    args: ReadonlyArray<unknown>,
    { timeout = Ref.TIMEOUT_MILLIS, signal }: CallOptions,
  ): Promise<unknown> {
    const service = serviceOf(definition)
    const nodes = this.#nodes(definition.name, aim)
    const [first] = nodes
    if (first === undefined) return Promise.reject(this.#nobody(service, aim))
    const options = { timeout, signal }
    if (nodes.length > 1) return this.#askInTurn(nodes, service, args, options)
    return this.#services.request(first, service, args, options)
  }

  /** Asks the next one for as long as it is known that the one before did nothing. */
  async #askInTurn(
    nodes: ReadonlyArray<string>,
    service: string,
    args: ReadonlyArray<unknown>,
    { timeout, signal }: { readonly timeout: number; readonly signal: AbortSignal | undefined },
  ): Promise<unknown> {
    const { platform } = this.#parts
    const deadline = platform.now() + timeout
    let left = timeout
    let unfit: unknown
    for (const node of nodes) {
      try {
        return await this.#services.request(node, service, args, { timeout: left, signal })
      } catch (error) {
        if (!isUnfit(error, service)) throw error
        unfit = error
      }
      left = Math.ceil(deadline - platform.now())
      if (left <= 0) break
    }
    throw unfit
  }

  /** Has it run on one node, and waits for nothing. Throws what is known at once. */
  cast(definition: Named, aim: Aim, args: ReadonlyArray<unknown>): void {
    const service = serviceOf(definition)
    const [node] = this.#nodes(definition.name, aim)
    if (node === undefined) throw this.#nobody(service, aim)
    this.#services.cast(node, service, args)
  }

  /** Runs it on all nodes that serve it; never rejects. */
  askAll(
    { name }: Named,
    role: string | undefined,
    args: ReadonlyArray<unknown>,
    { timeout = Ref.TIMEOUT_MILLIS, signal }: CallOptions,
  ): Promise<Gathered<unknown, unknown>> {
    const targets = this.#serving(name, role).map((node) => ({ node, process: undefined }))
    return gather(targets, ({ node }) =>
      this.#services.request(node, serviceOf({ name }), args, { timeout, signal }),
    )
  }

  /** Whom to ask, one after the other. */
  #nodes(name: string, aim: Aim): ReadonlyArray<string> {
    if (aim._tag === "On") return [aim.node]
    const { core, links, name: self } = this.#parts
    if (aim._tag === "At") {
      const entry = Registry.lookup(core.registry, aim.name)
      return entry === undefined ? [] : [entry.table.owner]
    }
    const nodes = this.#serving(name, aim.role).filter(
      (node) => node === self || links.get(node) !== undefined,
    )
    // Each node begins somewhere else, or the first one would get the first call of all.
    const turn = this.#turns.get(name) ?? uint32(this.#parts.platform)
    this.#turns.set(name, turn + 1)
    const at = turn % nodes.length
    return [...nodes.slice(at), ...nodes.slice(0, at)]
  }

  #nobody(service: string, aim: Aim): Error {
    const stopped = this.#parts.stopped(service)
    if (stopped !== undefined) return stopped
    if (aim._tag !== "At") return new NoService(service, undefined)
    // What the registry has an additional name under begins with a slash.
    return new NoProcess(aim.name.startsWith("/") ? aim.name.slice(1) : aim.name)
  }

  /** The members that serve it and aren't leaving, by the time at which they began to. */
  #serving(name: string, role: string | undefined): ReadonlyArray<string> {
    const { membership, registry } = this.#parts.core
    const fit = new Set<string>()
    for (const { name, phase, roles } of Membership.living(membership)) {
      if (phase !== "leaving" && (role === undefined || roles.includes(role))) fit.add(name)
    }
    return Groups.members(registry.groups, groupOf(name))
      .map(({ table }) => table.owner)
      .filter((node) => fit.has(node))
  }
}

/** The service under which a function is asked for. */
function serviceOf({ name }: Named): string {
  return `f:${name}`
}

/** The group of the nodes that serve a function. */
function groupOf(name: string): string {
  return `f${name}`
}

/** Whether a node didn't take the request at all, and another one might. */
function isUnfit(error: unknown, service: string): boolean {
  return (
    (error instanceof NoService || error instanceof Unreachable || error instanceof Overloaded) &&
    error.process === service
  )
}

/** What a function gets to know. */
class Here implements Context {
  readonly node: string
  readonly from: string
  /** (Not a method, so that it can be taken out of the context as the others can.) */
  readonly ref: Context["ref"]
  readonly #request: Request

  constructor(node: string, request: Request, caller: Ref.Caller) {
    this.node = node
    this.from = request.from
    this.#request = request
    this.ref = (definition, key) => Ref.make(caller, definition, Ref.nameOf(definition, key))
  }

  get signal(): AbortSignal {
    return this.#request.signal
  }
}

/**
 * Runs a function, and what is to run before its reply. One of our errors that it throws tells of something
 * that it asked for itself, not of this call: also that is a crash.
 */
function run(definition: AnyDefinition, context: Context, args: ReadonlyArray<unknown>): unknown {
  const { run, beforeReply } = definition
  const crashed = (error: unknown): HandlerCrashed =>
    new HandlerCrashed(serviceOf(definition), asked(context.node), reasonOf(error))
  let out: unknown
  try {
    out = run(context, ...args)
  } catch (error) {
    throw crashed(error)
  }
  if (beforeReply !== undefined) {
    return Effect.uninterruptibleMask((restore) =>
      Effect.tap(
        Effect.isEffect(out) ? restore(out as Effect.Effect<unknown, unknown>) : settled(() => out),
        (result) => settled(() => beforeReply(context, result)),
      ),
    )
  }
  if (Effect.isEffect(out) || !isPromise(out)) return out
  return Promise.resolve(out).catch((error) => {
    throw crashed(error)
  })
}

/** Waits for a promise or an Effect. What it fails with is a defect. */
function settled(f: () => unknown): Effect.Effect<unknown> {
  const made = Effect.promise(async () => f())
  const done = Effect.flatMap(made, (out) =>
    Effect.isEffect(out) ? (out as Effect.Effect<unknown, unknown>) : Effect.succeed(out),
  )
  return Effect.orDie(done)
}
