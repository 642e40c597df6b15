/**
 * What the tabs share: tiles that count clicks, each of which lives in one of the tabs.
 *
 * @module
 */
import { type Definition, Process, type Self, Topic } from "skein"

/** How many clicks a tile has had. */
export interface Clicks {
  readonly n: number
}

/** Something that happened to a tile. */
export interface Change {
  readonly tile: string
  readonly n: number
  /** The tab in which it was clicked. */
  readonly by: string
}

/** What can be asked of a tile. */
export type Calls = {
  /** One more; how many there are now. */
  readonly click: (self: Self<Clicks>) => number
  readonly read: (self: Self<Clicks>) => number
}

/** The keys of all tiles. */
export const tiles: ReadonlyArray<string> = Array.from({ length: 48 }, (_, i) => `${i + 1}`)

/** Every tab is told of every change. */
export const Changes: Topic.Definition<Change> = Topic.define<Change>("changes")

/** The last count of each tile that this tab knows. */
export const known: Map<string, number> = new Map()

/** This tab has learnt of a count. */
export function learn(tile: string, n: number): void {
  known.set(tile, Math.max(n, known.get(tile) ?? 0))
}

/** A tile. */
export const Tile: Definition<"Tile", Clicks, undefined, Calls, object> = Process.define("Tile", {
  state: (): Clicks => ({ n: 0 }),
  calls: {
    click: (self: Self<Clicks>) => {
      self.state = { n: self.state.n + 1 }
      return self.state.n
    },
    read: ({ state }: Self<Clicks>) => state.n,
  },
  // A tile whose tab is gone without a word starts anew, in a tab that has seen what it counted.
  started: (self: Self<Clicks>) => {
    self.state = { n: Math.max(self.state.n, known.get(self.key) ?? 0) }
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
})
