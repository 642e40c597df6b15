import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Node, type NodeEvent, Process } from "../../mod.ts"
import { deferred, event, lone } from "./cluster.ts"

const gates = new Map<string, { readonly opened: Promise<void>; readonly entered: () => void }>()
const gate = (name: string): { open: () => void; entered: Promise<void> } => {
  const opened = deferred<void>()
  const entered = deferred<void>()
  gates.set(name, { opened: opened.promise, entered: () => entered.resolve() })
  return { open: () => opened.resolve(), entered: entered.promise }
}

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
  calls: {
    get: (self) => self.state.n,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    die: () => Effect.die("a defect"),
    crash: (): number => {
      throw new Error("on purpose")
    },
    reject: () => Promise.reject(new Error("later on purpose")),
    wait: async (_self, name: string) => {
      gates.get(name)?.entered()
      await gates.get(name)?.opened
      return name
    },
    remind: (self, text: string) => {
      self.after(1, "note", text)
    },
  },
  casts: {
    note: (_self, text: string) => noted.resolve(text),
    fail: () => {
      throw new Error("in a cast")
    },
  },
})
let noted = deferred<string>()

async function failure(
  promise: Promise<unknown>,
): Promise<{ _tag: string; outcome: string; message: string }> {
  try {
    await promise
  } catch (error) {
    return error as { _tag: string; outcome: string; message: string }
  }
  throw new Error("expected a failure")
}

const withNode = async (f: (node: Node) => Promise<void>, limits = {}): Promise<void> => {
  await using node = await lone([Counter], { limits })
  await f(node)
}

describe("crashes and restarts", () => {
  test("a handler that throws tells its caller, and the process starts anew", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 10 })
      await counter.add(5)
      for (const crash of [() => counter.crash(), () => counter.reject(), () => counter.die()]) {
        const crashed = event(node, "ProcessCrashed")
        const error = await failure(crash())
        assert.equal(error._tag, "HandlerCrashed")
        assert.equal(error.outcome, "executed")
        assert.equal((await crashed).restarted, true)
        assert.equal(await counter.get(), 10)
      }
    }))

  test("what waited behind a crash is handled by the restarted process", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 1 })
      const [crash, added] = await Promise.allSettled([counter.crash(), counter.add(1)])
      assert.equal(crash.status, "rejected")
      assert.deepEqual(added, { status: "fulfilled", value: 2 })
    }))

  test("a crash in a cast restarts the process and is an event", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 7 })
      await counter.add(1)
      const crashed = event(node, "ProcessCrashed")
      counter.cast.fail()
      assert.equal((await crashed).reason, "in a cast")
      assert.equal(await counter.get(), 7)
    }))

  test("more crashes than the restart intensity allows end the process", async () => {
    const Fragile = Process.define("Fragile", {
      state: () => ({}),
      calls: {
        crash: (): void => {
          throw new Error("again")
        },
      },
      intensity: { max: 2, withinMillis: 60_000 },
    })
    await using node = await lone([Fragile])
    const fragile = await node.start(Fragile, "x")
    const stopped = event(node, "ProcessStopped")
    const tags: Array<string> = []
    for (let i = 0; i < 4; i++) tags.push((await failure(fragile.crash()))._tag)
    assert.deepEqual(tags, ["HandlerCrashed", "HandlerCrashed", "HandlerCrashed", "NoProcess"])
    assert.equal((await stopped).process, "Fragile/x")
    assert.equal(node.whereis(Fragile, "x"), undefined)
  })

  test("restart types: permanent always, transient after a crash, temporary never", async () => {
    const make = (restart: "permanent" | "transient" | "temporary") =>
      Process.define(restart, {
        state: () => ({ n: 0 }),
        calls: {
          add: (self) => ++self.state.n,
          quit: (self) => self.stop(),
          crash: (): void => {
            throw new Error("x")
          },
        },
        restart,
      })
    const [permanent, transient, temporary] = [
      make("permanent"),
      make("transient"),
      make("temporary"),
    ]
    await using node = await lone([permanent, transient, temporary])
    const outcomes: Array<string> = []
    for (const definition of [permanent, transient, temporary]) {
      for (const end of ["quit", "crash"] as const) {
        const ref = await node.start(definition, end)
        await ref.add()
        await ref[end]().catch(() => {})
        const tried = await ref.try.add()
        outcomes.push(`${definition.name} ${end}: ${tried.ok ? tried.value : "gone"}`)
      }
    }
    assert.deepEqual(outcomes, [
      "permanent quit: 1",
      "permanent crash: 1",
      "transient quit: gone",
      "transient crash: 1",
      "temporary quit: gone",
      "temporary crash: gone",
    ])
  })

  test("a state function that fails is the start's error, and nothing is registered", async () => {
    const Unborn = Process.define("Unborn", {
      state: (how: "throw" | "reject" | "fail"): Promise<number> | Effect.Effect<number, Error> => {
        if (how === "throw") throw new Error("thrown")
        return how === "reject"
          ? Promise.reject(new Error("rejected"))
          : Effect.fail(new Error("failed"))
      },
    })
    await using node = await lone([Unborn])
    for (const how of ["throw", "reject", "fail"] as const) {
      const error = await failure(node.start(Unborn, "x", how))
      assert.equal(error._tag, "StartFailed")
      assert.equal(node.whereis(Unborn, "x"), undefined)
    }
  })
})

