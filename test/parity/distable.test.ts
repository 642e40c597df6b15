/** Distable, the library before Swarm, function by function: its API and configuration, and Skein's way. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Effect } from "effect"
import { type Discovery, Process } from "skein"
import { type MulticastOptions, multicast } from "skein/discovery/multicast"
import { type SimNode, simulate } from "skein/testing"
import { decode, encode, keyOf, PACKET_BYTES_MAX } from "../../src/discovery/packet.ts"
import { type Stage, staged, told, up } from "./shared.ts"

class Unlucky {
  readonly _tag = "Unlucky"
}

/** What the MFA of a registration gives is what `state` gives, in one of these ways. */
type Init =
  | { readonly kind: "value" | "promise" | "effect" | "ignore" | "throw" | "fail" | "never" }
  | undefined

const Worker = Process.define("Worker", {
  state: (init?: Init) => {
    switch (init?.kind) {
      case "promise":
        return Promise.resolve({ n: 1 })
      case "effect":
        return Effect.succeed({ n: 2 })
      case "ignore":
        return Process.ignore
      case "throw":
        throw new Error("it raised")
      case "fail":
        return Effect.fail(new Unlucky())
      case "never":
        return new Promise<never>(() => {})
      default:
        return { n: 0 }
    }
  },
  calls: {
    add: (self, by: number) => (self.state.n += by),
    where: (self) => self.node,
    slow: (_, millis: number) => Effect.sleep(millis),
  },
  casts: {
    bump: (self) => {
      self.state.n++
    },
  },
})

const cluster = (body: (stage: Stage) => Promise<void>) => staged({ processes: [Worker] }, body)

/** A key of a process that the ring gives to this node. */
function keyAt(node: SimNode): string {
  for (let i = 0; ; i++) if (node.nodeFor(Worker, `k${i}`) === node.name) return `k${i}`
}

