/**
 * The guard: while a simulation exists, code that it runs and that reaches for a real clock, timer,
 * random source or the network is stopped, reported or answered from the simulation. Otherwise no run
 * could be repeated. Everybody else's code, a test runner's for instance, gets the real things as ever.
 *
 * What it can't see: functions taken from their globals before it was installed (`const now = Date.now`
 * at the top of a module), what hosts offer elsewhere (`node:timers`, `Bun.nanoseconds`,
 * `performance.timeOrigin`), and other threads. Promises, `queueMicrotask` and `crypto.subtle` are the
 * same in every run, and free to use.
 *
 * @module
 */
import {
  type Call,
  type Callable,
  enders,
  type Guarded,
  type Kind,
  type Subject,
  subjects,
  VirtualTimer,
} from "./virtual.ts"

export type { Guarded } from "./virtual.ts"

/**
 * What becomes of a leak: `throw` a NondeterminismLeak at its caller, `warn` and call the real thing,
 * answer with `virtual` time and randomness (what uses the network throws), or `off`, nothing.
 */
export type Mode = "throw" | "warn" | "virtual" | "off"

/** What `install` has to know of a simulation. */
export interface GuardOptions {
  readonly mode: Mode
  /** Whose code runs; undefined when it is none of the simulation's. Called often: keep it cheap. */
  readonly current: () => Guarded | undefined
  /** Told of each leak in mode `warn`, once for each line, before the real thing is called. */
  readonly warn: (leak: NondeterminismLeak) => void
  /** Told of each leak that is thrown: whoever catches it can't hide it. */
  readonly thrown?: (leak: NondeterminismLeak) => void
}

const remedies: { readonly [K in Kind]: string } = {
  time: 'use self.after or Effect\'s Clock, or simulate with guard: "virtual"',
  randomness: 'use Effect\'s Random, or simulate with guard: "virtual"',
  network: "a simulated node has no network; give it a stand-in for what it talks to",
}

/** Simulated code called something that differs from run to run. */
export class NondeterminismLeak extends Error {
  readonly _tag: "NondeterminismLeak" = "NondeterminismLeak"
  /** What was called: `Date.now()`. */
  readonly what: string
  /** Whose code called it: `node "a"`. */
  readonly where: string
  /** The caller outside of Effect and the host's own code, `file:line:column`; `""` when unknown. */
  readonly line: string
  constructor(what: string, where: string, line: string, kind: Kind) {
    const at = line === "" ? "" : ` at ${line}`
    super(`${where} called ${what}${at}, so the run can't be repeated: ${remedies[kind]}`)
    this.what = what
    this.where = where
    this.line = line
  }
}

/** The host's own things, for the simulator: whatever is installed, and whoever's code runs. */
export interface Real {
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Unix milliseconds. */
  readonly wall: () => number
  readonly setTimeout: (f: () => void, millis: number) => unknown
  /** Takes what `setTimeout` gave. */
  readonly clearTimeout: (timer: unknown) => void
  /** Undefined in browsers. */
  readonly setImmediate: ((f: () => void) => unknown) | undefined
  /** Runs `f` without delay after the microtasks, and gives the host a turn before. */
  readonly macrotask: (f: () => void) => void
}

/** As it was when this module was loaded. */
export const real: Real = takeReal()

interface Guard extends GuardOptions {
  /** The leaks it was told of. */
  readonly told: Set<string>
}

/** In the order they were installed. */
const guards: Array<Guard> = []
/** What undoes the patches, in the order they were made. */
const patches: Array<() => void> = []
/** Set while a warning or a real thing runs, which may itself use what is guarded. */
let trusted = false

/**
 * Installs a guard; the result undoes that, and may be called again. Several can be installed at once: of
 * those whose `current` answers, the last one decides. The globals are patched while there is one that
 * isn't `off`, and get exactly the property descriptors back that they had; one that somebody has
 * replaced in the meantime is left as it is.
 */
export function install(options: GuardOptions): () => void {
  const guard: Guard = { ...options, told: new Set() }
  guards.push(guard)
  update()
  return () => {
    const at = guards.indexOf(guard)
    if (at >= 0) guards.splice(at, 1)
    update()
  }
}

function update(): void {
  const wanted = guards.some(({ mode }) => mode !== "off")
  if (wanted && patches.length === 0) patchAll()
  if (!wanted) while (patches.length > 0) patches.pop()?.()
}

function patchAll(): void {
  for (const subject of subjects) {
    const watch = new Watch(subject)
    patch(subject.owner, subject.key, (original) => new Proxy(original, watch), watch)
  }
  // The constructor reached from a date is the guarded one, too.
  patch("Date.prototype", "constructor", () => Date as unknown as Callable)
  for (const key of enders) patch("", key, (original) => new Proxy(original, { apply: end }))
}

