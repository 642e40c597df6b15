import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import type { Node, NodeEvent, NodeOptions } from "../../mod.ts"
import { type Launched, launch } from "../../src/runtime/launch.ts"
import type { Transport } from "../../src/transport.ts"
import { cluster, event, settled, until } from "./cluster.ts"
import { kind, type Network, network } from "./network.ts"

/** A transport that also reaches `b` at `alias:b` and `alias:alias:b`, and notes whom it dialled. */
function noting(inner: Transport, dialled: Array<string>): Transport {
  return {
    ...inner,
    dial: (to, signal) => {
      dialled.push(to)
      return inner.dial(to.replace(/^(alias:)+/, ""), signal)
    },
  }
}

interface Noted extends Launched, AsyncDisposable {
  readonly dialled: Array<string>
}

/** A node at the address of its name, with its engine and all that it dials. */
async function noted(
  net: Network,
  name: string,
  options: Partial<NodeOptions> = {},
): Promise<Noted> {
  const dialled: Array<string> = []
  const given = net.at(name)
  const transport = noting(given.transport, dialled)
  const launched = await Effect.runPromise(
    launch({ name, ...given, transport, timing: "local", ...options }),
  )
  return { ...launched, dialled, [Symbol.asyncDispose]: () => launched.node.stop() }
}

const named = (nodes: ReadonlyArray<Node>): string => nodes.map(({ name }) => name).join(" ")
const stood = (node: Node): ReadonlyArray<string> =>
  node.connections().map((one) => `${one.address} ${one.node ?? "?"} ${one.state}`)
const up = (node: Node): ReadonlyArray<string> =>
  node.members().flatMap(({ name, status }) => (status === "up" ? [name] : []))