describe("Distable", () => {
  test(
    "Distable.register(name, m, f, a): starts the process at the home node of its name, whoever asks",
    cluster(async ({ sim, a, b, c }) => {
      for (const node of [a, b, c]) {
        const key = keyAt(node)
        const ref = await a.start(Worker, key, undefined, { exclusive: true })
        assert.equal(await ref.where(), node.name)
        assert.deepEqual(sim.owners(Worker, key), [node.name])
        for (const other of sim.nodes) assert.equal(other.nodeFor(Worker, key), node.name)
      }
    }),
  )

  test(
    "Distable.register: any term is a name: texts, numbers, and tuples of them",
    cluster(async ({ a, b }) => {
      for (const key of ["x", 42, 7n, true, ["room", 1, ["a", false]]] as const) {
        const ref = await a.start(Worker, key)
        await ref.add(1)
        assert.equal(await b.ref(Worker, key).add(1), 2)
        assert.equal(a.whereis(Worker, key)?.name, ref.name)
      }
    }),
  )

  test(
    "Distable.register: {:error, {:already_registered, pid}} is AlreadyRegistered, which says where it lives",
    cluster(async ({ sim, a, b }) => {
      const ref = await a.start(Worker, "x")
      const again = b.start(Worker, "x", undefined, { exclusive: true })
      await assert.rejects(again, (error: { readonly _tag: string; readonly node: string }) => {
        assert.equal(error._tag, "AlreadyRegistered")
        assert.equal(error.node, sim.owners(Worker, "x")[0])
        return true
      })
      // Without `exclusive` whoever asks gets the process that runs.
      assert.equal((await b.start(Worker, "x")).name, ref.name)
      await a.register("alias", ref)
      await assert.rejects(b.register("alias", ref), (error: never) => {
        const { _tag, location } = error as { _tag: string; location?: { process: string } }
        assert.deepEqual([_tag, location?.process], ["AlreadyRegistered", ref.name])
        return true
      })
    }),
  )

  test(
    "Distable.register: what starts it gives {:ok, pid} or a pid: a value, a promise, or an Effect",
    cluster(async ({ a }) => {
      for (const [i, kind] of (["value", "promise", "effect"] as const).entries()) {
        const ref = await a.start(Worker, kind, { kind })
        assert.equal(await ref.add(0), i)
      }
    }),
  )

  test(
    "Distable.register: {:error, term}, anything else and an exception are StartFailed with the reason, and nothing is registered",
    cluster(async ({ sim, a }) => {
      const cases = [
        ["throw", "StartFailed", "it raised"],
        ["fail", "StartFailed", '{"_tag":"Unlucky"}'],
        ["ignore", "StartIgnored", undefined],
      ] as const
      for (const [kind, tag, reason] of cases) {
        await assert.rejects(a.start(Worker, kind, { kind }), (error: never) => {
          const { _tag, reason: why } = error as { _tag: string; reason: string | undefined }
          assert.deepEqual([_tag, why], [tag, reason])
          return true
        })
        await sim.converged()
        for (const node of sim.nodes) assert.equal(node.whereis(Worker, kind), undefined)
        await a.start(Worker, kind)
      }
    }),
  )

  test(
    "Distable.register: takes 5,000 ms at most unless told otherwise, also at another node",
    cluster(async ({ sim, a, b }) => {
      for (const [key, timeout, millis] of [
        [keyAt(a), undefined, 5_000],
        [keyAt(b), undefined, 5_000],
        [`${keyAt(b)}!`, 700, 700],
      ] as const) {
        const began = sim.now
        const options = timeout === undefined ? {} : { timeout }
        await assert.rejects(a.start(Worker, key, { kind: "never" }, options), {
          _tag: "Timeout",
          method: "start",
          timeoutMillis: millis,
        })
        assert.ok(Math.abs(sim.now - began - millis) <= 110, `after ${sim.now - began} ms`)
      }
    }),
  )

  test(
    "Distable.register(name, pid): for a process that runs already",
    cluster(async ({ sim, a, b, c }) => {
      const ref = await b.spawn(Worker)
      await sim.converged()
      await a.register("x", ref)
      await sim.converged()
      for (const node of [a, b, c]) assert.equal(node.whereis("x")?.process, ref.name)
    }),
  )

  test(
    "Distable.unregister(name): removes the registration, from anywhere; the process lives on",
    cluster(async ({ sim, a, b, c }) => {
      const ref = await a.start(Worker, "x")
      await a.register("x", ref)
      await sim.converged()
      assert.equal(await c.unregister("x"), true)
      assert.equal(await c.unregister("x"), false)
      await sim.converged()
      for (const node of [a, b, c]) assert.equal(node.whereis("x"), undefined)
      assert.equal(await ref.add(1), 1)
      await a.register("x", ref)
      assert.equal(a.whereis("x")?.process, ref.name)
    }),
  )

  test(
    "Distable.register_property(pid, prop): metadata of a process or of a name, set from anywhere",
    cluster(async ({ sim, a, b, c }) => {
      const ref = await a.start(Worker, "x", undefined, { meta: { props: ["red"] } })
      await sim.converged()
      const next = await b.update(ref, (meta: { readonly props: ReadonlyArray<string> }) => ({
        props: [...meta.props, "round"],
      }))
      assert.deepEqual(next, { props: ["red", "round"] })
      await sim.converged()
      for (const node of [a, b, c]) {
        assert.deepEqual(node.whereis(Worker, "x")?.meta, { props: ["red", "round"] })
        assert.equal(node.find("props", "round")[0]?.process, ref.name)
      }
      await c.update(ref, { props: ["round"] })
      await sim.converged()
      for (const node of [a, b, c]) assert.deepEqual(node.find("props", "red"), [])
    }),
  )

  test(
    "Distable.whereis(name): where a process lives, known on every node without asking; undefined for none",
    cluster(async ({ sim, a, b, c }) => {
      assert.equal(a.whereis(Worker, "x"), undefined)
      const ref = await a.start(Worker, "x")
      const at = sim.now
      assert.equal(a.whereis(Worker, "x")?.node, await ref.where())
      assert.ok(sim.now - at < 50)
      await sim.converged()
      for (const node of [a, b, c]) {
        const { process, node: where, id } = node.whereis(Worker, "x") ?? assert.fail()
        assert.deepEqual([process, where], [ref.name, sim.owners(Worker, "x")[0]])
        assert.equal(id, a.whereis(Worker, "x")?.id)
      }
    }),
  )

  test(
    "Distable.get_by_property(prop): all that have it, from an index",
    cluster(async ({ sim, a, b, c }) => {
      for (let i = 0; i < 6; i++) {
        const meta = i % 2 === 0 ? { color: "red" } : { color: ["blue", "red!"] }
        await sim.nodes[i % 3]?.start(Worker, `k${i}`, undefined, { meta })
      }
      await sim.converged()
      for (const node of [a, b, c]) {
        const red = node.find("color", "red").map(({ name }) => name)
        assert.deepEqual(red, ["Worker/k0", "Worker/k2", "Worker/k4"])
        assert.equal(node.find("color", "blue").length, 3)
        assert.deepEqual(node.find("color", "green"), [])
      }
      await a.stopProcess(Worker, "k2")
      await sim.converged()
      assert.equal(c.find("color", "red").length, 2)
    }),
  )

  test(
    "Distable.call(name, msg, timeout \\\\ 5000): a call by name, for 5,000 ms unless told otherwise",
    cluster(async ({ sim, a, b }) => {
      const key = keyAt(b)
      await a.start(Worker, key)
      assert.equal(await a.ref(Worker, key).add(5), 5)
      for (const [ref, millis] of [
        [a.ref(Worker, key), 5_000],
        [b.ref(Worker, key).with({ timeout: 10 }), 10],
      ] as const) {
        const began = sim.now
        await assert.rejects(ref.slow(60_000), { _tag: "Timeout", timeoutMillis: millis })
        assert.ok(Math.abs(sim.now - began - millis) <= 110, `after ${sim.now - began} ms`)
      }
    }),
  )

  test(
    "Distable.call, Distable.cast: by any name that a process has, by the location that whereis gives",
    cluster(async ({ sim, a, b }) => {
      const ref = await b.spawn(Worker)
      await b.register(["alias", 1], ref)
      await sim.converged()
      const found = a.ref(Worker, a.whereis(["alias", 1]) ?? assert.fail())
      found.cast.bump()
      assert.equal(await found.add(1), 2)
      assert.equal(found.name, ref.name)
    }),
  )

  test(
    "Distable.call: {:error, {:name_not_found, name}} is NoProcess, at once",
    cluster(async ({ sim, a, b, c }) => {
      for (const node of [a, b, c]) {
        const began = sim.now
        await assert.rejects(a.ref(Worker, keyAt(node)).add(1), {
          _tag: "NoProcess",
          process: `Worker/${keyAt(node)}`,
          outcome: "not-executed",
        })
        assert.ok(sim.now - began < 100)
      }
    }),
  )

  test(
    "Distable.cast(name, msg): waits for nothing, and for nobody: it throws only when it is known at once that nobody has the name",
    cluster(async ({ sim, a, b }) => {
      const [here, there] = [keyAt(a), keyAt(b)]
      assert.throws(() => a.ref(Worker, here).cast.bump(), { _tag: "NoProcess" })
      a.ref(Worker, there).cast.bump()
      await sim.advance("1 second")
      for (const key of [here, there]) {
        const ref = await a.start(Worker, key)
        ref.cast.bump()
        assert.equal(await ref.add(0), 1)
      }
    }),
  )

  test(
    "distable:register/4, unregister/1, register_property/2, whereis/1, get_by_property/1, call/2,3, cast/2: one API, no mirror",
    cluster(async ({ sim, a, b }) => {
      const ref = await a.start(Worker, "x")
      await a.register("alias", ref, { meta: { size: 1 } })
      await sim.converged()
      assert.equal(b.find("size", 1)[0]?.process, ref.name)
      assert.equal(b.whereis("alias")?.process, ref.name)
      b.ref(Worker, "x").cast.bump()
      assert.equal(await b.ref(Worker, "x").with({ timeout: 100 }).add(0), 1)
      assert.equal(await b.unregister("alias"), true)
    }),
  )
})

