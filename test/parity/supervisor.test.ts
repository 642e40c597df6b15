/** DistributedSupervisor 0.5.5, function by function, and Skein's way. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { Process, Supervisor } from "skein"
import { type SimNode, simulate } from "skein/testing"
import { type Stage, staged } from "./shared.ts"

const Job = Process.define("Job", {
  state: (init?: { readonly n?: number; readonly what?: "ignore" | "throw" }) => {
    if (init?.what === "ignore") return Process.ignore
    if (init?.what === "throw") throw new Error("it raised")
    return { n: init?.n ?? 0 }
  },
  calls: {
    add: (self, by: number) => (self.state.n += by),
    where: (self) => self.node,
    slow: (_, millis: number) => Effect.sleep(millis),
    crash: () => {
      throw new Error("it crashed")
    },
  },
  casts: {
    bump: (self) => {
      self.state.n++
    },
  },
})
const Stranger = Process.define("Stranger", { state: () => ({}) })

const Jobs = Supervisor.define("jobs", { processes: [Job] })
type Jobs = Supervisor.SupervisorRef<typeof Job>

const jobs = (node: SimNode): Jobs => node.supervisor(Jobs)
const cluster = (body: (stage: Stage) => Promise<void>) =>
  staged({ options: { supervisors: [Jobs] } }, body)

/** A key that the ring gives to this node. */
function keyAt(node: SimNode, prefix = "k"): string {
  for (let i = 0; ; i++) if (jobs(node).nodeFor(Job, prefix + i) === node.name) return prefix + i
}

/** Starts it, and fails if it isn't started. */
async function start(node: SimNode, key: string, n = 0, options = {}) {
  const result = await jobs(node).start(Job, key, { n }, options)
  if (result._tag !== "Started") throw new Error(`${key}: ${JSON.stringify(result)}`)
  return result
}

