/** Who is in a group: members that join from anywhere, and memberships that a process has by itself. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Group, type Node, Process } from "../../mod.ts"
import { cluster, lone } from "./cluster.ts"
import {
  at,
  crew,
  definitions,
  known,
  left,
  type Three,
  tagOf,
  Worker,
  type Workers,
} from "./crew.ts"

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
