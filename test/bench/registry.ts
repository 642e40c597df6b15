/**
 * The registry: registrations, their visibility on other nodes, memory and lookups, and starts of
 * processes that the ring places. Rates and visibility are measured with three nodes in three OS
 * processes; bytes with three nodes in this one, where garbage can be collected before weighing.
 *
 * @module
 */
import { type Node, type Ref, startNode } from "../../mod.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import type { Bench, Case, Result } from "./harness.ts"
import * as Harness from "./harness.ts"
import * as Channel from "./remote/channel.ts"
import { Echo, Idle } from "./remote/processes.ts"

const NAMES = 100_000
const STARTS = 20_000
/** Registrations and starts that wait for their answers at the same time. */
const IN_FLIGHT = 1000
const HOT = 1000
const LOOKUPS = 100_000
const RUNS = 3

const cases: Record<string, Case> = {
  "register-local": {
    better: "more",
    goal: 100_000,
    target: 200_000,
    peers: { syn: 40_000, pg: 47_000, Swarm: 53_000, Horde: 2500 },
  },
  "visible-after-last": {
    better: "less",
    goal: 10,
    peers: { syn: 2.6, pg: 6, Swarm: 37, Horde: 1900 },
  },
  "register-serialized": { better: "more", goal: 50_000, peers: { ":global": 1100 } },
  start: { better: "more", goal: 20_000, peers: { Swarm: 4800, Horde: 2000 } },
  lookup: { better: "less", goal: 100, peers: { syn: 600, ":global": 370, Swarm: 580 } },
  "lookup-random": { better: "less", goal: 400, peers: { syn: 1400, pg: 630, Horde: 1800 } },
  "bytes-per-name": {
    better: "less",
    goal: 300,
    target: 250,
    peers: { "syn, owner": 527, "syn, replica": 369, Swarm: 896, Horde: 1329 },
  },
}

/** Three nodes, 100,000 names. */
export const bench: Bench = {
  name: "registry",
  cases,
  run: (context) =>
    Channel.withChildren(async (start) => {
      const others = [start("node"), start("node")]
      const transport = tcp({ port: 0 })
      await using node = await startNode({
        name: "a",
        transport,
        processes: [Idle],
        cookie: "bench",
      })
      for (const [i, other] of others.entries()) {
        await other.ask("start", { name: `peer-${i}`, connect: [node.address] })
      }
      await Promise.all(others.map((other) => other.ask("members", 3)))
      await Promise.all([node.settled(), ...others.map((other) => other.ask("quiet"))])
      const refs = await own(node)
      context.note(`${NAMES} names, registered at once`)
      const local = await registerLocal(node, refs, others)
      context.note("lookups")
      const lookups = await lookUp(node)
      await unregister(node)
      context.note(`${NAMES} names, registered in one order for all nodes`)
      const serialized = await registerSerialized(node, refs)
      context.note(`${STARTS} processes`)
      const started = await starts(node)
      await node.stop()
      context.note("bytes")
      return [...local, serialized, started, ...lookups, await weigh()]
    }),
}

/** Processes of this node, to give names to: a hundred each. */
async function own(node: Node): Promise<ReadonlyArray<Ref<typeof Idle>>> {
  const refs: Array<Ref<typeof Idle>> = []
  for (let i = 0; refs.length < NAMES / 100; i++) {
    const key = `target-${i}`
    if (node.nodeFor(Idle, key) === node.name) refs.push(await node.start(Idle, key))
  }
  return refs
}

async function unregister(node: Node): Promise<void> {
  for (let i = 0; i < NAMES; i++) {
    node.unregister(nameOf(i))
    if (i % IN_FLIGHT === 0) await turn()
  }
}

/** Lets the node's sockets and timers have their turn: one that is silent for seconds is given up. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function nameOf(i: number): string {
  return `order-${String(i).padStart(10, "0")}`
}

/** The rate at the registering node, and the milliseconds until both others have told of the last. */
async function registerLocal(
  node: Node,
  refs: ReadonlyArray<Ref<typeof Idle>>,
  others: ReadonlyArray<Channel.Child>,
): Promise<ReadonlyArray<Result>> {
  const millis: Array<number> = []
  const plain: Array<number> = []
  const before = node.count()
  const runs = await Harness.repeat(RUNS, async () => {
    await unregister(node)
    await Promise.all(others.map((other) => other.ask("names", before)))
    plain.push(await inserts())
    const begin = performance.now()
    for (let i = 0; i < NAMES; i += IN_FLIGHT) {
      const batch = Array.from({ length: IN_FLIGHT }, (_, j) =>
        node.register(nameOf(i + j), refs[j]!, { mode: "local" }),
      )
      await Promise.all(batch)
      await turn()
    }
    const end = performance.now()
    // The question travels after the last name, by another way: its time is part of the figure.
    await Promise.all(others.map((other) => other.ask("names", before + NAMES)))
    millis.push(performance.now() - end)
    return (NAMES / (end - begin)) * 1000
  })
  return [
    Harness.result("register-local", "names/s", runs, {
      baseline: { name: "Map.set", median: Harness.median(plain.slice(1)) },
    }),
    Harness.result("visible-after-last", "ms", millis.slice(1)),
  ]
}

