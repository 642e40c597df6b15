/** Distribunator 1.2.1, function by function: what it offers, and Skein's way to it. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Group, Key, Process, Remote } from "skein"
import { type SimNode, simulate } from "skein/testing"
import { listed, type Stage, staged, told, up } from "./shared.ts"

/** A process that registers itself under the name of its module, which is a group. */
const Worker = Process.define("Worker", {
  state: (init?: { readonly start: number }) => ({ n: init?.start ?? 0 }),
  started: (self) => self.join("Worker"),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    slow: (self, millis: number) => Effect.as(Effect.sleep(millis), self.key),
  },
  casts: {
    bump: (self) => {
      self.state.n++
    },
  },
})

/** One that doesn't. */
const Plain = Process.define("Plain", { state: () => ({}), calls: { who: (self) => self.key } })

const calls: Array<string> = []
const Add = Remote.define("add", {
  run: ({ node }, x: number, y: number) => {
    calls.push(`run at ${node}`)
    return x + y
  },
  beforeReply: ({ node, from }, sum: number) => {
    calls.push(`${sum} at ${node} for ${from}`)
  },
})
const Fail = Remote.define("fail", () => {
  throw new Error("no luck")
})
const Sleep = Remote.define("sleep", (_, millis: number) => Effect.sleep(millis))

const cluster = (body: (stage: Stage) => Promise<void>) =>
  staged({ processes: [Worker, Plain], options: { functions: [Add, Fail, Sleep] } }, body)

const workers = (node: SimNode): Group<typeof Worker> => node.group("Worker", Worker)

