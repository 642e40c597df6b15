/**
 * Two nodes with somebody hostile between them, over each transport. What is said after the handshake isn't
 * sealed (that is for TLS), so anything may come of it but a crash, memory without bound, or a stranger let in.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process, Remote, startNode, Topic } from "../../mod.ts"
import { live } from "../../src/runtime/platform.ts"
import type { Transport } from "../../src/transport.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import { webSocketServer } from "../../transports/websocket-server.ts"
import { settled } from "../runtime/cluster.ts"
import { framed, hostile, type Record, type Spite, vary } from "./hostile.ts"
import { never } from "./side.ts"

/** Frames that a member makes up, per transport: here some, and in CI 100,000. */
const RAVED = Number(process.env.SKEIN_HOSTILE_FRAMES ?? 500)
/** Frames that are changed between two nodes, which takes longer, per transport. */
const FRAMES = Math.max(60, RAVED / 100)
/** Frames that one node is to bear. */
const SIEGE = 500
/** Frames that are changed between two nodes before others take their place. */
const ROUND = 250
/** Messages of one turn. */
const BURST = 20

const Box = Process.define("Box", {
  state: () => ({}),
  calls: { echo: (_self, value: unknown) => value },
})
const News = Topic.define<unknown>("News")
const Shout = Remote.define("shout", (_context, text: string) => text.toUpperCase())

/** Uniform, from a seed: mulberry32. */
function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const kinds: ReadonlyArray<readonly [name: string, make: () => () => Transport]> = [
  [
    "memory",
    () => {
      const hub = memoryHub()
      return () => memory(hub)
    },
  ],
  ["tcp", () => () => tcp({ port: 0 })],
  ["websocket", () => () => webSocketServer({ port: 0 })],
  ["broadcast-channel", () => () => broadcastChannel({ name: "hostile" })],
]

/** Everything that one node says to another, in one turn; resolves once nothing of it is waited for. */
async function chat(from: Node, keys: ReadonlyArray<string>): Promise<void> {
  const asked: Array<Promise<unknown>> = []
  for (let i = 0; i < BURST; i++) {
    const box = from.ref(Box, keys[i % keys.length] as string).with({ timeout: 100 })
    asked.push(box.echo({ i, text: "some text", list: [1, 2, 3] }).catch(() => {}))
    from.publish(News, { i })
  }
  asked.push(
    from
      .remote(Shout)
      .with({ timeout: 100 })
      .any()("hi")
      .catch(() => {}),
  )
  await Promise.all(asked)
  // Where everything is here it takes no time at all.
  await new Promise((resolve) => setImmediate(resolve))
}

/** A pair of nodes in which the middle sows what it likes, until they part over it or have had enough. */
async function round(
  transport: () => Transport,
  record: Record,
  random: () => number,
): Promise<void> {
  let spite: Spite = { handshake: 0, later: 0 }
  const options = {
    processes: [Box],
    functions: [Shout],
    timing: "local",
    cookie: "secret",
  } as const
  const start = (name: string, connect: ReadonlyArray<string>): Promise<Node> =>
    startNode({
      ...options,
      name,
      transport: hostile(transport(), record, () => spite, random),
      connect,
    })
  const a = await start("a", [])
  const b = await start("b", [a.address])
  await settled([a, b])
  const keys = Array.from({ length: BURST }, (_, i) => `${i}`)
  await Promise.all(keys.map((key) => a.start(Box, key)))
  let parted = false
  for (const node of [a, b]) {
    node.subscribe(News, () => {})
    node.on({
      MemberDown: () => {
        parted = true
      },
    })
  }
  const enough = record.mutated + ROUND
  spite = { handshake: random() < 0.5 ? 0 : 0.3, later: 0.3 }
  while (record.mutated < enough && !parted) await Promise.all([chat(a, keys), chat(b, keys)])
  spite = { handshake: 0, later: 0 }
  // Whatever they think of each other, each of them works.
  for (const node of [a, b]) {
    const own = await node.spawn(Box)
    assert.equal(await own.echo("alive"), "alive")
    assert.ok(node.members().length < 100)
  }
  await Promise.all([a.stop(), b.stop()])
}

/** Frames as nodes send them, for an insider gone mad to vary. */
async function frames(
  transport: () => Transport,
  random: () => number,
): Promise<Array<Uint8Array>> {
  const kept: Array<Uint8Array> = []
  const record: Record = { mutated: 0, connections: 0, fooled: 0 }
  const spy = (inner: Transport): Transport =>
    hostile(
      inner,
      record,
      () => ({ handshake: 0, later: 0 }),
      random,
      (body) => kept.push(body),
    )
  const options = {
    processes: [Box],
    functions: [Shout],
    timing: "local",
    cookie: "secret",
  } as const
  const a = await startNode({ ...options, name: "a", transport: spy(transport()) })
  const connect = [a.address]
  const b = await startNode({ ...options, name: "b", transport: spy(transport()), connect })
  await settled([a, b])
  const keys = Array.from({ length: BURST }, (_, i) => `${i}`)
  await Promise.all(keys.map((key) => b.start(Box, key)))
  for (const node of [a, b]) node.subscribe(News, () => {})
  for (let i = 0; i < 20; i++) await Promise.all([chat(a, keys), chat(b, keys)])
  await b.leave()
  await a.stop()
  return kept
}

