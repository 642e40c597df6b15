/**
 * 10,000 named processes with state on three nodes, each in an OS process of its own: a fourth node that
 * joins and leaves again, and one that is killed. This process runs a node without processes of its
 * own, which starts and calls them.
 *
 * @module
 */
import { type Node, type Ref, startNode } from "../../mod.ts"
import { tcp } from "../../transports/tcp.ts"
import type { Bench, Case, Context } from "./harness.ts"
import * as Harness from "./harness.ts"
import * as Channel from "./remote/channel.ts"
import type { Arrived } from "./remote/node.ts"
import { clock, Worker } from "./remote/processes.ts"

const NAMES = 10_000
const NODES = 3
const RUNS = 3
/** Names that are called all the time while they move, and how often. */
const WATCHED = 200
const POKE_MILLIS = 4

const cases: Record<string, Case> = {
  join: {
    better: "more",
    goal: 5_000,
    target: 10_000,
    peers: { Swarm: 370, Horde: 113 },
  },
  takeover: { better: "more", goal: 10_000, peers: { Swarm: 846, Horde: 1622 } },
  "pause-p99": { better: "less", goal: 25 },
  "alive-after": { better: "more", goal: NAMES, target: NAMES, peers: { Horde: 9683 } },
}

type Nodes = Map<string, Channel.Child>

/** Planned moves and takeovers. */
export const bench: Bench = {
  name: "handoff",
  cases,
  run: (context) =>
    Channel.withChildren(async (start) => {
      const transport = tcp({ port: 0 })
      await using node = await startNode({ name: "observer", transport, cookie: "bench" })
      const nodes: Nodes = new Map()
      const add = async (name: string): Promise<Channel.Child> => {
        const child = start("node")
        nodes.set(name, child)
        await child.ask("start", { name, connect: [node.address] })
        return child
      }
      for (let i = 0; i < NODES; i++) await add(`node-${i}`)
      await Promise.all([...nodes.values()].map((child) => child.ask("members", NODES + 1)))
      await Promise.all([...nodes.values()].map((child) => child.ask("quiet")))
      context.note(`starting ${NAMES} processes`)
      const refs = await populate(node, nodes)
      const { rates, pauses } = await joins(context, node, nodes, refs, add)
      const { takeovers, living } = await kills(context, node, nodes, refs, add)
      return [
        Harness.result("join", "names/s", rates),
        Harness.result("takeover", "names/s", takeovers),
        Harness.result("pause-p99", "ms", pauses),
        Harness.result("alive-after", "names", living),
      ]
    }),
}

type Add = (name: string) => Promise<Channel.Child>

async function populate(node: Node, nodes: Nodes): Promise<ReadonlyArray<Ref<typeof Worker>>> {
  const refs: Array<Ref<typeof Worker>> = []
  for (let i = 0; i < NAMES; i += 500) {
    const batch = Array.from({ length: 500 }, (_, j) => node.start(Worker, String(i + j)))
    refs.push(...(await Promise.all(batch)))
  }
  await settled(nodes)
  return refs
}

/** Waits until every node has the workers that the ring gives it, and no others. */
async function settled(nodes: Nodes): Promise<void> {
  const argument = { count: NAMES, names: [...nodes.keys()] }
  await Promise.all([...nodes.values()].map((child) => child.ask("settled", argument)))
}

// --- planned moves -------------------------------------------------------------------------------

/**
 * Names that a joining node gets per second, from when it serves until the last has come. Every second
 * join happens under calls, and tells the pauses instead.
 */
async function joins(
  context: Context,
  node: Node,
  nodes: Nodes,
  refs: ReadonlyArray<Ref<typeof Worker>>,
  add: Add,
): Promise<{ rates: ReadonlyArray<number>; pauses: ReadonlyArray<number> }> {
  const rates: Array<number> = []
  const pauses: Array<number> = []
  for (let i = -1; i < RUNS; i++) {
    context.note(i < 0 ? "joins: warming up" : `join ${i + 1} of ${RUNS}, quiet and under calls`)
    const rate = await join(`quiet-${i}`, nodes, add)
    const pause = await under(node, refs, () => join(`busy-${i}`, nodes, add))
    if (i < 0) continue
    rates.push(rate)
    pauses.push(pause)
  }
  return { rates, pauses }
}

