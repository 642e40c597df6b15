/**
 * A node behind a route of your own Hono app, on Bun, Deno and Node, with your own middleware in front of it:
 * authentication, rate limits, logs.
 *
 * @example
 * ```ts
 * import { Hono } from "hono"
 * import { upgradeWebSocket } from "hono/deno" // or hono/bun, or from createNodeWebSocket
 * import { startNode } from "skein"
 * import { webSocketRoute } from "skein/transports/websocket-hono"
 *
 * const cluster = webSocketRoute({ upgradeWebSocket, url: "wss://example.org/cluster" })
 * export const app = new Hono().get("/cluster", cluster.handler) // to be served as ever
 * await using node = await startNode({ transport: cluster.transport, cookie: "secret" })
 * ```
 *
 * @module
 */
import type { Context, MiddlewareHandler } from "hono"
import type { WSEvents } from "hono/ws"
import { AddressUnavailable, type Connection, type Transport } from "../src/transport.ts"
import { dial, type WebSocketClass } from "./socket/dial.ts"
import { allowed } from "./socket/origin.ts"
import { MESSAGE_BYTES_MAX, Wire } from "./socket/wire.ts"

/** What `hono/bun`, `hono/deno` and `createNodeWebSocket` of `@hono/node-ws` give as `upgradeWebSocket`. */
export type Upgrade = (events: (context: Context) => WSEvents) => MiddlewareHandler

/** Options of {@link webSocketRoute}. */
export interface WebSocketRouteOptions {
  /** Hono's, for the host that the app runs on. */
  readonly upgradeWebSocket: Upgrade
  /** Where others reach the route: `"wss://example.org/cluster"`. Default: nowhere, they can't dial this node. */
  readonly url?: string
  /** The origins of the pages that may connect, or `"*"` for all. Default: pages from the very host. */
  readonly origins?: ReadonlyArray<string> | "*"
  /**
   * Whether what nodes say is sealed, so that nobody on the way can change it; it is unless both ends say false,
   * which may be where the app is reached by `https` only. Default: true.
   */
  readonly seal?: boolean
  /** Bytes of one message that are accepted. Default: 1 MiB. */
  readonly messageBytesMax?: number
  /** Bytes of one connection that may be ahead of the reader. At least, and by default, 1 MiB. */
  readonly windowBytes?: number
  /** A connection is never quiet for longer, as proxies cut those. Milliseconds; default 25,000. */
  readonly pingMillis?: number
  /** How long a dial may take. Milliseconds; default 5,000. */
  readonly connectTimeoutMillis?: number
  /** What this node dials with: see `WebSocketOptions`. */
  readonly WebSocket?: WebSocketClass
}

/** A route, and the transport of the node behind it. */
export interface WebSocketRoute {
  /** For `app.get(path, …, handler)`. While the node doesn't listen it answers 503. */
  readonly handler: MiddlewareHandler
  readonly transport: Transport
}

const PING_MILLIS = 25_000

/** Makes a route for the node that has its `transport`. */
export function webSocketRoute(options: WebSocketRouteOptions): WebSocketRoute {
  const { upgradeWebSocket, url = "", origins, windowBytes, seal } = options
  const { messageBytesMax = MESSAGE_BYTES_MAX, pingMillis = PING_MILLIS } = options
  let accept: ((connection: Connection) => void) | undefined
  const upgrade = upgradeWebSocket((context) => {
    let wire: Wire | undefined
    return {
      onOpen: (_event, socket) => {
        const { terminate } = (socket.raw ?? {}) as { terminate?: () => void }
        const made = new Wire(
          {
            send: (bytes) => socket.send(bytes as Uint8Array<ArrayBuffer>),
            close: (code, reason) => socket.close(code, reason),
            terminate: terminate?.bind(socket.raw),
          },
          {
            remote: context.req.url,
            secure: seal === false,
            windowBytes,
            messageBytesMax,
            pingMillis,
          },
        )
        wire = made
        // Closed in the meantime.
        if (accept === undefined) made.stream.close()
        else accept(made.stream)
      },
      onMessage: ({ data }) => wire?.message(data),
      onClose: () => wire?.closed(),
      onError: () => {},
    }
  })
  const handler: MiddlewareHandler = async (context, next) => {
    const { req } = context
    if (accept === undefined) return context.text("the node isn't listening", 503)
    if (!allowed(req.header("origin"), req.header("host"), origins))
      return context.text("this origin may not connect", 403)
    return upgrade(context, next)
  }
  return {
    handler,
    transport: {
      kind: "websocket",
      trusted: false,
      leaf: url === "",
      listen: async (given) => {
        if (accept !== undefined) throw new AddressUnavailable(url, "the route is taken")
        accept = given
        return {
          address: url,
          close: async () => {
            if (accept === given) accept = undefined
          },
        }
      },
      dial: (address, signal) => {
        const { WebSocket = (globalThis as { WebSocket?: WebSocketClass }).WebSocket } = options
        if (WebSocket === undefined)
          throw new TypeError("this host has no WebSocket: give that of `ws`")
        return dial(address, signal, { ...options, WebSocket })
      },
    },
  }
}