async function inserts(): Promise<number> {
  const begin = performance.now()
  const map = new Map<string, object>()
  for (let i = 0; i < NAMES; i++) map.set(nameOf(i), { i })
  return (map.size / (performance.now() - begin)) * 1000
}

async function registerSerialized(
  node: Node,
  refs: ReadonlyArray<Ref<typeof Idle>>,
): Promise<Result> {
  const runs = await Harness.repeat(RUNS, async () => {
    const begin = performance.now()
    await many(NAMES, (i) =>
      node.register(nameOf(i), refs[i % refs.length]!, { mode: "serialized" }),
    )
    const rate = (NAMES / (performance.now() - begin)) * 1000
    await unregister(node)
    return rate
  })
  return Harness.result("register-serialized", "names/s", runs)
}

/** Processes started from one node, a third of them there. Stopping them isn't part of the figure. */
async function starts(node: Node): Promise<Result> {
  const runs = await Harness.repeat(RUNS, async () => {
    const begin = performance.now()
    await many(STARTS, (i) => node.start(Idle, String(i)))
    const rate = (STARTS / (performance.now() - begin)) * 1000
    await many(STARTS, (i) => node.stopProcess(Idle, String(i)))
    return rate
  })
  return Harness.result("start", "processes/s", runs)
}

/** Calls `one` with 0 to `count` - 1, {@link IN_FLIGHT} at a time. */
async function many(count: number, one: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const loop = async (): Promise<void> => {
    while (next < count) await one(next++)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, loop))
}

/** A name to where it lives, over few hot names and at random over all. */
async function lookUp(node: Node): Promise<ReadonlyArray<Result>> {
  const all = Array.from({ length: NAMES }, (_, i) => nameOf(i))
  const map = new Map(all.map((name, i) => [name, { i }]))
  const results: Array<Result> = []
  for (const [name, size] of [
    ["lookup", HOT],
    ["lookup-random", NAMES],
  ] as const) {
    // A fixed walk through all of them in no order: 7,919 is a prime.
    const walk = Uint32Array.from({ length: 1 << 16 }, (_, i) => (i * 7919 * 104_729) % size)
    const plain: Array<number> = []
    const runs: Array<number> = []
    for (let run = 0; run < 7; run++) {
      const found = await Harness.nanos(1, LOOKUPS, (operations) => {
        let hits = 0
        for (let i = 0; i < operations; i++) if (map.has(all[walk[i & 65_535]!]!)) hits++
        return hits
      })
      plain.push(...found)
      const located = await Harness.nanos(1, LOOKUPS, (operations) => {
        let hits = 0
        for (let i = 0; i < operations; i++) {
          if (node.whereis(all[walk[i & 65_535]!]!)?.node === node.name) hits++
        }
        return hits
      })
      runs.push(...located)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const baseline = { name: "Map.has", median: Harness.median(plain) }
    results.push(Harness.result(name, "ns", runs, { baseline }))
  }
  return results
}

/**
 * The greater of what one more name costs its owner (measured with one node) and each of the replicas
 * (the rest, measured with three nodes, by two).
 */
async function weigh(): Promise<Result> {
  const runs = await Harness.repeat(5, async () => {
    const owner = await weighed(1)
    const replica = ((await weighed(3)) - owner) / 2
    return Math.max(owner, replica)
  })
  return Harness.result("bytes-per-name", "bytes", runs)
}

/** Bytes per name in a cluster of so many nodes within this process, all of them together. */
async function weighed(size: number): Promise<number> {
  const hub = memoryHub()
  await using node = await startNode({ transport: memory(hub), processes: [Echo] })
  const ref = await node.start(Echo, "target")
  const others: Array<Node> = []
  for (let i = 1; i < size; i++) {
    others.push(await startNode({ transport: memory(hub), connect: [node.address] }))
  }
  const nodes = [node, ...others]
  await known(nodes, 1)
  await rest()
  const before = Harness.heapBytes()
  for (let i = 0; i < NAMES; i += IN_FLIGHT) {
    const batch = Array.from({ length: IN_FLIGHT }, (_, j) =>
      node.register(nameOf(i + j), ref, { mode: "local" }),
    )
    await Promise.all(batch)
  }
  await known(nodes, 1 + NAMES)
  await rest()
  const bytes = Harness.heapBytes() - before
  for (const other of others) await other.stop()
  return bytes / NAMES
}

/** What was sent and read, and an earlier cluster, must be garbage before anything is weighed. */
async function rest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 100))
  Harness.heapBytes()
  await new Promise((resolve) => setTimeout(resolve, 100))
}

async function known(nodes: ReadonlyArray<Node>, count: number): Promise<void> {
  while (nodes.some((node) => node.count() !== count)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
