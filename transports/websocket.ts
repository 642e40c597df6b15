/**
 * Nodes that dial others over WebSocket: in browsers, and on Bun, Deno and Node. They can't be dialled
 * themselves and so are leaves: they use all that the cluster has, and are given processes only with
 * `host: true`. Servers are in `websocket-server.ts`, and `websocket-hono.ts` for an app that there is already.
 *
 * A node is a full member: whoever knows the cookie is trusted. What only users should see belongs behind
 * the functions of a server, and not into their browsers.
 *
 * @example
 * ```ts
 * import { startNode } from "skein"
 * import { webSocket } from "skein/transports/websocket"
 *
 * await using node = await startNode({
 *   transport: webSocket(),
 *   connect: ["wss://example.org/skein"],
 *   cookie: "secret",
 * })
 * ```
 *
 * @module
 */
import type { Transport } from "../src/transport.ts"
import { dial, type WebSocketClass } from "./socket/dial.ts"

export type { WebSocketClass } from "./socket/dial.ts"

/** Options of {@link webSocket}. */
export interface WebSocketOptions {
  /**
   * What to dial with. Default: the host's own. Node has none before version 22, and Deno's own takes 44 ms for what
   * is neither short nor long: give them that of the package `ws`.
   */
  readonly WebSocket?: WebSocketClass
  /** Subprotocols to ask for. Default: none. */
  readonly protocols?: ReadonlyArray<string>
  /**
   * Whether what nodes say is sealed, so that nobody on the way can change it; it is unless both ends say false.
   * Default: where it leaves this machine and isn't encrypted.
   */
  readonly seal?: boolean
  /** Bytes of one connection that may be ahead of the reader. At least, and by default, 1 MiB. */
  readonly windowBytes?: number
  /** Bytes of one message that are accepted. Default: 1 MiB. */
  readonly messageBytesMax?: number
  /** How long a dial may take. Milliseconds; default 5,000. */
  readonly connectTimeoutMillis?: number
}

/**
 * A transport that dials `ws://` and `wss://`, and can't be dialled.
 *
 * @throws TypeError when there is no WebSocket
 */
export function webSocket(options: WebSocketOptions = {}): Transport {
  const { WebSocket = (globalThis as { WebSocket?: WebSocketClass }).WebSocket } = options
  if (WebSocket === undefined)
    throw new TypeError("this host has no WebSocket: give webSocket({ WebSocket }) that of `ws`")
  return {
    kind: "websocket",
    trusted: false,
    leaf: true,
    listen: async () => ({ address: "", close: async () => {} }),
    dial: (address, signal) => dial(address, signal, { ...options, WebSocket }),
  }
}
