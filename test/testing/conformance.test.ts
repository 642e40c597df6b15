/** The public suite for transports notices what is wrong with one: transports that each break one promise. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { closing } from "../../src/testing/conformance/closing.ts"
import { dialling } from "../../src/testing/conformance/dialling.ts"
import { never, type Subject } from "../../src/testing/conformance/side.ts"
import { streams } from "../../src/testing/conformance/streams.ts"
import {
  type Connection,
  type Handlers,
  type Listener,
  PeerUnreachable,
  type Transport,
} from "../../src/transport.ts"
import { memory, memoryHub } from "../../transports/memory.ts"

/** Turns of the host's loop after which nothing more can be expected, as memory needs no time. */
const TURNS_MAX = 3_000

/** The first of the suite's tests that fails with a transport, or never ends. */
async function complaint(flawed: (transport: Transport) => Transport): Promise<string | undefined> {
  const tests: Array<readonly [string, () => Promise<void>]> = []
  const runner = {
    test: (name: string, run: () => Promise<void>) => tests.push([name, run]),
    expect: (value: unknown) => ({
      toBe: (other: unknown) => assert.equal(value, other),
      toEqual: (other: unknown) => assert.deepEqual(value, other),
    }),
  }
  const hub = memoryHub()
  const subject: Subject = {
    transport: () => flawed(memory(hub)),
    sameAddress: (address) => flawed(memory(hub, { address })),
    absent: "memory:nobody",
    garbage: [""],
  }
  for (const part of [streams, closing, dialling]) part(runner, async () => subject)
  for (const [name, run] of tests) {
    let over = false
    const ran = run().then(
      () => true,
      () => false,
    )
    void ran.then(() => {
      over = true
    })
    for (let turn = 0; turn < TURNS_MAX && !over; turn++)
      await new Promise((resolve) => setImmediate(resolve))
    if (!over || !(await ran)) return name
  }
  return undefined
}

type Change = (inner: Connection) => Partial<Connection>

/** A transport whose connections do something else than they should, on both sides. */
function connections(change: Change): (transport: Transport) => Transport {
  const changed = (inner: Connection): Connection => ({
    remote: inner.remote,
    write: (bytes) => inner.write(bytes),
    receive: (handlers) => inner.receive(handlers),
    close: () => inner.close(),
    destroy: () => inner.destroy(),
    ...change(inner),
  })
  return (transport) => ({
    ...transport,
    listen: (accept) => transport.listen((connection) => accept(changed(connection))),
    dial: async (address, signal) => changed(await transport.dial(address, signal)),
  })
}

/** Connections whose handlers are told something else. */
function told(change: (handlers: Handlers, inner: Connection) => Partial<Handlers>): Change {
  return (inner) => ({
    receive: (handlers) => {
      if (handlers === undefined) return inner.receive(undefined)
      inner.receive({
        data: (bytes) => handlers.data(bytes),
        drain: () => handlers.drain(),
        close: (reason) => handlers.close(reason),
        ...change(handlers, inner),
      })
    },
  })
}

