/**
 * Dispatch 0.4.1 and the generation of its README, function by function, and Skein's way: a service of a type
 * is a member of a group.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Group, type GroupEvent, Process, type Ref } from "skein"
import { type SimNode, simulate } from "skein/testing"
import { type Stage, staged, told } from "./shared.ts"

const Uploader = Process.define("Uploader", {
  state: () => ({ got: [] as Array<string> }),
  calls: {
    upload: (self, file: string) => `${file} at ${self.key}`,
    slow: (_, millis: number) => Effect.sleep(millis),
    crash: () => {
      throw new Error("it crashed")
    },
    moody: (self) => {
      if (self.key === "s1") throw new Error("not s1")
      return self.key
    },
    got: (self) => self.state.got,
  },
  casts: { note: (self, file: string) => void self.state.got.push(file) },
})

/** One that is a service from when it starts, wherever that is. */
const Service = Process.define("Service", {
  state: (init: { readonly type: string }) => init,
  started: (self) => self.join(self.state.type, { meta: { from: self.node } }),
  calls: { who: (self) => self.key },
})

type Uploads = Group<typeof Uploader, { readonly version?: number }>

const cluster = (body: (stage: Stage) => Promise<void>) =>
  staged({ processes: [Uploader, Service] }, body)

const uploads = (node: SimNode): Uploads => node.group("uploader", Uploader)

/** So many services, a third of them at each node, named s0, s1 …. */
async function services(
  { sim }: Stage,
  count: number,
): Promise<ReadonlyArray<Ref<typeof Uploader>>> {
  const refs: Array<Ref<typeof Uploader>> = []
  for (let i = 0; i < count; i++) {
    const node = sim.nodes[i % 3] as SimNode
    const ref = await node.start(Uploader, `s${i}`, undefined, { at: node.name })
    await uploads(node).join(ref)
    refs.push(ref)
  }
  await sim.converged()
  return refs
}

/** The keys of processes in the order of their names. */
const keys = (members: ReadonlyArray<{ readonly process: string }>): ReadonlyArray<string> =>
  members.map(({ process }) => process.slice(process.indexOf("/") + 1)).sort()

