/**
 * The rows of parity that are about real hosts: nodes over the memory transport, and sockets. Apart from the
 * others: what is simulated and what isn't don't share a program.
 */
import assert from "node:assert/strict"
import { createSocket } from "node:dgram"
import { describe, test } from "node:test"
import { type Node, type NodeOptions, Process, startNode, Topic } from "skein"
import { type MulticastOptions, multicast } from "skein/discovery/multicast"
import { type MemoryHub, memory, memoryHub } from "skein/transports/memory"
import { tcp } from "skein/transports/tcp"
import { up } from "./shared.ts"

const Worker = Process.define("Worker", {
  state: () => ({ n: 0 }),
  calls: { add: (self, by: number) => (self.state.n += by) },
})

/** A node on the hub, at the address of its name. */
function start(hub: MemoryHub, name: string, options: Partial<NodeOptions> = {}): Promise<Node> {
  return startNode({ name, transport: memory(hub, { address: name }), timing: "local", ...options })
}

describe("Distribunator", () => {
  test("Application start; fault: a manager can't be started where the application runs one; here every start is a node of its own", async () => {
    const hub = memoryHub()
    await using a = await start(hub, "a")
    await using b = await start(hub, "b")
    await b.connect("a")
    assert.deepEqual(
      [up(a), up(b)],
      [
        ["a", "b"],
        ["a", "b"],
      ],
    )
  })

  test("fault: connect raises where there is no network; here it fails with ConnectFailed, or NodeStopped", async () => {
    const a = await start(memoryHub(), "a")
    await assert.rejects(a.connect("nowhere", { timeout: 0 }), { _tag: "ConnectFailed" })
    await a.stop()
    await assert.rejects(a.connect("nowhere"), { _tag: "NodeStopped" })
    await assert.rejects(a.disconnect("nowhere"), { _tag: "NodeStopped" })
  })
})

describe("Distable", () => {
  test("distable:start/2, stop/1: a node is started, and stopped as often as one likes", async () => {
    const node = await start(memoryHub(), "a", { processes: [Worker] })
    assert.deepEqual(up(node), ["a"])
    await node.stop()
    await node.stop()
    await assert.rejects(node.start(Worker, "x"), { _tag: "NodeStopped" })
    await assert.rejects(node.ref(Worker, "x").add(1), { _tag: "NodeStopped" })
  })

  test("autocluster: true: nodes on one network find each other by UDP multicast, with no address configured", async () => {
    const port = await freePort()
    if (!(await carries(port))) return
    const options: MulticastOptions = { port, interface: LOOPBACK, ttl: 1, periodMillis: 1_000 }
    const hub = memoryHub()
    const names = ["a", "b"] as const
    const nodes = await Promise.all(
      names.map((name) => start(hub, name, { discovery: multicast(options) })),
    )
    await Promise.all(nodes.map((node) => met(node, 2)))
    for (const node of nodes) assert.deepEqual(up(node), ["a", "b"])
    await Promise.all(nodes.map((node) => node.stop()))
  })
})

