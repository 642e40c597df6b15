/**
 * One side of a connection as tests see it, and ways to make pairs of them.
 *
 * @module
 */
import type { CloseReason, Connection, Listener, Transport } from "../../transport.ts"

/** What makes transports that reach each other. */
export interface Maker {
  readonly transport: () => Transport
}

/** One environment in which transports reach each other. */
export interface Subject extends Maker {
  /** A transport that would listen on `address`, which is taken; nothing where that isn't its own business. */
  readonly sameAddress?: (address: string) => Transport
  /** A well-formed address that nobody listens on. */
  readonly absent: string
  /** Texts that are no addresses at all. */
  readonly garbage: readonly string[]
  readonly dispose?: () => Promise<void>
}

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
  drains = 0
  #chunks: Uint8Array[] = []
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
        if (this.closes > 0) throw new Error("data after close")
        this.received += bytes.length
        if (!this.discard) this.#chunks.push(bytes)
        this.#changed()
      },
      drain: () => {
        this.drains++
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
    for (const chunk of chunks)
      if (!equal(await this.bytes(chunk.length), chunk))
        throw new Error("other bytes than were sent")
  }

  /** The next drain. */
  async drained(): Promise<void> {
    await this.#until(() => this.drains > 0, "a drain")
    this.drains--
  }

  /** A turn of the host's loop, in which sockets do their work. */
  breath(): Promise<void> {
    const { setImmediate } = globalThis as { setImmediate?: (run: () => void) => unknown }
    return new Promise((resolve) => {
      if (setImmediate === undefined) setTimeout(resolve, 0)
      else setImmediate(() => resolve())
    })
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
  subject: Maker,
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
  subject: Maker,
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

/** Writes all chunks, waiting where the connection says so. */
export async function sendAll(side: Side, chunks: readonly Uint8Array[]): Promise<void> {
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
  throw new Error("it didn't reject")
}

/** Fails unless `value` is one of these, and tells the compiler. */
export function is<T>(
  value: unknown,
  type: abstract new (...args: never) => T,
): asserts value is T {
  if (!(value instanceof type)) throw new Error(`expected ${type.name}, got ${String(value)}`)
}

/** UTF-8. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

/** UTF-8 read back. */
export function asText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

/** A number as four bytes, big endian. */
export function numbered(value: number): Uint8Array {
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

/** All bytes in one piece. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

/** Faster than a deep comparison of millions of bytes. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}
