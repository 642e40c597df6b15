/**
 * Addresses that are known beforehand, or that a function of yours finds out.
 *
 * @module
 */
import type { Context, Discovery } from "./discovery.ts"
import { checkedPeriod, poll } from "./poll.ts"

/** Options of {@link seeds}. */
export interface SeedsOptions {
  /** Asks the function about so often, in milliseconds. Default: until it has answered once. */
  readonly periodMillis?: number
}

/** Gives addresses, as a list or as the promise of one. A failure is reported, and it is asked again. */
export type Source = () => ReadonlyArray<string> | Promise<ReadonlyArray<string>>

/**
 * The strategy of a fixed list of addresses, or of a function that gives the list. What the function gave
 * last holds while it fails; no answer within 30 s is a failure.
 *
 * @throws RangeError for a period below 1
 */
export function seeds(
  addresses: ReadonlyArray<string> | Source,
  options: SeedsOptions = {},
): Discovery {
  const { periodMillis } = options
  if (periodMillis !== undefined) checkedPeriod(periodMillis)
  return {
    kind: "static",
    start: (context: Context): void => {
      if (typeof addresses === "function") poll(context, { periodMillis, look: addresses })
      else context.found(addresses)
    },
  }
}