describe("Dispatch.Registry", () => {
  test(
    "Registry.start_link(opts), config pubsub, registry: nothing to start, nothing to configure: every node has all groups, of any name, apart from each other",
    cluster(async ({ sim, a, b }) => {
      const ref = await b.spawn(Uploader)
      for (const name of ["uploader", ["uploader", "eu"], 42] as const) {
        await b.group(name).join(ref)
        await sim.converged()
        assert.equal(a.group(name).count, 1)
        await b.group(name).leave(ref)
        await sim.converged()
        assert.equal(a.group(name).count, 0)
      }
    }),
  )

  test(
    "Registry.add_service(type, pid): a process becomes a service, with metadata, online; from any node",
    cluster(async ({ sim, a, b, c }) => {
      const ref = await b.start(Uploader, "x", undefined, { at: "b" })
      await sim.converged()
      await c.group("uploader").join(ref, { meta: { version: 2 } })
      await sim.converged()
      for (const node of [a, b, c]) {
        const [member] = uploads(node).members()
        assert.ok(member !== undefined)
        const { process, node: home, online, meta } = member
        assert.deepEqual([process, home, online, meta], [ref.name, "b", true, { version: 2 }])
      }
    }),
  )

  test(
    "Registry.add_service: {:error, {:already_tracked, ...}} is AlreadyMember, unless it would change nothing",
    cluster(async (stage) => {
      const [ref] = await services(stage, 1)
      assert.ok(ref !== undefined)
      await uploads(stage.b).join(ref)
      const again = uploads(stage.b).join(ref, { meta: { version: 2 } })
      await assert.rejects(again, { _tag: "AlreadyMember", process: ref.name })
      assert.equal(uploads(stage.b).count, 1)
    }),
  )

  test(
    "Registry.disable_service(type, pid): offline: listed, but no key is routed to it; from any node",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const [ref] = await services(stage, 1)
      assert.ok(ref !== undefined)
      await uploads(c).disable(ref)
      await sim.converged()
      for (const node of [a, b, c]) {
        assert.deepEqual(
          uploads(node)
            .members()
            .map(({ online }) => online),
          [false],
        )
        assert.equal(uploads(node).find("file"), undefined)
      }
    }),
  )

  test(
    "Registry.enable_service(type, pid): online again, also from another node; {:error, :nopresence} is NotMember",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const [ref] = await services(stage, 1)
      assert.ok(ref !== undefined)
      await uploads(b).disable(ref)
      await uploads(c).enable(ref)
      await sim.converged()
      assert.equal(uploads(a).find("file")?.process, ref.name)
      const other = await a.spawn(Uploader)
      await assert.rejects(uploads(a).enable(other), { _tag: "NotMember", process: other.name })
      await assert.rejects(uploads(a).disable(other), { _tag: "NotMember" })
    }),
  )

  test(
    "Registry.remove_service(type, pid): true when it was one; the process lives on",
    cluster(async (stage) => {
      const { sim, a, b } = stage
      const [ref] = await services(stage, 1)
      assert.ok(ref !== undefined)
      assert.equal(await uploads(b).leave(ref), true)
      assert.equal(await uploads(b).leave(ref), false)
      await sim.converged()
      assert.deepEqual(uploads(a).members(), [])
      assert.equal(await ref.upload("f"), "f at s0")
    }),
  )

  test(
    "Registry.get_services(type): all, those that are offline too, with node, state and metadata",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const refs = await services(stage, 3)
      await uploads(a).disable(refs[1] as Ref<typeof Uploader>)
      await uploads(a).update(refs[2] as Ref<typeof Uploader>, { version: 7 })
      await sim.converged()
      for (const node of [a, b, c])
        assert.deepEqual(
          uploads(node)
            .members()
            .map(({ ref, node, online, meta }) => [ref.name, node, online, meta]),
          [
            ["Uploader/s0", "a", true, undefined],
            ["Uploader/s1", "b", false, undefined],
            ["Uploader/s2", "c", true, { version: 7 }],
          ],
        )
      assert.deepEqual(a.group("nothing").members(), [])
    }),
  )

  test(
    "Registry.get_online_services(type): those that keys are routed to",
    cluster(async (stage) => {
      const { sim, a, b } = stage
      const refs = await services(stage, 3)
      await uploads(a).disable(refs[1] as Ref<typeof Uploader>)
      await sim.converged()
      assert.deepEqual(keys(uploads(b).online()), ["s0", "s2"])
    }),
  )

  test(
    "Registry.find_service(type, key): {:ok, node, pid}: the same on every node, spread over all who are online",
    cluster(async (stage) => {
      const { a, b, c } = stage
      await services(stage, 6)
      const found = new Map<string, number>()
      for (let i = 0; i < 300; i++) {
        const member = uploads(a).find(`file ${i}`) ?? assert.fail()
        for (const node of [b, c]) {
          assert.equal(uploads(node).find(`file ${i}`)?.process, member.process)
        }
        found.set(member.process, (found.get(member.process) ?? 0) + 1)
        assert.equal(await member.ref.upload("f"), `f at ${keys([member])[0]}`)
      }
      assert.equal(found.size, 6)
      for (const count of found.values()) assert.ok(count > 20 && count < 100, `${count} of 300`)
    }),
  )

  test(
    "Registry.find_service: {:error, :no_service_for_key}: undefined",
    cluster(async ({ a }) => {
      assert.equal(uploads(a).find("file"), undefined)
      assert.equal(uploads(a).find(["any", "key", 1]), undefined)
    }),
  )

  test(
    "Registry.find_service: the same process unless services come or go, and then only for the keys of these",
    cluster(async (stage) => {
      const { sim, a, b } = stage
      const refs = await services(stage, 5)
      const files = Array.from({ length: 200 }, (_, i) => `file ${i}`)
      const route = () => files.map((file) => uploads(a).find(file)?.process)
      const before = route()
      await uploads(b).disable(refs[2] as Ref<typeof Uploader>)
      await sim.converged()
      for (const [i, process] of route().entries())
        if (before[i] === refs[2]?.name) assert.notEqual(process, before[i])
        else assert.equal(process, before[i])
      await uploads(b).enable(refs[2] as Ref<typeof Uploader>)
      await sim.converged()
      assert.deepEqual(route(), before)
    }),
  )

  test(
    "Registry.find_multi_service(count, type, key): distinct, at most count, in a fixed order; [] when there is none",
    cluster(async (stage) => {
      const { sim, a, b } = stage
      assert.deepEqual(uploads(a).findN("file", 3), [])
      const refs = await services(stage, 4)
      for (let i = 0; i < 20; i++) {
        const all = uploads(a).findN(`file ${i}`, 10)
        assert.deepEqual(keys(all), ["s0", "s1", "s2", "s3"])
        for (let n = 0; n <= 4; n++)
          assert.deepEqual(
            uploads(b)
              .findN(`file ${i}`, n)
              .map(({ process }) => process),
            all.slice(0, n).map(({ process }) => process),
          )
        assert.equal(uploads(a).find(`file ${i}`)?.process, all[0]?.process)
      }
      await uploads(a).disable(refs[0] as Ref<typeof Uploader>)
      await sim.converged()
      assert.deepEqual(keys(uploads(b).findN("file", 4)), ["s1", "s2", "s3"])
    }),
  )
})