/** A node comes and, once it has its names, goes again. */
async function join(name: string, nodes: Nodes, add: Add): Promise<number> {
  const child = await add(name)
  await settled(nodes)
  const servesAt = await child.ask<number>("servesAt")
  const { count, lastAt } = await child.ask<Arrived>("arrived")
  await child.ask("leave")
  nodes.delete(name)
  await child.kill()
  await settled(nodes)
  return (count / (lastAt - servesAt)) * 1000
}

/**
 * Calls some names again and again meanwhile; the p99 over those that moved of the longest time, in
 * milliseconds, that any call to them took.
 */
async function under(
  node: Node,
  refs: ReadonlyArray<Ref<typeof Worker>>,
  body: () => Promise<unknown>,
): Promise<number> {
  const watched = Array.from({ length: WATCHED }, (_, i) => refs[i * (NAMES / WATCHED)]!)
  const from = watched.map((ref) => node.whereis(Worker, ref.key)?.node)
  const moved = new Set<number>()
  const longest = new Float64Array(WATCHED)
  const calling = new Uint8Array(WATCHED)
  const poke = (i: number): void => {
    if (calling[i] === 1) return
    calling[i] = 1
    const begin = performance.now()
    watched[i]!.poke().finally(() => {
      calling[i] = 0
      longest[i] = Math.max(longest[i]!, performance.now() - begin)
      if (node.whereis(Worker, watched[i]!.key)?.node !== from[i]) moved.add(i)
    })
  }
  const timer = setInterval(() => {
    for (let i = 0; i < WATCHED; i++) poke(i)
  }, POKE_MILLIS)
  try {
    await body()
  } finally {
    clearInterval(timer)
  }
  while (calling.includes(1)) await new Promise((resolve) => setTimeout(resolve, 1))
  if (moved.size === 0) throw new Error("none of the watched names moved")
  return Harness.percentile(
    [...moved].map((i) => longest[i]!),
    0.99,
  )
}

// --- crashes -------------------------------------------------------------------------------------

/**
 * Names per second that come back after a kill -9, from when the first survivor knows (the observer is
 * told, or the first name is back) to the last name; and how many are alive then.
 */
async function kills(
  context: Context,
  node: Node,
  nodes: Nodes,
  refs: ReadonlyArray<Ref<typeof Worker>>,
  add: Add,
): Promise<{ takeovers: ReadonlyArray<number>; living: ReadonlyArray<number> }> {
  const takeovers: Array<number> = []
  const living: Array<number> = []
  for (let i = -1; i < RUNS; i++) {
    context.note(i < 0 ? "kills: warming up" : `kill ${i + 1} of ${RUNS}`)
    const [victim, child] = nodes.entries().next().value!
    nodes.delete(victim)
    await Promise.all([...nodes.values()].map((other) => other.ask("began")))
    const noticed = noticing(node, victim)
    await child.kill()
    const downAt = await noticed
    await settled(nodes)
    const rate = await rateOf(nodes, downAt)
    if (i >= 0) takeovers.push(rate)
    living.push(await count(nodes, refs))
    await add(`spare-${i}`)
    await settled(nodes)
  }
  return { takeovers, living }
}

/** When the node is told that a member is down. */
async function noticing(node: Node, victim: string): Promise<number> {
  for await (const event of node.events()) {
    if (event._tag === "MemberDown" && event.node === victim) break
  }
  return clock()
}

async function rateOf(nodes: Nodes, downAt: number): Promise<number> {
  const ask = (child: Channel.Child): Promise<Arrived> => child.ask("arrived")
  const arrived = (await Promise.all([...nodes.values()].map(ask))).filter(({ count }) => count > 0)
  const firstAt = Math.min(downAt, ...arrived.map((each) => each.firstAt))
  const lastAt = Math.max(...arrived.map((each) => each.lastAt))
  return (arrived.reduce((sum, each) => sum + each.count, 0) / (lastAt - firstAt)) * 1000
}

/** Processes that live on some node; fewer when some names don't answer. */
async function count(nodes: Nodes, refs: ReadonlyArray<Ref<typeof Worker>>): Promise<number> {
  let answering = 0
  for (let i = 0; i < refs.length; i += 1000) {
    const tries = await Promise.all(refs.slice(i, i + 1000).map((ref) => ref.try.poke()))
    answering += tries.filter(({ ok }) => ok).length
  }
  const here = await Promise.all([...nodes.values()].map((child) => child.ask<number>("alive")))
  const living = here.reduce((sum, each) => sum + each, 0)
  return answering < NAMES ? answering : living
}