describe("DistributedSupervisor.start_link(opts)", () => {
  test("start_link, name: several supervisors, each with its own children; a name that can't be used is a TypeError", async () => {
    const Other = Supervisor.define("other", { processes: [Job] })
    await simulate({ nodes: 2, options: { supervisors: [Jobs, Other] } }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const [one, other] = [a.supervisor(Jobs), a.supervisor(Other)]
      await one.start(Job, "x", { n: 1 })
      await other.start(Job, "x", { n: 2 })
      await sim.converged()
      assert.equal(await b.supervisor(Jobs).ref(Job, "x").add(0), 1)
      assert.equal(await b.supervisor(Other).ref(Job, "x").add(0), 2)
      assert.deepEqual([one.counts().total, other.counts().total], [1, 1])
    })
    for (const name of ["", "a name", "a:b", "a/b"])
      assert.throws(() => Supervisor.define(name, { processes: [Job] }), TypeError)
    await assert.rejects(
      simulate({ nodes: 1, options: { supervisors: [Jobs, Jobs] }, directory: false }, () => {}),
      { _tag: "InvalidOption", option: "supervisors" },
    )
  })

  test(
    "start_link, cache_children?: every node knows all children by name, without an option",
    cluster(async ({ sim, a, b, c }) => {
      for (const node of [a, b, c]) await start(node, keyAt(node))
      await sim.converged()
      for (const node of [a, b, c]) {
        assert.equal(jobs(node).children().length, 3)
        const { ref } = jobs(node).children()[0] ?? assert.fail()
        assert.equal(jobs(node).whois(ref)?.key, ref.key)
      }
    }),
  )

  test("start_link, nodes: all who list the supervisor, or those of them that its nodes or its roles say", async () => {
    const Named = Supervisor.define("named", { processes: [Job], nodes: ["a", "c", "z"] })
    const Roles = Supervisor.define("roles", { processes: [Job], roles: ["worker"] })
    const options = (i: number) => ({
      roles: i > 0 ? ["worker"] : [],
      supervisors: i === 2 ? [Named, Roles, Jobs] : [Named, Roles],
    })
    await simulate({ nodes: 3, options }, async (sim) => {
      for (const node of sim.nodes) {
        assert.deepEqual(node.supervisor(Named).nodes(), ["a", "c"])
        assert.deepEqual(node.supervisor(Roles).nodes(), ["b", "c"])
        assert.deepEqual(jobs(node).nodes(), ["c"])
        for (let i = 0; i < 20; i++)
          assert.ok(["b", "c"].includes(node.supervisor(Roles).nodeFor(Job, `k${i}`) ?? ""))
      }
    })
  })

  test("start_link, monitor_nodes: nodes that come and go change who has the children, without an option", async () => {
    await simulate({ nodes: 2, options: { supervisors: [Jobs] } }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const c = await sim.join()
      await sim.converged()
      assert.deepEqual(jobs(a).nodes(), ["a", "b", "c"])
      b.crash()
      await sim.until("it is seen", () => jobs(a).nodes().length === 2)
      await sim.settle()
      assert.deepEqual(
        [jobs(a).nodes(), jobs(c).nodes()],
        [
          ["a", "c"],
          ["a", "c"],
        ],
      )
    })
  })

  test("start_link, listeners: one or several, from the start of each node", async () => {
    const log: Array<string> = []
    const listener = (name: string): Supervisor.Listeners<typeof Job> => ({
      started: ({ child, by }) => log.push(`${name} ${by} ${child.key}`),
    })
    const Heard = Supervisor.define("heard", {
      processes: [Job],
      listeners: [listener("first"), listener("second")],
    })
    await simulate({ nodes: 2, options: { supervisors: [Heard] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const result = await a.supervisor(Heard).start(Job, "x")
      const node = result._tag === "Started" ? result.node : ""
      assert.deepEqual(log, [`first ${node} x`, `second ${node} x`])
    })
  })

  test("start_link, max_restarts 100 per 1 s: the option intensity; a child that crashes too often ends for good", async () => {
    const Strict = Supervisor.define("strict", {
      processes: [Job],
      intensity: { max: 2, withinMillis: 60_000 },
    })
    await simulate({ nodes: 2, options: { supervisors: [Strict] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const strict = a.supervisor(Strict)
      const reasons: Array<string> = []
      for (const node of sim.nodes)
        node.supervisor(Strict).on({ stopped: ({ reason }) => reasons.push(reason) })
      await strict.start(Job, "x", { n: 5 })
      const ref = strict.ref(Job, "x")
      for (let i = 0; i < 2; i++) {
        await assert.rejects(ref.crash(), { _tag: "HandlerCrashed" })
        assert.equal(await ref.add(0), 5)
      }
      await assert.rejects(ref.crash(), { _tag: "HandlerCrashed" })
      await assert.rejects(ref.add(0), { _tag: "NoProcess" })
      assert.equal(reasons.length, 1)
      assert.equal(strict.counts().total, 0)
    })
  })
})

