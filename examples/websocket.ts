/**
 * A cluster behind a route of an app that there is already, with the app's own middleware in front of it: who may
 * connect, and how often. `bun examples/websocket.ts` plays the server and three clients, and ends by itself.
 *
 * @module
 */
import { Hono, type MiddlewareHandler } from "hono"
import { upgradeWebSocket, websocket } from "hono/bun"
import { type Node, Process, startNode } from "skein"
import { webSocket } from "skein/transports/websocket"
import { webSocketRoute } from "skein/transports/websocket-hono"

const Room = Process.define("Room", {
  state: (): { readonly guests: Array<string> } => ({ guests: [] }),
  calls: {
    enter: (self, guest: string) => {
      self.state.guests.push(guest)
      return self.state.guests.join(", ")
    },
  },
})

/** Whoever has a ticket may connect. (Browsers can't set headers for a WebSocket: it is in the address.) */
const tickets = new Set(["ada", "grace"])
const admission: MiddlewareHandler = async (context, next) => {
  if (!tickets.has(context.req.query("ticket") ?? "")) return context.text("no ticket", 401)
  await next()
}

/** At most so many connections per minute and address, for all tickets together here. */
function limit(perMinute: number): MiddlewareHandler {
  let since = Date.now()
  let count = 0
  return async (context, next) => {
    if (Date.now() - since > 60_000) [since, count] = [Date.now(), 0]
    if (++count > perMinute) return context.text("too many", 429)
    await next()
  }
}

const route = webSocketRoute({ upgradeWebSocket })
const app = new Hono()
  .get("/", (context) => context.text("the app's own pages"))
  .use("/cluster", limit(100), admission)
  .get("/cluster", route.handler)

interface Bun {
  serve(options: object): { readonly port: number; stop(force: boolean): Promise<void> }
}
const { Bun } = globalThis as unknown as { Bun: Bun }
const http = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: app.fetch, websocket })
const url = `ws://127.0.0.1:${http.port}/cluster`

const cookie = "a secret that all nodes share"
const processes = [Room]
const server = await startNode({
  name: "server",
  transport: route.transport,
  cookie,
  processes,
  // Nobody dials it by its address here, and it is given processes all the same.
  host: true,
})

/** As a browser would. */
function client(name: string): Promise<Node> {
  const transport = webSocket()
  return startNode({ name, transport, cookie, processes, connect: [`${url}?ticket=${name}`] })
}

const [ada, grace, eve] = await Promise.all(["ada", "grace", "eve"].map(client))
const room = await ada!.start(Room, "lobby")
await room.enter("Ada")
console.log("in the lobby:", await grace!.ref(Room, "lobby").enter("Grace"))
console.log("it lives on", ada!.whereis(Room, "lobby")?.node)
const members = server.members().map(({ name }) => name)
console.log("members:", members.join(", "), "· eve has no ticket")

await Promise.all([ada!.stop(), grace!.stop(), eve!.stop()])
await server.stop()
await http.stop(true)
