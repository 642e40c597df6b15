/**
 * The raw baseline's near side: messages of one length over a plain socket to echo.ts, everything of a
 * turn in one write.
 *
 * @module
 */
import { connect, type Socket } from "node:net"

/** How many bytes a message has on top of its payload. */
export const HEADER_BYTES = 4

/** What a run of {@link Raw.echo} measured. */
export interface Rate {
  readonly perSecond: number
  /** Of single round trips; only for one in flight. */
  readonly micros: ReadonlyArray<number>
}

/** A plain connection. */
export interface Raw {
  /** Keeps this many messages of so many bytes on their way and back, for so long. */
  echo(bytes: number, inFlight: number, millis: number): Promise<Rate>
  /** Sends `bytes` in blocks and waits for the counter's answer to all of them; messages per second. */
  stream(bytes: number, messageBytes: number, blockBytes: number): Promise<number>
}

/** Connects to a port of the echo program. */
export async function open(port: number): Promise<Raw> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true })
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", () => resolve())
    socket.once("error", reject)
  })
  return {
    echo: (bytes, inFlight, millis) => echo(socket, bytes, inFlight, millis),
    stream: (bytes, messageBytes, blockBytes) => stream(socket, bytes, messageBytes, blockBytes),
  }
}

function echo(socket: Socket, bytes: number, inFlight: number, millis: number): Promise<Rate> {
  const first = Buffer.alloc(bytes * inFlight, "x")
  for (let at = 0; at < first.length; at += bytes) first.writeUInt32LE(bytes - HEADER_BYTES, at)
  const returned = returning()
  const micros: Array<number> = []
  const begin = performance.now()
  let at = begin
  let count = 0
  let outstanding = inFlight
  return new Promise((resolve) => {
    const data = (chunk: Uint8Array): void => {
      const messages = returned(chunk)
      if (messages.length === 0) return
      const now = performance.now()
      if (inFlight === 1) micros.push((now - at) * 1000)
      at = now
      if (now - begin < millis) {
        count += messages.length / bytes
        socket.write(messages)
        return
      }
      outstanding -= messages.length / bytes
      if (outstanding > 0) return
      socket.off("data", data)
      resolve({ perSecond: (count * 1000) / millis, micros })
    }
    socket.on("data", data)
    socket.write(first)
  })
}

/**
 * Copies the whole messages of each chunk, one by one, into a buffer to write: what nobody who answers
 * messages can do without. A message is its length, in four bytes, and so many bytes more.
 */
export function returning(): (chunk: Uint8Array) => Uint8Array {
  let rest: Uint8Array = new Uint8Array(0)
  return (chunk) => {
    const input = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const output = new Uint8Array(input.length)
    let at = 0
    while (at + HEADER_BYTES <= input.length) {
      const length = input[at]! | (input[at + 1]! << 8) | (input[at + 2]! << 16)
      const end = at + HEADER_BYTES + length
      if (end > input.length) break
      output.set(input.subarray(at, end), at)
      at = end
    }
    rest = input.subarray(at)
    return output.subarray(0, at)
  }
}

async function stream(
  socket: Socket,
  bytes: number,
  messageBytes: number,
  blockBytes: number,
): Promise<number> {
  const block = Buffer.alloc(blockBytes, "x")
  const begin = performance.now()
  const answered = new Promise<void>((resolve) => socket.once("data", () => resolve()))
  for (let sent = 0; sent < bytes; sent += blockBytes) {
    const room = socket.write(block.subarray(0, Math.min(blockBytes, bytes - sent)))
    if (!room) await new Promise<void>((resolve) => socket.once("drain", () => resolve()))
  }
  await answered
  return (bytes / messageBytes / (performance.now() - begin)) * 1000
}
