/**
 * The subscribers' side of the pub/sub benchmark, in an OS process of its own: a node, and the least that can
 * be done instead.
 *
 * @module
 */
import { type AddressInfo, createServer, type Socket } from "node:net"
import { type Node, type Subscription, startNode, Topic } from "../../../mod.ts"
import { serve } from "./channel.ts"
import { transport } from "./transport.ts"

/** What is published to. */
export const Ticks: Topic.Definition<string> = Topic.define("ticks")

/** What the command `raw` takes. */
export interface RawArgument {
  /** Bytes of a message on the wire, all of one length. */
  readonly messageBytes: number
  /** How many of them are answered with one byte. */
  readonly messages: number
  /** How many callbacks each is given to. */
  readonly callbacks: number
}

interface Counter {
  count: number
}

let node: Node | undefined
let subscriptions: ReadonlyArray<Subscription<unknown>> = []
let counters: ReadonlyArray<Counter> = []

serve({
  /** Starts the node; resolves to its address. */
  start: async () => {
    node = await startNode({ name: "subscriber", transport: transport(), cookie: "bench" })
    return node.address
  },
  /** So many subscribers take the place of those before; resolves once everybody knows. */
  subscribe: async (count: number) => {
    for (const subscription of subscriptions) subscription.unsubscribe()
    counters = Array.from({ length: count }, () => ({ count: 0 }))
    subscriptions = counters.map((counter) => {
      if (node === undefined) throw new Error("BUG: the node isn't started")
      return node.subscribe(Ticks, () => {
        counter.count++
      })
    })
    await Promise.all(subscriptions.map(({ ready }) => ready))
  },
  /** Resolves once every subscriber has had this many messages. Throws if one had more. */
  received: async (count: number) => {
    while (counters.some((counter) => counter.count < count)) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (counters.some((counter) => counter.count > count)) throw new Error("some came twice")
  },
  /** The port of a server that reads messages as text and gives each to callbacks. */
  raw: (argument: RawArgument) => listen((socket) => receive(socket, argument)),
})

function receive(socket: Socket, { messageBytes, messages, callbacks }: RawArgument): void {
  const counters = Array.from({ length: callbacks }, () => ({ count: 0 }))
  const all = counters.map((counter) => (_text: string) => {
    counter.count++
  })
  let rest = Buffer.alloc(0)
  let received = 0
  socket.on("data", (chunk) => {
    const input = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let at = 0
    for (; at + messageBytes <= input.length; at += messageBytes) {
      const text = input.toString("latin1", at, at + messageBytes)
      for (let i = 0; i < all.length; i++) all[i]?.(text)
      received++
    }
    rest = input.subarray(at)
    for (; received >= messages; received -= messages) socket.write("!")
  })
}

function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, accept)
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })
}
