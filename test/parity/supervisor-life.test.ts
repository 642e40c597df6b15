/** DistributedSupervisor: its listeners, what becomes of its children when nodes come and go, and its faults. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Supervisor } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { type Stage, staged, told } from "./shared.ts"

/** What has happened, in order. */
let log: Array<string> = []

const Job = Process.define("Job", {
  state: (init?: { readonly n?: number }) => ({ n: init?.n ?? 0, signed: [] as Array<string> }),
  started: (self) => void log.push(`${self.key} started at ${self.node}`),
  stopping: (self, reason) => void log.push(`${self.key} stopping at ${self.node}: ${reason}`),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    where: (self) => self.node,
    sign: (self, name: string) => self.state.signed.push(name),
    signed: (self) => self.state.signed,
    crash: () => {
      throw new Error("it crashed")
    },
  },
  casts: {
    bump: (self) => {
      self.state.n++
    },
  },
  handoff: {
    merge: (mine, theirs) => ({
      n: mine.n + theirs.n,
      signed: [...new Set([...mine.signed, ...theirs.signed])].sort(),
    }),
  },
})

const Jobs = Supervisor.define("jobs", { processes: [Job] })

const jobs = (node: SimNode): Supervisor.SupervisorRef<typeof Job> => node.supervisor(Jobs)
const cluster = (body: (stage: Stage) => Promise<void>) =>
  staged({ options: { supervisors: [Jobs] } }, (stage) => {
    log = []
    return body(stage)
  })

/** Starts so many children, `j0`, `j1` …, with n from 10 on; fails if one isn't started. */
async function children(sim: Sim, count: number): Promise<ReadonlyArray<string>> {
  const keys = Array.from({ length: count }, (_, i) => `j${i}`)
  for (const [i, key] of keys.entries()) {
    const node = sim.nodes[i % sim.nodes.length] as SimNode
    const result = await jobs(node).start(Job, key, { n: 10 + i })
    assert.equal(result._tag, "Started")
  }
  await sim.converged()
  return keys
}

/** The keys of those that run at a node. */
const keysAt = (node: SimNode): ReadonlyArray<string> =>
  jobs(node)
    .localChildren()
    .map(({ ref }) => ref.key)

/** Where a child lives, as it is: its nodes. */
const homes = (sim: Sim, key: string): ReadonlyArray<string> =>
  sim.nodes.filter((node) => sim.serves(node) && keysAt(node).includes(key)).map(({ name }) => name)

/** Everything that the listeners of every node are told, as `by: what`. */
function listen(sim: Sim): ReadonlyArray<string> {
  const heard: Array<string> = []
  for (const node of sim.nodes)
    jobs(node).on({
      started: ({ by, child }) => heard.push(`${by}: started ${child.key}`),
      stopped: ({ by, child, reason }) => heard.push(`${by}: stopped ${child.key} ${reason}`),
      crashed: ({ by, child, restarted }) => heard.push(`${by}: crashed ${child.key} ${restarted}`),
      nodeUp: ({ by, node, elected }) => heard.push(`${by}: up ${node}${elected ? "!" : ""}`),
      nodeDown: ({ by, node, reason, elected }) =>
        heard.push(`${by}: down ${node}${elected ? "!" : ""} ${reason}`),
      nodeLeaving: ({ by, node }) => heard.push(`${by}: leaving ${node}`),
      handoffStarted: ({ by, to, children }) =>
        heard.push(`${by}: handoff of ${children.length} to ${to}`),
      takenOver: ({ by, from, children }) =>
        heard.push(`${by}: took ${children.length} from ${from}`),
    })
  return heard
}

