/**
 * What this host dials WebSockets with.
 *
 * @module
 */
import type { WebSocketClass } from "../../transports/websocket.ts"

/** The host's own, or that of the package `ws` on Node 20. */
export async function client(): Promise<WebSocketClass> {
  const { WebSocket } = globalThis as { WebSocket?: WebSocketClass }
  return WebSocket ?? ((await import("ws")).WebSocket as unknown as WebSocketClass)
}
