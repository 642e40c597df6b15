/**
 * The topics of several nodes without the nodes: their registry is a fake that everybody shares at once, and
 * their links keep what is sent until the test lets it come.
 *
 * @module
 */
import assert from "node:assert/strict"
import * as Context from "effect/Context"
import * as Groups from "../../src/core/groups.ts"
import type { Table } from "../../src/core/table.ts"
import { NodeStopped } from "../../src/runtime/errors.ts"
import { Events, type NodeEvent } from "../../src/runtime/events.ts"
import type { Services } from "../../src/runtime/functions/services.ts"
import * as Limits from "../../src/runtime/limits.ts"
import type { Parts } from "../../src/runtime/parts.ts"
import { Topics } from "../../src/runtime/topics/topics.ts"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Message from "../../src/wire/message.ts"

/** A link to a peer, with the frames that wait on it. */
export class FakeLink {
  full = false
  readonly peer: { readonly name: string }
  frames: Array<Uint8Array> = []
  readonly #writer = new Writer()

  constructor(name: string) {
    this.peer = { name }
  }

  begin(): Writer {
    this.#writer.reset()
    return this.#writer
  }

  end(): undefined {
    this.frames.push(this.#writer.take())
  }
}

/** One node's topics. */
export interface FakeNode {
  readonly topics: Topics
  /** By the names of the other nodes. */
  readonly links: Map<string, FakeLink>
  readonly events: Array<NodeEvent>
  /** How often what the core knows was looked at. */
  looks: number
  stopped: boolean
}

/** Some nodes that all know each other. */
export interface FakeNet {
  readonly nodes: Readonly<Record<string, FakeNode>>
  /** Lets all frames come. */
  flow(): void
}

/** A network of nodes of these names. */
export function net(
  names: ReadonlyArray<string>,
  limits: Partial<Limits.Limits> = {},
  defer: (f: () => void) => void = queueMicrotask,
): FakeNet {
  const groups = Groups.make()
  const nodes: Record<string, FakeNode> = {}
  const tell = (group: string, change: (owner: string) => void, owner: string): void => {
    change(owner)
    const output = { _tag: "Grouped", group, before: undefined, after: undefined } as never
    for (const node of Object.values(nodes)) node.topics.interest(output)
  }
  for (const name of names) {
    const table = { owner: name, epoch: 1 } as Table
    const events = new Events()
    const links = new Map<string, FakeLink>()
    for (const other of names) if (other !== name) links.set(other, new FakeLink(other))
    const parts = {
      name,
      platform: { now: () => 0, wall: () => 0, defer },
      limits: { ...Limits.defaults, ...limits },
      events,
      links: { get: (peer: string) => links.get(peer), all: () => links.values() },
      driver: {
        input: ({ _tag, group }: { readonly _tag: "Join" | "Quit"; readonly group: string }) =>
          tell(
            group,
            (owner) => {
              const member = { group, table, pid: 0, name: "", time: 0, online: true }
              if (_tag === "Join") Groups.insert(groups, { ...member, meta: undefined })
              else Groups.remove(groups, group, owner, 0)
            },
            name,
          ),
      },
      get core() {
        node.looks++
        return { registry: { groups } }
      },
      stopped: (process: string) => (node.stopped ? new NodeStopped(process, name) : undefined),
    } as unknown as Parts
    const services = { serve: () => {} } as unknown as Services
    const node: FakeNode = {
      topics: new Topics(parts, services, Context.empty()),
      links,
      events: [],
      looks: 0,
      stopped: false,
    }
    events.watch((event) => node.events.push(event))
    nodes[name] = node
  }
  return {
    nodes,
    flow: () => {
      for (const [from, { links }] of Object.entries(nodes))
        for (const [to, link] of links)
          for (const frame of link.frames.splice(0)) {
            const reader = new Reader(frame)
            assert.equal(reader.u8(), Message.KIND.publish)
            assert.ok(nodes[to]?.topics.receive(from, reader))
          }
    },
  }
}

/** Lets everything come that needs no time. */
export async function turns(): Promise<void> {
  for (let n = 0; n < 50; n++) await Promise.resolve()
}
