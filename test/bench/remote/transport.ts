/**
 * The transport that benchmarks between OS processes run over: `--transport tcp|websocket`.
 *
 * @module
 */
import type { Transport } from "../../../src/transport.ts"
import { tcp } from "../../../transports/tcp.ts"
import { webSocketServer } from "../../../transports/websocket-server.ts"

/** A node's transport, at a port of its own. */
export function transport(): Transport {
  const { BENCH_TRANSPORT: name = "tcp" } = process.env
  return name === "websocket" ? webSocketServer({ port: 0 }) : tcp({ port: 0 })
}
