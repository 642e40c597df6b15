/**
 * Clusters of nodes in one process, for the runtime's tests.
 *
 * @module
 */
import {
  type AnyDefinition,
  type Node,
  type NodeEvent,
  type NodeOptions,
  startNode,
} from "../../mod.ts"
import { type Network, network } from "./network.ts"

/** Nodes that know each other, to be stopped together. */
export interface TestCluster extends AsyncDisposable {
  readonly net: Network
  readonly nodes: ReadonlyArray<Node>
  /** Starts one more node and waits until everybody agrees on the ring. */
  join(name: string, options?: Partial<NodeOptions>): Promise<Node>
}

/** A running node, alone on its own network. */
export function lone(
  processes: ReadonlyArray<AnyDefinition>,
  options: Partial<NodeOptions> = {},
): Promise<Node> {
  return startNode({
    name: "a",
    ...network().at("a"),
    processes,
    timing: "local",
    ...options,
  })
}

/** A settled cluster of nodes named `names`. */
export async function cluster(
  names: ReadonlyArray<string>,
  processes: ReadonlyArray<AnyDefinition>,
  options: Partial<NodeOptions> = {},
): Promise<TestCluster> {
  const net = network()
  const nodes: Array<Node> = []
  const join = async (name: string, more: Partial<NodeOptions> = {}): Promise<Node> => {
    const node = await startNode({
      name,
      ...net.at(name),
      connect: nodes.map((other) => other.address),
      processes,
      timing: "local",
      ...options,
      ...more,
    })
    nodes.push(node)
    await settled(nodes)
    return node
  }
  for (const name of names) await join(name)
  return {
    net,
    nodes,
    join,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(nodes.map((node) => node.stop()))
    },
  }
}

/** Waits until every node of `nodes` sees all of them up, and they agree on the ring. */
export async function settled(nodes: ReadonlyArray<Node>): Promise<void> {
  const names = nodes.map((node) => node.name)
  for (const node of nodes) {
    await until(node, () => {
      const up = node.members().filter((one) => one.status === "up")
      return names.every((name) => up.some((one) => one.name === name))
    })
  }
  await Promise.all(nodes.map((node) => node.settled()))
}

/**
 * Waits until `met` holds, looking again after each event of the node, and now and then: where a name lives is no
 * event of other nodes.
 */
export async function until(node: Node, met: () => boolean): Promise<void> {
  const events = node.events()
  let look: () => void = () => {}
  let stopped = false
  const heard = (async () => {
    for await (const _ of events) look()
    stopped = true
    look()
  })()
  try {
    while (!met()) {
      if (stopped) throw new Error("the node stopped before it came to pass")
      await new Promise<void>((resolve) => {
        look = resolve
        setTimeout(resolve, 10)
      })
    }
  } finally {
    await events.return?.()
    await heard
  }
}

/** Waits for an event of the node. Call it before what brings the event about. */
export async function event<T extends NodeEvent["_tag"]>(
  node: Node,
  tag: T,
  matches: (event: Extract<NodeEvent, { readonly _tag: T }>) => boolean = () => true,
): Promise<Extract<NodeEvent, { readonly _tag: T }>> {
  for await (const one of node.events()) {
    const event = one as Extract<NodeEvent, { readonly _tag: T }>
    if (one._tag === tag && matches(event)) return event
  }
  throw new Error(`the node stopped before ${tag}`)
}

/** A promise and its ends. */
export function deferred<A>(): {
  readonly promise: Promise<A>
  readonly resolve: (value: A) => void
  readonly reject: (error: unknown) => void
} {
  let resolve: (value: A) => void = () => {}
  let reject: (error: unknown) => void = () => {}
  const promise = new Promise<A>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
