import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process, Supervisor, startNode } from "../../mod.ts"
import { cluster, event, lone, settled, until } from "./cluster.ts"
import { network } from "./network.ts"

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
  calls: {
    get: (self) => self.state.n,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    where: (self) => self.node,
    crash: (): void => {
      throw new Error("on purpose")
    },
    echo: (_self, value: unknown) => value,
  },
  casts: {
    push: (self, by: number) => {
      self.state.n += by
    },
  },
})

const Log = Process.define("Log", {
  state: () => ({ seen: [] as Array<number> }),
  calls: { all: (self) => self.state.seen, add: (self, n: number) => void self.state.seen.push(n) },
  casts: { push: (self, n: number) => void self.state.seen.push(n) },
})

const definitions = [Counter, Log]
const keys = (count: number): Array<string> => Array.from({ length: count }, (_, i) => `k${i}`)
const tagOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => error._tag,
  )

/** Waits until each of these names has an owner among `owners`, in every node's view. */
async function owned(
  nodes: ReadonlyArray<Node>,
  names: ReadonlyArray<string>,
  owners: ReadonlyArray<string>,
): Promise<void> {
  for (const node of nodes) {
    await until(node, () =>
      names.every((key) => owners.includes(node.whereis(Counter, key)?.node ?? "")),
    )
  }
}

describe("a cluster", () => {
  test("nodes find each other from one address and agree on the ring", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const homes = keys(50).map((key) => three.nodes.map((node) => node.nodeFor(Counter, key)))
    for (const [a, b, c] of homes) assert.ok(a !== undefined && a === b && b === c)
    assert.deepEqual([...new Set(homes.flat())].sort(), ["a", "b", "c"])
    for (const node of three.nodes) {
      assert.deepEqual(
        node.members().map((one) => `${one.name} ${one.status}`),
        ["a up", "b up", "c up"],
      )
    }
  })

  test("nodes started at the same moment with the same seeds form one cluster", async () => {
    const net = network()
    const seeds = ["a", "b", "c", "d"]
    const nodes = await Promise.all(
      seeds.map((name) =>
        startNode({
          name,
          ...net.at(name),
          connect: seeds,
          processes: definitions,
          timing: "local",
        }),
      ),
    )
    await settled(nodes)
    await Promise.all(nodes.map((node) => node.stop()))
  })

  test("processes are started where the ring says, and found from everywhere", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as [Node, Node, Node]
    const counters = await Promise.all(
      keys(60).map((key, i) => a.start(Counter, key, { start: i })),
    )
    for (const [i, counter] of counters.entries()) {
      const home = a.nodeFor(Counter, counter.key)
      assert.equal(await counter.where(), home)
      assert.equal(a.whereis(Counter, counter.key)?.node, home)
      assert.equal(await b.ref(Counter, counter.key).add(1), i + 1)
      assert.equal(await c.ref(Counter, counter.key).get(), i + 1)
    }
  })

  test("a start from another node is visible to its caller at once", async () => {
    await using two = await cluster(["a", "b"], definitions)
    for (const key of keys(30)) {
      for (const node of two.nodes) {
        const name = `${node.name}-${key}`
        await node.start(Counter, name)
        assert.notEqual(node.whereis(Counter, name), undefined)
      }
    }
  })

  test("starts of the same names from every node at once start each once", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    await Promise.all(
      three.nodes.flatMap((node) => keys(40).map((key) => node.start(Counter, key))),
    )
    await Promise.all(
      three.nodes.flatMap((node) => keys(40).map((key) => node.ref(Counter, key).add(1))),
    )
    for (const key of keys(40)) assert.equal(await three.nodes[0]?.ref(Counter, key).get(), 3)
  })

  test("casts and calls of one sender arrive in order, remotely too", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a] = two.nodes as [Node]
    for (const key of keys(6)) {
      const log = await a.start(Log, key)
      for (let n = 0; n < 200; n++) log.cast.push(n)
      assert.deepEqual(
        await log.all(),
        Array.from({ length: 200 }, (_, n) => n),
      )
    }
  })

  test("errors cross nodes with their tags and outcomes", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as [Node, Node]
    const key = keys(100).find((one) => a.nodeFor(Counter, one) === "b") as string
    const counter = await a.start(Counter, key, { start: 1 })
    const crash = await counter.try.crash()
    assert.ok(
      !crash.ok && crash.error._tag === "HandlerCrashed" && crash.error.outcome === "executed",
    )
    assert.ok(!crash.ok && crash.error.message.includes("on purpose"))
    assert.equal(await counter.get(), 1)
    const big = await tagOf(counter.echo(new Uint8Array(9 * 1024 * 1024)))
    assert.equal(big, "TooLarge")
    assert.equal(await tagOf(counter.echo(() => 1)), "NotData")
    assert.equal(await b.stopProcess(Counter, key), true)
    assert.equal(await tagOf(counter.get()), "NoProcess")
  })

  test("a node without definitions is given no processes and can use the others'", async () => {
    await using two = await cluster(["a"], definitions)
    const client = await two.join("client", { processes: [] })
    const counters = await Promise.all(keys(20).map((key) => client.start(Counter, key)))
    for (const counter of counters) assert.equal(await counter.where(), "a")
  })
})

