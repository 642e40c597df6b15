/**
 * One node of the demonstration, a program of its own: it is told what to do by lines of JSON on its
 * standard input, and tells what it sees by lines of JSON on its standard output.
 *
 * @module
 */
import { createInterface } from "node:readline"
import { type Node, type NodeEvent, startNode } from "skein"
import { tcp } from "skein/transports/tcp"
import { Client, type Tally } from "./client.ts"
import { Counter, keys, type Reading, serving } from "./counter.ts"

/** How this node sees the cluster. */
export interface View {
  /** The node that looks. */
  readonly name: string
  /** Date.now() */
  readonly at: number
  readonly members: Record<string, string>
  /** The node that holds each counter, in the order of the keys; null for nobody. */
  readonly owners: ReadonlyArray<string | null>
  /** Counters that are not where the ring puts them. */
  readonly astray: number
  /** The keys of the counters that run here. */
  readonly serving: ReadonlyArray<string>
  /** Additions that this node's client had acknowledged. */
  readonly added: number
}

/** What this program tells. */
export type Report =
  | { readonly _tag: "View"; readonly view: View }
  | { readonly _tag: "Event"; readonly at: number; readonly event: NodeEvent }
  | { readonly _tag: "Done"; readonly id: number; readonly value: unknown }
  | { readonly _tag: "Failed"; readonly id: number; readonly reason: string }

/** What this program can be asked: its arguments and its answer. */
export interface Orders {
  /** Starts the node; answers with its address. */
  join: (name: string, connect: ReadonlyArray<string>) => string
  /** Starts all counters. */
  start: () => number
  load: (perSecond: number) => null
  quiet: () => Tally
  tally: () => Tally
  read: (keys: ReadonlyArray<string>) => ReadonlyArray<Reading>
  look: () => View
  leave: () => null
}

type Obey = {
  readonly [K in keyof Orders]: (
    ...args: Parameters<Orders[K]>
  ) => Promise<ReturnType<Orders[K]>> | ReturnType<Orders[K]>
}

const VIEW_MILLIS = 200
let node: Node
let client: Client
let looking = false

const obey: Obey = {
  join: async (name, connect) => {
    const cookie = process.env.DEMO_COOKIE
    node = await startNode({
      name,
      cookie,
      connect,
      transport: tcp({ port: 0 }),
      processes: [Counter],
    })
    client = new Client(node)
    void listen()
    setInterval(tellView, VIEW_MILLIS)
    tellView()
    return node.address
  },
  start: async () => (await Promise.all(keys.map((key) => node.start(Counter, key)))).length,
  load: (perSecond) => {
    client.load(perSecond)
    return null
  },
  quiet: () => client.quiet(),
  tally: () => client.tally,
  read: (wanted) => Promise.all(wanted.map((key) => client.read(key))),
  look: () => view(),
  leave: async () => {
    await node.leave()
    return null
  },
}

async function listen(): Promise<void> {
  for await (const event of node.events()) {
    if (event._tag === "ProcessStarted" || event._tag === "ProcessStopped") continue
    tell({ _tag: "Event", at: Date.now(), event })
    // Many events come at once: one view after all of them.
    if (!looking) setTimeout(tellView, 5)
    looking = true
  }
}

function tellView(): void {
  looking = false
  tell({ _tag: "View", view: view() })
}

function view(): View {
  const owners = keys.map((key) => node.whereis(Counter, key)?.node ?? null)
  return {
    name: node.name,
    at: Date.now(),
    members: Object.fromEntries(node.members().map(({ name, status }) => [name, status])),
    owners,
    astray: keys.filter((key, i) => owners[i] !== node.nodeFor(Counter, key)).length,
    serving: [...serving],
    added: client.tally.added,
  }
}

function tell(report: Report): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

async function carryOut(line: string): Promise<void> {
  const { id, order, args } = JSON.parse(line)
  try {
    const obeying = obey[order as keyof Orders] as (...args: ReadonlyArray<unknown>) => unknown
    tell({ _tag: "Done", id, value: await obeying(...args) })
  } catch (error) {
    tell({ _tag: "Failed", id, reason: String(error) })
  }
}

for await (const line of createInterface({ input: process.stdin })) void carryOut(line)
// Whoever gave the orders has no more, or is gone.
process.exit()
