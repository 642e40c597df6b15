/**
 * Whole nodes while others join and leave as planned, on slow links, and streams of messages are under way: each
 * arrives once and in the order of its sender, if at all, and each call is answered.
 *
 * @module
 */
import { type Definition, Process, type Self } from "../../mod.ts"
import type { SimEvent } from "../../src/testing/nodes/sim.ts"
import type { Scene, Turn } from "../../src/testing/runs/specification.ts"
import * as Simulation from "../../src/testing/simulation.ts"

interface Entries {
  readonly entries: Array<string>
}

type Calls = { readonly push: (self: Self<Entries>, entry: string) => number }
type Casts = { readonly note: (self: Self<Entries>, entry: string) => void }

/** A log of all that it was sent. */
const Log: Definition<"Log", Entries, undefined, Calls, Casts> = Process.define("Log", {
  state: (): Entries => ({ entries: [] }),
  calls: { push: (self: Self<Entries>, entry: string) => self.state.entries.push(entry) },
  casts: {
    note: (self: Self<Entries>, entry: string) => {
      self.state.entries.push(entry)
    },
  },
})

const KEYS = 6
const keyOf = (n: number): string => `log-${n % KEYS}`
/** Messages that each node sends to a log that begins to move. */
const STREAM = 6
/** Nodes that start together have one ring by then. */
const FORMED_MILLIS = 1_000
/** Calls of one operation. */
const CALLS = 3
/** No slow link excuses a call that isn't answered by then. */
const PATIENCE_MILLIS = 30_000

interface Sent {
  /** In the order of sending. */
  readonly all: Array<string>
  /** Those of which the sender was told that they arrived. */
  readonly sure: Set<string>
}

interface Model {
  /** What was sent to each log. */
  readonly sent: Map<string, Sent>
  /** Where each node has asked for which log: it has heard of it since. */
  readonly asked: Set<string>
  next: number
  /** So many events were looked at. */
  read: number
  /** Nodes that have had a ring since they started. */
  readonly ringed: Set<string>
  /** Who had only itself in its first ring. */
  alone: string | undefined
  /** What became of a call that wasn't answered. */
  unanswered: string | undefined
}

/** Whether packets of the plan under way come late by seconds, as they were lost and are sent again. */
let lossy = false

const suite: Simulation.Simulation = Simulation.make<Model>({
  name: "delivery",
  processes: [Log],
  nodes: { min: 2, max: 4 },
  horizon: "8 seconds",
  // No longer delays: messages that a move overtakes are waited for, but not for more than a second.
  faults: ["join", "leave", "mtu", "queue"],
  faultsMax: 20,
  lengthMax: "1500 millis",
  downMax: 1,
  knobs: { passive: [0, 1] },
  options: (_, { passive }) => ({ rebalance: passive === 1 ? "passive" : "active" }),
  model: () => ({
    ...{ sent: new Map(), asked: new Set(), ringed: new Set() },
    ...{ next: 0, read: 0, alone: undefined, unanswered: undefined },
  }),
  operations: {
    push: async (turn) => {
      await start(turn)
      await Promise.all(Array.from({ length: CALLS }, () => push(turn)))
    },
  },
  always: {
    "what moves is written to": (scene) => {
      const { sim, model } = scene
      for (; model.read < sim.events.length; model.read++) {
        const { node, event } = sim.events[model.read] as SimEvent
        if (event._tag === "HandoffStarted") rush(scene, event.processes)
        if (event._tag === "Stopped") model.ringed.delete(node)
        if (event._tag !== "RingChanged") continue
        if (!model.ringed.has(node) && event.nodes.length === 1 && sim.now > FORMED_MILLIS)
          model.alone = node
        model.ringed.add(node)
      }
    },
  },
  eventually: {
    "every call is answered": ({ sim, model }) => model.unanswered ?? sim.waiting[0],
    "every message arrives once and in order": ({ sim, model }) => {
      for (const [key, sent] of model.sent) {
        const log = sim.state(Log, key)
        const wrong = log === undefined ? "it is nowhere" : fault(log.entries, sent)
        if (wrong !== undefined) return `${key}: ${wrong}`
      }
      return undefined
    },
  },
  excuse: ({ sim, model }) => {
    if (sim.events.some(({ event }) => event._tag === "MemberDown"))
      return "a node was taken for dead"
    // Its first dials came to nothing: it serves by itself until it finds the others.
    if (model.alone !== undefined) return `${model.alone} began alone`
    // What comes when its process and then the node have left is passed on to links that end.
    return lossy && model.unanswered !== undefined
      ? "a call came after its node had left"
      : undefined
  },
  sometimes: {
    "a log moved": ({ sim }) => sim.events.at(-1)?.event._tag === "ProcessesArrived",
    "a log moved while calls waited": ({ sim }) =>
      sim.events.at(-1)?.event._tag === "ProcessesArrived" && sim.waiting.length > 0,
  },
})

