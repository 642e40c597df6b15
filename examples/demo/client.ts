/**
 * A client inside of a node: it adds 1 to random counters at a steady rate, and keeps the books of
 * what each counter must hold.
 *
 * @module
 */
import type { CallError, Node, Outcome, Ref, Try } from "skein"
import { Counter, keys, type Reading } from "./counter.ts"

/** A call that failed. */
export interface Failure {
  readonly key: string
  readonly method: "add" | "read"
  readonly error: string
  readonly outcome: Outcome
  /** When it was made (Date.now), where its node saw the counter then, and how long it took. */
  readonly startedAt: number
  readonly owner: string | undefined
  readonly millis: number
}

/** The books of one client, by the counters' keys. */
export interface Tally {
  calls: number
  /** Additions that were acknowledged, in all. */
  added: number
  /** The same by the counter's key and its life. */
  readonly acknowledged: Record<string, Record<string, number>>
  /** Additions that may have happened: under way, or failed with an unknown outcome. */
  readonly unsure: Record<string, number>
  readonly failures: Array<Failure>
}

const TICK_MILLIS = 10
const READ_MILLIS_MAX = 60_000

/** The client of a node. */
export class Client {
  readonly tally: Tally = { calls: 0, added: 0, acknowledged: {}, unsure: {}, failures: [] }
  readonly #node: Node
  #timer: ReturnType<typeof setInterval> | undefined
  readonly #underWay = new Set<Promise<void>>()

  constructor(node: Node) {
    this.#node = node
  }

  /** Makes so many calls a second from now on, however long their answers take. */
  load(perSecond: number): void {
    clearInterval(this.#timer)
    const perTick = Math.round((perSecond * TICK_MILLIS) / 1000)
    this.#timer = setInterval(() => {
      for (let i = 0; i < perTick; i++) {
        const key = keys[Math.floor(Math.random() * keys.length)] as string
        const adding: Promise<void> = this.#add(key).then(() => void this.#underWay.delete(adding))
        this.#underWay.add(adding)
      }
    }, TICK_MILLIS)
  }

  /** Makes no more calls; resolves when all are answered, with the books. */
  async quiet(): Promise<Tally> {
    clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    return this.tally
  }

  async #add(key: string): Promise<void> {
    const { acknowledged, unsure } = this.tally
    unsure[key] = (unsure[key] ?? 0) + 1
    const answer = await this.#call(key, "add", (ref) => ref.try.add(1))
    if (answer.ok || answer.outcome === "not-executed") unsure[key]--
    if (!answer.ok) return
    acknowledged[key] ??= {}
    const lives = acknowledged[key]
    lives[answer.value] = (lives[answer.value] ?? 0) + 1
    this.tally.added++
  }

  /** What a counter holds; asked again until it answers, with every failure in the books. */
  async read(key: string): Promise<Reading> {
    const until = Date.now() + READ_MILLIS_MAX
    for (;;) {
      const answer = await this.#call(key, "read", (ref) => ref.try.read())
      if (answer.ok) return answer.value
      if (Date.now() > until) throw new Error(`counter ${key} doesn't answer`)
      await new Promise((resolve) => setTimeout(resolve, TICK_MILLIS))
    }
  }

  async #call<A>(
    key: string,
    method: "add" | "read",
    make: (ref: Ref<typeof Counter>) => Promise<Try<A, CallError>>,
  ): Promise<
    { readonly ok: true; readonly value: A } | { readonly ok: false; readonly outcome: Outcome }
  > {
    const startedAt = Date.now()
    const owner = this.#node.whereis(Counter, key)?.node
    this.tally.calls++
    const answer = await make(this.#node.ref(Counter, key))
    if (answer.ok) return answer
    const { _tag: error, outcome } = answer.error
    const millis = Date.now() - startedAt
    this.tally.failures.push({ key, method, error, outcome, startedAt, owner, millis })
    return { ok: false, outcome }
  }
}
