/**
 * What the demonstration runs 300 of: a counter. It knows how much was added, and in which life: a
 * counter that starts anew has a new life, one that moves with its state goes on with its old one.
 *
 * @module
 */
import { type Definition, Process, type Self } from "skein"

/** What a counter holds. */
export interface State {
  n: number
  /** Drawn at random when the state is made. */
  readonly life: string
}

/** What a counter answers. */
export interface Reading extends State {
  /** The node that it runs on. */
  readonly node: string
}

/** What can be asked of a counter. */
export type Calls = {
  readonly add: (self: Self<State>, by: number) => Reading
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
  state: () => ({ n: 0, life: crypto.randomUUID().slice(0, 8) }),
  calls: {
    add: (self, by: number) => {
      self.state.n += by
      return reading(self)
    },
    read: (self) => reading(self),
  },
  started: (self) => void serving.add(self.key),
  stopping: (self) => void serving.delete(self.key),
})

function reading({ state, node }: Self<State>): Reading {
  return { n: state.n, life: state.life, node }
}
