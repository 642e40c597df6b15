/**
 * The transport that benchmarks between OS processes (between threads, the last) run over: `--transport tcp|tcp-sealed|websocket|broadcast-channel`.
 *
 * @module
 */
import type { Transport } from "../../../src/transport.ts"
import { broadcastChannel } from "../../../transports/broadcast-channel.ts"
import { tcp } from "../../../transports/tcp.ts"
import { webSocketServer } from "../../../transports/websocket-server.ts"

const transports: Readonly<Record<string, () => Transport>> = {
  tcp: () => tcp({ port: 0 }),
  "tcp-sealed": () => tcp({ port: 0, seal: true }),
  "broadcast-channel": () => broadcastChannel({ name: "bench" }),
  websocket: () => webSocketServer({ port: 0 }),
}

/** A node's transport, at a port of its own. */
export function transport(): Transport {
  const { BENCH_TRANSPORT: name = "tcp" } = process.env
  const make = transports[name]
  if (make === undefined) throw new Error(`--transport is one of ${Object.keys(transports)}`)
  return make()
}
