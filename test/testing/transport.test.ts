import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { real } from "../../src/testing/nodes/guard.ts"
import * as Transport from "../../src/testing/nodes/transport.ts"
import { Host } from "../../src/testing/world/host.ts"
import type { Network } from "../../src/testing/world/network.ts"
import { World } from "../../src/testing/world/world.ts"
import type { Connection } from "../../src/transport.ts"
import { conformance } from "../transports/conformance.ts"
import { never } from "../transports/side.ts"

function host(net: Network<Uint8Array>): Host {
  const host = new Host(net.world, `n${net.hosts.length}`)
  net.hosts.push(host)
  host.start()
  return host
}

conformance("the simulated transport", async () => {
  const world = new World({ name: "test", seed: 1 })
  const net = Transport.network(world)
  let live = true
  const turn = (): void => {
    for (let i = 0; i < 100 && world.step(); i++);
    if (live) real.macrotask(turn)
  }
  turn()
  return {
    transport: () => Transport.transport(net, host(net)),
    sameAddress: (address) =>
      Transport.transport(net, net.hosts.find(({ name }) => name === address) as Host),
    absent: "nobody",
    // Every text may be the name of a host.
    garbage: [],
    dispose: async () => {
      live = false
    },
  }
})

describe("the simulated transport", () => {
  /** A connection, and the chunks that come out of it when time passes. */
  async function connected(seed = 1): Promise<{
    net: Network<Uint8Array>
    connection: Connection
    came: Array<Uint8Array>
  }> {
    const net = Transport.network(new World({ name: "test", seed, keep: true }))
    const came: Array<Uint8Array> = []
    await Transport.transport(net, host(net)).listen((accepted) => {
      accepted.receive({ data: (bytes) => void came.push(bytes), drain() {}, close() {} })
    })
    const dialling = Transport.transport(net, host(net)).dial("n0", never)
    net.world.run(1_000_000)
    return { net, connection: await dialling, came }
  }

  test("hangs up on who accepted a dial that was given up meanwhile", async () => {
    const { net } = await connected()
    const accepted: Array<string> = []
    await Transport.transport(net, host(net)).listen((connection) => {
      accepted.push("accepted")
      connection.receive({ data() {}, drain() {}, close: (reason) => void accepted.push(reason) })
    })
    const given = new AbortController()
    const dialling = Transport.transport(net, host(net)).dial("n2", given.signal)
    given.abort()
    await assert.rejects(dialling, /aborted/)
    net.world.run(2_000_000)
    assert.deepEqual(accepted, ["accepted", "reset"])
  })

  test("cuts what is longer than the longest chunk, and brings all of it", async () => {
    const { net, connection, came } = await connected()
    net.mtuBytes = 3
    connection.write(Uint8Array.from([1, 2, 3, 4, 5, 6, 7]))
    connection.write(Uint8Array.from([8, 9, 10]))
    net.world.run(2_000_000)
    const chunks = came.map((bytes) => [...bytes])
    assert.deepEqual(chunks, [[1, 2, 3], [4, 5, 6], [7], [8, 9, 10]])
  })

  test("flips one to three bits of a garbled chunk, not the sender's, alike in every run", async () => {
    const counts = new Set<number>()
    const runs: Array<ReadonlyArray<number>> = []
    for (const seed of [1, 1, 2, 3, 4, 5, 6, 7]) {
      const { net, connection, came } = await connected(seed)
      net.rule(() => "corrupt")
      const sent = new Uint8Array(64)
      connection.write(sent)
      net.world.run(2_000_000)
      assert.ok(sent.every((byte) => byte === 0))
      const bytes = [...(came[0] ?? [])]
      runs.push(bytes)
      counts.add(bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0))
    }
    assert.deepEqual([...counts].toSorted(), [1, 2, 3])
    assert.deepEqual(runs[0], runs[1])
    assert.notDeepEqual(runs[0], runs[2])
  })

  test("gives a doubled chunk twice, each with bytes of its own", async () => {
    const { net, connection, came } = await connected()
    net.rule(() => "duplicate")
    connection.write(Uint8Array.from([1, 2]))
    net.world.run(2_000_000)
    assert.deepEqual(
      came.map((bytes) => [...bytes]),
      [
        [1, 2],
        [1, 2],
      ],
    )
    came[0]?.fill(0)
    assert.deepEqual([...(came[1] ?? [])], [1, 2])
  })
})
