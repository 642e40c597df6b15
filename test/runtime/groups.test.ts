import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Group, type GroupEvent, type Node, Process, type Ref } from "../../mod.ts"
import { cluster, deferred, event, lone } from "./cluster.ts"

const Worker = Process.define("Worker", {
  state: (init?: { n?: number }) => ({ n: init?.n ?? 0 }),
  calls: {
    add: (self, by: number) => {
      self.state.n += by
      return self.state.n
    },
    get: (self) => self.state.n,
    where: (self) => self.node,
    who: (self) => self.key,
    crash: (): void => {
      throw new Error("on purpose")
    },
    hang: () => new Promise<void>(() => {}),
    join: (self, group: string, online?: boolean) =>
      self.join(group, online === undefined ? {} : { online, meta: "mine" }),
    leave: (self, group: string) => self.leave(group),
    end: (self) => self.stop("done"),
  },
  casts: {
    reset: (self) => {
      self.state.n = 0
    },
    set: (self, n: number) => {
      self.state.n = n
    },
  },
})

const Other = Process.define("Other", {
  state: () => ({ secret: 1 }),
  calls: { get: () => "other", own: () => "mine" },
})

const definitions = [Worker, Other]
type Workers = Group<typeof Worker, { load: number }>
type Three = readonly [Node, Node, Node]

const tagOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error) => error._tag ?? error.name,
  )

/** Waits until `met` holds, looking again after each event of the group. */
async function known(group: Pick<Group<never>, "events">, met: () => boolean): Promise<void> {
  const events = group.events()
  while (!met()) await events.next()
  await events.return?.()
}

/** One worker of each node, all of them members that every node knows. */
async function crew(nodes: ReadonlyArray<Node>, name = "crew"): Promise<ReadonlyArray<Worker>> {
  const workers: Array<Worker> = []
  for (const [i, node] of nodes.entries()) {
    const worker = await at(node, Worker, i)
    await nodes[0]?.group(name, Worker).join(worker, { meta: { load: i } })
    workers.push(worker)
  }
  for (const node of nodes) {
    const group = node.group(name, Worker)
    await known(group, () => group.count === nodes.length)
  }
  return workers
}

type Worker = Ref<typeof Worker>

/** A process that the ring places on this node, another one for each number. */
function at<P extends typeof Worker | typeof Other>(node: Node, type: P, i = 0): Promise<Ref<P>> {
  const keys = Array.from({ length: 999 }, (_, j) => `w${i} ${j}`)
  const key = keys.find((each) => node.nodeFor(type, each) === node.name) as string
  return node.start(type as typeof Worker, key) as unknown as Promise<Ref<P>>
}

