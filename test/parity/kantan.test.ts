/**
 * KantanCluster, function by function: the generation of its README (0.3, 0.4), the checkout of 0.5.0, and
 * Skein's way. What is about starting and stopping real nodes is in transport.test.ts.
 */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, Topic } from "skein"
import { multicast } from "skein/discovery/multicast"
import { type Sim, type SimNode, simulate } from "skein/testing"
import { decode, encode, keyOf } from "../../src/discovery/packet.ts"
import { listed, type Stage, staged, told, up } from "./shared.ts"

const News = Topic.define<string>("news")
const Other = Topic.define<string>("other")

const Reader = Process.define("Reader", {
  state: () => ({ read: [] as Array<string> }),
  calls: { read: (self) => self.state.read },
  casts: {
    news: (self, message: string, { from }: { readonly from: string }) => {
      self.state.read.push(`${message} from ${from}`)
    },
  },
})

/** Nodes that know nobody. */
const strangers = (body: (stage: Stage) => Promise<void>) =>
  staged({ formed: false, options: { connect: [] } }, body)
const cluster = (body: (stage: Stage) => Promise<void>) => staged({ processes: [Reader] }, body)

/** Subscribes to the news at every node; what comes is in the list at the node's index. */
async function everywhere(sim: Sim) {
  const got = sim.nodes.map(() => [] as Array<string>)
  const subscriptions = sim.nodes.map((node, i) =>
    node.subscribe(News, (message) => got[i]?.push(message)),
  )
  await Promise.all(subscriptions.map(({ ready }) => ready))
  return { got, subscriptions }
}

