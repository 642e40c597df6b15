/**
 * The part of the suite for transports that is about how connections end.
 *
 * @module
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import type { CloseReason } from "../../src/transport.ts"
import { asText, connect, type Maker, pattern, Side, text } from "./side.ts"

/** Registers the tests; `subject` is there when they run. */
export function closing(subject: () => Maker): void {
  test("close() flushes: the other side gets everything, then the end, once", async () => {
    await using pair = await connect(subject())
    const chunks = Array.from({ length: 64 }, (_, i) => pattern(65_536, i))
    for (const chunk of chunks) pair.dialled.connection.write(chunk.slice())
    pair.dialled.connection.close()
    await pair.accepted.same(chunks)
    assert.equal(await pair.accepted.closed, "ended")
    assert.equal(await pair.dialled.closed, "ended")
    assert.deepEqual([pair.accepted.closes, pair.dialled.closes], [1, 1])
  })

  test("close() flushes while the other side sends and nobody here looks", async () => {
    await using pair = await connect(subject(), { receive: false })
    pair.accepted.attach()
    for (let i = 0; i < 64; i++) pair.accepted.connection.write(pattern(65_536, i))
    pair.dialled.connection.write(text("last words"))
    pair.dialled.connection.close()
    assert.equal(asText(await pair.accepted.bytes(10)), "last words")
    assert.equal(await pair.accepted.closed, "ended")
  })

  test("no data comes after close(), neither new nor kept", async () => {
    await using pair = await connect(subject(), { receive: false })
    pair.dialled.connection.write(pattern(1000, 1))
    pair.dialled.connection.close()
    await pair.dialled.breath()
    pair.accepted.connection.close()
    pair.accepted.attach()
    pair.dialled.attach()
    await Promise.all([pair.accepted.closed, pair.dialled.closed])
    assert.equal(pair.accepted.received, 0)

    await using other = await connect(subject(), { receive: false })
    let calls = 0
    const closed = new Promise<CloseReason>((resolve) =>
      other.accepted.connection.receive({
        data: () => {
          calls++
          other.accepted.connection.close()
        },
        drain: () => {},
        close: resolve,
      }),
    )
    other.dialled.attach()
    for (let i = 0; i < 100; i++) other.dialled.connection.write(pattern(65_536, i))
    assert.equal(await closed, "ended")
    assert.equal(calls, 1)
  })

  test("writing on to a side that has ended hurts nobody", async () => {
    await using pair = await connect(subject())
    for (let i = 0; i < 64; i++) pair.dialled.connection.write(pattern(65_536, i))
    pair.accepted.connection.write(text("bye"))
    pair.accepted.connection.close()
    while (pair.dialled.closes === 0) {
      pair.dialled.connection.write(text("x"))
      await pair.dialled.breath()
    }
    assert.equal(await pair.accepted.closed, "ended")
    // Bytes of ours were on their way: some hosts call that a loss.
    assert.ok(["ended", "reset"].includes(await pair.dialled.closed))
    assert.equal(pair.dialled.received, 3)
  })

  test("a close that was told isn't told again", async () => {
    await using pair = await connect(subject())
    pair.dialled.connection.close()
    for (const side of [pair.dialled, pair.accepted]) {
      await side.closed
      const next = new Side(side.connection)
      next.attach()
      await side.breath()
      assert.deepEqual([side.closes, next.closes], [1, 0])
    }
  })

  test("a close that came while nobody was there is told to who comes next", async () => {
    await using pair = await connect(subject(), { receive: false })
    pair.accepted.attach()
    pair.dialled.connection.destroy()
    await pair.accepted.closed
    await pair.dialled.breath()
    pair.dialled.attach()
    assert.equal(await pair.dialled.closed, "destroyed")
  })

  test("both sides may close at once", async () => {
    await using pair = await connect(subject())
    pair.dialled.connection.close()
    pair.accepted.connection.close()
    assert.deepEqual(await Promise.all([pair.dialled.closed, pair.accepted.closed]), [
      "ended",
      "ended",
    ])
  })

  test("destroy() is seen as destroyed here, and as a close there, once each", async () => {
    await using pair = await connect(subject())
    pair.dialled.connection.write(text("hello"))
    await pair.accepted.bytes(5)
    pair.dialled.connection.destroy()
    pair.dialled.connection.destroy()
    pair.dialled.connection.close()
    assert.equal(await pair.dialled.closed, "destroyed")
    assert.ok(["ended", "reset"].includes(await pair.accepted.closed))
    assert.deepEqual([pair.accepted.closes, pair.dialled.closes], [1, 1])
    assert.equal(pair.dialled.connection.write(text("gone")), false)
    assert.equal(pair.accepted.connection.write(text("gone")), false)
  })

  test("destroy() while both sides are sending ends both", async () => {
    await using pair = await connect(subject())
    for (let i = 0; i < 200; i++) {
      pair.dialled.connection.write(pattern(65_536, i))
      pair.accepted.connection.write(pattern(65_536, i))
    }
    pair.accepted.connection.destroy()
    assert.equal(await pair.accepted.closed, "destroyed")
    assert.ok(["ended", "reset"].includes(await pair.dialled.closed))
  })
}
