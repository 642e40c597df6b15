/**
 * The driver: the one place of a node where its core's state changes. Inputs are taken one after the
 * other, outputs carried out in order, and one timer keeps the core's one deadline.
 *
 * @module
 */
import * as Cluster from "../core/cluster.ts"
import type { Platform } from "./platform.ts"

/** A timer that is late by so much is not waited for. */
const LATE_MILLIS = 50

/** Drives the core of one node. */
export class Driver {
  /** What the core knows now. */
  state: Cluster.State
  readonly #platform: Platform
  readonly #perform: (output: Cluster.Output) => void
  /** Links that had users' messages since the last look. */
  readonly #heard: () => ReadonlyArray<string>
  #first: ReadonlyArray<Cluster.Output>
  #inputs: Array<Cluster.Input> = []
  #stepping = false
  #ending = false
  #flushed: Array<() => void> = []
  #quiet: Array<() => void> = []
  #timerAt = Number.POSITIVE_INFINITY
  #cancelTimer: () => void = () => {}
  #closed = false

  constructor(
    platform: Platform,
    options: Cluster.Options,
    perform: (output: Cluster.Output) => void,
    heard: () => ReadonlyArray<string>,
  ) {
    this.#platform = platform
    this.#perform = perform
    this.#heard = heard
    const { state, outputs } = Cluster.init(options, platform.now())
    this.state = state
    this.#first = outputs
  }

  /** Carries out what the core wants done at birth. */
  start(): void {
    const outputs = this.#first
    this.#first = []
    this.#stepping = true
    for (const output of outputs) this.#perform(output)
    this.#stepping = false
    this.#drain()
  }

  /** Feeds the core; from inside an output, once the outputs before are done. */
  input(input: Cluster.Input): void {
    if (this.#closed) return
    this.#inputs.push(input)
    if (!this.#stepping) this.#drain()
  }

  #drain(): void {
    this.#stepping = true
    try {
      for (let at = 0; at < this.#inputs.length; at++) {
        const { state, outputs } = Cluster.step(this.state, this.#inputs[at] as Cluster.Input)
        this.state = state
        for (let i = 0; i < outputs.length; i++) this.#perform(outputs[i] as Cluster.Output)
      }
    } finally {
      this.#inputs = []
      this.#stepping = false
    }
    if (this.#ending) return
    this.#ending = true
    queueMicrotask(this.#endTurn)
  }

  /** Runs `f` once everything registered so far has been written to the links. */
  afterFlush(f: () => void): void {
    this.#flushed.push(f)
    if (this.#ending) return
    this.#ending = true
    queueMicrotask(this.#endTurn)
  }

  /** Runs `f` once the ring is agreed on and nothing is on the move. */
  whenQuiet(f: () => void): void {
    this.#quiet.push(f)
    this.afterFlush(() => {})
  }

  readonly #endTurn = (): void => {
    if (this.#closed) return
    if (Cluster.unsent(this.state) > 0) this.input({ _tag: "Flush", now: this.#platform.now() })
    this.#ending = false
    const flushed = this.#flushed
    this.#flushed = []
    for (const f of flushed) f()
    this.#arm()
    this.#catchUp()
    if (this.#quiet.length > 0 && Cluster.quiet(this.state)) {
      const quiet = this.#quiet
      this.#quiet = []
      for (const f of quiet) f()
    }
  }

  #arm(): void {
    const at = Cluster.wakeAt(this.state)
    if (at === this.#timerAt) return
    this.#cancelTimer()
    this.#timerAt = at
    if (at === Number.POSITIVE_INFINITY) return
    this.#cancelTimer = this.#platform.timer(at - this.#platform.now(), this.#tick)
  }

  /** Hosts slow timers down, once a minute for a tab that nobody sees, but not the messages that come. */
  #catchUp(): void {
    if (this.#timerAt + LATE_MILLIS > this.#platform.now()) return
    this.#cancelTimer()
    this.#tick()
  }

  readonly #tick = (): void => {
    this.#timerAt = Number.POSITIVE_INFINITY
    const peers = this.#heard()
    const now = this.#platform.now()
    if (peers.length > 0) this.input({ _tag: "Heard", now, peers })
    this.input({ _tag: "Tick", now })
  }

  /** Takes no more inputs; what waits for a flush or for quiet is dropped. */
  close(): void {
    this.#closed = true
    this.#cancelTimer()
  }
}
