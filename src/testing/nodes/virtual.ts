/**
 * What the guard watches, and what stands in for it in mode `virtual`: the clocks, timers and random
 * sources of a simulation behind the names of the real ones, with their arguments, results and errors.
 *
 * @module
 */

/** Whose code runs at this moment, with what stands in for the real things in mode `virtual`. */
export interface Guarded {
  /** For people: `node "a"` or `the test`. */
  readonly where: string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Unix milliseconds. */
  readonly wall: () => number
  /** Runs `f` once after `millis`; the result cancels it. */
  readonly timer: (millis: number, f: () => void) => () => void
  /** A random number, uniform over the uint32. */
  readonly uint32: () => number
}

/** A function or constructor of the host. */
export type Callable = (this: unknown, ...args: Array<unknown>) => unknown

/** One call of a guarded function. */
export interface Call {
  /** The real function. */
  readonly original: Callable
  readonly self: unknown
  readonly args: ReadonlyArray<unknown>
  /** Set when it was called with `new`. */
  readonly newTarget: Callable | undefined
}

/** What a guarded function would make a run depend on. */
export type Kind = "time" | "randomness" | "network"

/** One function or constructor that the guard replaces. */
export interface Subject {
  /** Where it hangs, from the global object: `""`, `"Date"`, `"process.hrtime"`. */
  readonly owner: string
  readonly key: string
  readonly kind: Kind
  /** The call as people write it, `"Date.now()"`; undefined for a call that is harmless. */
  readonly what: (call: Call) => string | undefined
  /** The stand-in; undefined where there is none, so that it fails in mode `virtual` too. */
  readonly answer: ((guarded: Guarded, call: Call) => unknown) | undefined
}

/** Delays beyond it overflow the hosts' timers, which then fire at once. */
const DELAY_MAX = 0x7fff_ffff

/** Everything that is guarded. What a host lacks is skipped there. */
export const subjects: ReadonlyArray<Subject> = [
  subject("time", "Date", "now", ({ wall }) => Math.floor(wall())),
  { owner: "", key: "Date", kind: "time", what: dateCall, answer: date },
  subject("time", "performance", "now", ({ now }) => now()),
  subject("time", "process.hrtime", "bigint", ({ now }) => nanos(now())),
  subject("time", "process", "hrtime", hrtime),
  subject("time", "Temporal.Now", "instant", ({ wall }) => instant(wall())),
  subject("time", "Temporal.Now", "zonedDateTimeISO", zoned),
  subject("time", "Temporal.Now", "plainDateTimeISO", (g, call) =>
    zoned(g, call).toPlainDateTime(),
  ),
  subject("time", "Temporal.Now", "plainDateISO", (g, call) => zoned(g, call).toPlainDate()),
  subject("time", "Temporal.Now", "plainTimeISO", (g, call) => zoned(g, call).toPlainTime()),
  subject("time", "", "setTimeout", (guarded, { args: [f, millis, ...args] }) =>
    start(guarded, "setTimeout", f, delay(millis), false, args),
  ),
  subject("time", "", "setInterval", (guarded, { args: [f, millis, ...args] }) =>
    start(guarded, "setInterval", f, delay(millis), true, args),
  ),
  subject("time", "", "setImmediate", (guarded, { args: [f, ...args] }) =>
    start(guarded, "setImmediate", f, 0, false, args),
  ),
  subject("time", "AbortSignal", "timeout", abortAfter),
  subject("randomness", "Math", "random", fraction),
  subject("randomness", "crypto", "getRandomValues", randomValues),
  subject("randomness", "crypto", "randomUUID", uuid),
  subject("network", "", "fetch", undefined),
  construction("WebSocket"),
  construction("EventSource"),
  construction("XMLHttpRequest"),
  construction("BroadcastChannel"),
]

/** The functions that end a timer. On the hosts each of them takes what any of the others takes. */
export const enders: ReadonlyArray<string> = ["clearTimeout", "clearInterval", "clearImmediate"]

/** What `setTimeout`, `setInterval` and `setImmediate` give in mode `virtual`: what Node's give. */
export class VirtualTimer {
  readonly #guarded: Guarded
  readonly #millis: number
  readonly #repeats: boolean
  readonly #run: (timer: VirtualTimer) => void
  #cancel: () => void
  #over = false

  constructor(
    guarded: Guarded,
    millis: number,
    repeats: boolean,
    run: (timer: VirtualTimer) => void,
  ) {
    this.#guarded = guarded
    this.#millis = millis
    this.#repeats = repeats
    this.#run = run
    this.#cancel = this.#arm()
  }

  /** Ends it: it doesn't fire any more. */
  close(): void {
    this.#over = true
    this.#cancel()
  }

