/**
 * A {@link Connection} over a medium that carries messages in order, and nothing else: a BroadcastChannel, a
 * MessagePort, a WebSocket, the link of a neighbour. For transports, yours too.
 *
 * The receiver tells what it has consumed, and a sender that is a window ahead of that is told to wait: so a
 * reader that is away slows the writer down, whatever the medium itself would do.
 *
 * @module
 */
import { soon } from "./soon.ts"
import type { CloseReason, Connection, Handlers } from "./transport.ts"

/** What one end of a stream tells the other. */
export type Segment =
  | { readonly _tag: "Data"; readonly bytes: Uint8Array }
  /** So many bytes more were consumed. */
  | { readonly _tag: "Credit"; readonly bytes: number }
  /** It was closed: nothing follows. */
  | { readonly _tag: "End" }
  /** It was destroyed: what came before needn't be read any more. */
  | { readonly _tag: "Reset" }

/** How a stream is made. */
export interface StreamOptions {
  /** Where the other side is, for people. */
  readonly remote: string
  /** Tells the other end. The bytes are its own. Must not call the stream before it returns. */
  readonly send: (segment: Segment) => void
  /** This end is over: what still comes for it is of no interest. Called once. */
  readonly over?: () => void
  /** Bytes that may be ahead of the reader, from which `write` says false. At least, and by default, 1 MiB. */
  readonly windowBytes?: number
  /**
   * Bytes that each message counts for at least, on mediums that hold only so many of them. Both ends must say the
   * same. Default: 0.
   */
  readonly messageBytesMin?: number
  /** Whether everybody on the medium gets what is sent to one; see `Connection.bus`. */
  readonly bus?: boolean
  /** Whether nobody else can change what is sent; see `Connection.secure`. */
  readonly secure?: boolean
  /** Runs `f` later, and soon. Default: a microtask, or a task after many of them. */
  readonly defer?: (f: () => void) => void
}

const WINDOW_BYTES = 1024 * 1024
/** What was consumed is told in steps, so that not every message is answered by one. */
const CREDIT_BYTES = 128 * 1024
/** A writer that goes on while so many bytes, and windows, wait for the reader is cut off. */
const AHEAD_BYTES_MAX = 16 * 1024 * 1024
const AHEAD_WINDOWS_MAX = 4

/** One end of a stream. */
export class Stream implements Connection {
  readonly remote: string
  readonly bus: boolean
  readonly secure: boolean
  readonly #options: StreamOptions
  readonly #windowBytes: number
  readonly #messageBytesMin: number
  readonly #defer: (f: () => void) => void
  #handlers: Handlers | undefined
  #inbox: Array<Uint8Array> = []
  #head = 0
  #inboxBytes = 0
  /** Consumed, and not told. */
  #consumed = 0
  /** Sent, and not known to be consumed. */
  #ahead = 0
  #full = false
  #drained = false
  #scheduled = false
  /** Why it is over, once that is known; told when the inbox is empty. */
  #over: CloseReason | undefined
  #told = false

  constructor(options: StreamOptions) {
    this.remote = options.remote
    this.bus = options.bus ?? false
    this.secure = options.secure ?? false
    this.#options = options
    this.#windowBytes = Math.max(options.windowBytes ?? 0, WINDOW_BYTES)
    this.#messageBytesMin = options.messageBytesMin ?? 0
    this.#defer = options.defer ?? soon
  }

  write(bytes: Uint8Array): boolean {
    if (this.#over !== undefined) return false
    if (bytes.length > 0) {
      this.#ahead += this.#cost(bytes)
      this.#options.send({ _tag: "Data", bytes })
    }
    this.#full ||= this.#ahead >= this.#windowBytes
    return !this.#full
  }

  receive(handlers: Handlers | undefined): void {
    this.#handlers = handlers
    this.#schedule()
  }

  close(): void {
    this.#part("ended", { _tag: "End" })
  }

  destroy(): void {
    this.#part("destroyed", { _tag: "Reset" })
  }

  /** The other end says this. What can't be right changes nothing. */
  take(segment: Segment): void {
    if (this.#over !== undefined) return
    switch (segment?._tag) {
      case "Data":
        return this.#put(segment.bytes)
      case "Credit":
        return this.#credit(segment.bytes)
      case "End":
        return this.#end("ended")
      case "Reset":
        this.#drop()
        return this.#end("reset")
    }
  }

  /** The medium, or the other end, is gone: what came before is still delivered. */
  lost(): void {
    if (this.#over === undefined) this.#end("reset")
  }

  #put(bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array) || bytes.length === 0) return
    // (One write may be of any size: what counts is what it comes on top of.)
    const waiting = this.#inboxBytes
    this.#inbox.push(bytes)
    this.#inboxBytes += bytes.length
    const most = Math.max(AHEAD_BYTES_MAX, AHEAD_WINDOWS_MAX * this.#windowBytes)
    if (waiting <= most) return this.#schedule()
    this.#drop()
    this.#options.send({ _tag: "Reset" })
    this.#end("reset")
  }

  #credit(bytes: number): void {
    // (Mediums that clone carry more than numbers, and a BigInt would throw.)
    if (typeof bytes !== "number" || !(bytes > 0)) return
    this.#ahead = Math.max(0, this.#ahead - bytes)
    if (!this.#full || this.#ahead > this.#windowBytes / 2) return
    this.#full = false
    this.#drained = true
    this.#schedule()
  }

  #cost({ length }: Uint8Array): number {
    return Math.max(length, this.#messageBytesMin)
  }

  /** This side wants no more of it. */
  #part(reason: CloseReason, last: Segment): void {
    if (this.#told) return
    this.#drop()
    if (this.#over === undefined) {
      this.#options.send(last)
      this.#end(reason)
    } else if (reason === "destroyed") this.#over = reason
    this.#schedule()
  }

  #end(reason: CloseReason): void {
    this.#over = reason
    this.#options.over?.()
    this.#schedule()
  }

  #drop(): void {
    this.#inbox = []
    this.#head = 0
    this.#inboxBytes = 0
    this.#drained = false
  }

  #schedule(): void {
    if (this.#scheduled || this.#handlers === undefined) return
    this.#scheduled = true
    this.#defer(this.#deliver)
  }

  readonly #deliver = (): void => {
    this.#scheduled = false
    // A handler may write, redirect, close or destroy: the state is looked at afresh each time.
    while (this.#handlers !== undefined && this.#head < this.#inbox.length) {
      const bytes = this.#inbox[this.#head++] as Uint8Array
      this.#inboxBytes -= bytes.length
      this.#consumed += this.#cost(bytes)
      this.#handlers.data(bytes)
    }
    this.#inbox.splice(0, this.#head)
    this.#head = 0
    if (this.#consumed >= CREDIT_BYTES && this.#over === undefined) {
      this.#options.send({ _tag: "Credit", bytes: this.#consumed })
      this.#consumed = 0
    }
    if (this.#inbox.length > 0) return
    if (this.#drained && this.#handlers !== undefined) {
      this.#drained = false
      this.#handlers.drain()
    }
    if (this.#over === undefined || this.#told || this.#handlers === undefined) return
    this.#told = true
    this.#handlers.close(this.#over)
  }
}
