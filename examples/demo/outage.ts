/**
 * Which calls had a right to fail: those to a node that didn't answer, while the caller's node couldn't
 * know it yet.
 *
 * @module
 */
import type { Failure, Tally } from "./client.ts"

/** A time in which a node didn't answer, and when each other node knew. */
export interface Outage {
  readonly victim: string
  /** Date.now() */
  readonly since: number
  readonly knownAt: ReadonlyMap<string, number>
}

/** The failures that nothing excuses, and by whose client. */
export function unexcused(
  tallies: ReadonlyMap<string, Tally>,
  outages: ReadonlyArray<Outage>,
): ReadonlyArray<Failure & { readonly by: string }> {
  return [...tallies].flatMap(([by, { failures }]) =>
    failures
      .filter((failure) => !outages.some((outage) => excuses(outage, by, failure)))
      .map((failure) => ({ ...failure, by })),
  )
}

/** Made to the victim before the caller's node knew, and not yet answered when it fell. */
function excuses({ victim, since, knownAt }: Outage, by: string, failure: Failure): boolean {
  const { owner, startedAt, millis } = failure
  const known = knownAt.get(by) ?? Number.NEGATIVE_INFINITY
  return owner === victim && startedAt <= known && startedAt + millis >= since
}
