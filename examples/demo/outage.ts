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

/** The failures that nothing excuses: not made to a node before it was known not to answer. */
export function unexcused(
  tallies: ReadonlyMap<string, Tally>,
  outages: ReadonlyArray<Outage>,
): ReadonlyArray<Failure & { readonly by: string }> {
  return [...tallies].flatMap(([by, { failures }]) =>
    failures
      .filter(
        ({ owner, startedAt }) => !outages.some((outage) => excuses(outage, by, owner, startedAt)),
      )
      .map((failure) => ({ ...failure, by })),
  )
}

function excuses(
  outage: Outage,
  by: string,
  owner: string | undefined,
  startedAt: number,
): boolean {
  const knownAt = outage.knownAt.get(by) ?? Number.NEGATIVE_INFINITY
  return owner === outage.victim && startedAt >= outage.since && startedAt <= knownAt
}
