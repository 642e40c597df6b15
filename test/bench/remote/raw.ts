/**
 * The raw baseline's near side: messages of one length over a plain socket to echo.ts, everything of a
 * turn in one write.
 *
 * @module
 */
import { connect, type Socket } from "node:net"

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
  const block = Buffer.alloc(bytes * inFlight, "x")
  const micros: Array<number> = []
  const begin = performance.now()
  let at = begin
  let count = 0
  let got = 0
  let outstanding = inFlight
  return new Promise((resolve) => {
    const data = (chunk: Uint8Array): void => {
      got += chunk.length
      const whole = Math.floor(got / bytes)
      if (whole === 0) return
      got -= whole * bytes
      const now = performance.now()
      if (inFlight === 1) micros.push((now - at) * 1000)
      at = now
      if (now - begin < millis) {
        count += whole
        socket.write(block.subarray(0, whole * bytes))
        return
      }
      outstanding -= whole
      if (outstanding > 0) return
      socket.off("data", data)
      resolve({ perSecond: (count * 1000) / millis, micros })
    }
    socket.on("data", data)
    socket.write(block)
  })
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
