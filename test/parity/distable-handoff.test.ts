/** Distable: what its workers are told when the cluster changes, and its faults. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { type Stage, staged, told } from "./shared.ts"

/** What processes have said, in order: `a Resumes/k1 started 5`. */
let log: Array<string> = []

const spec = <K extends "resume" | "restart" | "ignore">(name: string, kind: K) =>
  Process.define(name, {
    state: (init?: number) => ({ n: init ?? 0 }),
    started: (self) => void log.push(`${self.node} ${name}/${self.key} started ${self.state.n}`),
    stopping: (self, reason) => void log.push(`${self.node} ${name}/${self.key} ${reason}`),
    calls: {
      add: (self, by: number) => (self.state.n += by),
      where: (self) => self.node,
      crash: () => {
        throw new Error("it crashed")
      },
    },
    handoff: { kind },
  })

const Resumes = spec("Resumes", "resume")
const Restarts = spec("Restarts", "restart")
const Ignores = spec("Ignores", "ignore")
const all = [Resumes, Restarts, Ignores]

const Once = Process.define("Once", {
  state: () => ({}),
  calls: {
    crash: () => {
      throw new Error("once and for all")
    },
  },
  restart: "temporary",
})

const KEYS = Array.from({ length: 12 }, (_, i) => `k${i}`)

/** Two nodes with processes of this definition, each at 5 besides its number; then a third one joins. */
async function joined(
  definition: typeof Resumes,
  then: (sim: Sim) => Promise<void>,
): Promise<void> {
  await simulate({ nodes: 2, processes: all }, async (sim) => {
    const [a] = sim.nodes as [SimNode]
    for (const [i, key] of KEYS.entries()) await (await a.start(definition, key, i)).add(5)
    log = []
    await sim.join()
    await sim.converged()
    await then(sim)
  })
}

/** The keys that the ring gives to this node. */
function keysAt(node: SimNode, definition: typeof Resumes): ReadonlyArray<string> {
  const keys = KEYS.filter((key) => node.nodeFor(definition, key) === node.name)
  assert.ok(keys.length > 0 && keys.length < KEYS.length, "some are there, but not all")
  return keys
}

