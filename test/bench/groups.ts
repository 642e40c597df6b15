/**
 * Groups: how fast one process joins many, when other nodes know, what a membership costs in memory, and
 * how long it takes to find the member for a key. Rates and visibility are measured with three nodes in
 * three OS processes; bytes with three nodes in this one, where garbage can be collected before weighing.
 *
 * @module
 */
import { type Group, type Node, type Ref, startNode } from "../../mod.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import type { Bench, Case, Result } from "./harness.ts"
import * as Harness from "./harness.ts"
import * as Channel from "./remote/channel.ts"
import { Echo, Idle } from "./remote/processes.ts"

const GROUPS = 100_000
/** Joins that wait for their answers at the same time. */
const IN_FLIGHT = 1000
const LOOKUPS = 20_000
const RUNS = 3

const cases: Record<string, Case> = {
  join: { better: "more", goal: 47_000, peers: { pg: 47_000 } },
  "visible-after-last": { better: "less", goal: 10, peers: { pg: 6 } },
  "find-10": { better: "less" },
  "find-1000": { better: "less" },
  "call-by-key-10": { better: "less" },
  "bytes-per-membership": { better: "less", goal: 500 },
}

/** Three nodes, 100,000 groups. */
export const bench: Bench = {
  name: "groups",
  cases,
  run: (context) =>
    Channel.withChildren(async (start) => {
      const others = [start("node"), start("node")]
      await using node = await startNode({
        name: "a",
        transport: tcp({ port: 0 }),
        processes: [Idle, Echo],
        cookie: "bench",
      })
      for (const [i, other] of others.entries()) {
        await other.ask("start", { name: `peer-${i}`, connect: [node.address] })
      }
      await Promise.all(others.map((other) => other.ask("members", 3)))
      await Promise.all([node.settled(), ...others.map((other) => other.ask("quiet"))])
      context.note(`${GROUPS} groups, joined by one process`)
      const joins = await joinMany(node, others)
      context.note("members by key")
      const finds = [await find(node, 10), await find(node, 1000), await callByKey(node)]
      await node.stop()
      context.note("bytes")
      return [...joins, ...finds, await weigh()]
    }),
}

/** The rate at the node of the process, and the milliseconds until both others know of the last. */
async function joinMany(
  node: Node,
  others: ReadonlyArray<Channel.Child>,
): Promise<ReadonlyArray<Result>> {
  const ref = await node.spawn(Idle)
  const plain: Array<number> = []
  const millis: Array<number> = []
  let round = 0
  const runs = await Harness.repeat(RUNS, async () => {
    plain.push(inserts())
    round++
    const groups = groupsOf(node, round)
    const begin = performance.now()
    await all(groups, (group) => group.join(ref))
    const end = performance.now()
    // The question travels after the last join, by another way: its time is part of the figure.
    await Promise.all(others.map((other) => other.ask("member", nameOf(round, GROUPS - 1))))
    millis.push(performance.now() - end)
    await all(groups, (group) => group.leave(ref))
    return (GROUPS / (end - begin)) * 1000
  })
  return [
    Harness.result("join", "joins/s", runs, {
      baseline: { name: "Map.set", median: Harness.median(plain.slice(1)) },
    }),
    Harness.result("visible-after-last", "ms", millis.slice(1)),
  ]
}

type Idlers = Group<typeof Idle>

function groupsOf(node: Node, round: number): ReadonlyArray<Idlers> {
  return Array.from({ length: GROUPS }, (_, i) => node.group(nameOf(round, i), Idle))
}

function nameOf(round: number, i: number): string {
  return `group-${round}-${String(i).padStart(8, "0")}`
}

async function all(
  groups: ReadonlyArray<Idlers>,
  one: (group: Idlers) => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < groups.length; i += IN_FLIGHT) {
    await Promise.all(groups.slice(i, i + IN_FLIGHT).map(one))
    // The node's sockets and timers have their turn: one that is silent for seconds is given up.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function inserts(): number {
  const begin = performance.now()
  const map = new Map<string, object>()
  for (let i = 0; i < GROUPS; i++) map.set(nameOf(0, i), { i })
  return (map.size / (performance.now() - begin)) * 1000
}

/** Members of this node, as many as that; their number is in the group's name. */
async function members(node: Node, size: number): Promise<Group<typeof Echo>> {
  const group = node.group(`of ${size}`, Echo)
  const refs: Array<Ref<typeof Echo>> = []
  for (let i = 0; i < size; i++) refs.push(await node.spawn(Echo))
  await Promise.all(refs.map((ref) => group.join(ref)))
  return group
}

/** A key to its member: O(members). */
async function find(node: Node, size: number): Promise<Result> {
  const group = await members(node, size)
  const keys = Array.from({ length: 1024 }, (_, i) => `file-${i}.png`)
  const runs = await Harness.nanos(RUNS, LOOKUPS, (operations) => {
    let hits = 0
    for (let i = 0; i < operations; i++) if (group.find(keys[i & 1023]!)?.node === node.name) hits++
    return hits
  })
  return Harness.result(`find-${size}`, "ns", runs)
}

/** A call to the member for a key, here, one after the other; the baseline is the same to a reference. */
async function callByKey(node: Node): Promise<Result> {
  const group = node.group("of 10", Echo)
  const ref = group.members()[0]!.ref
  const byKey = group.byKey("file.png")
  const plain = await calls((n) => ref.echo(String(n)))
  const runs = await calls((n) => byKey.echo(String(n)))
  const baseline = { name: "call", median: Harness.median(plain) }
  return Harness.result("call-by-key-10", "ns", runs, { baseline })
}

function calls(one: (n: number) => Promise<unknown>): Promise<ReadonlyArray<number>> {
  return Harness.repeat(RUNS, async () => {
    const begin = performance.now()
    for (let i = 0; i < LOOKUPS; i++) await one(i)
    return ((performance.now() - begin) * 1e6) / LOOKUPS
  })
}

/**
 * The greater of what one more membership costs its node (measured with one node) and each of the others
 * (the rest, measured with three nodes, by two).
 */
async function weigh(): Promise<Result> {
  const runs = await Harness.repeat(RUNS, async () => {
    const owner = await weighed(1)
    const replica = ((await weighed(3)) - owner) / 2
    return Math.max(owner, replica)
  })
  return Harness.result("bytes-per-membership", "bytes", runs)
}

/** Bytes per membership in a cluster of so many nodes within this process, all of them together. */
async function weighed(size: number): Promise<number> {
  const hub = memoryHub()
  await using node = await startNode({ transport: memory(hub), processes: [Idle] })
  const ref = await node.start(Idle, "target")
  const others: Array<Node> = []
  for (let i = 1; i < size; i++) {
    others.push(await startNode({ transport: memory(hub), connect: [node.address] }))
  }
  await rest()
  const before = Harness.heapBytes()
  await all(groupsOf(node, 1), (group) => group.join(ref))
  while (others.some((other) => other.group(nameOf(1, GROUPS - 1)).count === 0)) {
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await rest()
  const bytes = Harness.heapBytes() - before
  for (const other of others) await other.stop()
  return bytes / GROUPS
}

/** What was sent and read, and an earlier cluster, must be garbage before anything is weighed. */
async function rest(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 100))
  Harness.heapBytes()
  await new Promise((resolve) => setTimeout(resolve, 100))
}
