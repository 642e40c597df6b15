/**
 * What the compiler must accept and refuse. This file is compiled, never run.
 *
 * @module
 */
import { Context, Effect } from "effect"
import { type Node, Process, type Ref } from "../mod.ts"

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const is = <A, B>(_equal: Equal<A, B>): void => {}

class OutOfStock {
  readonly _tag = "OutOfStock"
  readonly sku: string
  constructor(sku: string) {
    this.sku = sku
  }
}

interface Database {
  readonly find: (id: string) => string
}
const Database: Context.Service<Database, Database> = Context.Service<Database>("test/Database")

const Counter = Process.define("Counter", {
  state: (init?: { start?: number }) => ({ n: init?.start ?? 0 }),
  calls: {
    get: (self) => self.state.n,
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    slow: async (self, text: string, times = 1) => text.repeat(times) + self.state.n,
    take: (self, sku: string) =>
      self.state.n > 0 ? Effect.succeed(self.state.n) : Effect.fail(new OutOfStock(sku)),
  },
  casts: {
    reset: (self) => {
      self.state.n = 0
    },
    set: (self, n: number) => {
      self.state.n = n
    },
  },
  handoff: { merge: (mine, theirs) => ({ n: Math.max(mine.n, theirs.n) }) },
  started: (self) => {
    self.state.n += 0
    // @ts-expect-error the state has no such property
    self.state.m
  },
})

const Named = Process.define("Named", { state: (init: { name: string }) => init })
const Plain = Process.define("Plain", { state: () => 0, calls: { get: (self) => self.state } })
const NeedsDatabase = Process.define("NeedsDatabase", {
  state: () => ({}),
  calls: { find: (_self, id: string) => Effect.map(Database, (database) => database.find(id)) },
})

async function accepted(node: Node, counter: Ref<typeof Counter>): Promise<void> {
  const sum = await counter.add(2)
  is<typeof sum, number>(true)
  const text = await counter.slow("a", 2)
  is<typeof text, string>(true)
  const taken = await counter.take("x")
  is<typeof taken, number>(true)
  is<ReturnType<typeof counter.cast.reset>, void>(true)
  counter.cast.set(3)
  const tried = await counter.try.take("x")
  if (tried.ok) is<typeof tried.value, number>(true)
  else if (tried.error._tag === "OutOfStock") is<typeof tried.error.sku, string>(true)
  else is<typeof tried.error.outcome, "not-executed" | "unknown" | "executed">(true)
  await counter.with({ timeout: 100, signal: AbortSignal.abort() }).get()
  is<typeof counter.key, string>(true)

  const started = await node.start(Counter, "a", { start: 1 })
  is<typeof started, Ref<typeof Counter>>(true)
  await node.start(Counter, "b")
  await node.start(Counter, "b", undefined, { exclusive: true })
  await node.start(Named, "c", { name: "c" })
  await node.start(Plain, "d")
  await node.stopProcess(counter, "done")
  await node.stopProcess(Counter, "a")
  await node.register("leader", counter)
}

async function refused(node: Node, counter: Ref<typeof Counter>): Promise<void> {
  // @ts-expect-error no such call
  await counter.subtract(2)
  // @ts-expect-error a wrong argument
  await counter.add("2")
  // @ts-expect-error a missing argument
  await counter.add()
  // @ts-expect-error one argument too many
  await counter.get(1)
  // @ts-expect-error a wrong reply
  const reply: string = await counter.add(2)
  // @ts-expect-error a cast is not a call
  await counter.reset()
  // @ts-expect-error a call is not a cast
  counter.cast.add(2)
  // @ts-expect-error a wrong argument of a cast
  counter.cast.set("3")
  // @ts-expect-error a wrong start argument
  await node.start(Counter, "a", { start: "1" })
  // @ts-expect-error a missing start argument
  await node.start(Named, "c")
  // @ts-expect-error this definition takes no start argument
  await node.start(Plain, "d", 1)
  await node.start(Counter, ["room", 7, [true, 8n]])
  // @ts-expect-error an object is no key
  await node.start(Counter, { room: 7 })
  // @ts-expect-error its handlers need a service that a promise node doesn't provide
  await node.start(NeedsDatabase, "e")
  // @ts-expect-error not an option of a call
  counter.with({ timeoutMillis: 5 })
  void reply
}

Process.define("Wrong", {
  state: () => ({ n: 0 }),
  // @ts-expect-error merge must give a state
  handoff: { merge: (mine) => ({ m: mine.n }) },
})
Process.define("Wrong", {
  state: () => ({ n: 0 }),
  // @ts-expect-error an unknown restart type
  restart: "always",
})

export const checked: ReadonlyArray<unknown> = [accepted, refused]
