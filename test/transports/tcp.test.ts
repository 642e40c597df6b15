import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import * as net from "node:net"
import { describe, test } from "node:test"
import { AddressUnavailable, PeerUnreachable } from "../../src/transport.ts"
import { type TcpOptions, type TlsOptions, tcp } from "../../transports/tcp.ts"
import * as Certificates from "./certificates.ts"
import { conformance } from "./conformance.ts"
import {
  asText,
  connect,
  listen,
  never,
  pattern,
  rejection,
  Side,
  type Subject,
  text,
} from "./side.ts"

const mutual: TlsOptions = {
  key: Certificates.node.key,
  cert: Certificates.node.cert,
  ca: Certificates.ca,
  requestCert: true,
}

conformance("tcp on IPv4", () => subject({}))
conformance("tcp on IPv6", () => subject({ host: "::1" }))
conformance("tcp with TLS", () => subject({ tls: mutual }))

describe("tcp", () => {
  test("others can reach it: a cookie is needed", () => {
    assert.equal(tcp({ port: 0 }).trusted, false)
  })

  test("it listens on loopback unless told otherwise, on the port that the system chose", async () => {
    const { listener } = await listen({ transport: () => tcp({ port: 0 }) })
    assert.match(listener.address, /^127\.0\.0\.1:\d+$/)
    assert.notEqual(listener.address, "127.0.0.1:0")
    await listener.close()
  })

  test("an IPv6 address is written in brackets", async () => {
    const { listener } = await listen({ transport: () => tcp({ port: 0, host: "::1" }) })
    assert.match(listener.address, /^\[::1\]:[1-9]\d*$/)
    await listener.close()
  })

  test("`advertise` is what others are told, with its own port or the real one", async () => {
    const cases: [string, RegExp][] = [
      ["a.example.org", /^a\.example\.org:[1-9]\d*$/],
      ["a.example.org:7001", /^a\.example\.org:7001$/],
      ["10.0.0.5", /^10\.0\.0\.5:[1-9]\d*$/],
      ["fd00::5", /^\[fd00::5\]:[1-9]\d*$/],
      ["[fd00::5]", /^\[fd00::5\]:[1-9]\d*$/],
      ["[fd00::5]:7001", /^\[fd00::5\]:7001$/],
    ]
    for (const [advertise, expected] of cases) {
      const listener = await tcp({ port: 0, host: "0.0.0.0", advertise }).listen(() => {})
      assert.match(listener.address, expected)
      await listener.close()
    }
  })

  test("every interface is no address for others: it takes an `advertise`", async () => {
    for (const host of ["0.0.0.0", "::", "0:0::0", ""]) {
      const error = await rejection(tcp({ port: 0, host }).listen(() => {}))
      assert.ok(error instanceof AddressUnavailable)
      assert.match(error.message, /advertise/)
    }
  })

  test("an address or a port that isn't ours to take is a typed error", async () => {
    const options: TcpOptions[] = [
      { port: 0, host: "192.0.2.1" },
      { port: 0, host: "no such host" },
      { port: -1 },
      { port: 65_536 },
      { port: 1.5 },
      { port: Number.NaN },
    ]
    for (const option of options) {
      const error = await rejection(tcp(option).listen(() => {}))
      assert.ok(error instanceof AddressUnavailable, JSON.stringify(option))
    }
  })

  test("a name that nothing is known of is unreachable", async () => {
    const error = await rejection(tcp({ port: 0 }).dial("nobody.invalid:7001", never))
    assert.ok(error instanceof PeerUnreachable)
    assert.equal(error.reason, "unreachable")
    assert.ok(error.cause instanceof Error)
  })

  test("names are looked up", async () => {
    const listening = await listen({ transport: () => tcp({ port: 0, host: "localhost" }) })
    assert.match(listening.listener.address, /^localhost:\d+$/)
    const connection = await tcp({ port: 0 }).dial(listening.listener.address, never)
    connection.destroy()
    await listening.listener.close()
  })

  test("`remote` says where the other side is", async () => {
    await using pair = await connect({ transport: () => tcp({ port: 0 }) })
    assert.match(pair.dialled.connection.remote, /^127\.0\.0\.1:\d+$/)
    assert.match(pair.accepted.connection.remote, /^127\.0\.0\.1:\d+$/)
    assert.notEqual(pair.dialled.connection.remote, pair.accepted.connection.remote)
  })

  test("the high water is counted in bytes that the system didn't take", async () => {
    await using pair = await connect(
      { transport: () => tcp({ port: 0, highWaterBytes: 64 * 1024 }) },
      { receive: false },
    )
    pair.dialled.attach()
    while (pair.dialled.connection.write(pattern(16_384, 1))) await pair.dialled.breath()
    pair.accepted.discard = true
    pair.accepted.attach()
    await pair.dialled.drained()
    assert.equal(pair.dialled.connection.write(text("x")), true)
  })

  test("a peer that resets the connection is seen as a reset", async () => {
    const listening = await listen({ transport: () => tcp({ port: 0 }) })
    const { port } = portOf(listening.listener.address)
    const raw = net.connect({ port, host: "127.0.0.1" })
    raw.on("error", () => {})
    const side = await listening.next()
    side.attach()
    raw.write("hello")
    await side.bytes(5)
    // Unread bytes turn the end into a reset on every system.
    raw.pause()
    while (side.connection.write(pattern(65_536, 1))) await side.breath()
    raw.destroy()
    assert.equal(await side.closed, "reset")
    await listening.listener.close()
  })

  test("a peer that half-closes still gets what was on its way, then the end", async () => {
    const listening = await listen({ transport: () => tcp({ port: 0 }) })
    const { port } = portOf(listening.listener.address)
    const raw = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
    let got = 0
    const ended = new Promise<void>((resolve) => raw.on("end", resolve))
    raw.on("data", (bytes) => {
      got += bytes.length
    })
    raw.write("hello")
    const side = await listening.next()
    side.attach()
    await side.bytes(5)
    for (let i = 0; i < 64; i++) side.connection.write(pattern(65_536, i))
    raw.end()
    assert.equal(await side.closed, "ended")
    await ended
    assert.equal(got, 64 * 65_536)
    raw.destroy()
    await listening.listener.close()
  })
})