describe("DistributedSupervisor's listeners", () => {
  test(
    "on_process_start(name, id, pid): started, once, on the child's node only",
    cluster(async ({ sim, a }) => {
      const heard = listen(sim)
      const result = await jobs(a).start(Job, "x")
      assert.ok(result._tag === "Started")
      await sim.converged()
      assert.deepEqual(heard, [`${result.node}: started x`])
    }),
  )

  test(
    "on_process_stop(name, id, pid): stopped, once, on the child's node only, with the reason",
    cluster(async ({ sim, a, b }) => {
      await children(sim, 2)
      const heard = listen(sim)
      const [x, y] = [jobs(a).whereis(Job, "j0"), jobs(a).whereis(Job, "j1")]
      await jobs(b).terminate(Job, "j0", "enough")
      await assert.rejects(jobs(a).call(Job, "j1", "crash"), { _tag: "HandlerCrashed" })
      await sim.converged()
      assert.deepEqual(heard, [`${x?.node}: stopped j0 enough`, `${y?.node}: crashed j1 true`])
    }),
  )

  test(
    "on_node_up(name, node, info), on_node_down(name, node, info): every node is told, and who has to act is elected: one",
    cluster(async ({ sim, a, b, c }) => {
      const heard = listen(sim)
      c.crash()
      await sim.until("it is seen", () => heard.length >= 2)
      await sim.settle()
      assert.deepEqual(heard.map((line) => line.replace("!", "").slice(0, 9)).sort(), [
        ...["a: down c", "b: down c"],
      ])
      assert.equal(heard.filter((line) => line.includes("!")).length, 1)
      await c.restart()
      await sim.converged()
      const ups = heard.slice(2)
      assert.deepEqual(ups.map((line) => line.replace("!", "")).sort(), ["a: up c", "b: up c"])
      assert.equal(ups.filter((line) => line.includes("!")).length, 1)
      for (const node of [a, b]) assert.deepEqual(jobs(node).nodes(), ["a", "b", "c"])
    }),
  )

  test(
    "on_node_terminate(name, node, reason, statuses): leaving, on all others, and the children come with their states",
    cluster(async ({ sim, a, b, c }) => {
      const keys = await children(sim, 12)
      const own = keysAt(c)
      assert.ok(own.length > 0)
      const heard = listen(sim)
      log = []
      await c.leave()
      await sim.converged()
      for (const by of ["a", "b"]) {
        assert.ok(heard.includes(`${by}: leaving c`))
        assert.ok(heard.some((line) => line.startsWith(`${by}: down c`) && line.endsWith("left")))
      }
      for (const key of own) assert.ok(log.includes(`${key} stopping at c: moved`))
      for (const [i, key] of keys.entries()) {
        assert.equal(await jobs(a).call(Job, key, "add", 0), 10 + i)
        assert.equal(homes(sim, key).length, 1)
      }
      assert.equal(jobs(b).counts().total, 12)
    }),
  )
})

