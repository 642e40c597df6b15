/**
 * Any number of streams between this end of a medium and another: opening and accepting them, and whom each
 * message is for. For transports over BroadcastChannel, MessagePort and the like.
 *
 * @module
 */
import { type Segment, Stream } from "./stream.ts"
import { type Connection, type DialFailure, PeerUnreachable } from "./transport.ts"

/** What ends of streams say to each other. `own`: whether its sender has opened stream `n`. */
export type Word = (Segment | { readonly _tag: "Open" | "Accept" | "Refuse" }) & {
  readonly n: number
  readonly own: boolean
}

/** What the streams to one other end need. */
export interface StreamsOptions {
  /** Where the other end is. */
  readonly remote: string
  /** Sends it to the other end, in order. The bytes in it are its own. */
  readonly post: (word: Word) => void
  /** The last stream has ended. Default: nothing happens. */
  readonly idle?: () => void
  /** See `StreamOptions`. */
  readonly windowBytes?: number | undefined
  readonly bus?: boolean
  readonly secure?: boolean
  readonly messageBytesMin?: number
}

/** Streams over one medium to one other end; more than these are refused. */
const STREAMS_MAX = 4_096

/** The streams to one other end. */
export class Streams {
  /** Gets what the other end opens; while there is nobody it is refused. */
  accept: ((connection: Connection) => void) | undefined
  readonly #options: StreamsOptions
  readonly #opened = new Map<number, Stream>()
  readonly #accepted = new Map<number, Stream>()
  /** Asked for and not answered. */
  readonly #asked = new Map<number, (answer: Connection | DialFailure) => void>()
  #last = 0

  constructor(options: StreamsOptions) {
    this.#options = options
  }

  /** How many there are, those included that wait for an answer. */
  get count(): number {
    return this.#opened.size + this.#accepted.size + this.#asked.size
  }

  /**
   * Opens one. Rejects with PeerUnreachable: `refused` when nobody accepts there, `unreachable` when the
   * other end is gone, `aborted` by the signal, and with `silent` when no answer comes within `millis`.
   */
  dial(signal: AbortSignal, millis: number, silent: DialFailure = "timeout"): Promise<Connection> {
    const { remote } = this.#options
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new PeerUnreachable(remote, "aborted", signal.reason))
      const n = ++this.#last
      const answered = (answer: Connection | DialFailure): void => {
        clearTimeout(timeout)
        signal.removeEventListener("abort", aborted)
        this.#asked.delete(n)
        if (typeof answer === "string") reject(new PeerUnreachable(remote, answer))
        else resolve(answer)
        this.#rest()
      }
      const aborted = (): void => answered("aborted")
      const timeout = setTimeout(() => answered(silent), millis)
      signal.addEventListener("abort", aborted)
      this.#asked.set(n, answered)
      this.#options.post({ _tag: "Open", n, own: true })
    })
  }

  /** The other end says this, whatever it may be: what can't be right is ignored. */
  take(word: Word): void {
    const { _tag, n, own } = word
    if (!Number.isSafeInteger(n) || typeof own !== "boolean") return
    switch (_tag) {
      case "Open":
        return own ? this.#open(n) : undefined
      case "Accept":
        return own ? undefined : this.#answer(n)
      case "Refuse":
        return own ? undefined : this.#asked.get(n)?.("refused")
      default: {
        const stream = (own ? this.#accepted : this.#opened).get(n)
        if (stream !== undefined) return stream.take(word as Segment)
        // Somebody goes on with what is over: tell him, but don't answer an end with an end.
        if (_tag === "Data") this.#options.post({ _tag: "Reset", n, own: !own })
      }
    }
  }

  /** The medium, or the other end, is gone; `tell`: unless it isn't, and has to know. */
  lost(tell = false): void {
    for (const answer of [...this.#asked.values()]) answer("unreachable")
    const { post } = this.#options
    if (tell) {
      for (const n of this.#opened.keys()) post({ _tag: "Reset", n, own: true })
      for (const n of this.#accepted.keys()) post({ _tag: "Reset", n, own: false })
    }
    for (const stream of [...this.#opened.values(), ...this.#accepted.values()]) stream.lost()
  }

  #open(n: number): void {
    const { accept } = this
    if (this.#accepted.has(n)) return
    if (accept === undefined || this.count >= STREAMS_MAX)
      return this.#options.post({ _tag: "Refuse", n, own: false })
    const stream = this.#make(n, false)
    this.#options.post({ _tag: "Accept", n, own: false })
    accept(stream)
  }

  #answer(n: number): void {
    const answer = this.#asked.get(n)
    // It was given up meanwhile.
    if (answer === undefined) this.#options.post({ _tag: "Reset", n, own: true })
    else answer(this.#make(n, true))
  }

  #make(n: number, own: boolean): Stream {
    const { remote, post, windowBytes, ...more } = this.#options
    const streams = own ? this.#opened : this.#accepted
    const stream = new Stream({
      remote,
      bus: more.bus ?? false,
      secure: more.secure ?? false,
      messageBytesMin: more.messageBytesMin ?? 0,
      ...(windowBytes === undefined ? {} : { windowBytes }),
      send: (segment) => post({ ...segment, n, own }),
      over: () => {
        streams.delete(n)
        this.#rest()
      },
    })
    streams.set(n, stream)
    return stream
  }

  #rest(): void {
    if (this.count === 0) this.#options.idle?.()
  }
}
