/**
 * Dialling a WebSocket, with the host's own or another one that is like it.
 *
 * @module
 */
import { type Connection, type DialFailure, PeerUnreachable } from "../../src/transport.ts"
import { isSecure } from "./secure.ts"
import { Wire } from "./wire.ts"

/** The class of the host's WebSockets, or one like it. */
export type WebSocketClass = new (
  url: string,
  protocols?: Array<string>,
) => {
  binaryType: string
  send(bytes: Uint8Array<ArrayBuffer>): void
  close(code?: number, reason?: string): void
  terminate?(): void
  onopen: ((event: never) => void) | null
  onmessage: ((event: never) => void) | null
  onerror: ((event: never) => void) | null
  onclose: ((event: never) => void) | null
}

/** How to dial; see `WebSocketOptions`. */
export interface DialOptions {
  readonly WebSocket: WebSocketClass
  readonly protocols?: ReadonlyArray<string>
  readonly seal?: boolean
  readonly windowBytes?: number
  readonly messageBytesMax?: number
  readonly connectTimeoutMillis?: number
}

const CONNECT_TIMEOUT_MILLIS = 5_000

/** Opens a connection to a server's address; see `Transport.dial`. */
export function dial(
  address: string,
  signal: AbortSignal,
  options: DialOptions,
): Promise<Connection> {
  return new Promise((resolve, reject) => {
    const fail = (reason: DialFailure, cause?: unknown): void => {
      over()
      reject(new PeerUnreachable(address, reason, cause))
    }
    if (!isAddress(address)) return reject(new PeerUnreachable(address, "invalid-address"))
    if (signal.aborted) return reject(new PeerUnreachable(address, "aborted", signal.reason))
    const { WebSocket, protocols = [], seal } = options
    const { windowBytes, messageBytesMax, connectTimeoutMillis } = options
    const socket = new WebSocket(address, [...protocols])
    socket.binaryType = "arraybuffer"
    const give = (reason: DialFailure): void => {
      fail(reason, signal.reason)
      quit()
    }
    const quit = (): void => {
      socket.onopen = quit
      socket.onerror = () => {}
      socket.close()
    }
    const aborted = (): void => give("aborted")
    const timeout = setTimeout(
      () => give("timeout"),
      Math.min(connectTimeoutMillis ?? CONNECT_TIMEOUT_MILLIS, 0x7fff_ffff),
    )
    const over = (): void => {
      clearTimeout(timeout)
      signal.removeEventListener("abort", aborted)
    }
    signal.addEventListener("abort", aborted)
    let problem: unknown
    socket.onerror = (event: { readonly error?: unknown; readonly message?: string }) => {
      problem = event.error instanceof Error ? event.error : new Error(event.message ?? "failed")
    }
    socket.onclose = () => fail(reasonOf(problem), problem)
    socket.onopen = () => {
      over()
      const wire = new Wire(
        {
          send: (bytes) => socket.send(bytes as Uint8Array<ArrayBuffer>),
          close: (code, reason) => socket.close(code, reason),
          terminate: socket.terminate?.bind(socket),
        },
        {
          remote: address,
          secure: isSecure(address.startsWith("wss:"), seal, new URL(address).hostname),
          windowBytes,
          messageBytesMax,
        },
      )
      socket.onmessage = ({ data }: { readonly data: unknown }) => wire.message(data)
      socket.onerror = () => {}
      socket.onclose = () => wire.closed()
      resolve(wire.stream)
    }
  })
}

function isAddress(address: string): boolean {
  if (!/^wss?:\/\/[^\s]+$/.test(address)) return false
  try {
    return new URL(address).hash === ""
  } catch {
    return false
  }
}

/** Browsers don't say why. Elsewhere a host on which nobody listens is told from one that isn't there. */
function reasonOf(problem: unknown): DialFailure {
  const { code, message = "" } = (problem ?? {}) as { code?: unknown; message?: string }
  const refused =
    code === "ECONNREFUSED" || /ECONNREFUSED|connection refused|tcp connect/i.test(message)
  return refused ? "refused" : "unreachable"
}
