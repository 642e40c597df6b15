/**
 * A thread that is a node, over a BroadcastChannel and over its own port.
 *
 * @module
 */
import { parentPort, workerData } from "node:worker_threads"
import { type Definition, Process, type Self, startNode } from "../../mod.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { messagePort, type Port } from "../../transports/message-port.ts"

type Calls = { readonly where: (self: Self<object>) => string }

/** Says where it lives. */
export const Place: Definition<"Place", object, undefined, Calls, object> = Process.define(
  "Place",
  {
    state: () => ({}),
    calls: { where: ({ node }: Self<object>) => node },
  },
)

/** What a thread is told. */
export interface ThreadData {
  readonly name: string
  /** The channel; over its port without. */
  readonly channel: string | undefined
}

if (parentPort !== null && workerData !== null && typeof workerData === "object") {
  const { name, channel } = workerData as ThreadData
  await startNode({
    name,
    transport:
      channel === undefined
        ? messagePort(parentPort as unknown as Port)
        : broadcastChannel({ name: channel }),
    processes: [Place],
    timing: "local",
  })
}
