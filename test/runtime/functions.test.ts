import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Node, NoProcess, Process, Remote, startNode } from "../../mod.ts"
import { cluster, deferred, event, lone, type TestCluster } from "./cluster.ts"
import { network } from "./network.ts"

const Counter = Process.define("Counter", {
  state: () => ({ n: 0 }),
  calls: { add: (self, by: number) => (self.state.n += by) },
})

const Where = Remote.define("where", (context, text: string) => ({
  node: context.node,
  from: context.from,
  text,
}))

/** Three nodes that serve these; `b` and `c` are workers. */
async function three(functions: ReadonlyArray<Remote.AnyDefinition>): Promise<TestCluster> {
  const some = await cluster(["a"], [Counter], { functions })
  for (const name of ["b", "c"]) await some.join(name, { roles: ["worker"] })
  return some
}

describe("a remote function", () => {
  test("runs on a chosen node, this one too, and knows where it is and who asked", async () => {
    await using some = await three([Where])
    const [a] = some.nodes as [Node]
    const where = a.remote(Where)
    for (const node of ["a", "b", "c"]) {
      assert.deepEqual(await where.on(node)("x"), { node, from: "a", text: "x" })
    }
    await assert.rejects(where.on("z")("x"), {
      _tag: "Unreachable",
      outcome: "not-executed",
      node: "z",
    })
  })

  test("runs on the node that holds a process or a name", async () => {
    await using some = await three([Where])
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const where = c.remote(Where)
    for (const key of ["k1", "k2", ["k", 3], 4]) {
      const counter = await a.start(Counter, key)
      await soon(() => c.whereis(Counter, key) !== undefined)
      const home = a.whereis(Counter, key)?.node
      assert.equal((await where.at(counter)("x")).node, home)
      assert.equal((await where.at(c.ref(Counter, key))("x")).node, home)
    }
    const key = Array.from({ length: 50 }, (_, i) => `n${i}`).find(
      (each) => a.nodeFor(Counter, each) === "b",
    ) as string
    await b.register("leader", await b.start(Counter, key))
    await soon(() => c.whereis("leader") !== undefined)
    assert.equal((await where.at("leader")("x")).node, "b")
    await assert.rejects(where.at("nobody")("x"), { _tag: "NoProcess", process: "nobody" })
    await assert.rejects(where.at(c.ref(Counter, "none"))("x"), {
      _tag: "NoProcess",
      process: "Counter/none",
    })
  })

  test("runs by turns on the nodes that serve it, or those of a role", async () => {
    await using some = await three([Where])
    const [a, b] = some.nodes as [Node, Node]
    const where = a.remote(Where)
    assert.deepEqual(await tally(30, () => where.any()("x")), { a: 10, b: 10, c: 10 })
    assert.deepEqual(await tally(30, () => where.any({ role: "worker" })("x")), { b: 15, c: 15 })
    await assert.rejects(where.any({ role: "boss" })("x"), {
      _tag: "NoService",
      outcome: "not-executed",
      process: "f:where",
      node: undefined,
    })
    // Turns of one function aren't used up by another.
    const other = a.remote(Remote.define("other", () => ""))
    const turns = tally(30, async () => {
      await assert.rejects(other.any()(), { _tag: "NoService" })
      return where.any()("x")
    })
    assert.deepEqual(await turns, { a: 10, b: 10, c: 10 })
    const down = event(a, "MemberDown")
    await b.stop()
    await down
    assert.deepEqual(await tally(30, () => where.any()("x")), { a: 15, c: 15 })
  })

  test("runs on all that serve it, and one failure changes nothing for the others", async () => {
    const Picky = Remote.define("picky", (context, n: number) =>
      context.node === "b" ? Effect.fail({ _tag: "Busy" as const, n }) : Effect.succeed(n + 1),
    )
    await using some = await three([Picky])
    const [a] = some.nodes as [Node]
    const picky = a.remote(Picky)
    const { replies, failures } = await picky.all()(1)
    assert.deepEqual(replies.map(({ node, value }) => `${node} ${value}`).sort(), ["a 2", "c 2"])
    assert.deepEqual(failures, [{ node: "b", process: undefined, error: { _tag: "Busy", n: 1 } }])
    const workers = await picky.all({ role: "worker" })(1)
    assert.deepEqual(workers.replies, [{ node: "c", process: undefined, value: 2 }])
    assert.equal(workers.failures.length, 1)
    assert.deepEqual(await picky.all({ role: "boss" })(1), { replies: [], failures: [] })
  })

  test("runs without an answer, and its crash is an event where it ran", async () => {
    const seen: Array<string> = []
    const all = deferred<void>()
    const Note = Remote.define("note", (context, text: string) => {
      if (text === "crash") throw new Error("on purpose")
      seen.push(text === "any" ? text : `${text} at ${context.node}`)
      if (seen.length === 3) all.resolve()
    })
    await using some = await three([Note])
    const [a, b] = some.nodes as [Node, Node]
    const { cast } = a.remote(Note)
    await b.register("here", await b.spawn(Counter))
    await soon(() => a.whereis("here") !== undefined)
    const failed = event(b, "CastFailed")
    cast.on("b")("on")
    cast.at("here")("at")
    cast.on("b")("crash")
    cast.any()("any")
    await all.promise
    assert.deepEqual(seen.sort(), ["any", "at at b", "on at b"])
    assert.match((await failed).reason, /on purpose/)
    assert.throws(() => cast.on("z")("x"), { _tag: "Unreachable" })
    assert.throws(() => cast.at("nobody")("x"), { _tag: "NoProcess" })
    assert.throws(() => cast.any({ role: "boss" })("x"), { _tag: "NoService" })
  })

  test("can call processes, and shares no data with its caller", async () => {
    const given = { list: [1] }
    const kept = { list: [2] }
    const Mixed = Remote.define("mixed", async (context, data: { list: Array<number> }) => {
      data.list.push(9)
      return { kept, n: await context.ref(Counter, ["c", 1]).add(5) }
    })
    await using some = await three([Mixed])
    const [a] = some.nodes as [Node]
    await a.start(Counter, ["c", 1])
    for (const node of ["a", "b"]) {
      const answer = await a.remote(Mixed).on(node)(given)
      answer.kept.list.push(9)
    }
    assert.equal(await a.ref(Counter, ["c", 1]).add(0), 10)
    assert.deepEqual([given, kept], [{ list: [1] }, { list: [2] }])
  })
})

