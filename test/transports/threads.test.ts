/** Nodes in threads of one program. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Worker } from "node:worker_threads"
import { type Node, startNode } from "../../mod.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { messagePort, type Port } from "../../transports/message-port.ts"
import { until } from "../runtime/cluster.ts"
import { Place, type ThreadData } from "./thread.ts"

function thread(data: ThreadData): Worker {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
  return new Worker(new URL(`./thread.${extension}`, import.meta.url), { workerData: data })
}

/** Waits until these are up, as the node sees it, and all agree on the ring. */
async function sees(node: Node, names: ReadonlyArray<string>): Promise<void> {
  await until(node, () => {
    const up = node.members().filter(({ status }) => status === "up")
    return up.map(({ name }) => name).join() === names.join()
  })
  await node.settled()
}

const keys = Array.from({ length: 30 }, (_, i) => `${i}`)

/** Waits until all of the processes live on these nodes. */
async function live(node: Node, names: ReadonlyArray<string>): Promise<void> {
  const lives = (key: string): boolean => names.includes(node.whereis(Place, key)?.node ?? "")
  while (!keys.every(lives)) await new Promise((resolve) => setTimeout(resolve, 0))
}

/** The nodes that the processes live on, as they say themselves. */
async function places(node: Node): Promise<ReadonlyArray<string>> {
  await Promise.all(keys.map((key) => node.start(Place, key)))
  const answers = await Promise.all(keys.map((key) => node.ref(Place, key).where()))
  return [...new Set(answers)].sort()
}

describe("threads", () => {
  test("are nodes on a BroadcastChannel, and one that is ended is missed", async () => {
    const channel = "threads"
    const transport = broadcastChannel({ name: channel })
    await using main = await startNode({
      name: "a",
      transport,
      processes: [Place],
      timing: "local",
    })
    const workers = ["b", "c"].map((name) => thread({ name, channel }))
    await sees(main, ["a", "b", "c"])
    assert.deepEqual(await places(main), ["a", "b", "c"])
    await workers[0]?.terminate()
    await sees(main, ["a", "c"])
    await live(main, ["a", "c"])
    assert.deepEqual(await places(main), ["a", "c"])
    await workers[1]?.terminate()
    await sees(main, ["a"])
  })

  test("are nodes at the other end of a port", async () => {
    const worker = thread({ name: "b", channel: undefined })
    const transport = messagePort(worker as unknown as Port)
    await using main = await startNode({
      name: "a",
      transport,
      processes: [Place],
      timing: "local",
    })
    await sees(main, ["a", "b"])
    assert.deepEqual(await places(main), ["a", "b"])
    await worker.terminate()
    await sees(main, ["a"])
  })
})
