/**
 * A large cluster that is there from the beginning. To form one by its own protocol, every node tells
 * every other one about each of them: for 500 nodes that is more than a hundred million messages, and
 * all but one in 500 say nothing new. Here each node takes each of these inputs once.
 *
 * The states are made by the machine's own steps, from inputs that it gets in a real cluster, too; what
 * nodes would send or dial meanwhile is left out. What comes after that goes over the network as ever.
 *
 * @module
 */
import type { Claim } from "../../core/claim.ts"
import type * as Cluster from "../../core/cluster.ts"
import type { Network } from "../world/network.ts"
import type { Life } from "./life.ts"
import type { Letter } from "./links.ts"

type Node = Life<Cluster.State, Cluster.Input, Cluster.Output>

/** Links all of these nodes, which have just been born, and lets them know each other. */
export function introduce(network: Network<Letter>, nodes: ReadonlyArray<Node>): void {
  const sorted = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1))
  link(network, sorted)
  tellClaims(sorted)
  const births = sorted.map(birthOf)
  for (const node of sorted)
    for (const [i, other] of sorted.entries())
      if (other !== node) node.hear(other.name, births[i] as Letter)
  // By now they have caught up with each other, and are full members.
  tellClaims(sorted)
}

/** The lower name of two has dialled. */
function link(network: Network<Letter>, nodes: ReadonlyArray<Node>): void {
  const identities = nodes.map(({ identity }) => identity)
  for (const [i, a] of nodes.entries())
    for (let j = i + 1; j < nodes.length; j++) {
      const b = nodes[j] as Node
      const { here, there } = network.connect(a.host, b.host)
      a.links.adopt(here, "us", identities[j] as (typeof identities)[number])
      b.links.adopt(there, "them", identities[i] as (typeof identities)[number])
    }
}

/** Each hears from another one what everybody says of itself. */
function tellClaims(nodes: ReadonlyArray<Node>): void {
  const claims: ReadonlyArray<Claim> = nodes.map(({ state }) => state.membership.self)
  for (const [i, node] of nodes.entries()) {
    const from = nodes[i === 0 ? 1 : i - 1]
    if (from !== undefined) node.hear(from.name, { _tag: "Claims", claims, full: false } as Letter)
  }
}

/** What a node's registry said first of all, when it knew only itself. */
function birthOf({ name, options }: Node): Letter {
  const tables = [{ owner: name, epoch: options.epoch, seq: 0 }]
  return { _tag: "Tables", tables, answer: false } as Letter
}