describe("tcp with TLS", () => {
  test("text in the clear gets nowhere, and is reported", async () => {
    const errors: Error[] = []
    let told = (): void => {}
    const reported = new Promise<void>((resolve) => {
      told = resolve
    })
    const onError = (error: Error): void => {
      errors.push(error)
      told()
    }
    const listening = await listen({ transport: () => tcp({ port: 0, tls: mutual, onError }) })
    const raw = net.connect({ ...portOf(listening.listener.address), host: "127.0.0.1" })
    const closed = new Promise<void>((resolve) => raw.on("close", () => resolve()))
    raw.on("error", () => {})
    raw.on("data", () => {})
    raw.write("GET / HTTP/1.1\r\n\r\n")
    await Promise.all([closed, reported])
    assert.ok(errors.length > 0)
    await listening.listener.close()
  })

  test("a server that never answers is given up, by the clock or by the caller", async () => {
    const sockets: net.Socket[] = []
    const silent = net.createServer((socket) => {
      socket.on("error", () => {})
      sockets.push(socket)
      arrived()
    })
    let arrived = (): void => {}
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
    const address = `127.0.0.1:${(silent.address() as net.AddressInfo).port}`

    const hasty = tcp({ port: 0, tls: mutual, connectTimeoutMillis: 10 })
    const late = await rejection(hasty.dial(address, never))
    assert.ok(late instanceof PeerUnreachable)
    assert.equal(late.reason, "timeout")

    const controller = new AbortController()
    const there = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const dialling = rejection(tcp({ port: 0, tls: mutual }).dial(address, controller.signal))
    await there
    controller.abort()
    const aborted = await dialling
    assert.ok(aborted instanceof PeerUnreachable)
    assert.equal(aborted.reason, "aborted")

    for (const socket of sockets) socket.destroy()
    await new Promise<void>((resolve) => silent.close(() => resolve()))
  })

  test("a server that the dialler's authority doesn't vouch for is not dialled", async () => {
    const listening = await listen({
      transport: () => tcp({ port: 0, tls: Certificates.stranger }),
    })
    const dialler = tcp({ port: 0, tls: mutual })
    const error = await rejection(dialler.dial(listening.listener.address, never))
    assert.ok(error instanceof PeerUnreachable)
    assert.equal(error.reason, "unreachable")
    assert.ok(error.cause instanceof Error)
    await listening.listener.close()
  })

  test("a server whose certificate is for another name is not dialled", async () => {
    const listening = await listen({ transport: () => tcp({ port: 0, tls: mutual }) })
    const dialler = tcp({ port: 0, tls: { ...mutual, servername: "elsewhere.example.org" } })
    const error = await rejection(dialler.dial(listening.listener.address, never))
    assert.ok(error instanceof PeerUnreachable)
    assert.equal(error.reason, "unreachable")
    await listening.listener.close()
  })

  for (const [who, own] of [
    ["without a certificate", {}],
    ["with another authority's certificate", Certificates.stranger],
  ] as const) {
    test(`with \`requestCert\`, a client ${who} is never accepted`, async () => {
      let accepted = 0
      let told = (): void => {}
      const reported = new Promise<void>((resolve) => {
        told = resolve
      })
      const listener = await tcp({ port: 0, tls: mutual, onError: () => told() }).listen(() => {
        accepted++
      })
      const dialler = tcp({ port: 0, tls: { ca: Certificates.ca, ...own } })
      // In TLS 1.3 the client is done before the server has seen its certificate.
      const outcome = await dialler.dial(listener.address, never).catch((error: unknown) => error)
      if (!(outcome instanceof PeerUnreachable)) {
        const side = new Side(outcome as Awaited<ReturnType<typeof dialler.dial>>)
        side.attach()
        assert.ok((await side.closed) !== "destroyed")
      }
      await reported
      assert.equal(accepted, 0)
      await listener.close()
    })
  }

  test("what goes over the wire can't be read there", async () => {
    const target = await listen({ transport: () => tcp({ port: 0, tls: mutual }) })
    const { port } = portOf(target.listener.address)
    const seen: Uint8Array[] = []
    const relay = net.createServer((client) => {
      const server = net.connect({ port, host: "127.0.0.1" })
      for (const [from, to] of [
        [client, server],
        [server, client],
      ] as const) {
        from.on("error", () => to.destroy())
        from.on("data", (bytes) => {
          seen.push(bytes)
          to.write(bytes)
        })
        from.on("close", () => to.destroy())
      }
    })
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve))
    const address = `127.0.0.1:${(relay.address() as net.AddressInfo).port}`
    const dialled = new Side(await tcp({ port: 0, tls: mutual }).dial(address, never))
    dialled.attach()
    const secret = "a very secret text"
    dialled.connection.write(text(secret))
    const accepted = await target.next()
    accepted.attach()
    assert.equal(asText(await accepted.bytes(secret.length)), secret)
    assert.ok(seen.length > 0)
    assert.ok(!seen.some((bytes) => Buffer.from(bytes).includes(secret)))
    dialled.connection.destroy()
    await accepted.closed
    await target.listener.close()
    await new Promise<void>((resolve) => relay.close(() => resolve()))
  })
})

async function subject(options: Omit<TcpOptions, "port">): Promise<Subject> {
  // A port that was free a moment ago, and that the system won't give to anybody else so soon.
  const { listener } = await listen({ transport: () => tcp({ ...options, port: 0 }) })
  await listener.close()
  return {
    transport: () => tcp({ ...options, port: 0 }),
    sameAddress: (address) => tcp({ ...options, ...portOf(address) }),
    absent: listener.address,
    garbage: [
      "",
      "nonsense",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:0",
      "127.0.0.1:65536",
      "127.0.0.1:-1",
      "127.0.0.1:7001x",
      ":7001",
      "::1:7001",
      "[::1]",
      "[localhost]:7001",
      "a b:7001",
      "http://127.0.0.1:7001",
      "user@host:7001",
    ],
  }
}

function portOf(address: string): { port: number } {
  return { port: Number(address.slice(address.lastIndexOf(":") + 1)) }
}
