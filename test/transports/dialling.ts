/**
 * The part of the suite for transports that is about addresses: listening on them and dialling them.
 *
 * @module
 */
import assert from "node:assert/strict"
import { test } from "node:test"
import { AddressUnavailable, type Connection, PeerUnreachable } from "../../src/transport.ts"
import { asText, listen, never, numbered, rejection, Side, type Subject, text } from "./side.ts"

/** Registers the tests; `subject` is there when they run. */
export function dialling(subject: () => Subject): void {
  test("a hundred connections at once don't mix", async () => {
    const listening = await listen(subject())
    const transport = subject().transport()
    const sides = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const { signal } = new AbortController()
        const side = new Side(await transport.dial(listening.listener.address, signal))
        side.attach()
        side.connection.write(numbered(i))
        return side
      }),
    )
    for (let i = 0; i < 100; i++) {
      const side = await listening.next()
      side.attach()
      side.connection.write(await side.bytes(4))
    }
    for (const [i, side] of sides.entries()) {
      assert.deepEqual([...(await side.bytes(4))], [...numbered(i)])
      side.connection.close()
      assert.equal(await side.closed, "ended")
    }
    await listening.listener.close()
  })

  test("an address that is taken can't be listened on again until it is closed", async () => {
    const first = await listen(subject())
    const { address } = first.listener
    const again = subject().sameAddress?.(address)
    if (again === undefined) return first.listener.close()
    const error = await rejection(again.listen(() => {}))
    assert.ok(error instanceof AddressUnavailable)
    assert.equal(error._tag, "AddressUnavailable")
    assert.equal(error.address, address)

    // Connections that are open must not hold the address.
    const side = new Side(await subject().transport().dial(address, never))
    side.attach()
    const other = await first.next()
    other.attach()
    await first.listener.close()
    const listener = await again.listen(() => {})
    assert.equal(listener.address, address)
    await listener.close()

    side.connection.write(text("still here"))
    assert.equal(asText(await other.bytes(10)), "still here")
    side.connection.destroy()
    await Promise.all([side.closed, other.closed])
  })

  test("a listener that is closed refuses to be dialled", async () => {
    const { listener } = await listen(subject())
    await listener.close()
    const error = await rejection(subject().transport().dial(listener.address, never))
    assert.ok(error instanceof PeerUnreachable)
    assert.equal(error.reason, "refused")
  })

  test("dialling where nobody listens is refused", async () => {
    const error = await rejection(subject().transport().dial(subject().absent, never))
    assert.ok(error instanceof PeerUnreachable)
    assert.equal(error._tag, "PeerUnreachable")
    assert.equal(error.address, subject().absent)
    assert.equal(error.reason, "refused")
  })

  test("what is no address is told from an address that doesn't answer", async () => {
    for (const address of subject().garbage) {
      const error = await rejection(subject().transport().dial(address, never))
      assert.ok(error instanceof PeerUnreachable, address)
      assert.equal(error.reason, "invalid-address", address)
      assert.equal(error.address, address)
    }
  })

  test("a dial that was aborted rejects, before it began and under way", async () => {
    const { listener } = await listen(subject())
    const early = AbortSignal.abort()
    const before = await rejection(subject().transport().dial(listener.address, early))
    assert.ok(before instanceof PeerUnreachable)
    assert.equal(before.reason, "aborted")

    const controller = new AbortController()
    const dialling = subject().transport().dial(listener.address, controller.signal)
    controller.abort()
    const outcome = await dialling.then(
      (connection) => connection,
      (error: unknown) => error,
    )
    // A transport that connects at once may have been faster than the signal.
    if (outcome instanceof PeerUnreachable) assert.equal(outcome.reason, "aborted")
    else (outcome as Connection).destroy()
    await listener.close()
  })

  test("a signal that fires after the dial is nobody's business any more", async () => {
    const listening = await listen(subject())
    const controller = new AbortController()
    const dialled = await subject().transport().dial(listening.listener.address, controller.signal)
    const here = new Side(dialled)
    here.attach()
    controller.abort()
    const there = await listening.next()
    there.attach()
    there.connection.write(text("ok"))
    assert.equal(asText(await here.bytes(2)), "ok")
    dialled.destroy()
    await Promise.all([here.closed, there.closed])
    await listening.listener.close()
  })
}
