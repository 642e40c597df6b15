/**
 * The discovery strategies of one node: runs them, puts together what they find, and tells the core which
 * addresses are new and which are gone.
 *
 * @module
 */
import type { Context, Discovery } from "../../discovery/discovery.ts"
import { reasonOf } from "../errors.ts"
import type { NodeEvent } from "../events.ts"
import type { Parts } from "../parts.ts"
import { type Platform, uint32 } from "../platform.ts"

/** What the strategies need from the node, and what they tell it. */
export interface DiscoveriesOptions {
  readonly strategies: ReadonlyArray<Discovery>
  /** The cluster's name. */
  readonly cluster: string
  readonly cookie: string | undefined
  /** The address that others can dial; asked each time a strategy starts or finds something. */
  readonly address: () => string
  /** Addresses that no strategy gave before. Never the node's own. */
  readonly connect: (addresses: ReadonlyArray<string>) => void
  /** Addresses that no strategy gives any more. */
  readonly forget: (addresses: ReadonlyArray<string>) => void
  /** A strategy didn't start, or got no answer; it tries again. */
  readonly event: (event: Extract<NodeEvent, { readonly _tag: "DiscoveryFailed" }>) => void
}

/** How often something was found not to be for this node. */
export interface Ignored {
  /** The strategy's kind. */
  readonly discovery: string
  readonly reason: string
  readonly count: number
}

/** How soon a strategy that didn't start is started again at first; each time later, up to the other one. */
const RETRY_MILLIS = 1_000
const RETRY_MILLIS_MAX = 30_000
/** Addresses of one strategy that are used. */
const ADDRESSES_MAX = 1_024
/** Reasons that are counted apart; what comes after them is counted as `other`. */
const REASONS_MAX = 256

/** One strategy as it runs here. */
interface Run {
  readonly strategy: Discovery
  found: ReadonlyArray<string>
  retryMillis: number
  /** Ends what runs now: an attempt of the strategy, or the wait for the next one. */
  end: () => void
}

/** The strategies of one node. */
export class Discoveries {
  readonly #parts: Pick<Parts, "name" | "platform">
  readonly #options: DiscoveriesOptions
  readonly #runs: ReadonlyArray<Run>
  /** What the node was told of and is to know. */
  #known: ReadonlySet<string> = new Set()
  readonly #ignored = new Map<string, Ignored>()
  #closed = false

  constructor(parts: Pick<Parts, "name" | "platform">, options: DiscoveriesOptions) {
    this.#parts = parts
    this.#options = options
    this.#runs = options.strategies.map((strategy) => ({
      strategy,
      found: [],
      retryMillis: RETRY_MILLIS,
      end: () => {},
    }))
  }

  /** Starts all strategies. Call it once the node has its address and takes inputs. */
  start(): void {
    for (const run of this.#runs) this.#begin(run)
  }

  /** How often each strategy ignored something, by reason. */
  get ignored(): ReadonlyArray<Ignored> {
    return [...this.#ignored.values()]
  }

  /**
   * The node is about to leave: it stops to look and to show itself, and what was found is forgotten, so
   * that none of it is dialled any more.
   */
  leave(): void {
    this.close()
    this.#tell(new Set())
  }

  /** Ends all strategies at once and tells nobody. */
  close(): void {
    this.#closed = true
    for (const run of this.#runs) run.end()
  }

  // --- running a strategy ------------------------------------------------------------------------

  /** Starts a strategy; what is left of an attempt that failed can't act any more. */
  #begin(run: Run): void {
    if (this.#closed) return
    const attempt = new AbortController()
    run.end = () => attempt.abort()
    const failed = (error: unknown): void => {
      if (attempt.signal.aborted) return
      attempt.abort()
      this.#failed(run, error)
      this.#retry(run)
    }
    try {
      const begun = run.strategy.start(this.#context(run, attempt.signal))
      Promise.resolve(begun).catch(failed)
    } catch (error) {
      failed(error)
    }
  }

  #retry(run: Run): void {
    const { platform } = this.#parts
    const after = run.retryMillis * (0.75 + random(platform) / 2)
    run.retryMillis = Math.min(2 * run.retryMillis, RETRY_MILLIS_MAX)
    run.end = platform.timer(after, () => this.#begin(run))
  }

  #context(run: Run, signal: AbortSignal): Context {
    const { name, platform } = this.#parts
    const { cluster, cookie, address } = this.#options
    const live = (): boolean => !signal.aborted
    return {
      cluster,
      node: name,
      address: address(),
      cookie,
      signal,
      found: (addresses) => {
        if (live()) this.#found(run, addresses)
      },
      failed: (error) => {
        if (live()) this.#failed(run, error)
      },
      ignored: (reason) => {
        if (live()) this.#count(run.strategy.kind, reason)
      },
      now: platform.now,
      wall: platform.wall,
      timer: timers(platform, signal),
      random: () => random(platform),
    }
  }

  // --- what strategies say -----------------------------------------------------------------------

  #found(run: Run, addresses: ReadonlyArray<string>): void {
    const distinct = [...new Set(addresses)]
    if (distinct.length > ADDRESSES_MAX) {
      const problem = `${distinct.length} addresses were found, ${ADDRESSES_MAX} of them are used`
      this.#failed(run, problem)
    }
    run.found = distinct.slice(0, ADDRESSES_MAX)
    const all = new Set(this.#runs.flatMap(({ found }) => found))
    all.delete(this.#options.address())
    this.#tell(all)
  }

  #tell(all: ReadonlySet<string>): void {
    const before = this.#known
    this.#known = all
    const gone = [...before].filter((address) => !all.has(address))
    const come = [...all].filter((address) => !before.has(address))
    if (gone.length > 0) this.#options.forget(gone.sort())
    if (come.length > 0) this.#options.connect(come.sort())
  }

  #failed({ strategy }: Run, error: unknown): void {
    const { kind } = strategy
    this.#options.event({ _tag: "DiscoveryFailed", discovery: kind, reason: reasonOf(error) })
  }

  #count(discovery: string, reason: string): void {
    const key = JSON.stringify([discovery, reason])
    const known = this.#ignored.get(key)
    if (known === undefined && this.#ignored.size >= REASONS_MAX && reason !== "other") {
      return this.#count(discovery, "other")
    }
    this.#ignored.set(key, { discovery, reason, count: (known?.count ?? 0) + 1 })
  }
}

/** Timers that end with the signal. */
function timers(platform: Platform, signal: AbortSignal): Context["timer"] {
  const pending = new Set<() => void>()
  signal.addEventListener("abort", () => {
    for (const cancel of pending) cancel()
  })
  return (millis, run) => {
    if (signal.aborted) return () => {}
    const end = (): void => {
      pending.delete(end)
      cancel()
    }
    const cancel = platform.timer(millis, () => {
      pending.delete(end)
      run()
    })
    pending.add(end)
    return end
  }
}

function random(platform: Platform): number {
  return uint32(platform) / 2 ** 32
}
