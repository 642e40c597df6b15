/**
 * The part of the suite for transports that is about addresses: listening on them and dialling them.
 *
 * @module
 */
import { AddressUnavailable, type Connection, PeerUnreachable } from "../../transport.ts"
import type { Runner } from "./runner.ts"
import { asText, is, listen, never, numbered, rejection, Side, type Subject, text } from "./side.ts"

/** Registers the tests; `subject` is there when they run. */
export function dialling({ test, expect }: Runner, subject: () => Promise<Subject>): void {
  test("a hundred connections at once don't mix", async () => {
    const listening = await listen(await subject())
    const transport = (await subject()).transport()
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
      expect([...(await side.bytes(4))]).toEqual([...numbered(i)])
      side.connection.close()
      expect(await side.closed).toBe("ended")
    }
    await listening.listener.close()
  })

  test("an address that is taken can't be listened on again until it is closed", async () => {
    const first = await listen(await subject())
    const { address } = first.listener
    const again = (await subject()).sameAddress?.(address)
    if (again === undefined) return first.listener.close()
    const error = await rejection(again.listen(() => {}))
    is(error, AddressUnavailable)
    expect(error._tag).toBe("AddressUnavailable")
    expect(error.address).toBe(address)

    // Connections that are open must not hold the address.
    const side = new Side(await (await subject()).transport().dial(address, never))
    side.attach()
    const other = await first.next()
    other.attach()
    await first.listener.close()
    const listener = await again.listen(() => {})
    expect(listener.address).toBe(address)
    await listener.close()

    side.connection.write(text("still here"))
    expect(asText(await other.bytes(10))).toBe("still here")
    side.connection.destroy()
    await Promise.all([side.closed, other.closed])
  })

  test("a listener that is closed refuses to be dialled", async () => {
    const { listener } = await listen(await subject())
    await listener.close()
    const error = await rejection((await subject()).transport().dial(listener.address, never))
    is(error, PeerUnreachable)
    expect(error.reason).toBe("refused")
  })

  test("dialling where nobody listens is refused", async () => {
    const error = await rejection(
      (await subject()).transport().dial((await subject()).absent, never),
    )
    is(error, PeerUnreachable)
    expect(error._tag).toBe("PeerUnreachable")
    expect(error.address).toBe((await subject()).absent)
    expect(error.reason).toBe("refused")
  })

  test("what is no address is told from an address that doesn't answer", async () => {
    for (const address of (await subject()).garbage) {
      const error = await rejection((await subject()).transport().dial(address, never))
      is(error, PeerUnreachable)
      expect(error.reason).toBe("invalid-address")
      expect(error.address).toBe(address)
    }
  })

  test("a dial that was aborted rejects, before it began and under way", async () => {
    const { listener } = await listen(await subject())
    const early = AbortSignal.abort()
    const before = await rejection((await subject()).transport().dial(listener.address, early))
    is(before, PeerUnreachable)
    expect(before.reason).toBe("aborted")

    const controller = new AbortController()
    const dialling = (await subject()).transport().dial(listener.address, controller.signal)
    controller.abort()
    const outcome = await dialling.then(
      (connection) => connection,
      (error: unknown) => error,
    )
    // A transport that connects at once may have been faster than the signal.
    if (outcome instanceof PeerUnreachable) expect(outcome.reason).toBe("aborted")
    else (outcome as Connection).destroy()
    await listener.close()
  })

  test("a signal that fires after the dial is nobody's business any more", async () => {
    const listening = await listen(await subject())
    const controller = new AbortController()
    const dialled = await (await subject())
      .transport()
      .dial(listening.listener.address, controller.signal)
    const here = new Side(dialled)
    here.attach()
    controller.abort()
    const there = await listening.next()
    there.attach()
    there.connection.write(text("ok"))
    expect(asText(await here.bytes(2))).toBe("ok")
    dialled.destroy()
    await Promise.all([here.closed, there.closed])
    await listening.listener.close()
  })
}