describe("Distribunator.Distributed", () => {
  test(
    "Distributed.pid_of(name): one process of a group, the nearest first; undefined when there is none",
    cluster(async ({ sim, a, b, c }) => {
      assert.equal(workers(a).any(), undefined)
      assert.equal(workers(a).members()[0], undefined)
      const far = await b.spawn(Worker, { start: 10 })
      await sim.until("it is known", () => workers(a).count === 1)
      assert.equal(workers(a).any()?.name, far.name)
      assert.equal(await workers(a).any()?.add(1), 11)
      const near = await a.spawn(Worker)
      await sim.until("they are known", () => workers(c).count === 2)
      assert.equal(workers(a).any()?.name, near.name)
      for (const node of sim.nodes) {
        // The head of the list is the same everywhere.
        assert.equal(workers(node).members()[0]?.ref.name, far.name)
      }
    }),
  )

  test(
    "Distributed.all_pids_of(name): the members of a group, the same on every node; an empty list for none",
    cluster(async ({ sim, a, b, c }) => {
      assert.deepEqual(workers(a).members(), [])
      const refs = [await a.spawn(Worker), await b.spawn(Worker), await b.spawn(Worker)]
      await sim.converged()
      for (const node of [a, b, c])
        assert.deepEqual(
          workers(node)
            .members()
            .map(({ ref }) => ref.name),
          refs.map(({ name }) => name),
        )
    }),
  )

  test(
    "Distributed.all_nodes_of(name): the nodes of a group, each once",
    cluster(async ({ sim, a, b, c }) => {
      assert.deepEqual(workers(a).nodes(), [])
      for (const node of [b, b, a]) await node.spawn(Worker)
      await sim.converged()
      for (const node of [a, b, c]) assert.deepEqual(workers(node).nodes(), ["a", "b"])
    }),
  )

  test(
    "Distributed.node_rpc(name, m, f, a, cb): runs a function on the node that has the name; its callback first, there",
    cluster(async ({ sim, a, b }) => {
      calls.length = 0
      const ref = await b.spawn(Plain)
      await b.register("desk", ref)
      await sim.converged()
      for (const of of ["desk", ref] as const) assert.equal(await a.remote(Add).at(of)(1, 2), 3)
      assert.deepEqual(calls, ["run at b", "3 at b for a", "run at b", "3 at b for a"])
    }),
  )

  test(
    'Distributed.node_rpc(name, m, f, a, cb): {:error, "no node"} is NoProcess, {:badrpc, reason} is HandlerCrashed',
    cluster(async ({ sim, a, b }) => {
      await assert.rejects(a.remote(Add).at("nobody")(1, 2), {
        _tag: "NoProcess",
        outcome: "not-executed",
      })
      const ref = await b.spawn(Plain)
      await sim.converged()
      await assert.rejects(a.remote(Fail).at(ref)(), { _tag: "HandlerCrashed", reason: "no luck" })
    }),
  )

  test(
    "Distributed.do_node_rpc(node, m, f, a, cb | nil): runs a function on a chosen node, this one too, with or without a callback",
    cluster(async ({ a }) => {
      for (const at of ["a", "b"]) {
        calls.length = 0
        assert.equal(await a.remote(Add).on(at)(20, 22), 42)
        assert.deepEqual(calls, [`run at ${at}`, `42 at ${at} for a`])
        await assert.rejects(a.remote(Fail).on(at)(), { _tag: "HandlerCrashed" })
      }
      await assert.rejects(a.remote(Add).on("z")(1, 2), { _tag: "Unreachable", node: "z" })
    }),
  )

  test("Distributed.do_node_rpc: the callback can monitor the caller before it has its answer", async () => {
    const gone: Array<string> = []
    const nodes = new Map<string, SimNode>()
    const Lend = Remote.define("lend", {
      run: (_, borrower: string) => borrower,
      beforeReply: (context, borrower) => {
        const ref = context.ref(Plain, borrower)
        nodes.get(context.node)?.monitor(ref, ({ reason }) => gone.push(reason))
      },
    })
    const options = { processes: [Plain], options: { functions: [Lend] } }
    await simulate({ nodes: 2, ...options }, async (sim) => {
      for (const node of sim.nodes) nodes.set(node.name, node)
      const [a] = sim.nodes as [SimNode]
      const ref = await a.start(Plain, "borrower")
      await a.remote(Lend).on("b")(ref.key)
      assert.deepEqual(gone, [])
      await a.stopProcess(ref, "enough")
      await sim.until("it is told", () => gone.length > 0)
      assert.deepEqual(gone, ["stopped"])
    })
  })

  test(
    "Distributed.register(name, pid \\\\ self()): a process joins a group by itself, or is made to from anywhere",
    cluster(async ({ sim, a, b, c }) => {
      const itself = await a.spawn(Worker)
      const made = await b.spawn(Plain)
      await sim.converged()
      await c.group("anything at all").join(made)
      await c.group(["a", ["term", 42n]]).join(made)
      await sim.converged()
      for (const node of sim.nodes) {
        assert.equal(workers(node).members()[0]?.ref.name, itself.name)
        assert.equal(node.group(["a", ["term", 42n]]).members()[0]?.ref.name, made.name)
      }
    }),
  )

  test(
    "Distributed.register: many processes may hold one name, and one process many names",
    cluster(async ({ sim, a, b }) => {
      const refs = [await a.spawn(Plain), await b.spawn(Plain)]
      await sim.converged()
      for (const ref of refs) for (const name of ["x", "y"]) await a.group(name).join(ref)
      for (const name of ["x", "y"]) assert.equal(a.group(name).count, 2)
    }),
  )

  test(
    "Distributed.registry(): all groups with their members, from any node; names beside them",
    cluster(async ({ sim, a, b, c }) => {
      assert.deepEqual([a.groups(), a.names()], [[], []])
      const itself = await a.spawn(Worker)
      const made = await b.spawn(Plain, undefined, { key: "one" })
      for (const name of ["x", ["y", 1]] as const) await b.group(name).join(made)
      await b.register("desk", made)
      await sim.converged()
      for (const node of [a, b, c]) {
        const groups = node.groups().map((name) => [
          Key.text(name),
          node
            .group(name)
            .members()
            .map(({ process }) => process),
        ])
        assert.deepEqual(
          new Map(groups as Array<[string, Array<string>]>),
          new Map([
            ["Worker", [itself.name]],
            ["x", [made.name]],
            [Key.text(["y", 1]), [made.name]],
          ]),
        )
        assert.deepEqual(
          node.names().map(({ name, process }) => [name, process]),
          [
            ["/desk", made.name],
            ["@Plain/one", made.name],
            [itself.name, itself.name],
          ],
        )
      }
      await b.stopProcess(made)
      await sim.converged()
      assert.deepEqual(a.groups(), ["Worker"])
    }),
  )

  test(
    "macro my_pid(): a process of the caller's module: undefined, not a crash, when there is none",
    cluster(async ({ sim, a, b }) => {
      assert.equal(a.group(Worker.name, Worker).any(), undefined)
      const { name } = await b.spawn(Worker)
      await sim.converged()
      assert.equal(a.group(Worker.name, Worker).any()?.name, name)
    }),
  )

  test(
    "macro register(): a process joins in its `started`, and is a member again after a restart",
    cluster(async ({ sim, a }) => {
      const ref = await a.start(Worker, "w")
      await sim.converged()
      assert.deepEqual(
        workers(a)
          .members()
          .map(({ process }) => process),
        [ref.name],
      )
    }),
  )

  test(
    "macro call(msg, timeout \\\\ 5000): a call to whoever is registered, for 5,000 ms unless told otherwise",
    cluster(async ({ sim, a, b }) => {
      await b.spawn(Worker, { start: 1 })
      await sim.converged()
      const picked = workers(a).byKey("any key")
      assert.equal(await picked.add(1), 2)
      for (const [ref, millis] of [
        [picked, 5_000],
        [picked.with({ timeout: 300 }), 300],
      ] as const) {
        const began = sim.now
        await assert.rejects(ref.slow(60_000), { _tag: "Timeout", timeoutMillis: millis })
        assert.ok(Math.abs(sim.now - began - millis) < 200, `after ${sim.now - began} ms`)
      }
    }),
  )

  test(
    "macro cast(msg): waits for nothing",
    cluster(async ({ sim, a, b }) => {
      await b.spawn(Worker)
      await sim.converged()
      const at = sim.now
      workers(a).byKey("any key").cast.bump()
      assert.equal(sim.now, at)
      assert.equal(await workers(a).byKey("any key").add(0), 1)
    }),
  )

  test(
    "macro all_pids_of(), all_nodes_of(), node_rpc(m, f, a, cb): the same by the definition's name",
    cluster(async ({ sim, a, b }) => {
      calls.length = 0
      const ref = await b.spawn(Worker)
      await sim.converged()
      const group = a.group(Worker.name, Worker)
      assert.deepEqual(
        group.members().map(({ ref }) => ref.name),
        [ref.name],
      )
      assert.deepEqual(group.nodes(), ["b"])
      const [first] = group.members()
      assert.ok(first !== undefined)
      assert.equal(await a.remote(Add).at(first.ref)(1, 1), 2)
      assert.deepEqual(calls, ["run at b", "2 at b for a"])
    }),
  )
})

