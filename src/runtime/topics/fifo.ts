/**
 * First in, first out, at the same cost however many there are.
 *
 * @module
 */

interface Place<A> {
  readonly value: A
  next: Place<A> | undefined
}

/** What waits, in the order in which it came. */
export class Fifo<A> {
  /** How many there are. */
  size = 0
  #first: Place<A> | undefined
  #last: Place<A> | undefined

  /** Puts one more behind the others. */
  push(value: A): void {
    const place: Place<A> = { value, next: undefined }
    if (this.#last === undefined) this.#first = place
    else this.#last.next = place
    this.#last = place
    this.size++
  }

  /** Takes the first one out. */
  shift(): A | undefined {
    const place = this.#first
    if (place === undefined) return undefined
    this.#first = place.next
    if (this.#first === undefined) this.#last = undefined
    this.size--
    return place.value
  }

  /** Takes all of them out. */
  clear(): void {
    this.size = 0
    this.#first = undefined
    this.#last = undefined
  }
}
