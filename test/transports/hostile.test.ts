/**
 * Two nodes with somebody hostile between them, over each transport: who changes what they say, who repeats it on
 * connections of his own, and a member that has gone mad. No node crashes, nobody is let in, no memory fills, and
 * those without the cookie can do no more than end connections.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process, Remote, startNode, Topic } from "../../mod.ts"
import { live } from "../../src/runtime/platform.ts"
import type { Connection, Transport } from "../../src/transport.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { Sealer } from "../../src/wire/seal.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { tcp } from "../../transports/tcp.ts"
import { webSocketServer } from "../../transports/websocket-server.ts"
import { settled, until } from "../runtime/cluster.ts"
import {
  chances,
  counting,
  framed,
  HANDSHAKE,
  hostile,
  intrude,
  listenTo,
  type Spite,
  type Tally,
  vary,
  type Way,
} from "./hostile.ts"
import { never } from "./side.ts"

/** Frames per transport that a member makes up, and as many that a stranger repeats: here some, and in CI 100,000. */
const FRAMES = Number(process.env.SKEIN_HOSTILE_FRAMES ?? 500)
/** Frames that are changed between two nodes, which costs them a connection each time. */
const CHANGED = Math.max(20, FRAMES / 50)
/** Pairs of nodes that this is done to at once, as they spend their time on connecting again. */
const COUPLES = Math.min(20, Math.ceil(CHANGED / 10))
/** Frames that one node is to bear. */
const SIEGE = 500
/** Messages of one turn. */
const BURST = 20

interface News {
  readonly from: string
  readonly n: number
}

const Box = Process.define("Box", {
  state: () => ({}),
  calls: { echo: (_self, value: News) => value },
})
const News = Topic.define<News>("News")
const Shout = Remote.define("shout", (_context, text: string) => text.toUpperCase())

let channels = 0

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
  [
    "broadcast-channel",
    () => {
      const name = `hostile-${channels++}`
      return () => broadcastChannel({ name })
    },
  ],
]

let last = 0

