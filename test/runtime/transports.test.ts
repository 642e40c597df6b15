/** Several transports of one node. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { Process, startNode } from "../../mod.ts"
import { several } from "../../src/runtime/links/transports.ts"
import type { Platform } from "../../src/runtime/platform.ts"
import { type Connection, PeerUnreachable, type Transport } from "../../src/transport.ts"
import { memory, memoryHub } from "../../transports/memory.ts"
import { settled } from "./cluster.ts"

const never = new AbortController().signal

/** Timers that fire when they are told to. */
class Timers implements Pick<Platform, "timer"> {
  readonly #waiting: Array<() => void> = []

  timer = (_millis: number, run: () => void): (() => void) => {
    this.#waiting.push(run)
    return () => {
      const at = this.#waiting.indexOf(run)
      if (at >= 0) this.#waiting.splice(at, 1)
    }
  }

  get count(): number {
    return this.#waiting.length
  }

  fire(): void {
    this.#waiting.shift()?.()
  }
}

/** A dial under way: what it was for, and its ends. */
interface Dial {
  readonly address: string
  readonly signal: AbortSignal
  readonly succeed: () => Connection
  readonly fail: (reason: PeerUnreachable["reason"]) => void
}

/** A transport whose dials end when they are told to. */
function manual(kind: string): { readonly transport: Transport; readonly dials: Array<Dial> } {
  const dials: Array<Dial> = []
  const transport: Transport = {
    kind,
    trusted: false,
    listen: async () => ({ address: `${kind}:1`, close: async () => {} }),
    dial: (address, signal) =>
      new Promise((resolve, reject) => {
        dials.push({
          address,
          signal,
          succeed: () => {
            const connection = {
              remote: kind,
              destroyed: false,
              destroy: () => {},
            } as Connection & {
              destroyed: boolean
            }
            connection.destroy = () => {
              connection.destroyed = true
            }
            resolve(connection)
            return connection
          },
          fail: (reason) => reject(new PeerUnreachable(address, reason)),
        })
      }),
  }
  return { transport, dials }
}

async function turn(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

describe("several transports", () => {
  test("are one address, that lists those by which the node can be dialled", async () => {
    const mute: Transport = {
      ...manual("mute").transport,
      leaf: true,
      listen: async () => ({ address: "", close: async () => {} }),
    }
    const all = several([manual("a").transport, mute, memory(memoryHub())], new Timers())
    const listener = await all.listen(() => {})
    assert.equal(listener.address, "a:1 memory:1")
    assert.equal(all.kind, "a and mute and memory")
    assert.equal(all.trusted, false)
    assert.equal(all.leaf, true)
    assert.equal(several([memory(memoryHub())], new Timers()).trusted, true)
    await listener.close()
  })

  test("are listened on all or none", async () => {
    const hub = memoryHub()
    const taken = await memory(hub, { address: "x" }).listen(() => {})
    const other = memoryHub()
    const both = [memory(other, { address: "y" }), memory(hub, { address: "x" })]
    await assert.rejects(
      several(both, new Timers()).listen(() => {}),
      { _tag: "AddressUnavailable" },
    )
    const free = await memory(other, { address: "y" }).listen(() => {})
    await Promise.all([taken.close(), free.close()])
  })

  test("are tried in their order, the next one when one has failed or takes its time", async () => {
    const [a, b] = [manual("a"), manual("b")]
    const timers = new Timers()
    const dialling = several([a.transport, b.transport], timers).dial("x y", never)
    const begun = (): ReadonlyArray<string> => [
      ...a.dials.map(({ address }) => `a ${address}`),
      ...b.dials.map(({ address }) => `b ${address}`),
    ]
    assert.deepEqual(begun(), ["a x"])
    timers.fire()
    assert.deepEqual(begun(), ["a x", "a y"])
    a.dials[0]?.fail("refused")
    await turn()
    assert.deepEqual(begun(), ["a x", "a y", "b x"])
    assert.equal(timers.count, 1)
    const connection = b.dials[0]?.succeed()
    assert.equal(await dialling, connection)
    assert.equal(timers.count, 0)
    assert.deepEqual(
      a.dials.map(({ signal }) => signal.aborted),
      [true, true],
    )
  })

  test("that come too late are closed again", async () => {
    const [a, b] = [manual("a"), manual("b")]
    const timers = new Timers()
    const dialling = several([a.transport, b.transport], timers).dial("x", never)
    timers.fire()
    const first = a.dials[0]?.succeed()
    assert.equal(await dialling, first)
    const late = b.dials[0]?.succeed() as Connection & { destroyed: boolean }
    await turn()
    assert.equal(late.destroyed, true)
  })

  test("fail together, for the reason that says least against who is there", async () => {
    const cases = [
      [["refused", "refused"], "refused"],
      [["refused", "invalid-address"], "refused"],
      [["refused", "timeout"], "timeout"],
      [["unreachable", "refused"], "unreachable"],
      [["invalid-address", "invalid-address"], "invalid-address"],
    ] as const
    for (const [reasons, reason] of cases) {
      const [a, b] = [manual("a"), manual("b")]
      const dialling = several([a.transport, b.transport], new Timers()).dial("x", never)
      a.dials[0]?.fail(reasons[0])
      await turn()
      b.dials[0]?.fail(reasons[1])
      await assert.rejects(dialling, { _tag: "PeerUnreachable", address: "x", reason })
    }
  })

  test("are given up together", async () => {
    const [a, b] = [manual("a"), manual("b")]
    const controller = new AbortController()
    const timers = new Timers()
    const dialling = several([a.transport, b.transport], timers).dial("x", controller.signal)
    timers.fire()
    controller.abort()
    for (const { dials } of [a, b])
      for (const { signal, fail } of dials) {
        assert.equal(signal.aborted, true)
        fail("aborted")
      }
    await assert.rejects(dialling, { _tag: "PeerUnreachable", reason: "aborted" })
  })
})

test("a node with two transports joins those who have the one to those who have the other", async () => {
  const Echo = Process.define("Echo", {
    state: () => ({}),
    calls: { echo: (_self, x: number) => x },
  })
  const [one, other] = [memoryHub(), memoryHub()]
  const options = { processes: [Echo], timing: "local" } as const
  await using b = await startNode({
    ...options,
    name: "b",
    transport: [memory(one, { address: "one" }), memory(other, { address: "other" })],
  })
  assert.equal(b.address, "one other")
  await using a = await startNode({
    ...options,
    name: "a",
    transport: memory(one, { address: "a" }),
    connect: ["one"],
  })
  await using c = await startNode({
    ...options,
    name: "c",
    transport: memory(other, { address: "c" }),
    connect: ["other"],
  })
  await settled([a, b, c])
  const via = a.members().map((member) => member.via)
  assert.deepEqual(via, [[], [], ["b"]])
  const echoes = await Promise.all(Array.from({ length: 30 }, (_, i) => a.start(Echo, `${i}`)))
  assert.ok(echoes.some((_, i) => a.nodeFor(Echo, `${i}`) === "c"))
  for (const [i, echo] of echoes.entries()) assert.equal(await echo.echo(i), i)
})
