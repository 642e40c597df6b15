/**
 * What every transport must do, as one suite. Each claim is checked over connections made afresh.
 *
 * @module
 */
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import {
  AddressUnavailable,
  type CloseReason,
  type Connection,
  type Handlers,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../../src/transport.ts"

/** One environment in which transports reach each other. */
export interface Subject {
  /** A transport of its own, that listens on an address of its own. */
  readonly transport: () => Transport
  /** A transport that would listen on `address`, which is taken. */
  readonly sameAddress: (address: string) => Transport
  /** A well-formed address that nobody listens on. */
  readonly absent: string
  /** Texts that are no addresses at all. */
  readonly garbage: readonly string[]
  readonly dispose?: () => Promise<void>
}

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

    test("close() flushes: the other side gets everything, then the end, once", async () => {
      await using pair = await connect(subject)
      const chunks = Array.from({ length: 64 }, (_, i) => pattern(65_536, i))
      for (const chunk of chunks) pair.dialled.connection.write(chunk.slice())
      pair.dialled.connection.close()
      await pair.accepted.same(chunks)
      assert.equal(await pair.accepted.closed, "ended")
      assert.equal(await pair.dialled.closed, "ended")
      assert.deepEqual([pair.accepted.closes, pair.dialled.closes], [1, 1])
    })

    test("close() flushes while the other side sends and nobody here looks", async () => {
      await using pair = await connect(subject, { receive: false })
      pair.accepted.attach()
      for (let i = 0; i < 64; i++) pair.accepted.connection.write(pattern(65_536, i))
      pair.dialled.connection.write(text("last words"))
      pair.dialled.connection.close()
      assert.equal(asText(await pair.accepted.bytes(10)), "last words")
      assert.equal(await pair.accepted.closed, "ended")
    })

    test("no data comes after close(), neither new nor kept", async () => {
      await using pair = await connect(subject, { receive: false })
      pair.dialled.connection.write(pattern(1000, 1))
      pair.dialled.connection.close()
      await pair.dialled.breath()
      pair.accepted.connection.close()
      pair.accepted.attach()
      pair.dialled.attach()
      await Promise.all([pair.accepted.closed, pair.dialled.closed])
      assert.equal(pair.accepted.received, 0)

      await using other = await connect(subject, { receive: false })
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
      await using pair = await connect(subject)
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
      await using pair = await connect(subject)
      pair.dialled.connection.close()
      for (const side of [pair.dialled, pair.accepted]) {
        await side.closed
        const next = new Side(side.connection)
        next.attach()
        await side.breath()
        assert.deepEqual([side.closes, next.closes], [1, 0])
      }
    })

    test("both sides may close at once", async () => {
      await using pair = await connect(subject)
      pair.dialled.connection.close()
      pair.accepted.connection.close()
      assert.deepEqual(await Promise.all([pair.dialled.closed, pair.accepted.closed]), [
        "ended",
        "ended",
      ])
    })

    test("destroy() is seen as destroyed here, and as a close there, once each", async () => {
      await using pair = await connect(subject)
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
      await using pair = await connect(subject)
      for (let i = 0; i < 200; i++) {
        pair.dialled.connection.write(pattern(65_536, i))
        pair.accepted.connection.write(pattern(65_536, i))
      }
      pair.accepted.connection.destroy()
      assert.equal(await pair.accepted.closed, "destroyed")
      assert.ok(["ended", "reset"].includes(await pair.dialled.closed))
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
    })

    test("a hundred connections at once don't mix", async () => {
      const listening = await listen(subject)
      const transport = subject.transport()
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
      const first = await listen(subject)
      const { address } = first.listener
      const again = subject.sameAddress(address)
      const error = await rejection(again.listen(() => {}))
      assert.ok(error instanceof AddressUnavailable)
      assert.equal(error._tag, "AddressUnavailable")
      assert.equal(error.address, address)

      // Connections that are open must not hold the address.
      const side = new Side(await subject.transport().dial(address, never))
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
      const { listener } = await listen(subject)
      await listener.close()
      const error = await rejection(subject.transport().dial(listener.address, never))
      assert.ok(error instanceof PeerUnreachable)
      assert.equal(error.reason, "refused")
    })

    test("dialling where nobody listens is refused", async () => {
      const error = await rejection(subject.transport().dial(subject.absent, never))
      assert.ok(error instanceof PeerUnreachable)
      assert.equal(error._tag, "PeerUnreachable")
      assert.equal(error.address, subject.absent)
      assert.equal(error.reason, "refused")
    })

    test("what is no address is told from an address that doesn't answer", async () => {
      for (const address of subject.garbage) {
        const error = await rejection(subject.transport().dial(address, never))
        assert.ok(error instanceof PeerUnreachable, address)
        assert.equal(error.reason, "invalid-address", address)
        assert.equal(error.address, address)
      }
    })

    test("a dial that was aborted rejects, before it began and under way", async () => {
      const { listener } = await listen(subject)
      const early = AbortSignal.abort()
      const before = await rejection(subject.transport().dial(listener.address, early))
      assert.ok(before instanceof PeerUnreachable)
      assert.equal(before.reason, "aborted")

      const controller = new AbortController()
      const dialling = subject.transport().dial(listener.address, controller.signal)
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
      const listening = await listen(subject)
      const controller = new AbortController()
      const dialled = await subject.transport().dial(listening.listener.address, controller.signal)
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
  })
}

