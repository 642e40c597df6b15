/**
 * The promise that every queue, frame and table has a limit, and that reaching one is a typed error, or
 * an event where there is no caller to tell: each limit of the README, with whole nodes.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Limits, Process, type Ref } from "skein"
import { type Sim, type SimNode, simulate } from "skein/testing"

/** Counts what ran outside of the simulation. */
let ran: Array<string> = []
/** Lets the handlers that wait go on. */
let release: () => void = () => {}
let gate: Promise<void> = Promise.resolve()

const Worker = Process.define("Worker", {
  state: (init?: { readonly text?: string }) => ({ text: init?.text ?? "" }),
  calls: {
    hold: async (self) => {
      ran.push(self.key)
      await gate
    },
    take: (self, text: string) => {
      ran.push(text.slice(0, 8))
      return self.key.length
    },
    make: (self, length: number) => {
      ran.push(self.key)
      return "x".repeat(length)
    },
    keep: (self, length: number) => {
      self.state.text = "x".repeat(length)
      return length
    },
    length: (self) => self.state.text.length,
    sleep: () => Effect.sleep("1 second"),
  },
  casts: { note: (_self, text: string) => void ran.push(text.slice(0, 8)) },
})

describe("mailboxMax", () => {
  test("one message more than may wait is Overloaded, from here and from elsewhere, and isn't executed", async () => {
    for (const from of ["here", "elsewhere"])
      await withTwo({ mailboxMax: 10 }, async (a, b, sim) => {
        const worker = await held(sim, from === "here" ? a : b, a)
        const waiting = Array.from({ length: 10 }, () => worker.take("waits"))
        const more = Array.from({ length: 5 }, () => tagOf(worker.take("too many")))
        for (const tag of await Promise.all(more))
          assert.equal(tag, "Overloaded mailboxMax not-executed")
        release()
        await Promise.all(waiting)
        assert.equal(await worker.take("later"), worker.key.length)
        assert.deepEqual(ran, [worker.key, ...Array(10).fill("waits"), "later"])
      })
  })

  test("a cast more is thrown at its caller here, and an event where it came from elsewhere", () =>
    withTwo({ mailboxMax: 10 }, async (a, b, sim) => {
      const near = await held(sim, a, a)
      for (let i = 0; i < 10; i++) near.cast.note("waits")
      assert.throws(() => near.cast.note("too many"), { _tag: "Overloaded", limit: "mailboxMax" })
      const far = await held(sim, b, a)
      for (let i = 0; i < 13; i++) far.cast.note(`far ${i}`)
      await sim.advance("1 second")
      const dropped = sim.events.filter(({ event }) => event._tag === "Dropped")
      assert.deepEqual(
        dropped.map(({ node, event }) => [node, event]),
        Array(3).fill(["b", { _tag: "Dropped", process: far.name, limit: "mailboxMax" }]),
      )
      release()
      await far.take("last")
      assert.equal(ran.filter((entry) => entry.startsWith("far ")).length, 10)
      assert.equal(ran.filter((entry) => entry === "waits").length, 10)
      assert.ok(!ran.includes("too many"))
    }))
})

describe("pendingMax", () => {
  test("a call more than may be under way is Overloaded, and there is room again when one is over", () =>
    withTwo({ pendingMax: 20 }, async (a, b, sim) => {
      const worker = await held(sim, b, a)
      // One is under way already.
      const waiting = Array.from({ length: 19 }, () => worker.take("waits"))
      assert.equal(await tagOf(worker.take("too many")), "Overloaded pendingMax not-executed")
      release()
      await Promise.all(waiting)
      assert.equal(await tagOf(worker.take("later")), "none")
      assert.ok(!ran.includes("too many"))
    }))

  test("so many messages may wait for names whose node is gone, one more is Overloaded", () =>
    withTwo({ pendingMax: 20 }, async (a, b, sim) => {
      const worker = await a.start(Worker, keyAt(b))
      await sim.converged()
      b.crash()
      await sim.advance("20 millis")
      for (let i = 0; i < 20; i++) worker.cast.note(`cast ${i}`)
      for (let i = 0; i < 5; i++)
        assert.throws(() => worker.cast.note("too many"), {
          _tag: "Overloaded",
          limit: "pendingMax",
        })
      assert.equal(await tagOf(worker.take("too many")), "Overloaded pendingMax not-executed")
      await sim.advance("2 seconds")
      assert.deepEqual(
        ran,
        Array.from({ length: 20 }, (_, i) => `cast ${i}`),
      )
    }))
})

