import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { describe, test } from "node:test"
import { type Node, Process, startNode } from "../../mod.ts"
import type { Transport } from "../../src/transport.ts"
import { broadcastChannel } from "../../transports/broadcast-channel.ts"
import { settled, until } from "../runtime/cluster.ts"
import { conformance } from "./conformance.ts"
import { asText, connect, listen, never, Side, text } from "./side.ts"

let channels = 0

/** A channel of its own. */
function fresh(): string {
  return `test-${++channels}`
}

conformance("broadcastChannel", async () => {
  const name = fresh()
  const byAddress = new Map<string, Transport>()
  return {
    transport: () => {
      const transport = broadcastChannel({ name })
      const listen = transport.listen.bind(transport)
      transport.listen = async (accept) => {
        const listener = await listen(accept)
        byAddress.set(listener.address, transport)
        return listener
      }
      return transport
    },
    // An address is taken only where it is the transport's own.
    sameAddress: (address) => byAddress.get(address) as Transport,
    absent: `broadcast:${name}/nobody`,
    garbage: [
      "",
      "broadcast:",
      `broadcast:${name}`,
      `broadcast:other/x`,
      "127.0.0.1:1",
      `broadcast:${name}/a b`,
    ],
  }
})

describe("broadcastChannel", () => {
  test("nodes on a channel find each other, and leave it as it was", async () => {
    const Echo = Process.define("Echo", {
      state: () => ({}),
      calls: { echo: (_self, x: number) => x },
    })
    const channel = fresh()
    const start = (name: string): Promise<Node> =>
      startNode({
        name,
        transport: broadcastChannel({ name: channel }),
        processes: [Echo],
        timing: "local",
      })
    await using a = await start("a")
    await using b = await start("b")
    await using c = await start("c")
    await settled([a, b, c])
    const echoes = await Promise.all(Array.from({ length: 30 }, (_, i) => b.start(Echo, `${i}`)))
    for (const [i, echo] of echoes.entries()) assert.equal(await echo.echo(i), i)
    const gone = until(b, () => b.members().find(({ name }) => name === "a")?.status === "left")
    await a.leave()
    await gone
    for (const [i, echo] of echoes.entries()) assert.equal(await echo.echo(i), i)
  })

  test("what is said in one turn, to however many, is one message", async () => {
    const name = fresh()
    const listenings = await Promise.all(
      [1, 2, 3].map(() => listen({ transport: () => broadcastChannel({ name }) })),
    )
    const dialler = broadcastChannel({ name })
    const sides: Array<Side> = []
    for (const { listener } of listenings)
      sides.push(new Side(await dialler.dial(listener.address, never)))
    const others = await Promise.all(listenings.map(({ next }) => next()))
    for (const side of [...sides, ...others]) side.attach()
    const spy = new BroadcastChannel(name)
    const posts: Array<ReadonlyArray<unknown>> = []
    const heard = new Promise<void>((resolve) => {
      spy.onmessage = ({ data }) => {
        posts.push((data as { readonly parts: ReadonlyArray<unknown> }).parts)
        resolve()
      }
    })
    for (const { connection } of sides) {
      connection.write(text("a"))
      connection.write(text("b"))
    }
    for (const other of others) assert.equal(asText(await other.bytes(2)), "ab")
    await heard
    assert.deepEqual(
      posts.map(({ length }) => length),
      [6],
    )
    spy.close()
    for (const { connection } of sides) connection.destroy()
    await Promise.all(listenings.map(({ listener }) => listener.close()))
  })

  test("what lies behind the bytes that are written stays here", async () => {
    const name = fresh()
    await using pair = await connect({ transport: () => broadcastChannel({ name }) })
    const { buffer } = await new Promise<Uint8Array>((resolve) => {
      const { connection } = pair.accepted
      connection.receive({ data: resolve, drain: () => {}, close: () => {} })
      pair.dialled.connection.write(Buffer.from(new ArrayBuffer(100), 10, 3))
    })
    assert.equal(buffer.byteLength, 3)
  })

  test("what isn't ours on the channel changes nothing, and what is missing ends the connection", async () => {
    const name = fresh()
    const listening = await listen({ transport: () => broadcastChannel({ name }) })
    const side = new Side(await broadcastChannel({ name }).dial(listening.listener.address, never))
    side.attach()
    const other = await listening.next()
    other.attach()
    const stranger = new BroadcastChannel(name)
    let last = { seq: 0 }
    const heard = new Promise<void>((resolve) => {
      stranger.onmessage = ({ data }) => {
        last = data as { seq: number }
        resolve()
      }
    })
    const word = { _tag: "Data", n: 1, own: true, bytes: text("forged") }
    const parts = [null, 1, {}, { to: "" }, { to: "", word: 1 }, { to: "", word: { _tag: "?" } }]
    for (const data of [null, 1, "x", {}, { skein: 1 }, { skein: 1, from: "x", seq: 1, parts: 1 }])
      stranger.postMessage(data)
    stranger.postMessage({ skein: 1, from: "x", seq: 1, parts: [...parts, { to: "", word }] })
    side.connection.write(text("x"))
    assert.equal(asText(await other.bytes(1)), "x")
    await heard
    stranger.postMessage({ ...last, parts })
    side.connection.write(text("y"))
    assert.equal(asText(await other.bytes(1)), "y")
    stranger.postMessage({ ...last, seq: last.seq + 10, parts: [] })
    assert.equal(await other.closed, "reset")
    assert.equal(await side.closed, "reset")
    stranger.close()
    await listening.listener.close()
  })
})