describe("Dispatch.Service", () => {
  test(
    "Service.init(type: t): a process registers itself in `started`, and again wherever it begins anew",
    cluster(async ({ sim, a, b }) => {
      await a.start(Service, "x", { type: "mailer" })
      await sim.converged()
      const group = b.group("mailer", Service)
      const [member] = group.members()
      assert.ok(member !== undefined)
      assert.deepEqual(member.meta, { from: member.node })
      assert.equal(await group.byKey("k").who(), "x")
      const home = sim.nodes.find(({ name }) => name === member.node) as SimNode
      const other = sim.nodes.find(({ name }) => name !== member.node) as SimNode
      home.crash()
      await sim.until("it is back", () => {
        const [again] = other.group("mailer", Service).members()
        return again !== undefined && again.node !== home.name
      })
      assert.equal(await other.group("mailer", Service).byKey("k").who(), "x")
    }),
  )

  test(
    "Service.cast(type, key, params): to the one that the key is routed to; {:error, :service_unavailable} is NoMember",
    cluster(async (stage) => {
      const { a, b } = stage
      assert.throws(() => uploads(a).byKey("file").cast.note("x"), { _tag: "NoMember" })
      await services(stage, 3)
      uploads(a).byKey("file").cast.note("x")
      uploads(b).byKey("file").cast.note("y")
      const { ref } = uploads(a).find("file") ?? assert.fail()
      await stage.sim.advance("100 millis")
      assert.deepEqual([...(await ref.got())].sort(), ["x", "y"])
    }),
  )

  test(
    "Service.call(type, key, params, timeout \\\\ 5000): of the one that the key is routed to, for 5,000 ms unless told otherwise",
    cluster(async (stage) => {
      const { sim, a } = stage
      await assert.rejects(uploads(a).byKey("file").upload("x"), { _tag: "NoMember" })
      await services(stage, 3)
      const process = uploads(a).find("file") ?? assert.fail()
      assert.equal(await uploads(a).byKey("file").upload("x"), `x at ${keys([process])[0]}`)
      for (const [picked, millis] of [
        [uploads(a).byKey("file"), 5_000],
        [uploads(a).byKey("file").with({ timeout: 400 }), 400],
      ] as const) {
        const began = sim.now
        await assert.rejects(picked.slow(60_000), { _tag: "Timeout", timeoutMillis: millis })
        assert.ok(Math.abs(sim.now - began - millis) <= 110, `after ${sim.now - began} ms`)
      }
      assert.equal((await uploads(a).byKey("file").try.crash()).ok, false)
    }),
  )

  test(
    "Service.multi_cast(count, type, key, params): {:ok, n}: to how many; none is 0, not an error",
    cluster(async (stage) => {
      const { sim, a } = stage
      assert.equal(uploads(a).nByKey("file", 2).cast.note("x"), 0)
      const refs = await services(stage, 3)
      assert.equal(uploads(a).nByKey("file", 2).cast.note("two"), 2)
      assert.equal(uploads(a).nByKey("file", 9).cast.note("all"), 3)
      assert.equal(uploads(a).all.cast.note("all!"), 3)
      assert.equal(uploads(a).here.cast.note("here"), 1)
      await sim.advance("100 millis")
      const got = (await Promise.all(refs.map((ref) => ref.got()))).flat()
      assert.deepEqual([...got].sort(), [
        ...["all", "all", "all", "all!", "all!", "all!", "here", "two", "two"],
      ])
    }),
  )

  test(
    "Service.multi_call(count, type, key, params, timeout \\\\ 5000): each one's answer or failure, of several at the same time, within one deadline",
    cluster(async (stage) => {
      const { sim, a } = stage
      assert.deepEqual(await uploads(a).nByKey("file", 3).moody(), { replies: [], failures: [] })
      await services(stage, 3)
      const { replies, failures } = await uploads(a).nByKey("file", 9).moody()
      assert.deepEqual(replies.map(({ value, node }) => [value, node]).sort(), [
        ["s0", "a"],
        ["s2", "c"],
      ])
      assert.deepEqual(
        failures.map(({ process, node, error }) => [process, node, error._tag]),
        [["Uploader/s1", "b", "HandlerCrashed"]],
      )
      const two = await uploads(a).nByKey("file", 2).upload("f")
      assert.equal(two.replies.length, 2)
      for (const [several, millis] of [
        [uploads(a).nByKey("file", 3), 5_000],
        [uploads(a).nByKey("file", 3).with({ timeout: 400 }), 400],
      ] as const) {
        const began = sim.now
        const answers = await several.slow(60_000)
        assert.deepEqual(
          answers.failures.map(({ error }) => error._tag),
          ["Timeout", "Timeout", "Timeout"],
        )
        assert.ok(Math.abs(sim.now - began - millis) <= 110, `after ${sim.now - began} ms`)
      }
    }),
  )
})

