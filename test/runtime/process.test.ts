import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Node, Process } from "../../mod.ts"
import { deferred, lone } from "./cluster.ts"

class OutOfStock extends Error {
  readonly _tag = "OutOfStock"
  readonly sku: string
  constructor(sku: string) {
    super(`no ${sku}`)
    this.sku = sku
  }
}

const gates = new Map<string, { readonly opened: Promise<void>; readonly entered: () => void }>()
const gate = (name: string): { open: () => void; entered: Promise<void> } => {
  const opened = deferred<void>()
  const entered = deferred<void>()
  gates.set(name, { opened: opened.promise, entered: () => entered.resolve() })
  return { open: () => opened.resolve(), entered: entered.promise }
}

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0, log: [] as Array<string> }),
  calls: {
    get: (self) => self.state.n,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    list: (self) => self.state.log,
    later: async (self, by: number) => {
      await Promise.resolve()
      self.state.n += by
      return self.state.n
    },
    effect: (self, by: number) =>
      Effect.sync(() => {
        self.state.n += by
        return self.state.n
      }),
    take: (_self, sku: string) => Effect.fail(new OutOfStock(sku)),
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
    keep: (self, value: unknown) => {
      self.state.log = value as Array<string>
      return value
    },
    bad: () => () => 1,
    quit: (self, reason: string) => self.stop(reason),
    who: (self) => `${self.node}/${self.key}`,
    ask: (self, key: string) => self.ref(Other, key).echo(`from ${self.key}`),
    remind: (self, text: string) => {
      self.after(1, "note", text)
    },
    aborted: (self) => self.signal.aborted,
  },
  casts: {
    reset: (self) => {
      self.state.n = 0
    },
    note: (self, text: string) => {
      self.state.log.push(text)
      noted.resolve(text)
    },
    fail: () => {
      throw new Error("in a cast")
    },
  },
})
const noted = deferred<string>()

const Other = Process.define("Other", {
  state: () => ({}),
  calls: { echo: (_self, text: string) => `${text}!` },
})

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
  await using node = await lone([Counter, Other], { limits })
  await f(node)
}

describe("calls and casts", () => {
  test("a call is answered by a value, a promise or an Effect alike", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 10 })
      assert.equal(await counter.add(1), 11)
      assert.equal(await counter.later(1), 12)
      assert.equal(await counter.effect(1), 13)
      assert.equal(await node.ref(Counter, "x").get(), 13)
    }))

  test("calls of one caller are handled in their order, one at a time", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const values = await Promise.all([
        counter.add(1),
        counter.later(1),
        counter.effect(1),
        counter.add(1),
      ])
      assert.deepEqual(values, [1, 2, 3, 4])
    }))

  test("a cast is handled before the calls that follow it", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 5 })
      counter.cast.reset()
      assert.equal(await counter.add(1), 1)
    }))

  test("arguments and replies are copies, as if they came from another node", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const mine = ["a"]
      const reply = (await counter.keep(mine)) as Array<string>
      mine.push("b")
      reply.push("c")
      assert.deepEqual(await counter.list(), ["a"])
    }))

  test("what isn't plain data is refused, with what is known of the outcome", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const argument = await failure(counter.keep(() => 1))
      assert.equal(argument._tag, "NotData")
      assert.equal(argument.outcome, "not-executed")
      const reply = await failure(counter.bad())
      assert.equal(reply._tag, "NotData")
      assert.equal(reply.outcome, "executed")
      assert.throws(() => counter.cast.note((() => 1) as unknown as string), { _tag: "NotData" })
    }))

  test("an error that a handler declares reaches the caller, and the process lives on", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x", { start: 3 })
      const tried = await counter.try.take("book")
      assert.ok(!tried.ok && tried.error._tag === "OutOfStock" && tried.error.sku === "book")
      assert.equal(await counter.get(), 3)
    }))

  test("self tells key and node, and calls other processes", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      await node.start(Other, "y")
      assert.equal(await counter.who(), "a/x")
      assert.equal(await counter.ask("y"), "from x!")
    }))

  test("a call to a name that nobody holds says so", () =>
    withNode(async (node) => {
      const error = await failure(node.ref(Counter, "nobody").get())
      assert.equal(error._tag, "NoProcess")
      assert.equal(error.outcome, "not-executed")
    }))
})

describe("timeouts and aborts", () => {
  test("a call whose handler is at work times out with an unknown outcome", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const { open } = gate("slow")
      const error = await failure(counter.with({ timeout: 5 }).wait("slow"))
      assert.equal(error._tag, "Timeout")
      assert.equal(error.outcome, "unknown")
      open()
    }))

  test("a call that times out in the mailbox is never handled", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const { open, entered } = gate("slow")
      const first = counter.wait("slow")
      await entered
      const error = await failure(counter.with({ timeout: 5 }).add(1))
      assert.equal(error._tag, "Timeout")
      assert.equal(error.outcome, "not-executed")
      open()
      await first
      assert.equal(await counter.get(), 0)
    }))

  test("an AbortSignal gives a call up, before it begins and while it runs", () =>
    withNode(async (node) => {
      const counter = await node.start(Counter, "x")
      const early = await failure(counter.with({ signal: AbortSignal.abort() }).add(1))
      assert.equal(early._tag, "Aborted")
      assert.equal(early.outcome, "not-executed")
      const { open, entered } = gate("slow")
      const controller = new AbortController()
      const running = failure(counter.with({ signal: controller.signal }).wait("slow"))
      const waiting = failure(counter.with({ signal: controller.signal }).add(1))
      await entered
      controller.abort()
      assert.equal((await running).outcome, "unknown")
      assert.equal((await waiting).outcome, "not-executed")
      open()
      assert.equal(await counter.get(), 0)
    }))
})

describe("limits", () => {
  test("a full mailbox refuses calls and casts", () =>
    withNode(
      async (node) => {
        const counter = await node.start(Counter, "x")
        const { open, entered } = gate("slow")
        const first = counter.wait("slow")
        await entered
        const waiting = [counter.get(), counter.get()]
        const error = await failure(counter.get())
        assert.equal(error._tag, "Overloaded")
        assert.equal(error.outcome, "not-executed")
        assert.match(error.message, /mailboxMax of 2/)
        assert.throws(() => counter.cast.reset(), { _tag: "Overloaded", limit: "mailboxMax" })
        open()
        await Promise.all([first, ...waiting])
        assert.equal(await counter.get(), 0)
      },
      { mailboxMax: 2 },
    ))

  test("more calls under way than pendingMax are refused", () =>
    withNode(
      async (node) => {
        const counter = await node.start(Counter, "x")
        const { open, entered } = gate("slow")
        const under = [counter.wait("slow"), counter.get()]
        await entered
        const error = await failure(counter.get())
        assert.match(error.message, /pendingMax of 2/)
        open()
        await Promise.all(under)
        assert.equal(await counter.get(), 0)
      },
      { pendingMax: 2 },
    ))

  test("more names than namesMax are refused: of processes, and additional ones", () =>
    withNode(
      async (node) => {
        await node.start(Counter, "x")
        const error = await failure(node.start(Counter, "y"))
        assert.match(error.message, /namesMax of 1/)
        await node.stopProcess(Counter, "x")
        const y = await node.start(Counter, "y")
        assert.match((await failure(node.register("leader", y))).message, /namesMax of 1/)
      },
      { namesMax: 1 },
    ))
})
