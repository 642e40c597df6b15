/**
 * Planned moves: nodes join and leave on slow and bad links, nobody dies. Nothing that was accepted may be
 * lost, doubled, or come out of order.
 */
import { Process } from "skein"
import { Simulation } from "skein/testing"

/** A log that several senders write to. */
const Log = Process.define("Log", {
  state: () => ({ entries: [] as Array<string> }),
  calls: {
    push: (self, entry: string) => self.state.entries.push(entry),
    all: (self) => self.state.entries,
  },
  casts: {
    note: (self, entry: string) => {
      self.state.entries.push(entry)
    },
  },
})

interface Model {
  /** For every log what has been accepted, and what may have been. */
  readonly sent: Map<string, { readonly sure: Set<string>; readonly maybe: Set<string> }>
  /** What each log said in the end. */
  readonly read: Map<string, ReadonlyArray<string>>
  next: number
  moves: number
}

const KEYS = 6

export const moves: Simulation.Simulation = Simulation.make<Model>({
  name: "moves",
  processes: [Log],
  faults: ["join", "leave", "delay", "reset", "mtu", "queue"],
  lengthMax: "3 seconds",
  nodes: { min: 2, max: 5 },
  stepsMax: 40,
  knobs: { passive: [0, 1] },
  options: (_, { passive }) => ({ rebalance: passive === 1 ? "passive" : "active" }),
  model: () => ({ sent: new Map(), read: new Map(), next: 0, moves: 0 }),
  operations: {
    start: async ({ node, n, model }) => {
      const key = `log-${n % KEYS}`
      await node.start(Log, key)
      if (!model.sent.has(key)) model.sent.set(key, { sure: new Set(), maybe: new Set() })
    },
    push: async ({ node, n, model }) => {
      const key = `log-${n % KEYS}`
      const sent = model.sent.get(key)
      if (sent === undefined) return
      // Several at once, so that some are on their way when a move begins.
      const calls = Array.from({ length: 3 }, async () => {
        const entry = `${node.name} ${model.next++}`
        sent.maybe.add(entry)
        await node.ref(Log, key).push(entry)
        sent.sure.add(entry)
      })
      await Promise.all(calls)
    },
    note: ({ node, n, model }) => {
      const key = `log-${n % KEYS}`
      const sent = model.sent.get(key)
      if (sent === undefined || !node.running) return
      for (let i = 0; i < 5; i++) {
        const entry = `${node.name} ${model.next++}`
        sent.maybe.add(entry)
        node.ref(Log, key).cast.note(entry)
      }
    },
  },
  eventually: {
    "every log is there once": ({ sim, model }) => {
      for (const key of model.sent.keys()) {
        const owners = sim.owners(Log, key)
        if (owners.length !== 1) return `${key} is at ${owners.join(" ") || "nobody's"}`
      }
      return undefined
    },
    "nothing is lost, doubled or out of order": ({ sim, model }) => {
      for (const [key, { sure, maybe }] of model.sent) {
        const log = sim.state(Log, key)
        if (log === undefined) return `${key} has no state`
        const wrong = fault(log.entries, sure, maybe)
        if (wrong !== undefined) return `${key}: ${wrong}`
      }
      return undefined
    },
  },
  excuse: ({ sim }) =>
    sim.events.some(({ event }) => event._tag === "MemberDown" && event.reason === "silent")
      ? "a node was taken for dead"
      : undefined,
  sometimes: {
    "a log moved while messages for it were under way": ({ sim, model }) => {
      const last = sim.events.at(-1)?.event
      if (last?._tag === "ProcessesArrived" && sim.waiting.length > 0) model.moves++
      return model.moves > 0
    },
  },
})

function fault(
  entries: ReadonlyArray<string>,
  sure: ReadonlySet<string>,
  maybe: ReadonlySet<string>,
): string | undefined {
  const seen = new Set<string>()
  const last = new Map<string, number>()
  for (const entry of entries) {
    if (seen.has(entry)) return `${entry} came twice`
    if (!maybe.has(entry)) return `${entry} came from nowhere`
    seen.add(entry)
    const [sender = "", number = ""] = entry.split(" ")
    if (Number(number) < (last.get(sender) ?? -1))
      return `${entry} came after ${sender} ${last.get(sender)}`
    last.set(sender, Number(number))
  }
  for (const entry of sure) if (!seen.has(entry)) return `${entry} was accepted and is lost`
  return undefined
}