describe("Dispatch's events", () => {
  /** What happens to the uploaders, as a node tells it. */
  function record(node: SimNode): ReadonlyArray<string> {
    const log: Array<string> = []
    const group = uploads(node)
    group.on({
      joined: ({ member }) => log.push(`+ ${member.ref.key} ${JSON.stringify(member.meta)}`),
      left: ({ member, reason }) => log.push(`- ${member.ref.key} ${reason}`),
      updated: ({ member, before }) =>
        log.push(`* ${member.ref.key} ${before.online} → ${member.online}`),
    })
    return log
  }

  test(
    "{:join, pid, meta}, {:leave, pid, meta}: joined and left, once on every node, with the reason",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const logs = [a, b].map(record)
      const [s0, s1] = (await services(stage, 3)) as [Ref<typeof Uploader>, Ref<typeof Uploader>]
      await uploads(c).leave(s0)
      await sim.converged()
      await a.stopProcess(s1, "enough")
      await sim.converged()
      c.crash()
      await sim.until("it is seen", () => uploads(a).count === 0)
      await sim.advance("30 seconds")
      for (const log of logs) {
        const joins = [...log.slice(0, 3)].sort()
        assert.deepEqual(joins, ["+ s0 undefined", "+ s1 undefined", "+ s2 undefined"])
        assert.deepEqual(log.slice(3), ["- s0 left", "- s1 stopped: enough", "- s2 node down"])
      }
    }),
  )

  test(
    "enable and disable, seen as leave(old meta) and join(new meta): one update, which has both; as a stream too",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const [ref] = (await services(stage, 1)) as [Ref<typeof Uploader>]
      const log = record(c)
      const events = uploads(b).events()
      await uploads(a).disable(ref)
      await uploads(a).enable(ref)
      await uploads(a).update(ref, { version: 2 })
      await sim.converged()
      assert.deepEqual(log, ["* s0 true → false", "* s0 false → true", "* s0 true → true"])
      const seen: Array<GroupEvent<typeof Uploader, { readonly version?: number }>["_tag"]> = []
      for await (const event of events) {
        seen.push(event._tag)
        if (event._tag === "Updated" && event.member.meta !== undefined) break
      }
      assert.deepEqual(seen, ["Updated", "Updated", "Updated"])
    }),
  )
})

describe("Dispatch as its README of 2016 has it", () => {
  test(
    "Registry.add_service(server, type, pid), get_services(server, type): the server is the node that is asked",
    cluster(async ({ sim, a, b }) => {
      const ref = await a.spawn(Uploader)
      await a.group("uploader").join(ref)
      await sim.converged()
      assert.equal(b.group("uploader").members()[0]?.process, ref.name)
    }),
  )

  test(
    "Registry.get_service_pid(server, type, key): group.find(key), with its node",
    cluster(async (stage) => {
      assert.equal(uploads(stage.c).find("file"), undefined)
      await services(stage, 2)
      const { node, ref } = uploads(stage.c).find("file") ?? assert.fail()
      assert.equal(node, stage.sim.owners(Uploader, ref.key)[0])
    }),
  )

  test("Client.call(type, key, params), Client.cast: by key from a node that hosts nothing", async () => {
    const options = (i: number) => (i === 2 ? { processes: [] } : {})
    await simulate({ nodes: 3, processes: [Uploader], options }, async (sim) => {
      const [a, , client] = sim.nodes as [SimNode, SimNode, SimNode]
      await uploads(a).join(await a.start(Uploader, "x"))
      await sim.converged()
      assert.equal(await uploads(client).byKey("f").upload("f"), "f at x")
      uploads(client).byKey("f").cast.note("f")
      assert.deepEqual(await uploads(client).byKey("f").got(), ["f"])
    })
  })

  test(
    "config timeout: 5000, hashring, registry, test; HashRingSupervisor.start_hash_ring, stop_hash_ring: nothing to configure: a timeout is said where a call is made, rings come and go with groups",
    cluster(async ({ sim, a }) => {
      for (let i = 0; i < 10; i++) {
        const ref = await a.spawn(Uploader)
        const group = a.group(["type", i], Uploader)
        await group.join(ref)
        assert.equal((await group.byKey("f").with({ timeout: 100 }).try.upload("f")).ok, true)
        await a.stopProcess(ref)
        assert.equal(group.find("f"), undefined)
      }
      await sim.converged()
    }),
  )

  test(
    "fault: joins are applied before leaves, so disabling and enabling drops a service; here the last word counts",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const [ref] = (await services(stage, 1)) as [Ref<typeof Uploader>]
      for (let i = 0; i < 5; i++)
        await uploads(b)
          .disable(ref)
          .then(() => uploads(b).enable(ref))
      await Promise.all([uploads(c).disable(ref), uploads(c).enable(ref)])
      await sim.converged()
      for (const node of [a, b, c]) assert.equal(uploads(node).find("f")?.process, ref.name)
    }),
  )
})

