/**
 * Where messages of topics go: the subscribers of this node, and the other nodes that have some. Which those
 * are is a group of the registry for each topic and each pattern, so everybody knows.
 *
 * @module
 */
import type * as Cluster from "../../core/cluster.ts"
import * as Groups from "../../core/groups.ts"
import type { Key } from "../../core/key.ts"
import { Overloaded } from "../errors.ts"
import type { Parts } from "../parts.ts"
import { Prefixes } from "./prefixes.ts"
import type { Subscriber } from "./subscription.ts"
import type { Source } from "./topic.ts"

/** Where messages of one topic go. It isn't changed any more: another one takes its place. */
export interface Route {
  readonly key: Key
  /** The other nodes that have subscribers of it. */
  readonly nodes: ReadonlyArray<string>
  /** The subscribers of this node, those of patterns last. */
  readonly near: ReadonlyArray<Subscriber>
}

/** Topics whose routes are remembered. */
const ROUTES_MAX = 16_384

type What = Pick<Source, "_tag" | "text">

/** The routes of one node. */
export class Routes {
  readonly #parts: Parts
  /** The subscribers of topics, and of patterns, by their texts. */
  readonly #topics = new Map<string, Set<Subscriber>>()
  readonly #patterns = new Map<string, Set<Subscriber>>()
  /** The patterns that anybody in the cluster has subscribed to. */
  readonly #prefixes = new Prefixes()
  /** What was found out, by the text of the topic, until something changes. */
  readonly #routes = new Map<string, Route>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** All subscribers of this node. */
  *subscribers(): Generator<Subscriber> {
    for (const subscribers of this.#topics.values()) yield* subscribers
    for (const subscribers of this.#patterns.values()) yield* subscribers
  }

  /** One more subscriber of this node. With the first one of its topic, all nodes are told. */
  add(subscriber: Subscriber): void {
    const { topic } = subscriber
    const all = this.#all(topic)
    const others = all.get(topic.text)
    if (others !== undefined) others.add(subscriber)
    else {
      const { namesMax } = this.#parts.limits
      if (this.#topics.size + this.#patterns.size >= namesMax) {
        throw new Overloaded(topic.text, "namesMax", namesMax)
      }
      all.set(topic.text, new Set([subscriber]))
      this.#join(groupOf(topic))
    }
    this.#forget(topic)
  }

  /** One less; with the last one of its topic, all nodes are told. */
  delete(subscriber: Subscriber): void {
    const { topic } = subscriber
    const all = this.#all(topic)
    const others = all.get(topic.text)
    if (others?.delete(subscriber) !== true) return
    if (others.size === 0) {
      all.delete(topic.text)
      this.#quit(groupOf(topic))
    }
    this.#forget(topic)
  }

  #all({ _tag }: What): Map<string, Set<Subscriber>> {
    return _tag === "Topic" ? this.#topics : this.#patterns
  }

  #join(group: string): void {
    const { driver, platform } = this.#parts
    const now = platform.now()
    const node = { pid: 0, name: "", online: true, meta: undefined }
    driver.input({ _tag: "Join", now, wall: platform.wall(), group, ...node })
  }

  #quit(group: string): void {
    const { driver, platform } = this.#parts
    driver.input({ _tag: "Quit", now: platform.now(), group, pid: 0, reason: "unsubscribed" })
  }

  /** A node's interest in a topic or a pattern began or ended: see {@link groupOf}. */
  interest({ group }: Extract<Cluster.Output, { readonly _tag: "Grouped" }>): void {
    this.#forget({ _tag: group.startsWith("t") ? "Topic" : "Pattern", text: group.slice(1) })
  }

  /** Whoever wants these messages may be somebody else now. */
  #forget({ _tag, text }: What): void {
    if (_tag === "Topic") {
      this.#routes.delete(text)
      return
    }
    const wanted = this.#patterns.has(text) || this.#interested({ _tag, text }).length > 0
    if (wanted) this.#prefixes.add(text)
    else this.#prefixes.delete(text)
    this.#routes.clear()
  }

  #interested(what: What): ReadonlyArray<Groups.Membership> {
    return Groups.members(this.#parts.core.registry.groups, groupOf(what))
  }

  /** The route of a topic, if it is remembered. */
  known(text: string): Route | undefined {
    return this.#routes.get(text)
  }

  /** The route of a topic. */
  of(text: string, key: Key): Route {
    return this.#routes.get(text) ?? this.#find(text, key)
  }

  #find(text: string, key: Key): Route {
    const nodes = new Set<string>()
    const near = [...(this.#topics.get(text) ?? [])]
    for (const { table } of this.#interested({ _tag: "Topic", text })) nodes.add(table.owner)
    for (const prefix of this.#prefixes.of(text)) {
      near.push(...(this.#patterns.get(prefix) ?? []))
      const interested = this.#interested({ _tag: "Pattern", text: prefix })
      for (const { table } of interested) nodes.add(table.owner)
    }
    nodes.delete(this.#parts.name)
    const route = { key, nodes: [...nodes], near }
    if (this.#routes.size >= ROUTES_MAX) this.#routes.clear()
    this.#routes.set(text, route)
    return route
  }
}

/** The group of the nodes that have subscribers of a topic or a pattern. */
function groupOf({ _tag, text }: What): string {
  return (_tag === "Topic" ? "t" : "p") + text
}
