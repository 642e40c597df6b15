/**
 * A hostile middle between two nodes: it takes their streams apart into frames, and flips, cuts, repeats,
 * swaps and makes up what it likes. It knows no cookie.
 *
 * @module
 */
import type { Connection, Listener, Transport } from "../../src/transport.ts"
import * as Frame from "../../src/wire/frame.ts"

/** What happened in the middle. */
export interface Record {
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

/** Frames of one side of a handshake: the dialler's hello and proof, the acceptor's challenge and welcome. */
const HANDSHAKE = 2
/** Frames of former connections that are kept to be sent again. */
const KEPT_MAX = 64
/** What nobody has read by then is thrown away with its connection. */
const BYTES_MAX = 64 * 1024 * 1024

/** A transport whose connections all pass through the middle, whoever dials. */
export function hostile(
  transport: Transport,
  record: Record,
  spite: () => Spite,
  random: () => number,
  seen: (body: Uint8Array) => void = () => {},
): Transport {
  const kept: Array<Uint8Array> = []
  return {
    ...transport,
    listen: (accept) => transport.listen(accept) as Promise<Listener>,
    dial: async (address, signal) => {
      const far = await transport.dial(address, signal)
      record.connections++
      return new Middle(far, record, spite, random, kept, seen)
    },
  }
}

/** The dialler's end of a connection, with the middle in it. */
class Middle implements Connection {
  readonly remote: string
  readonly #far: Connection
  readonly #record: Record
  readonly #spite: () => Spite
  readonly #random: () => number
  readonly #kept: Array<Uint8Array>
  readonly #out: Frame.Deframer
  readonly #in: Frame.Deframer
  #handlers: Parameters<Connection["receive"]>[0]
  #frames = { out: 0, in: 0 }
  /** Something of the handshake was changed on its way out, or in. */
  #spoilt = { out: false, in: false }
  #held: Uint8Array | undefined
  readonly #seen: (body: Uint8Array) => void

  constructor(
    far: Connection,
    record: Record,
    spite: () => Spite,
    random: () => number,
    kept: Array<Uint8Array>,
    seen: (body: Uint8Array) => void,
  ) {
    this.#seen = seen
    this.remote = far.remote
    this.#far = far
    this.#record = record
    this.#spite = spite
    this.#random = random
    this.#kept = kept
    this.#out = new Frame.Deframer(BYTES_MAX, (buffer, start, end) =>
      this.#pass("out", buffer.slice(start, end)),
    )
    this.#in = new Frame.Deframer(BYTES_MAX, (buffer, start, end) =>
      this.#pass("in", buffer.slice(start, end)),
    )
  }

  write(bytes: Uint8Array): boolean {
    this.#room = true
    this.#out.push(bytes)
    return this.#room
  }

  #room = true

  receive(handlers: Parameters<Connection["receive"]>[0]): void {
    this.#handlers = handlers
    this.#far.receive(
      handlers === undefined
        ? undefined
        : {
            data: (bytes) => void this.#in.push(bytes),
            drain: () => handlers.drain(),
            close: (reason) => this.#handlers?.close(reason),
          },
    )
  }

  close(): void {
    this.#far.close()
  }

  destroy(): void {
    this.#far.destroy()
  }

  #pass(way: "out" | "in", body: Uint8Array): void {
    const early = this.#frames[way]++ < HANDSHAKE
    if (!early) this.#seen(body)
    // Whoever goes on after a handshake that was changed has been fooled.
    if (!early && this.#frames[way] === HANDSHAKE + 1 && this.#spoilt[way === "out" ? "in" : "out"])
      this.#record.fooled++
    const { handshake, later } = this.#spite()
    if (this.#random() >= (early ? handshake : later)) return this.#send(way, body)
    this.#record.mutated++
    const spoilt = this.#mutate(way, body)
    if (early && spoilt) this.#spoilt[way] = true
  }

  /** Whether what was sent is different now, and not only more or later. */
  #mutate(way: "out" | "in", body: Uint8Array): boolean {
    const { length } = this.#kept
    if (length < KEPT_MAX) this.#kept.push(body)
    else this.#kept[Math.floor(this.#random() * length)] = body
    switch (Math.floor(this.#random() * 5)) {
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
        const other = this.#kept[Math.floor(this.#random() * this.#kept.length)] ?? body
        this.#send(way, other)
        return other !== body
      }
      case 3: // longer or shorter than it says
        this.#send(way, body, Math.floor(this.#random() * 2 ** 32))
        return true
      default:
        this.#send(way, vary(body, this.#random))
        return true
    }
  }

  #send(way: "out" | "in", body: Uint8Array, length = body.length): void {
    const frame = framed(body, length)
    if (way === "out") this.#room = this.#far.write(frame) && this.#room
    else this.#handlers?.data(frame)
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