describe("crashes and conflicts", () => {
  test("the names of a node that dies come back on the others", async () => {
    await using some = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const names = keys(90)
    await Promise.all(names.map((key, i) => a.start(Counter, key, { start: i })))
    await Promise.all(names.map((key) => a.ref(Counter, key).add(1000)))
    const dead = names.filter((key) => a.whereis(Counter, key)?.node === "c")
    assert.ok(dead.length > 10)
    const down = [event(a, "MemberDown"), event(b, "MemberDown")]
    await c.stop()
    for (const one of await Promise.all(down)) assert.equal(one.node, "c")
    // Calls made now wait for the takeover.
    for (const [i, key] of names.entries()) {
      const value = await b.ref(Counter, key).get()
      assert.equal(value, dead.includes(key) ? i : i + 1000)
    }
    await owned([a, b], names, ["a", "b"])
  })

  test("a node that comes back under its name gets its share back, with the state of now", async () => {
    await using some = await cluster(["a", "b"], definitions)
    const [a, b] = some.nodes as [Node, Node]
    const names = keys(40)
    await Promise.all(names.map((key) => a.start(Counter, key)))
    const down = event(a, "MemberDown")
    await b.stop()
    await down
    await Promise.all(names.map((key) => a.ref(Counter, key).add(5)))
    const again = await startNode({
      name: "b",
      ...some.net.at("b2"),
      connect: ["a"],
      processes: definitions,
      timing: "local",
    })
    await settled([a, again])
    const back = names.filter((key) => a.nodeFor(Counter, key) === "b")
    await owned([a, again], back, ["b"])
    for (const key of names) assert.equal(await again.ref(Counter, key).get(), 5)
    await again.stop()
  })

  test("the same name started in two clusters has one owner once they meet, and its state is merged", async () => {
    const Merged = Process.define("Merged", {
      state: (items: Array<string>) => items,
      calls: { items: (self) => [...self.state].sort() },
      handoff: { merge: (mine, theirs) => [...mine, ...theirs] },
    })
    const net = network()
    const make = (name: string): Promise<Node> =>
      startNode({
        name,
        ...net.at(name),
        processes: [Merged],
        timing: "local",
      })
    const [a, b] = [await make("a"), await make("b")]
    for (const key of keys(10)) {
      await a.start(Merged, key, [`a-${key}`])
      await b.start(Merged, key, [`b-${key}`])
    }
    const lost = event(b, "ConflictLost")
    await a.connect("b")
    await settled([a, b])
    assert.equal((await lost).winner, "a")
    for (const key of keys(10)) {
      await until(b, () => b.whereis(Merged, key)?.node === a.whereis(Merged, key)?.node)
      let items: Array<string> = []
      while (items.length < 2) items = await a.ref(Merged, key).items()
      assert.deepEqual(items, [`a-${key}`, `b-${key}`])
    }
    await Promise.all([a.stop(), b.stop()])
  })
})

describe("the metadata of a start", () => {
  test("is as long as metadata may be, and no longer", async () => {
    const node = await lone([Counter])
    await node.start(Counter, "x", undefined, { meta: "x".repeat(60_000) })
    const longer = { meta: "x".repeat(70_000) }
    await assert.rejects(node.start(Counter, "y", undefined, longer), { _tag: "NotData" })
    await assert.rejects(node.update(node.ref(Counter, "x"), longer.meta), { _tag: "NotData" })
    await node.stop()
  })
})

