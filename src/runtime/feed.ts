/**
 * Streams of what happens, each with a bounded buffer: whoever reads too slowly is told what it lost.
 *
 * @module
 */

/** Events that wait for one reader at most; the oldest give way. */
export const EVENTS_MAX: number = 1024

/** One reader's stream of events, from its making until {@link close} or the end of the loop over it. */
export class Feed<E> implements AsyncIterableIterator<E> {
  readonly #lost: (count: number) => E
  readonly #left: () => void
  #buffer: Array<E> = []
  #dropped = 0
  #closed = false
  #waiting: Array<(result: IteratorResult<E>) => void> = []

  /** `lost` makes the event that says how many others there were; `left` is called when it ends. */
  constructor(lost: (count: number) => E, left: () => void) {
    this.#lost = lost
    this.#left = left
  }

  /** One more event. */
  push(event: E): void {
    if (this.#closed) return
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) return waiting({ value: event, done: false })
    this.#buffer.push(event)
    if (this.#buffer.length > EVENTS_MAX) {
      this.#buffer.shift()
      this.#dropped++
    }
  }

  /** No more events: it ends once those that wait are read. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#left()
    for (const waiting of this.#waiting) waiting({ value: undefined, done: true })
    this.#waiting = []
  }

  next(): Promise<IteratorResult<E>> {
    if (this.#dropped > 0) {
      const count = this.#dropped
      this.#dropped = 0
      return Promise.resolve({ value: this.#lost(count), done: false })
    }
    const event = this.#buffer.shift()
    if (event !== undefined) return Promise.resolve({ value: event, done: false })
    if (this.#closed) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(): Promise<IteratorResult<E>> {
    this.#buffer = []
    this.#dropped = 0
    this.close()
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<E> {
    return this
  }
}