describe("what a function fails with", () => {
  const Failing = Remote.define("failing", (context, how: string) => {
    if (how === "declared") return Effect.fail({ _tag: "OutOfStock" as const, node: context.node })
    if (how === "died") return Effect.die(new Error("died"))
    if (how === "ours") throw new NoProcess("Counter/none")
    if (how === "nested") return context.ref(Counter, "none").add(1)
    if (how === "rejected") return Promise.reject(new Error("rejected"))
    if (how === "no data") return () => 1
    throw new Error("thrown")
  })

  test("reaches its caller as it is when it is declared; else it crashed, here and there", async () => {
    await using some = await three([Failing])
    const [a] = some.nodes as [Node]
    const failing = a.remote(Failing)
    for (const node of ["a", "b"]) {
      const ask = failing.on(node)
      await assert.rejects(ask("declared"), { _tag: "OutOfStock", node })
      const crash = { _tag: "HandlerCrashed", outcome: "executed", process: "f:failing" }
      await assert.rejects(ask("died"), { ...crash, reason: "died" })
      await assert.rejects(ask("rejected"), { ...crash, reason: "rejected" })
      await assert.rejects(ask("thrown"), { ...crash, reason: "thrown" })
      await assert.rejects(ask("no data"), { _tag: "NotData", outcome: "executed" })
      // That a process wasn't found doesn't mean that the function did nothing.
      await assert.rejects(ask("nested"), crash)
      await assert.rejects(ask("ours"), crash)
      await assert.rejects(
        (ask as (how: unknown) => Promise<unknown>)(() => 1),
        {
          _tag: "NotData",
          outcome: "not-executed",
        },
      )
    }
  })

  test("is a value with try", async () => {
    await using node = await lone([Counter], { functions: [Failing] })
    const handle = node.remote(Failing)
    const tried = await handle.try.on("a")("declared")
    assert.ok(!tried.ok && tried.error._tag === "OutOfStock")
    const any = await handle.try.any()("thrown")
    assert.ok(!any.ok && any.error._tag === "HandlerCrashed")
    const unserved = await node.remote(Where).try.any()("x")
    assert.ok(!unserved.ok && unserved.error._tag === "NoService")
  })

  test("is Timeout or Aborted when its caller gives up, and then its signal fires", async () => {
    const ends: Array<string> = []
    const Wait = Remote.define("wait", ({ signal, node }) => {
      const { promise, resolve } = deferred<void>()
      signal.addEventListener("abort", () => {
        ends.push(node)
        resolve()
      })
      started.resolve()
      return promise
    })
    let started = deferred<void>()
    await using some = await three([Wait])
    const [a] = some.nodes as [Node]
    const wait = a.remote(Wait)
    const unknown = { outcome: "unknown", process: "f:wait" }
    for (const node of ["a", "b"]) {
      await assert.rejects(wait.with({ timeout: 5 }).on(node)(), { _tag: "Timeout", ...unknown })
      const controller = new AbortController()
      started = deferred<void>()
      const ask = wait.with({ signal: controller.signal }).on(node)()
      await started.promise
      controller.abort()
      await assert.rejects(ask, { _tag: "Aborted", ...unknown })
    }
    // The last one's end is on its way to b.
    await soon(() => ends.length === 4)
    assert.deepEqual(ends, ["a", "a", "b", "b"])
  })
})