describe("members", () => {
  test("make a group one of those that are listed, until the last one goes", async () => {
    await using one = await cluster(["a"], definitions)
    const [a] = one.nodes as readonly [Node]
    const worker = await a.start(Worker, "w")
    await a.group("crew").join(worker)
    await a.group(["shift", 2]).join(worker)
    assert.deepEqual(new Set(a.groups()), new Set(["crew", ["shift", 2]]))
    await a.group("crew").leave(worker)
    assert.deepEqual(a.groups(), [["shift", 2]])
  })

  test("a process joins from any node, and is a member there at once and everywhere soon", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as unknown as Three
    for (let i = 0; i < 20; i++) {
      const worker = await b.start(Worker, `w${i}`)
      const home = b.whereis(Worker, `w${i}`)?.node
      const group: Workers = a.group(["room", i], Worker)
      await group.join(worker, { meta: { load: i } })
      const [member] = group.members()
      assert.equal(member?.process, worker.name)
      assert.equal(member.node, home)
      assert.deepEqual(member.meta, { load: i })
      assert.equal(member.online, true)
      assert.ok(Math.abs(member.joinedAt - Date.now()) < 60_000)
      assert.equal(await member.ref.add(3), 3)
      const there = c.group(["room", i], Worker)
      await known(there, () => there.count === 1)
      assert.deepEqual(there.nodes(), [home])
    }
  })

  test("a second join that says the same changes nothing, one that doesn't fails", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    const worker = await at(b, Worker)
    for (const node of [a, b]) {
      const group: Workers = node.group(`of ${node.name}`, Worker)
      await group.join(worker, { meta: { load: 1 } })
      await group.join(worker, { meta: { load: 1 } })
      await assert.rejects(group.join(worker, { meta: { load: 2 } }), {
        _tag: "AlreadyMember",
        group: `of ${node.name}`,
        process: worker.name,
      })
      assert.equal(await tagOf(group.join(worker)), "AlreadyMember")
      const offline = group.join(worker, { meta: { load: 1 }, online: false })
      assert.equal(await tagOf(offline), "AlreadyMember")
      assert.equal(group.count, 1)
      assert.deepEqual(group.members()[0]?.meta, { load: 1 })
    }
  })

  test("what isn't a member can't be changed, what doesn't run can't join, and leaving twice is no error", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    const worker = await at(b, Worker)
    const group: Workers = a.group("crew", Worker)
    assert.equal(await group.leave(worker), false)
    for (const change of [
      group.enable(worker),
      group.disable(worker),
      group.update(worker, { load: 1 }),
      group.update(worker, () => ({ load: 1 })),
    ])
      await assert.rejects(change, { _tag: "NotMember", group: "crew", process: worker.name })
    assert.equal(await tagOf(group.join(a.ref(Worker, "nobody"))), "NoProcess")
    assert.equal(await group.leave(a.ref(Worker, "nobody")), false)
    await group.join(worker)
    assert.equal(group.count, 1)
    assert.equal(await group.leave(worker), true)
    assert.equal(group.count, 0)
    assert.equal(await group.leave(worker), false)
    const circle: Array<unknown> = []
    circle.push(circle)
    assert.equal(await tagOf(group.join(worker, { meta: circle as never })), "NotData")
    const long = "x".repeat(65 * 1024)
    assert.equal(await tagOf(group.join(worker, { meta: long as never })), "NotData")
    assert.equal(await tagOf(group.join({} as never)), "TypeError")
    assert.throws(() => a.group("", Worker), TypeError)
  })

  test("updates by function lose nothing, from wherever they come", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b] = three.nodes as unknown as Three
    const near: Workers = b.group("crew", Worker)
    const worker = await at(b, Worker)
    await a.group("crew", Worker).join(worker)
    const adds = three.nodes.flatMap((node) => {
      const group: Workers = node.group("crew", Worker)
      return Array.from({ length: 30 }, () =>
        group.update(worker, (meta) => ({ load: (meta?.load ?? 0) + 1 })),
      )
    })
    const results = await Promise.all(adds)
    assert.deepEqual(
      results.map((meta) => meta?.load).sort((x, y) => Number(x) - Number(y)),
      Array.from({ length: 90 }, (_, i) => i + 1),
    )
    assert.deepEqual(b.group("crew", Worker).members()[0]?.meta, { load: 90 })
    const group: Workers = a.group("crew", Worker)
    assert.deepEqual(await group.update(worker, { load: 7 }), { load: 7 })
    assert.deepEqual(group.members()[0]?.meta, { load: 7 })
    const failing = group.update(worker, () => {
      throw new RangeError("no")
    })
    await assert.rejects(failing, RangeError)
    // The function itself is who is faster.
    const vain = near.update(worker, (meta) => {
      void near.update(worker, { load: (meta?.load ?? 0) + 1 })
      return meta
    })
    await assert.rejects(vain, { _tag: "Contended", attempts: 1_000 })
    assert.equal(await group.update(worker, undefined), undefined)
    assert.equal(group.members()[0]?.meta, undefined)
  })

  test("a process that is busy for good can be disabled, and joins, all the same", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    const worker = await at(b, Worker)
    const hanging = tagOf(worker.hang())
    for (const node of [b, a]) {
      const group = node.group(`of ${node.name}`, Worker)
      await group.join(worker)
      await group.disable(worker)
      assert.deepEqual(group.online(), [])
      assert.equal(group.members()[0]?.online, false)
    }
    await two.nodes[1]?.stop()
    await hanging
  })

  test("a node has no more memberships than names", async () => {
    await using node = await lone(definitions, { limits: { namesMax: 3 } })
    const worker = await node.spawn(Worker)
    for (const name of ["x", "y", "z"]) await node.group(name, Worker).join(worker)
    await assert.rejects(node.group("more", Worker).join(worker), {
      _tag: "Overloaded",
      limit: "namesMax",
      max: 3,
    })
    await assert.rejects(worker.join("more"), /namesMax/)
    await node.group("x", Worker).leave(worker)
    await node.group("more", Worker).join(worker)
  })
})

