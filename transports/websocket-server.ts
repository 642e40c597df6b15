/**
 * Nodes that are servers for WebSockets, and dial others over them too, on Bun, Deno and Node. On Node
 * and Deno it takes the package `ws`. For an app that there is already see `websocket-hono.ts`.
 *
 * @example
 * ```ts
 * import { startNode } from "skein"
 * import { webSocketServer } from "skein/transports/websocket-server"
 *
 * await using node = await startNode({
 *   transport: webSocketServer({ port: 7001, origins: ["https://example.org"] }),
 *   cookie: "secret",
 * })
 * ```
 *
 * @module
 */
import {
  AddressUnavailable,
  type Connection,
  type Listener,
  type Transport,
} from "../src/transport.ts"
import { dial, type WebSocketClass } from "./socket/dial.ts"
import { allowed } from "./socket/origin.ts"
import { isSecure } from "./socket/secure.ts"
import { type Accept, bun, node, type Server } from "./socket/servers.ts"
import { MESSAGE_BYTES_MAX } from "./socket/wire.ts"

/** Options of {@link webSocketServer}. */
export interface WebSocketServerOptions {
  /** The port to listen on; 0 lets the system choose one, which the listener's address tells. */
  readonly port: number
  /** The interface to listen on: an IP address or a name. Default: `"127.0.0.1"`. */
  readonly host?: string
  /** The path of the one resource that the server has. Default: `"/skein"`. */
  readonly path?: string
  /** The whole address that others dial, behind a proxy say: `"wss://example.org/skein"`. Default: by the above. */
  readonly advertise?: string
  /** PEM texts; with them it is `wss://`. Default: none. */
  readonly tls?: { readonly key: string; readonly cert: string }
  /**
   * The origins of the pages that may connect, or `"*"` for all. Default: pages from this host and port. Who
   * sends no origin, as servers don't, may connect: the cookie decides.
   */
  readonly origins?: ReadonlyArray<string> | "*"
  /**
   * Whether what nodes say is sealed, so that nobody on the way can change it; it is unless both ends say false.
   * Default: where it leaves this machine and isn't encrypted.
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
}

const HOST = "127.0.0.1"
const PATH = "/skein"
const PING_MILLIS = 25_000

/** A transport that listens for WebSockets and dials them. */
export function webSocketServer(options: WebSocketServerOptions): Transport {
  return {
    kind: "websocket",
    trusted: false,
    listen: (accept) => listen(options, accept),
    dial: async (address, signal) =>
      dial(address, signal, { ...options, WebSocket: await client() }),
  }
}

async function listen(
  options: WebSocketServerOptions,
  accept: (connection: Connection) => void,
): Promise<Listener> {
  const { port, host = HOST, path = PATH, tls, advertise, origins, seal } = options
  const { windowBytes, messageBytesMax = MESSAGE_BYTES_MAX, pingMillis = PING_MILLIS } = options
  const scheme = tls === undefined ? "ws" : "wss"
  const name = host.includes(":") ? `[${host}]` : host
  const wires: Accept = {
    wire: { windowBytes, messageBytesMax, pingMillis },
    secure: (remote) => isSecure(tls !== undefined, seal, remote),
    connected: accept,
    judge: (url, origin, requested) => {
      if (new URL(url, "http://localhost").pathname !== path) return 404
      return allowed(origin, requested, origins) ? undefined : 403
    },
  }
  const serve = "Bun" in globalThis ? bun : node
  let server: Server
  try {
    server = await serve({ port, host, tls, messageBytesMax }, wires)
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new AddressUnavailable(`${scheme}://${name}:${port}${path}`, problem, error)
  }
  return {
    address: advertise ?? `${scheme}://${name}:${server.port}${path}`,
    close: () => server.close(),
  }
}

/** What this host dials with. Deno's own takes 44 ms for what is neither short nor long: it waits for an ACK within. */
async function client(): Promise<WebSocketClass> {
  const { WebSocket } = "Deno" in globalThis ? {} : (globalThis as { WebSocket?: WebSocketClass })
  return WebSocket ?? ((await import("ws")).WebSocket as unknown as WebSocketClass)
}
