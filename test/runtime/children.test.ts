/** The children of a supervisor: listed, found, ended, called, and told of. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Supervisor } from "../../mod.ts"
import { Children } from "../../src/runtime/supervisors/children.ts"
import { cluster, event } from "./cluster.ts"
import { counted, eventually, fill, Job, Jobs, keys, Other, Stranger, type Three } from "./jobs.ts"

test("a child that is started from here is counted once, before and after it is known", () => {
  const children = new Children((name) => name.at(-1))
  const counts = (): ReadonlyArray<number> => {
    const { children: all, alike } = children.load("a", "s:Job/1x")
    return [children.total, children.homes.size, all, alike]
  }
  children.starting("s:Job/2x", "a")
  children.starting("s:Job/2x", "b")
  assert.deepEqual(counts(), [1, 0, 1, 1])
  children.changed("s:Job/2x", "a", "", 0)
  assert.deepEqual(counts(), [1, 1, 1, 1])
  children.starting("s:Job/2x", "a")
  children.started("s:Job/2x")
  assert.deepEqual(counts(), [1, 1, 1, 1])
  children.starting("s:Job/3y", "a")
  assert.deepEqual(counts(), [2, 1, 2, 1])
  children.started("s:Job/3y")
  children.changed("s:Job/2x", "b", "", 0)
  assert.deepEqual(counts(), [1, 1, 0, 0])
  assert.deepEqual(children.byNode, new Map([["b", 1]]))
})

describe("children", () => {
  test("are listed and counted by every node, also by one that asks for the first time later", async () => {
    await using all = await cluster(["a", "b"], [Job], { supervisors: [Jobs] })
    const [a, b] = all.nodes as unknown as Three
    await a.start(Job, "not one of them")
    await fill([a, b], Jobs, 20)
    await b.supervisor(Jobs).start(Other, ["x", 1], "runs")
    const client = await all.join("client", { supervisors: [] })
    await counted(all.nodes, Jobs, 21)
    for (const node of all.nodes) {
      const jobs = node.supervisor(Jobs)
      const { total, local, byNode, byDefinition } = jobs.counts()
      assert.equal(total, 21)
      assert.deepEqual(
        byDefinition,
        new Map([
          ["Job", 20],
          ["Other", 1],
        ]),
      )
      assert.equal((byNode.get("a") ?? 0) + (byNode.get("b") ?? 0), 21)
      assert.equal(local, byNode.get(node.name) ?? 0)
      const children = jobs.children()
      assert.deepEqual(
        children.map(({ name }) => name),
        [
          ...keys(20)
            .map((key) => `jobs:Job/${key}`)
            .sort(),
          'jobs:Other/~["x",1]',
        ],
      )
      const mine = children.filter((child) => child.node === node.name)
      assert.deepEqual(
        jobs.localChildren().map(({ name }) => name),
        mine.map(({ name }) => name),
      )
      for (const child of children) {
        // The definition's name tells what kind of reference it is.
        if (child.definition === "Job") assert.equal(await child.ref.where(), child.node)
        else assert.equal(await child.ref.get(), "other")
        const location = jobs.whereis(child.definition === "Job" ? Job : Other, child.key)
        assert.equal(location?.name, child.name)
        assert.equal(location?.node, child.node)
      }
    }
    assert.equal(client.supervisor(Jobs).counts().local, 0)
    for (const key of keys(20)) await b.supervisor(Jobs).terminate(Job, key)
    await counted(all.nodes, Jobs, 1)
    assert.deepEqual(client.supervisor(Jobs).counts().byDefinition, new Map([["Other", 1]]))
  })

  test("are found by reference, location, and the id of a life, and nobody else's are", async () => {
    await using two = await cluster(["a", "b"], [Job], { supervisors: [Jobs] })
    const [a] = two.nodes as unknown as Three
    const jobs = a.supervisor(Jobs)
    const stranger = await a.start(Job, "x")
    for (const key of keys(6)) {
      const result = await jobs.start(Job, key)
      const location = jobs.whereis(Job, key)
      assert.ok(result._tag === "Started" && location !== undefined)
      const sent = JSON.parse(JSON.stringify(location))
      for (const of of [result.ref, location, sent, location.id, jobs.ref(Job, key)]) {
        const child = jobs.whois(of)
        assert.equal(child?.definition, "Job")
        assert.equal(child.key, key)
        assert.equal(child.node, result.node)
      }
      await a.register(`also ${key}`, result.ref)
      assert.equal(jobs.whois(a.whereis(`also ${key}`) ?? "")?.key, key)
      // Crashed and begun anew, it is another life.
      await assert.rejects(result.ref.crash(), { _tag: "HandlerCrashed" })
      await eventually(() => jobs.whois(location.id) === undefined)
      assert.equal(jobs.whois(location)?.key, key)
    }
    for (const of of [stranger, a.whereis(Job, "x") ?? "", "a@1/1.1", "", jobs.ref(Job, "none")])
      assert.equal(jobs.whois(of), undefined)
  })

  test("end when they are terminated, by whatever means them; nobody else does", async () => {
    await using two = await cluster(["a", "b"], [Job], { supervisors: [Jobs] })
    const [a, b] = two.nodes as unknown as Three
    const jobs = a.supervisor(Jobs)
    const ends: Array<string> = []
    for (const node of [a, b])
      node
        .supervisor(Jobs)
        .on({ stopped: ({ child, reason }) => void ends.push(`${child.key} ${reason}`) })
    const stranger = await a.start(Job, "x")
    const spawned = await a.spawn(Job)
    for (const key of keys(8)) {
      const result = await jobs.start(Job, key)
      assert.ok(result._tag === "Started")
      const n = Number(key.slice(1))
      const ended =
        n % 4 === 0
          ? jobs.terminate(result.ref, "by ref")
          : n % 4 === 1
            ? jobs.terminate(Job, key, "by key")
            : n % 4 === 2
              ? jobs.terminate(jobs.whereis(Job, key) as never, "by location")
              : jobs.terminate(jobs.children()[0] as never)
      assert.equal(await ended, true)
      assert.equal(jobs.whereis(Job, key), undefined)
      assert.equal(jobs.counts().total, 0)
      assert.equal(await jobs.terminate(Job, key), false)
    }
    assert.deepEqual(ends, [
      ...["k0 by ref", "k1 by key", "k2 by location", "k3 terminated"],
      ...["k4 by ref", "k5 by key", "k6 by location", "k7 terminated"],
    ])
    for (const other of [stranger, spawned]) assert.equal(await jobs.terminate(other), false)
    assert.equal(await stranger.add(1), 1)
    await assert.rejects(jobs.terminate(Job, ""), TypeError)
    await a.stop()
    await assert.rejects(jobs.terminate(Job, "x"), { _tag: "NodeStopped" })
  })

  test("are called, cast to and sent to by key; what is sent to nobody isn't sent", async () => {
    await using two = await cluster(["a", "b"], [Job], { supervisors: [Jobs] })
    const [a, b] = two.nodes as unknown as Three
    await a.start(Job, "k0")
    for (const jobs of [a.supervisor(Jobs), b.supervisor(Jobs)])
      for (const key of keys(4).map((key) => `${key} ${jobs === a.supervisor(Jobs)}`)) {
        assert.equal(jobs.send(Job, key, "set", 1), false)
        await assert.rejects(jobs.call(Job, key, "add", 1), { _tag: "NoProcess" })
        await jobs.start(Job, key)
        jobs.cast(Job, key, "set", 5)
        assert.equal(await jobs.call(Job, key, "add", 1), 6)
        assert.equal(jobs.send(Job, key, "set", 7), true)
        assert.equal(await jobs.ref(Job, key).add(1), 8)
        await jobs.terminate(Job, key)
        assert.equal(jobs.send(Job, key, "set", 1), false)
      }
    const jobs = a.supervisor(Jobs)
    await assert.rejects(jobs.call(Job, "", "add", 1), TypeError)
    assert.throws(() => jobs.send(Job, "", "set", 1), TypeError)
    // @ts-expect-error no call of it
    await assert.rejects(jobs.call(Job, "x", "set", 1), { _tag: "NoMethod" })
    // @ts-expect-error no cast of it
    assert.throws(() => jobs.cast(Job, "x", "add", 1), { _tag: "NoMethod" })
    // @ts-expect-error not what it takes
    await assert.rejects(jobs.call(Job, "x", "add", "1"), { _tag: "NoProcess" })
    // @ts-expect-error not of this supervisor
    assert.equal(jobs.whereis(Stranger, "x"), undefined)
    // @ts-expect-error a start argument is missing
    assert.equal((await jobs.start(Other, "x"))._tag, "Started")
    assert.equal(await (await a.start(Job, "k0")).add(1), 1)
  })

  test("crash as often as the supervisor allows, unless their definition says how often", async () => {
    const Sturdy = Process.define("Sturdy", {
      state: () => ({}),
      calls: { crash: () => Promise.reject(new Error("on purpose")) },
      intensity: { max: 3, withinMillis: 60_000 },
    })
    const intensity = { max: 1, withinMillis: 60_000 }
    const Brittle = Supervisor.define("brittle", { processes: [Job, Sturdy], intensity })
    await using two = await cluster(["a", "b"], [Job], { supervisors: [Brittle] })
    const [a, b] = two.nodes as unknown as Three
    const [brittle, told] = [a.supervisor(Brittle), [] as Array<string>]
    for (const node of [a, b])
      node.supervisor(Brittle).on({
        started: ({ child, by }) => void told.push(`${by} started ${child.key}`),
        crashed: ({ child, by, restarted }) =>
          void told.push(`${by} crashed ${child.key}${restarted ? ", restarted" : ""}`),
        stopped: ({ child, by }) => void told.push(`${by} stopped ${child.key}`),
      })
    const survivor = await brittle.start(Job, "survivor", { n: 1 })
    assert.ok(survivor._tag === "Started")
    told.length = 0
    for (const [at, definition, crashes] of [
      ["a", Job, 2],
      ["b", Sturdy, 4],
    ] as const) {
      const result = await brittle.start(definition as typeof Job, at, undefined, { at })
      assert.ok(result._tag === "Started")
      for (let i = 0; i < crashes; i++)
        await assert.rejects(result.ref.crash(), { _tag: "HandlerCrashed" })
      await assert.rejects(result.ref.crash(), { _tag: "NoProcess" })
    }
    const restarted = (at: string): string => `${at} crashed ${at}, restarted`
    const over = (at: string): ReadonlyArray<string> => [
      `${at} crashed ${at}`,
      `${at} stopped ${at}`,
    ]
    assert.deepEqual(told, [
      ...["a started a", restarted("a"), ...over("a")],
      ...["b started b", restarted("b"), restarted("b"), restarted("b"), ...over("b")],
    ])
    assert.equal(await survivor.ref.add(1), 2)
    // Outside of the supervisor it is five times.
    const outside = await a.start(Job, "x")
    for (let i = 0; i < 5; i++) await assert.rejects(outside.crash(), { _tag: "HandlerCrashed" })
    assert.equal(await outside.add(1), 1)
  })

  test("are told of by the definition's own listeners, until the node ends", async () => {
    const told: Array<string> = []
    const Heard = Supervisor.define("heard", {
      processes: [Job],
      listeners: [
        {
          started: ({ by, supervisor, child }) =>
            void told.push(`${supervisor} ${by} ${child.key}`),
        },
        {
          started: () => {
            throw new Error("on purpose")
          },
        },
      ],
    })
    await using two = await cluster(["a", "b"], [Job], { supervisors: [Heard] })
    await two.join("client", { supervisors: [] })
    const [a, b] = two.nodes as unknown as Three
    const failed = event(b, "ListenerFailed")
    await a.start(Job, "not one of them")
    for (const at of ["a", "b"]) await a.supervisor(Heard).start(Job, `at ${at}`, {}, { at })
    assert.deepEqual(told, ["heard a at a", "heard b at b"])
    assert.equal((await failed).reason, "on purpose")
    const end = b.supervisor(Heard).on({ started: () => void told.push("once") })
    await a.supervisor(Heard).start(Job, "x", {}, { at: "b" })
    end()
    await a.supervisor(Heard).start(Job, "y", {}, { at: "b" })
    assert.deepEqual(told.slice(2), ["heard b x", "once", "heard b y"])
  })
})
