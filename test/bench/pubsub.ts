/**
 * Messages of a topic to subscribers on another node, over TCP between two OS processes: deliveries per
 * second, until the last subscriber has had the last one.
 *
 * @module
 */

import { type Node, startNode, Topic } from "../../mod.ts"
import type { Bench, Result } from "./harness.ts"
import * as Harness from "./harness.ts"
import * as Channel from "./remote/channel.ts"
import * as Raw from "./remote/raw.ts"
import type { RawArgument } from "./remote/subscriber.ts"
import { transport } from "./remote/transport.ts"

const Ticks: Topic.Definition<string> = Topic.define("ticks")
const TEXT: string = "x".repeat(100)
const MESSAGE_BYTES = TEXT.length + Raw.HEADER_BYTES
const RUNS = 5
/** Messages published before the event loop gets its turn. */
const PER_TURN = 1_000
/** Messages of a run, by the number of subscribers. */
const MESSAGES: ReadonlyMap<number, number> = new Map([
  [1, 1_000_000],
  [100, 500_000],
  [1_000, 100_000],
])

/** To subscribers on the other one of two nodes. */
export const bench: Bench = {
  name: "pubsub",
  cases: {
    "subscribers=1": {
      better: "more",
      goal: 0.5e6,
      target: 1e6,
      peers: { NATS: 600_000, "Phoenix.PubSub": 198_000, Moleculer: 76_000, "actor-ts": 30_000 },
    },
    "subscribers=100": {
      better: "more",
      goal: 5e6,
      target: 10e6,
      peers: { "NATS, 10": 1.27e6, "Phoenix.PubSub": 910_000, "actor-ts, 10": 417_000 },
    },
    "subscribers=1000": {
      better: "more",
      goal: 5e6,
      target: 10e6,
      peers: { "Phoenix.PubSub": 718_000 },
    },
  },
  run: (context) =>
    Channel.withChildren(async (start) => {
      const subscriber = start("subscriber")
      const connect = [await subscriber.ask<string>("start")]
      await using node = await startNode({
        ...{ name: "publisher", connect, cookie: "bench" },
        transport: transport(),
      })
      const results: Array<Result> = []
      for (const [subscribers, messages] of MESSAGES) {
        context.note(`${subscribers} subscribers`)
        results.push(await measure(node, subscriber, subscribers, messages))
      }
      return results
    }),
}

/** Deliveries per second; the baseline alternates with ours. */
async function measure(
  node: Node,
  subscriber: Channel.Child,
  subscribers: number,
  messages: number,
): Promise<Result> {
  const about: RawArgument = { messageBytes: MESSAGE_BYTES, messages, callbacks: subscribers }
  const raw = await Raw.open(await subscriber.ask<number>("raw", about))
  const plain: Array<number> = []
  await subscriber.ask("subscribe", subscribers)
  let sent = 0
  const runs = await Harness.repeat(RUNS, async () => {
    const bytes = messages * MESSAGE_BYTES
    const perSecond = await raw.stream(bytes, MESSAGE_BYTES, PER_TURN * MESSAGE_BYTES)
    plain.push(perSecond * subscribers)
    const begin = performance.now()
    for (let i = 0; i < messages; ) i += await burst(node, Math.min(PER_TURN, messages - i))
    sent += messages
    await subscriber.ask("received", sent)
    return (messages * subscribers * 1_000) / (performance.now() - begin)
  })
  return Harness.result(`subscribers=${subscribers}`, "deliveries/s", runs, {
    baseline: {
      name: "raw stream, a loop over callbacks",
      median: Harness.median(plain.slice(1)),
    },
  })
}

/** Publishes up to `count` messages, then gives the event loop its turn; how many were taken. */
async function burst(node: Node, count: number): Promise<number> {
  let taken = 0
  while (taken < count && node.publish(Ticks, TEXT) === 1) taken++
  await new Promise((resolve) => setImmediate(resolve))
  return taken
}
