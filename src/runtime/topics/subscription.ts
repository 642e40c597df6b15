/**
 * Subscribers: each takes messages at its own pace, from a bounded buffer of its own, and holds nobody up.
 *
 * @module
 */
import * as Effect from "effect/Effect"
import { reasonOf, SubscriberOverloaded } from "../errors.ts"
import { isPromise } from "../functions/job.ts"
import { Fifo } from "./fifo.ts"
import type {
  Callback,
  Definition,
  Info,
  Messages,
  PublishOptions,
  Received,
  Source,
  SubscribeOptions,
  Subscription,
} from "./topic.ts"

/** What subscribers need from their node. */
export interface Home {
  /** This one takes no more messages. */
  left(subscriber: Subscriber): void
  /** Resolves once all nodes that are connected know what is subscribed to. */
  known(): Promise<void>
  /** Publishes to all but this one; to how many nodes. */
  publish(except: Subscriber, message: unknown, options: PublishOptions | undefined): number
  /** What a subscriber did with a message failed. */
  failed(subscriber: Subscriber, reason: string): void
  /** Runs an Effect that a callback returned. */
  run(effect: Effect.Effect<unknown, unknown>): Promise<unknown>
}

/** Messages that may wait for one subscriber unless it says otherwise. */
export const BUFFER_MAX: number = 1_000

const OVERFLOWS: ReadonlyArray<unknown> = ["drop-oldest", "drop-newest", "error"]

/** Some definition, which it is isn't known here. */
type Any = Definition<unknown>

interface Waiting {
  readonly message: unknown
  readonly info: Info<Any>
}

/** What all subscribers have in common. Throws RangeError and TypeError on options that can't be. */
export abstract class Subscriber implements Subscription<Source> {
  readonly topic: Source
  dropped = 0
  /** Whether it takes no more messages. */
  ended = false
  /** Why it ended, when it wasn't asked to. */
  error: SubscriberOverloaded | undefined
  protected readonly waiting: Fifo<Waiting> = new Fifo()
  protected readonly home: Home
  readonly #options: SubscribeOptions
  readonly #max: number
  #ready: Promise<void> | undefined
  #closed: Promise<void> | undefined
  #close: (() => void) | undefined

  constructor(home: Home, topic: Source, options: SubscribeOptions) {
    const { bufferMax = BUFFER_MAX, overflow = "drop-oldest", signal } = options
    if (!(bufferMax >= 1)) throw new RangeError(`bufferMax is at least 1, got ${bufferMax}`)
    if (!OVERFLOWS.includes(overflow)) throw new TypeError(`overflow can't be ${overflow}`)
    this.home = home
    this.topic = topic
    this.#options = options
    this.#max = bufferMax
    if (signal?.aborted) this.ended = true
    else signal?.addEventListener("abort", this.#abort, { once: true })
  }

  /** Takes a message, at once or later; or loses one. Never throws. */
  abstract deliver(message: unknown, info: Info<Any>): void

  /** The node ends. */
  abstract close(): void

  get ready(): Promise<void> {
    this.#ready ??= this.home.known()
    return this.#ready
  }

  get closed(): Promise<void> {
    this.#closed ??= new Promise((resolve, reject) => {
      this.#close = () => (this.error === undefined ? resolve() : reject(this.error))
      if (this.ended) this.#close()
    })
    return this.#closed
  }

  unsubscribe(): void {
    this.waiting.clear()
    this.end()
  }

  publish(message: unknown, options?: PublishOptions): number {
    return this.home.publish(this, message, options)
  }

  [Symbol.dispose](): void {
    this.unsubscribe()
  }

  readonly #abort = (): void => this.unsubscribe()

  /** Has a message wait, if there is room. */
  protected keep(message: unknown, info: Info<Any>): void {
    if (this.waiting.size >= this.#max) {
      this.dropped++
      const { overflow } = this.#options
      if (overflow === "error") return this.#overloaded()
      if (overflow === "drop-newest") return
      this.waiting.shift()
    }
    this.waiting.push({ message, info })
  }

  #overloaded(): void {
    this.error = new SubscriberOverloaded(this.topic.text, this.#max)
    this.home.failed(this, reasonOf(this.error))
    this.end()
  }

  /** Takes no more messages. */
  protected end(): void {
    if (this.ended) return
    this.ended = true
    this.#options.signal?.removeEventListener("abort", this.#abort)
    this.home.left(this)
    this.#close?.()
  }
}

/** Calls a function with each message, one after the other. */
export class Listener extends Subscriber {
  readonly #callback: Callback<Any>
  /** Whether what the function returned last is still under way. */
  #busy = false

  constructor(home: Home, topic: Source, options: SubscribeOptions, callback: Callback<Any>) {
    super(home, topic, options)
    this.#callback = callback
  }

  deliver(message: unknown, info: Info<Any>): void {
    if (this.ended) return
    if (this.#busy) this.keep(message, info)
    else this.#call(message, info)
  }

  close(): void {
    this.unsubscribe()
  }

  #call(message: unknown, info: Info<Any>): void {
    let out: unknown
    try {
      out = this.#callback(message, info)
    } catch (thrown) {
      return this.home.failed(this, reasonOf(thrown))
    }
    if (typeof out === "object" && out !== null) this.#returned(out)
  }

  #returned(out: object): void {
    if (Effect.isEffect(out)) this.#await(this.home.run(out as Effect.Effect<unknown, unknown>))
    else if (isPromise(out)) this.#await(Promise.resolve(out))
  }

  #await(pending: Promise<unknown>): void {
    this.#busy = true
    pending.then(
      () => this.#next(),
      (thrown) => {
        this.home.failed(this, reasonOf(thrown))
        this.#next()
      },
    )
  }

  /** Goes on with what waits: also when it has ended by an overflow, since that came before. */
  #next(): void {
    this.#busy = false
    while (!this.#busy) {
      const next = this.waiting.shift()
      if (next === undefined) return
      this.#call(next.message, next.info)
    }
  }
}

type Result = IteratorResult<Received<Any>, undefined>

interface Reading {
  readonly resolve: (result: Result) => void
}

const DONE: Result = { value: undefined, done: true }

/** Messages for a loop. */
export class Reader extends Subscriber implements Messages<Source> {
  readonly #readings: Fifo<Reading> = new Fifo()
  /** Whether the loop knows why it ended. */
  #told = false

  deliver(message: unknown, info: Info<Any>): void {
    if (this.ended) return
    const reading = this.#readings.shift()
    if (reading === undefined) this.keep(message, info)
    else reading.resolve(result({ message, info }))
  }

  /** What waits can still be read. */
  close(): void {
    this.end()
  }

  protected override end(): void {
    super.end()
    for (let one = this.#readings.shift(); one !== undefined; one = this.#readings.shift()) {
      one.resolve(DONE)
    }
  }

  next(): Promise<Result> {
    const next = this.waiting.shift()
    if (next !== undefined) return Promise.resolve(result(next))
    if (!this.ended) return new Promise((resolve) => this.#readings.push({ resolve }))
    if (this.error === undefined || this.#told) return Promise.resolve(DONE)
    this.#told = true
    return Promise.reject(this.error)
  }

  return(): Promise<Result> {
    this.#told = true
    this.unsubscribe()
    return Promise.resolve(DONE)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

function result({ message, info }: Waiting): Result {
  return { value: { message, from: info.from, topic: info.topic }, done: false }
}
