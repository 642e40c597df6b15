/**
 * The part of the suite for transports that is about whole nodes over them.
 *
 * @module
 */
import type { Ref } from "../../runtime/definition.ts"
import { TooLarge } from "../../runtime/errors.ts"
import { startNode } from "../../runtime/launch.ts"
import type { Node } from "../../runtime/node.ts"
import type { NodeOptions } from "../../runtime/options.ts"
import * as Process from "../../runtime/process.ts"
import type { Connection, Transport } from "../../transport.ts"
import type { Runner } from "./runner.ts"
import { is, listen, never, rejection, Side, type Subject, text } from "./side.ts"

const Echo = Process.define("Echo", {
  state: () => ({}),
  calls: { echo: (_self, value: string) => value, never: () => new Promise<void>(() => {}) },
})

const FRAME_BYTES_MAX = 8 * 1024 * 1024

/** Registers the tests; `subject` is there when they run. */
export function nodes({ test, expect }: Runner, subject: () => Promise<Subject>): void {
  const start = async (
    name: string,
    connect: ReadonlyArray<string>,
    options: Partial<NodeOptions> = {},
  ): Promise<Node> =>
    startNode({
      name,
      transport: (await subject()).transport(),
      cookie: "secret",
      timing: "local",
      processes: [Echo],
      connect,
      ...options,
    })

  test("nodes: eight of them all see each other", async () => {
    const first = await start("n0", [])
    const others = await Promise.all(
      Array.from({ length: 7 }, (_, i) => start(`n${i + 1}`, [first.address])),
    )
    const all = [first, ...others]
    await see(all)
    for (const node of all) expect(node.members().every(({ via }) => via?.length === 0)).toBe(true)
    await Promise.all(all.map((node) => node.stop()))
  })

  test("nodes: two that dial each other at once have one link", async () => {
    const { transport } = await subject()
    const [one, other] = [count(transport()), count(transport())]
    const a = await start("a", [], { transport: one.transport })
    const b = await start("b", [a.address], { transport: other.transport })
    await see([a, b])
    for (let i = 0; i < 5; i++) {
      // Both miss it at once, and dial.
      for (const counted of [one, other]) cut(counted)
      await see([a, b])
      while (one.open.size !== 1 || other.open.size !== 1) await turn()
    }
    await Promise.all([a.stop(), b.stop()])
  })

  test("nodes: a connection that is lost comes back", async () => {
    const { transport } = await subject()
    const spied = count(transport())
    const a = await start("a", [])
    const b = await start("b", [a.address], { transport: spied.transport })
    await see([a, b])
    for (let i = 0; i < 3; i++) {
      cut(spied)
      await see([a, b])
    }
    await Promise.all([a.stop(), b.stop()])
  })

  test("nodes: large arguments arrive, and too large ones are an error that ends nothing else", async () => {
    const a = await start("a", [])
    const b = await start("b", [a.address])
    await see([a, b])
    const far = await remote(a, b)
    const large = "x".repeat(4_000_000)
    expect((await far.echo(large)) === large).toBe(true)
    is(await rejection(far.echo("x".repeat(FRAME_BYTES_MAX + 1))), TooLarge)
    expect(await far.echo("still here")).toBe("still here")
    await Promise.all([a.stop(), b.stop()])
  })

  test("nodes: strangers that say nothing sensible are cut off, and harm nobody", async () => {
    const a = await start("a", [])
    const transport = (await subject()).transport()
    const huge = new Uint8Array([0xff, 0xff, 0xff, 0x7f, 1, 2, 3])
    for (const bytes of [text("GET / HTTP/1.1\r\n\r\n"), huge, new Uint8Array(100_000)]) {
      const side = new Side(await transport.dial(a.address, never))
      side.attach()
      side.connection.write(bytes)
      await side.closed
    }
    const silent = await transport.dial(a.address, never)
    const b = await start("b", [a.address])
    await see([a, b])
    silent.destroy()
    await Promise.all([a.stop(), b.stop()])
  })

  test("nodes: a node that stops in the middle of calls leaves none of them waiting", async () => {
    const a = await start("a", [])
    const b = await start("b", [a.address])
    await see([a, b])
    const far = await remote(a, b)
    const calls = Array.from({ length: 50 }, () => rejection(far.with({ timeout: 1_000 }).never()))
    // Two turns later they are there.
    for (let i = 0; i < 2; i++) await turn()
    await b.stop()
    const errors = await Promise.all(calls)
    for (const error of errors) is(error, Error)
    await a.stop()
  })

  test("nodes: one whose address is taken doesn't start", async () => {
    const { sameAddress } = await subject()
    if (sameAddress === undefined) return
    const { listener } = await listen(await subject())
    const transport = sameAddress(listener.address)
    const error = await rejection(start("a", [], { transport }))
    expect((error as { readonly _tag?: string })._tag).toBe("AddressUnavailable")
    await listener.close()
  })
}

/** Waits until all of them see each other up, with links, and agree on the ring. */
async function see(nodes: ReadonlyArray<Node>): Promise<void> {
  const seen = (node: Node): boolean => {
    const up = node.members().filter(({ status, via }) => status === "up" && via !== undefined)
    return nodes.every(({ name }) => up.some((member) => member.name === name))
  }
  // (Not all that this waits for is told by events.)
  while (!nodes.every(seen)) await turn()
  await Promise.all(nodes.map((node) => node.settled()))
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0))
}

/** A process of `b`, as `a` reaches it. */
async function remote(a: Node, b: Node): Promise<Ref<typeof Echo>> {
  const group = a.group("conformance", Echo)
  const events = group.events()
  await b.group("conformance", Echo).join(await b.spawn(Echo))
  if (group.count === 0) await events.next()
  await events.return?.()
  const [member] = group.members()
  if (member === undefined) throw new Error("the member isn't there")
  return member.ref
}

/** A transport and the connections through it that are open. */
interface Counted {
  readonly transport: Transport
  readonly open: Set<Connection>
}

function count(inner: Transport): Counted {
  const open = new Set<Connection>()
  const spy = (connection: Connection): Connection => {
    open.add(connection)
    const receive = connection.receive.bind(connection)
    const end = (name: "close" | "destroy"): (() => void) => {
      const real = connection[name].bind(connection)
      return () => {
        open.delete(connection)
        real()
      }
    }
    return Object.assign(Object.create(connection) as Connection, {
      write: connection.write.bind(connection),
      close: end("close"),
      destroy: end("destroy"),
      receive: (handlers: Parameters<Connection["receive"]>[0]) =>
        receive(
          handlers === undefined
            ? undefined
            : {
                ...{ data: handlers.data, drain: handlers.drain },
                close: (reason) => {
                  open.delete(connection)
                  handlers.close(reason)
                },
              },
        ),
    })
  }
  return {
    open,
    transport: {
      ...inner,
      listen: (accept) => inner.listen((connection) => accept(spy(connection))),
      dial: async (address, signal) => spy(await inner.dial(address, signal)),
    },
  }
}

/** Destroys all connections. */
function cut({ open }: Counted): void {
  for (const connection of [...open]) connection.destroy()
}
