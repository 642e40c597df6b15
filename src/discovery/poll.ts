/**
 * Asking for addresses again and again: what strategies share that have somebody to ask.
 *
 * @module
 */
import type { Context } from "./discovery.ts"

/** What is asked, and how often. */
export interface Polling {
  /** About how long from one answer to the next question. Undefined: one answer is enough. */
  readonly periodMillis: number | undefined
  /** Asks once. */
  readonly look: () => ReadonlyArray<string> | Promise<ReadonlyArray<string>>
  /**
   * Whether a failure of `look` means that nobody is there: that is an answer, and the user is told of
   * it once in a row, as the name may be mistyped. Default: none does.
   */
  readonly nobody?: (error: unknown) => boolean
}

/** How soon a question that failed is asked again at first; each time later, up to the other one. */
const RETRY_MILLIS = 1_000
const RETRY_MILLIS_MAX = 30_000
/** A question without an answer for this long has failed: one that hangs must not end the looking. */
const ANSWER_MILLIS = 30_000

/**
 * Asks now, and again for as long as the context lasts. After a failure what was found stays, and the
 * next question comes sooner at first, then ever later. The result asks again at once.
 */
export function poll(context: Context, polling: Polling): () => void {
  const poller = new Poller(context, polling)
  poller.look()
  return () => poller.look()
}

/** The period that a strategy was given, or its default. Throws RangeError unless it is 1 or more. */
export function checkedPeriod(periodMillis: number): number {
  if (periodMillis >= 1) return periodMillis
  throw new RangeError(`periodMillis must be at least 1, got ${periodMillis}`)
}

class Poller {
  readonly #context: Context
  readonly #polling: Polling
  #retryMillis = RETRY_MILLIS
  /** The user knows that nobody is there. */
  #toldOfNobody = false
  #looking = false
  /** Asked to look while looking. */
  #again = false
  #cancel: () => void = () => {}

  constructor(context: Context, polling: Polling) {
    this.#context = context
    this.#polling = polling
  }

  look(): void {
    this.#again = this.#looking
    if (this.#looking) return
    this.#cancel()
    this.#looking = true
    this.#answer().then(
      (addresses) => this.#answered(addresses, false),
      (error) => this.#failed(error),
    )
  }

  #answer(): Promise<ReadonlyArray<string>> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`no answer within ${ANSWER_MILLIS} ms`))
      const cancel = this.#context.timer(ANSWER_MILLIS, late)
      // In a function of its own, as `look` may throw.
      const asked = async (): Promise<ReadonlyArray<string>> => await this.#polling.look()
      asked().finally(cancel).then(resolve, reject)
    })
  }

  #answered(addresses: ReadonlyArray<string>, nobody: boolean): void {
    this.#toldOfNobody = nobody
    this.#retryMillis = RETRY_MILLIS
    this.#context.found(addresses)
    this.#next(this.#polling.periodMillis)
  }

  #failed(error: unknown): void {
    const nobody = this.#polling.nobody?.(error) === true
    if (!nobody || !this.#toldOfNobody) this.#context.failed(error)
    if (nobody) return this.#answered([], true)
    const millis = this.#retryMillis
    this.#retryMillis = Math.min(2 * millis, RETRY_MILLIS_MAX)
    this.#next(millis)
  }

  #next(millis: number | undefined): void {
    this.#looking = false
    if (this.#again) return this.look()
    if (millis === undefined) return
    // From three quarters to five quarters of it, so that nodes started together don't ask together.
    const after = millis * (0.75 + this.#context.random() / 2)
    this.#cancel = this.#context.timer(after, () => this.look())
  }
}