describe("the memberships of a process", () => {
  test("it joins and leaves by itself; a second join changes only what it says", async () => {
    await using node = await lone(definitions)
    const worker = await node.spawn(Worker)
    const group = node.group("crew", Worker)
    await worker.join("crew")
    const [first] = group.members()
    assert.equal(first?.online, true)
    await worker.join("crew", false)
    await worker.join("crew")
    const [second] = group.members()
    assert.equal(second?.online, false)
    assert.equal(second.meta, "mine")
    assert.equal(second.joinedAt, first.joinedAt)
    assert.equal(await worker.leave("crew"), true)
    assert.equal(await worker.leave("crew"), false)
    assert.equal(group.count, 0)
  })

  test("it outlives a crash after which the process starts again, and joins again in started", async () => {
    const Member = Process.define("Member", {
      state: () => ({ n: 0 }),
      started: (self) => self.join("crew", { meta: { load: 0 } }),
      calls: {
        crash: (): void => {
          throw new Error("on purpose")
        },
      },
    })
    await using node = await lone([Member])
    const group: Group<typeof Member, { load: number }> = node.group("crew", Member)
    const events = group.events()
    const member = await node.start(Member, "m")
    assert.equal(group.count, 1)
    await group.update(member, { load: 5 })
    await group.disable(member)
    await member.try.crash()
    await known(group, () => group.members()[0]?.meta?.load === 0)
    assert.equal(group.members()[0]?.online, false, "whoever disabled it is not overruled")
    await node.stopProcess(member, "enough")
    const tags: Array<string> = []
    for await (const one of events) {
      tags.push(one._tag === "Left" ? `Left ${one.reason}` : one._tag)
      if (one._tag === "Left") break
    }
    assert.deepEqual(tags, ["Joined", "Updated", "Updated", "Updated", "Left stopped: enough"])
  })

  test("a process that can't be started isn't a member of what it joined", async () => {
    const Broken = Process.define("Broken", {
      state: () => ({ n: 0 }),
      started: (self) => {
        self.join("crew")
        throw new Error("on purpose")
      },
    })
    await using node = await lone([Broken])
    assert.equal(await tagOf(node.start(Broken, "x")), "StartFailed")
    await Promise.resolve()
    assert.equal(node.group("crew").count, 0)
  })

  test("they end with it, on every node, with the reason", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as unknown as Three
    const reasons = three.nodes.map((node) => left(node.group("crew", Worker), 3))
    const [stops, ends, goes] = await crew([b, b, b])
    await b.stopProcess(stops as Worker, "enough")
    await ends?.end()
    await a.group("crew", Worker).leave(goes as Worker)
    for (const each of reasons) {
      assert.deepEqual((await each).sort(), ["left", "stopped: done", "stopped: enough"])
    }
    assert.equal(c.group("crew", Worker).count, 0)
  })
})

