/**
 * Nodes, strangers and networks for the tests of the handshake.
 *
 * @module
 */
import assert from "node:assert/strict"
import { createHmac } from "node:crypto"
import type { Connection, Handlers } from "../../src/transport.ts"
import { Reader, Writer } from "../../src/wire/bytes.ts"
import * as Greeting from "../../src/wire/greeting.ts"
import * as Handshake from "../../src/wire/handshake.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { asText, connect, joined, pattern, Side, text } from "../transports/side.ts"

const { KIND } = Greeting

// --- sides -----------------------------------------------------------------------------------------

export function identity(name: string): Handshake.Identity {
  const instance = name.length * 65_536 + name.charCodeAt(0)
  return { cluster: "test", name, epoch: 1, instance, address: `${name}:1`, minor: 0 }
}

export function local(name: string, part: Partial<Handshake.Identity> = {}): Handshake.Local {
  return {
    identity: { ...identity(name), ...part },
    cookie: "secret",
    admit: () => ({ _tag: "Admit" }),
    timer: clock().timer,
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  }
}

/** Timers that fire when a test says so. */
export function clock(): {
  readonly timer: Handshake.Local["timer"]
  readonly pending: number
  /** Fires the timers of that length, when there is one, or after some turns whatever there is. */
  fire(millis: number, turns?: number): Promise<void>
  /** Fires the timers of that length, or all. */
  fireNow(millis?: number): void
} {
  const timers = new Map<symbol, { millis: number; f: () => void }>()
  const fireNow = (millis?: number): void => {
    for (const [id, timer] of [...timers]) {
      if (millis !== undefined && timer.millis !== millis) continue
      timers.delete(id)
      timer.f()
    }
  }
  return {
    fireNow,
    timer: (millis, f) => {
      const id = Symbol()
      timers.set(id, { millis, f })
      return () => void timers.delete(id)
    },
    get pending() {
      return timers.size
    },
    fire: async (millis, turns = 0) => {
      const due = (): boolean => [...timers.values()].some((timer) => timer.millis === millis)
      for (let i = 0; i < turns || !due(); i++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (turns > 0 && timers.size === 0) return
      }
      fireNow(millis)
    },
  }
}

export interface Ends {
  readonly dialled: { readonly connection: Connection }
  readonly accepted: { readonly connection: Connection }
}

export function memoryPair(): ReturnType<typeof connect> {
  const hub = memoryHub()
  return connect({ transport: () => memory(hub) }, { receive: false })
}

export function succeed(
  { dialled, accepted }: Ends,
  a: Handshake.Local,
  b: Handshake.Local,
): Promise<[Handshake.Established, Handshake.Established]> {
  return Promise.all([
    Handshake.initiate(dialled.connection, a),
    Handshake.respond(accepted.connection, b),
  ])
}

export async function fail(
  { dialled, accepted }: Ends,
  a: Handshake.Local,
  b: Handshake.Local,
): Promise<[Handshake.HandshakeFailed, Handshake.HandshakeFailed]> {
  const errors = await Promise.all([
    failure(Handshake.initiate(dialled.connection, a)),
    failure(Handshake.respond(accepted.connection, b)),
  ])
  for (const connection of [dialled.connection, accepted.connection]) {
    assert.equal(connection.write(text("x")), false, "the connection is closed")
  }
  return errors
}

export async function failure(shaking: Promise<unknown>): Promise<Handshake.HandshakeFailed> {
  const outcome = await settled(shaking)
  assert.ok(outcome instanceof Handshake.HandshakeFailed, String(outcome))
  assert.equal(outcome._tag, "HandshakeFailed")
  return outcome
}

export function settled(shaking: Promise<unknown>): Promise<unknown> {
  return shaking.catch((error: unknown) => error)
}

/** Both sides can use the connection. */
export async function talk(a: Connection, b: Connection): Promise<void> {
  const [one, two] = [new Side(a), new Side(b)]
  one.attach()
  two.attach()
  a.write(text("ping"))
  b.write(text("pong"))
  assert.equal(asText(await two.bytes(4)), "ping")
  assert.equal(asText(await one.bytes(4)), "pong")
}

/** A stranger that sends one body: for a challenge to a dialler, for a hello to an acceptor. */
export async function against(
  pair: { readonly dialled: Side; readonly accepted: Side },
  kind: number,
  body: (hello: Uint8Array | undefined) => Uint8Array,
): Promise<{ failed: Handshake.HandshakeFailed; refusal: Greeting.Refusal | undefined }> {
  const dials = kind === KIND.challenge
  const shaking = failure(
    dials
      ? Handshake.initiate(pair.dialled.connection, local("a"))
      : Handshake.respond(pair.accepted.connection, local("b")),
  )
  const stranger = frames(dials ? pair.accepted : pair.dialled)
  stranger.send(body(dials ? await stranger.next() : undefined))
  const answer = await stranger.next().catch(() => undefined)
  return { failed: await shaking, refusal: answer && refusalIn(answer) }
}

// --- frames ----------------------------------------------------------------------------------------

