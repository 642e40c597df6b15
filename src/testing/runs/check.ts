/**
 * Claims about a simulation: what must always hold, and what must have happened at some time for a test to
 * mean anything.
 *
 * @module
 */

/**
 * Looks at the simulation as it is now. A text, or false, says what is wrong; anything else is fine.
 */
export type Claim = () => unknown

/** What a check found wrong. */
export interface Complaint {
  readonly check: string
  readonly message: string
}

/** A claim didn't hold, or a simulation could not go on. */
export class SimulationFailed extends Error {
  readonly _tag: "SimulationFailed" = "SimulationFailed"
  /** Which check: one of the test's, or `one-owner`, `stuck`, `livelock`, `deadlock`. */
  readonly check: string
  /** When, in simulated milliseconds. */
  readonly atMillis: number
  readonly seed: number
  constructor(complaint: Complaint, atMillis: number, seed: number) {
    super(`${complaint.check} failed at ${seconds(atMillis)}: ${complaint.message}`)
    this.name = "SimulationFailed"
    this.check = complaint.check
    this.atMillis = atMillis
    this.seed = seed
  }
}

/** Milliseconds as people read them: `2.272 s`. */
export function seconds(millis: number): string {
  return `${(Math.round(millis) / 1_000).toFixed(3)} s`
}

/** The checks of one simulation. */
export class Checks {
  readonly #always = new Map<string, Claim>()
  readonly #sometimes = new Map<string, { claim: Claim | undefined; reached: boolean }>()

  /** From now on this must hold after everything that happens. */
  always(name: string, claim: Claim): void {
    this.#always.set(name, claim)
  }

  /** This must be so at least once: `claim` is looked at after everything that happens. */
  sometimes(name: string, claim: Claim | boolean): void {
    const known = this.#sometimes.get(name) ?? { claim: undefined, reached: false }
    this.#sometimes.set(name, known)
    if (typeof claim === "function") known.claim = claim
    else known.reached ||= claim
  }

  /** Looks at all of them: the first that doesn't hold. */
  look(): Complaint | undefined {
    for (const known of this.#sometimes.values())
      if (!known.reached && known.claim !== undefined)
        known.reached = complain(known.claim()) === undefined
    for (const [check, claim] of this.#always) {
      const message = complain(claim())
      if (message !== undefined) return { check, message }
    }
    return undefined
  }

  /** Which of the `sometimes` were so, and which never. */
  get reached(): ReadonlyMap<string, boolean> {
    return new Map([...this.#sometimes].map(([name, { reached }]) => [name, reached]))
  }
}

/** What a claim's answer says is wrong. */
export function complain(answer: unknown): string | undefined {
  if (answer === false) return "it doesn't hold"
  return typeof answer === "string" ? answer : undefined
}