describe("calls to members", () => {
  test("a key's calls and casts all go to one member, the same from every node", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b] = three.nodes as unknown as Three
    await crew(three.nodes)
    const hit = new Set<string>()
    for (let i = 0; i < 60; i++) {
      const found = three.nodes.map((node) => node.group("crew", Worker).find(["file", i]))
      for (const member of found) assert.equal(member?.process, found[0]?.process)
      assert.equal(await b.group("crew", Worker).byKey(["file", i]).who(), found[0]?.ref.key)
      hit.add(found[0]?.process as string)
    }
    assert.equal(hit.size, 3)
    const one = a.group("crew", Worker).byKey("k")
    one.cast.set(41)
    assert.equal(await one.add(1), 42)
    assert.equal(await a.group("crew", Worker).find("k")?.ref.get(), 42)
    const crashed = await one.try.crash()
    assert.ok(!crashed.ok && crashed.error._tag === "HandlerCrashed")
    assert.equal(await tagOf(one.with({ timeout: 1 }).hang()), "Timeout")
  })

  test("a reference by key picks its member anew each time, and nobody is an error", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a] = two.nodes as unknown as Three
    const group = a.group("crew", Worker)
    const one = group.byKey("k")
    await assert.rejects(one.get(), { _tag: "NoMember", outcome: "not-executed", group: "crew" })
    assert.throws(() => one.cast.reset(), { _tag: "NoMember" })
    const tried = await one.try.get()
    assert.ok(!tried.ok && tried.error._tag === "NoMember")
    assert.equal(group.find("k"), undefined)
    assert.equal(group.any(), undefined)
    const workers = await crew(two.nodes)
    const first = await one.who()
    await group.disable(workers.find(({ key }) => key === first) as Worker)
    const second = await one.who()
    assert.notEqual(second, first)
    await group.enable(workers.find(({ key }) => key === first) as Worker)
    assert.equal(await one.who(), first)
    await two.nodes[0]?.stopProcess(workers.find(({ key }) => key === first) as Worker)
    assert.equal(await one.who(), second)
  })

  test("any is one of this node if there is one, else one of all", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as unknown as Three
    const workers = await crew([a, b, b])
    const seen = async (node: Node): Promise<Array<string>> => {
      const found = new Set<string>()
      for (let i = 0; i < 60; i++) found.add((await node.group("crew", Worker).any()?.who()) ?? "")
      return [...found].sort()
    }
    const everywhere = c.group("crew", Worker)
    await known(everywhere, () => everywhere.count === 3)
    const [w0 = "", w1 = "", w2 = ""] = workers.map(({ key }) => key)
    assert.deepEqual(await seen(a), [w0])
    assert.deepEqual(await seen(b), [w1, w2])
    assert.deepEqual(await seen(c), [w0, w1, w2])
    await b.group("crew", Worker).disable(workers[1] as Worker)
    assert.deepEqual(await seen(b), [w2])
  })

  test("everybody is asked at once, and each has its own answer or failure", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b] = three.nodes as unknown as Three
    const workers = await crew(three.nodes)
    const group: Workers = a.group("crew", Worker)
    a.ref(Worker, workers[1]?.key as string).cast.set(5)
    const { replies, failures } = await group.all.add(1)
    const names = workers.map(({ name }) => name)
    assert.deepEqual(replies, [
      { node: "a", process: names[0], meta: { load: 0 }, value: 1 },
      { node: "b", process: names[1], meta: { load: 1 }, value: 6 },
      { node: "c", process: names[2], meta: { load: 2 }, value: 1 },
    ])
    assert.deepEqual(failures, [])
    const hanging = workers[2]?.with({ timeout: 60_000 }).try.hang()
    const some = await group.all.with({ timeout: 50 }).get()
    assert.deepEqual(
      some.replies.map(({ node, value }) => [node, value]),
      [
        ["a", 1],
        ["b", 6],
      ],
    )
    assert.deepEqual(
      some.failures.map(({ node, meta, error }) => [node, meta, error._tag]),
      [["c", { load: 2 }, "Timeout"]],
    )
    const aborted = await group.all.with({ signal: AbortSignal.abort() }).get()
    assert.deepEqual(
      aborted.failures.map(({ error }) => error._tag),
      ["Aborted", "Aborted", "Aborted"],
    )
    const here = await b.group("crew", Worker).here.where()
    assert.deepEqual(
      here.replies.map(({ value }) => value),
      ["b"],
    )
    const none = await a.group("nobody", Worker).all.get()
    assert.deepEqual(none, { replies: [], failures: [] })
    await three.nodes[2]?.stop()
    await hanging
  })

  test("a cast to many reaches each of them once, and says how many that were", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a] = three.nodes as unknown as Three
    const workers = await crew([...three.nodes, a])
    const group: Workers = a.group("crew", Worker)
    const values = (): Promise<Array<number>> =>
      Promise.all(workers.map(({ key }) => a.ref(Worker, key).get()))
    assert.equal(group.all.cast.set(9), 4)
    assert.deepEqual(await values(), [9, 9, 9, 9])
    assert.equal(group.here.cast.reset(), 2)
    assert.deepEqual(await values(), [0, 9, 9, 0])
    await group.disable(workers[3] as Worker)
    assert.equal(group.all.cast.set(1), 3)
    assert.equal(group.here.cast.set(2), 1)
    assert.equal(a.group("nobody", Worker).all.cast.reset(), 0)
    assert.throws(() => group.all.cast.set((() => 1) as never), { _tag: "NotData" })
    assert.deepEqual(await values(), [2, 1, 1, 0])
  })

  test("several by key are distinct, and all when there are fewer", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a] = three.nodes as unknown as Three
    await crew(three.nodes)
    const group: Workers = a.group("crew", Worker)
    for (let i = 0; i < 20; i++) {
      const two = await group.nByKey(i, 2).who()
      assert.deepEqual(
        two.replies.map(({ process }) => process),
        group.findN(i, 2).map(({ process }) => process),
      )
      assert.equal(new Set(two.replies.map(({ value }) => value)).size, 2)
      assert.equal(two.replies[0]?.process, group.find(i)?.process)
    }
    assert.equal((await group.nByKey("k", 9).get()).replies.length, 3)
    assert.equal(group.nByKey("k", 2).cast.reset(), 2)
    assert.equal(group.findN("k", 0).length, 0)
  })

  test("without a definition methods are called by their names", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const client = await two.join("client", { processes: [] })
    const [a, b] = two.nodes as unknown as Three
    await a.group("mixed").join(await at(b, Worker))
    for (const node of [a, b, client]) {
      const group = node.group("mixed")
      await known(group, () => group.count === 1)
      assert.equal(await group.byKey("k").call("add", 1), 1 + [a, b, client].indexOf(node))
      const { failures } = await group.all.call("nothing")
      assert.deepEqual(
        failures.map(({ error }) => (error as { _tag: string })._tag),
        ["NoMethod"],
      )
      assert.equal(
        await tagOf(group.byKey("k").with({ timeout: 9_999 }).call("$merge")),
        "NoMethod",
      )
    }
    assert.equal(client.group("mixed").all.cast("set", 1), 1)
    assert.equal(await client.group("mixed", Worker).byKey("k").get(), 1)
    assert.equal(await client.group("mixed", Worker).members()[0]?.ref.get(), 1)
  })

  test("a member of another definition runs its own methods, and only those", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    await a.group("mixed").join(await at(b, Other))
    for (const node of [b, a]) {
      const group = node.group("mixed", Worker)
      assert.equal(await group.byKey("k").get(), "other")
      assert.equal(await tagOf(group.byKey("k").add(1)), "NoMethod")
      assert.equal(group.all.cast.set(1), 0)
      assert.equal(await node.group("mixed", Other).members()[0]?.ref.own(), "mine")
    }
  })
})