describe("Distribunator.Manager", () => {
  /** Nodes that know nobody. */
  const strangers = (body: (stage: Stage) => Promise<void>) =>
    staged({ formed: false, options: { connect: [] } }, body)

  test("Manager.start_link(absent_nodes \\\\ []): the option connect; who is absent is connected when it comes", async () => {
    const options = (i: number) => ({ connect: i === 0 ? ["b", "c"] : [] })
    await simulate({ nodes: 2, formed: false, options }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await sim.converged()
      assert.deepEqual(listed(a), ["b connected", "c waiting"])
      await sim.join()
      await sim.converged()
      assert.deepEqual(listed(a), ["b connected", "c connected"])
      for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
    })
  })

  test(
    "Manager.start_link([]): alone when nothing is listed",
    strangers(async ({ sim, a }) => {
      await sim.advance("30 seconds")
      assert.deepEqual([up(a), listed(a)], [["a"], []])
    }),
  )

  test(
    "Manager.connect(node | [node]): one or several addresses; resolves when they are members",
    strangers(async ({ a, b }) => {
      await a.connect("b")
      assert.deepEqual(up(a), ["a", "b"])
      await b.disconnect("a")
      await b.connect(["a", "c"])
      assert.deepEqual(up(b), ["a", "b", "c"])
    }),
  )

  test(
    'Manager.connect: {:error, "duplicate node"} is DuplicateAddress, and then nothing of the list is dialled',
    strangers(async ({ sim, a }) => {
      await a.connect("b")
      await assert.rejects(a.connect(["c", "b"]), { _tag: "DuplicateAddress", reason: "connected" })
      await assert.rejects(a.connect(["c", "c"]), { _tag: "DuplicateAddress", reason: "twice" })
      await assert.rejects(a.connect(["c", "a"]), { _tag: "DuplicateAddress", reason: "own" })
      await assert.rejects(a.connect("z", { timeout: 0 }), { _tag: "ConnectFailed" })
      await assert.rejects(a.connect(["c", "z"]), { _tag: "DuplicateAddress", reason: "listed" })
      await sim.advance("1 minute")
      assert.deepEqual(
        [up(a), listed(a)],
        [
          ["a", "b"],
          ["b connected", "z waiting"],
        ],
      )
    }),
  )

  test(
    "Manager.disconnect(node | [node]): one or several nodes, until somebody connects them again",
    strangers(async ({ sim, a, b, c }) => {
      await a.connect(["b", "c"])
      await sim.converged()
      await a.disconnect("b")
      assert.deepEqual(up(a), ["a", "c"])
      await sim.advance("1 minute")
      assert.deepEqual(
        [up(a), up(b)],
        [
          ["a", "c"],
          ["b", "c"],
        ],
      )
      await c.disconnect(["a", "b"])
      await sim.advance("1 minute")
      for (const node of [a, b, c]) assert.deepEqual(up(node), [node.name])
      await a.connect(["b", "c"])
      for (const name of ["b", "c"]) assert.ok(up(a).includes(name))
    }),
  )

  test(
    'Manager.disconnect: {:error, "no node"} is UnknownNode, and then nobody of the list is parted with',
    strangers(async ({ a }) => {
      await a.connect("b")
      await assert.rejects(a.disconnect("z"), { _tag: "UnknownNode", node: "z" })
      await assert.rejects(a.disconnect(["b", "z"]), { _tag: "UnknownNode", node: "z" })
      assert.deepEqual(up(a), ["a", "b"])
    }),
  )

  test(
    "Manager.do_reconcile, do_connect, do_disconnect, %State{absent_nodes, present_nodes}: node.connections()",
    strangers(async ({ sim, a, b }) => {
      await assert.rejects(a.connect(["b", "z"], { timeout: 1_000 }), { _tag: "ConnectFailed" })
      assert.deepEqual(listed(a), ["b connected", "z waiting"])
      b.crash()
      await sim.until("it is seen", () => listed(a).includes("b waiting"))
      await b.restart()
      await sim.until("it is connected again", () => listed(a).includes("b connected"))
      await a.disconnect("b")
      assert.deepEqual(listed(a), ["b disconnected", "z waiting"])
    }),
  )

  test(
    "Manager :reconcile: at once, and again while a node is absent, every 5 s at the latest",
    strangers(async ({ sim, a }) => {
      const began = sim.now
      await assert.rejects(a.connect("z", { timeout: 0 }), { _tag: "ConnectFailed" })
      await sim.advance("10 minutes")
      const times = told(sim, "ConnectionFailed").map(({ at }) => at)
      assert.ok((times[0] ?? Number.POSITIVE_INFINITY) - began < 100)
      for (const [i, at] of times.slice(1).entries())
        assert.ok(at - (times[i] as number) <= 6_260, `${at - (times[i] as number)} ms`)
    }),
  )

  test(
    "Manager {:nodedown, node}: is told of as MemberDown, and when it is back as MemberUp",
    cluster(async ({ sim, a, c }) => {
      const seen: Array<string> = []
      a.on({
        MemberDown: ({ node }) => seen.push(`${node} down`),
        MemberUp: ({ node }) => seen.push(`${node} up`),
      })
      c.crash()
      await sim.until("it is seen", () => seen.length === 1)
      await c.restart()
      await sim.converged()
      assert.deepEqual(seen, ["c down", "c up"])
    }),
  )
})

