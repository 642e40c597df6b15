/**
 * What the demonstration runs 300 of: a counter. It counts apart what was added in each of its lives.
 * One that starts anew after a crash has a new life and nothing of the old; one that moves goes on with
 * its old life; and where a cluster finds two of the same name, their lives are put together again.
 *
 * @module
 */
import { type Definition, Process, type Self } from "skein"

/** What a counter holds. */
export interface State {
  /** Its life, drawn at random when the state was made. */
  readonly life: string
  /** What was added in each life that it knows of. */
  readonly lives: Record<string, number>
}

/** What a counter answers. */
export interface Reading extends State {
  /** The node that it runs on. */
  readonly node: string
}

/** What can be asked of a counter. */
export type Calls = {
  /** Answers with the life that it was added to. */
  readonly add: (self: Self<State>, by: number) => string
  readonly read: (self: Self<State>) => Reading
}

/** The keys of all counters. */
export const keys: ReadonlyArray<string> = Array.from({ length: 300 }, (_, i) => `c${i}`)

/** The counters that run in this program as they themselves say, whatever the registry thinks. */
export const serving: Set<string> = new Set()

/** The definition of a counter. */
export const Counter: Definition<
  "Counter",
  State,
  unknown,
  Calls,
  Record<never, never>
> = Process.define("Counter", {
  state: () => {
    const life = crypto.randomUUID().slice(0, 8)
    return { life, lives: { [life]: 0 } }
  },
  calls: {
    add: ({ state }, by: number) => {
      state.lives[state.life] = (state.lives[state.life] ?? 0) + by
      return state.life
    },
    read: ({ state, node }) => ({ ...state, node }),
  },
  handoff: {
    merge: (mine, theirs) => ({ ...mine, lives: { ...theirs.lives, ...mine.lives } }),
  },
  started: (self) => void serving.add(self.key),
  stopping: (self) => void serving.delete(self.key),
})
