/**
 * The part of the suite for transports that is about what they carry.
 *
 * @module
 */
import type { CloseReason, Handlers } from "../../transport.ts"
import type { Runner } from "./runner.ts"
import {
  asText,
  connect,
  equal,
  joined,
  numbered,
  pattern,
  Side,
  type Subject,
  sendAll,
  text,
} from "./side.ts"

/** Registers the tests; `subject` is there when they run. */
export function streams({ test, expect }: Runner, subject: () => Promise<Subject>): void {
  test("both sides can send, whoever dialled", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.write(text("ping"))
    pair.accepted.connection.write(text("pong"))
    expect(asText(await pair.accepted.bytes(4))).toBe("ping")
    expect(asText(await pair.dialled.bytes(4))).toBe("pong")
  })

  test("bytes come in the order in which they were written", async () => {
    await using pair = await connect(await subject())
    for (let i = 0; i < 2000; i++) pair.dialled.connection.write(numbered(i))
    const bytes = await pair.accepted.bytes(8000)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0; i < 2000; i++) expect(view.getUint32(i * 4)).toBe(i)
  })

  test("an empty write changes nothing", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.write(text("a"))
    pair.dialled.connection.write(new Uint8Array(0))
    pair.dialled.connection.write(text("b"))
    expect(asText(await pair.accepted.bytes(2))).toBe("ab")
  })

  test("ten megabytes in both directions at once arrive whole", async () => {
    await using pair = await connect(await subject())
    const chunks = Array.from({ length: 160 }, (_, i) => pattern(65_536, i))
    await Promise.all([
      sendAll(pair.dialled, chunks),
      sendAll(pair.accepted, chunks),
      pair.dialled.same(chunks),
      pair.accepted.same(chunks),
    ])
  })

  test("one write of ten megabytes arrives whole", async () => {
    await using pair = await connect(await subject())
    const large = pattern(10 * 1024 * 1024, 7)
    pair.dialled.connection.write(large.slice())
    await pair.accepted.same([large])
  })

  test("what the receiver got is its own: the two sides share no memory", async () => {
    await using pair = await connect(await subject())
    const sent = text("abc")
    pair.dialled.connection.write(sent)
    const got = await pair.accepted.bytes(3)
    got.fill(0)
    expect(asText(sent)).toBe("abc")
  })

  test("bytes and the close that came before receive() are kept for it", async () => {
    await using pair = await connect(await subject(), { receive: false })
    pair.dialled.connection.write(text("early"))
    pair.dialled.connection.close()
    pair.dialled.attach()
    await pair.dialled.breath()
    pair.accepted.attach()
    expect(asText(await pair.accepted.bytes(5))).toBe("early")
    expect(await pair.accepted.closed).toBe("ended")
  })

  test("receive() redirects what comes, and without handlers it is kept", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.write(text("one"))
    expect(asText(await pair.accepted.bytes(3))).toBe("one")
    pair.accepted.connection.receive(undefined)
    pair.dialled.connection.write(text("two"))
    pair.accepted.connection.write(text("sync"))
    await pair.dialled.bytes(4)
    const next = new Side(pair.accepted.connection)
    next.attach()
    expect(asText(await next.bytes(3))).toBe("two")
    expect(pair.accepted.received).toBe(3)
  })

  test("a handler may redirect in the middle of a flow, and nothing is lost or reordered", async () => {
    await using pair = await connect(await subject(), { receive: false })
    const total = 1_000_000
    const seen: Uint8Array[] = []
    let bytes = 0
    let redirects = 0
    const done = new Promise<void>((resolve) => {
      const handlers = (): Handlers => ({
        data: (chunk) => {
          seen.push(chunk)
          bytes += chunk.length
          if (bytes === total) return resolve()
          redirects++
          pair.accepted.connection.receive(undefined)
          queueMicrotask(() => pair.accepted.connection.receive(handlers()))
        },
        drain: () => {},
        close: () => {},
      })
      pair.accepted.connection.receive(handlers())
    })
    pair.dialled.attach()
    const chunks = Array.from({ length: 100 }, (_, i) => pattern(10_000, i))
    await sendAll(pair.dialled, chunks)
    await done
    expect(redirects > 0).toBe(true)
    expect(equal(joined(seen), joined(chunks))).toBe(true)
  })

  test("handlers are never called from within a method", async () => {
    for (const end of ["dialled", "accepted"] as const) {
      await using pair = await connect(await subject())
      pair.dialled.connection.write(text("x"))
      await pair.accepted.bytes(1)
      const { connection } = pair[end]
      let inside = true
      const outside = (): void => {
        expect(inside).toBe(false)
      }
      const closed = new Promise<CloseReason>((resolve) => {
        connection.receive({
          data: outside,
          drain: outside,
          close: (reason) => {
            outside()
            resolve(reason)
          },
        })
      })
      connection.write(text("y"))
      connection.destroy()
      inside = false
      expect(await closed).toBe("destroyed")
    }
  })

  test("a writer that honours false loses nothing to a reader that is away", async () => {
    await using pair = await connect(await subject())
    pair.dialled.connection.write(text("x"))
    await pair.accepted.bytes(1)
    pair.accepted.connection.receive(undefined)
    const total = 32 * 1024 * 1024
    const chunk = pattern(65_536, 3)
    let sent = 0
    let refused = false
    while (sent < total && !refused) {
      refused = !pair.dialled.connection.write(chunk.slice())
      sent += chunk.length
      // Gives the system the time to take what it can.
      if (!refused) await pair.dialled.breath()
    }
    expect(refused).toBe(true)
    expect(sent < total).toBe(true)
    pair.accepted.discard = true
    pair.accepted.attach()
    await pair.dialled.drained()
    while (sent < total) {
      if (!pair.dialled.connection.write(chunk.slice())) await pair.dialled.drained()
      sent += chunk.length
    }
    pair.dialled.connection.close()
    expect(await pair.accepted.closed).toBe("ended")
    expect(pair.accepted.received).toBe(1 + total)
  })

  test("a drain that came while nobody was there is told to who comes next", async () => {
    await using pair = await connect(await subject(), { receive: false })
    let sent = 0
    for (let room = true; room; sent += 65_536) {
      room = pair.dialled.connection.write(pattern(65_536, 1))
      if (room) await pair.dialled.breath()
    }
    await pair.accepted.all(sent)
    const next = new Side(pair.dialled.connection)
    next.attach()
    await next.drained()

    expect(next.connection.write(text("x"))).toBe(true)
    await pair.accepted.all(sent + 1)
    await next.breath()
    expect(next.drains).toBe(0)
  })
}