function end(original: Callable, self: unknown, args: Array<unknown>): unknown {
  const [timer] = args
  // Whoever calls: a virtual timer means nothing to the host.
  return timer instanceof VirtualTimer ? timer.close() : Reflect.apply(original, self, args)
}

function patch(
  path: string,
  key: string,
  wrap: (original: Callable) => Callable,
  watch?: Watch,
): void {
  const owner = at(path) as Record<string, unknown> | undefined
  const original = owner?.[key]
  if (owner === undefined || typeof original !== "function") return
  const before = Object.getOwnPropertyDescriptor(owner, key)
  if (before === undefined ? !Object.isExtensible(owner) : !before.configurable) return
  const replacement = wrap(original as Callable)
  const put = (how: PropertyDescriptor): void => {
    const enumerable = before?.enumerable ?? false
    Object.defineProperty(owner, key, { ...how, enumerable, configurable: true })
  }
  const get = watch?.needsAccess ? reader(watch, replacement) : undefined
  const set = (value: unknown): void => put({ value, writable: true })
  if (get === undefined) set(replacement)
  else put({ get, set })
  patches.push(() => {
    const now = Object.getOwnPropertyDescriptor(owner, key)
    const ours = now?.value === replacement || (get !== undefined && now?.get === get)
    if (ours && before === undefined) delete owner[key]
    else if (ours && before !== undefined) Object.defineProperty(owner, key, before)
  })
}

/** What a dotted path from the global object leads to. */
function at(path: string): unknown {
  let found: unknown = globalThis
  for (const name of path === "" ? [] : path.split(".")) {
    found = (found as Record<string, unknown> | undefined)?.[name]
  }
  return found
}

/** A getter that tells the watch who takes the function. */
function reader(watch: Watch, replacement: Callable): () => Callable {
  const get = (): Callable => {
    watch.accessed(get)
    return replacement
  }
  return get
}

interface Decision {
  readonly guard: Guard
  readonly guarded: Guarded
}

/** The guard whose simulation runs code now. */
function decide(): Decision | undefined {
  if (trusted) return undefined
  for (let i = guards.length - 1; i >= 0; i--) {
    const guarded = guards[i]!.current()
    if (guarded !== undefined) return { guard: guards[i]!, guarded }
  }
  return undefined
}

/** What happens when a guarded function is called. */
class Watch implements ProxyHandler<Callable> {
  readonly #subject: Subject
  /** Who took the function last, and from where. */
  #access: ReadonlyArray<string> | undefined = undefined

  constructor(subject: Subject) {
    this.#subject = subject
  }

  /**
   * Whether `accessed` is of use. Calls with `new` don't need it; neither is it worth it for `fetch`,
   * which tests replace by their own: tools for that want a plain property.
   */
  get needsAccess(): boolean {
    return tailCalls && this.#subject.kind !== "network" && this.#subject.key !== "Date"
  }

  /** Called by the property's getter, which is `boundary`. */
  accessed(boundary: Callable): void {
    const mode = decide()?.guard.mode
    if (mode === "throw" || mode === "warn") this.#access = callers(boundary)
  }

  apply(original: Callable, self: unknown, args: Array<unknown>): unknown {
    const decision = decide()
    if (decision === undefined) return Reflect.apply(original, self, args)
    const call: Call = { original, self, args, newTarget: undefined }
    const answer = this.#judge(decision, call, Watch.prototype.apply)
    return answer === undefined ? trust(() => Reflect.apply(original, self, args)) : answer()
  }

  construct(original: Callable, args: Array<unknown>, newTarget: Callable): object {
    const make = (): object => Reflect.construct(original, args, newTarget) as object
    const decision = decide()
    if (decision === undefined) return make()
    const call: Call = { original, self: undefined, args, newTarget }
    const answer = this.#judge(decision, call, Watch.prototype.construct)
    return answer === undefined ? trust(make) : (answer() as object)
  }

  /** The stand-in to call; undefined for the real thing. Stack traces begin below `boundary`. */
  #judge(decision: Decision, call: Call, boundary: object): (() => unknown) | undefined {
    const { guard, guarded } = decision
    const { what, kind, answer } = this.#subject
    const called = what(call)
    if (called === undefined || guard.mode === "off") return undefined
    if (guard.mode === "virtual" && answer !== undefined) return () => answer(guarded, call)
    const line = callerOf(callers(boundary), this.#access)
    this.#access = undefined
    const leak = new NondeterminismLeak(called, guarded.where, line, kind)
    engine.captureStackTrace?.(leak, boundary)
    if (guard.mode !== "warn") {
      guard.thrown?.(leak)
      throw leak
    }
    const key = `${called} ${line}`
    if (!guard.told.has(key)) {
      guard.told.add(key)
      trust(() => guard.warn(leak))
    }
    return undefined
  }
}

