/**
 * Texts in order, that come and go one at a time.
 *
 * @module
 */

/** Texts of one piece, when it is made; a piece of twice as many is cut in two. */
const PIECE = 512

/**
 * A set of texts in the order of their UTF-16 code units. It consists of short sorted pieces, so that one
 * that comes or goes moves few others: O(number / {@link PIECE}), and far less than a microsecond for a
 * hundred thousand.
 */
export class Sorted {
  /** None is empty, unless it is the only one. */
  readonly #pieces: Array<Array<string>> = []

  constructor(texts: Iterable<string>) {
    const all = [...texts].sort()
    for (let i = 0; i < all.length || i === 0; i += PIECE)
      this.#pieces.push(all.slice(i, i + PIECE))
  }

  /** Takes a text in; nothing happens when it is there. */
  add(text: string): void {
    const i = this.#pieceOf(text)
    const piece = this.#pieces[i] as Array<string>
    const at = place(piece, text)
    if (piece[at] === text) return
    piece.splice(at, 0, text)
    if (piece.length >= 2 * PIECE) this.#pieces.splice(i + 1, 0, piece.splice(PIECE))
  }

  /** Takes a text out; nothing happens when it isn't there. */
  delete(text: string): void {
    const i = this.#pieceOf(text)
    const piece = this.#pieces[i] as Array<string>
    const at = place(piece, text)
    if (piece[at] !== text) return
    piece.splice(at, 1)
    if (piece.length === 0 && this.#pieces.length > 1) this.#pieces.splice(i, 1)
  }

  /** The first text that isn't before `from`. */
  first(from: string): string | undefined {
    const i = this.#pieceOf(from)
    const piece = this.#pieces[i] as Array<string>
    return piece[place(piece, from)] ?? this.#pieces[i + 1]?.[0]
  }

  /** The texts from `from` on to before `to`. They must not come or go meanwhile. */
  *range(from: string, to: string): Generator<string> {
    let i = this.#pieceOf(from)
    let at = place(this.#pieces[i] as Array<string>, from)
    for (let piece = this.#pieces[i]; piece !== undefined; piece = this.#pieces[++i]) {
      for (; at < piece.length; at++) {
        const text = piece[at] as string
        if (text >= to) return
        yield text
      }
      at = 0
    }
  }

  /** The last piece that doesn't begin after the text, or the first one. */
  #pieceOf(text: string): number {
    let low = 0
    let high = this.#pieces.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((this.#pieces[middle]?.[0] as string) <= text) low = middle
      else high = middle
    }
    return low
  }
}

/** Where the text is in a sorted piece, or would be. */
function place(piece: ReadonlyArray<string>, text: string): number {
  let low = 0
  let high = piece.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((piece[middle] as string) < text) low = middle + 1
    else high = middle
  }
  return low
}
