/**
 * The figures of failure detection.
 *
 * A member that falls silent is accused one probe period after the first probe it doesn't answer, and
 * removed one suspicion time later. So a stall of nearly `probeMillis + suspicionMillis` does no harm, and
 * a crash is noticed after a little more than that, whatever the size of the cluster.
 *
 * @module
 */

/** When the membership acts. All figures are milliseconds. */
export interface Timing {
  /** Each observer probes each of its subjects this often, and gives one probe this long. */
  readonly probeMillis: number
  /** An acknowledgement is waited for as long as earlier ones took, within these bounds. */
  readonly ackMinMillis: number
  readonly ackMaxMillis: number
  /** From the first accusation to the removal, for the member to refute it. */
  readonly suspicionMillis: number
  /** The same when its connections were closed and refused; twice that with a single observer. */
  readonly hardGraceMillis: number
  /** How often members that are gone and unreachable seeds are dialled. */
  readonly reconnectMillis: number
  /** Views that differ for this long are compared. */
  readonly syncMillis: number
}

/** For machines in one place, the default: a silent crash is noticed after 4.1 s. */
export const lan: Timing = {
  probeMillis: 1_000,
  ackMinMillis: 100,
  ackMaxMillis: 500,
  suspicionMillis: 3_000,
  hardGraceMillis: 250,
  reconnectMillis: 5_000,
  syncMillis: 500,
}

/** For processes of one machine: 1.1 s. */
export const local: Timing = {
  probeMillis: 250,
  ackMinMillis: 50,
  ackMaxMillis: 125,
  suspicionMillis: 750,
  hardGraceMillis: 100,
  reconnectMillis: 1_000,
  syncMillis: 250,
}

/** For machines far apart: 10.3 s. */
export const wan: Timing = {
  probeMillis: 2_000,
  ackMinMillis: 250,
  ackMaxMillis: 2_000,
  suspicionMillis: 8_000,
  hardGraceMillis: 1_000,
  reconnectMillis: 5_000,
  syncMillis: 1_000,
}
