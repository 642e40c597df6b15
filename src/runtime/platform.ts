/**
 * What a node takes from the machine it runs on: time, timers, randomness. Nothing in the runtime
 * reads these anywhere else, so that a simulated node differs from a real one in this value only.
 *
 * @module
 */
import * as Context from "effect/Context"

/** Time, timers and randomness of one node. */
export interface Platform {
  /** Monotonic milliseconds, possibly fractional. */
  readonly now: () => number
  /** Unix milliseconds. */
  readonly wall: () => number
  /** Runs `f` once after at least `millis`; the result cancels it. */
  readonly timer: (millis: number, f: () => void) => () => void
  /** Runs `f` after the current turn's microtasks. */
  readonly defer: (f: () => void) => void
  /** Uniform random bytes fit for nonces. */
  readonly randomBytes: (count: number) => Uint8Array
  /**
   * Runs `f` when everything here is about to be gone without being asked, if the host tells: it must be done when it
   * returns. Those that came first run first. The result undoes that. Default: it is never told.
   */
  readonly ending?: (f: () => void) => () => void
}

/** The real machine. */
export const live: Platform = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer: (millis, f) => {
    // Longer delays overflow the hosts' 31-bit timers and would fire at once.
    const id = setTimeout(f, Math.min(Math.max(0, Math.ceil(millis)), 0x7fff_ffff))
    return () => clearTimeout(id)
  },
  defer: deferring(),
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  ending,
}

/** The platform a node is started on: the live one unless a simulation provides another. */
export const Platform: Context.Reference<Platform> = Context.Reference<Platform>("skein/Platform", {
  defaultValue: () => live,
})

function deferring(): (f: () => void) => void {
  const host = globalThis as { setImmediate?: (f: () => void) => unknown }
  if (typeof host.setImmediate === "function") return (f) => void host.setImmediate?.(f)
  return (f) => void setTimeout(f, 0)
}

/** A page is closed, or goes to another one. */
function ending(f: () => void): () => void {
  const page = globalThis as unknown as {
    readonly document?: unknown
    addEventListener(type: "pagehide", run: (event: Event) => void): void
    removeEventListener(type: "pagehide", run: (event: Event) => void): void
  }
  if (page.document === undefined) return () => {}
  const hidden = (event: Event): void => {
    // One that may come back is only asleep.
    if ((event as { readonly persisted?: boolean }).persisted !== true) f()
  }
  page.addEventListener("pagehide", hidden)
  return () => page.removeEventListener("pagehide", hidden)
}

/** A uniform random uint32. */
export function uint32(platform: Platform): number {
  const bytes = platform.randomBytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
}
