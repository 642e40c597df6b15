/**
 * What is known of where a name lives.
 *
 * @module
 */

/**
 * Where a name lives, at the moment of the lookup. It is data: it can be kept, sent with a call, and
 * written as JSON (if its metadata can); what comes back is a plain object with these properties.
 */
export interface Location {
  /**
   * One life under this name: `node@epoch/process.time`, with the numbers in base 36. It changes when the
   * process is started anew or moves, and when an additional name is registered anew; never otherwise.
   * Two locations with equal ids mean the same life.
   */
  readonly id: string
  /**
   * The registered text. A process's is its definition, a slash and the text of its key, perhaps with its
   * supervisor and a colon, or `@`, in front; an additional name's is a slash and the text of its key.
   */
  readonly name: string
  /** The registered name of the process: `name` itself, unless that is an additional one. */
  readonly process: string
  readonly node: string
  /** When it was registered, in Unix milliseconds of its node. */
  readonly registeredAt: number
  /** Rises each time another node takes the name over. */
  readonly generation: number
  /** The user's metadata, a copy; undefined for none. `node.update` changes it. */
  readonly meta: unknown
}
