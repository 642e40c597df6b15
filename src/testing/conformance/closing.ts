/**
 * The part of the suite for transports that is about how connections end.
 *
 * @module
 */
import type { CloseReason } from "../../transport.ts"
import type { Runner } from "./runner.ts"
import { asText, connect, type Maker, pattern, Side, text } from "./side.ts"

/** Registers the tests; `subject` is there when they run. */
export function closing({ test, expect }: Runner, subject: () => Promise<Maker>): void {
  test("close() flushes: the other side gets everything, then the end, once", async () => {
    await using pair = await connect(await subject())
    const chunks = Array.from({ length: 64 }, (_, i) => pattern(65_536, i))
    for (const chunk of chunks) pair.dialled.connection.write(chunk.slice())
    pair.dialled.connection.close()
    await pair.accepted.same(chunks)
    expect(await pair.accepted.closed).toBe("ended")
    expect(await pair.dialled.closed).toBe("ended")
    expect([pair.accepted.closes, pair.dialled.closes]).toEqual([1, 1])
  })

  test("close() flushes while the other side sends and nobody here looks", async () => {
    await using pair = await connect(await subject(), { receive: false })
    pair.accepted.attach()
    for (let i = 0; i < 64; i++) pair.accepted.connection.write(pattern(65_536, i))
    pair.dialled.connection.write(text("last words"))
    pair.dialled.connection.close()
    expect(asText(await pair.accepted.bytes(10))).toBe("last words")
    expect(await pair.accepted.closed).toBe("ended")
  })

  test("no data comes after close(), neither new nor kept", async () => {
    await using pair = await connect(await subject(), { receive: false })
    pair.dialled.connection.write(pattern(1000, 1))
    pair.dialled.connection.close()
    await pair.dialled.breath()
    pair.accepted.connection.close()
    pair.accepted.attach()
    pair.dialled.attach()
    await Promise.all([pair.accepted.closed, pair.dialled.closed])
    expect(pair.accepted.received).toBe(0)

    await using other = await connect(await subject(), { receive: false })
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
    expect(await closed).toBe("ended")
    expect(calls).toBe(1)
  })

  test("writing on to a side that has ended hurts nobody", async () => {
    await using pair = await connect(await subject())
    for (let i = 0; i < 64; i++) pair.dialled.connection.write(pattern(65_536, i))
    pair.accepted.connection.write(text("bye"))
    pair.accepted.connection.close()
    while (pair.dialled.closes === 0) {
      pair.dialled.connection.write(text("x"))
      await pair.dialled.breath()
    }
    expect(await pair.accepted.closed).toBe("ended")
    // Bytes of ours were on their way: some hosts call that a loss.
    expect(["ended", "reset"].includes(await pair.dialled.closed)).toBe(true)
    expect(pair.dialled.received).toBe(3)
  })

  test("a close that was told isn't told again", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.close()
    for (const side of [pair.dialled, pair.accepted]) {
      await side.closed
      const next = new Side(side.connection)
      next.attach()
      await side.breath()
      expect([side.closes, next.closes]).toEqual([1, 0])
    }
  })

  test("a close that came while nobody was there is told to who comes next", async () => {
    await using pair = await connect(await subject(), { receive: false })
    pair.accepted.attach()
    pair.dialled.connection.destroy()
    await pair.accepted.closed
    await pair.dialled.breath()
    pair.dialled.attach()
    expect(await pair.dialled.closed).toBe("destroyed")
  })

  test("both sides may close at once", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.close()
    pair.accepted.connection.close()
    expect(await Promise.all([pair.dialled.closed, pair.accepted.closed])).toEqual([
      "ended",
      "ended",
    ])
  })

  test("destroy() is seen as destroyed here, and as a close there, once each", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.write(text("hello"))
    await pair.accepted.bytes(5)
    pair.dialled.connection.destroy()
    pair.dialled.connection.destroy()
    pair.dialled.connection.close()
    expect(await pair.dialled.closed).toBe("destroyed")
    expect(["ended", "reset"].includes(await pair.accepted.closed)).toBe(true)
    expect([pair.accepted.closes, pair.dialled.closes]).toEqual([1, 1])
    expect(pair.dialled.connection.write(text("gone"))).toBe(false)
    expect(pair.accepted.connection.write(text("gone"))).toBe(false)
  })

  test("destroy() while both sides are sending ends both", async () => {
    await using pair = await connect(await subject())
    for (let i = 0; i < 200; i++) {
      pair.dialled.connection.write(pattern(65_536, i))
      pair.accepted.connection.write(pattern(65_536, i))
    }
    pair.accepted.connection.destroy()
    expect(await pair.accepted.closed).toBe("destroyed")
    expect(["ended", "reset"].includes(await pair.dialled.closed)).toBe(true)
  })
}
