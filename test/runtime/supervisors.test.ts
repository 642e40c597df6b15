/** Supervisors: what they may be, which children they start, and which nodes host them. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process, Supervisor } from "../../mod.ts"
import { cluster, event, lone } from "./cluster.ts"
import { counted, fill, Job, Jobs, keys, Other, Stranger, type Three, tally } from "./jobs.ts"

describe("a supervisor's definition", () => {
  test("can't be what makes no sense", () => {
    const refused = (name: string, spec: object): string => {
      try {
        Supervisor.define(name, { processes: [Job], ...spec })
        return "taken"
      } catch (error) {
        assert.ok(error instanceof TypeError)
        return error.message
      }
    }
    assert.equal(refused("a.b-c_1", { nodes: ["a"], roles: ["x"], childrenMax: 1 }), "taken")
    for (const name of ["", "1a", "a:b", "a/b", "@a", "a".repeat(65)])
      assert.match(refused(name, {}), /the name .* doesn't match/)
    assert.match(refused("s", { processes: [] }), /no processes/)
    const Twin = Process.define("Job", { state: () => ({}) })
    assert.match(refused("s", { processes: [Job, Twin] }), /two processes named Job/)
    assert.match(refused("s", { nodes: [] }), /no nodes/)
    assert.match(refused("s", { roles: [] }), /no roles/)
    for (const childrenMax of [0, 1.5, Number.NaN])
      assert.match(refused("s", { childrenMax }), /childrenMax/)
    assert.match(refused("s", { intensity: { max: -1, withinMillis: 1 } }), /intensity/)
    assert.match(refused("s", { intensity: { max: 1, withinMillis: 0 } }), /intensity/)
  })

  test("is listed once by a node, and its definitions are apart from the node's own", async () => {
    const again = Supervisor.define("jobs", { processes: [Job] })
    await assert.rejects(lone([], { supervisors: [Jobs, again] }), {
      _tag: "InvalidOption",
      option: "supervisors",
    })
    const Mine = Process.define("Job", { state: () => ({}), calls: { who: () => "mine" } })
    await using node = await lone([Mine], { supervisors: [Jobs] })
    assert.equal(await (await node.start(Mine, "x")).who(), "mine")
    const jobs = node.supervisor(Jobs)
    assert.equal((await jobs.start(Job, "x", { n: 4 }))._tag, "Started")
    assert.equal(await jobs.call(Job, "x", "add", 1), 5)
    assert.deepEqual(
      node.names().map(({ name }) => name),
      ["Job/x", "jobs:Job/x"],
    )
  })
})

describe("starting children", () => {
  test("says what came of it, and never rejects", async () => {
    await using two = await cluster(["a", "b"], [], { supervisors: [Jobs] })
    const [a, b] = two.nodes as unknown as Three
    const [here, there] = [a.supervisor(Jobs), b.supervisor(Jobs)]
    for (const key of ["x", 42, ["room", 7n, true]]) {
      const first = await here.start(Job, key, { n: 3 })
      assert.ok(first._tag === "Started")
      assert.deepEqual(first.key, key)
      assert.equal(await first.ref.add(1), 4)
      assert.equal(await first.ref.where(), first.node)
      const second = await there.start(Job, key, { n: 9 })
      assert.ok(second._tag === "AlreadyStarted")
      assert.equal(second.node, first.node)
      assert.equal(second.ref.name, first.ref.name)
      assert.equal(await second.ref.add(1), 5)
    }
    for (const key of keys(6)) {
      assert.deepEqual(await here.start(Other, key, "ignores"), { _tag: "Ignored" })
      const failed = await here.start(Other, key, "throws")
      assert.ok(failed._tag === "Failed")
      assert.equal(failed.error._tag, "StartFailed")
      assert.equal(there.whereis(Other, key), undefined)
    }
    assert.equal(here.counts().total, 3)
    assert.equal((await here.start(Other, "k0", "runs"))._tag, "Started")
  })

  test("that can't be is a value which says why, and nothing is started", async () => {
    await using three = await cluster(["a", "b"], [], { supervisors: [Jobs] })
    const client = await three.join("c", { supervisors: [] })
    const jobs = client.supervisor(Jobs)
    const problem = async (start: Promise<{ readonly _tag: string }>): Promise<string> => {
      const result = (await start) as Supervisor.StartResult<typeof Job>
      return result._tag === "Invalid" ? result.problem : result._tag
    }
    // @ts-expect-error the definition isn't among the supervisor's processes
    assert.match(await problem(jobs.start(Stranger, "x")), /Stranger is not among the processes/)
    // @ts-expect-error nor is this
    assert.match(await problem(jobs.start(undefined, "x")), /\w/)
    assert.match(await problem(jobs.start(Job, "")), /empty string/)
    assert.match(await problem(jobs.start(Job, Number.NaN)), /NaN/)
    // @ts-expect-error no key
    assert.match(await problem(jobs.start(Job, {})), /an object/)
    // @ts-expect-error no start argument of it
    assert.match(await problem(jobs.start(Job, "x", { n: () => {} })), /jobs:Job\/x/)
    const far = new Uint8Array(9_000_000)
    assert.match(await problem(jobs.start(Job, "x", far as never)), /9000\d+ bytes/)
    for (const at of ["c", "nobody"])
      assert.match(await problem(jobs.start(Job, "x", {}, { at })), new RegExp(`no node ${at} `))
    assert.equal(jobs.counts().total, 0)
    const aborted = await jobs.start(Job, "x", {}, { signal: AbortSignal.abort() })
    assert.ok(aborted._tag === "Failed" && aborted.error._tag === "Aborted")
    await client.stop()
    const stopped = await jobs.start(Job, "x", {}, { at: "a" })
    assert.ok(stopped._tag === "Failed" && stopped.error._tag === "NodeStopped")
  })

  test("of a supervisor that nobody hosts fails with NoNode", async () => {
    await using node = await lone([Job])
    const result = await node.supervisor(Jobs).start(Job, "x")
    assert.ok(result._tag === "Failed" && result.error._tag === "NoNode")
  })

  test("without a key gives each a new one", async () => {
    await using two = await cluster(["a", "b"], [], { supervisors: [Jobs] })
    const results = await Promise.all(
      keys(40).map((_, i) => (two.nodes[i % 2] as Node).supervisor(Jobs).start(Job, undefined)),
    )
    const names = results.map((result) => (result._tag === "Started" ? result.ref.name : "none"))
    assert.equal(new Set(names).size, 40)
    const [first] = results
    assert.ok(first?._tag === "Started")
    assert.equal(await two.nodes[1]?.supervisor(Jobs).call(Job, first.key, "add", 1), 1)
  })

  test("at a node: there it stays until that leaves, and then goes on", async () => {
    await using three = await cluster(["a", "b", "c"], [], { supervisors: [Jobs] })
    const [a, b, c] = three.nodes as unknown as Three
    const jobs = a.supervisor(Jobs)
    for (const key of keys(9)) {
      const result = await jobs.start(Job, key, { n: 1 }, { at: "b", meta: { key } })
      assert.ok(result._tag === "Started" && result.node === "b")
      assert.equal(jobs.nodeFor(Job, key), "b")
      assert.deepEqual(jobs.whereis(Job, key)?.meta, { key })
    }
    await three.join("d")
    assert.deepEqual(jobs.counts().byNode, new Map([["b", 9]]))
    assert.equal(b.supervisor(Jobs).localChildren().length, 9)
    await b.leave()
    await counted([a, c], Jobs, 9)
    assert.equal(jobs.counts().byNode.get("b"), undefined)
    for (const key of keys(9)) assert.equal(await jobs.call(Job, key, "add", 1), 2)
  })

  test("beyond childrenMax is Overloaded, until one ends", async () => {
    const Slow = Process.define("Slow", { state: async () => ({}) })
    const Few = Supervisor.define("few", { processes: [Job, Slow], childrenMax: 5 })
    await using one = await lone([], { supervisors: [Few] })
    const few = one.supervisor(Few)
    const slow = [few.start(Slow, "x"), few.start(Slow, "y")]
    const jobs = await Promise.all(keys(9).map((key) => few.start(Job, key)))
    const results = [...jobs, ...(await Promise.all(slow))]
    assert.deepEqual(tally(results.map(({ _tag }) => _tag)), { Started: 5, Failed: 6 })
    const failed = await few.start(Job, "more")
    assert.ok(failed._tag === "Failed" && failed.error._tag === "Overloaded")
    assert.equal(failed.error.limit, "childrenMax")
    assert.equal(failed.error.max, 5)
    assert.equal((await few.start(Job, "k0"))._tag, "AlreadyStarted")
    assert.equal(await few.terminate(Job, "k0"), true)
    assert.equal((await few.start(Job, "more"))._tag, "Started")
  })

  test("that comes to nothing leaves room for others", async () => {
    const Few = Supervisor.define("few", { processes: [Job, Other], childrenMax: 1 })
    await using one = await lone([], { supervisors: [Few] })
    const few = one.supervisor(Few)
    for (const how of ["ignores", "throws", "ignores"] as const) {
      const result = await few.start(Other, how, how)
      assert.equal(result._tag, how === "ignores" ? "Ignored" : "Failed")
    }
    assert.equal((await few.start(Other, "x", "runs"))._tag, "Started")
    assert.equal((await few.start(Other, "y", "runs"))._tag, "Failed")
  })
})

describe("the nodes of a supervisor", () => {
  test("are those that list it and have its names and roles, and no others run its children", async () => {
    const Own = Supervisor.define("own", { processes: [Job], roles: ["worker", "helper"] })
    const Named = Supervisor.define("named", { processes: [Job], nodes: ["a", "c"] })
    const Both = Supervisor.define("both", {
      processes: [Job],
      nodes: ["a", "b"],
      roles: ["worker"],
    })
    const supervisors = [Own, Named, Both]
    await using all = await cluster(["a"], [Job], { supervisors })
    await all.join("b", { roles: ["worker", "x"] })
    await all.join("c", { roles: ["helper"], processes: [] })
    await all.join("d", { supervisors: [] })
    for (const node of all.nodes) {
      assert.deepEqual(node.supervisor(Own).nodes(), ["b", "c"])
      assert.deepEqual(node.supervisor(Named).nodes(), ["a", "c"])
      assert.deepEqual(node.supervisor(Both).nodes(), ["b"])
    }
    for (const supervisor of supervisors) {
      const homes = await fill(all.nodes, supervisor, 24)
      const expected = all.nodes[3]?.supervisor(supervisor).nodes()
      assert.deepEqual([...new Set(homes)].sort(), expected)
    }
    const own = all.nodes[3]?.supervisor(Own)
    assert.equal((await own?.start(Job, "x", {}, { at: "a" }))?._tag, "Invalid")
    assert.equal((await own?.start(Job, "x", {}, { at: "c" }))?._tag, "Started")
    // A supervisor's nodes aren't the default one's: c runs nothing of that.
    const homes = await Promise.all(
      keys(20).map(async (key) => (await all.nodes[0]?.start(Job, key))?.where()),
    )
    assert.ok(!homes.includes("c"))
  })

  test("are told as they come and go", async () => {
    const told: Array<string> = []
    const listen = (node: Node): void => {
      const say = (what: string, event: Supervisor.HostEvent): void =>
        void told.push(`${event.by}: ${what} ${event.node}${event.elected ? ", elected" : ""}`)
      node.supervisor(Jobs).on({
        nodeUp: (event) => say("up", event),
        nodeLeaving: (event) => {
          say("leaving", event)
          assert.ok(!node.supervisor(Jobs).nodes().includes(event.node))
        },
        nodeDown: (event) => say(`down (${event.reason})`, event),
      })
    }
    await using all = await cluster(["a", "b"], [], { supervisors: [Jobs] })
    for (const node of all.nodes) listen(node)
    await all.join("client", { supervisors: [] })
    assert.equal(told.length, 0)
    const c = await all.join("c")
    assert.deepEqual(told.map((text) => text.replace(", elected", "")).sort(), [
      "a: up c",
      "b: up c",
    ])
    assert.equal(told.filter((text) => text.endsWith("elected")).length, 1)
    told.length = 0
    for (const node of all.nodes) node.on({ ListenerFailed: ({ reason }) => told.push(reason) })
    const downs = all.nodes.slice(0, 2).map((node) => event(node, "MemberLeft"))
    await c.leave()
    await Promise.all(downs)
    assert.deepEqual(told.map((text) => text.replace(", elected", "")).sort(), [
      "a: down (left) c",
      "a: leaving c",
      "b: down (left) c",
      "b: leaving c",
    ])
    assert.equal(told.filter((text) => text.includes("leaving c, elected")).length, 1)
    assert.equal(told.filter((text) => text.includes("(left) c, elected")).length, 1)
  })
})
