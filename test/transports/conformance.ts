/**
 * What every transport must do, as one suite. Each claim is checked over connections made afresh.
 *
 * @module
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import type { CloseReason, Handlers } from "../../src/transport.ts"
import { closing } from "./closing.ts"
import { dialling } from "./dialling.ts"
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

/** Registers the suite for the transports that `make` provides. */
export function conformance(name: string, make: () => Promise<Subject>): void {
  describe(`${name} keeps the contract of transports`, () => {
    let subject: Subject
    before(async () => {
      subject = await make()
    })
    after(async () => subject.dispose?.())

    test("both sides can send, whoever dialled", async () => {
      await using pair = await connect(subject)
      pair.dialled.connection.write(text("ping"))
      pair.accepted.connection.write(text("pong"))
      assert.equal(asText(await pair.accepted.bytes(4)), "ping")
      assert.equal(asText(await pair.dialled.bytes(4)), "pong")
    })

    test("bytes come in the order in which they were written", async () => {
      await using pair = await connect(subject)
      for (let i = 0; i < 2000; i++) pair.dialled.connection.write(numbered(i))
      const bytes = await pair.accepted.bytes(8000)
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let i = 0; i < 2000; i++) assert.equal(view.getUint32(i * 4), i)
    })

    test("an empty write changes nothing", async () => {
      await using pair = await connect(subject)
      pair.dialled.connection.write(text("a"))
      pair.dialled.connection.write(new Uint8Array(0))
      pair.dialled.connection.write(text("b"))
      assert.equal(asText(await pair.accepted.bytes(2)), "ab")
    })

    test("ten megabytes in both directions at once arrive whole", async () => {
      await using pair = await connect(subject)
      const chunks = Array.from({ length: 160 }, (_, i) => pattern(65_536, i))
      await Promise.all([
        sendAll(pair.dialled, chunks),
        sendAll(pair.accepted, chunks),
        pair.dialled.same(chunks),
        pair.accepted.same(chunks),
      ])
    })

    test("one write of ten megabytes arrives whole", async () => {
      await using pair = await connect(subject)
      const large = pattern(10 * 1024 * 1024, 7)
      pair.dialled.connection.write(large.slice())
      await pair.accepted.same([large])
    })

    test("what the receiver got is its own: the two sides share no memory", async () => {
      await using pair = await connect(subject)
      const sent = text("abc")
      pair.dialled.connection.write(sent)
      const got = await pair.accepted.bytes(3)
      got.fill(0)
      assert.equal(asText(sent), "abc")
    })

    test("bytes and the close that came before receive() are kept for it", async () => {
      await using pair = await connect(subject, { receive: false })
      pair.dialled.connection.write(text("early"))
      pair.dialled.connection.close()
      pair.dialled.attach()
      await pair.dialled.breath()
      pair.accepted.attach()
      assert.equal(asText(await pair.accepted.bytes(5)), "early")
      assert.equal(await pair.accepted.closed, "ended")
    })

    test("receive() redirects what comes, and without handlers it is kept", async () => {
      await using pair = await connect(subject)
      pair.dialled.connection.write(text("one"))
      assert.equal(asText(await pair.accepted.bytes(3)), "one")
      pair.accepted.connection.receive(undefined)
      pair.dialled.connection.write(text("two"))
      pair.accepted.connection.write(text("sync"))
      await pair.dialled.bytes(4)
      const next = new Side(pair.accepted.connection)
      next.attach()
      assert.equal(asText(await next.bytes(3)), "two")
      assert.equal(pair.accepted.received, 3)
    })

    test("a handler may redirect in the middle of a flow, and nothing is lost or reordered", async () => {
      await using pair = await connect(subject, { receive: false })
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
      assert.ok(redirects > 0)
      assert.ok(equal(joined(seen), joined(chunks)))
    })

    test("handlers are never called from within a method", async () => {
      for (const end of ["dialled", "accepted"] as const) {
        await using pair = await connect(subject)
        pair.dialled.connection.write(text("x"))
        await pair.accepted.bytes(1)
        const { connection } = pair[end]
        let inside = true
        const outside = (): void => assert.equal(inside, false)
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
        assert.equal(await closed, "destroyed")
      }
    })

    test("a writer that honours false loses nothing to a reader that is away", async () => {
      await using pair = await connect(subject)
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
      assert.ok(refused, "an absent reader must be felt by the writer")
      assert.ok(sent < total)
      pair.accepted.discard = true
      pair.accepted.attach()
      await pair.dialled.drained()
      while (sent < total) {
        if (!pair.dialled.connection.write(chunk.slice())) await pair.dialled.drained()
        sent += chunk.length
      }
      pair.dialled.connection.close()
      assert.equal(await pair.accepted.closed, "ended")
      assert.equal(pair.accepted.received, 1 + total)
    })

    test("a drain that came while nobody was there is told to who comes next", async () => {
      await using pair = await connect(subject, { receive: false })
      let sent = 0
      for (let room = true; room; sent += 65_536) {
        room = pair.dialled.connection.write(pattern(65_536, 1))
        if (room) await pair.dialled.breath()
      }
      await pair.accepted.all(sent)
      const next = new Side(pair.dialled.connection)
      next.attach()
      await next.drained()

      assert.equal(next.connection.write(text("x")), true)
      await pair.accepted.all(sent + 1)
      await next.breath()
      assert.equal(next.drains, 0, "nobody was told to wait")
    })

    closing(() => subject)
    dialling(() => subject)
  })
}
