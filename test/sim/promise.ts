/**
 * What the tests of the README's promises have in common: seeds, faults, and a log that bears witness.
 *
 * @module
 */
import { Effect } from "effect"
import { Process } from "skein"
import type { Kind } from "skein/testing"

/** What a test runs with, one after the other. */
export const SEEDS: ReadonlyArray<number> = Array.from({ length: 10 }, (_, seed) => seed)

/** The link between the first two nodes. */
export const ab: readonly [number, number] = [0, 1]

/** What befalls nodes and their links, but for what only makes chunks small. */
export const faults: ReadonlyArray<Kind> = [
  ...(["partition", "isolate", "ring", "bridge", "oneway", "loss", "delay", "slow"] as const),
  ...(["clog", "swizzle", "reset", "halfOpen", "crash", "stop", "leave", "flap"] as const),
  ...(["restart", "pause", "suspend", "join"] as const),
]

interface Entries {
  readonly entries: Array<string>
}
type Self = Process.Self<Entries>
type Calls = {
  readonly push: (self: Self, entry: string) => number
  readonly all: (self: Self) => Array<string>
  readonly never: () => Effect.Effect<never>
}
type Casts = { readonly note: (self: Self, entry: string) => void }

/** A log, and what its handlers did, in order. */
export interface Witnessed {
  readonly ran: Array<{ readonly key: string; readonly entry: string }>
  readonly Log: Process.Definition<"Log", Entries, undefined, Calls, Casts>
}

/** A log whose handlers leave a witness outside of the simulation: it outlives all crashes. */
export function witnessed(): Witnessed {
  const ran: Array<{ readonly key: string; readonly entry: string }> = []
  const Log = Process.define("Log", {
    state: (): Entries => ({ entries: [] }),
    calls: {
      push: (self: Self, entry: string) => {
        ran.push({ key: self.key, entry })
        return self.state.entries.push(entry)
      },
      all: (self: Self) => self.state.entries,
      never: () => Effect.never,
    },
    casts: {
      note: (self: Self, entry: string) => {
        ran.push({ key: self.key, entry })
        self.state.entries.push(entry)
      },
    },
  })
  return { ran, Log }
}
