import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Hono, type MiddlewareHandler } from "hono"
import { startNode } from "../../mod.ts"
import type { Transport } from "../../src/transport.ts"
import { webSocket } from "../../transports/websocket.ts"
import { webSocketRoute } from "../../transports/websocket-hono.ts"
import { settled } from "../runtime/cluster.ts"
import { behind } from "./app.ts"
import { conformance } from "./conformance.ts"
import { listen, never, rejection } from "./side.ts"
import { client } from "./websockets.ts"

conformance("webSocketRoute", async () => {
  const spare = await Promise.all(Array.from({ length: 100 }, () => behind()))
  return {
    transport: () => spare.pop() as Transport,
    // (The address is the app's business.)
    absent: "ws://127.0.0.1:1/cluster",
    garbage: ["", "ws://", "127.0.0.1:1", "http://127.0.0.1/"],
  }
})

/** Lets in who has the key in the query, as browsers can't set headers. */
const key: MiddlewareHandler = async (context, next) => {
  if (context.req.query("key") !== "open") return context.text("who are you?", 401)
  await next()
}

describe("webSocketRoute", () => {
  test("the app's own middleware decides before it", async () => {
    const transport = await behind(0, key)
    const listening = await listen({ transport: () => transport })
    const { address } = listening.listener
    const stranger = await rejection(transport.dial(address, never))
    assert.equal((stranger as { reason?: string }).reason, "unreachable")
    const friend = await transport.dial(`${address}?key=open`, never)
    await listening.next()
    friend.destroy()
    await listening.listener.close()
  })

  test("while no node listens it isn't there, and one node at a time does", async () => {
    const upgraded: Array<string> = []
    const route = webSocketRoute({
      upgradeWebSocket: () => async () => {
        upgraded.push("yes")
        return new Response(null, { status: 200 })
      },
      url: "ws://example.org/x",
      origins: ["https://good.example"],
    })
    const app = new Hono().get("/x", route.handler)
    const ask = async (origin?: string): Promise<number> => {
      const headers = { host: "example.org", ...(origin === undefined ? {} : { origin }) }
      return (await app.request("http://example.org/x", { headers })).status
    }
    assert.equal(await ask(), 503)
    const listener = await route.transport.listen(() => {})
    assert.equal(listener.address, "ws://example.org/x")
    await assert.rejects(
      route.transport.listen(() => {}),
      { _tag: "AddressUnavailable" },
    )
    assert.equal(await ask(), 200)
    assert.equal(await ask("https://good.example"), 200)
    assert.equal(await ask("http://example.org"), 403)
    await listener.close()
    assert.equal(await ask(), 503)
    assert.equal(upgraded.length, 2)
    assert.equal(
      webSocketRoute({ upgradeWebSocket: () => async () => undefined }).transport.leaf,
      true,
    )
  })

  test("a node behind it has members that dial through the middleware", async () => {
    const options = { timing: "local", cookie: "secret" } as const
    await using a = await startNode({ ...options, name: "a", transport: await behind(0, key) })
    await using b = await startNode({
      ...options,
      name: "b",
      transport: webSocket({ WebSocket: await client() }),
      connect: [`${a.address}?key=open`],
    })
    await settled([a, b])
  })
})
