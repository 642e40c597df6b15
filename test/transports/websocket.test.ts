import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { type Node, Process, startNode } from "../../mod.ts"
import type { Transport } from "../../src/transport.ts"
import { webSocket } from "../../transports/websocket.ts"
import { type WebSocketServerOptions, webSocketServer } from "../../transports/websocket-server.ts"
import { settled } from "../runtime/cluster.ts"
import { node as certificate } from "./certificates.ts"
import { conformance } from "./conformance.ts"
import { asText, listen, never, rejection, Side, text } from "./side.ts"
import { client } from "./websockets.ts"

const garbage = [
  "",
  "ws://",
  "127.0.0.1:1",
  "http://127.0.0.1:1/",
  "ws://x/#y",
  "ws://a b/",
  "tcp:1",
]

conformance("webSocketServer", async () => ({
  transport: () => webSocketServer({ port: 0 }),
  sameAddress: (address) => webSocketServer({ port: Number(new URL(address).port) }),
  absent: "ws://127.0.0.1:1/skein",
  garbage,
}))

describe("webSocket", () => {
  test("only dials, and so is a leaf", async () => {
    const transport = webSocket({ WebSocket: await client() })
    const listener = await transport.listen(() => {})
    assert.deepEqual([listener.address, transport.leaf, transport.trusted], ["", true, false])
    const listening = await listen({ transport: () => webSocketServer({ port: 0 }) })
    const side = new Side(await transport.dial(listening.listener.address, never))
    side.attach()
    const other = await listening.next()
    other.attach()
    side.connection.write(text("ping"))
    assert.equal(asText(await other.bytes(4)), "ping")
    other.connection.close()
    assert.equal(await side.closed, "ended")
    assert.equal(await other.closed, "ended")
    await listening.listener.close()
  })
})