describe("Distable's configuration", () => {
  test("autocluster: false: no discovery unless the option says which: a list, a function, DNS, a file, one's own", async () => {
    const directory = new Set<string>()
    const own: Discovery = {
      kind: "directory",
      start: ({ address, found }) => {
        directory.add(address)
        found([...directory])
      },
    }
    for (const [discovery, count] of [
      [[], 1],
      [own, 3],
    ] as const)
      await simulate(
        { nodes: 3, formed: false, options: { connect: [], discovery } },
        async (sim) => {
          await sim.advance("1 minute")
          for (const node of sim.nodes) assert.equal(up(node).length, count)
        },
      )
  })

  test("port, if_addr (ip_addr), multicast_addr, multicast_ttl: checked when they are given", () => {
    const good: ReadonlyArray<MulticastOptions> = [
      {},
      { port: 45_892, group: "230.0.0.251", ttl: 4, interface: "0.0.0.0" },
      { group: "224.0.0.251", periodMillis: 5_000 },
    ]
    for (const given of good) assert.equal(multicast(given).kind, "multicast")
    const bad: ReadonlyArray<MulticastOptions> = [
      { port: 0 },
      { port: 70_000 },
      { group: "10.0.0.1" },
      { group: "nonsense" },
      { interface: "eth0" },
      { ttl: 0 },
      { periodMillis: 0 },
    ]
    for (const given of bad) assert.throws(() => multicast(given), RangeError)
  })

  test("fault: an interface and a group given as texts don't parse; here they do, and what is none is refused at once", () => {
    const texts = { interface: "192.168.0.1", group: "224.0.0.251" }
    assert.equal(multicast(texts).kind, "multicast")
    assert.throws(() => multicast({ ...texts, interface: "192.168.0" }), RangeError)
  })

  test(
    "debug: false: what happens is events, for whoever wants them",
    cluster(async ({ sim, a }) => {
      const seen: Array<string> = []
      const off = a.on({ ProcessStarted: ({ process }) => seen.push(process) })
      await a.start(Worker, keyAt(a))
      off()
      await a.start(Worker, `${keyAt(a)}!`)
      await sim.converged()
      assert.deepEqual(seen, [`Worker/${keyAt(a)}`])
    }),
  )
})

