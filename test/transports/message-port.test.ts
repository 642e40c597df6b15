import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, startNode } from "../../mod.ts"
import { AddressUnavailable, type Transport } from "../../src/transport.ts"
import { messagePort } from "../../transports/message-port.ts"
import { settled } from "../runtime/cluster.ts"
import { conformance } from "./conformance.ts"
import { never } from "./side.ts"

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
})
