/**
 * Process definitions: what a named process holds, what it answers, and how it moves.
 *
 * @module
 */
import type { Definition, Handler, Known, Method, Spec } from "./definition.ts"

export type { Intensity, Type as Restart } from "../core/restart.ts"
export type {
  AnyDefinition,
  Definition,
  Failure,
  Handler,
  Handoff,
  Init,
  Known,
  Method,
  Self,
  Services,
  Spec,
  Success,
} from "./definition.ts"
export { ignore } from "./definition.ts"

const NAME = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/
const RESERVED = ["cast", "try", "with", "then", "name", "key", "constructor", "toJSON", "toString"]

/**
 * Defines a process.
 *
 * @param name how the definition is known in the whole cluster: a letter, then at most 63 letters, digits,
 *   dots, dashes or underscores
 * @throws TypeError when the name or a method's name can't be used
 *
 * @example
 * ```ts
 * import { Process } from "skein"
 *
 * const Counter = Process.define("Counter", {
 *   state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
 *   calls: { add: (self, by: number) => (self.state.n += by) },
 * })
 * ```
 */
export function define<
  const N extends string,
  S,
  I,
  Calls extends Record<string, Handler<NoInfer<S>>>,
  Casts extends Record<string, Handler<NoInfer<S>>>,
>(name: N, spec: Spec<S, I, Calls, Casts>): Definition<N, S, I, Known<Calls>, Known<Casts>> {
  if (!NAME.test(name)) {
    throw new TypeError(`Process.define: the name ${JSON.stringify(name)} doesn't match ${NAME}`)
  }
  const calls = methods(name, "call", spec.calls)
  const casts = methods(name, "cast", spec.casts)
  const both = [...calls.keys()].find((method) => casts.has(method))
  if (both !== undefined)
    throw new TypeError(`Process.define: ${name}.${both} is a call and a cast`)
  const definition = { name, spec, calls, casts }
  return definition as unknown as Definition<N, S, I, Known<Calls>, Known<Casts>>
}

function methods(
  process: string,
  kind: "call" | "cast",
  section: Record<string, unknown> | undefined,
): Map<string, Method> {
  const map = new Map<string, Method>()
  for (const [name, handler] of Object.entries(section ?? {})) {
    if (name.startsWith("$")) {
      throw new TypeError(
        `Process.define: ${process}.${name}: names that start with $ are reserved`,
      )
    }
    if (kind === "call" && RESERVED.includes(name)) {
      throw new TypeError(
        `Process.define: ${process} can't have a call named ${name}: it is reserved`,
      )
    }
    if (typeof handler !== "function") {
      throw new TypeError(`Process.define: ${process}.${name} is not a function`)
    }
    map.set(name, { name, kind, immediate: false, handler: handler as Method["handler"] })
  }
  return map
}
