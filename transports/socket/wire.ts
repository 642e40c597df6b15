/**
 * A connection over a WebSocket, whosever it is: a browser's, Bun's, Deno's, that of the package `ws`, Hono's.
 *
 * Each message is a byte that says what it is and, for data, the bytes. As WebSockets can't be read slowly, the
 * reader tells what it has read: see `src/stream.ts`.
 *
 * @module
 */
import { type Segment, Stream } from "../../src/stream.ts"

/** What a WebSocket has to be able to do. */
export interface Socket {
  send(bytes: Uint8Array): void
  /** Sends what was sent before, then ends it in order. */
  close(code: number, reason: string): void
  /** Ends it at once. Where there is no such thing: undefined. */
  readonly terminate?: (() => void) | undefined
}

/** How the connection is made. */
export interface WireOptions {
  /** Where the other side is, for people. */
  readonly remote: string
  /** Bytes that may be ahead of the reader. At least, and by default, 1 MiB. */
  readonly windowBytes?: number | undefined
  /** Bytes of one message, of which more than this end the connection. */
  readonly messageBytesMax?: number | undefined
  /** Whether nobody else can change what is sent. */
  readonly secure: boolean
  /** A message after each so many milliseconds, for proxies that cut what is quiet. Default: none. */
  readonly pingMillis?: number | undefined
}

/** Bytes of one message, unless told otherwise: those that we send are smaller. */
export const MESSAGE_BYTES_MAX: number = 1024 * 1024
const PIECE_BYTES = 64 * 1024

const DATA = 0
const CREDIT = 1
const END = 2
const RESET = 3
/** Says nothing. */
const PING = 4

const NORMAL = 1000
const UNSUPPORTED = 1003
const TOO_BIG = 1009

/** Both sides of the bridge: {@link Wire.stream} to the node, the rest to the socket. */
export class Wire {
  /** The connection. */
  readonly stream: Stream
  readonly #socket: Socket
  readonly #messageBytesMax: number
  /** What the socket is closed with. */
  #last: readonly [code: number, reason: string] = [NORMAL, ""]
  #ping: ReturnType<typeof setInterval> | undefined

  constructor(socket: Socket, options: WireOptions) {
    const { remote, secure, windowBytes, pingMillis } = options
    this.#socket = socket
    this.#messageBytesMax = options.messageBytesMax ?? MESSAGE_BYTES_MAX
    this.stream = new Stream({
      remote,
      secure,
      ...(windowBytes === undefined ? {} : { windowBytes }),
      send: (segment) => this.#send(segment),
      over: () => this.#over(),
    })
    if (pingMillis !== undefined)
      this.#ping = setInterval(() => this.#write(PING, NONE), Math.min(pingMillis, 0x7fff_ffff))
  }

  /** A message came: bytes, or what only strangers send. */
  message(data: unknown): void {
    const bytes = bytesOf(data)
    if (bytes === undefined) return this.#refuse(UNSUPPORTED, "messages are binary")
    if (bytes.length > this.#messageBytesMax)
      return this.#refuse(TOO_BIG, "the message is too large")
    const segment = read(bytes)
    if (segment === undefined) return this.#refuse(UNSUPPORTED, "the message means nothing")
    if (segment !== PING) this.stream.take(segment)
  }

  /** The socket is gone. */
  closed(): void {
    clearInterval(this.#ping)
    this.stream.lost()
  }

  #refuse(code: number, reason: string): void {
    this.#last = [code, reason]
    this.stream.lost()
  }

  #send(segment: Segment): void {
    switch (segment._tag) {
      case "Data": {
        const { bytes } = segment
        for (let at = 0; at < bytes.length; at += PIECE_BYTES)
          this.#write(DATA, bytes.subarray(at, at + PIECE_BYTES))
        return
      }
      case "Credit":
        return this.#write(CREDIT, uint32(segment.bytes))
      case "End":
        return this.#write(END, NONE)
      case "Reset":
        this.#write(RESET, NONE)
        return this.#socket.terminate?.()
    }
  }

  #write(kind: number, bytes: Uint8Array): void {
    const message = new Uint8Array(1 + bytes.length)
    message[0] = kind
    message.set(bytes, 1)
    try {
      this.#socket.send(message)
    } catch {
      // It is closing: its close event tells the rest.
    }
  }

  #over(): void {
    clearInterval(this.#ping)
    try {
      this.#socket.close(...this.#last)
    } catch {
      // It never opened, or is closed.
    }
  }
}

const NONE: Uint8Array = new Uint8Array(0)

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return undefined
}

function read(bytes: Uint8Array): Segment | typeof PING | undefined {
  switch (bytes[0]) {
    case DATA:
      // (Hosts reuse their buffers.)
      return { _tag: "Data", bytes: bytes.slice(1) }
    case CREDIT: {
      if (bytes.length !== 5) return undefined
      const view = new DataView(bytes.buffer, bytes.byteOffset)
      return { _tag: "Credit", bytes: view.getUint32(1) }
    }
    case END:
      return { _tag: "End" }
    case RESET:
      return { _tag: "Reset" }
    case PING:
      return PING
    default:
      return undefined
  }
}