describe("Distable's workers", () => {
  test("{:distable, :begin_handoff} → {:resume, state}: its state goes along", async () => {
    await joined(Resumes, async (sim) => {
      const c = sim.nodes[2] as SimNode
      const moved = keysAt(c, Resumes)
      for (const [i, key] of KEYS.entries()) {
        const ref = c.ref(Resumes, key)
        assert.equal(await ref.add(0), i + 5)
        assert.equal(await ref.where(), c.nodeFor(Resumes, key))
      }
      const arrived = told(sim, "ProcessesArrived").flatMap(({ event }) => event.processes)
      assert.deepEqual([...arrived].sort(), moved.map((key) => `Resumes/${key}`).sort())
    })
  })

  test("{:distable, :begin_handoff} → :restart: it starts anew at the new node, from what it was started with", async () => {
    await joined(Restarts, async (sim) => {
      const c = sim.nodes[2] as SimNode
      const moved = keysAt(c, Restarts)
      for (const [i, key] of KEYS.entries()) {
        assert.equal(await c.ref(Restarts, key).add(0), moved.includes(key) ? i : i + 5)
        assert.equal(await c.ref(Restarts, key).where(), c.nodeFor(Restarts, key))
      }
    })
  })

  test("{:distable, :begin_handoff} → :ignore: it stays where it is", async () => {
    await joined(Ignores, async (sim) => {
      const c = sim.nodes[2] as SimNode
      keysAt(c, Ignores)
      for (const [i, key] of KEYS.entries()) {
        assert.equal(await c.ref(Ignores, key).add(0), i + 5)
        assert.notEqual(await c.ref(Ignores, key).where(), "c")
      }
      assert.deepEqual(log, [])
    })
  })

  test("{:distable, :begin_handoff}: 5,000 ms: a process that is busy for longer stays, and keeps its state", async () => {
    const Busy = Process.define("Busy", {
      state: () => ({ n: 0 }),
      calls: {
        add: (self, by: number) => (self.state.n += by),
        busy: () => new Promise<void>((resolve) => busy.push(resolve)),
      },
    })
    const busy: Array<() => void> = []
    await simulate({ nodes: 2, processes: [Busy] }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const refs = await Promise.all(KEYS.map((key) => a.start(Busy, key)))
      await Promise.all(refs.map((ref) => ref.add(7)))
      const asked = refs.map((ref) => ref.with({ timeout: 60_000 }).busy())
      await sim.advance("100 millis")
      await sim.join()
      await sim.advance("20 seconds")
      for (const key of KEYS) assert.notEqual(sim.owners(Busy, key)[0], "c")
      for (const end of busy) end()
      await Promise.all(asked)
      await sim.converged()
      const c = sim.nodes[2] as SimNode
      for (const key of KEYS) {
        assert.equal(await a.ref(Busy, key).add(0), 7)
        assert.deepEqual(sim.owners(Busy, key), [c.nodeFor(Busy, key)])
      }
    })
  })

  test("{:distable, :end_handoff, state}: the new process has its state when `started` runs, through `restore` if there is one", async () => {
    const Open = Process.define("Open", {
      state: () => ({ n: 0, file: Symbol("handle") }),
      calls: { add: (self, by: number) => (self.state.n += by) },
      started: (self) => void log.push(`${self.node} started ${self.state.n}`),
      handoff: {
        capture: ({ n }) => ({ n }),
        restore: ({ n }: { n: number }) => ({ n, file: Symbol("handle again") }),
      },
    })
    await simulate({ nodes: 1, processes: [Open] }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      for (const key of KEYS) await (await a.start(Open, key)).add(3)
      log = []
      const b = await sim.join()
      await sim.converged()
      const moved = KEYS.filter((key) => b.nodeFor(Open, key) === "b")
      assert.deepEqual(
        log,
        moved.map(() => "b started 3"),
      )
      for (const key of KEYS) assert.equal(await b.ref(Open, key).add(0), 3)
    })
  })

  test('{:distable, :die}: the old process is told by `stopping`, with "moved", and ends whether it likes it or not', async () => {
    await joined(Resumes, async (sim) => {
      const moved = keysAt(sim.nodes[2] as SimNode, Resumes)
      const dies = log.filter((line) => line.endsWith(" moved"))
      assert.equal(dies.length, moved.length)
      for (const key of moved) {
        const lines = log.filter((line) => line.includes(`/${key} `))
        assert.ok(lines.some((line) => line.startsWith("c") && line.includes("started")))
        assert.deepEqual(sim.owners(Resumes, key), ["c"])
      }
    })
  })

  test("nodeup, nodedown, redistribute, synchronize: MemberUp and MemberDown; the names follow the ring, and settled() says when they have", async () => {
    await simulate({ nodes: 3, processes: all }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      for (const key of KEYS) await a.start(Resumes, key)
      const seen: Array<string> = []
      a.on({
        MemberDown: ({ node }) => seen.push(`${node} down`),
        MemberUp: ({ node }) => seen.push(`${node} up`),
      })
      b.crash()
      await sim.until("it is seen", () => seen.length > 0)
      await a.settled()
      await c.settled()
      for (const key of KEYS) assert.deepEqual(sim.owners(Resumes, key), [a.nodeFor(Resumes, key)])
      await b.restart()
      await sim.converged()
      for (const key of KEYS) assert.deepEqual(sim.owners(Resumes, key), [a.nodeFor(Resumes, key)])
      assert.deepEqual(seen, ["b down", "b up"])
    })
  })
})

const three = (body: (stage: Stage) => Promise<void>, options = {}) =>
  staged({ processes: all, ...options }, body)