describe("KantanCluster", () => {
  const News = Topic.define<string>("news")

  test("KantanCluster.start(opts \\\\ []), start_node(name, sname, cookie): a node with a name and a secret; those who share it meet", async () => {
    const hub = memoryHub()
    await using a = await start(hub, "a", { cookie: "secret" })
    await using b = await start(hub, "b", { cookie: "secret", connect: ["a"] })
    await met(a, 2)
    await met(b, 2)
    assert.deepEqual([a.name, b.name, b.address], ["a", "b", "b"])
  })

  test("config, opts name > opts sname > env name > env sname > random: a name that is given is taken as it is; without one it is random", async () => {
    const names = new Set<string>()
    for (let i = 0; i < 3; i++) {
      await using node = await startNode({ transport: memory(memoryHub()) })
      assert.match(node.name, /^node-[0-9a-z]+$/)
      names.add(node.name)
    }
    assert.equal(names.size, 3)
    await using named = await start(memoryHub(), "a@some.host:1")
    assert.equal(named.name, "a@some.host:1")
  })

  test("KantanCluster.start: raises: InvalidOption, which says which, and AddressUnavailable", async () => {
    const hub = memoryHub()
    await assert.rejects(start(hub, "no spaces, please"), { _tag: "InvalidOption", option: "name" })
    await assert.rejects(startNode({ transport: tcp({ port: 0 }) }), {
      _tag: "InvalidOption",
      option: "cookie",
    })
    await using taken = await start(hub, "a")
    await assert.rejects(start(hub, "a"), { _tag: "AddressUnavailable", address: taken.address })
  })

  test("KantanCluster.stop(): {:error, :not_allowed | :not_found}: none: a node stops as often as it is told to", async () => {
    const node = await start(memoryHub(), "a")
    const events = node.events()
    await Promise.all([node.stop(), node.leave(), node.stop()])
    let last = ""
    for await (const { _tag } of events) last = _tag
    assert.equal(last, "Stopped")
    await node.leave()
  })

  test("fault: starting where a node runs replaces its cookie by a random one; here each node has the one it was given, for good", async () => {
    const hub = memoryHub()
    await using a = await start(hub, "a", { cookie: "ours" })
    await using other = await start(hub, "b", { cookie: "theirs" })
    await assert.rejects(other.connect("a"), {
      _tag: "ConnectFailed",
      failures: [{ address: "a", reason: "authentication" }],
    })
    await using c = await start(hub, "c", { cookie: "ours", connect: ["a"] })
    await met(a, 2)
    await met(c, 2)
    assert.deepEqual(up(other), ["b"])
  })

  test("fault: broadcast!/2 doesn't raise; here publish throws what is known at once", async () => {
    const hub = memoryHub()
    const limits = { frameBytesMax: 65_536 }
    await using other = await start(hub, "b", { limits })
    const node = await start(hub, "a", { limits, connect: ["b"] })
    await met(node, 2)
    await other.subscribe(News, () => {}).ready
    const bad: unknown = () => "no data"
    assert.throws(() => node.publish(News, bad as string), { _tag: "NotData" })
    assert.throws(() => node.publish(News, "x".repeat(100_000)), { _tag: "TooLarge" })
    await node.stop()
    assert.throws(() => node.publish(News, "late"), { _tag: "NodeStopped" })
    assert.throws(() => node.subscribe(News, () => {}), { _tag: "NodeStopped" })
  })
})

describe("Dispatch", () => {
  test("fault: of what is configured most is ignored; here an option that can't be right is refused by its name", async () => {
    const wrong: ReadonlyArray<readonly [string, Partial<NodeOptions>]> = [
      ["limits.mailboxMax", { limits: { mailboxMax: 0 } }],
      ["weight", { weight: 65 }],
      ["processes", { processes: [Worker, Worker] }],
    ]
    for (const [option, options] of wrong)
      await assert.rejects(start(memoryHub(), "a", options), { _tag: "InvalidOption", option })
  })
})

const LOOPBACK = "127.0.0.1"
const GROUP = "239.255.115.107"

/** A UDP port that nobody uses. */
function freePort(): Promise<number> {
  const socket = createSocket("udp4")
  return new Promise((resolve) => {
    socket.bind(0, LOOPBACK, () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}

/** Whether this machine carries multicast on its loopback interface; says so loudly if not. */
async function carries(port: number): Promise<boolean> {
  const socket = createSocket({ type: "udp4", reuseAddr: true })
  await new Promise<void>((resolve) => socket.bind({ port, exclusive: true }, resolve))
  socket.addMembership(GROUP, LOOPBACK)
  socket.setMulticastInterface(LOOPBACK)
  const carried = await new Promise<boolean>((resolve) => {
    // Silence is the only sign that it doesn't.
    const silent = setTimeout(() => resolve(false), 5_000)
    socket.once("message", () => {
      clearTimeout(silent)
      resolve(true)
    })
    socket.send(new Uint8Array([1]), port, GROUP)
  })
  socket.close()
  if (!carried) console.warn("skipped: this machine carries no multicast on its loopback interface")
  return carried
}

/** Waits until a node sees so many members. */
async function met(node: Node, count: number): Promise<void> {
  const events = node.events()
  while (up(node).length < count) {
    const { done } = await events.next()
    if (done) throw new Error("the node stopped before it met the others")
  }
  await events.return?.()
}
