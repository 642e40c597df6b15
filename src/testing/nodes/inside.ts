/**
 * Whatever a node gives its user (references, groups, subscriptions …) as a test may use it: what is asked
 * of it happens inside the node's program, and fails with that when it ends before its answer.
 *
 * @module
 */
import type { Host } from "../world/host.ts"

/** Asks for something, under this name, and waits for the answer for as long as the program runs. */
export type Wait = <A>(what: string, ask: () => Promise<A>) => Promise<A>

/**
 * The same object, with all that it can do done inside. What its methods give is treated alike; plain data
 * is left as it is, but for the references in it.
 */
export function inside<T extends object>(host: Host, wait: Wait, object: T, path: string): T {
  return new Proxy(object, {
    get(target, property) {
      // (Not the proxy as receiver: private fields are the object's own.)
      const value: unknown = Reflect.get(target, property, target)
      if (typeof property === "symbol" && typeof value !== "function") return value
      return wrap(host, wait, value, `${path}${member(property)}`, target)
    },
    apply(target, _self, args) {
      return call(host, wait, target as Callable, undefined, args, path)
    },
  })
}

type Callable = (...args: ReadonlyArray<unknown>) => unknown

function member(property: string | symbol): string {
  return typeof property === "symbol" ? `[${String(property.description)}]` : `.${property}`
}

function wrap(host: Host, wait: Wait, value: unknown, path: string, self: object): unknown {
  if (typeof value === "function") {
    const callable = value as Callable
    return (...args: ReadonlyArray<unknown>) => call(host, wait, callable, self, args, path)
  }
  return contained(host, wait, value, path)
}

function call(
  host: Host,
  wait: Wait,
  callable: Callable,
  self: unknown,
  args: ReadonlyArray<unknown>,
  path: string,
): unknown {
  const what = `${path}()`
  const run = (): unknown => callable.apply(self, args as Array<unknown>)
  if (!host.awake) {
    // It stands still: what only reads is read, everything else comes once it goes on.
    if (READS.has(path.slice(path.lastIndexOf(".") + 1))) return contained(host, wait, run(), what)
    if (path.includes(".cast.")) return host.io(() => void run())
    const answer = wait(what, async () => run())
    return answer.then((value) => contained(host, wait, value, what))
  }
  let result: { readonly value: unknown } | { readonly thrown: unknown } | undefined
  host.io(() => {
    try {
      result = { value: run() }
    } catch (thrown) {
      result = { thrown }
    }
  })
  const done = result as unknown as { readonly value: unknown } | { readonly thrown: unknown }
  if ("thrown" in done) throw done.thrown
  const { value } = done
  if (!(value instanceof Promise)) return contained(host, wait, value, what)
  // Whoever waits learns of it, if the program lasts so long; nobody else needs to.
  value.catch(() => {})
  return wait(what, () => value).then((answer) => contained(host, wait, answer, what))
}

/** Methods of nodes and of what they give that don't wait for anything. */
const READS: ReadonlySet<string> = new Set([
  "all",
  "any",
  "at",
  "byKey",
  "children",
  "connections",
  "count",
  "counts",
  "events",
  "find",
  "findN",
  "group",
  "groups",
  "isMine",
  "local",
  "localChildren",
  "members",
  "messages",
  "monitor",
  "nByKey",
  "names",
  "nodeFor",
  "nodes",
  "on",
  "online",
  "ref",
  "remote",
  "supervisor",
  "whereis",
  "whois",
  "with",
])

/** Handles, and those in lists and records. */
function contained(host: Host, wait: Wait, value: unknown, path: string): unknown {
  if (typeof value === "function") return inside(host, wait, value, path)
  if (typeof value !== "object" || value === null || value instanceof Promise) return value
  if (Array.isArray(value)) {
    const items = value.map((item) => contained(host, wait, item, path))
    return items.some((item, i) => item !== value[i]) ? items : value
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return record(host, wait, value, path)
  return active(value) ? inside(host, wait, value, path) : value
}

function record(host: Host, wait: Wait, value: object, path: string): unknown {
  const entries = Object.entries(value)
  const changed = entries.map(([key, each]) => [key, contained(host, wait, each, path)] as const)
  return changed.some(([, each], i) => each !== entries[i]?.[1])
    ? Object.fromEntries(changed)
    : value
}

/** Whether an object does something: data, however it is made, and what is only read, isn't wrapped. */
function active(value: object): boolean {
  return !(
    Symbol.asyncIterator in value ||
    value instanceof Error ||
    value instanceof Date ||
    value instanceof Map ||
    value instanceof Set ||
    ArrayBuffer.isView(value)
  )
}