describe("Distable's numbered faults", () => {
  test(
    "fault: whereis never finds anything at home, so that call, cast, unregister and already_registered don't work; here they do",
    three(async ({ a }) => {
      for (const key of keysAt(a, Resumes)) {
        const ref = await a.start(Resumes, key)
        assert.equal(a.whereis(Resumes, key)?.node, "a")
        assert.equal(await ref.add(1), 1)
        await assert.rejects(a.start(Resumes, key, 0, { exclusive: true }), {
          _tag: "AlreadyRegistered",
        })
        await a.register(key, ref)
        assert.equal(await a.unregister(key), true)
      }
    }),
  )

  test(
    "fault: rows of what has ended stay for good; here nothing is left, however it ended",
    three(async ({ sim, a, b, c }) => {
      for (const key of KEYS) {
        const ref = await a.start(Resumes, key, 0, { meta: { kind: "row" } })
        await a.group("rows").join(ref)
      }
      const guest = await c.spawn(Resumes, 0, { meta: { kind: "row" } })
      const once = await b.spawn(Once, undefined, { meta: { kind: "row" } })
      await sim.converged()
      await assert.rejects(once.crash(), { _tag: "HandlerCrashed" })
      await sim.converged()
      await b.register("guest", guest, { meta: { kind: "row" } })
      await sim.converged()
      assert.equal(a.find("kind", "row").length, KEYS.length + 2)
      c.crash()
      await sim.until("it is seen", () => a.whereis("guest") === undefined)
      await sim.settle()
      for (const key of KEYS) assert.equal(await a.stopProcess(Resumes, key), true)
      await sim.converged()
      for (const node of [a, b]) {
        assert.deepEqual([node.count(), node.names()], [0, []])
        assert.deepEqual([node.find("kind", "row"), node.group("rows").members()], [[], []])
      }
    }),
  )

  test(
    "fault: a property would be written over what the process is started with; here it can be started again after it",
    three(async ({ sim, a, b }) => {
      const ref = await a.start(Resumes, "x", 41)
      await a.update(ref, { color: "red" })
      await sim.converged()
      assert.deepEqual(b.find("color", "red")[0]?.meta, { color: "red" })
      await assert.rejects(ref.crash(), { _tag: "HandlerCrashed" })
      assert.equal(await ref.add(1), 42)
      assert.deepEqual(a.whereis(Resumes, "x")?.meta, { color: "red" })
    }),
  )

  test(
    "fault: a node is wrong about which names are its own; here all agree, and each name lives at its home",
    three(async ({ sim, a, b, c }) => {
      for (let i = 0; i < 60; i++) {
        const key = ["name", i]
        const homes = [a, b, c].map((node) => node.nodeFor(Resumes, key))
        assert.equal(new Set(homes).size, 1)
        const ref = await (sim.nodes[i % 3] as SimNode).start(Resumes, key)
        assert.equal(await ref.where(), homes[0])
      }
      await sim.advance("10 seconds")
      assert.deepEqual(told(sim, "HandoffStarted"), [])
    }),
  )

  test("fault: a registration that comes before the table is there crashes; here whoever serves takes them", async () => {
    await simulate({ nodes: 3, processes: all, formed: false }, async (sim) => {
      const refs = await Promise.all(
        KEYS.map((key, i) => (sim.nodes[i % 3] as SimNode).start(Resumes, key)),
      )
      for (const ref of refs) assert.equal(await ref.add(1), 1)
      await sim.converged()
      for (const key of KEYS) assert.equal(sim.owners(Resumes, key).length, 1)
    })
  })

  test("fault: two nodes that start something at each other wait until 5 s are over; here nobody waits for a node, only for a process", async () => {
    let nodes: ReadonlyArray<SimNode> = []
    /** Each starts the next one, which lives at the other node, before it is there itself. */
    const Chain = Process.define("Chain", {
      state: async (keys: ReadonlyArray<string>) => {
        const [key, ...rest] = keys
        const [a] = nodes
        if (key !== undefined) await a?.start(Chain, key, rest as never)
        return {}
      },
      calls: { where: (self) => self.node },
    }) as never as typeof Resumes
    await simulate({ nodes: 2, processes: [Chain] }, async (sim) => {
      nodes = sim.nodes
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const at = (node: SimNode) => KEYS.filter((key) => node.nodeFor(Chain, key) === node.name)
      const [ours, theirs] = [at(a), at(b)]
      const began = sim.now
      await Promise.all([
        a.start(Chain, theirs[0] as string, [ours[0], theirs[1], ours[1]] as never),
        b.start(Chain, ours[2] as string, [theirs[2], ours[3], theirs[3]] as never),
      ])
      assert.ok(sim.now - began < 1_000, `${sim.now - began} ms`)
      for (const node of sim.nodes) assert.equal(node.count(), 8)
    })
  })

  test("fault: a handoff that fails takes the registry with it; here it is an event, and all else goes on", async () => {
    const Stuck = Process.define("Stuck", {
      state: () => ({ n: 0 }),
      calls: { add: (self, by: number) => (self.state.n += by) },
      handoff: {
        capture: () => {
          throw new Error("it can't be captured")
        },
      },
    })
    const Lost = Process.define("Lost", {
      state: () => ({ n: 0 }),
      calls: { add: (self, by: number) => (self.state.n += by) },
      handoff: {
        restore: () => {
          throw new Error("it can't be restored")
        },
      },
    })
    await simulate({ nodes: 2, processes: [Stuck, Lost, Resumes] }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      for (const key of KEYS)
        for (const definition of [Stuck, Lost, Resumes]) {
          await (await a.start(definition as typeof Resumes, key)).add(1)
        }
      const c = await sim.join()
      await sim.until("it is told", () => told(sim, "HandoffFailed").length > 0)
      await sim.converged()
      for (const key of KEYS) {
        for (const definition of [Stuck, Lost, Resumes]) {
          const ref = c.ref(definition as typeof Resumes, key)
          assert.equal(await ref.add(1), 2, `${definition.name} ${key}`)
        }
        assert.deepEqual(sim.owners(Resumes, key), [c.nodeFor(Resumes, key)])
      }
    })
  })
})

