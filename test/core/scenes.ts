/**
 * What the tests of the core put on the simulated network: members alone, which are held to the
 * invariants at every step. Whole cores with names are in schedule.ts.
 */
import assert from "node:assert/strict"
import type { Claim } from "../../src/core/claim.ts"
import * as Claims from "../../src/core/claim.ts"
import * as Invariants from "../../src/core/invariants.ts"
import type { Event, Input, Message, Options, Output, State } from "../../src/core/membership.ts"
import * as Membership from "../../src/core/membership.ts"
import {
  type Birth,
  type Letter,
  Life,
  type Link,
  Machines,
  membership,
  type WorldOfMachines,
} from "../../src/testing/cores/machine.ts"
import type { Noise } from "../../src/testing/world/network.ts"

/** Every message takes from half to one and a half of so many milliseconds, one way. */
export function latency(millis: number): Partial<Noise> {
  return { latencyMicros: [500 * millis, 1_500 * millis] }
}

/** One life of a member. */
export class Node extends Life<State, Input, Output> {
  readonly history: Invariants.History = Invariants.history()
  /** Messages, and claims in them. */
  messagesSent: number = 0
  claimsSent: number = 0

  get address(): string {
    return this.options.address
  }
}

/** Members without registries and supervisors. All of a name begin with epoch 1 unless told otherwise. */
export class Members extends Machines<State, Input, Output, Node> {
  /** Whether nodes are held to what they say about others: not when tests put words in their mouths. */
  honest: boolean = true
  /** The highest version of each name that it has issued itself. */
  readonly #issued = new Map<string, Claim>()

  constructor(options: WorldOfMachines = {}) {
    const first = (index: number): Partial<Options> => ({ name: `n${index}`, epoch: 1 })
    super({ noise: latency(1), options: first, ...options, machine: membership })
    this.steps.add((node, _, outputs) => this.#look(node, outputs))
  }

  protected override born(birth: Birth<State, Input, Output>): Node {
    return new Node(birth)
  }

  /** So many nodes, `n0` at `host-n0:1` and so on, that know each other's addresses and are up. */
  together(size: number): ReadonlyArray<Node> {
    const nodes = this.cluster(Array.from({ length: size }, (_, i) => `host-n${i}:1`))
    for (const node of nodes) node.input({ _tag: "Synced" })
    return nodes
  }

  override start(name: string, given: Partial<Options> = {}): Node {
    return super.start(name, { address: `host-${name}:1`, seeds: [], ...given })
  }

  /** Lets time pass until all these agree that they are the cluster. */
  settle(nodes: ReadonlyArray<Node>, maxMillis: number): number {
    const agree = (): string | undefined => Invariants.agreed(nodes.map(({ state }) => state))
    return this.until(`${nodes.map(({ name }) => name).join()} agree`, agree, maxMillis)
  }

  #look(node: Node, outputs: ReadonlyArray<Output>): void {
    const { history, state, now } = node
    this.#holds(node, Invariants.rising(history, state))
    this.#holds(node, Invariants.awake(state, now))
    for (const output of outputs) {
      if (output._tag !== "Event") continue
      const { event } = output
      this.#holds(node, Invariants.ordered(history, event))
      if (event._tag === "Down" && event.reason !== "disconnected")
        this.#holds(node, Invariants.justified(state, event.name))
    }
  }

  #holds(node: Node, wrong: string | undefined): void {
    if (wrong !== undefined) assert.fail(`${this.now} ms, ${node.name}: ${wrong}\n${this}`)
  }

  /** Only a member raises its own incarnation. */
  override post(node: Node, link: Link, letter: Letter): void {
    node.messagesSent++
    this.#checkClaims(node, claimsIn(letter))
    super.post(node, link, letter)
  }

  #checkClaims(node: Node, claims: ReadonlyArray<Claim>): void {
    node.claimsSent += claims.length
    const { self } = node.state
    const before = this.#issued.get(self.name)
    if (before === undefined || Claims.compareVersions(self, before) > 0)
      this.#issued.set(self.name, self)
    if (!this.honest) return
    for (const claim of claims) {
      const issued = this.#issued.get(claim.name)
      if (issued !== undefined && Claims.compareVersions(claim, issued) <= 0) continue
      assert.fail(`${this.now} ms, ${node.name} invents ${JSON.stringify(claim)}\n${this}`)
    }
  }

  protected override describe(node: Node): string {
    const claims = Membership.claims(node.state).map(
      ({ name, epoch, incarnation, rank }) => `${name}(${epoch},${incarnation},${rank})`,
    )
    return `${super.describe(node)}\n    claims ${claims.join(" ")}`
  }
}

/** The claims in a message: none when it is one of another kind. */
export function claimsIn(letter: Letter): ReadonlyArray<Claim> {
  const message = letter as Message
  return message._tag === "Claims" ? message.claims : []
}

/** How often the node has seen this event, of this name. */
export function seen(node: Node, tag: Event["_tag"], name?: string): number {
  return node.events.filter(
    ({ event }) =>
      event._tag === tag && (name === undefined || ("name" in event && event.name === name)),
  ).length
}

/** When the node first saw it; undefined for never. */
export function seenAt(node: Node, tag: Event["_tag"], name: string): number | undefined {
  return node.events.find(
    ({ event }) => event._tag === tag && "name" in event && event.name === name,
  )?.at
}

/** What a node knows of a name. */
export function memberOf(node: Node, name: string): Membership.Member {
  const found = Membership.members(node.state).find((member) => member.name === name)
  return found ?? assert.fail(`${node.name} doesn't know ${name}`)
}

/** Members that have been quiet for some time. */
export function calm(
  size: number,
  seed: number,
  millis: number = 3_000,
): { readonly net: Members; readonly nodes: ReadonlyArray<Node> } {
  const net = new Members({ seed })
  const nodes = net.together(size)
  net.settle(nodes, 200)
  net.run(millis + net.chance("calm", 1_000))
  return { net, nodes }
}
