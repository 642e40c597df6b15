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

/** Planned moves and takeovers. */
export const bench: Bench = {
  name: "handoff",
  cases,
  async run(context) {
    const { rates, pauses } = await joins(context)
    const takeovers: Array<number> = []
    const living: Array<number> = []
    for (let i = -1; i < RUNS; i++) {
      context.note(i < 0 ? "kills: warming up" : `kill ${i + 1} of ${RUNS}`)
      const { rate, count } = await kill()
      if (i >= 0) takeovers.push(rate)
      living.push(count)
    }
    return [
      Harness.result("join", "names/s", rates),
      Harness.result("takeover", "names/s", takeovers),
      Harness.result("pause-p99", "ms", pauses),
      Harness.result("alive-after", "names", living),
    ]
  },
}

/** The nodes that hold processes, and how this process reaches them. */
interface Cluster {
  readonly node: Node
  readonly nodes: Map<string, Channel.Child>
  readonly refs: ReadonlyArray<Ref<typeof Worker>>
  /** Starts one more node; resolves once it serves. */
  readonly add: (name: string) => Promise<Channel.Child>
}

/** Runs `body` with a settled cluster in which all processes are running. */
function withCluster<A>(body: (cluster: Cluster) => Promise<A>): Promise<A> {
  return Channel.withChildren(async (start) => {
    const transport = tcp({ port: 0 })
    const node = await startNode({ name: "observer", transport, cookie: "bench" })
    try {
      const nodes = new Map<string, Channel.Child>()
      const add = async (name: string): Promise<Channel.Child> => {
        const child = start("node")
        await child.ask("start", { name, connect: [node.address] })
        nodes.set(name, child)
        return child
      }
      await Promise.all(Array.from({ length: NODES }, (_, i) => add(`node-${i}`)))
      const children = [...nodes.values()]
      await Promise.all(children.map((child) => child.ask("members", NODES + 1)))
      await Promise.all(children.map((child) => child.ask("quiet")))
      const refs: Array<Ref<typeof Worker>> = []
      for (let i = 0; i < NAMES; i += 500) {
        const batch = Array.from({ length: 500 }, (_, j) => node.start(Worker, String(i + j)))
        refs.push(...(await Promise.all(batch)))
      }
      const cluster = { node, nodes, refs, add }
      await settled(cluster)
      return await body(cluster)
    } finally {
      await node.stop()
    }
  })
}

/** Waits until every node has the workers that the ring gives it, and no others. */
async function settled({ nodes }: Cluster): Promise<void> {
  const argument = { count: NAMES, names: [...nodes.keys()] }
  await Promise.all([...nodes.values()].map((child) => child.ask("settled", argument)))
}

// --- planned moves -------------------------------------------------------------------------------

/**
 * Names that a joining node gets per second, from when it serves until the last has come. Every second
 * join happens under calls, and tells the pauses instead.
 */
function joins(
  context: Context,
): Promise<{ rates: ReadonlyArray<number>; pauses: ReadonlyArray<number> }> {
  return withCluster(async (cluster) => {
    const rates: Array<number> = []
    const pauses: Array<number> = []
    for (let i = -1; i < RUNS; i++) {
      context.note(i < 0 ? "joins: warming up" : `join ${i + 1} of ${RUNS}, quiet and under calls`)
      const rate = await join(`quiet-${i}`, cluster)
      const pause = await under(cluster, () => join(`busy-${i}`, cluster))
      if (i < 0) continue
      rates.push(rate)
      pauses.push(pause)
    }
    return { rates, pauses }
  })
}

/** A node comes and, once it has its names, goes again. */
async function join(name: string, cluster: Cluster): Promise<number> {
  const child = await cluster.add(name)
  await settled(cluster)
  const servesAt = await child.ask<number>("servesAt")
  const { count, lastAt } = await child.ask<Arrived>("arrived")
  await child.ask("leave")
  cluster.nodes.delete(name)
  await child.kill()
  await settled(cluster)
  return (count / (lastAt - servesAt)) * 1000
}

/**
 * Calls some names again and again meanwhile; the p99 over those that moved of the longest time, in
 * milliseconds, that any call to them took.
 */
async function under({ node, refs }: Cluster, body: () => Promise<unknown>): Promise<number> {
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
function kill(): Promise<{ rate: number; count: number }> {
  return withCluster(async (cluster) => {
    const { node, nodes } = cluster
    const [victim, child] = nodes.entries().next().value!
    nodes.delete(victim)
    await Promise.all([...nodes.values()].map((other) => other.ask("began")))
    const noticed = noticing(node, victim)
    await child.kill()
    const downAt = await noticed
    await settled(cluster)
    return { rate: await rateOf(cluster, downAt), count: await count(cluster) }
  })
}

/** When the node is told that a member is down. */
async function noticing(node: Node, victim: string): Promise<number> {
  for await (const event of node.events()) {
    if (event._tag === "MemberDown" && event.node === victim) break
  }
  return clock()
}

async function rateOf({ nodes }: Cluster, downAt: number): Promise<number> {
  const ask = (child: Channel.Child): Promise<Arrived> => child.ask("arrived")
  const arrived = (await Promise.all([...nodes.values()].map(ask))).filter(({ count }) => count > 0)
  const firstAt = Math.min(downAt, ...arrived.map((each) => each.firstAt))
  const lastAt = Math.max(...arrived.map((each) => each.lastAt))
  return (arrived.reduce((sum, each) => sum + each.count, 0) / (lastAt - firstAt)) * 1000
}

/** Processes that live on some node; fewer when some names don't answer. */
async function count({ nodes, refs }: Cluster): Promise<number> {
  let answering = 0
  for (let i = 0; i < refs.length; i += 1000) {
    const tries = await Promise.all(refs.slice(i, i + 1000).map((ref) => ref.try.poke()))
    answering += tries.filter(({ ok }) => ok).length
  }
  const here = await Promise.all([...nodes.values()].map((child) => child.ask<number>("alive")))
  const living = here.reduce((sum, each) => sum + each, 0)
  return answering < NAMES ? answering : living
}
