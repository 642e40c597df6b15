/**
 * Nodes that talk over TCP, with or without TLS, on Bun, Deno and Node.
 *
 * By default it listens on loopback only. To be reached from other machines, give a `host` to listen
 * on and, where that isn't the address others dial (`0.0.0.0`, a container, a NAT), an `advertise`.
 *
 * @example
 * ```ts
 * import { tcp, type TlsOptions } from "skein/transports/tcp"
 *
 * declare const tls: TlsOptions // key, cert, ca, requestCert: true
 * const here = tcp({ port: 7001 }) // this machine only
 * const there = tcp({ port: 7001, host: "0.0.0.0", advertise: "10.0.0.5" }) // dialled at 10.0.0.5:7001
 * const secure = tcp({ port: 7001, host: "::", advertise: "a.example.org", tls })
 * ```
 *
 * @module
 */
import * as net from "node:net"
import * as tls from "node:tls"
import {
  AddressUnavailable,
  type CloseReason,
  type Connection,
  type DialFailure,
  type Handlers,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../src/transport.ts"
import { isSecure } from "./socket/secure.ts"

/**
 * Options of `node:tls`, for listening and dialling alike. `requestCert: true` makes it mutual: then
 * a connection without a certificate that `ca` vouches for is never accepted.
 */
export type TlsOptions = tls.TlsOptions &
  Pick<tls.ConnectionOptions, "servername" | "checkServerIdentity">

/** Options of {@link tcp}. */
export interface TcpOptions {
  /** The port to listen on; 0 lets the system choose one, which the listener's address tells. */
  readonly port: number
  /** The interface to listen on: an IP address or a name. Default: `"127.0.0.1"`. */
  readonly host?: string
  /**
   * What others dial, with or without a port: `"10.0.0.5"`, `"a.example.org:7001"`, `"[fd00::5]"`.
   * Default: `host`. Needed when `host` stands for every interface (`0.0.0.0`, `::`).
   */
  readonly advertise?: string
  /** Encrypts everything; both sides must. Default: none. */
  readonly tls?: TlsOptions
  /**
   * Whether what nodes say is sealed, so that nobody on the way can change it; it is unless both ends say false.
   * Default: where it leaves this machine and isn't encrypted.
   */
  readonly seal?: boolean
  /** Unsent bytes of one connection from which `write` says false. Default: 1 MiB. */
  readonly highWaterBytes?: number
  /** How long a dial, with its TLS handshake, may take. Default: 5,000. */
  readonly connectTimeoutMillis?: number
  /**
   * Told of failures that belong to nobody's connection: TLS handshakes that strangers failed, and the
   * system's refusals to accept more. Default: nobody is.
   */
  readonly onError?: (error: Error) => void
}

const HOST = "127.0.0.1"
const HIGH_WATER_BYTES = 1024 * 1024
const CONNECT_TIMEOUT_MILLIS = 5000
const KEEP_ALIVE_MILLIS = 15_000
/** How long the other side may take to read what was written before `close`. */
const LINGER_MILLIS = 5000

/** A transport over TCP. */
export function tcp(options: TcpOptions): Transport {
  return {
    kind: "tcp",
    trusted: false,
    listen: (accept) => listen(options, accept),
    dial: (address, signal) => dial(options, address, signal),
  }
}

function listen(options: TcpOptions, accept: (connection: Connection) => void): Promise<Listener> {
  const host = options.host ?? HOST
  const asked = format(host, options.port)
  return new Promise((resolve, reject) => {
    const fail = (problem: string, cause?: unknown): void =>
      reject(new AddressUnavailable(asked, problem, cause))
    if (!isPort(options.port, 0)) return fail("the port is not an integer from 0 to 65535")
    if (options.advertise === undefined && isWildcard(host)) {
      return fail("it stands for every interface: say with `advertise` what others dial")
    }
    const server = serve(options, (socket) => accept(open(socket, options)))
    const failed = (error: Error): void => fail(error.message, error)
    server.once("error", failed)
    server.listen({ port: options.port, host }, () => {
      server.off("error", failed)
      server.on("error", (error: Error) => options.onError?.(error))
      const { port } = server.address() as net.AddressInfo
      resolve({ address: advertised(options, host, port), close: () => stop(server) })
    })
  })
}

function serve(options: TcpOptions, opened: (socket: net.Socket) => void): net.Server {
  if (options.tls === undefined) return net.createServer({ noDelay: true }, opened)
  const handshakeTimeout = options.connectTimeoutMillis ?? CONNECT_TIMEOUT_MILLIS
  const server = tls.createServer({ handshakeTimeout, ...options.tls }, opened)
  server.on("tlsClientError", (error) => options.onError?.(error))
  return server
}

/** Resolves once the port is free: `server.close` also waits for all connections to end. */
function stop(server: net.Server): Promise<void> {
  server.close()
  return new Promise((resolve) => setImmediate(resolve))
}

function advertised({ advertise }: TcpOptions, host: string, port: number): string {
  if (advertise === undefined) return format(host, port)
  if (parse(advertise) !== undefined) return advertise
  return format(advertise.replace(/^\[(.*)\]$/, "$1"), port)
}

function dial(options: TcpOptions, address: string, signal: AbortSignal): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const target = parse(address)
    if (target === undefined) return reject(new PeerUnreachable(address, "invalid-address"))
    if (signal.aborted) return reject(new PeerUnreachable(address, "aborted", signal.reason))

    const socket =
      options.tls === undefined
        ? net.connect({ ...target, noDelay: true })
        : tls.connect({ ...options.tls, ...target } as tls.ConnectionOptions)
    const settle = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", aborted)
      socket.off("error", failed)
      socket.off("close", closed)
    }
    const fail = (reason: DialFailure, cause?: unknown): void => {
      settle()
      socket.on("error", ignore)
      socket.destroy()
      reject(new PeerUnreachable(address, reason, cause))
    }
    const failed = (error: Error): void => fail(reasonOf(error), error)
    const closed = (): void => fail("unreachable")
    const aborted = (): void => fail("aborted", signal.reason)
    const timer = setTimeout(
      () => fail("timeout"),
      options.connectTimeoutMillis ?? CONNECT_TIMEOUT_MILLIS,
    )
    signal.addEventListener("abort", aborted)
    socket.on("error", failed)
    socket.on("close", closed)
    socket.once(options.tls === undefined ? "connect" : "secureConnect", () => {
      settle()
      resolve(open(socket, options))
    })
  })
}

