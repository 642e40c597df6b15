/**
 * What the examples of this directory test: the payments of one shop, kept in memory by one process that
 * any node can be asked for.
 *
 * @module
 */
import { type Definition, Process, type Self } from "skein"

/** The amounts in cents, by names that the payers chose. */
export interface Payments {
  readonly payments: Map<string, number>
}

/** What can be asked of a shop's ledger. */
export type Calls = {
  /** Notes a payment and returns the total. Who got no answer asks again: it counts once. */
  readonly pay: (self: Self<Payments>, name: string, cents: number) => number
  readonly total: (self: Self<Payments>) => number
  /** The names of all payments. */
  readonly payments: (self: Self<Payments>) => ReadonlyArray<string>
}

/** A shop's ledger. */
export const Ledger: Definition<"Ledger", Payments, undefined, Calls, object> = Process.define(
  "Ledger",
  {
    state: (): Payments => ({ payments: new Map() }),
    calls: {
      pay: (self: Self<Payments>, name: string, cents: number) => {
        self.state.payments.set(name, cents)
        return total(self.state)
      },
      total: (self: Self<Payments>) => total(self.state),
      payments: (self: Self<Payments>) => [...self.state.payments.keys()],
    },
    handoff: {
      // Both sides of a partition took payments: all of them were made, and each was made once.
      merge: (mine, theirs) => ({ payments: new Map([...theirs.payments, ...mine.payments]) }),
    },
  },
)

function total({ payments }: Payments): number {
  return [...payments.values()].reduce((sum, cents) => sum + cents, 0)
}