describe("Distable's gossip packets", () => {
  const packet = { id: "0123456789abcdef", stamp: 1, lastsMillis: 1_000, node: "a", address: "a:1" }
  const key = keyOf("a secret")

  test("heartbeat:: packets say which node is where, and for which cluster", () => {
    assert.deepEqual(decode(encode(packet, "skein", key), "skein", key), packet)
    assert.equal(decode(encode(packet, "other", key), "skein", key), "cluster")
  })

  test("fault: anybody's packet is decoded and acted on; here forgeries, strangers and giants are refused, whatever their bytes", () => {
    const erlang = new Uint8Array([
      ...new TextEncoder().encode("heartbeat::"),
      ...[131, 116, 0, 0, 0, 1, 100, 0, 4, 110, 111, 100, 101, 100, 0, 1, 97],
    ])
    assert.equal(decode(erlang, "skein", key), "malformed")
    assert.equal(decode(encode(packet, "skein", keyOf("guess")), "skein", key), "forged")
    assert.equal(decode(encode(packet, "skein", undefined), "skein", key), "forged")
    assert.equal(decode(new Uint8Array(PACKET_BYTES_MAX + 1), "skein", key), "oversize")
    const whole = encode(packet, "skein", key)
    for (let i = 0; i < whole.length; i++) {
      assert.equal(typeof decode(whole.subarray(0, i), "skein", key), "string")
      const flipped = whole.slice()
      flipped[i] = (flipped[i] as number) ^ 1
      assert.equal(typeof decode(flipped, "skein", key), "string")
    }
  })

  test("fault: a failed connect is only logged; here discovery and dials that fail are events", async () => {
    let answers = 0
    const discovery: Discovery = {
      kind: "moody",
      start: ({ found }) => {
        if (answers++ === 0) throw new Error("not today")
        found(["nobody"])
      },
    }
    await simulate({ nodes: 1, options: { connect: [], discovery } }, async (sim) => {
      await sim.advance("1 minute")
      const [failed] = told(sim, "DiscoveryFailed")
      assert.deepEqual([failed?.event.discovery, failed?.event.reason], ["moody", "not today"])
      const [refused] = told(sim, "ConnectionFailed")
      assert.deepEqual([refused?.event.address, refused?.event.reason], ["nobody", "refused"])
    })
  })
})