describe("KantanCluster as its README has it", () => {
  test("KantanCluster.start(connect_to: node | [node]): the option connect; who isn't there yet is tried for ever", async () => {
    const options = (i: number) => ({ connect: i === 0 ? ["b", "c"] : [] })
    await simulate({ nodes: 2, formed: false, options }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await sim.advance("1 hour")
      assert.deepEqual(listed(a), ["b connected", "c waiting"])
      await sim.join()
      await sim.until("it is connected", () => up(a).length === 3, "15 seconds")
    })
  })

  test(
    "KantanCluster.stop(): a node leaves, or stops at once; it dials nobody any more, and others know which of the two it was",
    strangers(async ({ sim, a, b, c }) => {
      await a.connect(["b", "c"])
      await sim.converged()
      await b.leave()
      await c.stop()
      await sim.until("it is seen", () => up(a).length === 1)
      const left = told(sim, "MemberLeft").map(({ node, event }) => `${node}: ${event.node}`)
      assert.deepEqual(left.sort(), ["a: b", "c: b"])
      assert.ok(
        told(sim, "MemberDown").some(({ node, event }) => node === "a" && event.node === "c"),
      )
      let sent = 0
      sim.rule(({ from }) => {
        if (from !== "a") sent++
        return "pass"
      })
      await sim.advance("10 minutes")
      assert.equal(sent, 0)
    }),
  )

  test(
    "KantanCluster.connect(node | [node]): {:ok, [pid]}: resolves when all are members",
    strangers(async ({ a }) => {
      await a.connect(["b", "c"])
      assert.deepEqual(up(a), ["a", "b", "c"])
      assert.deepEqual(listed(a), ["b connected", "c connected"])
    }),
  )

  test(
    "KantanCluster.connect: :ignore and {:error, _} for some of them: ConnectFailed says which and why, and all are tried on",
    strangers(async ({ sim, a }) => {
      await assert.rejects(a.connect(["b", "y", "z"], { timeout: 2_000 }), {
        _tag: "ConnectFailed",
        failures: [
          { address: "y", reason: "refused" },
          { address: "z", reason: "refused" },
        ],
      })
      await sim.advance("1 hour")
      assert.deepEqual(listed(a), ["b connected", "y waiting", "z waiting"])
    }),
  )

  test(
    "KantanCluster.disconnect(node | [node]): ends the connector too: it isn't connected again by itself",
    strangers(async ({ sim, a, b, c }) => {
      await a.connect(["b", "c"])
      await sim.converged()
      await a.disconnect(["b", "c"])
      await sim.advance("10 minutes")
      assert.deepEqual([up(a), up(b), up(c)], [["a"], ["b", "c"], ["b", "c"]])
      await a.connect("c")
      assert.ok(up(a).includes("c"))
    }),
  )

  test(
    "KantanCluster.broadcast(topic, msg): to all subscribers of the cluster, this node's too, in order",
    cluster(async ({ sim, a, b }) => {
      const { got } = await everywhere(sim)
      for (const message of ["one", "two"]) assert.equal(a.publish(News, message), 3)
      assert.equal(b.publish(Other, "nobody wants it"), 0)
      await sim.advance("100 millis")
      assert.deepEqual(got, [
        ["one", "two"],
        ["one", "two"],
        ["one", "two"],
      ])
    }),
  )

  test(
    "KantanCluster.subscribe(topic): a function, a loop, or a process gets what is published",
    cluster(async ({ sim, a, b, c }) => {
      const got: Array<string> = []
      const ref = await a.start(Reader, "x")
      const loop = b.messages(News)
      const all = [
        a.subscribe(News, (message, { from, topic }) => got.push(`${message} ${from} ${topic}`)),
        c.subscribe(News, ref, "news"),
        loop,
      ]
      await Promise.all(all.map(({ ready }) => ready))
      b.publish(News, "hello")
      await sim.advance("100 millis")
      assert.deepEqual(got, ["hello b news"])
      assert.deepEqual(await ref.read(), ["hello from b"])
      assert.deepEqual((await loop.next()).value, { message: "hello", from: "b", topic: "news" })
    }),
  )

  test(
    "KantanCluster.unsubscribe(topic): from then on nothing comes, and nothing is sent there",
    cluster(async ({ sim, a, b }) => {
      const { got, subscriptions } = await everywhere(sim)
      subscriptions[1]?.unsubscribe()
      b.publish(News, "mine")
      await sim.advance("100 millis")
      assert.equal(a.publish(News, "later"), 2)
      await sim.advance("100 millis")
      assert.deepEqual(got, [["mine", "later"], [], ["mine", "later"]])
    }),
  )

  test(
    "KantanCluster.NodeConnector: one for each address, which is tried for ever, every 5 s at the latest",
    strangers(async ({ sim, a }) => {
      await assert.rejects(a.connect("z", { timeout: 0 }), { _tag: "ConnectFailed" })
      await assert.rejects(a.connect("z"), { _tag: "DuplicateAddress", reason: "listed" })
      await sim.advance("10 minutes")
      const times = told(sim, "ConnectionFailed").map(({ at }) => at)
      for (const [i, at] of times.slice(1).entries()) assert.ok(at - (times[i] as number) <= 6_260)
      assert.ok(sim.now - (times.at(-1) as number) <= 6_260, "it goes on")
    }),
  )

  test("fault: disconnect crashes when there is no connector; here it is UnknownNode", async () => {
    await simulate({ nodes: 2 }, async (sim) => {
      const [a] = sim.nodes as [SimNode]
      await assert.rejects(a.disconnect("z"), { _tag: "UnknownNode", node: "z" })
      assert.deepEqual(up(a), ["a", "b"])
    })
  })

  test(
    "fault: the interval is fixed, with no backoff, no jitter and no event; here it grows, varies, and each failure is told",
    strangers(async ({ sim, a }) => {
      await assert.rejects(a.connect("z", { timeout: 0 }), { _tag: "ConnectFailed" })
      await sim.advance("5 minutes")
      const failures = told(sim, "ConnectionFailed")
      assert.deepEqual(
        failures.map(({ event }) => event.attempts),
        failures.map((_, i) => i + 1),
      )
      for (const { event } of failures) {
        assert.deepEqual([event.address, event.reason], ["z", "refused"])
      }
      const gaps = failures.slice(1).map(({ at }, i) => at - (failures[i]?.at ?? 0))
      assert.ok((gaps[0] as number) < 200 && (gaps[3] as number) > (gaps[0] as number))
      assert.ok(new Set(gaps.slice(-10).map((gap) => Math.round(gap))).size > 5)
    }),
  )
})

