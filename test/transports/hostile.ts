/**
 * A hostile middle between two nodes: it takes their streams apart into frames, and flips, cuts, repeats,
 * swaps and makes up what it likes. It knows no cookie.
 *
 * @module
 */
import type { Connection, Transport } from "../../src/transport.ts"
import * as Frame from "../../src/wire/frame.ts"
import { KIND } from "../../src/wire/greeting.ts"
import { never } from "./side.ts"

/** What happened in the middle. */
export interface Tally {
  /** Frames that were changed, made up, left out, repeated or put in another place, and sent on. */
  mutated: number
  /** Connections that the middle was part of. */
  connections: number
  /** Handshakes that went on as if nothing had happened though something in them was changed. */
  fooled: number
}

/** How often something is done to a frame, of 1. */
export interface Spite {
  readonly handshake: number
  readonly later: number
}

/** What a middle is given. */
export interface Means {
  readonly tally: Tally
  readonly spite: () => Spite
  readonly random: () => number
  /** The connections that stand. */
  readonly open?: Set<Connection>
  /** Whether both ends leave out their seals: the bodies are messages. */
  readonly secure?: boolean
  /** Sees each body that is sent, before anything is done to it. */
  readonly seen?: (way: Way, body: Uint8Array, connection: number) => void
}

/** From the side that dialled, or to it. */
export type Way = "out" | "in"

/** Frames of one side of a handshake: the dialler's hello and proof, the acceptor's challenge and welcome. */
export const HANDSHAKE = 2
/** Frames of former connections that are kept to be sent again. */
const KEPT_MAX = 64
/** What nobody has read by then is thrown away with its connection. */
const BYTES_MAX = 64 * 1024 * 1024

/** A transport whose connections all pass through the middle, whoever dials. */
export function hostile(transport: Transport, means: Means): Transport {
  const kept: Array<Uint8Array> = []
  return {
    ...transport,
    trusted: false,
    dial: async (address, signal) => {
      const far = await transport.dial(address, signal)
      means.tally.connections++
      return new Middle(far, means, kept)
    },
  }
}

/** The dialler's end of a connection, with the middle in it. */
class Middle implements Connection {
  readonly remote: string
  readonly bus: boolean
  readonly secure: boolean
  readonly #far: Connection
  readonly #means: Means
  readonly #kept: Array<Uint8Array>
  readonly #number: number
  readonly #deframers: Readonly<Record<Way, Frame.Deframer>>
  readonly #frames = { out: 0, in: 0 }
  /** Something of the handshake was changed on its way out, or in. */
  readonly #spoilt = { out: false, in: false }
  #handlers: Parameters<Connection["receive"]>[0]
  #held: Uint8Array | undefined
  #unread: Array<Uint8Array> = []
  #room = true

  constructor(far: Connection, means: Means, kept: Array<Uint8Array>) {
    this.remote = far.remote
    this.bus = far.bus ?? false
    this.secure = means.secure ?? false
    this.#far = far
    this.#means = means
    this.#kept = kept
    this.#number = means.tally.connections
    means.open?.add(this)
    const deframer = (way: Way): Frame.Deframer =>
      new Frame.Deframer(BYTES_MAX, (buffer, start, end) =>
        this.#pass(way, buffer.slice(start, end)),
      )
    this.#deframers = { out: deframer("out"), in: deframer("in") }
  }

  write(bytes: Uint8Array): boolean {
    this.#room = true
    this.#deframers.out.push(bytes)
    return this.#room
  }

