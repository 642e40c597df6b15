/**
 * Nodes at the two ends of a MessagePort: a page and its workers or frames, a program and its threads. Who has
 * several ports relays between those at their other ends.
 *
 * @example
 * ```ts
 * import { startNode } from "skein"
 * import { messagePort } from "skein/transports/message-port"
 *
 * declare const worker: Worker // whose own code has `startNode({ transport: messagePort(self) })`
 * await using node = await startNode({ transport: messagePort(worker) })
 * ```
 *
 * @module
 */
import type { Context } from "../src/discovery/discovery.ts"
import { Streams, type Word } from "../src/streams.ts"
import {
  AddressUnavailable,
  type Connection,
  PeerUnreachable,
  type Transport,
} from "../src/transport.ts"

/**
 * Anything that carries messages both ways, in order: a MessagePort, a Worker, the `self` of a worker, and
 * what `node:worker_threads` has for them.
 */
export interface Port {
  postMessage(message: unknown): void
  addEventListener?(type: string, listener: (event: object) => void): void
  on?(type: string, listener: (data: unknown) => void): unknown
  start?(): void
}

/** Options of {@link messagePort}. */
export interface MessagePortOptions {
  /** Bytes of one connection that may be ahead of the reader. At least, and by default, 1 MiB. */
  readonly windowBytes?: number
  /** How long the other end may take to answer: a thread that only begins, say. Milliseconds; default 5,000. */
  readonly answerMillis?: number
}

/** A transport over ports. */
export interface MessagePorts extends Transport {
  /** One more port, for a thread that is started later. Its address is the next number. */
  add(port: Port): string
}

const ANSWER_MILLIS = 5_000
const ADDRESS = /^port:[1-9]\d{0,5}$/
/** What our messages on a port have under this name is a word of ours. */
const KEY = "skein"

/**
 * A transport over one port or several, whose addresses are `port:1`, `port:2` and so on; nodes find each
 * other without. Its own nodes can't be dialled by third ones, which reach them through who is between.
 * Trusted: who has the other end was given it.
 */
export function messagePort(
  ports: Port | ReadonlyArray<Port>,
  options: MessagePortOptions = {},
): MessagePorts {
  const all = new Map<string, Streams>()
  let last = 0
  let accept: ((connection: Connection) => void) | undefined
  let discovering: Context | undefined
  const found = (): void => discovering?.found([...all.keys()])
  const add = (port: Port): string => {
    const address = `port:${++last}`
    const streams = attach(port, address, options, () => {
      all.delete(address)
      found()
    })
    streams.accept = accept
    all.set(address, streams)
    found()
    return address
  }
  for (const port of [ports].flat() as ReadonlyArray<Port>) add(port)
  const route = (to: typeof accept): void => {
    accept = to
    for (const streams of all.values()) streams.accept = to
  }
  return {
    kind: "message-port",
    trusted: true,
    add,
    listen: async (given) => {
      if (accept !== undefined) throw new AddressUnavailable("", "its ports are taken")
      route(given)
      return { address: "", close: async () => route(undefined) }
    },
    dial: async (address, signal) => {
      if (!ADDRESS.test(address)) throw new PeerUnreachable(address, "invalid-address")
      const streams = all.get(address)
      if (streams === undefined) throw new PeerUnreachable(address, "refused")
      return streams.dial(signal, options.answerMillis ?? ANSWER_MILLIS)
    },
    discovery: {
      kind: "message-port",
      start: (context) => {
        discovering = context
        context.signal.addEventListener("abort", () => {
          if (discovering === context) discovering = undefined
        })
        found()
      },
    },
  }
}

/** `over`: the port, or the thread at its other end, is at its end. */
function attach(
  port: Port,
  remote: string,
  { windowBytes }: MessagePortOptions,
  over: () => void,
): Streams {
  const streams = new Streams({
    remote,
    windowBytes,
    secure: true,
    post: (word) => post(port, word),
  })
  const heard = (data: unknown): void => {
    const word = (data as { readonly [KEY]?: Word } | null | undefined)?.[KEY]
    if (typeof word === "object" && word !== null) streams.take(word)
  }
  const on = (type: string, told: (data: unknown) => void): void => {
    if (port.addEventListener === undefined) port.on?.(type, told)
    else port.addEventListener(type, (event) => told((event as { readonly data?: unknown }).data))
  }
  on("message", heard)
  // What came and can't be read is missing: a stream has no holes.
  on("messageerror", () => streams.lost(true))
  // Threads that end close their ports. (Not all hosts tell.)
  for (const end of ["close", "exit"])
    on(end, () => {
      over()
      streams.lost()
    })
  port.start?.()
  return streams
}

/** Cloning a view takes along all that lies behind it. (`slice` of a Node Buffer would be one more view.) */
function post(port: Port, word: Word): void {
  const part = word._tag === "Data" && word.bytes.byteLength < word.bytes.buffer.byteLength
  port.postMessage({ [KEY]: part ? { ...word, bytes: new Uint8Array(word.bytes) } : word })
}