describe("Dispatch's faults", () => {
  test(
    "fault: changes at the same time get lost; here none does",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const refs: Array<Ref<typeof Uploader>> = []
      for (let i = 0; i < 30; i++) refs.push(await a.start(Uploader, `s${i}`))
      await sim.converged()
      await Promise.all(
        refs.map((ref, i) => uploads(sim.nodes[i % 3] as SimNode).join(ref, { meta: {} })),
      )
      const [shared] = refs as [Ref<typeof Uploader>]
      const add = (node: SimNode) =>
        uploads(node).update(shared, (meta) => ({ version: (meta?.version ?? 0) + 1 }))
      await Promise.all([a, b, c, a, b, c].map(add))
      await sim.converged()
      for (const node of [a, b, c]) {
        assert.equal(uploads(node).online().length, 30)
        const member = uploads(node)
          .members()
          .find(({ process }) => process === shared.name)
        assert.deepEqual(member?.meta, { version: 6 })
      }
    }),
  )

  test(
    "fault: a ring that crashes is empty until the next change; here a node that is back has all rings",
    cluster(async (stage) => {
      const { sim, a, b } = stage
      await services(stage, 2)
      const before = uploads(a).find("f")?.process
      const c = sim.nodes[2] as SimNode
      c.crash()
      await c.restart()
      await sim.converged()
      for (const node of [a, b, c]) assert.equal(uploads(node).find("f")?.process, before)
    }),
  )

  test("fault: a change that comes before the ring server is there crashes the registry; here a node is told of all before it serves", async () => {
    await simulate({ nodes: 2, processes: [Service] }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      for (let i = 0; i < 10; i++) await a.start(Service, `x${i}`, { type: "mailer" })
      const c = await sim.join()
      await sim.converged()
      assert.equal(c.group("mailer").count, 10)
      assert.deepEqual(told(sim, "ListenerFailed"), [])
    })
  })

  test(
    "fault: a type that isn't a text crashes the tracker; here a type is any key",
    cluster(async ({ sim, a, b }) => {
      const ref = await a.spawn(Uploader)
      for (const type of ["text", 7, -0, 7n, true, ["uploader", ["eu", 1]], "~"] as const) {
        await a.group(type).join(ref)
        await sim.converged()
        assert.equal(b.group(type).find("f")?.process, ref.name)
      }
    }),
  )

  test(
    "fault: a service's node is its caller's; here it is where the process is, also after a move",
    cluster(async ({ sim, a, b, c }) => {
      const ref = await a.start(Uploader, "x", undefined, { at: "b" })
      await sim.converged()
      await c.group("uploader").join(ref)
      await sim.converged()
      assert.equal(uploads(a).members()[0]?.node, "b")
      await b.leave()
      await sim.converged()
      const [home] = sim.owners(Uploader, "x")
      assert.equal(uploads(a).members()[0]?.node, home)
      assert.equal(await uploads(a).byKey("f").upload("f"), "f at x")
    }),
  )

  test(
    "fault: enabling and disabling work at the service's own node only; here from everywhere",
    cluster(async (stage) => {
      const { sim, a, b, c } = stage
      const [ref] = (await services(stage, 1)) as [Ref<typeof Uploader>]
      for (const node of [b, c, a]) {
        await uploads(node).disable(ref)
        assert.equal(uploads(node).find("f"), undefined)
        await uploads(node).enable(ref)
        assert.equal(uploads(node).find("f")?.process, ref.name)
      }
      await sim.converged()
    }),
  )
})
