/**
 * Questions to other nodes, and the answers that are waited for.
 *
 * @module
 */
import type { Data } from "../wire/message.ts"
import * as Envelope from "./envelope.ts"
import { NodeDown, Unreachable } from "./errors.ts"
import type { Parts } from "./parts.ts"
import { Sweep } from "./sweep.ts"

const SWEEP_MILLIS = 100

/** A question, still without the number that its answer comes back with. */
export type Question =
  | { readonly _tag: "Stop"; readonly name: string; readonly reason: string }
  | { readonly _tag: "Reserve"; readonly name: string }

/** An answer, with the number of its question. */
export type Answer = Extract<Data, { readonly _tag: "Stopped" | "Reserved" }>

interface Asked {
  readonly node: string
  readonly deadline: number
  readonly settle: (answer: Answer | undefined) => void
  readonly lost: () => void
}

/** The questions under way from this node. */
export class Inquiries {
  readonly #parts: Parts
  readonly #sweep: Sweep
  readonly #asked = new Map<number, Asked>()
  #lastId = 0

  constructor(parts: Parts) {
    this.#parts = parts
    this.#sweep = new Sweep(parts.platform, SWEEP_MILLIS, () => this.#expire())
  }

  /**
   * Asks a node; undefined when it doesn't answer in time. Rejects with Unreachable when there is no link
   * to it, and with that or NodeDown when it goes away meanwhile.
   */
  ask(node: string, question: Question, timeoutMillis: number): Promise<Answer | undefined> {
    const { links, platform } = this.#parts
    const link = links.get(node)
    if (link === undefined) return Promise.reject(new Unreachable(question.name, node))
    return new Promise((settle, reject) => {
      const id = ++this.#lastId
      const { _tag, name } = question
      // A reservation that nobody answers is none; what else was asked may have been done.
      const lost = (): void =>
        reject(_tag === "Reserve" ? new Unreachable(name, node) : new NodeDown(name, node))
      this.#asked.set(id, { node, deadline: platform.now() + timeoutMillis, settle, lost })
      this.#sweep.later()
      Envelope.data(link, { ...question, id })
    })
  }

  /** An answer came. */
  answered(answer: Answer): void {
    this.#settle(answer.id, answer)
  }

  /** The link to a node is gone, and its answers with it. */
  linkDown(node: string): void {
    for (const [id, asked] of [...this.#asked]) {
      if (asked.node !== node) continue
      this.#asked.delete(id)
      asked.lost()
    }
  }

  /** The node ends. */
  close(): void {
    for (const id of [...this.#asked.keys()]) this.#settle(id, undefined)
  }

  #expire(): boolean {
    const now = this.#parts.platform.now()
    for (const [id, { deadline }] of [...this.#asked]) {
      if (now >= deadline) this.#settle(id, undefined)
    }
    return this.#asked.size > 0
  }

  #settle(id: number, answer: Answer | undefined): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    this.#asked.delete(id)
    asked.settle(answer)
  }
}