/** Reads and writes whole frames, without any understanding of them. */
export function frames(side: Side): {
  readonly connection: Connection
  readonly received: number
  next(): Promise<Uint8Array>
  send(body: Uint8Array): void
} {
  side.attach()
  let received = 0
  return {
    connection: side.connection,
    get received() {
      return received
    },
    next: async () => {
      const head = await side.bytes(4)
      const length = new DataView(head.buffer, head.byteOffset, 4).getUint32(0, true)
      received += 4 + length
      return side.bytes(length)
    },
    send: (body) => void side.connection.write(framed(body)),
  }
}

export function header(length: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, length, true)
  return bytes
}

export function framed(body: Uint8Array): Uint8Array {
  return joined([header(body.length), body])
}

export function greeting(kind: number, who: Handshake.Identity): Uint8Array {
  return Greeting.writeGreeting(kind, who, pattern(32, who.name.charCodeAt(0)))
}

/** A greeting as somebody writes it who keeps no limits. */
export function unchecked(kind: number, who: Handshake.Identity): Uint8Array {
  const writer = new Writer()
  writer.u8(kind)
  writer.string("SKEIN")
  for (const version of [1, 0, who.minor]) writer.u16(version)
  writer.bytes(pattern(32, 1))
  writer.string(who.cluster)
  writer.string(who.name)
  writer.uint(who.epoch)
  writer.u32(who.instance)
  writer.string(who.address)
  writer.u8(who.features?.length ?? 0)
  for (const feature of who.features ?? []) writer.string(feature)
  return writer.take()
}

export function refusalIn(body: Uint8Array): Greeting.Refusal {
  assert.equal(body[0], KIND.refusal)
  const read = Greeting.readRefusal(body)
  assert.ok(read !== undefined)
  return read.refusal
}

/** The proof as its definition has it, by another implementation. */
export function prove(
  role: string,
  hello: Uint8Array,
  challenge: Uint8Array,
  more: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const writer = new Writer()
  writer.string(`skein 1 ${role}`)
  for (const part of [hello, challenge, more]) writer.bytes(part)
  return new Uint8Array(createHmac("sha256", "\u0001secret").update(writer.take()).digest())
}

export function proofFrame(
  kind: number,
  role: string,
  hello: Uint8Array,
  challenge: Uint8Array,
): Uint8Array {
  return Greeting.writeProof(kind, prove(role, hello, challenge))
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}

// --- networks --------------------------------------------------------------------------------------

/** The bodies of the four frames of a handshake that succeeds. */
export async function recorded(
  pair: Ends,
  a: Handshake.Local,
  b: Handshake.Local,
): Promise<Uint8Array[]> {
  const sent: Uint8Array[] = []
  const spy = (connection: Connection): Connection => ({
    remote: connection.remote,
    write: (bytes) => {
      const reader = new Reader(bytes, 0, 4)
      assert.equal(reader.u32(), bytes.length - 4)
      sent.push(bytes.slice(4))
      return connection.write(bytes)
    },
    receive: (handlers) => connection.receive(handlers),
    close: () => connection.close(),
    destroy: () => connection.destroy(),
  })
  await Promise.all([
    Handshake.initiate(spy(pair.dialled.connection), a),
    Handshake.respond(spy(pair.accepted.connection), b),
  ])
  assert.equal(sent.length, 4)
  return sent
}

/** Two connected ends that change each chunk on its way with `way`. */
export function ends(way: (bytes: Uint8Array) => readonly Uint8Array[]): [Connection, Connection] {
  class Half implements Connection {
    readonly remote = "test"
    other: Half | undefined
    #handlers: Handlers | undefined
    readonly #inbox: Uint8Array[] = []
    #over = false
    #told = false
    write(bytes: Uint8Array): boolean {
      if (this.#over) return false
      this.other!.#inbox.push(...way(bytes))
      this.other!.#schedule()
      return true
    }
    receive(handlers: Handlers | undefined): void {
      this.#handlers = handlers
      this.#schedule()
    }
    close(): void {
      for (const half of [this, this.other!]) {
        half.#over = true
        half.#schedule()
      }
    }
    destroy(): void {
      this.close()
    }
    #schedule(): void {
      queueMicrotask(() => {
        while (this.#handlers !== undefined && this.#inbox.length > 0) {
          this.#handlers.data(this.#inbox.shift()!)
        }
        if (!this.#over || this.#told || this.#handlers === undefined) return
        this.#told = true
        this.#handlers.close("ended")
      })
    }
  }
  const [one, two] = [new Half(), new Half()]
  one.other = two
  two.other = one
  return [one, two]
}

export function crumbs(): [Connection, Connection] {
  return ends((bytes) => Array.from(bytes, (byte) => new Uint8Array([byte])))
}

/** A network that changes one byte of all that is sent, counted over both directions. */
export function tampered(
  lengths: readonly number[],
  at: number,
  mask: number,
): [Connection, Connection] {
  let frame = 0
  let start = 0
  return ends((bytes) => {
    const own = bytes.slice()
    const within = at - start
    if (frame < lengths.length && within >= 0 && within < own.length) own[within]! ^= mask
    start += lengths[frame++] ?? 0
    return [own]
  })
}

/** Passes everything on, both ways. */
export function relay(a: Connection, b: Connection): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.receive({
      data: (bytes) => void to.write(bytes),
      drain: () => {},
      close: () => to.close(),
    })
  }
}