/** Opens a raw WebSocket; what it was closed with, once it is. */
async function raw(
  address: string,
  headers: Record<string, string> = {},
): Promise<{
  readonly socket: { send(data: string | Uint8Array<ArrayBuffer>): void; close(): void }
  readonly opened: Promise<boolean>
  readonly closed: Promise<number>
  readonly messages: AsyncIterableIterator<Uint8Array>
}> {
  const { WebSocket } = await import("ws")
  const socket = new WebSocket(address, { headers })
  const opened = new Promise<boolean>((resolve) => {
    socket.on("open", () => resolve(true))
    socket.on("error", () => resolve(false))
  })
  const closed = new Promise<number>((resolve) => {
    socket.on("close", (code) => resolve(code))
  })
  const queue: Array<Uint8Array> = []
  let wake = (): void => {}
  socket.on("message", (data) => {
    queue.push(new Uint8Array(data as Buffer))
    wake()
  })
  async function* messages(): AsyncIterableIterator<Uint8Array> {
    for (;;) {
      while (queue.length > 0) yield queue.shift() as Uint8Array
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { socket, opened, closed, messages: messages() }
}

async function server(options: Partial<WebSocketServerOptions> = {}) {
  return listen({ transport: () => webSocketServer({ port: 0, ...options }) })
}

describe("webSocketServer", () => {
  test("addresses are told as they are dialled, or as is said", async () => {
    const forms: ReadonlyArray<[Partial<WebSocketServerOptions>, RegExp]> = [
      [{}, /^ws:\/\/127\.0\.0\.1:\d+\/skein$/],
      [{ host: "localhost", path: "/x/y" }, /^ws:\/\/localhost:\d+\/x\/y$/],
      [{ host: "::1" }, /^ws:\/\/\[::1\]:\d+\/skein$/],
      [{ advertise: "wss://example.org/c" }, /^wss:\/\/example\.org\/c$/],
    ]
    for (const [options, form] of forms) {
      const { listener } = await server(options)
      assert.match(listener.address, form)
      await listener.close()
    }
  })

  test("pages connect from the same host, or from where is said; others always", async () => {
    const cases: ReadonlyArray<[WebSocketServerOptions["origins"], string | undefined, boolean]> = [
      [undefined, undefined, true],
      [undefined, "http://HOST", true],
      [undefined, "https://evil.example", false],
      [undefined, "null", false],
      [["https://good.example"], "https://good.example", true],
      [["https://good.example"], "http://HOST", false],
      [[], undefined, true],
      ["*", "https://evil.example", true],
    ]
    for (const [origins, origin, welcome] of cases) {
      const { listener } = await server(origins === undefined ? {} : { origins })
      const { host } = new URL(listener.address)
      const headers = origin === undefined ? {} : { Origin: origin.replace("HOST", host) }
      const { opened, socket } = await raw(listener.address, headers)
      assert.equal(await opened, welcome, `${origins} ${origin}`)
      socket.close()
      await listener.close()
    }
  })

  test("only its path is there, and only for WebSockets", async () => {
    const { listener } = await server()
    const url = new URL(listener.address)
    const elsewhere = await raw(`ws://${url.host}/other`)
    assert.equal(await elsewhere.opened, false)
    const get = await fetch(`http://${url.host}/skein`)
    assert.equal(get.status, 426)
    await get.text()
    await listener.close()
  })

  test("texts, messages that mean nothing and too large ones end a connection", async () => {
    const { listener, next } = await server({ messageBytesMax: 1_000 })
    const large = new Uint8Array(1_001)
    for (const message of [
      "text",
      new Uint8Array(0),
      new Uint8Array([9]),
      new Uint8Array([1, 2]),
      large,
    ]) {
      const { socket, opened, closed } = await raw(listener.address)
      assert.equal(await opened, true)
      const side = await next()
      side.attach()
      socket.send(message)
      assert.equal(await side.closed, "reset")
      const code = await closed
      assert.ok([1003, 1006, 1009].includes(code), `${code}`)
    }
    await listener.close()
  })

  test("a quiet connection is kept from being cut", async () => {
    const { listener, next } = await server({ pingMillis: 1 })
    const { messages, opened, socket, closed } = await raw(listener.address)
    assert.equal(await opened, true)
    const side = await next()
    side.attach()
    const seen: Array<number | undefined> = []
    for await (const message of messages) {
      seen.push(message[0])
      if (seen.length === 3) break
    }
    assert.deepEqual(seen, [4, 4, 4])
    socket.close()
    await Promise.all([closed, side.closed])
    await listener.close()
  })

  test("over TLS", async () => {
    const { key, cert } = certificate
    const transport = webSocketServer({ port: 0, host: "localhost", tls: { key, cert } })
    const listener = await transport.listen(() => {})
    assert.match(listener.address, /^wss:\/\/localhost:/)
    // Nobody vouches for it.
    const error = await rejection(transport.dial(listener.address, never))
    assert.equal((error as { reason?: string }).reason, "unreachable")
    await listener.close()
  })

  test("a dial that the server refuses is told from one that nobody answers", async () => {
    const { listener } = await server()
    const transport = webSocketServer({ port: 0 })
    const { host } = new URL(listener.address)
    const wrong = await rejection(transport.dial(`ws://${host}/wrong`, never))
    assert.equal((wrong as { reason?: string }).reason, "unreachable")
    await listener.close()
  })

  test("nodes: two servers and a client share everything", async () => {
    const Echo = Process.define("Echo", {
      state: () => ({}),
      calls: { echo: (_self, text: string) => text },
    })
    const options = { processes: [Echo], timing: "local", cookie: "secret" } as const
    const start = (
      name: string,
      transport: Transport,
      connect: ReadonlyArray<string>,
    ): Promise<Node> => startNode({ ...options, name, transport, connect })
    await using a = await start("a", webSocketServer({ port: 0 }), [])
    await using b = await start("b", webSocketServer({ port: 0 }), [a.address])
    await using c = await start("c", webSocket({ WebSocket: await client() }), [a.address])
    await using d = await start("d", webSocket({ WebSocket: await client() }), [a.address])
    await settled([a, b, c, d])
    const echoes = await Promise.all(Array.from({ length: 20 }, (_, i) => c.start(Echo, `${i}`)))
    const large = "x".repeat(3_000_000)
    for (const [i, echo] of echoes.entries()) assert.equal(await echo.echo(`${i}`), `${i}`)
    assert.equal(await echoes[0]?.echo(large), large)
    const places = new Set(echoes.map((_, i) => c.nodeFor(Echo, `${i}`)))
    assert.deepEqual([...places].sort(), ["a", "b"])
    // Two clients have each other through a server.
    assert.equal(c.members().find(({ name }) => name === "d")?.via?.length, 1)
    await c.group("all", Echo).join(await c.spawn(Echo))
    const events = d.group("all", Echo).events()
    if (d.group("all", Echo).count === 0) await events.next()
    await events.return?.()
    const { replies } = await d.group("all", Echo).all.echo("hi")
    assert.deepEqual(
      replies.map(({ value }) => value),
      ["hi"],
    )
  })
})