describe("connect", () => {
  test("takes one address or several, and resolves when all of them are members", async () => {
    const net = network()
    const [a, b, c] = [await noted(net, "a"), await noted(net, "b"), await noted(net, "c")]
    await a.node.connect("b")
    assert.ok(up(a.node).includes("b"), named([a.node]))
    await a.node.connect(["c"])
    assert.ok(up(a.node).includes("c"))
    await a.node.connect([])
    assert.deepEqual(stood(a.node), ["b b connected", "c c connected"])
    for (const { node } of [a, b, c]) await node.stop()
  })

  test("malformed addresses and times are a TypeError, and nothing is dialled", async () => {
    await using a = await noted(network(), "a")
    const wrong: ReadonlyArray<unknown> = [
      "",
      "x".repeat(513),
      ["b", ""],
      ["b", 7],
      [["b"]],
      7,
      undefined,
      null,
      new Set(["b"]),
    ]
    for (const address of wrong) await assert.rejects(a.node.connect(address as string), TypeError)
    for (const timeout of [-1, Number.NaN, "5"]) {
      await assert.rejects(a.node.connect("b", { timeout: timeout as number }), TypeError)
    }
    assert.deepEqual([a.dialled, a.node.connections()], [[], []])
  })

  test("an address given twice, of oneself, connected, or given before fails the whole list", async () => {
    const net = network()
    await using a = await noted(net, "a", { connect: ["born"] })
    await using b = await noted(net, "b", { connect: ["a"] })
    await until(a.node, () => up(a.node).includes("b"))
    await assert.rejects(a.node.connect("before", { timeout: 0 }), { _tag: "ConnectFailed" })
    const refused = async (addresses: ReadonlyArray<string>, reason: string): Promise<void> => {
      const address = addresses.at(-1)
      const expected = { _tag: "DuplicateAddress", address, reason }
      await assert.rejects(a.node.connect(addresses), expected)
    }
    await refused(["new", "new"], "twice")
    await refused(["new", "a"], "own")
    await refused(["new", "b"], "connected")
    await refused(["new", "before"], "listed")
    await refused(["new", "born"], "listed")
    assert.ok(!a.dialled.includes("new"))
    assert.deepEqual([stood(b.node), b.dialled], [["a a connected"], ["a"]])
    const known = a.node.connections().map(({ address }) => address)
    assert.deepEqual(known, ["born", "before"])
  })

  test("more addresses than can be dialled are refused as a whole", async () => {
    await using a = await noted(network(), "a", { connect: ["born"] })
    const many = Array.from({ length: 1_024 }, (_, i) => `n${i}`)
    await assert.rejects(a.node.connect(many), { _tag: "Overloaded", max: 1_024 })
    assert.equal(a.node.connections().length, 1)
  })

  test("names all that failed and why; the others are joined", async () => {
    const net = network()
    await using a = await noted(net, "a")
    await using _b = await noted(net, "b", { cluster: "another" })
    await using _c = await noted(net, "c")
    await using _d = await noted(net, "d", { cluster: "another" })
    const timeout = Number.POSITIVE_INFINITY
    await assert.rejects(a.node.connect(["c", "d", "b"], { timeout }), {
      _tag: "ConnectFailed",
      address: "d",
      reason: "cluster",
      failures: [
        { address: "d", reason: "cluster" },
        { address: "b", reason: "cluster" },
      ],
    })
    assert.deepEqual(up(a.node), ["a", "c"])
    const again = event(a.node, "ConnectionFailed", ({ address }) => address === "b")
    assert.ok((await again).attempts > 1)
  })

  test("doesn't wait where the other side has refused for good, or the address is the node's own", async () => {
    const net = network()
    await using a = await noted(net, "a")
    await using _b = await noted(net, "b", { cluster: "another" })
    const options = { timeout: Number.POSITIVE_INFINITY }
    await assert.rejects(a.node.connect("b", options), { reason: "cluster" })
    // On a channel nobody hears itself, and there is one address for everybody.
    if (kind !== "broadcast-channel") {
      const address = "alias:a"
      await assert.rejects(a.node.connect(address, options), { address, reason: "self" })
      await assert.rejects(a.node.connect(address, options), { reason: "own" })
    }
    assert.deepEqual(
      a.node.connections().map(({ address }) => address),
      ["b"],
    )
  })

  test("that is aborted forgets what isn't joined, and only that", async () => {
    const net = network()
    await using a = await noted(net, "a")
    await using _b = await noted(net, "b")
    const controller = new AbortController()
    const { signal } = controller
    const timeout = Number.POSITIVE_INFINITY
    const failed = assert.rejects(a.node.connect(["b", "nowhere"], { signal, timeout }), {
      _tag: "Aborted",
    })
    await until(a.node, () => up(a.node).includes("b"))
    controller.abort()
    await failed
    assert.deepEqual(stood(a.node), ["b b connected"])
    const before = a.dialled.length
    await assert.rejects(a.node.connect("elsewhere", { signal }), { _tag: "Aborted" })
    assert.equal(a.dialled.length, before)
    // It may be asked for again, and waits for nothing.
    await assert.rejects(a.node.connect("nowhere", { timeout: 0 }), { _tag: "ConnectFailed" })
  })

  test("that waits ends when the node does, and then nothing is dialled any more", async () => {
    const net = network()
    for (const end of ["stop", "leave"] as const) {
      const a = await noted(net, "a")
      const failed = assert.rejects(a.node.connect("nowhere"), { _tag: "NodeStopped" })
      await event(a.node, "ConnectionFailed")
      await a.node[end]()
      await failed
      const before = a.dialled.length
      for (const f of [() => a.node.connect("b"), () => a.node.disconnect("b")]) {
        await assert.rejects(f, { _tag: "NodeStopped" })
      }
      a.engine.connections.found(["b"])
      for (let i = 0; i < 20; i++) await new Promise(setImmediate)
      assert.equal(a.dialled.length, before)
    }
  })

  test("tells of each attempt that fails, with their number, until one doesn't", async () => {
    const net = network()
    await using a = await noted(net, "a")
    const told: Array<NodeEvent> = []
    a.engine.events.watch((event) => void (event._tag === "ConnectionFailed" && told.push(event)))
    const connected = a.node.connect("b", { timeout: Number.POSITIVE_INFINITY })
    await event(a.node, "ConnectionFailed", ({ attempts }) => attempts === 3)
    const [address, reason] = ["b", "refused"]
    assert.deepEqual(
      told,
      [1, 2, 3].map((attempts) => ({ _tag: "ConnectionFailed", address, reason, attempts })),
    )
    assert.equal(a.dialled.length, 3)
    const b = await noted(net, "b")
    await connected
    told.length = 0
    const failed = event(a.node, "ConnectionFailed")
    await b.node.stop()
    assert.equal((await failed).attempts, 1)
  })
})

describe("an address that isn't the one its node gives out", () => {
  test("makes one link, which stays, however often it is asked for", async () => {
    const net = network()
    await using b = await noted(net, "b")
    await using a = await noted(net, "a", { connect: ["alias:b"] })
    await until(a.node, () => up(a.node).includes("b"))
    const link = a.engine.links.get("b")
    assert.deepEqual(stood(a.node), ["alias:b b connected"])
    await a.node.connect("alias:alias:b")
    assert.equal(a.engine.links.get("b"), link)
    assert.ok(link?.open)
    assert.deepEqual(stood(a.node), ["alias:b b connected", "alias:alias:b b connected"])
    await assert.rejects(a.node.connect("b"), { reason: "connected" })
    // b has no link that it dialled itself, so it is told who is there.
    await b.node.connect("alias:a")
    assert.equal(a.engine.links.get("b"), link)
    assert.deepEqual(stood(b.node), ["alias:a a connected"])
  })

  test("doesn't bring a node back that was parted with, until it is asked for", async () => {
    const net = network()
    await using b = await noted(net, "b")
    await using a = await noted(net, "a", { connect: ["alias:b"] })
    await until(b.node, () => up(b.node).includes("a"))
    await a.node.disconnect("b")
    assert.deepEqual(stood(a.node), ["alias:b b disconnected"])
    await a.node.connect("alias:b")
    assert.deepEqual(up(a.node), ["a", "b"])
    await settled([a.node, b.node])
  })
})