describe("KantanCluster 0.5.0", () => {
  test(
    "KantanCluster.node_name/0: node.name",
    cluster(async ({ sim, b }) => {
      assert.equal(b.name, "b")
      assert.deepEqual(
        sim.nodes.map((node) => node.members().find(({ self }) => self)?.name),
        ["a", "b", "c"],
      )
    }),
  )

  test("KantanCluster.pubsub_name/0: the node is its own pub/sub, the cluster's name says whose", async () => {
    const options = (i: number) => ({ cluster: i < 2 ? "one" : "other", connect: ["a", "b", "c"] })
    await simulate({ nodes: 3, formed: false, options }, async (sim) => {
      const [a, b, c] = sim.nodes as [SimNode, SimNode, SimNode]
      await sim.until("two have met", () => sim.serves(c) && up(a).length === 2)
      const { got } = await everywhere(sim)
      b.publish(News, "among us")
      await sim.advance("1 second")
      assert.deepEqual(got, [["among us"], ["among us"], []])
      assert.ok(told(sim, "ConnectionRefused").some(({ event }) => event.reason === "cluster"))
    })
  })

  test(
    "KantanCluster.subscribe(topic, opts \\\\ []): with a bounded buffer and what becomes of one message more",
    cluster(async ({ sim, a, b }) => {
      const oldest = a.messages(News, { bufferMax: 2 })
      const newest = a.messages(News, { bufferMax: 2, overflow: "drop-newest" })
      const strict = a.messages(News, { bufferMax: 2, overflow: "error" })
      await Promise.all([oldest, newest, strict].map(({ ready }) => ready))
      for (const message of ["1", "2", "3"]) b.publish(News, message)
      await sim.advance("100 millis")
      const two = async (messages: typeof oldest) => [
        (await messages.next()).value?.message,
        (await messages.next()).value?.message,
      ]
      assert.deepEqual([await two(oldest), oldest.dropped], [["2", "3"], 1])
      assert.deepEqual([await two(newest), newest.dropped], [["1", "2"], 1])
      assert.deepEqual(await two(strict), ["1", "2"])
      await assert.rejects(strict.next(), { _tag: "SubscriberOverloaded", bufferMax: 2 })
    }),
  )

  test(
    "KantanCluster.subscribe: to all topics that begin alike, with one subscription",
    cluster(async ({ sim, a, b }) => {
      const Rooms = Topic.family<string, [room: number]>("room")
      const got: Array<unknown> = []
      await a.subscribe(Rooms.all, (message, { topic }) => got.push([...topic, message])).ready
      b.publish(Rooms.at(42), "hi")
      b.publish(News, "not this")
      await sim.advance("100 millis")
      assert.deepEqual(got, [["room", 42, "hi"]])
    }),
  )

  test(
    "KantanCluster.unsubscribe(topic): by the subscription, by `using`, or by a signal",
    cluster(async ({ sim, a, b }) => {
      const got: Array<string> = []
      const controller = new AbortController()
      const { signal } = controller
      await a.subscribe(News, (message) => got.push(`signal ${message}`), { signal }).ready
      {
        using subscription = a.subscribe(News, (message) => got.push(`using ${message}`))
        await subscription.ready
        b.publish(News, "1")
        await sim.advance("100 millis")
      }
      controller.abort()
      b.publish(News, "2")
      await sim.advance("100 millis")
      assert.deepEqual(got.sort(), ["signal 1", "using 1"])
    }),
  )

  test(
    "KantanCluster.broadcast/2: at most once, in the order of its publisher, to every subscriber",
    cluster(async ({ sim, a }) => {
      const { got } = await everywhere(sim)
      const sent = Array.from({ length: 50 }, (_, i) => `${i}`)
      for (const message of sent) a.publish(News, message)
      await sim.advance("1 second")
      for (const list of got) assert.deepEqual(list, sent)
    }),
  )

  for (const name of ["broadcast_from/3", "broadcast_from!/3"])
    test(
      `KantanCluster.${name}: to all but the subscription that it is published by`,
      cluster(async ({ sim, a }) => {
        const got: Array<string> = []
        const { got: others } = await everywhere(sim)
        const mine = a.subscribe(News, (message) => got.push(message))
        await mine.ready
        assert.equal(mine.publish("not to me"), 3)
        await sim.advance("100 millis")
        assert.deepEqual(got, [])
        assert.deepEqual(others, [["not to me"], ["not to me"], ["not to me"]])
      }),
    )

  for (const name of ["direct_broadcast(node, topic, msg)", "direct_broadcast!/3"])
    test(
      `KantanCluster.${name}: to the subscribers of one node`,
      cluster(async ({ sim, a }) => {
        const { got } = await everywhere(sim)
        assert.equal(a.publish(News, "to b", { to: { node: "b" } }), 1)
        assert.equal(a.publish(News, "to nobody", { to: { node: "z" } }), 0)
        await sim.advance("100 millis")
        assert.deepEqual(got, [[], ["to b"], []])
      }),
    )

  test(
    "KantanCluster.local_broadcast/2: to the subscribers of this node",
    cluster(async ({ sim, c }) => {
      const { got } = await everywhere(sim)
      assert.equal(c.publish(News, "here", { to: "local" }), 1)
      await sim.advance("100 millis")
      assert.deepEqual(got, [[], [], ["here"]])
    }),
  )

  test("config topologies: discovery, one strategy or several; addresses that any of them gives are dialled", async () => {
    const options = {
      connect: [],
      discovery: [
        { kind: "first", start: ({ found }) => found(["a", "b"]) },
        { kind: "second", start: ({ found }) => found(["c"]) },
      ],
    } satisfies Parameters<typeof simulate>[0]["options"]
    await simulate({ nodes: 3, formed: false, options }, async (sim) => {
      await sim.converged()
      for (const node of sim.nodes) assert.deepEqual(up(node), ["a", "b", "c"])
    })
    assert.equal(multicast().kind, "multicast")
  })

  test(
    "fault: local_broadcast_from/2 crashes; here a subscription publishes to the others of its node",
    cluster(async ({ sim, a }) => {
      const { got, subscriptions } = await everywhere(sim)
      const also: Array<string> = []
      a.subscribe(News, (message) => also.push(message))
      assert.equal(subscriptions[0]?.publish("psst", { to: "local" }), 1)
      await sim.advance("100 millis")
      assert.deepEqual([got, also], [[[], [], []], ["psst"]])
    }),
  )

  test("fault: the gossip secret is ignored, and would be the same everywhere; here packets are sealed with the cluster's own", () => {
    const packet = {
      id: "0123456789abcdef",
      stamp: 1,
      lastsMillis: 1_000,
      node: "a",
      address: "a:1",
    }
    const [ours, theirs] = [keyOf("our secret"), keyOf("kantan_cluster_secret")]
    assert.deepEqual(decode(encode(packet, "skein", ours), "skein", ours), packet)
    assert.equal(decode(encode(packet, "skein", theirs), "skein", ours), "forged")
    assert.equal(decode(encode(packet, "skein", undefined), "skein", ours), "forged")
    assert.equal(decode(encode(packet, "skein", ours), "skein", undefined), "sealed")
  })
})
