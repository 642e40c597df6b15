/**
 * What the pages of browser tests run: a node, and what tests ask of it.
 *
 * @module
 */
import { type Definition, type Node, Process, type Self, startNode, Topic } from "../../mod.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { webSocket } from "../../transports/websocket.ts"

interface Count {
  readonly n: number
}

type Calls = {
  readonly get: (self: Self<Count>) => number
  readonly add: (self: Self<Count>, by: number) => number
}

/** A number. */
export const Counter: Definition<"Counter", Count, undefined, Calls, object> = Process.define(
  "Counter",
  {
    state: (): Count => ({ n: 0 }),
    calls: {
      get: ({ state }: Self<Count>) => state.n,
      add: (self: Self<Count>, by: number) => {
        self.state = { n: self.state.n + by }
        return self.state.n
      },
    },
  },
)

/** Texts for everybody. */
export const News: Topic.Definition<string> = Topic.define<string>("News")

/** How a tab's node is started. */
export interface TabOptions {
  readonly name: string
  /** The channel; none for no BroadcastChannel. */
  readonly channel?: string
  /** A server to dial. */
  readonly server?: string
  readonly host?: boolean
}

/** What a test asks of a tab. Everything is plain data. */
export class Tab {
  readonly #node: Node
  readonly #heard: Array<string> = []

  constructor(node: Node) {
    this.#node = node
  }

  /** Names of the members that are up. */
  members(): ReadonlyArray<string> {
    return this.#node
      .members()
      .filter(({ status }) => status === "up")
      .map(({ name }) => name)
  }

  /** Resolves once nothing is on the move. */
  settled(): Promise<void> {
    return this.#node.settled()
  }

  async start(keys: ReadonlyArray<string>): Promise<void> {
    await Promise.all(keys.map((key) => this.#node.start(Counter, key)))
  }

  add(key: string, by: number): Promise<number> {
    return this.#node.ref(Counter, key).add(by)
  }

  /** The counts of all of them. */
  counts(keys: ReadonlyArray<string>): Promise<ReadonlyArray<number>> {
    return Promise.all(keys.map((key) => this.#node.ref(Counter, key).get()))
  }

  /** Where each of them lives, as the registry says. */
  homes(keys: ReadonlyArray<string>): ReadonlyArray<string | undefined> {
    return keys.map((key) => this.#node.whereis(Counter, key)?.node)
  }

  async subscribe(): Promise<void> {
    await this.#node.subscribe(News, (text: string) => {
      this.#heard.push(text)
    })
  }

  /** How many nodes have been told. */
  publish(text: string): number {
    return this.#node.publish(News, text)
  }

  heard(): ReadonlyArray<string> {
    return this.#heard
  }

  leave(): Promise<void> {
    return this.#node.leave()
  }

  stop(): Promise<void> {
    return this.#node.stop()
  }
}

/** Starts the tab's node. */
async function open({ name, channel, server, host }: TabOptions): Promise<Tab> {
  const node = await startNode({
    name,
    transport: [
      ...(channel === undefined ? [] : [broadcastChannel({ name: channel })]),
      ...(server === undefined ? [] : [webSocket()]),
    ],
    ...(server === undefined ? {} : { connect: [server], cookie: "secret" }),
    ...(host === undefined ? {} : { host }),
    processes: [Counter],
  })
  return new Tab(node)
}

/** Starts the node, which is at `tab` from then on. */
async function begin(options: TabOptions): Promise<void> {
  Object.assign(globalThis, { tab: await open(options) })
}

Object.assign(globalThis, { begin })