/** The suite. */
export const delivery: Simulation.Simulation = {
  ...suite,
  with: (plan, keep, body) => {
    lossy = plan.noise.lossPpm > 0
    return suite.with(plan, keep, body)
  },
}

/** Every node that knows these logs writes to them. */
function rush(scene: Scene<Model>, names: ReadonlyArray<string>): void {
  for (const name of names) {
    const n = Number(name.slice(name.lastIndexOf("-") + 1))
    for (const node of scene.sim.nodes)
      if (scene.model.asked.has(`${node.name} ${keyOf(n)}`)) stream({ ...scene, node, n })
  }
}

/** Calls and casts in turn, as fast as they go. */
function stream(turn: Turn<Model>): void {
  const { sim, node, n } = turn
  for (let i = 0; i < STREAM && sim.serves(node); i++) {
    if (i % 2 === 0) void push(turn)
    else node.ref(Log, keyOf(n)).cast.note(entry(turn))
  }
}

/** Asks for the log once at each node: then the node has heard of it. */
async function start({ sim, node, n, model }: Turn<Model>): Promise<void> {
  if (sim.now < FORMED_MILLIS) await sim.advance(`${FORMED_MILLIS} millis`)
  const key = keyOf(n)
  const asked = `${node.name} ${key}`
  if (model.asked.has(asked)) return
  await node.start(Log, key)
  model.asked.add(asked)
  if (!model.sent.has(key)) model.sent.set(key, { all: [], sure: new Set() })
}

/** Something to send, and notes that it is sent. */
function entry({ node, n, model }: Turn<Model>): string {
  const text = `${node.name} ${model.next++}`
  model.sent.get(keyOf(n))?.all.push(text)
  return text
}

async function push(turn: Turn<Model>): Promise<void> {
  const { node, n, model } = turn
  const text = entry(turn)
  try {
    await node.ref(Log, keyOf(n)).with({ timeout: PATIENCE_MILLIS }).push(text)
    model.sent.get(keyOf(n))?.sure.add(text)
  } catch (error) {
    const { _tag, outcome } = error as { readonly _tag?: unknown; readonly outcome?: unknown }
    // A link that is too slow may be given up; then the caller is told that the node went away.
    if (_tag === "Timeout" || outcome === undefined)
      model.unanswered ??= `${node.name}: ${String(error)}`
  }
}

function fault(entries: ReadonlyArray<string>, { all, sure }: Sent): string | undefined {
  const came = new Set(entries)
  if (came.size < entries.length) return "something came twice"
  for (const text of sure) if (!came.has(text)) return `${text} was taken and is lost`
  const senderOf = (text: string): string => text.slice(0, text.indexOf(" "))
  for (const sender of new Set(all.map(senderOf))) {
    const sent = all.filter((text) => senderOf(text) === sender && came.has(text))
    const i = entries
      .filter((text) => senderOf(text) === sender)
      .findIndex((t, at) => t !== sent[at])
    if (i >= 0) return `${sent[i] ?? "something"} of ${sender} is out of order`
  }
  return undefined
}