const flaws: Readonly<Record<string, (transport: Transport) => Transport>> = {
  "close throws away what was written": connections((inner) => ({ close: () => inner.destroy() })),
  "the end is told twice": connections(
    told((handlers) => ({
      close: (reason) => {
        handlers.close(reason)
        handlers.close(reason)
      },
    })),
  ),
  "a destroyed connection says that it has ended": connections(
    told((handlers) => ({ close: () => handlers.close("ended") })),
  ),
  "the end is never told": connections(told(() => ({ close: () => {} }))),
  "data comes after close": connections((inner) => {
    let given: Handlers | undefined
    return {
      receive: (handlers) => {
        given = handlers
        inner.receive(handlers)
      },
      close: () => {
        inner.close()
        queueMicrotask(() => {
          try {
            given?.data(new Uint8Array(1))
          } catch {
            // What the suite makes of it it says there; it has to notice by other means.
          }
        })
      },
    }
  }),
  "two writes change places": connections((inner) => {
    let held: Uint8Array | undefined
    return {
      write: (bytes) => {
        if (held === undefined && bytes.length > 0) {
          held = bytes
          queueMicrotask(() => {
            if (held !== undefined) inner.write(held)
            held = undefined
          })
          return true
        }
        const first = inner.write(bytes)
        if (held !== undefined) inner.write(held)
        held = undefined
        return first
      },
    }
  }),
  "long writes lose a byte": connections((inner) => ({
    write: (bytes) => inner.write(bytes.length > 2 ** 20 ? bytes.subarray(1) : bytes),
  })),
  "a bit changes now and then": connections((inner) => {
    let writes = 0
    return {
      write: (bytes) => {
        if (++writes % 50 === 0 && bytes.length > 0) bytes[0] = (bytes[0] as number) ^ 1
        return inner.write(bytes)
      },
    }
  }),
  "both sides share the memory": connections(
    told((handlers) => ({
      data: (bytes) => {
        handlers.data(bytes)
        queueMicrotask(() => bytes.fill(0))
      },
    })),
  ),
  "write is always fine": connections((inner) => ({
    write: (bytes) => {
      inner.write(bytes)
      return true
    },
  })),
  "write is never fine": connections((inner) => ({
    write: (bytes) => {
      inner.write(bytes)
      return false
    },
  })),
  "room is never told": connections(told(() => ({ drain: () => {} }))),
  "handlers are called from within receive": connections((inner) => ({
    receive: (handlers) => {
      handlers?.data(new Uint8Array(0))
      inner.receive(handlers)
    },
  })),
  "what came before receive is lost": connections((inner) => {
    inner.receive({ data: () => {}, drain: () => {}, close: () => {} })
    return {}
  }),
  "handlers that were replaced are called all the same": connections((inner) => {
    let first: Handlers | undefined
    return {
      receive: (handlers) => {
        first ??= handlers
        inner.receive(handlers && first)
      },
    }
  }),
  "a taken address is given again": (transport) => ({
    ...transport,
    listen: (accept) =>
      transport.listen(accept).catch((): Listener => ({ address: "", close: async () => {} })),
  }),
  "a closed listener listens": (transport) => ({
    ...transport,
    listen: async (accept) => ({
      address: (await transport.listen(accept)).address,
      close: async () => {},
    }),
  }),
  "a closed listener takes its connections along": (transport) => {
    return {
      ...transport,
      listen: async (accept) => {
        const open: Array<Connection> = []
        const listener = await transport.listen((connection) => {
          open.push(connection)
          accept(connection)
        })
        const close = (): Promise<void> => {
          for (const connection of open) connection.destroy()
          return listener.close()
        }
        return { address: listener.address, close }
      },
    }
  },
  "a refused dial has another name": (transport) => ({
    ...transport,
    dial: (address, signal) =>
      transport.dial(address, signal).catch((error) => {
        throw error.reason === "refused" ? new PeerUnreachable(address, "unreachable") : error
      }),
  }),
  "what is no address is refused": (transport) => ({
    ...transport,
    dial: (address, signal) =>
      transport.dial(address, signal).catch((error) => {
        throw error.reason === "invalid-address" ? new PeerUnreachable(address, "refused") : error
      }),
  }),
  "a dial fails with any error": (transport) => ({
    ...transport,
    dial: (address, signal) =>
      transport.dial(address, signal).catch(() => {
        throw new Error("it didn't work")
      }),
  }),
  "a dial can't be aborted": (transport) => ({
    ...transport,
    dial: (address) => transport.dial(address, never),
  }),
}

describe("the suite for transports", () => {
  test("has nothing to say against one that keeps its promises", async () => {
    assert.equal(await complaint((transport) => transport), undefined)
    assert.equal(await complaint(connections(() => ({}))), undefined)
  })

  for (const [name, flawed] of Object.entries(flaws))
    test(`notices when ${name}`, async () => {
      assert.notEqual(await complaint(flawed), undefined)
    })
})