describe("disconnect", () => {
  test("resolves when the link has ended and the member is down", async () => {
    await using three = await cluster(["a", "b", "c"], [])
    const [a, b] = three.nodes as [Node, Node]
    const there = event(b, "MemberDown")
    await a.disconnect("b")
    assert.deepEqual(up(a), ["a", "c"])
    assert.deepEqual(stood(a), ["b b disconnected"])
    assert.equal((await there).reason, "disconnected")
    await assert.rejects(a.disconnect("b"), { _tag: "UnknownNode", node: "b" })
    await b.connect("a")
    assert.deepEqual(stood(b), ["a a connected"])
    await until(a, () => up(a).includes("b"))
    await a.disconnect(["b", "c", "b"])
    assert.deepEqual(up(a), ["a"])
  })

  test("an unknown name fails the whole list, a malformed one is a TypeError", async () => {
    await using two = await cluster(["a", "b"], [])
    const [a] = two.nodes as [Node]
    for (const name of ["z", "a"]) {
      await assert.rejects(a.disconnect(["b", name]), { _tag: "UnknownNode", node: name })
    }
    for (const name of ["", "x".repeat(65), ["b", ""], undefined, ["b", 7]]) {
      await assert.rejects(a.disconnect(name as string), TypeError)
    }
    assert.deepEqual(up(a), ["a", "b"])
  })

  test("of a node that is being connected ends the wait for it", async () => {
    const net = network()
    await using a = await noted(net, "a")
    await using b = await noted(net, "b")
    await a.node.connect("b")
    await a.node.disconnect("b")
    await b.node.stop()
    const failed = a.node.connect("b", { timeout: Number.POSITIVE_INFINITY })
    const rejected = assert.rejects(failed, { _tag: "ConnectFailed", reason: "disconnected" })
    await event(a.node, "ConnectionFailed")
    await a.node.disconnect("b")
    await rejected
  })
})

describe("discovery", () => {
  test("addresses are dialled for as long as they are given or the user has asked for them", async () => {
    const net = network()
    await using a = await noted(net, "a", { connect: ["born"] })
    const { connections } = a.engine
    const listed = (): string =>
      a.node
        .connections()
        .map(({ address }) => address)
        .join(" ")
    connections.found(["a", "x", "y", "x", "born", "z"])
    connections.found(["", 7 as never, "x".repeat(513)])
    assert.equal(listed(), "born x y z")
    assert.deepEqual(new Set(a.dialled), new Set(["born", "x", "y", "z"]))
    await assert.rejects(a.node.connect("x", { timeout: 0 }), { _tag: "ConnectFailed" })
    connections.lost(["x", "y", "born", "unknown"])
    assert.equal(listed(), "born z x")
    connections.found(Array.from({ length: 2_000 }, (_, i) => `n${i}`))
    const all = a.node.connections()
    assert.deepEqual([all.length, all[0]?.address], [1_024, "born"])
  })

  test("keeps what the user gives up and it still gives, and the other way round", async () => {
    await using a = await noted(network(), "a")
    const { connections } = a.engine
    const controller = new AbortController()
    const { signal } = controller
    connections.found(["x"])
    const failed = assert.rejects(a.node.connect(["x", "y"], { signal }), { _tag: "Aborted" })
    controller.abort()
    await failed
    const listed = (): ReadonlyArray<string> => a.node.connections().map(({ address }) => address)
    assert.deepEqual(listed(), ["x"])
    connections.lost(["x"])
    assert.deepEqual(listed(), [])
  })

  test("brings nobody back who was parted with", async () => {
    const net = network()
    await using a = await noted(net, "a")
    await using b = await noted(net, "b")
    a.engine.connections.found(["b"])
    await until(b.node, () => up(b.node).includes("a"))
    await a.node.disconnect("b")
    a.engine.connections.lost(["b"])
    a.dialled.length = 0
    a.engine.connections.found(["b"])
    b.engine.connections.found(["a"])
    const apart = [["b b disconnected"], ["a a disconnected"]]
    assert.deepEqual([stood(a.node), stood(b.node)], apart)
    assert.deepEqual(a.dialled, [])
    await a.node.connect("b")
    assert.deepEqual(up(a.node), ["a", "b"])
  })
})