describe("DistributedSupervisor's life cycle", () => {
  test(
    "child crash: it is restarted where it is, from what it was started with",
    cluster(async ({ sim, a }) => {
      await children(sim, 1)
      const before = homes(sim, "j0")
      await jobs(a).call(Job, "j0", "add", 5)
      await assert.rejects(jobs(a).call(Job, "j0", "crash"), { _tag: "HandlerCrashed" })
      assert.equal(await jobs(a).call(Job, "j0", "add", 0), 10)
      assert.deepEqual(homes(sim, "j0"), before)
    }),
  )

  test(
    "node crash: its children begin anew on the others, on each node that the ring says, once",
    cluster(async ({ sim, a, b, c }) => {
      const keys = await children(sim, 24)
      const orphans = keysAt(c)
      log = []
      c.crash()
      await sim.until("they are back", () => orphans.every((key) => homes(sim, key).length === 1))
      await sim.settle()
      for (const key of keys) assert.deepEqual(homes(sim, key), [jobs(a).nodeFor(Job, key)])
      assert.deepEqual(
        log.map((line) => line.split(" ")[0]).sort(),
        [...orphans].sort(),
        "each orphan is started once",
      )
      assert.equal(jobs(b).counts().total, 24)
    }),
  )

  test("node join: children move to the newcomer with their states, if rebalance is active; if it is passive they stay", async () => {
    for (const rebalance of ["active", "passive"] as const) {
      const Moving = Supervisor.define("moving", { processes: [Job], rebalance })
      await simulate({ nodes: 2, options: { supervisors: [Moving] } }, async (sim) => {
        const [a] = sim.nodes as [SimNode]
        for (let i = 0; i < 12; i++) await a.supervisor(Moving).start(Job, `j${i}`, { n: i })
        const c = await sim.join()
        await sim.converged()
        const there = c.supervisor(Moving).counts().local
        if (rebalance === "passive") assert.equal(there, 0)
        else assert.ok(there > 0 && there < 12)
        for (let i = 0; i < 12; i++)
          assert.equal(await c.supervisor(Moving).call(Job, `j${i}`, "add", 0), i)
      })
    }
  })

  test(
    "netsplit: both sides go on, as nobody can tell a cut from a death; after the heal one of two lives on, with both states",
    cluster(async ({ sim, a, b, c }) => {
      const keys = await children(sim, 12)
      sim.partition([a, b], [c])
      await sim.advance("30 seconds")
      await sim.settle()
      for (const [node, name] of [
        [a, "majority"],
        [c, "minority"],
      ] as const) {
        assert.equal(jobs(node).counts().total, 12)
        for (const key of keys) await jobs(node).call(Job, key, "sign", name)
      }
      sim.heal()
      await sim.converged()
      await sim.advance("10 seconds")
      for (const key of keys) {
        assert.equal(homes(sim, key).length, 1)
        const signed = await jobs(a).call(Job, key, "signed")
        assert.deepEqual(signed, ["majority", "minority"])
      }
      for (const node of [a, b, c]) assert.equal(jobs(node).counts().total, 12)
      assert.equal(told(sim, "ConflictLost").length, 12)
    }),
  )
})