// --- what the suite is made of -------------------------------------------------------------------

/** A signal that never fires. */
export const never: AbortSignal = new AbortController().signal

/** One side of a connection, with what came to it. */
export class Side {
  readonly connection: Connection
  readonly closed: Promise<CloseReason>
  /** Count the bytes, and forget them. */
  discard = false
  received = 0
  closes = 0
  #chunks: Uint8Array[] = []
  #drains = 0
  #wake: (() => void)[] = []
  #close: (reason: CloseReason) => void = () => {}

  constructor(connection: Connection) {
    this.connection = connection
    this.closed = new Promise((resolve) => {
      this.#close = resolve
    })
  }

  /** Starts to receive. */
  attach(): void {
    this.connection.receive({
      data: (bytes) => {
        assert.equal(this.closes, 0, "data after close")
        this.received += bytes.length
        if (!this.discard) this.#chunks.push(bytes)
        this.#changed()
      },
      drain: () => {
        this.#drains++
        this.#changed()
      },
      close: (reason) => {
        this.closes++
        this.#close(reason)
        this.#changed()
      },
    })
  }

  /** The next `count` bytes. */
  async bytes(count: number): Promise<Uint8Array> {
    const taken: Uint8Array[] = []
    let missing = count
    while (missing > 0) {
      await this.#until(() => this.#chunks.length > 0, `${missing} of ${count} bytes`)
      const chunk = this.#chunks.shift()!
      taken.push(chunk.subarray(0, missing))
      if (chunk.length > missing) this.#chunks.unshift(chunk.subarray(missing))
      missing -= Math.min(missing, chunk.length)
    }
    return joined(taken)
  }

  /** Attaches, and waits until `count` bytes came. */
  async all(count: number): Promise<void> {
    this.discard = true
    this.attach()
    await this.#until(() => this.received >= count, `${count} bytes`)
  }

  /** Takes as many bytes as `chunks` have, and compares them. */
  async same(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) assert.ok(equal(await this.bytes(chunk.length), chunk))
  }

  /** The next drain. */
  async drained(): Promise<void> {
    await this.#until(() => this.#drains > 0, "a drain")
    this.#drains--
  }

  /** A turn of the host's loop, in which sockets do their work. */
  breath(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    while (!condition()) {
      if (this.closes > 0) throw new Error(`closed while waiting for ${what}`)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  #changed(): void {
    const wake = this.#wake
    this.#wake = []
    for (const resolve of wake) resolve()
  }
}

/** Two sides of one connection, and the listener that made it. */
export interface Pair extends AsyncDisposable {
  readonly dialled: Side
  readonly accepted: Side
}

/** Connects two transports of `subject`; both sides receive unless told otherwise. */
export async function connect(
  subject: Pick<Subject, "transport">,
  { receive = true }: { receive?: boolean } = {},
): Promise<Pair> {
  const listening = await listen(subject)
  const { address } = listening.listener
  const dialled = new Side(await subject.transport().dial(address, never))
  const accepted = await listening.next()
  if (receive) for (const side of [dialled, accepted]) side.attach()
  return {
    dialled,
    accepted,
    [Symbol.asyncDispose]: async () => {
      dialled.connection.destroy()
      accepted.connection.destroy()
      await listening.listener.close()
    },
  }
}

/** Listens, and hands out the connections that come. */
export async function listen(
  subject: Pick<Subject, "transport">,
): Promise<{ listener: Listener; next: () => Promise<Side> }> {
  const ready: Side[] = []
  const wanted: ((side: Side) => void)[] = []
  const listener = await subject.transport().listen((connection) => {
    const side = new Side(connection)
    const take = wanted.shift()
    if (take === undefined) ready.push(side)
    else take(side)
  })
  const next = async (): Promise<Side> =>
    ready.shift() ?? new Promise<Side>((resolve) => wanted.push(resolve))
  return { listener, next }
}

async function sendAll(side: Side, chunks: readonly Uint8Array[]): Promise<void> {
  for (const chunk of chunks) {
    if (!side.connection.write(chunk.slice())) await side.drained()
  }
}

/** What `promise` rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: "it didn't reject" })
}

export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

export function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function numbered(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** Bytes that no shift or swap of theirs equals. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed + 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
