import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { describe, test } from "node:test"
import { Process, startNode } from "../../mod.ts"
import type { Context } from "../../src/discovery/discovery.ts"
import { AddressUnavailable, type Transport } from "../../src/transport.ts"
import { type MessagePorts, messagePort, type Port } from "../../transports/message-port.ts"
import { settled } from "../runtime/cluster.ts"
import { conformance } from "./conformance.ts"
import { listen, never, rejection, Side, text } from "./side.ts"

const open = new Set<MessageChannel>()

function channel(): MessageChannel {
  const made = new MessageChannel()
  open.add(made)
  return made
}

/** Programs end only once their ports are closed. */
function closeAll(): void {
  for (const { port1, port2 } of open) {
    port1.close()
    port2.close()
  }
  open.clear()
}

/** Each that listens has a channel of its own, at whose other end everybody dials. */
conformance("messagePort", async () => {
  const far = new Map<string, Transport>()
  const near = new Map<string, Transport>()
  const transport = (): Transport => {
    const { port1, port2 } = channel()
    const own = messagePort(port1)
    const address = `port:${open.size}`
    const other = messagePort(port2)
    const self: Transport = {
      ...own,
      listen: async (accept) => {
        const { close } = await own.listen(accept).catch((error: Error) => {
          throw new AddressUnavailable(address, error.message)
        })
        far.set(address, other)
        near.set(address, self)
        return { address, close }
      },
      dial: (to, signal) => {
        const end = far.get(to)
        return end === undefined ? own.dial(to, signal) : end.dial("port:1", signal)
      },
    }
    return self
  }
  return {
    transport,
    sameAddress: (address) => near.get(address) as Transport,
    absent: "port:999",
    garbage: ["", "port:", "port:0", "port:x", "127.0.0.1:1", "port:1 "],
    dispose: async () => closeAll(),
  }
})

describe("messagePort", () => {
  test("nodes at both ends find each other, and those at several ends through who is between", async () => {
    const Echo = Process.define("Echo", {
      state: () => ({}),
      calls: { echo: (_self, x: number) => x },
    })
    const [one, two] = [channel(), channel()]
    const options = { processes: [Echo], timing: "local" } as const
    const page = messagePort(one.port1)
    await using a = await startNode({ ...options, name: "a", transport: page })
    await using b = await startNode({ ...options, name: "b", transport: messagePort(one.port2) })
    await settled([a, b])
    assert.equal(page.add(two.port1), "port:2")
    await using c = await startNode({ ...options, name: "c", transport: messagePort(two.port2) })
    await settled([a, b, c])
    assert.deepEqual(
      b.members().map(({ via }) => via),
      [[], [], ["a"]],
    )
    const echoes = await Promise.all(Array.from({ length: 30 }, (_, i) => b.start(Echo, `${i}`)))
    for (const [i, echo] of echoes.entries()) assert.equal(await echo.echo(i), i)
    await Promise.all([a.stop(), b.stop(), c.stop()])
    closeAll()
  })

  test("what else comes on a port is none of its business", async () => {
    const { port1, port2 } = channel()
    await messagePort(port1).listen(() => {})
    const garbage = [null, 1, "x", {}, { skein: null }, { skein: { _tag: "Open" } }]
    for (const data of [...garbage, { skein: { _tag: "Data", n: 1, own: true, bytes: "x" } }])
      port2.postMessage(data)
    const connection = await messagePort(port2).dial("port:1", never)
    connection.destroy()
    closeAll()
  })

  test("what is forged for a connection doesn't make a handler throw, and ends nothing", async () => {
    const { port1, port2 } = channel()
    const listening = await listen({ transport: () => messagePort(port1) })
    const side = new Side(await messagePort(port2).dial("port:1", never))
    side.attach()
    const other = await listening.next()
    other.attach()
    const odd = [5n, null, "5", {}, [new Date(0)], Number.NaN]
    for (const _tag of ["Credit", "Data", "?", 1, null])
      for (const bytes of odd) port2.postMessage({ skein: { _tag, n: 1, own: true, bytes } })
    side.connection.write(text("x"))
    assert.deepEqual(await other.bytes(1), text("x"))
    side.connection.destroy()
    await other.closed
    closeAll()
  })

  test("what lies behind the bytes that are written stays here", async () => {
    const { port1, port2 } = channel()
    const [here, there] = [messagePort(port1), messagePort(port2)]
    const listening = await listen({ transport: () => here })
    const side = new Side(await there.dial("port:1", never))
    const other = await listening.next()
    const { buffer } = await new Promise<Uint8Array>((resolve) => {
      other.connection.receive({ data: resolve, drain: () => {}, close: () => {} })
      side.connection.write(Buffer.from(new ArrayBuffer(100), 10, 3))
    })
    assert.equal(buffer.byteLength, 3)
    closeAll()
  })

  test("a port that is closed ends what is on it, and isn't found any more", async () => {
    const first = told()
    const { transport, found, dialled } = await over(first, told().port)
    assert.deepEqual(found(), ["port:1", "port:2"])
    first.tell("close")
    assert.equal(await dialled.closed, "reset")
    assert.deepEqual(found(), ["port:2"])
    const error = await rejection(transport.dial("port:1", never))
    assert.equal((error as { reason?: string }).reason, "refused")
    assert.equal(transport.add(told().port), "port:3")
    closeAll()
  })

  test("a message that can't be read ends what is on its port, at both ends, and not the port", async () => {
    const first = told()
    const { transport, found, dialled, accepted } = await over(first)
    first.tell("messageerror")
    assert.equal(await dialled.closed, "reset")
    assert.equal(await accepted.closed, "reset")
    assert.deepEqual(found(), ["port:1"])
    const again = await transport.dial("port:1", never)
    again.destroy()
    closeAll()
  })
})

/** One end of a channel, whose events other than messages come when the test says so; and its other end. */
function told(): {
  readonly port: Port
  readonly far: MessagePort
  readonly tell: (type: string) => void
} {
  const { port1, port2 } = channel()
  const listeners = new Map<string, (event: object) => void>()
  const port: Port = {
    postMessage: (message) => port1.postMessage(message),
    addEventListener: (type, listener) => {
      if (type === "message") port1.addEventListener(type, listener)
      else listeners.set(type, listener)
    },
    start: () => port1.start(),
  }
  return { port, far: port2, tell: (type) => listeners.get(type)?.(new Event(type)) }
}

/** A transport over these ports, what it finds, and both sides of a connection over the first port. */
async function over(
  { port, far }: { readonly port: Port; readonly far: Port },
  ...more: ReadonlyArray<Port>
): Promise<{
  readonly transport: MessagePorts
  readonly found: () => ReadonlyArray<string>
  readonly dialled: Side
  readonly accepted: Side
}> {
  const transport = messagePort([port, ...more])
  let latest: ReadonlyArray<string> = []
  const found = (addresses: ReadonlyArray<string>): void => {
    latest = addresses
  }
  void transport.discovery?.start({ signal: never, found } as Context)
  const listening = await listen({ transport: () => messagePort(far) })
  const dialled = new Side(await transport.dial("port:1", never))
  const accepted = await listening.next()
  for (const side of [dialled, accepted]) side.attach()
  return { transport, found: () => latest, dialled, accepted }
}
