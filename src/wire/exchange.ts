/**
 * The exchange of frames with a side that nothing is known of yet: one at a time, none longer than a
 * handshake's, all within one time limit, and a farewell that the other side gets to hear.
 *
 * @module
 */
import type { Connection } from "../transport.ts"
import { Writer } from "./bytes.ts"
import * as Frame from "./frame.ts"
import type { Refusal, Rejection } from "./greeting.ts"

/** How long a handshake may take. */
export const HANDSHAKE_TIMEOUT_MILLIS: number = 5000
/** How long a side that was refused may take to hear it and hang up. */
export const FAREWELL_MILLIS: number = 1000

/** Runs `f` once after at least `millis`; the result cancels it. */
export type Timer = (millis: number, f: () => void) => () => void

/** Thrown inside a handshake to end it. */
export class Stop {
  /** Which side ended it. */
  readonly by: "us" | "them"
  readonly refusal: Refusal

  constructor(by: "us" | "them", reason: Rejection, detail: string, named: Named = {}) {
    this.by = by
    this.refusal = { reason, detail, epoch: named.epoch, instance: named.instance }
  }
}

/** Of the node that holds a name. */
export interface Named {
  readonly epoch?: number | undefined
  readonly instance?: number | undefined
}

/** One connection during its handshake. From {@link Exchange.start} on its time runs. */
export class Exchange {
  readonly connection: Connection
  readonly #timer: Timer
  #cancel: () => void = nothing
  /** What came behind the last frame. */
  #pending: Uint8Array = new Uint8Array(0)
  #stop: Stop | undefined
  #closed = false
  #succeeded = false
  #wake: () => void = nothing

  constructor(connection: Connection, timer: Timer) {
    this.connection = connection
    this.#timer = timer
  }

  /** Starts the time limit. */
  start(): void {
    this.#cancel = this.#timer(HANDSHAKE_TIMEOUT_MILLIS, () =>
      this.#fail(new Stop("us", "timeout", `no handshake within ${HANDSHAKE_TIMEOUT_MILLIS} ms`)),
    )
  }

  /** Leaves the connection to the session; what came behind the last frame read. */
  succeed(): Uint8Array {
    this.#succeeded = true
    return this.#pending
  }

  /** Ends the time limit and, unless the handshake succeeded, the connection. */
  end(): void {
    this.#cancel()
    if (!this.#succeeded) this.connection.destroy()
  }

  /** Throws when time is up, or the other side is gone. */
  check(): void {
    if (this.#stop !== undefined) throw this.#stop
  }

  send(body: Uint8Array): void {
    const writer = new Writer(body.length + Frame.HEADER_BYTES)
    const at = Frame.begin(writer)
    writer.raw(body)
    Frame.end(writer, at)
    // Never more than a few frames of 4 KiB: whether the buffer is full needn't be asked.
    this.connection.write(writer.take())
  }

  /** The next frame's body. Handlers are there only while one is awaited: else bytes stay outside. */
  async read(): Promise<Uint8Array> {
    if (this.#stop === undefined && !this.#complete()) await this.#receive()
    this.check()
    const end = Frame.HEADER_BYTES + this.#length()
    const body = new Uint8Array(this.#pending.subarray(Frame.HEADER_BYTES, end))
    this.#pending = this.#pending.subarray(end)
    return body
  }

  /** Sends a last frame and closes; resolves when the connection is over, however that came. */
  part(body: Uint8Array): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.send(body)
    return new Promise((resolve) => {
      const cancel = this.#timer(FAREWELL_MILLIS, () => this.connection.destroy())
      this.connection.receive({
        data: nothing,
        drain: nothing,
        close: () => {
          cancel()
          resolve()
        },
      })
      this.connection.close()
    })
  }

  /** Resolves when a frame is complete, or the handshake has to stop. */
  #receive(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.connection.receive({
        data: (bytes) => {
          this.#pending = this.#pending.length === 0 ? bytes : concat(this.#pending, bytes)
          if (!this.#complete()) return
          // At once, so that what follows, be it the end, is told to who takes over.
          this.connection.receive(undefined)
          resolve()
        },
        drain: nothing,
        close: (reason) => {
          this.#closed = true
          this.#fail(new Stop("them", "closed", `the connection was closed (${reason})`))
        },
      })
    })
  }

  /** Whether there is nothing to wait for: a frame is here, or one announced that is too long. */
  #complete(): boolean {
    if (this.#pending.length < Frame.HEADER_BYTES) return false
    const length = this.#length()
    if (length > Frame.HANDSHAKE_FRAME_BYTES_MAX) {
      this.#fail(new Stop("us", "too-large", "a frame longer than any of a handshake"))
      return true
    }
    return this.#pending.length >= Frame.HEADER_BYTES + length
  }

  #length(): number {
    return new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0, true)
  }

  #fail(stop: Stop): void {
    this.#stop ??= stop
    this.#wake()
  }
}

function nothing(): void {}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