function trust<A>(f: () => A): A {
  trusted = true
  try {
    return f()
  } finally {
    trusted = false
  }
}

/** The parts of Error that not every engine has. */
interface Engine {
  readonly captureStackTrace?: (target: object, boundary: object) => void
  stackTraceLimit?: number
}

const engine: Engine = Error as unknown as Engine
/** Frames that are looked at: Effect's own can be many. */
const FRAMES_MAX = 100
const effectFile = /[\\/](?:node_modules[\\/]|npm[\\/][^\\/]+[\\/])effect[\\/]|\/effect@\d/
const hostFile = /^(?:(?:node|ext|bun|deno|internal|native|unknown|wasm)\b|<anonymous>|\[native)/

/**
 * Whether this engine, JavaScriptCore, takes a caller off the stack when its last act is the call, as in
 * `() => Date.now()`. Then only reading the property tells who is about to call.
 */
const tailCalls: boolean = deep(() => {
  const depth = (): number => String(new Error().stack).split("\n").length
  const hop = (): number => depth()
  return hop() === depth()
})

function deep<A>(f: () => A): A {
  const limit = engine.stackTraceLimit
  if (limit === undefined) return f()
  engine.stackTraceLimit = FRAMES_MAX
  try {
    return f()
  } finally {
    engine.stackTraceLimit = limit
  }
}

/** The places that led to the call of `boundary`, innermost first, without the host's own. */
function callers(boundary: object): ReadonlyArray<string> {
  const trace: { readonly stack?: unknown } = {}
  deep(() => engine.captureStackTrace?.(trace, boundary))
  const places = placesOf(trace.stack)
  if (places.length > 0) return places
  // An engine that can't be told where to begin: with the first place in another file.
  const all = placesOf(deep(() => new Error().stack))
  const own = fileOf(all[0] ?? "")
  const first = all.findIndex((place) => fileOf(place) !== own)
  return first < 0 ? [] : all.slice(first)
}

/** The place that people want to hear of, given those of the call and of the function's reading. */
function callerOf(called: ReadonlyArray<string>, read: ReadonlyArray<string> = []): string {
  // Tail calls took places away if the others are the outer ones of the reading.
  const outer = read.slice(read.length - called.length)
  const lost = read.length > called.length && called.every((place, i) => place === outer[i])
  return (lost ? read : called).find((place) => !effectFile.test(place)) ?? ""
}

function placesOf(stack: unknown): ReadonlyArray<string> {
  if (typeof stack !== "string") return []
  return stack.split("\n").flatMap((line) => {
    const place = placeOf(line.trim())
    if (!/.:\d+:\d+$/.test(place) || hostFile.test(place)) return []
    return [place.replace(/^file:\/\/(?:\/(?=[A-Za-z]:))?/, "")]
  })
}

/** Where a frame of a stack trace says it is. */
function placeOf(frame: string): string {
  if (frame.startsWith("at ")) {
    const inner = /^.*? \((.*)\)$/.exec(frame)?.[1] ?? frame.replace(/^at (?:async )?/, "")
    // Evaluated text: where the evaluation is.
    return inner.startsWith("eval at ") ? (/\(([^()]+)\)/.exec(inner)?.[1] ?? "") : inner
  }
  // `name@place` or only the place, which may have an @ of its own.
  const name = frame.slice(0, Math.max(0, frame.indexOf("@")))
  return frame.includes("@") && !/^\/|:\/\//.test(name) ? frame.slice(name.length + 1) : frame
}

function fileOf(place: string): string {
  return place.replace(/:\d+:\d+$/, "")
}

/** What the host has at this moment. */
export function takeReal(): Real {
  const host = globalThis as {
    readonly setTimeout: (f: () => void, millis: number) => unknown
    readonly clearTimeout: (timer: unknown) => void
    readonly setImmediate?: (f: () => void) => unknown
  }
  const { setTimeout, clearTimeout, setImmediate } = host
  const [wall, clock, now] = [Date.now, performance, performance.now]
  return {
    now: () => now.call(clock),
    wall: () => wall(),
    setTimeout: (f, millis) => setTimeout(f, millis),
    clearTimeout: (timer) => clearTimeout(timer),
    setImmediate,
    macrotask: setImmediate === undefined ? hopping() : (f) => void setImmediate(f),
  }
}

/** Goes through a message channel, since browsers hold up timers that set timers. */
function hopping(): (f: () => void) => void {
  const { port1, port2 } = new MessageChannel()
  const waiting: Array<() => void> = []
  port1.onmessage = () => waiting.shift()?.()
  return (f) => {
    waiting.push(f)
    port2.postMessage(0)
  }
}
