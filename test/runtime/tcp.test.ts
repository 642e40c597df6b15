/** Whole nodes over real sockets: what hostile and mistaken peers get, and that nobody else notices. */
import assert from "node:assert/strict"
import * as net from "node:net"
import { describe, test } from "node:test"
import { type Node, type NodeOptions, Process, type Ref, startNode } from "../../mod.ts"
import { live } from "../../src/runtime/platform.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { type Keys, Sealer } from "../../src/wire/seal.ts"
import { tcp } from "../../transports/tcp.ts"
import { event, settled } from "./cluster.ts"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: {
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    echo: (_self, bytes: Uint8Array) => bytes.length,
  },
})

const start = (name: string, options: Partial<NodeOptions> = {}): Promise<Node> =>
  startNode({
    name,
    transport: tcp({ port: 0, seal: true }),
    cookie: "the secret",
    processes: [Counter],
    timing: "local",
    ...options,
  })

const portOf = (node: Node): number => Number(node.address.split(":").at(-1))

/** Two good nodes, something bad done to the first, and proof that they go on. */
async function undisturbed(
  bad: (a: Node, b: Node) => Promise<void>,
  options: Partial<NodeOptions> = {},
): Promise<void> {
  await using a = await start("a", options)
  await using b = await start("b", { connect: [a.address], ...options })
  await settled([a, b])
  const counters = await Promise.all(["x", "y", "z"].map((key) => a.start(Counter, key)))
  await bad(a, b)
  for (const counter of counters) {
    assert.equal(await counter.add(1), 1)
    assert.equal(await b.ref(Counter, counter.key).add(1), 2)
  }
  assert.deepEqual(
    a.members().map((one) => one.status),
    ["up", "up"],
  )
}

function socketTo(node: Node): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(portOf(node), "127.0.0.1", () => resolve(socket))
    socket.on("error", reject)
  })
}

const ended = (socket: net.Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.removeAllListeners("error")
    socket.on("error", () => {})
    socket.on("close", () => resolve())
    socket.resume()
  })

/** A counter that the ring places on this node. */
async function startOn(a: Node, node: string): Promise<Ref<typeof Counter>> {
  for (let i = 0; ; i++) {
    if (a.nodeFor(Counter, `on-${i}`) === node) return await a.start(Counter, `on-${i}`)
  }
}

describe("peers that can't be members", () => {
  const refused = (name: string, options: Partial<NodeOptions>, reason: string): void => {
    test(`${name}: both sides are told, and the cluster goes on`, () =>
      undisturbed(async (a) => {
        const told = event(a, "ConnectionRefused")
        await using stranger = await start("stranger", { connect: [], ...options })
        const tells = event(stranger, "ConnectionRefused")
        await assert.rejects(stranger.connect(a.address), { _tag: "ConnectFailed", reason })
        assert.equal((await told).reason, reason)
        assert.equal((await tells).reason, reason)
      }))
  }
  refused("another secret", { cookie: "another secret" }, "authentication")
  refused("another cluster", { cluster: "another" }, "cluster")

  const garbage: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    [
      "text of another protocol",
      new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
      "too-large",
    ],
    ["a frame that is too long", new Uint8Array([0xff, 0xff, 0xff, 0x7f, 1, 2, 3]), "too-large"],
    ["a frame that makes no sense", new Uint8Array([3, 0, 0, 0, 9, 9, 9]), "malformed"],
  ]
  for (const [name, bytes, reason] of garbage) {
    test(`${name}: the connection ends, and the cluster goes on`, () =>
      undisturbed(async (a) => {
        const told = event(a, "ConnectionRefused")
        const socket = await socketTo(a)
        const over = ended(socket)
        socket.write(bytes)
        assert.equal((await told).reason, reason)
        await over
      }))
  }

  test("a connection that ends in the middle of a frame is nothing but a refused one", () =>
    undisturbed(async (a) => {
      const told = event(a, "ConnectionRefused")
      const socket = await socketTo(a)
      socket.end(new Uint8Array([100, 0, 0, 0, 1]))
      assert.equal((await told).reason, "closed")
    }))

  test("silent connections take places up to connectionsMax, and links keep theirs", () =>
    undisturbed(
      async (a) => {
        const sockets: Array<net.Socket> = []
        const told = event(a, "ConnectionRefused", (one) => one.reason === "full")
        for (let i = 0; i < 8; i++) sockets.push(await socketTo(a))
        await told
        for (const socket of sockets) socket.destroy()
      },
      { limits: { connectionsMax: 4 } },
    ))
})