describe("queueBytesMax", () => {
  test("what is sent to a peer that doesn't read is Overloaded once the queue is full, and it all arrives later", () =>
    withTwo({ queueBytesMax: 64 * 1024 }, async (a, b, sim) => {
      const worker = await a.start(Worker, keyAt(b))
      await sim.converged()
      const text = (n: number): string => `${n}`.padEnd(10_000, " ")
      b.pause()
      let sent = 0
      let problem: unknown
      while (problem === undefined && sent < 1_000) {
        await sim.advance("1 millis")
        try {
          worker.cast.note(text(sent))
          sent++
        } catch (error) {
          problem = error
        }
      }
      // The network takes 1 MiB, the queue behind it what was said.
      assert.ok(sent >= 105 && sent <= 115, `${sent} were taken`)
      const { _tag, outcome, limit } = problem as Record<string, unknown>
      assert.deepEqual([_tag, outcome, limit], ["Overloaded", "not-executed", "queueBytesMax"])
      assert.equal(await tagOf(worker.take("refused")), "Overloaded queueBytesMax not-executed")
      b.resume()
      await sim.advance("1 second")
      assert.deepEqual(
        ran,
        Array.from({ length: sent }, (_, i) => `${i}`.padEnd(8, " ")),
      )
      assert.equal(await tagOf(worker.take("later")), "none")
    }))
})

describe("frameBytesMax", () => {
  const limits = { frameBytesMax: 64 * 1024 }
  const long = "x".repeat(100_000)

  test("a message too long is TooLarge: not executed as a call, executed as a reply", () =>
    withTwo(limits, async (a, b) => {
      const worker = await a.start(Worker, keyAt(b))
      assert.equal(await tagOf(worker.take(long)), "TooLarge not-executed")
      assert.deepEqual(ran, [])
      assert.throws(() => worker.cast.note(long), { _tag: "TooLarge" })
      assert.equal(await tagOf(worker.make(100_000)), "TooLarge executed")
      assert.deepEqual(ran, [worker.key])
      assert.equal(await tagOf(a.start(Worker, "new", { text: long })), "TooLarge not-executed")
      assert.equal(await tagOf(worker.take("fits")), "none")
    }))

  test("a process whose state is too long to be sent stays when a node joins, says so, and serves", () =>
    withTwo(limits, async (a, _, sim) => {
      const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
      await Promise.all(keys.map(async (key) => (await a.start(Worker, key)).keep(100_000)))
      const before = keys.map((key) => sim.owners(Worker, key))
      await sim.join()
      await sim.advance("20 seconds")
      assert.deepEqual(
        keys.map((key) => sim.owners(Worker, key)),
        before,
      )
      for (const key of keys) assert.equal(await a.ref(Worker, key).length(), 100_000)
      const told = failed(sim)
      assert.ok(told.length > 0, "nobody was told")
      for (const name of told) assert.equal(a.nodeFor(Worker, name.slice("Worker/".length)), "c")
    }))

  test("when a node leaves, what can't be sent is named in an event, begins anew, and holds up nothing else", () =>
    withTwo(limits, async (a, b, sim) => {
      const [large, ...small] = keysAt(b, 5) as [string, ...Array<string>]
      for (const key of [large, ...small])
        await (await a.start(Worker, key)).keep(key === large ? 100_000 : 1_000)
      await b.leave()
      await sim.converged()
      for (const key of small) assert.equal(await a.ref(Worker, key).length(), 1_000)
      assert.equal(await a.ref(Worker, large).length(), 0)
      assert.deepEqual([...new Set(failed(sim))], [`Worker/${large}`])
    }))
})

describe("namesMax", () => {
  test("a process or an additional name more than a node may hold is Overloaded, and there is room again", () =>
    withTwo({ namesMax: 10 }, async (a, b, sim) => {
      const keys = keysAt(b, 12)
      const workers: Array<Ref<typeof Worker>> = []
      for (const key of keys.slice(0, 6)) workers.push(await a.start(Worker, key))
      for (let i = 0; i < 4; i++) await b.register(`name ${i}`, workers[0] as Ref<typeof Worker>)
      for (const node of [a, b])
        assert.equal(
          await tagOf(node.start(Worker, keys[6] as string)),
          "Overloaded namesMax not-executed",
        )
      const more = b.register("more", workers[1] as Ref<typeof Worker>)
      assert.equal(await tagOf(more), "Overloaded namesMax not-executed")
      await sim.converged()
      assert.equal(a.count(), 10)
      assert.deepEqual(sim.owners(Worker, keys[6] as string), [])
      assert.equal(a.whereis("more"), undefined)
      // The end of one process makes room for its names.
      await a.stopProcess(workers[0] as Ref<typeof Worker>)
      for (const key of keys.slice(6, 11)) assert.equal(await tagOf(a.start(Worker, key)), "none")
      assert.equal(
        await tagOf(a.start(Worker, keys[11] as string)),
        "Overloaded namesMax not-executed",
      )
    }))
})

