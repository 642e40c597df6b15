/**
 * What becomes of a process that has ended: restart types and restart intensity, as in OTP's
 * supervisors. The history travels with a process when it moves, so that a crash loop can't escape
 * its limit by changing nodes.
 *
 * @module
 */

/** `permanent`: always restarted. `transient`: only after a crash. `temporary`: never. */
export type Type = "permanent" | "transient" | "temporary"

/** At most `max` restarts within `withinMillis`; one more ends the process for good. */
export interface Intensity {
  readonly max: number
  readonly withinMillis: number
}

/** Five restarts in ten seconds. */
export const intensity: Intensity = { max: 5, withinMillis: 10_000 }

/** `again` with the new history, `ended` as its type says, or `exceeded`: it crashes too often. */
export type Decision =
  | { readonly _tag: "Again"; readonly history: ReadonlyArray<number> }
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Exceeded"; readonly restarts: number }

/**
 * Decides whether a process that ended is started again.
 *
 * @param history times of earlier restarts, in milliseconds of the same clock as `now`, oldest first
 */
export function decide(
  type: Type,
  crashed: boolean,
  history: ReadonlyArray<number>,
  now: number,
  limit: Intensity = intensity,
): Decision {
  if (type === "temporary" || (type === "transient" && !crashed)) return { _tag: "Ended" }
  const recent = history.filter((at) => now - at < limit.withinMillis)
  if (recent.length >= limit.max) return { _tag: "Exceeded", restarts: recent.length }
  return { _tag: "Again", history: [...recent, now] }
}