describe("DistributedSupervisor.start_child(name, spec, node \\\\ nil)", () => {
  test(
    "start_child: {:ok, pid, child_name} is Started, with the reference, the key and the node, which node_for says",
    cluster(async ({ sim, a, b }) => {
      const key = keyAt(b)
      const { ref, key: named, node } = await start(a, key, 3)
      assert.deepEqual([named, node, await ref.where(), await ref.add(0)], [key, "b", "b", 3])
      assert.equal(sim.nodes[0]?.whereis(Job, key), undefined, "it is the supervisor's alone")
    }),
  )

  test(
    "start_child: child_name = opts[:name] or a fresh reference: without a key it gets a new one",
    cluster(async ({ sim, a, b }) => {
      const seen = new Set<unknown>()
      for (const node of [a, b, a, b]) {
        const result = await jobs(node).start(Job, undefined, { n: 1 })
        assert.ok(result._tag === "Started")
        seen.add(result.key)
        assert.equal(await result.ref.add(0), 1)
      }
      assert.equal(seen.size, 4)
      await sim.converged()
      for (const { key } of jobs(a).children()) assert.ok(seen.has(key))
    }),
  )

  test(
    "start_child: {:error, {:already_started, pid}} is AlreadyStarted, with the reference and the node of the one that runs",
    cluster(async ({ a, b, c }) => {
      const { node } = await start(a, "x", 1)
      for (const other of [a, b, c]) {
        const again = await jobs(other).start(Job, "x", { n: 9 })
        assert.ok(again._tag === "AlreadyStarted" && again.node === node)
        assert.equal(await again.ref.add(0), 1)
      }
    }),
  )

  test(
    "start_child: {:error, {:incorrect_spec, spec}} is Invalid, which says why: nothing is thrown",
    cluster(async ({ a }) => {
      const stranger = await jobs(a).start(Stranger as never as typeof Job, "x")
      const noKey = await jobs(a).start(Job, { no: "key" } as never)
      const noData = await jobs(a).start(Job, "x", { n: (() => 1) as never })
      const nowhere = await jobs(a).start(Job, "x", {}, { at: "z" })
      for (const result of [stranger, noKey, noData, nowhere])
        assert.ok(result._tag === "Invalid" && result.problem !== "", result._tag)
      assert.equal(jobs(a).counts().total, 0)
    }),
  )

  test(
    "start_child: :ignore is Ignored; other start errors and {:badrpc, _} are Failed, with the error",
    cluster(async ({ sim, a, b }) => {
      for (const key of [keyAt(a), keyAt(b)]) {
        assert.deepEqual(await jobs(a).start(Job, key, { what: "ignore" }), { _tag: "Ignored" })
        const failed = await jobs(a).start(Job, key, { what: "throw" })
        assert.ok(failed._tag === "Failed" && failed.error._tag === "StartFailed")
        assert.match(failed.error.message, /it raised/)
      }
      await sim.converged()
      assert.equal(jobs(b).counts().total, 0)
    }),
  )

  test(
    "start_child: node: a child is started where one says, and stays there",
    cluster(async ({ sim, a, b }) => {
      const key = keyAt(a)
      const { node, ref } = await start(a, key, 0, { at: "b" })
      await sim.converged()
      assert.equal(node, "b")
      await sim.join()
      await sim.converged()
      assert.equal(await ref.where(), "b")
      for (const one of [a, b]) assert.equal(jobs(one).nodeFor(Job, key), "b")
    }),
  )

  test("start_child: spec: {mod, keyword}, mod, or a map: a definition and what it starts with; nobody to run it is Failed with NoNode", async () => {
    const Nobody = Supervisor.define("nobody", { processes: [Job], nodes: ["z"] })
    await simulate({ nodes: 2, options: { supervisors: [Nobody] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const result = await a.supervisor(Nobody).start(Job, "x")
      assert.ok(result._tag === "Failed" && result.error._tag === "NoNode", JSON.stringify(result))
    })
  })

  test("start_child: restart, shutdown, type, modules, significant: restart types are the definition's: permanent, transient, temporary", async () => {
    const kinds = ["permanent", "transient", "temporary"] as const
    const definitions = kinds.map((restart) =>
      Process.define(restart, {
        state: () => ({}),
        calls: {
          alive: () => true,
          end: (self) => self.stop("enough"),
          crash: () => {
            throw new Error("it crashed")
          },
        },
        restart,
      }),
    )
    const All = Supervisor.define("all", { processes: definitions })
    await simulate({ nodes: 2, options: { supervisors: [All] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const all = a.supervisor(All)
      const lives: Array<string> = []
      for (const definition of definitions)
        for (const how of ["end", "crash"] as const) {
          await all.start(definition, how)
          const ref = all.ref(definition, how)
          await ref[how]().catch(() => {})
          await sim.advance("1 second")
          if ((await ref.try.alive()).ok) lives.push(`${definition.name} ${how}`)
        }
      assert.deepEqual(lives, ["permanent end", "permanent crash", "transient crash"])
    })
  })
})

describe("DistributedSupervisor", () => {
  test(
    "terminate_child(name, pid | nil): by reference, location, child, or name, whatever its restart type; {:error, :not_found} is false",
    cluster(async ({ sim, a, b }) => {
      const refs = [
        (await start(a, "x0")).ref,
        (await start(a, "x1")).ref,
        (await start(a, "x2")).ref,
        (await start(a, "x3")).ref,
      ] as const
      await sim.converged()
      assert.equal(await jobs(b).terminate(refs[0]), true)
      assert.equal(await jobs(b).terminate(jobs(b).whereis(Job, "x1") ?? assert.fail()), true)
      assert.equal(await jobs(b).terminate(jobs(b).whois(refs[2]) ?? assert.fail()), true)
      assert.equal(await jobs(b).terminate(Job, "x3", "enough"), true)
      await sim.converged()
      for (const ref of refs) assert.equal(await jobs(b).terminate(ref), false)
      assert.equal(await jobs(b).terminate(Job, "nobody"), false)
      assert.deepEqual(jobs(a).children(), [])
    }),
  )

  test(
    "nodes(name): who hosts it, the same on every node",
    cluster(async ({ sim }) => {
      for (const node of sim.nodes) assert.deepEqual(jobs(node).nodes(), ["a", "b", "c"])
    }),
  )

  test(
    "node_for(name, key): where a child of this key belongs, the same on every node",
    cluster(async ({ sim, a }) => {
      const found = new Set<string | undefined>()
      for (let i = 0; i < 50; i++) {
        const home = jobs(a).nodeFor(Job, ["key", i])
        found.add(home)
        for (const node of sim.nodes) assert.equal(jobs(node).nodeFor(Job, ["key", i]), home)
      }
      assert.deepEqual([...found].sort(), ["a", "b", "c"])
    }),
  )

  test(
    "mine?(name, key): isMine",
    cluster(async ({ sim, b }) => {
      for (const node of sim.nodes) assert.equal(jobs(node).isMine(Job, keyAt(b)), node === b)
    }),
  )

  test(
    "local_children(name): those of this node",
    cluster(async ({ sim, a, b, c }) => {
      for (const prefix of ["x", "y"])
        for (const node of [a, b]) await start(c, keyAt(node, prefix))
      await sim.converged()
      for (const [node, count] of [
        [a, 2],
        [b, 2],
        [c, 0],
      ] as const) {
        const local = jobs(node).localChildren()
        assert.equal(local.length, count)
        assert.ok(local.every((child) => child.node === node.name))
        assert.equal(jobs(node).counts().local, count)
      }
    }),
  )

  test(
    "children(name): all, with key, definition, reference and node, and how many, the same on every node",
    cluster(async ({ sim, a, b, c }) => {
      await start(a, "x", 1)
      await start(b, "y", 2)
      await sim.converged()
      for (const node of [a, b, c]) {
        const [x, y] = jobs(node).children()
        assert.ok(x !== undefined && y !== undefined)
        assert.deepEqual([x.key, x.definition, y.key], ["x", "Job", "y"])
        assert.equal(x.node, await x.ref.where())
        assert.equal(await y.ref.add(0), 2)
        const { total, byNode, byDefinition } = jobs(node).counts()
        assert.deepEqual([total, [...byDefinition]], [2, [["Job", 2]]])
        assert.equal(
          [...byNode.values()].reduce((sum, count) => sum + count),
          2,
        )
      }
    }),
  )

  test(
    "whereis(name, id): where a child runs; undefined when it doesn't",
    cluster(async ({ sim, a, c }) => {
      assert.equal(jobs(c).whereis(Job, "x"), undefined)
      const { node, ref } = await start(a, "x")
      await sim.converged()
      const location = jobs(c).whereis(Job, "x")
      assert.deepEqual([location?.node, location?.process], [node, ref.name])
    }),
  )

  test(
    "whois(name, pid): which child a reference, a location or an id means; undefined for none",
    cluster(async ({ sim, a, c }) => {
      const { ref } = await start(a, "x")
      await sim.converged()
      const location = jobs(c).whereis(Job, "x") ?? assert.fail()
      for (const of of [ref, location, location.id]) assert.equal(jobs(c).whois(of)?.key, "x")
      assert.equal(jobs(c).whois(jobs(c).ref(Job, "nobody")), undefined)
      assert.equal(jobs(c).whois("nonsense"), undefined)
      const guest = await a.spawn(Stranger)
      assert.equal(jobs(a).whois(guest), undefined)
    }),
  )

  test(
    "call(name, id, msg, timeout \\\\ 5000): by key, for 5,000 ms unless told otherwise",
    cluster(async ({ sim, a, b }) => {
      const key = keyAt(b)
      await start(a, key, 1)
      assert.equal(await jobs(a).call(Job, key, "add", 2), 3)
      const ref = jobs(a).ref(Job, key)
      for (const [ask, millis] of [
        [() => jobs(a).call(Job, key, "slow", 60_000), 5_000],
        [() => ref.with({ timeout: 300 }).slow(60_000), 300],
      ] as const) {
        const began = sim.now
        await assert.rejects(ask(), { _tag: "Timeout", timeoutMillis: millis })
        assert.ok(Math.abs(sim.now - began - millis) <= 110, `after ${sim.now - began} ms`)
      }
      await assert.rejects(jobs(a).call(Job, "nobody", "add", 1), { _tag: "NoProcess" })
    }),
  )

  test(
    "cast(name, id, msg): by key, without waiting",
    cluster(async ({ sim, a, b }) => {
      const key = keyAt(b)
      await start(a, key, 1)
      const at = sim.now
      jobs(a).cast(Job, key, "bump")
      assert.equal(sim.now, at)
      assert.equal(await jobs(a).call(Job, key, "add", 0), 2)
    }),
  )

  test(
    "send(name, id, msg): true; false, and nothing is sent, when there is no such child",
    cluster(async ({ a, b }) => {
      const key = keyAt(b)
      await start(a, key, 1)
      assert.equal(jobs(a).send(Job, key, "bump"), true)
      assert.equal(await jobs(a).call(Job, key, "add", 0), 2)
      assert.equal(jobs(a).send(Job, "nobody", "bump"), false)
    }),
  )

  test(
    "via_name(name, id), Registry.whereis_name, Registry.send: a reference, which follows the child wherever it goes",
    cluster(async ({ sim, a, b, c }) => {
      const ref = jobs(a).ref(Job, "x")
      await assert.rejects(ref.add(1), { _tag: "NoProcess" })
      const { node } = await start(b, "x", 1)
      assert.equal(await ref.add(1), 2)
      const home = sim.nodes.find(({ name }) => name === node) as SimNode
      const other = [a, b, c].find((one) => one !== home) as SimNode
      await home.leave()
      await sim.converged()
      assert.equal(await jobs(other).ref(Job, "x").add(1), 3)
    }),
  )

  test(
    "Registry.register_name, Registry.unregister_name: more names for a child, of which of two at the same time one wins",
    cluster(async ({ sim, a, b }) => {
      const [x, y] = [(await start(a, "x")).ref, (await start(b, "y")).ref]
      await sim.converged()
      for (const name of ["boss", 1, 2, 3, 4, 5]) {
        const outcomes = await Promise.allSettled([a.register(name, x), b.register(name, y)])
        assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"])
        await sim.converged()
        const winner = outcomes[0]?.status === "fulfilled" ? x : y
        for (const node of sim.nodes) assert.equal(node.whereis(name)?.process, winner.name)
        assert.equal(await b.unregister(name), true)
      }
    }),
  )

  test("{:add_nodes, nodes}: a node that lists the supervisor is one of its nodes as soon as it has joined", async () => {
    const options = (i: number) => ({ supervisors: i === 1 ? [] : [Jobs] })
    await simulate({ nodes: 2, options }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      assert.deepEqual(jobs(b).nodes(), ["a"])
      await start(b, "x", 7)
      const c = await sim.join()
      await sim.converged()
      assert.deepEqual(jobs(b).nodes(), ["a", "c"])
      assert.equal(await jobs(b).call(Job, "x", "add", 0), 7)
      assert.equal(jobs(a).nodeFor(Job, keyAt(c)), "c")
    })
  })
})
