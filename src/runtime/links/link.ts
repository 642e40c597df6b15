/**
 * One authenticated connection to a peer: frames in both directions, everything of one turn in one
 * write, and a bounded queue while the peer doesn't keep up.
 *
 * @module
 */
import type { Medium } from "../../core/member.ts"
import type { CloseReason, Connection } from "../../transport.ts"
import { Writer } from "../../wire/bytes.ts"
import * as Frame from "../../wire/frame.ts"
import type { Peer } from "../../wire/handshake.ts"
import { KIND } from "../../wire/message.ts"
import { type Keys, Sealer, Unsealer } from "../../wire/seal.ts"

/** Who started the connection. */
export type Initiator = "us" | "them"

/** How a link is made. */
export interface LinkOptions {
  /** Bytes of one frame's body. */
  readonly frameBytesMax: number
  /** Bytes that may wait for a peer that doesn't read. */
  readonly queueBytesMax: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The nodes that relay it, in the order from here; none for a connection of its own. */
  readonly path: ReadonlyArray<string>
  /** How what goes over the connection is sealed; undefined when it isn't. */
  readonly keys: Keys | undefined
  /** A frame came: its body is `buffer` from `start` to `end`, to be read before this returns. */
  readonly onFrame: (link: Link, buffer: Uint8Array, start: number, end: number) => void
  /** The link is gone; called once. */
  readonly onClose: (link: Link, reason: CloseReason) => void
}

/** Bytes of control messages that may wait on top of the queue's limit before the link is given up. */
const CONTROL_FACTOR = 2

/** A connection whose handshake is done. */
export class Link {
  readonly peer: Peer
  readonly initiator: Initiator
  /** The nodes that relay it, in the order from here; none for a connection of its own. */
  readonly path: ReadonlyArray<string>
  /** Whether frames of users' messages came since this was last cleared. */
  heard = false
  /** Whether the connection stands, as far as we know. */
  open = true
  /** When something last came. */
  readAt: number
  readonly #connection: Connection
  readonly #options: LinkOptions
  readonly #writer: Writer = new Writer(16 * 1024)
  readonly #deframer: Frame.Deframer
  readonly #sealer: Sealer | undefined
  readonly #unsealer: Unsealer | undefined
  #blocked = false
  #flushing = false

  constructor(peer: Peer, initiator: Initiator, connection: Connection, options: LinkOptions) {
    this.peer = peer
    this.initiator = initiator
    this.path = options.path
    this.#connection = connection
    this.#options = options
    this.readAt = options.now()
    this.#deframer = new Frame.Deframer(options.frameBytesMax, (buffer, start, end) => {
      if (this.open) options.onFrame(this, buffer, start, end)
    })
    const { keys } = options
    this.#sealer = keys && new Sealer(keys)
    this.#unsealer = keys && new Unsealer(keys, (bytes) => this.#frames(bytes))
  }

  /** Starts reading; `rest` came behind the handshake. */
  start(rest: Uint8Array): void {
    this.#connection.receive({
      data: (bytes) => this.#read(bytes),
      drain: () => {
        this.#blocked = false
        this.flush()
      },
      close: (reason) => this.#closed(reason),
    })
    if (rest.length > 0 && this.open) this.#read(rest)
  }

  /** What it runs over. */
  get medium(): Medium {
    if (this.path.length > 0) return "relay"
    return this.#connection.bus === true ? "bus" : "own"
  }

  /** Whether users' messages must wait: they get Overloaded. */
  get full(): boolean {
    return this.#writer.length >= this.#options.queueBytesMax
  }

  /** Begins a frame: write its body to the result, then call {@link end} or {@link drop}. */
  begin(): Writer {
    this.#at = Frame.begin(this.#writer)
    return this.#writer
  }

  /** Sends the frame begun; returns its length when it is too long, and drops it. */
  end(): number | undefined {
    const bytes = this.#writer.length - this.#at - Frame.HEADER_BYTES
    if (bytes > this.#options.frameBytesMax) {
      this.drop()
      return bytes
    }
    Frame.end(this.#writer, this.#at)
    this.#later()
    return undefined
  }

  /** Takes the frame begun back. */
  drop(): void {
    this.#writer.truncate(this.#at)
  }

  #at = 0

  /** Sends a whole frame that was encoded once for several links. */
  raw(frame: Uint8Array): void {
    if (!this.open) return
    this.#writer.raw(frame)
    if (this.#writer.length > CONTROL_FACTOR * this.#options.queueBytesMax) return this.destroy()
    this.#later()
  }

  #later(): void {
    if (this.#flushing || this.#blocked) return
    this.#flushing = true
    queueMicrotask(this.#flushSoon)
  }

  // One more hop lets the continuations that a turn's replies woke add their messages.
  readonly #flushSoon = (): void => queueMicrotask(this.#flushNow)

  readonly #flushNow = (): void => {
    this.#flushing = false
    this.flush()
  }

  /** Hands everything written so far to the transport. */
  flush(): void {
    if (this.#blocked || !this.open || this.#writer.length === 0) return
    this.#blocked = !this.#connection.write(this.#written())
  }

  #written(): Uint8Array {
    if (this.#sealer === undefined) return this.#writer.take()
    const sealed = this.#sealer.seal(this.#writer.view())
    this.#writer.reset()
    return sealed
  }

  #read(bytes: Uint8Array): void {
    if (this.#unsealer === undefined) this.#frames(bytes)
    else if (!this.#unsealer.push(bytes)) this.destroy()
  }

  #frames(bytes: Uint8Array): void {
    if (!this.open) return
    this.readAt = this.#options.now()
    const error = this.#deframer.push(bytes)
    if (error !== undefined) this.destroy()
  }

  /**
   * Another link takes over: what was written so far is sent, and nothing after it. `done` is called once
   * the peer has said that of its side, or the connection is over.
   */
  retire(done: () => void): void {
    this.begin().u8(KIND.last)
    this.end()
    this.flush()
    this.#retired = true
    this.#done = done
    if (this.#last || !this.open) this.#finish()
  }

  /** The peer has sent the last that it sends on this link. */
  last(): void {
    this.#last = true
    this.#finish()
  }

  #last = false
  #retired = false
  #done: () => void = () => {}

  #finish(): void {
    if (!this.#retired) return
    const done = this.#done
    this.#done = () => {}
    this.close()
    done()
  }

  /** Sends what is waiting, then ends the connection. */
  close(): void {
    if (!this.open) return
    this.#blocked = false
    this.flush()
    this.#connection.close()
    this.#closed("ended")
  }

  /** Ends the connection at once. */
  destroy(): void {
    if (!this.open) return
    this.#connection.destroy()
    this.#closed("destroyed")
  }

  #closed(reason: CloseReason): void {
    if (!this.open) return
    this.open = false
    this.#options.onClose(this, reason)
    this.#finish()
  }
}
