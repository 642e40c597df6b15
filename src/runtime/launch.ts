/**
 * Starting a node: it listens, joins, and is handed to its user once it serves.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { Engine } from "./engine.ts"
import { Face } from "./face.ts"
import type { Node } from "./node.ts"
import * as Options from "./options.ts"
import { Platform } from "./platform.ts"
import { NameConflict } from "./rejections.ts"

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
