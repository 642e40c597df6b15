/**
 * How long a peer's acknowledgements take: the estimator of TCP's retransmission timer
 * (Jacobson 1988, RFC 6298).
 *
 * @module
 */
import type { Timing } from "./timing.ts"

/** Round trips of one link, in milliseconds. `smoothed` is negative before the first. */
export interface Rtt {
  smoothed: number
  variation: number
}

/** An estimator that has seen nothing. */
export function make(): Rtt {
  return { smoothed: -1, variation: 0 }
}

/** Takes one round trip in. */
export function sample(rtt: Rtt, millis: number): void {
  if (rtt.smoothed < 0) {
    rtt.smoothed = millis
    rtt.variation = millis / 2
    return
  }
  rtt.variation += (Math.abs(millis - rtt.smoothed) - rtt.variation) / 4
  rtt.smoothed += (millis - rtt.smoothed) / 8
}

/** How long to wait for an acknowledgement, in milliseconds, before others are asked. */
export function patience(rtt: Rtt | undefined, timing: Timing): number {
  const { probeMillis, ackMinMillis, ackMaxMillis } = timing
  // Helpers need the other half of the time.
  const max = Math.min(ackMaxMillis, probeMillis / 2)
  if (rtt === undefined || rtt.smoothed < 0) return max
  return Math.min(max, Math.max(ackMinMillis, rtt.smoothed + 4 * rtt.variation))
}