describe("Distable's other faults", () => {
  test("fault: a slow start blocks the registry of its node; here it blocks nobody but who waits for it", async () => {
    let open: () => void = () => {}
    const Slow = Process.define("Slow", {
      state: () => new Promise<object>((resolve) => (open = () => resolve({}))),
      calls: { where: (self) => self.node },
    })
    await simulate({ nodes: 2, processes: [Slow, ...all] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      const key = KEYS.find((key) => a.nodeFor(Slow, key) === "a") as string
      const slow = b.start(Slow, key)
      await sim.advance("1 second")
      const began = sim.now
      for (const one of KEYS) {
        const ref = await b.start(Resumes, one)
        assert.equal(await ref.add(1), 1)
        assert.equal(await b.stopProcess(ref), true)
      }
      await assert.rejects(b.ref(Slow, `${key}?`).where(), { _tag: "NoProcess" })
      assert.ok(sim.now - began < 1_000, `${sim.now - began} ms`)
      open()
      assert.equal(await (await slow).where(), "a")
    })
  })

  test(
    "fault: entries of other nodes aren't monitored; here a monitor tells once, and why, wherever the process was",
    three(async ({ sim, a, b, c }) => {
      const downs: Array<string> = []
      const refs = [await b.spawn(Resumes), await b.spawn(Once), await c.spawn(Resumes)] as const
      await sim.converged()
      for (const [i, ref] of refs.entries()) {
        a.monitor(ref, ({ reason, node, detail }) => downs.push(`${i} ${node} ${reason} ${detail}`))
      }
      await a.stopProcess(refs[0], "enough")
      await assert.rejects(refs[1].crash())
      c.crash()
      await sim.until("all are told", () => downs.length >= 3)
      await sim.advance("1 minute")
      assert.deepEqual(downs, [
        "0 b stopped enough",
        "1 b crashed once and for all",
        "2 c node down ",
      ])
    }),
  )

  test("fault: nearly all names move when a node comes or goes; here those of that node alone", async () => {
    await simulate({ nodes: 4, processes: all }, async (sim) => {
      const [a, , , d] = sim.nodes as [SimNode, SimNode, SimNode, SimNode]
      const keys = Array.from({ length: 400 }, (_, i) => `name ${i}`)
      const homes = () => keys.map((key) => a.nodeFor(Resumes, key))
      const four = homes()
      await d.leave()
      await sim.converged()
      const three = homes()
      for (const [i, home] of four.entries()) if (home !== "d") assert.equal(three[i], home)
      await sim.join()
      await sim.converged()
      const moved = homes().filter((home, i) => home !== three[i])
      assert.ok(moved.every((home) => home === "e"))
      assert.ok(moved.length > 50 && moved.length < 160, `${moved.length} of 400 moved`)
    })
  })

  test("fault: every node walks the whole table and moves what isn't its own; here its owner moves each name, once", async () => {
    await simulate({ nodes: 3, processes: all }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      for (const key of KEYS) await a.start(Resumes, key)
      const before = new Map(KEYS.map((key) => [`Resumes/${key}`, sim.owners(Resumes, key)[0]]))
      log = []
      const d = await sim.join()
      await sim.converged()
      const moves = told(sim, "HandoffStarted").flatMap(({ node, event }) =>
        event.processes.map((process) => `${process} from ${node} to ${event.to}`),
      )
      const expected = keysAt(d, Resumes).map(
        (key) => `Resumes/${key} from ${before.get(`Resumes/${key}`)} to d`,
      )
      assert.deepEqual([...moves].sort(), [...expected].sort())
      assert.equal(log.filter((line) => line.includes("started")).length, expected.length)
    })
  })

  test("fault: the old process dies before the new one starts; here no call fails, and none is lost or done twice", async () => {
    await simulate({ nodes: 2, processes: all }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      const refs = await Promise.all(KEYS.map((key) => a.start(Resumes, key)))
      let asked = 0
      let going = true
      const load = async (): Promise<void> => {
        while (going) {
          asked++
          await Promise.all(refs.map((ref) => ref.add(1)))
        }
      }
      const loaded = load()
      await sim.advance("1 second")
      const c = await sim.join()
      const own = () => KEYS.filter((key) => c.nodeFor(Resumes, key) === "c")
      const moved = (): boolean => own().every((key) => sim.owners(Resumes, key)[0] === "c")
      await sim.until("some have moved", () => own().length > 0 && moved())
      going = false
      await loaded
      for (const ref of refs) assert.equal(await ref.add(0), asked)
    })
  })

  test("fault: after a split two nodes swap a name's processes, and both live on; here one does, and the other is told", async () => {
    const Guests = Process.define("Guests", {
      state: () => ({ names: [] as Array<string> }),
      calls: { sign: (self, name: string) => self.state.names.push(name) },
      stopping: (self, reason) => void log.push(`${self.node} ${reason}`),
      handoff: {
        merge: (mine, theirs) => ({ names: [...mine.names, ...theirs.names].sort() }),
      },
    })
    await simulate({ nodes: 2, processes: [Guests] }, async (sim) => {
      const [a, b] = sim.nodes as [SimNode, SimNode]
      log = []
      sim.partition([a], [b])
      await sim.advance("30 seconds")
      await sim.settle()
      for (const node of [a, b]) {
        const ref = await node.start(Guests, "book", undefined, { exclusive: true })
        await ref.sign(`from ${node.name}`)
      }
      sim.heal()
      await sim.converged()
      await sim.until("they are one", () => sim.state(Guests, "book")?.names.length === 2)
      const [owner] = sim.owners(Guests, "book")
      const loser = owner === "a" ? "b" : "a"
      for (const node of [a, b]) assert.equal(node.whereis(Guests, "book")?.node, owner)
      assert.deepEqual(
        told(sim, "ConflictLost").map(({ node, event }) => [node, event.winner]),
        [[loser, owner]],
      )
      assert.equal(log.length, 1)
      assert.ok(log[0]?.startsWith(loser))
      assert.deepEqual(sim.state(Guests, "book")?.names, ["from a", "from b"])
    })
  })

  test(
    "fault: after a crash all survivors start what the node had; here each name is started once",
    three(async ({ sim, a, c }) => {
      for (const key of KEYS) await a.start(Resumes, key)
      const lost = keysAt(c, Resumes)
      log = []
      c.crash()
      await sim.until("it is seen", () => !a.members().some(({ status }) => status === "suspect"))
      const back = (): boolean => lost.every((key) => sim.owners(Resumes, key).length === 1)
      await sim.until("they are back", back)
      await sim.advance("30 seconds")
      const started = log.filter((line) => line.includes("started"))
      assert.deepEqual(
        started.map((line) => line.split(" ")[1]).sort(),
        lost.map((key) => `Resumes/${key}`).sort(),
      )
    }),
  )

  test(
    "fault: a process that crashes is gone; here it is supervised",
    three(async ({ sim, a }) => {
      const ref = await a.start(Resumes, "x", 5)
      await ref.add(1)
      await assert.rejects(ref.crash(), { _tag: "HandlerCrashed", reason: "it crashed" })
      assert.equal(await ref.add(0), 5)
      assert.deepEqual(
        told(sim, "ProcessCrashed").map(({ event }) => [event.process, event.restarted]),
        [["Resumes/x", true]],
      )
    }),
  )
})