describe("membersMax and connectionsMax", () => {
  const full = { nodes: 3, processes: [Worker], options: { limits: { membersMax: 3 } } }

  test("a member more than may be is refused, and let in once there is room", async () => {
    for (let seed = 0; seed < 3; seed++)
      await simulate({ ...full, seed }, async (sim) => {
        const [a] = sim.nodes as [SimNode]
        await a.start(Worker, "x")
        const d = await sim.join()
        await sim.advance("2 seconds")
        for (const node of sim.nodes.slice(0, 3))
          assert.deepEqual(
            node.members().map(({ name }) => name),
            ["a", "b", "c"],
          )
        assert.equal(sim.owners(Worker, "x").length, 1)
        await sim.nodes[2]?.leave()
        await sim.until("d is in", () => up(a) === 3 && up(d) === 3, "1 minute")
      })
  })

  test("who is refused is told so, and so are those who refuse it", async () => {
    await simulate({ ...full, seed: 1 }, async (sim) => {
      await sim.join()
      await sim.advance("2 seconds")
      const told = sim.events.filter(({ event }) => event._tag === "ConnectionRefused")
      assert.ok(told.some(({ node }) => node === "d"))
      assert.ok(told.some(({ node }) => node !== "d"))
    })
  })

  test("who is refused disturbs nobody: it asks again now and then, and what it says is not heeded", async () => {
    await simulate({ ...full, seed: 1 }, async (sim) => {
      let dials = 0
      sim.rule(({ from, what }) => {
        if (from === "d" && what === "Hello") dials++
        return "pass"
      })
      await sim.join()
      await sim.advance("5 seconds")
      const suspected = sim.events.filter(
        ({ node, event }) => node !== "d" && event._tag === "MemberSuspect",
      )
      assert.deepEqual(suspected, [])
      assert.ok(dials <= 30, `it dialled ${dials} times in 5 seconds`)
    })
  })

  test("a connection more than may be is refused: the node says so, and who asked is told", async () => {
    const options = (i: number) => ({
      connect: [],
      ...(i === 0 ? { limits: { connectionsMax: 2 } } : {}),
    })
    await simulate(
      { nodes: 4, seed: 1, processes: [Worker], formed: false, options },
      async (sim) => {
        const [a, ...others] = sim.nodes as [SimNode, ...Array<SimNode>]
        const asked = others.map((node) => tagOf(node.connect("a", { timeout: 10_000 })))
        assert.deepEqual((await Promise.all(asked)).sort(), ["ConnectFailed", "none", "none"])
        const refused = sim.events.filter(
          ({ event }) => event._tag === "ConnectionRefused" && event.reason === "full",
        )
        assert.ok(refused.length > 0 && refused.every(({ node }) => node === "a"))
        assert.equal(a.running, true)
      },
    )
  })
})

/** A simulation of two nodes with these limits, a fresh account and a shut gate. */
async function withTwo(
  limits: Partial<Limits>,
  body: (a: SimNode, b: SimNode, sim: Sim) => Promise<void>,
): Promise<void> {
  ran = []
  gate = new Promise((resolve) => {
    release = resolve
  })
  await simulate({ nodes: 2, seed: 1, processes: [Worker], options: { limits } }, (sim) => {
    const [a, b] = sim.nodes as [SimNode, SimNode]
    return body(a, b, sim)
  })
}

/** A process at this node whose handler is held up until `release`. */
async function held(sim: Sim, home: SimNode, asker: SimNode): Promise<Ref<typeof Worker>> {
  const worker = await asker.start(Worker, keyAt(home))
  const before = ran.length
  void worker.hold()
  // One message is in hand then, and none waits.
  await sim.until("it is held", () => ran.length > before)
  return worker
}

function keyAt(node: SimNode): string {
  return keysAt(node, 1)[0] as string
}

function keysAt(node: SimNode, count: number): ReadonlyArray<string> {
  const keys = Array.from({ length: 1_000 }, (_, i) => `k${i}`)
  return keys.filter((key) => node.nodeFor(Worker, key) === node.name).slice(0, count)
}

/** The processes of which it was said that they could not be handed over. */
function failed(sim: Sim): ReadonlyArray<string> {
  return sim.events.flatMap(({ event }) => (event._tag === "HandoffFailed" ? event.processes : []))
}

/** The error in words: its tag, its limit, its outcome. */
function tagOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    ({ _tag, limit, outcome }: Record<string, unknown>) =>
      [_tag, limit, outcome].filter((word) => word !== undefined).join(" "),
  )
}

/** How many members a node counts as living. */
function up(node: SimNode): number {
  return node.members().filter(({ status }) => status === "up" || status === "suspect").length
}
