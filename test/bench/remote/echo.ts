/**
 * The raw baseline's other side, without any of the library: a TCP server that returns what it gets, one
 * write per read, and one that only counts.
 *
 * @module
 */
import { type AddressInfo, createServer, type Socket } from "node:net"
import { serve } from "./channel.ts"
import { returning } from "./raw.ts"

serve({
  /** The ports of the echo, and of the counter: it writes one byte for each `bytes` that it got. */
  open: async ({ bytes }: { bytes: number }) => ({
    echo: await listen((socket) => {
      const returned = returning()
      socket.on("data", (chunk) => socket.write(returned(chunk)))
    }),
    counter: await listen((socket) => {
      let count = 0
      socket.on("data", (chunk) => {
        count += chunk.length
        for (; count >= bytes; count -= bytes) socket.write("!")
      })
    }),
  }),
})

function listen(accept: (socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, accept)
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })
}