describe("what runs before the reply", () => {
  /** The order of what happens on both sides. */
  const log: Array<string> = []
  const note = (what: string) => void log.push(what)

  test("gets the result where the function ran, and is waited for", async () => {
    const Kinds = {
      plain: (n: number) => n + 1,
      promise: async (n: number) => n + 1,
      effect: (n: number) => Effect.succeed(n + 1),
    }
    for (const [kind, run] of Object.entries(Kinds)) {
      const Sum = Remote.define("sum", {
        run: (_context, n: number): unknown => run(n),
        beforeReply: async (context, result) => {
          await Promise.resolve()
          note(`${context.node} replies ${result} to ${context.from}`)
        },
      })
      await using some = await three([Sum])
      const [a] = some.nodes as [Node]
      for (const node of ["a", "b"]) {
        log.length = 0
        note(`a got ${await a.remote(Sum).on(node)(1)}`)
        assert.deepEqual(log, [`${node} replies 2 to a`, "a got 2"], kind)
      }
    }
  })

  test("may be an Effect, and the call fails when it does", async () => {
    const fails: Record<string, () => unknown> = {
      nothing: () => Effect.sync(() => note("ran")),
      thrown: () => {
        throw new Error("no")
      },
      rejected: () => Promise.reject(new Error("no")),
      failed: () => Effect.fail(new Error("no")),
    }
    const Sum = Remote.define("sum", {
      run: (_context, how: string, effect: boolean): unknown =>
        effect ? Effect.succeed(how) : how,
      beforeReply: (_context, how) => fails[how as string]?.(),
    })
    await using node = await lone([], { functions: [Sum] })
    const sum = node.remote(Sum).on("a")
    for (const effect of [false, true]) {
      log.length = 0
      assert.equal(await sum("nothing", effect), "nothing")
      assert.deepEqual(log, ["ran"])
      for (const how of ["thrown", "rejected", "failed"]) {
        await assert.rejects(sum(how, effect), { _tag: "HandlerCrashed", reason: "no" })
      }
    }
  })

  test("runs also when the caller has given up, but not when the function failed", async () => {
    const done = deferred<void>()
    const work = deferred<string>()
    const Slow = Remote.define("slow", {
      run: (_context, fail: boolean) => (fail ? Promise.reject(new Error("no")) : work.promise),
      beforeReply: ({ signal }, result) => {
        note(`${result}, aborted: ${signal.aborted}`)
        done.resolve()
      },
    })
    await using some = await three([Slow])
    const [a] = some.nodes as [Node]
    const slow = a.remote(Slow)
    log.length = 0
    await assert.rejects(slow.on("b")(true), { _tag: "HandlerCrashed" })
    assert.deepEqual(log, [])
    await assert.rejects(slow.with({ timeout: 5 }).on("b")(false), { _tag: "Timeout" })
    // b has heard of it once it has answered something else on the same way.
    await assert.rejects(slow.on("b")(true), { _tag: "HandlerCrashed" })
    work.resolve("late")
    await done.promise
    assert.deepEqual(log, ["late, aborted: true"])
  })

  test("doesn't run when the function was interrupted", async () => {
    const Forever = Remote.define("forever", {
      run: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended.resolve())),
      beforeReply: () => note("replies"),
    })
    const ended = deferred<void>()
    await using node = await lone([], { functions: [Forever] })
    log.length = 0
    const forever = node.remote(Forever).with({ timeout: 5 }).on("a")
    await assert.rejects(forever(), { _tag: "Timeout" })
    await ended.promise
    assert.deepEqual(log, [])
  })
})