describe("DistributedSupervisor's faults", () => {
  test(
    "fault: all orphans land on one node, as the ring is asked for the supervisor's name; here each goes where its own name says",
    cluster(async ({ sim, a, b, c }) => {
      await children(sim, 36)
      const orphans = keysAt(c)
      assert.ok(orphans.length > 5)
      c.crash()
      await sim.until("they are back", () => orphans.every((key) => homes(sim, key).length === 1))
      const heirs = orphans.map((key) => homes(sim, key)[0])
      assert.deepEqual([...new Set(heirs)].sort(), ["a", "b"])
      const [most, least] = [a, b].map(({ name }) => heirs.filter((heir) => heir === name).length)
      assert.ok((most as number) >= 2 && (least as number) >= 2, `${most} and ${least}`)
    }),
  )

  test("fault: temporary children are resurrected too; here they end with their node", async () => {
    const Once = Process.define("Once", {
      state: () => ({}),
      calls: { alive: () => true },
      restart: "temporary",
    })
    const Mixed = Supervisor.define("mixed", { processes: [Job, Once] })
    await simulate({ nodes: 3, options: { supervisors: [Mixed] } }, async (sim) => {
      const [a, , c] = sim.nodes as [SimNode, SimNode, SimNode]
      const mixed = a.supervisor(Mixed)
      for (const definition of [Job, Once])
        await mixed.start(definition as typeof Job, "x", {}, { at: "c" })
      await sim.converged()
      assert.equal(mixed.counts().total, 2)
      c.crash()
      await sim.until(
        "the other one is back",
        () => mixed.whereis(Job, "x")?.node === "a" || mixed.whereis(Job, "x")?.node === "b",
      )
      await sim.advance("1 minute")
      assert.equal(mixed.whereis(Once, "x"), undefined)
      await assert.rejects(mixed.ref(Once, "x").alive(), { _tag: "NoProcess" })
      assert.equal(mixed.counts().total, 1)
    })
  })

  test("fault: without a cache there is no failover, and there is none after a crash of the registry; here every node has all, also a new one", async () => {
    await simulate({ nodes: 2, options: { supervisors: [Jobs] } }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      await children(sim, 12)
      // Whoever knew them from the start is gone one after the other.
      const c = await sim.join()
      await sim.converged()
      a.crash()
      await sim.until("they are back", () => jobs(c).counts().total === 12)
      await sim.settle()
      b.crash()
      await sim.until("they are back", () => keysAt(c).length === 12)
      for (let i = 0; i < 12; i++) assert.equal(await jobs(c).call(Job, `j${i}`, "add", 0), 10 + i)
    })
  })

  test("fault: after a split duplicates remain, or their registry crashes, unless there are two and their name is an atom; here one is left, whatever its name, of any number", async () => {
    for (const key of ["text", 42, ["room", 7n, true]] as const)
      await simulate({ nodes: 3, options: { supervisors: [Jobs] } }, async (sim) => {
        const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
        sim.partition([a], [b], [c])
        await sim.advance("30 seconds")
        await sim.settle()
        for (const node of [a, b, c]) {
          const result = await jobs(node).start(Job, key)
          assert.ok(result._tag === "Started" && result.node === node.name)
          await jobs(node).call(Job, key, "sign", node.name)
        }
        sim.heal()
        await sim.converged()
        const owners = [a, b, c].filter((node) => keysAt(node).length > 0)
        assert.equal(owners.length, 1)
        for (const node of [a, b, c]) {
          assert.equal(jobs(node).whereis(Job, key)?.node, owners[0]?.name)
          assert.equal(jobs(node).counts().total, 1)
          await jobs(node).call(Job, key, "add", 1)
        }
        await sim.advance("10 seconds")
        assert.deepEqual(await jobs(a).call(Job, key, "signed"), ["a", "b", "c"])
      })
  })

  test(
    "fault: a graceful shutdown tells nobody and loses every state; here children and others are told, and states move",
    cluster(async ({ sim, a, b }) => {
      await children(sim, 12)
      const own = keysAt(b)
      const heard = listen(sim)
      await b.leave()
      await sim.converged()
      assert.ok(heard.includes("a: leaving b"))
      for (const key of own) {
        assert.ok(log.includes(`${key} stopping at b: moved`))
        assert.equal(await jobs(a).call(Job, key, "add", 0), 10 + Number(key.slice(1)))
      }
    }),
  )

  test("fault: what a start sends grows with the number of children; here it doesn't", async () => {
    await simulate({ nodes: 3, options: { supervisors: [Jobs] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      let bytes = 0
      sim.rule((packet) => {
        if (/Ops|Start/.test(packet.what)) bytes += packet.bytes
        return "pass"
      })
      const costs: Array<number> = []
      for (const round of [0, 1, 2]) {
        bytes = 0
        for (let i = 0; i < 100; i++) await jobs(a).start(Job, `r${round} ${i}`)
        await sim.converged()
        costs.push(bytes / 100)
      }
      assert.equal(jobs(a).counts().total, 300)
      const [first, , last] = costs as [number, number, number]
      assert.ok(first > 50 && last < 1.3 * first, `a start costs ${costs.join(", ")} bytes`)
    })
  })

  test(
    "fault: started with a list of arguments a child isn't registered; here it always is, whatever it is started with",
    cluster(async ({ sim, a, b }) => {
      const result = await jobs(a).start(Job, "x", { n: 1 })
      assert.ok(result._tag === "Started" && result.key === "x")
      await sim.converged()
      assert.equal(await jobs(b).call(Job, "x", "add", 0), 1)
    }),
  )

  test("fault: the restart type of a spec is overwritten by the default; here the definition's holds", async () => {
    const Fragile = Process.define("Fragile", {
      state: () => ({}),
      calls: {
        crash: () => {
          throw new Error("it crashed")
        },
      },
      restart: "temporary",
    })
    const Some = Supervisor.define("some", { processes: [Fragile] })
    await simulate({ nodes: 2, options: { supervisors: [Some] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await a.supervisor(Some).start(Fragile, "x")
      await assert.rejects(a.supervisor(Some).ref(Fragile, "x").crash())
      await sim.advance("10 seconds")
      assert.equal(a.supervisor(Some).counts().total, 0)
    })
  })

  test("fault: any node that connects joins the ring, whether it runs the supervisor or not; here only who does", async () => {
    const options = (i: number) => ({ supervisors: i < 2 ? [Jobs] : [] })
    await simulate({ nodes: 2, options }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const c = await sim.join()
      await sim.converged()
      for (const node of [a, b, c]) assert.deepEqual(jobs(node).nodes(), ["a", "b"])
      for (let i = 0; i < 30; i++) {
        const result = await jobs(c).start(Job, `j${i}`)
        assert.ok(result._tag === "Started" && result.node !== "c")
      }
    })
  })

  test("fault: a message to a child that is being restarted is waited for in a loop; here it waits in the mailbox, and nobody with it", async () => {
    let open: () => void = () => {}
    let lives = 0
    const Slow = Process.define("Slow", {
      state: () =>
        lives++ === 0
          ? { n: 0 }
          : new Promise<{ n: number }>((resolve) => (open = () => resolve({ n: 100 }))),
      calls: {
        get: (self) => self.state.n,
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
    const Some = Supervisor.define("some", { processes: [Slow] })
    await simulate({ nodes: 2, options: { supervisors: [Some] } }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const some = a.supervisor(Some)
      await some.start(Slow, "x")
      await assert.rejects(some.ref(Slow, "x").crash(), { _tag: "HandlerCrashed" })
      const at = sim.now
      assert.equal(some.send(Slow, "x", "bump"), true)
      assert.equal(some.whereis(Slow, "x") !== undefined, true)
      assert.equal(sim.now, at)
      const asked = some.call(Slow, "x", "get")
      await sim.advance("1 second")
      open()
      assert.equal(await asked, 101)
    })
  })

  test(
    "fault: each lookup is a round trip to the child's node; here it sends nothing",
    cluster(async ({ sim, a, b, c }) => {
      await children(sim, 6)
      let packets = 0
      sim.rule(() => {
        packets++
        return "pass"
      })
      const at = sim.now
      for (const node of [a, b, c])
        for (let i = 0; i < 6; i++) {
          const location = jobs(node).whereis(Job, `j${i}`) ?? assert.fail()
          assert.equal(jobs(node).whois(location.id)?.key, `j${i}`)
          jobs(node).nodeFor(Job, `j${i}`)
        }
      for (const node of [a, b, c]) assert.equal(node.supervisor(Jobs).children().length, 6)
      assert.deepEqual([packets, sim.now], [0, at])
    }),
  )

  test(
    "fault: events of several children at once are ignored; here each is told of, also when a node ends with all it had",
    cluster(async ({ sim, a, c }) => {
      const keys = await children(sim, 24)
      const orphans = keysAt(c)
      const downs: Array<string> = []
      for (const key of keys) {
        const ref = jobs(a).ref(Job, key)
        a.monitor(ref, ({ reason }) => downs.push(`${key} ${reason}`))
      }
      c.crash()
      await sim.until("they are back", () => orphans.every((key) => homes(sim, key).length === 1))
      await sim.settle()
      assert.deepEqual(downs.sort(), orphans.map((key) => `${key} node down`).sort())
    }),
  )

  test(
    "fault: a listener can't be limited to some children, though that is coded; here it is a function of the child",
    cluster(async ({ a }) => {
      const heard: Array<unknown> = []
      jobs(a).on({
        started: ({ child }) => {
          if (Array.isArray(child.key) && child.key[0] === "mail") heard.push(child.key)
        },
      })
      for (let i = 0; i < 10; i++)
        for (const kind of ["mail", "post"]) await jobs(a).start(Job, [kind, i], {}, { at: "a" })
      assert.equal(heard.length, 10)
    }),
  )
})
