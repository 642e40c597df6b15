/**
 * Many prefixes, and which of them a text begins with: found by the beginnings of the text, and not by
 * looking at all prefixes.
 *
 * @module
 */
import * as Key from "../../core/key.ts"

interface Prefix {
  /** What every text begins with that this is a prefix of: one of these. */
  readonly heads: ReadonlyArray<string>
  readonly matches: (text: string) => boolean
}

/** A set of prefixes of keys, by their texts; the text of the empty string is the empty string. */
export class Prefixes {
  readonly #all = new Map<string, Prefix>()
  /** The texts of prefixes, by each of their heads. */
  readonly #byHead = new Map<string, Set<string>>()
  /** The lengths that heads have, or once had. */
  readonly #lengths = new Set<number>()

  /** Takes one in; nothing happens when it is there, or is the text of no key. */
  add(text: string): void {
    if (this.#all.has(text)) return
    const prefix = read(text)
    if (prefix === undefined) return
    this.#all.set(text, prefix)
    for (const head of prefix.heads) {
      const others = this.#byHead.get(head)
      if (others === undefined) this.#byHead.set(head, new Set([text]))
      else others.add(text)
      this.#lengths.add(head.length)
    }
  }

  /** Takes one out; nothing happens when it isn't there. */
  delete(text: string): void {
    const prefix = this.#all.get(text)
    if (prefix === undefined) return
    this.#all.delete(text)
    for (const head of prefix.heads) {
      const others = this.#byHead.get(head)
      others?.delete(text)
      if (others?.size === 0) this.#byHead.delete(head)
    }
  }

  /** The texts of those that the key of this text begins with. O(different lengths of them). */
  of(text: string): ReadonlyArray<string> {
    const found: Array<string> = []
    for (const length of this.#lengths) {
      if (length > text.length) continue
      for (const prefix of this.#byHead.get(text.slice(0, length)) ?? []) {
        if (this.#all.get(prefix)?.matches(text) === true) found.push(prefix)
      }
    }
    return found
  }
}

/** A prefix by its text, which may come from another node; undefined when it is none. */
function read(text: string): Prefix | undefined {
  // Every text begins with it; which of them are strings, the matcher tells.
  if (text === "") return { heads: [""], matches: Key.startsWith("") }
  try {
    const key = Key.parse(text)
    const heads = Key.spans(key).map(({ from }) => from)
    return { heads, matches: Key.startsWith(key) }
  } catch {
    return undefined
  }
}
