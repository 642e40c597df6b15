/** Handles of groups alone, on groups that are made up: who is routed to, and what is told. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import fc from "fast-check"
import { type Group, type Node, Process, type Ref } from "../../mod.ts"
import * as Core from "../../src/core/groups.ts"
import * as Table from "../../src/core/table.ts"
import { EVENTS_MAX, Feed } from "../../src/runtime/feed.ts"
import { GroupRef, nameOf } from "../../src/runtime/groups/groupref.ts"
import { Groups } from "../../src/runtime/groups/groups.ts"
import { Memberships } from "../../src/runtime/groups/memberships.ts"

const KEYS = Array.from({ length: 50 }, (_, i) => `key ${i}`)

/** A node that knows what it is told of the group "crew", and asks nobody. */
class Fake {
  readonly #known: Core.Groups = Core.make()
  readonly #groups: Groups
  readonly #tables = new Map<string, Table.Table>()
  readonly group: GroupRef<never>
  #time = 0

  constructor() {
    const parts = { name: "a", core: { registry: { groups: this.#known } } }
    const names = { hosted: () => undefined }
    this.#groups = new Groups(parts as never, names as never, {} as never, {} as never)
    this.group = new GroupRef<never>(this.#groups, "crew", undefined)
  }

  /** A process joins at a node, or becomes another member there. */
  put(process: string, node = "a", online = true): void {
    const table = this.#tables.get(node) ?? Table.make(node, 1)
    this.#tables.set(node, table)
    const group = nameOf("crew")
    const pid = pidOf(process)
    const time = Core.find(this.#known, group, node, pid)?.time ?? ++this.#time
    const after = { group, table, pid, name: process, time, online, meta: undefined }
    const before = Core.insert(this.#known, after)
    this.#groups.grouped({ _tag: "Grouped", group, before, after, reason: "" })
  }

  /** A membership ends. */
  cut(process: string, node = "a", reason = "left"): void {
    const group = nameOf("crew")
    const before = Core.remove(this.#known, group, node, pidOf(process))
    this.#groups.grouped({ _tag: "Grouped", group, before, after: undefined, reason })
  }

  /** To whom each key goes. */
  routes(): ReadonlyArray<string | undefined> {
    return KEYS.map((key) => this.group.find(key)?.process)
  }

  close(): void {
    this.#groups.close()
  }
}

function pidOf(process: string): number {
  return Number(process.slice(1)) + 1
}

const process = fc.integer({ min: 0, max: 30 }).map((n) => `p${n}`)
const processes = fc.uniqueArray(process, { minLength: 1, maxLength: 25 })

describe("routing by key", () => {
  test("one who comes takes keys and moves none between others; when it goes all are as before", () => {
    fc.assert(
      fc.property(processes, fc.boolean(), (all, turns) => {
        const [last, ...others] = all as [string, ...Array<string>]
        const fake = new Fake()
        for (const one of others) fake.put(one)
        if (turns) fake.put(last, "a", false)
        const before = fake.routes()
        fake.put(last)
        for (const [i, now] of fake.routes().entries())
          assert.ok(now === before[i] || now === last, `${before[i]} lost a key to ${now}`)
        if (turns) fake.put(last, "a", false)
        else fake.cut(last)
        assert.deepEqual(fake.routes(), before)
      }),
    )
  })

  test("one who moves to another node keeps its keys, also while it is there twice", () => {
    fc.assert(
      fc.property(processes, fc.integer({ min: 1, max: 30 }), (all, n) => {
        const fake = new Fake()
        for (const one of all) fake.put(one)
        const listed = (): ReadonlyArray<ReadonlyArray<string>> =>
          KEYS.map((key) => fake.group.findN(key, n).map((member) => member.process))
        const before = listed()
        const moving = all.filter((_, i) => i % 2 === 0)
        for (const one of moving) fake.put(one, "b")
        assert.deepEqual(listed(), before)
        assert.equal(fake.group.count, all.length)
        for (const member of fake.group.members())
          assert.equal(member.node, moving.includes(member.process) ? "b" : "a")
        for (const one of moving) fake.cut(one, "a")
        assert.deepEqual(listed(), before)
      }),
    )
  })

  test("the first n are distinct, all when there are fewer, and the beginning of the first n + 1", () => {
    fc.assert(
      fc.property(processes, fc.integer({ min: 0, max: 30 }), (all, n) => {
        const fake = new Fake()
        for (const one of all) fake.put(one)
        for (const key of KEYS.slice(0, 10)) {
          const found = fake.group.findN(key, n).map((member) => member.process)
          const more = fake.group.findN(key, n + 1).map((member) => member.process)
          assert.equal(new Set(found).size, Math.min(n, all.length))
          assert.deepEqual(more.slice(0, n), found)
        }
      }),
    )
  })

  test("keys are spread evenly", () => {
    const fake = new Fake()
    for (let i = 0; i < 10; i++) fake.put(`p${i}`)
    const counts = new Map<string, number>()
    for (let i = 0; i < 10_000; i++) {
      const { process = "" } = fake.group.find(["user", i]) ?? {}
      counts.set(process, (counts.get(process) ?? 0) + 1)
    }
    for (const count of counts.values()) assert.ok(count > 850 && count < 1150, `${count}`)
    assert.equal(counts.size, 10)
  })
})

describe("what is told of a process", () => {
  test("that moves is one change, and what becomes of it then isn't undone by its end at the old node", async () => {
    const { fake, told } = listening()
    fake.put("p1")
    fake.put("p1", "b", false)
    fake.cut("p1", "b", "stopped: done")
    fake.cut("p1", "a", "moved")
    assert.deepEqual(await told(), [
      "Joined a true",
      "Updated b false, was a true",
      "Left b stopped: done",
    ])
    fake.put("p2")
    fake.cut("p2", "a", "moved")
    fake.put("p2", "b")
    assert.deepEqual(await told(), ["Joined a true", "Left a moved", "Joined b true"])
    fake.put("p3")
    fake.put("p3", "b")
    fake.put("p3", "a", false)
    fake.cut("p3", "a", "moved")
    fake.put("p3", "b", false)
    assert.deepEqual(await told(), [
      "Joined a true",
      "Updated b true, was a true",
      "Updated b false, was b true",
    ])
  })

  test("that is there twice after a split goes on as the one that doesn't end, whichever that is", async () => {
    for (const reason of ["conflict", "node down"]) {
      const { fake, told } = listening()
      fake.put("p1", "b")
      fake.put("p1", "c", false)
      fake.cut("p1", "c", reason)
      assert.deepEqual(await told(), [
        "Joined b true",
        "Updated c false, was b true",
        "Updated b true, was c false",
      ])
      fake.put("p2", "b")
      fake.put("p2", "c")
      fake.cut("p2", "b", reason)
      fake.cut("p2", "c", reason)
      assert.deepEqual(await told(), [
        "Joined b true",
        "Updated c true, was b true",
        `Left c ${reason}`,
      ])
    }
  })

  test("is told to nobody who has just stopped listening", async () => {
    const { fake, told, off } = listening()
    fake.put("p1")
    off()
    assert.deepEqual(await told(), [])
  })

  test("that was a member before is no news, and its end is", async () => {
    const fake = new Fake()
    fake.put("p1")
    const { told } = listening(fake)
    fake.put("p1", "a", false)
    fake.cut("p1")
    assert.deepEqual(await told(), ["Updated a false, was a true", "Left a left"])
  })
})

/** A group, and what is told of it since the last time. */
function listening(fake: Fake = new Fake()): {
  readonly fake: Fake
  readonly told: () => Promise<Array<string>>
  readonly off: () => void
} {
  let log: Array<string> = []
  const off = fake.group.on({
    joined: ({ member }) => log.push(`Joined ${member.node} ${member.online}`),
    left: ({ member, reason }) => log.push(`Left ${member.node} ${reason}`),
    updated: ({ member, before }) =>
      log.push(`Updated ${member.node} ${member.online}, was ${before.node} ${before.online}`),
  })
  const told = async (): Promise<Array<string>> => {
    await Promise.resolve()
    const now = log
    log = []
    return now
  }
  return { fake, told, off }
}

describe("what a node is asked to change", () => {
  test("is refused when it makes no sense, whoever asks", async () => {
    const inputs: Array<unknown> = []
    const driver = {
      input: (input: unknown) => inputs.push(input),
      afterFlush: (f: () => void) => f(),
    }
    const parts = {
      name: "a",
      limits: { namesMax: 9 },
      driver,
      platform: { now: () => 0, wall: () => 0 },
      core: { registry: { self: { epoch: 1, seq: 7 } } },
    }
    const { method } = new Memberships(parts as never)
    const cell = { pid: 1, name: "Worker/x" } as never
    const join = { _tag: "Join", online: true, meta: undefined }
    for (const args of [
      [],
      [7, join],
      ["g".repeat(600), join],
      ["gx", undefined],
      ["gx", null],
      ["gx", { ...join, online: "yes" }],
      ["gx", { ...join, meta: "text" }],
      ["gx", { ...join, meta: new Uint8Array(100_000) }],
    ])
      await assert.rejects(async () => await method.handler(cell, ...args), TypeError)
    assert.deepEqual(inputs, [])
    const answer = await method.handler(cell, "gx", join)
    assert.deepEqual(answer, { _tag: "Done", node: "a", epoch: 1, seq: 7 })
    assert.equal(inputs.length, 1)
  })
})

describe("streams of events", () => {
  test("of a group that is heard too slowly say how many were lost, and give the newest", async () => {
    const fake = new Fake()
    const events = fake.group.events()
    for (let i = 0; i < EVENTS_MAX + 3; i++) fake.put("p0", "a", i % 2 === 0)
    assert.deepEqual((await events.next()).value, { _tag: "EventsLost", count: 3 })
    const next = (await events.next()).value
    assert.ok(next._tag === "Updated" && next.before.online === true)
    await events.return?.()
    fake.put("p1")
    assert.deepEqual(await events.next(), { value: undefined, done: true })
  })

  test("end with the node, those that are begun later too", async () => {
    const fake = new Fake()
    const events = fake.group.events()
    fake.put("p1")
    fake.close()
    assert.equal((await events.next()).value._tag, "Joined")
    for (const each of [events, fake.group.events()])
      assert.deepEqual(await each.next(), { value: undefined, done: true })
  })

  test("give each event to who waits first, keep the rest, and end when they are closed", async () => {
    let left = 0
    const feed = new Feed<number>(
      (count) => -count,
      () => left++,
    )
    const [first, second] = [feed.next(), feed.next()]
    for (const n of [1, 2, 3, 4]) feed.push(n)
    assert.deepEqual(
      (await Promise.all([first, second])).map(({ value }) => value),
      [1, 2],
    )
    feed.close()
    feed.close()
    feed.push(5)
    assert.equal(left, 1)
    assert.equal((await feed.next()).value, 3)
    assert.equal((await feed.next()).value, 4)
    assert.equal((await feed.next()).done, true)
    const other = new Feed<number>(
      (count) => -count,
      () => left++,
    )
    const waiting = other.next()
    await other.return()
    assert.equal((await waiting).done, true)
    assert.equal(left, 2)
  })
})

const Worker = Process.define("Worker", {
  state: () => ({ n: 0 }),
  calls: {
    add: (self, by: number) => (self.state.n += by),
    take: (_self, sku: string) => Effect.fail({ _tag: "OutOfStock" as const, sku }),
  },
  casts: {
    set: (self, n: number) => {
      self.state.n = n
    },
  },
})

/** What the compiler must accept and refuse; never run. */
async function types(node: Node, ref: Ref<typeof Worker>): Promise<void> {
  const group: Group<typeof Worker, { load: number }> = node.group(["crew", 7n], Worker)
  await group.join(ref, { meta: { load: 1 }, timeout: 9 })
  await group.update(ref, (meta) => ({ load: (meta?.load ?? 0) + 1 }))
  const sum: number = await group.byKey("k").with({ timeout: 9 }).add(1)
  const tried = await group.byKey("k").try.take("x")
  if (!tried.ok && tried.error._tag === "OutOfStock") tried.error.sku satisfies string
  if (!tried.ok && tried.error._tag === "NoMember") tried.error.group satisfies unknown
  const { replies, failures } = await group.all.take("x")
  replies satisfies ReadonlyArray<{ value: never; meta: { load: number } | undefined }>
  if (failures[0]?.error._tag === "OutOfStock") failures[0].error.sku satisfies string
  const sent: number = group.nByKey("k", 2).cast.set(1)
  group.members()[0]?.ref satisfies Ref<typeof Worker> | undefined
  const untyped = node.group("any")
  await untyped.join(ref)
  const answers = await untyped.all.call("add", 1)
  answers.replies[0]?.value satisfies unknown
  // @ts-expect-error other metadata
  await group.join(ref, { meta: { load: "1" } })
  // @ts-expect-error an update to something else
  await group.update(ref, () => ({ load: "1" }))
  // @ts-expect-error a wrong argument
  await group.byKey("k").add("1")
  // @ts-expect-error a cast is not a call
  await group.all.set(1)
  // @ts-expect-error a call is not a cast
  group.here.cast.add(1)
  // @ts-expect-error methods have their names
  await group.byKey("k").call("add", 1)
  // @ts-expect-error nothing is known of the members
  await untyped.byKey("k").add(1)
  // @ts-expect-error it stands for no process
  await group.join(group.byKey("k"))
  void [sum, sent]
}
void types
