/**
 * Looking at something again and again, for as long as there is something to look at.
 *
 * @module
 */
import type { Platform } from "./platform.ts"

/** One timer, armed only while it is needed. */
export class Sweep {
  readonly #platform: Platform
  readonly #everyMillis: number
  readonly #look: () => boolean
  #armed = false

  /** `look` is called `everyMillis` after {@link later}, and says whether to look once more. */
  constructor(platform: Platform, everyMillis: number, look: () => boolean) {
    this.#platform = platform
    this.#everyMillis = everyMillis
    this.#look = look
  }

  /** There is something to look at, from now on. */
  later(): void {
    if (this.#armed) return
    this.#armed = true
    this.#platform.timer(this.#everyMillis, () => {
      this.#armed = false
      if (this.#look()) this.later()
    })
  }
}