  /** Starts its delay anew, also when it has fired. */
  refresh(): this {
    this.#cancel()
    if (!this.#over) this.#cancel = this.#arm()
    return this
  }

  /** Without effect: a simulation ends when its test does. */
  ref(): this {
    return this
  }

  /** Without effect: a simulation ends when its test does. */
  unref(): this {
    return this
  }

  /** Always true. */
  hasRef(): boolean {
    return true
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #arm(): () => void {
    return this.#guarded.timer(this.#millis, () => {
      // Before `run`, which may throw, or end the timer.
      if (this.#repeats) this.#cancel = this.#arm()
      this.#run(this)
    })
  }
}

function subject(kind: Kind, owner: string, key: string, answer: Subject["answer"]): Subject {
  const name = `${owner === "" ? key : `${owner}.${key}`}()`
  return { owner, key, kind, what: () => name, answer }
}

function construction(key: string): Subject {
  return { owner: "", key, kind: "network", what: () => `new ${key}()`, answer: undefined }
}

function dateCall({ newTarget, args }: Call): string | undefined {
  if (newTarget === undefined) return "Date()"
  return args.length === 0 ? "new Date()" : undefined
}

function date({ wall }: Guarded, { original, newTarget }: Call): unknown {
  const made = Reflect.construct(original, [wall()], newTarget ?? original)
  return newTarget === undefined ? String(made) : made
}

function nanos(millis: number): bigint {
  return BigInt(Math.round(millis * 1e6))
}

function hrtime({ now }: Guarded, { args: [since] }: Call): [number, number] {
  const [seconds, rest] = (since ?? [0, 0]) as [number, number]
  const total = nanos(now())
  const whole = Number(total / 1_000_000_000n) - seconds
  const part = Number(total % 1_000_000_000n) - rest
  return part < 0 ? [whole - 1, part + 1e9] : [whole, part]
}

/** As much of Temporal as is needed here; the library's types don't have it yet. */
interface Temporal {
  readonly Instant: { readonly fromEpochMilliseconds: (millis: number) => Instant }
  readonly Now: { readonly timeZoneId: () => string }
}

interface Instant {
  readonly toZonedDateTimeISO: (zone: unknown) => ZonedDateTime
}

interface ZonedDateTime {
  readonly toPlainDate: () => unknown
  readonly toPlainTime: () => unknown
  readonly toPlainDateTime: () => unknown
}

function temporal(): Temporal {
  return (globalThis as unknown as { readonly Temporal: Temporal }).Temporal
}

function instant(wall: number): Instant {
  return temporal().Instant.fromEpochMilliseconds(Math.floor(wall))
}

function zoned({ wall }: Guarded, { args: [zone] }: Call): ZonedDateTime {
  return instant(wall()).toZonedDateTimeISO(zone === undefined ? temporal().Now.timeZoneId() : zone)
}

/**
 * At least 1 ms, as on Node: a loop that waits for 0 ms at a time would stop virtual time for good. Too
 * long a delay is 1 ms too, since that is what a real host makes of it.
 */
function delay(millis: unknown): number {
  const number = Number(millis)
  return number >= 1 && number <= DELAY_MAX ? Math.trunc(number) : 1
}

function start(
  guarded: Guarded,
  name: string,
  f: unknown,
  millis: number,
  repeats: boolean,
  args: ReadonlyArray<unknown>,
): VirtualTimer {
  if (typeof f !== "function") throw new TypeError(`${name} takes a function, not ${typeof f}`)
  return new VirtualTimer(guarded, millis, repeats, (timer) => void Reflect.apply(f, timer, args))
}

function abortAfter({ timer }: Guarded, { args: [millis] }: Call): AbortSignal {
  const number = Number(millis)
  if (!(number >= 0 && number <= Number.MAX_SAFE_INTEGER)) {
    throw new TypeError(`AbortSignal.timeout takes milliseconds, not ${String(millis)}`)
  }
  const controller = new AbortController()
  timer(number, () =>
    controller.abort(new DOMException("The operation timed out.", "TimeoutError")),
  )
  return controller.signal
}

/** The 53 random bits that fit a number. */
function fraction({ uint32 }: Guarded): number {
  const high = uint32() >>> 5
  return (high * 2 ** 26 + (uint32() >>> 6)) / 2 ** 53
}

function randomValues({ uint32 }: Guarded, { original, self, args }: Call): unknown {
  // The real one first: it refuses what it can't fill.
  const filled = Reflect.apply(original, self, args) as ArrayBufferView
  fill(new Uint8Array(filled.buffer, filled.byteOffset, filled.byteLength), uint32)
  return filled
}

function uuid({ uint32 }: Guarded): string {
  const bytes = new Uint8Array(16)
  fill(bytes, uint32)
  // Version 4, of the variant of RFC 9562.
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")
}

function fill(bytes: Uint8Array, uint32: () => number): void {
  for (let i = 0; i < bytes.length; i += 4) {
    const word = uint32()
    for (let j = 0; j < 4 && i + j < bytes.length; j++) bytes[i + j] = word >>> (8 * j)
  }
}