describe("the events of a group", () => {
  test("every node tells of every change once, with what was before", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b] = three.nodes as unknown as Three
    const told = three.nodes.map(() => [] as Array<unknown>)
    const all = three.nodes.map((node, i) => heard(node.group("crew", Worker), 6, told[i] ?? []))
    const worker = await at(b, Worker)
    const group: Workers = a.group("crew", Worker)
    await group.join(worker, { meta: { load: 1 } })
    await group.disable(worker)
    await group.disable(worker)
    await group.update(worker, { load: 2 })
    await group.update(worker, { load: 2 })
    await group.enable(worker)
    await group.leave(worker)
    await group.join(worker)
    await Promise.all(all)
    for (const events of told) {
      assert.deepEqual(events, [
        ["Joined", true, { load: 1 }],
        ["Updated", false, { load: 1 }, { node: "b", online: true, meta: { load: 1 } }],
        ["Updated", false, { load: 2 }, { node: "b", online: false, meta: { load: 1 } }],
        ["Updated", true, { load: 2 }, { node: "b", online: false, meta: { load: 2 } }],
        ["Left", true, { load: 2 }, { node: "b", online: true, meta: { load: 2 } }],
        ["Joined", true, undefined],
      ])
    }
  })

  test("handlers are called until they are taken off, behind what they can look at", async () => {
    await using two = await cluster(["a", "b"], definitions)
    const [a, b] = two.nodes as unknown as Three
    const group = a.group("crew", Worker)
    const told: Array<string> = []
    const off = group.on({
      joined: ({ group: name, member }) => told.push(`${name} + ${member.process} ${group.count}`),
      left: ({ member, reason }) => told.push(`- ${member.process} ${reason} ${group.count}`),
    })
    const failed = event(a, "ListenerFailed")
    group.on({
      updated: () => {
        throw new Error("on purpose")
      },
    })
    const other = deferred<void>()
    group.on({ updated: () => other.resolve() })
    const worker = await at(b, Worker)
    await group.join(worker)
    await group.disable(worker)
    await other.promise
    assert.deepEqual(await failed, {
      _tag: "ListenerFailed",
      event: "Updated",
      reason: "on purpose",
    })
    await group.leave(worker)
    await Promise.resolve()
    assert.deepEqual(told, [`crew + ${worker.name} 1`, `- ${worker.name} left 0`])
    off()
    await group.join(worker)
    await Promise.resolve()
    assert.equal(told.length, 2)
  })

  test("a node that dies takes its members along, and a node that stops ends its streams", async () => {
    await using three = await cluster(["a", "b", "c"], definitions)
    const [a, b, c] = three.nodes as unknown as Three
    const gone = [a, b].map((node) => left(node.group("crew", Worker), 2))
    await crew([a, c, c])
    const down = event(a, "MemberDown")
    await c.stop()
    await down
    for (const reasons of gone) assert.deepEqual(await reasons, ["node down", "node down"])
    assert.deepEqual(a.group("crew", Worker).nodes(), ["a"])
    const stream = a.group("crew", Worker).events()
    const next = stream.next()
    await a.stop()
    assert.deepEqual(await next, { value: undefined, done: true })
  })
})

/** Puts the next so many events of a group in a list. */
async function heard(
  group: Group<typeof Worker>,
  count: number,
  into: Array<unknown>,
): Promise<void> {
  for await (const one of group.events()) {
    into.push(inWords(one))
    if (into.length === count) break
  }
}

function inWords(one: GroupEvent<typeof Worker>): unknown {
  if (one._tag === "EventsLost") return [one._tag, one.count]
  const { online, meta } = one.member
  return [one._tag, online, meta, ...(one._tag === "Joined" ? [] : [one.before])]
}

/** The reasons of the next so many who leave. */
async function left(group: Group<typeof Worker>, count: number): Promise<Array<string>> {
  const reasons: Array<string> = []
  for await (const one of group.events()) {
    if (one._tag === "Left") reasons.push(one.reason)
    if (reasons.length === count) break
  }
  return reasons
}