describe("hooks, timers and ends", () => {
  test("started and stopping run once each, and the signal is aborted", async () => {
    const seen: Array<string> = []
    let signal: AbortSignal | undefined
    const Hooked = Process.define("Hooked", {
      state: () => ({}),
      calls: { ping: () => "pong" },
      started: (self) => {
        signal = self.signal
        seen.push(`started ${self.key}`)
      },
      stopping: (self, reason) => {
        seen.push(`stopping ${self.key}: ${reason}`)
      },
    })
    await using node = await lone([Hooked])
    const hooked = await node.start(Hooked, "x")
    assert.equal(await hooked.ping(), "pong")
    assert.equal(signal?.aborted, false)
    assert.equal(await node.stopProcess(hooked, "enough"), true)
    assert.equal(await node.stopProcess(hooked), false)
    assert.deepEqual(seen, ["started x", "stopping x: enough"])
    assert.equal(signal?.aborted, true)
  })

  test("stopping waits for the message in hand and refuses what waits behind it", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const { open, entered } = gate("slow")
      const first = counter.wait("slow")
      await entered
      const behind = failure(counter.get())
      const stopped = node.stopProcess(Counter, "x")
      open()
      assert.equal(await first, "slow")
      assert.equal((await behind)._tag, "NoProcess")
      assert.equal(await stopped, true)
    }))

  test("a timer sends the process one of its own messages", () =>
    withNode(async (node) => {
      noted = deferred()
      const counter = await node.start(Counter, "x")
      await counter.remind("wake up")
      assert.equal(await noted.promise, "wake up")
    }))

  test("a timer dies with its process", async () => {
    const fired: Array<string> = []
    const Timed = Process.define("Timed", {
      state: () => ({}),
      calls: { set: (self, text: string) => void self.after(1, "fire", text), flush: () => 0 },
      casts: { fire: (_self, text: string) => void fired.push(text) },
    })
    await using node = await lone([Timed])
    const dead = await node.start(Timed, "dead")
    await dead.set("dead")
    await node.stopProcess(dead)
    const alive = await node.start(Timed, "alive")
    await alive.set("alive")
    // Timers of one delay fire in their order: when the later one has, the earlier one won't.
    while (fired.length === 0) await alive.flush().then(() => new Promise(setImmediate))
    assert.deepEqual(fired, ["alive"])
  })

  test("start returns the running process, and exclusive says that it runs", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 1 })
      await counter.add(1)
      assert.equal(await (await node.start(Counter, "x", { start: 9 })).get(), 2)
      const error = await failure(node.start(Counter, "x", undefined, { exclusive: true }))
      assert.equal(error._tag, "AlreadyRegistered")
    }))

  test("many starts of one name start it once", () =>
    withNode(async (node) => {
      const events: Array<NodeEvent> = []
      const stream = node.events()
      const refs = await Promise.all(Array.from({ length: 20 }, () => node.start(Counter, "x")))
      await Promise.all(refs.map((ref) => ref.add(1)))
      assert.equal(await refs[0]?.get(), 20)
      await node.stop()
      for await (const one of stream) events.push(one)
      assert.equal(events.filter((one) => one._tag === "ProcessStarted").length, 1)
    }))

  test("everything asked of a stopped node fails at once", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const { entered } = gate("for ever")
      const running = failure(counter.wait("for ever"))
      await entered
      await node.stop()
      assert.equal((await running)._tag, "NodeStopped")
      assert.equal((await failure(counter.get()))._tag, "NodeStopped")
      assert.equal((await failure(node.start(Counter, "y")))._tag, "NodeStopped")
    }))
})