describe("members that go wrong", () => {
  /** A peer that has the secret, and says what it likes once it is in. */
  async function insider(
    a: Node,
  ): Promise<{ write: (bytes: Uint8Array) => void; over: Promise<void> }> {
    const transport = tcp({ port: 0 })
    const connection = await transport.dial(a.address, new AbortController().signal)
    const { keys } = await Handshake.initiate(connection, {
      identity: { cluster: "skein", name: "insider", epoch: 1, instance: 1, address: "", minor: 0 },
      cookie: "the secret",
      admit: () => ({ _tag: "Admit" }),
      timer: live.timer,
      randomBytes: live.randomBytes,
    })
    const over = new Promise<void>((resolve) => {
      connection.receive({ data: () => {}, drain: () => {}, close: () => resolve() })
    })
    const sealer = new Sealer(keys as Keys)
    return { write: (bytes) => void connection.write(sealer.seal(bytes)), over }
  }

  const frames: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["an unknown kind of message", new Uint8Array([1, 0, 0, 0, 99])],
    ["an empty message", new Uint8Array([0, 0, 0, 0])],
    ["a truncated core message", new Uint8Array([2, 0, 0, 0, 0, 4])],
    ["a truncated call", new Uint8Array([2, 0, 0, 0, 1, 200])],
    ["a message longer than frameBytesMax", new Uint8Array([255, 255, 255, 127, 1])],
  ]
  for (const [name, bytes] of frames) {
    test(`${name} ends the link, and the cluster goes on`, () =>
      undisturbed(async (a) => {
        const { write, over } = await insider(a)
        write(bytes)
        await over
      }))
  }

  test("a message larger than frameBytesMax is refused before it is sent", () =>
    undisturbed(
      async (a) => {
        const error = await a
          .ref(Counter, "x")
          .with({ timeout: 2_000 })
          .try.echo(new Uint8Array(100_000))
        const here = a.whereis(Counter, "x")?.node === "a"
        assert.ok(here ? error.ok : !error.ok && error.error._tag === "TooLarge")
        const there = await startOn(a, "b")
        const far = await there.try.echo(new Uint8Array(100_000))
        assert.ok(!far.ok && far.error._tag === "TooLarge" && far.error.outcome === "not-executed")
        const near = await there.try.echo(new Uint8Array(10_000))
        assert.ok(near.ok && near.value === 10_000)
      },
      { limits: { frameBytesMax: 65_536 } },
    ))
})

describe("over real sockets", () => {
  test("many large calls at once are all answered", () =>
    undisturbed(async (a) => {
      const far = await startOn(a, "b")
      const bytes = new Uint8Array(10_000)
      const lengths = await Promise.all(Array.from({ length: 800 }, () => far.echo(bytes)))
      assert.ok(lengths.every((length) => length === 10_000))
    }))

  test("nodes meet over IPv6", async () => {
    const six = (name: string, connect: ReadonlyArray<string> = []): Promise<Node> =>
      start(name, { transport: tcp({ host: "::1", port: 0 }), connect })
    await using a = await six("a")
    await using b = await six("b", [a.address])
    await settled([a, b])
    assert.match(a.address, /^\[::1\]:\d+$/)
  })
})