describe("serving", () => {
  test("begins and ends while the node runs, and everybody knows", async () => {
    await using some = await three([])
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const where = a.remote(Where)
    const nodes = async () => {
      const { replies, failures } = await where.all()("x")
      return [...replies, ...failures].map(({ node }) => node).sort()
    }
    assert.deepEqual(await nodes(), [])
    await assert.rejects(where.on("b")("x"), { _tag: "NoService", node: "b" })
    const stop = [b.serve(Where), c.serve(Where)]
    await soon(async () => (await nodes()).length === 2)
    assert.deepEqual(await nodes(), ["b", "c"])
    assert.throws(() => b.serve(Where), { _tag: "AlreadyRegistered", node: "b" })
    stop[0]?.()
    await assert.rejects(where.on("b")("x"), { _tag: "NoService", node: "b" })
    await soon(async () => (await nodes()).length === 1)
    assert.deepEqual(await tally(4, () => where.any()("x")), { c: 4 })
    // The end of what was served before isn't the end of what is served now.
    const again = b.serve(Where)
    stop[0]?.()
    assert.equal((await where.on("b")("x")).node, "b")
    again()
  })

  test("asks the next node when one has just ceased to serve it", async () => {
    await using some = await three([])
    const [a, b, c] = some.nodes as [Node, Node, Node]
    const where = a.remote(Where)
    c.serve(Where)
    for (let i = 0; i < 10; i++) {
      const stop = b.serve(Where)
      await soon(async () => (await where.all()("x")).replies.length === 2)
      stop()
      // a can't know yet.
      assert.deepEqual(await tally(2, () => where.any()("x")), { c: 2 })
    }
  })

  test("is refused for what can't be right, with its name", async () => {
    for (const name of ["", "1st", "a b", "$call", "a".repeat(65)]) {
      assert.throws(() => Remote.define(name, () => 1), TypeError)
    }
    assert.throws(() => Remote.define("none", {} as { run: () => number }), TypeError)
    await assert.rejects(lone([], { functions: [Where, Where] }), {
      _tag: "InvalidOption",
      option: "functions",
    })
    const node = await startNode({ name: "a", ...network().at("a"), timing: "local" })
    const where = node.remote(Where)
    await node.stop()
    assert.throws(() => node.serve(Where), { _tag: "NodeStopped" })
    for (const ask of [where.on("a"), where.any(), where.at("x")]) {
      await assert.rejects(ask("x"), { _tag: "NodeStopped" })
    }
  })

  test("tells functions that run that the node ends", async () => {
    const told = deferred<void>()
    const started = deferred<void>()
    const Wait = Remote.define("wait", ({ signal }) => {
      signal.addEventListener("abort", () => told.resolve())
      started.resolve()
      return told.promise
    })
    await using some = await three([Wait])
    const [a, b] = some.nodes as [Node, Node]
    const ask = a.remote(Wait).on("b")()
    await started.promise
    const down = assert.rejects(ask, { _tag: "NodeDown", outcome: "unknown", node: "b" })
    await b.stop()
    await told.promise
    await down
  })
})

/** Waits for what needs messages only. */
async function soon(met: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await met())) await new Promise(setImmediate)
}

/** How many of so many runs each node got. */
async function tally(
  count: number,
  ask: () => Promise<{ readonly node: string }>,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < count; i++) {
    const { node } = await ask()
    counts[node] = (counts[node] ?? 0) + 1
  }
  return Object.fromEntries(Object.entries(counts).sort())
}
