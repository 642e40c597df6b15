/**
 * A Hono app on whatever runs the tests.
 *
 * @module
 */
import { Hono, type MiddlewareHandler } from "hono"
import type { Transport } from "../../src/transport.ts"
import { type WebSocketRoute, webSocketRoute } from "../../transports/websocket-hono.ts"
import { client } from "./websockets.ts"

/** An app that serves. */
interface Served {
  readonly port: number
  stop(): void
}

/** What hosts have in common of it. */
interface Host {
  /** The cluster's route of the app; `url` is only known once it serves. */
  readonly route: (app: Hono, url: string, ...before: Array<MiddlewareHandler>) => WebSocketRoute
  readonly serve: (app: Hono, port: number) => Promise<Served>
}

/** A transport behind the route `/cluster` of an app of its own, with `before` in front of it. */
export async function behind(port = 0, ...before: Array<MiddlewareHandler>): Promise<Transport> {
  const dialling = await client()
  let served: Served | undefined
  let listening = false
  return {
    kind: "websocket",
    trusted: false,
    listen: async (accept) => {
      if (listening) throw new Error("BUG: it listens")
      const app = new Hono()
      const { route, serve } = await host()
      const { transport } = route(app, "", ...before)
      const server = await serve(app, port)
      served = server
      listening = true
      const listener = await transport.listen(accept)
      return {
        address: `ws://127.0.0.1:${server.port}/cluster`,
        close: async () => {
          await listener.close()
          served?.stop()
          listening = false
        },
      }
    },
    dial: (address, signal) =>
      webSocketRoute({
        upgradeWebSocket: () => async () => undefined,
        WebSocket: dialling,
      }).transport.dial(address, signal),
  }
}

async function host(): Promise<Host> {
  if ("Bun" in globalThis) return bun()
  return "Deno" in globalThis ? deno() : node()
}

async function bun(): Promise<Host> {
  const { upgradeWebSocket, websocket } = await import("hono/bun")
  interface BunHost {
    serve(options: object): { readonly port: number; stop(): Promise<void> }
  }
  const { Bun } = globalThis as unknown as { Bun: BunHost }
  return {
    route: (app, url, ...before) => {
      const route = webSocketRoute({ upgradeWebSocket, url })
      for (const middleware of before) app.use("/cluster", middleware)
      app.get("/cluster", route.handler)
      return route
    },
    serve: async (app, port) => {
      const server = Bun.serve({ port, hostname: "127.0.0.1", fetch: app.fetch, websocket })
      return { port: server.port, stop: () => void server.stop() }
    },
  }
}

async function deno(): Promise<Host> {
  const { upgradeWebSocket } = await import("hono/deno")
  interface DenoHost {
    serve(options: object, handler: unknown): { addr: { port: number }; shutdown(): Promise<void> }
  }
  const { Deno } = globalThis as unknown as { Deno: DenoHost }
  return {
    route: (app, url, ...before) => {
      const route = webSocketRoute({ upgradeWebSocket, url })
      for (const middleware of before) app.use("/cluster", middleware)
      app.get("/cluster", route.handler)
      return route
    },
    serve: async (app, port) => {
      const options = { port, hostname: "127.0.0.1", onListen: () => {} }
      const server = Deno.serve(options, app.fetch)
      return { port: server.addr.port, stop: () => void server.shutdown() }
    },
  }
}

async function node(): Promise<Host> {
  const [{ serve }, { createNodeWebSocket }] = await Promise.all([
    import("@hono/node-server"),
    import("@hono/node-ws"),
  ])
  let inject: (server: never) => void = () => {}
  return {
    route: (app, url, ...before) => {
      const { upgradeWebSocket, injectWebSocket } = createNodeWebSocket({ app })
      inject = injectWebSocket as (server: never) => void
      const route = webSocketRoute({ upgradeWebSocket, url })
      for (const middleware of before) app.use("/cluster", middleware)
      app.get("/cluster", route.handler)
      return route
    },
    serve: (app, port) =>
      new Promise((resolve) => {
        const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port }, (info) => {
          resolve({ port: info.port, stop: () => void server.close() })
        })
        inject(server as never)
      }),
  }
}
