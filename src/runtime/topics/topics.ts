/**
 * Publishing and subscribing at one node. Which nodes have a subscriber of a topic is a group of the
 * registry, so everybody knows: a message goes once to each of them, and is handed to all subscribers there.
 *
 * @module
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Cluster from "../../core/cluster.ts"
import * as Key from "../../core/key.ts"
import { type Reader as Bytes, Writer } from "../../wire/bytes.ts"
import * as Message from "../../wire/message.ts"
import * as Value from "../../wire/value.ts"
import { NotData, Overloaded, reasonOf, TooLarge } from "../errors.ts"
import type { Services } from "../functions/services.ts"
import type { Link } from "../links/link.ts"
import type { Parts } from "../parts.ts"
import { Bulletin } from "./bulletin.ts"
import { Fifo } from "./fifo.ts"
import { type Route, Routes } from "./routes.ts"
import { type Home, Listener, Reader, type Subscriber } from "./subscription.ts"
import type {
  AnyDefinition,
  Callback,
  Definition,
  Info,
  Messages,
  PublishOptions,
  Source,
  SubscribeOptions,
  Subscription,
} from "./topic.ts"

/** Something whose casts can be given messages: a reference to a process, or to members of a group. */
export interface Castable {
  readonly cast: object
}

/** Messages for one node that were dropped because too much was waiting for it. */
export interface Dropped {
  readonly node: string
  readonly count: number
}

type Casts = Record<string, (message: unknown, info: Info<Definition<unknown>>) => unknown>

/** A message of this node's own for its own subscribers. */
interface Delivery {
  readonly near: ReadonlyArray<Subscriber>
  readonly message: unknown
  readonly info: Info<Definition<unknown>>
  readonly except: Subscriber | undefined
}

/** Messages of its own that the node delivers before the event loop gets its turn. */
const TURN_MAX = 10_000

/** The topics of one node. */
export class Topics {
  readonly #parts: Parts
  readonly #bulletin: Bulletin
  readonly #home: Home
  readonly #routes: Routes
  readonly #deliveries = new Fifo<Delivery>()
  #delivering = false
  readonly #scratch = new Writer(1024)
  /** By node; `now`: nothing was sent to it since. */
  readonly #drops = new Map<string, { count: number; now: boolean }>()