describe("Distribunator's faults", () => {
  test("fault: a node that goes down makes the manager forget all nodes; here all stay listed and are connected again", async () => {
    const options = (i: number) => ({ connect: i === 0 ? ["b", "c", "z"] : [] })
    await simulate({ nodes: 3, formed: false, options }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await sim.converged()
      for (const node of [b, c, b]) {
        node.crash()
        await sim.until("it is seen", () => !up(a).includes(node.name))
        await sim.advance("1 minute")
        assert.equal(listed(a).length, 3)
        await node.restart()
        const again = (): boolean =>
          listed(a).includes(`${node.name} connected`) && up(a).length === 3
        await sim.until("it is connected again", again, "15 seconds")
      }
      assert.deepEqual([up(a), listed(a)[2]], [["a", "b", "c"], "z waiting"])
    })
  })

  test("fault: connect and disconnect are carried out by another node's manager; here by the node that is asked", async () => {
    await simulate({ nodes: 3 }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      for (const node of [c, b]) {
        await assert.rejects(node.connect(`z${node.name}`, { timeout: 0 }), {
          _tag: "ConnectFailed",
        })
        await sim.advance("1 minute")
        for (const other of sim.nodes)
          assert.equal(listed(other).includes(`z${node.name} waiting`), other === node)
      }
      const dialled = told(sim, "ConnectionFailed").map(({ node, event }) => node + event.address)
      assert.deepEqual([...new Set(dialled)].sort(), ["bzb", "czc"])
      await b.disconnect("c")
      await sim.advance("1 minute")
      assert.deepEqual(
        [up(a), up(b)],
        [
          ["a", "b", "c"],
          ["a", "b"],
        ],
      )
    })
  })

  test("fault: connecting blocks all else, and each connect and nodedown adds a timer of its own", async () => {
    const options = { connect: [] }
    await simulate({ nodes: 3, formed: false, processes: [Plain], options }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await a.connect("b")
      // A machine that doesn't even refuse.
      sim.isolate(c)
      const began = sim.now
      const failed = assert.rejects(a.connect("c"), { _tag: "ConnectFailed", address: "c" })
      const ref = await a.start(Plain, "x")
      assert.equal(await ref.who(), "x")
      assert.ok(sim.now - began < 1_000, "nothing else waits")
      await failed
      assert.ok(Math.abs(sim.now - began - 5_000) < 50, `after ${sim.now - began} ms`)
      // However often it comes and goes, and others are asked for: it is dialled as one that is listed,
      // and as one that was a member, each about every 5 seconds, and not more often each time.
      for (let i = 0; i < 5; i++) {
        b.crash()
        await sim.until("it is seen", () => up(a).length === 1)
        await assert.rejects(a.connect(`z${i}`, { timeout: 0 }), { _tag: "ConnectFailed" })
        await b.restart()
        await sim.until("it is back", () => up(a).length === 2)
      }
      b.crash()
      await sim.advance("1 minute")
      const since = sim.now
      await sim.advance("5 minutes")
      const attempts = told(sim, "ConnectionFailed").filter(
        ({ at, event }) => at >= since && event.address === "b",
      )
      assert.ok(attempts.length > 40 && attempts.length <= 160, `${attempts.length} attempts`)
    })
  })

  test(
    "fault: a name can't be given back, and a second register is a second membership",
    cluster(async ({ sim, a, b }) => {
      const ref = await b.spawn(Plain)
      await sim.converged()
      const group = a.group("x", Plain)
      await group.join(ref)
      await group.join(ref)
      assert.equal(group.count, 1)
      assert.equal(await group.leave(ref), true)
      assert.equal(await group.leave(ref), false)
      assert.equal(group.count, 0)
      await sim.converged()
      assert.equal(b.group("x").count, 0)
      assert.equal(await ref.who(), ref.key)
    }),
  )

  test(
    "fault: call and cast crash their caller when nobody is registered; here it is NoMember",
    cluster(async ({ a }) => {
      await assert.rejects(workers(a).byKey("k").add(1), {
        _tag: "NoMember",
        outcome: "not-executed",
      })
      assert.throws(() => workers(a).byKey("k").cast.bump(), { _tag: "NoMember" })
    }),
  )

  test(
    "fault: the remote call has no timeout; here it has 5,000 ms unless told otherwise",
    cluster(async ({ sim, a }) => {
      for (const [remote, millis] of [
        [a.remote(Sleep), 5_000],
        [a.remote(Sleep).with({ timeout: 250 }), 250],
      ] as const) {
        const began = sim.now
        await assert.rejects(remote.on("b")(600_000), { _tag: "Timeout", outcome: "unknown" })
        assert.ok(Math.abs(sim.now - began - millis) < 200, `after ${sim.now - began} ms`)
      }
    }),
  )
})
