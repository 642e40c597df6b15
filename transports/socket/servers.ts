/**
 * The servers for WebSockets of Bun, and of Node and Deno, each as little as it takes.
 *
 * (Deno's own ends its connections when it stops to listen.)
 *
 * @module
 */
import type { Connection } from "../../src/transport.ts"
import { Wire, type WireOptions } from "./wire.ts"

/** Where to listen. */
export interface Place {
  readonly port: number
  readonly host: string
  readonly tls: { readonly key: string; readonly cert: string } | undefined
  readonly messageBytesMax: number
}

/** What becomes of those who come. */
export interface Accept {
  readonly wire: Omit<WireOptions, "remote" | "secure">
  /** Whether nobody else can change what comes from there. */
  readonly secure: (remote: string) => boolean
  readonly connected: (connection: Connection) => void
  /** The HTTP status with which a request is refused; undefined when it isn't. */
  readonly judge: (
    url: string,
    origin: string | null | undefined,
    host: string | null | undefined,
  ) => number | undefined
}

/** A server that listens. */
export interface Server {
  readonly port: number
  /** Listens no more; connections live on. */
  close(): Promise<void>
}

// --- Bun -----------------------------------------------------------------------------------------

interface BunSocket {
  readonly data: { wire: Wire | undefined }
  readonly remoteAddress: string
  send(bytes: Uint8Array): number
  close(code?: number, reason?: string): void
  terminate(): void
}

interface BunServer {
  readonly port: number
  upgrade(request: Request, options: { readonly data: BunSocket["data"] }): boolean
  stop(): Promise<void>
}

interface BunHost {
  serve(options: {
    readonly port: number
    readonly hostname: string
    readonly tls?: Place["tls"]
    readonly fetch: (request: Request, server: BunServer) => Response | undefined
    readonly websocket: {
      readonly maxPayloadLength: number
      readonly idleTimeout: number
      readonly open: (socket: BunSocket) => void
      readonly message: (socket: BunSocket, data: unknown) => void
      readonly close: (socket: BunSocket) => void
    }
  }): BunServer
}

/** Bun's own. Throws when it can't listen. */
export async function bun(
  { port, host, tls, messageBytesMax }: Place,
  to: Accept,
): Promise<Server> {
  const { Bun } = globalThis as unknown as { Bun: BunHost }
  const server = Bun.serve({
    port,
    hostname: host,
    ...(tls === undefined ? {} : { tls }),
    fetch: (request, server) => {
      const status = judge(to, request)
      if (status !== undefined) return new Response(null, { status })
      if (server.upgrade(request, { data: { wire: undefined } })) return undefined
      return new Response(null, { status: 426 })
    },
    websocket: {
      maxPayloadLength: messageBytesMax,
      // Whether a quiet peer is there is for the membership to say.
      idleTimeout: 0,
      open: (socket) => {
        const { remoteAddress: remote } = socket
        const wire = new Wire(
          {
            send: (bytes) => void socket.send(bytes),
            close: (code, reason) => socket.close(code, reason),
            terminate: () => socket.terminate(),
          },
          { ...to.wire, remote, secure: to.secure(remote) },
        )
        socket.data.wire = wire
        to.connected(wire.stream)
      },
      message: ({ data }, message) => data.wire?.message(message),
      close: ({ data }) => data.wire?.closed(),
    },
  })
  return {
    port: server.port,
    close: async () => {
      // (What it returns waits for the connections.)
      void server.stop()
    },
  }
}

// --- Node and Deno -------------------------------------------------------------------------------

/** `node:http` and the package `ws`. Rejects when it can't listen. */
export async function node(
  { port, host, tls, messageBytesMax }: Place,
  to: Accept,
): Promise<Server> {
  const [http, https, { WebSocketServer }] = await Promise.all([
    import("node:http"),
    import("node:https"),
    import("ws"),
  ])
  const refuse = (_: unknown, response: { writeHead(status: number): { end(): void } }): void =>
    void response.writeHead(426).end()
  const server = tls === undefined ? http.createServer(refuse) : https.createServer(tls, refuse)
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
  })
  server.on("upgrade", (request, raw, head) => {
    const { origin, host: requested } = request.headers
    const status = to.judge(request.url ?? "/", origin, requested)
    raw.on("error", () => {})
    if (status !== undefined)
      return raw.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`)
    sockets.handleUpgrade(request, raw, head, (socket) => {
      socket.binaryType = "arraybuffer"
      const remote = `${request.socket.remoteAddress}:${request.socket.remotePort}`
      const wire = new Wire(
        {
          send: (bytes) => socket.send(bytes),
          close: (code, reason) => socket.close(code, reason),
          terminate: () => socket.terminate(),
        },
        { ...to.wire, remote, secure: to.secure(request.socket.remoteAddress ?? "") },
      )
      socket.on("message", (data, binary) => wire.message(binary ? data : data.toString()))
      socket.on("error", () => {})
      socket.on("close", () => wire.closed())
      to.connected(wire.stream)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, () => {
      server.off("error", reject)
      resolve()
    })
  })
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: async () => {
      // (What it tells waits for the connections.)
      server.close()
    },
  }
}

function judge({ judge }: Accept, { url, headers }: Request): number | undefined {
  return judge(url, headers.get("origin"), headers.get("host"))
}