  /** `context` is what callbacks' Effects run with. */
  constructor(parts: Parts, services: Services, context: Context.Context<never>) {
    this.#parts = parts
    this.#bulletin = new Bulletin(parts, services)
    this.#routes = new Routes(parts)
    this.#home = {
      left: (subscriber) => this.#routes.delete(subscriber),
      known: () => this.#bulletin.read(),
      publish: (except, message, options) => this.#others(except, message, options),
      failed: ({ topic }, reason) =>
        parts.events.emit({ _tag: "SubscriberFailed", topic: topic.text, reason }),
      run: Effect.runPromiseWith(context),
    }
  }

  // --- subscribing -------------------------------------------------------------------------------

  /**
   * Calls a function with each message from now on, or casts it to a process: the message, and where it
   * comes from. Throws NodeStopped and Overloaded; TypeError and RangeError when something can't be.
   */
  subscribe<T extends Source>(
    topic: T,
    to: Callback<never> | Castable,
    given: string | SubscribeOptions = {},
    options: Pick<SubscribeOptions, "signal"> = {},
  ): Subscription<T> {
    if (typeof to === "function" && typeof given === "object") {
      return this.#enter(new Listener(this.#home, topic, given, to as Callback))
    }
    const casts = (to as Castable).cast as Casts
    const method = given as string
    if (typeof casts?.[method] !== "function") throw new TypeError(`there is no cast ${method}`)
    const listener = new Listener(this.#home, topic, options, (message, info) => {
      try {
        casts[method]?.(message, info)
      } catch (error) {
        if (!(error instanceof Overloaded)) throw error
        listener.dropped++
      }
    })
    return this.#enter(listener)
  }

  /** The messages from now on, for a loop. Throws as {@link subscribe} does. */
  messages<T extends Source>(topic: T, options: SubscribeOptions = {}): Messages<T> {
    return this.#enter(new Reader(this.#home, topic, options)) as unknown as Messages<T>
  }

  #enter<T extends Source>(subscriber: Subscriber): Subscription<T> {
    const stopped = this.#parts.stopped(subscriber.topic.text)
    if (stopped !== undefined) throw stopped
    // Its signal has fired already.
    if (!subscriber.ended) this.#routes.add(subscriber)
    return subscriber as unknown as Subscription<T>
  }

  /** A node's interest in a topic (a group `t…`) or a pattern (a group `p…`) began or ended. */
  interest(output: Extract<Cluster.Output, { readonly _tag: "Grouped" }>): void {
    this.#routes.interest(output)
  }

  // --- publishing --------------------------------------------------------------------------------

  /**
   * Sends a message to the nodes that have subscribers of the topic, and has those of this node called soon;
   * returns to how many nodes. What is known at once is thrown, and then nobody gets it: NodeStopped,
   * NotData, TooLarge; Overloaded when too many messages wait here, or too much for the one node that it is
   * for. A message that nobody has subscribed to isn't looked at.
   */
  publish(
    topic: AnyDefinition,
    message: unknown,
    { to = "all" }: PublishOptions = {},
    except?: Subscriber,
  ): number {
    const { text, key } = topic
    const { name } = this.#parts
    const stopped = this.#parts.stopped(text)
    if (stopped !== undefined) throw stopped
    const { nodes, near } = this.#routes.of(text, key)
    const here = to === "all" || to === "local" || to.node === name
    const local = here && near.some((subscriber) => subscriber !== except)
    // Whatever is wrong with it is thrown before anybody has it.
    const copy = local ? this.#mine(text, message) : undefined
    let count = 0
    if (to === "all") count = this.#send(nodes, text, message)
    else if (to !== "local" && nodes.includes(to.node)) count = this.#direct(to.node, text, message)
    if (!local) return count
    this.#deliveries.push({ near, message: copy, info: { from: name, topic: key }, except })
    if (!this.#delivering) {
      this.#delivering = true
      queueMicrotask(this.#deliver)
    }
    return count + 1
  }

  #others(except: Subscriber, message: unknown, options: PublishOptions | undefined): number {
    const { topic } = except
    if (topic._tag === "Topic") return this.publish(topic, message, options, except)
    throw new TypeError(
      `nothing can be published to a pattern: ${topic.text} stands for any topics`,
    )
  }

  /** A message as this node's subscribers get it: one copy for all. */
  #mine(text: string, message: unknown): unknown {
    const { pendingMax } = this.#parts.limits
    if (this.#deliveries.size >= pendingMax) throw new Overloaded(text, "pendingMax", pendingMax)
    try {
      return Value.copy(message)
    } catch (error) {
      throw new NotData(text, reasonOf(error), "not-executed")
    }
  }

  #send(nodes: ReadonlyArray<string>, text: string, message: unknown): number {
    let count = 0
    let body: Uint8Array | undefined
    for (const node of nodes) {
      const link = this.#parts.links.get(node)
      if (link === undefined) continue
      body ??= this.#encode(text, message)
      if (link.full) this.#drop(node, text)
      else {
        this.#write(link, body)
        count++
      }
    }
    return count
  }

  #direct(node: string, text: string, message: unknown): number {
    const link = this.#parts.links.get(node)
    if (link === undefined) return 0
    if (link.full) {
      throw new Overloaded(text, "queueBytesMax", this.#parts.limits.queueBytesMax)
    }
    this.#write(link, this.#encode(text, message))
    return 1
  }

  /** The body of the message's frame, the same for every node: valid until the next one. */
  #encode(text: string, message: unknown): Uint8Array {
    const writer = this.#scratch
    const { frameBytesMax } = this.#parts.limits
    writer.reset()
    writer.u8(Message.KIND.publish)
    writer.string(text)
    try {
      Value.write(writer, message)
    } catch (error) {
      throw new NotData(text, reasonOf(error), "not-executed")
    }
    if (writer.length > frameBytesMax) throw new TooLarge(text, writer.length, frameBytesMax)
    return writer.view()
  }

  #write(link: Link, body: Uint8Array): void {
    link.begin().raw(body)
    link.end()
    if (this.#drops.size === 0) return
    const drop = this.#drops.get(link.peer.name)
    if (drop !== undefined) drop.now = false
  }

  /** Nobody waits for a node that doesn't keep up. That it begins is an event; how often it is, a count. */
  #drop(node: string, text: string): void {
    const drop = this.#drops.get(node) ?? { count: 0, now: false }
    const begins = !drop.now
    drop.count++
    drop.now = true
    this.#drops.set(node, drop)
    if (begins) this.#parts.events.emit({ _tag: "Dropped", process: text, limit: "queueBytesMax" })
  }

  /** How many messages were dropped for nodes that don't keep up, since they were connected. */
  get dropped(): ReadonlyArray<Dropped> {
    return Array.from(this.#drops, ([node, { count }]) => ({ node, count }))
  }

  // --- delivering --------------------------------------------------------------------------------

  /** Takes the frame of a message of another node; false when it is malformed. */
  receive(from: string, reader: Bytes): boolean {
    const text = reader.word()
    const message = Value.read(reader)
    if (!reader.done()) return false
    const route = this.#routes.known(text) ?? this.#find(text)
    if (route === undefined) return false
    const { near, key } = route
    if (near.length > 0) hand(near, message, { from, topic: key }, undefined)
    return true
  }

  /** The route of a topic that another node names; undefined when it is none. */
  #find(text: string): Route | undefined {
    const key = parse(text)
    return key === undefined ? undefined : this.#routes.of(text, key)
  }

  /**
   * Delivers what this node published to itself, in order: behind whatever published it, so that what is
   * published while a message is delivered comes after that.
   */
  readonly #deliver = (): void => {
    for (let budget = TURN_MAX; budget > 0; ) {
      const delivery = this.#deliveries.shift()
      if (delivery === undefined) {
        this.#delivering = false
        return
      }
      const { near, message, info, except } = delivery
      hand(near, message, info, except)
      budget -= near.length
    }
    this.#parts.platform.defer(this.#deliver)
  }

  // --- ends --------------------------------------------------------------------------------------

  /** The link to a node is gone. */
  linkDown(node: string): void {
    this.#drops.delete(node)
  }

  /** The node ends, and all subscriptions with it. What loops have waiting can still be read. */
  close(): void {
    this.#bulletin.close()
    for (const subscriber of [...this.#routes.subscribers()]) subscriber.close()
  }
}

function hand(
  near: ReadonlyArray<Subscriber>,
  message: unknown,
  info: Info<Definition<unknown>>,
  except: Subscriber | undefined,
): void {
  for (let i = 0; i < near.length; i++) {
    const subscriber = near[i] as Subscriber
    if (subscriber !== except) subscriber.deliver(message, info)
  }
}

/** The key that has this text; undefined when none has. */
function parse(text: string): Key.Key | undefined {
  try {
    return Key.parse(text)
  } catch {
    return undefined
  }
}
