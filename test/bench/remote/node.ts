/**
 * A node in an OS process of its own, as a benchmark's child.
 *
 * @module
 */
import { type Node, startNode } from "../../../mod.ts"
import { serve } from "./channel.ts"
import { alive, arrivals, began, clock, Echo, Idle, Worker } from "./processes.ts"
import { transport } from "./transport.ts"

/** What the command `start` takes. */
export interface StartArgument {
  readonly name: string
  readonly connect: ReadonlyArray<string>
}

/** What the command `settled` takes: the number of workers, whose keys count from 0, and the nodes. */
export interface SettledArgument {
  readonly count: number
  readonly names: ReadonlyArray<string>
}

/** What the command `arrived` answers. Times are of the shared clock. */
export interface Arrived {
  readonly count: number
  readonly firstAt: number
  readonly lastAt: number
}

let node: Node | undefined
let servesAt = 0

serve({
  /** Starts the node; resolves once it serves, to its address. */
  start: async ({ name, connect }: StartArgument) => {
    const processes = [Echo, Idle, Worker]
    node = await startNode({
      ...{ name, connect, processes, cookie: "bench" },
      transport: transport(),
    })
    servesAt = clock()
    return node.address
  },
  servesAt: () => servesAt,
  /** Resolves once this many members are up, this node included. */
  members: (count: number) =>
    until(
      () =>
        running()
          .members()
          .filter(({ status }) => status === "up").length === count,
      10,
    ),
  /** Resolves once all members agree on the ring and nothing is on the move. */
  quiet: () => running().settled(),
  /** Resolves once the node knows this many names. */
  names: (count: number) => until(() => running().count() === count),
  /** Resolves once the node knows a member of this group. */
  member: (group: string) => until(() => running().group(group).count > 0),
  began,
  arrived: (): Arrived => ({ ...arrivals }),
  /** Resolves once the ring has these members and exactly the workers are here that it says. */
  settled: (argument: SettledArgument) => until(() => settled(argument), 50),
  alive: () => alive.size,
  leave: () => running().leave(),
})

function running(): Node {
  if (node === undefined) throw new Error("BUG: the node isn't started")
  return node
}

function settled({ count, names }: SettledArgument): boolean {
  const members = new Set<string>()
  let mine = 0
  for (let i = 0; i < count; i++) {
    const key = String(i)
    const owner = running().nodeFor(Worker, key)
    if (owner === undefined) return false
    members.add(owner)
    if (owner !== running().name) continue
    if (!alive.has(key)) return false
    mine++
  }
  const same = members.size === names.length && names.every((name) => members.has(name))
  return same && alive.size === mine
}

/** Looks again and again, in every turn of the event loop unless told otherwise. */
async function until(condition: () => boolean, pauseMillis = 0): Promise<void> {
  while (!condition()) {
    await new Promise((resolve) => {
      if (pauseMillis > 0) setTimeout(resolve, pauseMillis)
      else setImmediate(resolve)
    })
  }
}