describe("a start that nobody can carry out", () => {
  test("says which option is missing, or doesn't fit", async () => {
    const Jobs = Supervisor.define("jobs", { processes: [Counter], roles: ["worker"] })
    const node = await lone([], { supervisors: [Jobs] })
    await assert.rejects(node.start(Counter, "x"), /no member .* lists definitions in .* processes/)
    const result = await node.supervisor(Jobs).start(Counter, "x")
    assert.ok(result._tag === "Failed")
    assert.match(result.error.message, /hosts the supervisor jobs: .* roles must fit/)
    await node.stop()
  })
})

describe("additional names", () => {
  test("a registered name is found everywhere, is unique, and ends with its process", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as [Node, Node]
    const mine = keys(50).find((key) => a.nodeFor(Counter, key) === "a") as string
    const theirs = keys(50).find((key) => a.nodeFor(Counter, key) === "b") as string
    const counter = await a.start(Counter, mine)
    const other = await b.start(Counter, theirs)
    await a.register("leader", counter)
    assert.equal(a.whereis("leader")?.process, `Counter/${mine}`)
    assert.equal(await tagOf(b.register("leader", other)), "AlreadyRegistered")
    assert.equal(await tagOf(a.register("leader", counter)), "AlreadyRegistered")
    await a.register("follower", other)
    assert.equal(a.whereis("follower")?.node, b.name)
    await until(b, () => b.whereis("leader")?.node === "a")
    assert.equal(await b.unregister("leader"), true)
    assert.equal(b.whereis("leader"), undefined)
    assert.equal(await a.unregister("leader"), false)
    await b.register("leader", b.ref(Counter, theirs))
    assert.equal(b.whereis("leader")?.node, "b")
    await b.stopProcess(Counter, theirs)
    assert.equal(b.whereis("leader"), undefined)
  })

  test("of two serialized registrations at the same time one wins", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as [Node, Node]
    const mine = await a.start(
      Counter,
      keys(50).find((key) => a.nodeFor(Counter, key) === "a") as string,
    )
    const theirs = await b.start(
      Counter,
      keys(50).find((key) => a.nodeFor(Counter, key) === "b") as string,
    )
    for (const name of keys(20)) {
      const results = await Promise.allSettled([a.register(name, mine), b.register(name, theirs)])
      assert.deepEqual(results.map((one) => one.status).sort(), ["fulfilled", "rejected"])
    }
  })
})

describe("options", () => {
  test("options that can't be right are refused with their name", async () => {
    const refused = async (options: object, option: string): Promise<void> => {
      await assert.rejects(lone([Counter], options), { _tag: "InvalidOption", option })
    }
    await refused({ name: "" }, "name")
    await refused({ weight: 0.5 }, "weight")
    await refused({ limits: { mailboxMax: 0 } }, "limits.mailboxMax")
    await refused({ processes: [Counter, Counter] }, "processes")
    const { transport } = network().at("a")
    await refused({ transport: { ...transport, trusted: false }, cookie: undefined }, "cookie")
    await refused({ transport: undefined }, "transport")
  })

  test("connect fails with a reason when nobody answers, and disconnect parts two nodes", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as [Node, Node]
    await assert.rejects(a.connect("nowhere", { timeout: 20 }), {
      _tag: "ConnectFailed",
      address: "nowhere",
    })
    const down = [event(a, "MemberDown"), event(b, "MemberDown")]
    await a.disconnect("b")
    assert.deepEqual(
      (await Promise.all(down)).map((one) => one.reason),
      ["disconnected", "disconnected"],
    )
    const up = event(b, "MemberUp")
    await a.connect("b")
    await up
  })

  test("a node started with an aborted signal rejects, and one aborted later stops", async () => {
    await assert.rejects(lone([Counter], { signal: AbortSignal.abort(new Error("no")) }), /no/)
    const controller = new AbortController()
    const node = await lone([Counter], { signal: controller.signal })
    const stopped = event(node, "Stopped")
    controller.abort()
    await stopped
    assert.equal(await tagOf(node.start(Counter, "x")), "NodeStopped")
  })
})