/** A member that proves who it is, and then says what it likes: ten frames, if it is let. */
async function rave(
  transport: Transport,
  address: string,
  name: string,
  sample: ReadonlyArray<Uint8Array>,
  random: () => number,
): Promise<number> {
  const connection = await transport.dial(address, never)
  const minor = Handshake.PROTOCOL_MINOR
  await Handshake.initiate(connection, {
    identity: { cluster: "skein", name, epoch: 1, instance: 1, address: "", minor },
    cookie: "secret",
    admit: () => ({ _tag: "Admit" }),
    timer: live.timer,
    randomBytes: live.randomBytes,
  })
  let open = true
  const closed = new Promise<void>((resolve) =>
    connection.receive({
      data: () => {},
      drain: () => {},
      close: () => {
        open = false
        resolve()
      },
    }),
  )
  let sent = 0
  for (; sent < 10 && open; sent++) {
    const body = sample[Math.floor(random() * sample.length)] as Uint8Array
    connection.write(framed(vary(body, random)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  connection.destroy()
  await closed
  return sent
}

describe("a member that raves", () => {
  for (const [name, make] of kinds)
    test(`never crashes a node, nor fills its memory: ${name}`, async () => {
      const crashes: Array<unknown> = []
      const crashed = (error: unknown): void => void crashes.push(error)
      process.on("unhandledRejection", crashed)
      process.on("uncaughtException", crashed)
      const random = chances(2)
      const transport = make()
      const sample = await frames(transport, random)
      const dialler = transport()
      const before = process.memoryUsage().heapUsed
      const count = { sent: 0, connections: 0 }
      while (count.sent < RAVED && crashes.length === 0)
        await besiege(transport(), dialler, sample, random, count)
      process.off("unhandledRejection", crashed)
      process.off("uncaughtException", crashed)
      assert.deepEqual(crashes, [])
      const grown = Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20)
      console.log(
        `# ${name}: ${count.sent} frames, ${count.connections} connections, ${grown} MiB more`,
      )
    })
})

/**
 * A node that several of them talk to. Members are believed what they say: a node may come to think that it is
 * not the only one of its name and stop, or that the cluster is full. Nothing else ends it.
 */
async function besiege(
  transport: Transport,
  dialler: Transport,
  sample: ReadonlyArray<Uint8Array>,
  random: () => number,
  count: { sent: number; connections: number },
): Promise<void> {
  const options = { processes: [Box], functions: [Shout], cookie: "secret" }
  const node = await startNode({ ...options, name: "a", transport })
  let conflict = false
  node.on({
    NameConflict: () => {
      conflict = true
    },
  })
  const until = count.sent + SIEGE
  const worker = async (): Promise<void> => {
    for (let vain = 0; count.sent < until && !conflict && vain < 3; ) {
      const name = `x${++count.connections}`
      const sent = await rave(dialler, node.address, name, sample, random).catch(() => 0)
      count.sent += sent
      vain = sent === 0 ? vain + 1 : 0
    }
  }
  await Promise.all(Array.from({ length: 10 }, worker))
  if (!conflict) {
    const own = await node.spawn(Box)
    assert.equal(await own.echo("alive"), "alive")
    assert.ok(node.members().filter(({ status }) => status === "up").length <= 32)
  }
  await node.stop()
}

describe("a hostile middle", () => {
  for (const [name, make] of kinds)
    test(`never crashes a node, and lets nobody in: ${name}`, async () => {
      const crashes: Array<unknown> = []
      const crashed = (error: unknown): void => void crashes.push(error)
      process.on("unhandledRejection", crashed)
      process.on("uncaughtException", crashed)
      const record: Record = { mutated: 0, connections: 0, fooled: 0 }
      const random = chances(1)
      const transport = make()
      const before = process.memoryUsage().heapUsed
      while (record.mutated < FRAMES && crashes.length === 0) await round(transport, record, random)
      process.off("unhandledRejection", crashed)
      process.off("uncaughtException", crashed)
      assert.deepEqual(crashes, [])
      assert.equal(record.fooled, 0)
      const { mutated, connections } = record
      const grown = Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20)
      console.log(
        `# ${name}: ${mutated} frames changed, ${connections} connections, ${grown} MiB more`,
      )
    })
})
