/** Calls and casts to members: to one by key, to any, to several, to all. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Node } from "../../mod.ts"
import { cluster } from "./cluster.ts"
import {
  at,
  crew,
  definitions,
  known,
  Other,
  type Three,
  tagOf,
  Worker,
  type Workers,
} from "./crew.ts"

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