/** Everything that one node says to another, in one turn; resolves once nothing of it is waited for. */
async function chat(from: Node, complaints: Array<string>): Promise<void> {
  const asked: Array<Promise<unknown>> = []
  for (const key of keys) {
    const n = ++last
    const answered = ({ n: echoed }: News): void => {
      if (echoed !== n) complaints.push(`${from.name} heard ${echoed} for ${n}`)
    }
    const box = from.ref(Box, key).with({ timeout: 100 })
    asked.push(box.echo({ from: from.name, n }).then(answered, () => {}))
    from.publish(News, { from: from.name, n })
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

const options = {
  processes: [Box],
  functions: [Shout],
  timing: "local",
  cookie: "secret",
} as const

const keys: ReadonlyArray<string> = Array.from({ length: BURST }, (_, i) => `${i}`)

/** Two nodes that know each other, and what each has to say about the other. */
interface Couple extends AsyncDisposable {
  readonly a: Node
  readonly b: Node
  /** What should not have happened. */
  readonly complaints: Array<string>
}

/** `a` listens on the first of the transports, and `b` dials over the second. */
async function couple(first: Transport, second: Transport): Promise<Couple> {
  const a = await startNode({ ...options, name: "a", transport: first })
  const b = await startNode({ ...options, name: "b", transport: second, connect: [a.address] })
  await settled([a, b])
  await Promise.all(keys.map((key) => b.start(Box, key)))
  const complaints: Array<string> = []
  for (const node of [a, b]) {
    const heard = new Map<string, number>()
    node.subscribe(News, ({ from, n }) => {
      if (n <= (heard.get(from) ?? 0)) complaints.push(`${node.name} heard ${n} late, or again`)
      heard.set(from, n)
    })
    node.on({ NameConflict: () => void complaints.push(`${node.name} has another's name`) })
  }
  return {
    a,
    b,
    complaints,
    [Symbol.asyncDispose]: async () => {
      await b.leave()
      await a.stop()
    },
  }
}

/** Runs `hostility`, during which nothing may go wrong that nobody expects; how much more memory is used. */
async function withoutCrash(hostility: () => Promise<void>): Promise<string> {
  const crashes: Array<unknown> = []
  const crashed = (error: unknown): void => void crashes.push(error)
  const before = process.memoryUsage().heapUsed
  process.on("unhandledRejection", crashed)
  process.on("uncaughtException", crashed)
  try {
    await hostility()
  } finally {
    process.off("unhandledRejection", crashed)
    process.off("uncaughtException", crashed)
  }
  assert.deepEqual(crashes, [])
  return `${Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20)} MiB more`
}

/** What was said on each connection by the side that dialled, handshake included; with `secure`, without seals. */
async function transcripts(
  transport: () => Transport,
  random: () => number,
  secure = false,
): Promise<ReadonlyArray<ReadonlyArray<Uint8Array>>> {
  const said = new Map<number, Array<Uint8Array>>()
  const tally: Tally = { mutated: 0, connections: 0, fooled: 0 }
  const spite = (): Spite => ({ handshake: 0, later: 0 })
  const seen = (way: Way, body: Uint8Array, connection: number): void => {
    if (way === "in" && !secure) return
    const before = said.get(connection)
    if (before === undefined) said.set(connection, [body])
    else before.push(body)
  }
  const spied = (): Transport => hostile(transport(), { tally, spite, random, secure, seen })
  const nodes = await couple(spied(), spied())
  for (let i = 0; i < 20; i++)
    await Promise.all([chat(nodes.a, nodes.complaints), chat(nodes.b, nodes.complaints)])
  await nodes[Symbol.asyncDispose]()
  return [...said.values()].filter(({ length }) => length > HANDSHAKE)
}

describe("a hostile middle", () => {
  for (const [name, make] of kinds)
    test(`only ends connections, whatever it changes: ${name}`, async () => {
      const tally: Tally = { mutated: 0, connections: 0, fooled: 0 }
      const couples = Array.from({ length: COUPLES }, (_, i) => harass(make(), tally, chances(i)))
      const more = await withoutCrash(async () => void (await Promise.all(couples)))
      assert.equal(tally.fooled, 0)
      console.log(`# ${name}: ${tally.mutated} changed, ${tally.connections} connections, ${more}`)
    })
})

/** Changes what two nodes say to each other, until all couples have had enough: it is as if nothing had happened. */
async function harass(
  transport: () => Transport,
  tally: Tally,
  random: () => number,
): Promise<void> {
  let spite: Spite = { handshake: 0, later: 0 }
  const open = new Set<Connection>()
  const spied = (): Transport => hostile(transport(), { tally, spite: () => spite, random, open })
  await using nodes = await couple(spied(), spied())
  const { a, b, complaints } = nodes
  while (tally.mutated < CHANGED) {
    spite = { handshake: random() < 0.5 ? 0 : 0.1, later: 0.1 }
    await Promise.all([chat(a, complaints), chat(b, complaints)])
    await until(a, () => a.members().some(({ name, status }) => name === "b" && status === "up"))
  }
  spite = { handshake: 0, later: 0 }
  // One that waits for the rest of a long record would take its time to end.
  for (const connection of open) connection.destroy()
  // Nobody has come to believe anything of the other that isn't so.
  do await settled([a, b])
  while (!(await answers(a)) || !(await answers(b)))
  assert.deepEqual(complaints, [])
  for (const node of [a, b]) assert.deepEqual([...statuses(node)].sort(), ["a up", "b up"])
}

/** Whether all processes answer to a node what they should; if they don't at all, the connection was lost. */
async function answers(node: Node): Promise<boolean> {
  for (const key of keys) {
    const news = { from: key, n: 0 }
    const answer = await node.ref(Box, key).with({ timeout: 1_000 }).try.echo(news)
    if (!answer.ok) return false
    assert.deepEqual(answer.value, news)
  }
  return true
}

function statuses(node: Node): ReadonlyArray<string> {
  return node.members().map(({ name, status }) => `${name} ${status}`)
}

describe("a stranger who has listened", () => {
  for (const [name, make] of kinds)
    test(`gets nowhere with what members said, nor with anything like it: ${name}`, async () => {
      const random = chances(3)
      const transport = make()
      const said = await transcripts(transport, random)
      const dialler = transport()
      let welcomes = 0
      let sent = 0
      let connections = 0
      const more = await withoutCrash(async () => {
        await using nodes = await couple(
          counting(transport(), () => {
            welcomes++
          }),
          transport(),
        )
        const { a, b, complaints } = nodes
        const before = welcomes
        const stranger = async (): Promise<void> => {
          while (sent < FRAMES) {
            const words = said[Math.floor(random() * said.length)] as ReadonlyArray<Uint8Array>
            const at = random() < 0.5 ? 0 : Math.floor(random() * words.length)
            connections++
            sent += await intrude(dialler, a.address, words.slice(at, at + 20), random)
          }
        }
        await Promise.all(Array.from({ length: 10 }, stranger))
        assert.ok(await answers(a))
        assert.equal(welcomes, before)
        assert.deepEqual(complaints, [])
        assert.deepEqual(
          a
            .members()
            .map(({ name, status }) => `${name} ${status}`)
            .sort(),
          ["a up", "b up"],
        )
        assert.equal(b.members().length, 2)
      })
      console.log(`# ${name}: ${sent} repeated, ${connections} connections, ${more}`)
    })
})

/** A member that proves who it is, and then says what it likes: ten messages, if it is let. */
async function rave(
  transport: Transport,
  address: string,
  name: string,
  sample: ReadonlyArray<Uint8Array>,
  random: () => number,
): Promise<number> {
  const connection = await transport.dial(address, never)
  const minor = Handshake.PROTOCOL_MINOR
  const { keys } = await Handshake.initiate(connection, {
    identity: { cluster: "skein", name, epoch: 1, instance: 1, address: "", minor },
    cookie: "secret",
    admit: () => ({ _tag: "Admit" }),
    timer: live.timer,
    randomBytes: live.randomBytes,
  })
  const sealer = keys && new Sealer(keys)
  const ear = listenTo(connection)
  let sent = 0
  for (; sent < 10 && ear.open; sent++) {
    const body = sample[Math.floor(random() * sample.length)] as Uint8Array
    const frame = framed(vary(body, random))
    connection.write(sealer === undefined ? frame : sealer.seal(frame))
    await new Promise((resolve) => setImmediate(resolve))
  }
  connection.destroy()
  await ear.closed
  return sent
}

describe("a member that raves", () => {
  for (const [name, make] of kinds)
    test(`never crashes a node, nor fills its memory: ${name}`, async () => {
      const random = chances(2)
      const transport = make()
      const hub = memoryHub()
      const open = name === "broadcast-channel" ? transport : () => memory(hub)
      const sample = (await transcripts(open, random, true)).flat()
      const dialler = transport()
      const count = { sent: 0, connections: 0 }
      const more = await withoutCrash(async () => {
        while (count.sent < FRAMES) await besiege(transport(), dialler, sample, random, count)
      })
      console.log(`# ${name}: ${count.sent} made up, ${count.connections} connections, ${more}`)
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
  const node = await startNode({ ...options, timing: "lan", name: "a", transport })
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
    assert.deepEqual(await own.echo({ from: "a", n: 1 }), { from: "a", n: 1 })
    assert.ok(node.members().filter(({ status }) => status === "up").length <= 32)
  }
  await node.stop()
}