function reasonOf(error: Error & { readonly code?: string }): DialFailure {
  if (error.code === "ECONNREFUSED") return "refused"
  return error.code === "ETIMEDOUT" ? "timeout" : "unreachable"
}

/** After a failure was told once: a socket may have another error to say while it is destroyed. */
function ignore(): void {}

// --- a connection --------------------------------------------------------------------------------

function open(socket: net.Socket, options: TcpOptions): Connection {
  return new Stream(socket, options)
}

class Stream implements Connection {
  readonly remote: string
  readonly secure: boolean
  readonly #socket: net.Socket
  readonly #highWaterBytes: number
  #handlers: Handlers | undefined
  /** Handlers were given, and will be served in a microtask. */
  #handing = false
  /** The last write said false. */
  #blocked = false
  /** There is room again, and nobody was there to be told. */
  #drained = false
  #closing = false
  #destroyed = false
  #lost = false
  /** Why it is over, once it is. */
  #over: CloseReason | undefined
  #told = false

  constructor(socket: net.Socket, options: TcpOptions) {
    const { tls, seal, highWaterBytes = HIGH_WATER_BYTES } = options
    this.remote = remoteOf(socket)
    this.secure = isSecure(tls !== undefined, seal, socket.remoteAddress ?? "")
    this.#socket = socket
    this.#highWaterBytes = highWaterBytes
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MILLIS)
    socket.on("data", (bytes) => this.#data(bytes))
    socket.on("drain", () => this.#drain())
    // What went wrong is in the reason of the `close` event that always follows.
    socket.on("error", () => {
      this.#lost = true
    })
    socket.on("close", () => this.#closed())
    // A socket that is paused keeps a little, and leaves the rest to the system and the other side.
    socket.pause()
  }

  write(bytes: Uint8Array): boolean {
    const socket = this.#socket
    // After `close`, or when the other side ended and the host is about to say so.
    if (!socket.writable) return false
    socket.write(bytes)
    if (socket.writableLength < this.#highWaterBytes) return true
    this.#blocked = true
    return false
  }

  receive(handlers: Handlers | undefined): void {
    this.#handlers = handlers
    if (handlers === undefined) {
      if (!this.#closing) this.#socket.pause()
    } else if (!this.#handing) {
      this.#handing = true
      queueMicrotask(this.#hand)
    }
  }

  close(): void {
    if (this.#closing || this.#over !== undefined) return
    this.#closing = true
    this.#socket.end()
    // What still comes is read and dropped: unread bytes would make the system reset the connection,
    // and so lose what we wrote last.
    this.#socket.resume()
    const linger = setTimeout(() => {
      this.#lost = true
      this.#socket.destroy()
    }, LINGER_MILLIS)
    this.#socket.once("close", () => clearTimeout(linger))
  }

  destroy(): void {
    this.#closing = true
    this.#destroyed = true
    this.#socket.destroy()
  }

  #data(bytes: Uint8Array): void {
    if (!this.#closing) this.#handlers?.data(bytes)
  }

  #drain(): void {
    if (!this.#blocked) return
    this.#blocked = false
    if (this.#handlers === undefined) this.#drained = true
    else this.#handlers.drain()
  }

  #closed(): void {
    this.#over = this.#destroyed ? "destroyed" : this.#lost ? "reset" : "ended"
    this.#tell()
  }

  #tell(): void {
    if (this.#told || this.#handlers === undefined || this.#over === undefined) return
    this.#told = true
    this.#handlers.close(this.#over)
  }

  /** Tells new handlers what happened while there were none, and lets the bytes flow. */
  readonly #hand = (): void => {
    this.#handing = false
    if (this.#drained && this.#handlers !== undefined) {
      this.#drained = false
      this.#handlers.drain()
    }
    if (this.#over !== undefined) this.#tell()
    else if (this.#handlers !== undefined) this.#socket.resume()
  }
}

// --- addresses -----------------------------------------------------------------------------------

/** `host:port`, with an IPv6 host in brackets; undefined for anything else. */
function parse(address: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^\s:/[\]@]+)):(\d{1,5})$/.exec(address)
  if (match === null) return undefined
  const port = Number(match[3])
  const host = match[1] ?? match[2]!
  if (!isPort(port, 1) || (match[1] !== undefined && !net.isIPv6(host))) return undefined
  return { host, port }
}

function format(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
}

function isPort(port: number, min: number): boolean {
  return Number.isInteger(port) && port >= min && port <= 65_535
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "" || (net.isIPv6(host) && /^[0:]*$/.test(host))
}

function remoteOf(socket: net.Socket): string {
  const host = (socket.remoteAddress ?? "unknown").replace(/^::ffff:(?=\d+\.)/, "")
  return format(host, socket.remotePort ?? 0)
}
