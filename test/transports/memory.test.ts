import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { describe, test } from "node:test"
import { AddressUnavailable } from "../../src/transport.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { conformance } from "./conformance.ts"
import { connect, never, rejection } from "./side.ts"

conformance("memory", async () => {
  const hub = memoryHub()
  return {
    transport: () => memory(hub),
    sameAddress: (address) => memory(hub, { address }),
    absent: "memory:nobody",
    garbage: [""],
  }
})

describe("memory", () => {
  test("only this process can reach it", () => {
    assert.equal(memory(memoryHub()).trusted, true)
  })

  test("addresses are numbered, or chosen", async () => {
    const hub = memoryHub()
    assert.equal((await memory(hub).listen(() => {})).address, "memory:1")
    assert.equal((await memory(hub).listen(() => {})).address, "memory:2")
    assert.equal((await memory(hub, { address: "db" }).listen(() => {})).address, "db")
    const empty = await rejection(memory(hub, { address: "" }).listen(() => {}))
    assert.ok(empty instanceof AddressUnavailable)
  })

  test("what is written is copied, whatever kind of bytes it is", async () => {
    const hub = memoryHub()
    await using pair = await connect({ transport: () => memory(hub) })
    const sent = Buffer.from("abc")
    pair.dialled.connection.write(sent)
    sent.fill(0)
    assert.deepEqual(await pair.accepted.bytes(3), new Uint8Array([97, 98, 99]))
  })

  test("hubs don't see each other", async () => {
    const { address } = await memory(memoryHub()).listen(() => {})
    await assert.rejects(memory(memoryHub()).dial(address, never), { reason: "refused" })
  })

  test("the high water is counted in bytes on their way", async () => {
    const hub = memoryHub()
    await using pair = await connect({ transport: () => memory(hub, { highWaterBytes: 100 }) })
    assert.equal(pair.dialled.connection.write(new Uint8Array(99)), true)
    assert.equal(pair.dialled.connection.write(new Uint8Array(1)), false)
    assert.equal(pair.accepted.connection.write(new Uint8Array(99)), true)
    await pair.dialled.drained()
    assert.equal(pair.dialled.connection.write(new Uint8Array(99)), true)
  })

  test("two sides that answer each other at once leave other work its turn", async () => {
    const hub = memoryHub()
    await using pair = await connect({ transport: () => memory(hub) }, { receive: false })
    const { dialled, accepted } = pair
    let rounds = 0
    let stopped = false
    for (const { connection } of [dialled, accepted]) {
      connection.receive({
        data: (bytes) => {
          rounds++
          if (rounds > 1_000_000) throw new Error("nothing else gets its turn")
          if (!stopped) connection.write(bytes)
        },
        drain: () => {},
        close: () => {},
      })
    }
    dialled.connection.write(new Uint8Array(1))
    await new Promise((resolve) => setTimeout(resolve, 0))
    stopped = true
    assert.ok(rounds > 0)
  })
})