  receive(handlers: Parameters<Connection["receive"]>[0]): void {
    this.#handlers = handlers
    if (handlers !== undefined && this.#unread.length > 0)
      queueMicrotask(() => {
        for (const frame of this.#unread.splice(0)) this.#hand(frame)
      })
    this.#far.receive(
      handlers === undefined
        ? undefined
        : {
            data: (bytes) => void this.#deframers.in.push(bytes),
            drain: () => handlers.drain(),
            close: (reason) => {
              this.#means.open?.delete(this)
              this.#handlers?.close(reason)
            },
          },
    )
  }

  close(): void {
    this.#far.close()
  }

  destroy(): void {
    this.#far.destroy()
  }

  #pass(way: Way, body: Uint8Array): void {
    const { tally, spite, random, seen } = this.#means
    const early = this.#frames[way]++ < HANDSHAKE
    seen?.(way, body, this.#number)
    // Whoever goes on after a handshake that was changed has been fooled.
    if (!early && this.#frames[way] === HANDSHAKE + 1 && this.#spoilt[way === "out" ? "in" : "out"])
      tally.fooled++
    const { handshake, later } = spite()
    if (random() >= (early ? handshake : later)) return this.#send(way, body)
    tally.mutated++
    const spoilt = this.#mutate(way, body)
    if (early && spoilt) this.#spoilt[way] = true
  }

  /** Whether what was sent is different now, and not only more or later. */
  #mutate(way: Way, body: Uint8Array): boolean {
    const { random } = this.#means
    const { length } = this.#kept
    if (length < KEPT_MAX) this.#kept.push(body)
    else this.#kept[Math.floor(random() * length)] = body
    switch (Math.floor(random() * 5)) {
      case 0: {
        // after the next one
        const held = this.#held
        this.#held = body
        if (held !== undefined) this.#send(way, held)
        return false
      }
      case 1: // twice
        this.#send(way, body)
        this.#send(way, body)
        return false
      case 2: {
        // one of another time, perhaps of another connection
        const other = this.#kept[Math.floor(random() * this.#kept.length)] ?? body
        this.#send(way, other)
        return other !== body
      }
      case 3: // longer or shorter than it says
        this.#send(way, body, Math.floor(random() * 2 ** 32))
        return true
      default:
        this.#send(way, vary(body, random))
        return true
    }
  }

  #send(way: Way, body: Uint8Array, length = body.length): void {
    const frame = framed(body, length)
    if (way === "out") this.#room = this.#far.write(frame) && this.#room
    else this.#hand(frame)
  }

  /** What comes behind the handshake in one chunk waits for who takes over. */
  #hand(frame: Uint8Array): void {
    if (this.#handlers === undefined || this.#unread.length > 0) this.#unread.push(frame)
    else this.#handlers.data(frame)
  }
}

/** A body as a frame, which may lie about its length. */
export function framed(body: Uint8Array, length: number = body.length): Uint8Array {
  const frame = new Uint8Array(4 + body.length)
  new DataView(frame.buffer).setUint32(0, length, true)
  frame.set(body, 4)
  return frame
}

/** A copy of a body with a byte or some changed, cut off, or all noise. Never the same as before. */
export function vary(body: Uint8Array, random: () => number): Uint8Array {
  const at = Math.floor(random() * body.length)
  const what = random()
  if (what < 0.15) return body.slice(0, at)
  const changed = what < 0.2 ? body.map(() => Math.floor(random() * 256)) : body.slice()
  changed[at] = (body[at] ?? 0) ^ (1 + Math.floor(random() * 255))
  if (what > 0.8) {
    const other = Math.floor(random() * body.length)
    changed[other] = (changed[other] ?? 0) ^ (other === at ? 0 : 1 << Math.floor(random() * 8))
  }
  return changed
}

/** Uniform, from a seed: mulberry32. */
export function chances(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Counts the welcomes that a node says to those who dial it. */
export function counting(transport: Transport, welcomed: () => void): Transport {
  return {
    ...transport,
    listen: (accept) =>
      transport.listen((connection) => {
        let writes = 0
        accept({
          remote: connection.remote,
          write: (bytes) => {
            if (++writes === HANDSHAKE && bytes[Frame.HEADER_BYTES] === KIND.welcome) welcomed()
            return connection.write(bytes)
          },
          receive: (handlers) => connection.receive(handlers),
          close: () => connection.close(),
          destroy: () => connection.destroy(),
        })
      }),
  }
}

/** Hears nothing on a connection but its end. */
export function listenTo(connection: Connection): {
  readonly open: boolean
  readonly closed: Promise<void>
} {
  let open = true
  const closed = new Promise<void>((resolve) =>
    connection.receive({
      data: () => {},
      drain: () => {},
      close: () => {
        open = false
        resolve()
      },
    }),
  )
  return {
    get open() {
      return open
    },
    closed,
  }
}

/** Dials a node and says what others said before, or something like it; how many frames that were. */
export async function intrude(
  transport: Transport,
  address: string,
  said: ReadonlyArray<Uint8Array>,
  random: () => number,
): Promise<number> {
  const connection = await transport.dial(address, never)
  const ear = listenTo(connection)
  // As it was said up to here, and then not.
  const faithful = Math.floor(random() * random() * said.length)
  let sent = 0
  for (; sent < said.length && ear.open; sent++) {
    const other = said[Math.floor(random() * said.length)] as Uint8Array
    const body = sent < faithful ? (said[sent] as Uint8Array) : vary(other, random)
    const length = random() < 0.95 ? body.length : Math.floor(random() * 2 ** 32)
    connection.write(framed(body, length))
    if (random() < 0.2) await turn()
  }
  await turn()
  if (random() < 0.5) connection.close()
  else connection.destroy()
  await ear.closed
  return sent
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
